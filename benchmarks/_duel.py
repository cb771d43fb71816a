"""Paired timing of worker processes on one machine.

A worker is a program that ends in `serve(step, units=...)`. `duel` starts them one
after another, lets each compile and warm up, then asks them in turn for a round.
Exactly one of them computes at a time, so a slow phase of the machine meets all
alike, and the ratio of two neighbouring rounds is steadier than either time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence


def serve(step: Callable[[int], None], *, units: float, seconds: float = 1.5) -> None:
    """Answers a driver: one line of JSON when ready, one after each round.

    Args:
      step: runs n steps and returns when they are done.
      units: what one step works through, for example images.
      seconds: length of a round, about.
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
    print(json.dumps({"first": first}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step(count)
        rate = units * count / (time.perf_counter() - start)
        print(json.dumps({"rate": rate}), flush=True)


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
        self.first = self.read()["first"]

    def read(self) -> dict[str, float]:
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self.errors.seek(0)
        raise RuntimeError(f"a worker ended early: {self.errors.read()[-2000:]}")

    def round(self) -> float:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.read()["rate"]

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
) -> dict[str, dict[str, float]]:
    """Plays workers against the first one.

    Args:
      commands: name -> command line of a worker; the first is the base.
      rounds: rounds of each worker.
      env: environment of the workers; default this process's.

    Returns:
      name -> "first" (seconds of the first step, compilation included), "rate"
      (units a second, median), "ratio" (median over rounds of its rate over the
      base's), "low" and "high" (smallest and largest of those ratios).
    """
    workers: dict[str, _Worker] = {}
    rates: dict[str, list[float]] = {name: [] for name in commands}
    try:
        for name, command in commands.items():
            workers[name] = _Worker(command, env)
        for _ in range(rounds):
            for name, worker in workers.items():
                rates[name].append(worker.round())
    finally:
        for worker in workers.values():
            worker.close()
    base = rates[next(iter(commands))]
    result = {}
    for name, values in rates.items():
        ratios = [mine / other for mine, other in zip(values, base, strict=True)]
        result[name] = {
            "first": workers[name].first,
            "rate": statistics.median(values),
            "ratio": statistics.median(ratios),
            "low": min(ratios),
            "high": max(ratios),
        }
    return result
