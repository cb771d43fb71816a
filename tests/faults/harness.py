"""Runs of many steps in a few seconds, to be stopped from outside."""

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

# The method of the default tests: two stages, statistics and weights.
METHOD = "rrt_lds_fds"

# Environment of `Process`; tests/faults/conftest.py adds the shared compilation cache.
ENVIRONMENT: dict[str, str] = {}

# `python -m dirjax.main` with a slow `Checkpoints.save`, which touches the file of the
# first argument and then waits for the seconds of the second.
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
    """Arguments of a run that evaluates every epoch and saves every other one.

    An epoch has three steps. The learning rate grows, so that the best state is not the
    last.
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
    """A run in a separate process.

    Args:
      method: a method of `STEPS`.
      workdir: the run directory.
      save_seconds: duration of each save, to slow saves down.
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
        """Waits until `reached()` is true or the process has ended."""
        deadline = time.monotonic() + 120
        while not reached() and self._popen.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def wait_for(self, moment: str) -> None:
        """Waits for a moment of the run (see below) or the end of the process."""
        self.wait_until(lambda: getattr(self, f"_{moment}")())

    def _starting(self) -> bool:
        """The process has the lock; it loads data and builds programs."""
        lock = self.workdir / ".lock"
        return lock.exists() and f'"pid": {self.pid},' in lock.read_text()

    def _training(self) -> bool:
        """Two more lines are logged, so compilation is over."""
        return self._count() >= self._lines + 2

    def _saving(self) -> bool:
        """Orbax is writing."""
        return any(self.workdir.glob("checkpoints/*tmp*"))

    def _saving_slowly(self) -> bool:
        return self.marker.exists()

    def _in_the_second_stage(self) -> bool:
        log = self.workdir / "metrics.jsonl"
        return log.exists() and log.read_text().count('"stage": "head"') > 2

    def _evaluating(self) -> bool:
        """The final evaluation is done; its result is not written yet."""
        return (self.workdir / "predictions.npz").exists()

    def _reporting(self) -> bool:
        return (self.workdir / "result.json").exists()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._popen.send_signal(number)

    def end(self, timeout: float = 240) -> tuple[int, str, str]:
        """Waits for the end; returns status (negative if killed), stdout and stderr."""
        try:
            out, errors = self._popen.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.communicate()
            raise
        return self._popen.returncode, out, errors


def whole(method: str, workdir: pathlib.Path) -> dict:
    """The outcome of an undisturbed run."""
    status, _, errors = Process(method, workdir).end()
    assert (status, errors) == (0, "")
    found = outcome(workdir)
    last = sum(STEPS[method].values())
    first = last - list(STEPS[method].values())[-1]
    assert first < found["best_step"] < last, "the best must be neither first nor last"
    return found


def outcome(workdir: pathlib.Path) -> dict:
    """Results that must not depend on interruptions of the run."""
    result = json.loads((workdir / "result.json").read_text())
    return {name: result[name] for name in ("best_step", "steps", "test", "val")}


def evaluations(workdir: pathlib.Path) -> list[dict]:
    """Evaluation records of metrics.jsonl, without times."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    records = [r for r in map(json.loads, lines) if r["split"] != "train"]
    return [{k: v for k, v in r.items() if k != "time"} for r in records]
