"""Runs that take a few seconds of many steps, to be stopped from outside."""

import json
import pathlib
import signal
import subprocess
import sys
import time

from tests import commands

STEPS = {
    "fds": {"main": 60},
    "rrt": {"main": 36, "head": 24},
    "rrt_lds_fds": {"main": 36, "head": 24},
}

# That of the default tests: two stages, statistics and weights.
METHOD = "rrt_lds_fds"

# Of `Process`; tests/faults/conftest.py adds the compiler's cache of all workers.
ENVIRONMENT: dict[str, str] = {}

# As `python -m dirjax.main`, with `Checkpoints.save` that takes long: it touches the
# file of the first argument and waits for the seconds of the second.
SLOW_SAVES = """
import pathlib, sys, time
from dirjax import main
from dirjax.cli import status
from dirjax.runtime import startup
from dirjax.workdir import checkpoints

_, marker, seconds, *arguments = sys.argv
save = checkpoints.Checkpoints.save

def slow(*args, **kwargs):
    pathlib.Path(marker).touch()
    time.sleep(float(seconds))
    save(*args, **kwargs)

checkpoints.Checkpoints.save = slow
startup.quiet()
sys.exit(status.run(main.main, ["main", *arguments]))
"""


def arguments(method: str, workdir: pathlib.Path) -> list[str]:
    """Evaluates each epoch of three steps and saves every other one.

    The learning rate grows, so that the best state is not the last.
    """
    fields = {
        "data.limit": 96,
        "data.batch_size": 32,
        "model.encoder.width": 8,
        "model.encoder.depth": 1,
        "train.chunk": 2,
        "log.every": 5,
        "eval.every": 1.0,
        "checkpoint.every": 2.0,
    }
    for stage, steps in STEPS[method].items():
        fields |= {
            f"stage.{stage}.steps": steps,
            f"stage.{stage}.learning_rate": 0.03,
            f"stage.{stage}.schedule": "step",
            f"stage.{stage}.factor": 10.0,
        }
    config = f"--config=configs/bikeshare.py:{method},smoke"
    overrides = [f"--config.{name}={value}" for name, value in fields.items()]
    return [config, f"--workdir={workdir}", *overrides]


class Process:
    """A run in a process of its own.

    Args:
      method: one of STEPS.
      workdir: its directory.
      save_seconds: how long each save takes, if it is to be slow.
    """

    def __init__(
        self, method: str, workdir: pathlib.Path, save_seconds: float | None = None
    ):
        self.workdir = workdir
        self.marker = workdir.with_name(f"{workdir.name}-saves")
        self.marker.unlink(missing_ok=True)
        self._lines = self._count()
        start = ["-m", "dirjax.main"]
        if save_seconds is not None:
            start = ["-c", SLOW_SAVES, str(self.marker), str(save_seconds)]
        # Shells start what runs in the background with SIGINT ignored, which tests that
        # run there would hand on; a handler is not handed on.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._popen = subprocess.Popen(
            [sys.executable, *start, *arguments(method, workdir)],
            env=commands.environment() | ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._popen.pid

    def _count(self) -> int:
        log = self.workdir / "metrics.jsonl"
        return log.read_bytes().count(b"\n") if log.exists() else 0

    def wait_until(self, reached) -> None:
        """Returns when `reached()`, or when the process has ended."""
        deadline = time.monotonic() + 120
        while not reached() and self._popen.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def wait_for(self, moment: str) -> None:
        """Returns at a moment of the run, see below, or when the process has ended."""
        self.wait_until(lambda: getattr(self, f"_{moment}")())

    def _starting(self) -> bool:
        """It has the lock; data are loaded and programs built."""
        lock = self.workdir / ".lock"
        return lock.exists() and f'"pid": {self.pid},' in lock.read_text()

    def _training(self) -> bool:
        """Two lines more than before: after the compiler."""
        return self._count() >= self._lines + 2

    def _saving(self) -> bool:
        """Orbax writes."""
        return any(self.workdir.glob("checkpoints/*tmp*"))

    def _saving_slowly(self) -> bool:
        return self.marker.exists()

    def _in_the_second_stage(self) -> bool:
        log = self.workdir / "metrics.jsonl"
        return log.exists() and log.read_text().count('"stage": "head"') > 2

    def _evaluating(self) -> bool:
        """The final evaluation is over, its result is not written."""
        return (self.workdir / "predictions.npz").exists()

    def _reporting(self) -> bool:
        return (self.workdir / "result.json").exists()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._popen.send_signal(number)

    def end(self, timeout: float = 240) -> tuple[int, str, str]:
        """Waits for the end: status (negative if killed), output, errors."""
        try:
            out, errors = self._popen.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.communicate()
            raise
        return self._popen.returncode, out, errors


def whole(method: str, workdir: pathlib.Path) -> dict:
    """The outcome of a run that nobody disturbs."""
    status, _, errors = Process(method, workdir).end()
    assert (status, errors) == (0, "")
    found = outcome(workdir)
    last = sum(STEPS[method].values())
    first = last - list(STEPS[method].values())[-1]
    assert first < found["best_step"] < last, "the best must be neither first nor last"
    return found


def outcome(workdir: pathlib.Path) -> dict:
    """What must not depend on how often a run was stopped."""
    result = json.loads((workdir / "result.json").read_text())
    return {name: result[name] for name in ("best_step", "steps", "test", "val")}


def evaluations(workdir: pathlib.Path) -> list[dict]:
    """Records of evaluations in metrics.jsonl, without clock readings."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    records = [r for r in map(json.loads, lines) if r["split"] != "train"]
    return [{k: v for k, v in r.items() if k != "time"} for r in records]
