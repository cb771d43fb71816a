"""Paired timing of worker processes on one machine.

A worker is a program that ends in `serve(step, units=...)`. `duel` starts them one
after another, lets each compile and warm up, then asks them in turn for a round.
Exactly one of them computes at a time, so a slow phase of the machine meets all
alike, and the ratio of two neighbouring rounds is steadier than either time.

What several benchmarks have in common stands here, too: their options, the cores and
the environment of workers, and a loss with the memory of its first call.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence


def serve(
    step: Callable[[int], None],
    *,
    units: float,
    seconds: float = 1.5,
    facts: Mapping[str, float] | None = None,
) -> None:
    """Answers a driver: one line of JSON when ready, one after each round.

    Args:
      step: runs n steps and returns when they are done.
      units: what one step works through, for example images.
      seconds: length of a round, about.
      facts: what else the driver should know, by name.
    """
    start = time.perf_counter()
    step(1)
    first = time.perf_counter() - start
    step(1)
    start = time.perf_counter()
    step(1)
    once = time.perf_counter() - start
    if once < seconds / 20:
        count = max(1, int(seconds / 10 / once))
        start = time.perf_counter()
        step(count)
        once = (time.perf_counter() - start) / count
    count = max(1, int(seconds / once))
    print(json.dumps({"first": first, **(facts or {})}), flush=True)
    for _ in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        step(count)
        rate = units * count / (time.perf_counter() - start)
        cpu = units * count / (time.process_time() - busy)
        print(json.dumps({"rate": rate, "cpu": cpu}), flush=True)


def options(about: str, *, rounds: int, threads: int = 2) -> argparse.ArgumentParser:
    """A parser of the options of benchmarks whose peer is PyTorch.

    Args:
      about: one line on the benchmark.
      rounds: default number of rounds.
      threads: default number of threads of each side.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--torch-python", help="interpreter that has torch and numpy")
    return parser


def pin(threads: int) -> None:
    """Keeps this process on so many cores: XLA takes all that it may run on."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def on_cpu(threads: int) -> dict[str, str]:
    """The environment of workers on the CPU."""
    return dict(os.environ, JAX_PLATFORMS="cpu", OMP_NUM_THREADS=str(threads))


def over(result: Mapping[str, float], width: int = 4) -> str:
    """Time over that of the base, with its range."""
    low, high = 1 / result["high"], 1 / result["low"]
    return f"{1 / result['ratio']:{width}.2f} ({low:.2f}-{high:.2f})"


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve_loss(
    step: Callable[[int], None],
    *,
    value: float,
    rows: int,
    before: float,
    facts: Mapping[str, float] | None = None,
) -> None:
    """Serves the steps of a loss in rounds of a second.

    Args:
      step: see `serve`.
      value: the loss, a fact of the worker.
      rows: rows of a step.
      before: `peak` before the first step; what came since is the fact "memory".
      facts: further facts of the worker.
    """
    told = {"value": value, "memory": peak() - before, **(facts or {})}
    serve(step, units=rows, seconds=1.0, facts=told)


class _Worker:
    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None):
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed in close
        self.process = subprocess.Popen(
            command,
            env=env,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        self.facts = self.read()

    def read(self) -> dict[str, float]:
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self.errors.seek(0)
        raise RuntimeError(f"a worker ended early: {self.errors.read()[-2000:]}")

    def round(self) -> dict[str, float]:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()
        self.errors.close()


def duel(
    commands: Mapping[str, Sequence[str]],
    *,
    rounds: int,
    env: Mapping[str, str] | None = None,
    against: Mapping[str, str] | None = None,
) -> dict[str, dict[str, float]]:
    """Plays workers against a base, the first one unless told otherwise.

    Args:
      commands: name -> command line of a worker.
      rounds: rounds of each worker.
      env: environment of the workers; default this process's.
      against: name -> name of its base, where it is not the first worker.

    Returns:
      name -> "first" (seconds of the first step, compilation included), "rate"
      (units a second, median), "ratio" (median over rounds of its rate over the
      base's), "low" and "high" (smallest and largest of those ratios), "cpu" (as
      "ratio", in units a second of processor time, which other processes disturb
      less), and the facts that the worker served.
    """
    workers: dict[str, _Worker] = {}
    played: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    try:
        for name, command in commands.items():
            workers[name] = _Worker(command, env)
        for _ in range(rounds):
            for name, worker in workers.items():
                played[name].append(worker.round())
    finally:
        for worker in workers.values():
            worker.close()
    first = next(iter(commands))
    result = {}
    for name, mine in played.items():
        base = played[(against or {}).get(name, first)]
        ratios, cpu = (
            [a[key] / b[key] for a, b in zip(mine, base, strict=True)]
            for key in ("rate", "cpu")
        )
        result[name] = {
            **workers[name].facts,
            "rate": statistics.median(a["rate"] for a in mine),
            "ratio": statistics.median(ratios),
            "low": min(ratios),
            "high": max(ratios),
            "cpu": statistics.median(cpu),
        }
    return result
