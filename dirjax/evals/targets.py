"""Passes over a split for several targets, each by its own `Evaluator`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dirjax.evals.evaluator import Evaluated, Evaluator
from dirjax.features.moments import Moments
from dirjax.labels import SHOTS

# Errors that are averaged over targets, and the power of the unit that each is in.
POWERS = {"mae": 1, "mse": 2, "rmse": 1, "gm": 1, "bmae": 1}


def mean_scores(
    scores: Mapping[str, Mapping[str, Any]], units: Mapping[str, float]
) -> dict[str, dict[str, float | None]]:
    """Errors averaged over targets, each in deviations of its training labels.

    Args:
      scores: target -> `{metric: {"all", "many", "median", "few"}}`.
      units: target -> deviation of its training labels.

    Returns:
      Metric of `POWERS` -> shot -> mean over the targets that have such labels; None
      without any.

    Example:
      >>> of_a = {"mae": {"all": 1.0}, "mse": {"all": 4.0}}
      >>> of_b = {"mae": {"all": 30.0}, "mse": {"all": 900.0}}
      >>> means = mean_scores({"a": of_a, "b": of_b}, {"a": 2.0, "b": 10.0})
      >>> means["mae"]["all"], means["mse"]["all"]
      (1.75, 5.0)
    """

    def mean(metric: str, shot: str) -> float | None:
        found = [
            own[metric][shot] / units[name] ** POWERS[metric]
            for name, own in scores.items()
            if own.get(metric, {}).get(shot) is not None
        ]
        return float(np.mean(found)) if found else None

    shots = ("all", *SHOTS)
    return {metric: {shot: mean(metric, shot) for shot in shots} for metric in POWERS}


class TargetsEvaluator:
    """Evaluators of several targets on the parameters of one model.

    Args:
      each: of each target, by name.
    """

    def __init__(self, each: Mapping[str, Evaluator]):
        self._each = dict(each)

    @property
    def units(self) -> dict[str, float]:
        """Deviation of the training labels of each target, in units of the file."""
        return {name: one.unit for name, one in self._each.items()}

    def evaluate(self, params: Any, model_state: Any, split: str) -> Evaluated:
        """Metrics of a split.

        Args:
          params: see `Evaluator.evaluate`.
          model_state: see `Evaluator.evaluate`.
          split: see `Evaluator.evaluate`.

        Returns:
          `mean_scores`, of the model and of each member, and what each evaluator finds
          as `targets`.
        """
        found = {
            name: one.evaluate(params, model_state, split)
            for name, one in self._each.items()
        }
        members = [
            mean_scores(dict(zip(found, each, strict=True)), self.units)
            for each in zip(*[f.members for f in found.values()], strict=True)
        ]
        scores = mean_scores({n: f.scores for n, f in found.items()}, self.units)
        return Evaluated(scores, {}, members, found)

    def moments(self, params: Any, model_state: Any, split: str) -> tuple[Moments, ...]:
        """Feature moments by the bins of each target; see `Evaluator.moments`."""
        return tuple(
            one.moments(params, model_state, split) for one in self._each.values()
        )
