"""Stages: a run as a sequence of stages, and what is due at each step.

Everything here is a pure function of the step number, so a run can resume inside any
stage without further state.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Attributes:
      name: name in the config.
      number: 0, 1, ...
      start: first step.
      steps: number of steps.
      objective: `{"terms", "wrappers", ...settings}`.
      optimizer: keyword arguments of `optimizers.make`.
      schedule: keyword arguments of `optimizers.schedule`.
      trainable: patterns of parameter paths that are trained; empty means all.
      reinit: patterns of parameter paths to reinitialise at the start.
      init_from: start from the "last" or "best" parameters of the previous stage.
      encoder_mode: "train" or "eval" batch norm and dropout of the encoder.
      views: augmented rows of each image in a batch.
      sampling: how often rows are drawn: "none" for once an epoch, or the scheme of
        `weights.bin_weights` for their bins.
      bags: whether each network has a fixed bag of rows, see `data.Stream`.
      resample: options of `data.resampled`: the head is trained alone, on resampled
        features of the training rows; empty for all rows as they are.
      evaluate: whether its states are evaluated: not if the head is untrained; the last
        stage always is.
    """

    name: str
    number: int
    start: int
    steps: int
    objective: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    schedule: Mapping[str, Any]
    trainable: tuple[str, ...] = ()
    reinit: tuple[str, ...] = ()
    init_from: str = "last"
    encoder_mode: str = "train"
    views: int = 1
    sampling: str = "none"
    bags: bool = False
    resample: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    evaluate: bool = True

    @property
    def stop(self) -> int:
        """First step after the stage."""
        return self.start + self.steps


@dataclasses.dataclass(frozen=True)
class Plan:
    """All stages of a run, and the steps at which to log, evaluate and save.

    Attributes:
      stages: in order.
      size: number of training examples.
      batch_size: global rows per step, before views.
      eval_epochs: epochs between evaluations.
      save_epochs: epochs between saves.
      log_steps: steps between log lines.
      chunk_steps: largest number of steps in one call of the compiled loop.
      patience: evaluations without a better one after which the last stage ends; 0
        means that it does not end early.
    """

    stages: tuple[Stage, ...]
    size: int
    batch_size: int
    eval_epochs: float
    save_epochs: float
    log_steps: int
    chunk_steps: int
    patience: int = 0

    @property
    def stop(self) -> int:
        """Number of steps of the run."""
        return self.stages[-1].stop

    def stage_at(self, step: int) -> Stage:
        """The stage that a step belongs to; the last one at the end of the run."""
        for stage in self.stages:
            if step < stage.stop:
                return stage
        return self.stages[-1]

    def epoch(self, step: int) -> float:
        """Passes over the training set after `step` steps."""
        return step * self.batch_size / self.size

    def _due(self, step: int, epochs: float) -> bool:
        """Whether a multiple of `epochs` lies in (step - 1, step]."""
        if step <= 0 or epochs <= 0:
            return False
        return math.floor(self.epoch(step) / epochs + 1e-9) > math.floor(
            self.epoch(step - 1) / epochs + 1e-9
        )

    def ends_stage(self, step: int) -> bool:
        """Whether a stage ends after `step` steps."""
        return any(step == stage.stop for stage in self.stages)

    def evaluates(self, step: int) -> bool:
        """Whether the state after `step` steps is evaluated."""
        if not self.stage_at(step - 1).evaluate:
            return False
        return self._due(step, self.eval_epochs) or self.ends_stage(step)

    def gives_up(self, best: int | None, step: int) -> bool:
        """Whether the last stage ends early after `step` steps.

        Args:
          best: step of the best evaluation of the stage, or None.
          step: a step of the stage.
        """
        if not self.patience or best is None or step <= self.stages[-1].start:
            return False
        later = sum(self.evaluates(s) for s in range(best + 1, step + 1))
        return later >= self.patience

    def saves(self, step: int) -> bool:
        """Whether the state after `step` steps is saved even if it is not the best."""
        return self._due(step, self.save_epochs) or self.ends_stage(step)

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch ends after `step` steps."""
        return self._due(step, 1.0)

    def logs(self, step: int) -> bool:
        """Whether training metrics are written after `step` steps."""
        return step > 0 and (step % self.log_steps == 0 or self.ends_stage(step))

    def log_head(
        self, stage: Stage, step: int, split: str, seconds: float
    ) -> dict[str, Any]:
        """The leading fields of a line in metrics.jsonl.

        Args:
          stage: the stage of the step.
          step: number of completed steps.
          split: the split that the metrics belong to.
          seconds: seconds since the run began.
        """
        return {
            "step": step,
            "epoch": round(self.epoch(step), 4),
            "stage": stage.name,
            "split": split,
            "time": round(seconds, 3),
        }

    def next_stop(self, step: int) -> int:
        """The step at which the compiled loop returns, when started at `step`."""
        for stop in range(step + 1, step + self.chunk_steps):
            if (
                self.logs(stop)
                or self.evaluates(stop)
                or self.saves(stop)
                or self.ends_epoch(stop)
            ):
                return stop
        return min(step + self.chunk_steps, self.stop)

    def chunks(self, step: int) -> Iterator[tuple[int, int]]:
        """`(start, steps)` of each call of the compiled loop, starting at `step`."""
        while step < self.stop:
            stop = self.next_stop(step)
            yield step, stop - step
            step = stop
