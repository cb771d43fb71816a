"""What the loop accumulates for the log: metric means, seconds, rates."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import jax
import numpy as np

from dirjax.errors import Diverged
from dirjax.training.train_step import NEVER, StepMetrics


class Means:
    """Means of training metrics over the steps since the last log line."""

    def __init__(self):
        self._waiting: list[StepMetrics] = []
        self._sums: dict[str, np.ndarray] = {}

    def add(self, metrics: StepMetrics) -> None:
        """Adds a chunk of steps; does not wait for the device."""
        self._waiting.append(metrics)

    def collect(self) -> None:
        """Waits for the device and checks that every value is finite.

        Raises:
          Diverged: naming step and term, if one is not.
        """
        host = jax.device_get(self._waiting)
        self._waiting = []
        for metrics in host:
            for name, pair in metrics.sums.items():
                pair = np.array(pair, np.float64)
                self._sums[name] = self._sums.get(name, 0.0) + pair
        bad = min((int(r.first_bad) for r in host), default=NEVER)
        if bad != NEVER:
            names = [n for n, (s, _) in self._sums.items() if not np.isfinite(s)]
            raise Diverged(
                f"step {bad + 1} gave a value that is not finite, in "
                f"{', '.join(names) or 'the update'}. All checkpoints are from earlier "
                "steps. Try a smaller learning rate, --config.stage.NAME.clip=1.0 or, "
                "for labels beyond a million, a larger unit."
            )

    def take(self) -> dict[str, float]:
        """Returns the means and resets them."""
        sums, self._sums = self._sums, {}
        return {name: float(total / max(n, 1.0)) for name, (total, n) in sums.items()}


class Clock:
    """Seconds of the run over all its calls, and steps per second without pauses.

    Args:
      before: seconds spent in earlier calls.
    """

    def __init__(self, before: float):
        self._began = time.monotonic() - before
        self._steps, self._busy = 0, 0.0
        self._line = (0, 0.0)
        self._from: tuple[int, float] | None = None
        self._warm = False

    def compiles(self) -> None:
        """The next chunk compiles, so `rate` leaves it out."""
        self._warm = False

    def start(self, step: int) -> None:
        """Training continues after `step`."""
        self._from = (step, time.monotonic())

    def stop(self, step: int) -> None:
        """The device has finished `step`."""
        assert self._from is not None
        now = time.monotonic()
        steps, busy = step - self._from[0], now - self._from[1]
        self._line = (self._line[0] + steps, self._line[1] + busy)
        if self._warm:
            self._steps, self._busy = self._steps + steps, self._busy + busy
        self._warm = True
        self._from = (step, now)

    def seconds(self) -> float:
        """Seconds since the run began, with evaluations and compilation."""
        return time.monotonic() - self._began

    def take(self) -> float:
        """Returns steps per second since the last log line and resets the count."""
        (steps, busy), self._line = self._line, (0, 0.0)
        return steps / max(busy, 1e-9)

    def rate(self) -> float | None:
        """Steps per second over this call, or None if no step was timed."""
        return self._steps / self._busy if self._busy else None


def warn_once() -> Callable[[str], None]:
    """Makes a function that prints each kind of sentence once, to stderr.

    Only the first process prints. Two sentences are of one kind if they differ only in
    the number they begin with.
    """
    known = set()

    def warn(sentence: str) -> None:
        kind = sentence.lstrip("0123456789.% ")
        if kind not in known and jax.process_index() == 0:
            print(f"dirjax: {sentence}", file=sys.stderr, flush=True)
        known.add(kind)

    return warn
