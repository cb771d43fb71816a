"""Passes over a split for several targets, with an `Evaluator` for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from dirjax import data
from dirjax.evals.eval_step import Evaluation
from dirjax.evals.evaluator import Evaluated, Evaluator, added, batches
from dirjax.features.moments import Moments
from dirjax.labels import SHOTS
from dirjax.runtime import sharding

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

    A pass computes the features of a batch once: the steps of all targets are one
    program, in which the compiler finds that they encode the same inputs.

    Args:
      each: of each target, by name.
      source: the data, with all targets.
      mesh: the device mesh.
      batch_size: global rows per batch.
    """

    def __init__(
        self,
        each: Mapping[str, Evaluator],
        source: data.Source,
        mesh: Mesh,
        *,
        batch_size: int,
    ):
        self._each, self._source = dict(each), source
        self._batches = lambda rows: batches(rows, mesh, batch_size)

        def steps(params, model_state, batch):
            return {
                name: one.step(params, model_state, _of_target(batch, number))
                for number, (name, one) in enumerate(self._each.items())
            }

        def add_moments(total, params, model_state, batch):
            return tuple(
                one.add_moments(own, params, model_state, _of_target(batch, number))
                for number, (own, one) in enumerate(
                    zip(total, self._each.values(), strict=True)
                )
            )

        replicated = sharding.replicated(mesh)
        self._steps = jax.jit(steps, out_shardings=replicated)
        self._add_moments = jax.jit(
            add_moments, donate_argnums=0, out_shardings=replicated
        )

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
        rows = self._source.rows(split)
        host = sharding.to_host(
            [self._steps(params, model_state, batch) for batch in self._batches(rows)]
        )
        there = np.ones(rows.label.shape, bool) if rows.mask is None else rows.mask
        found = {
            name: one.told(split, [_alone([h[name] for h in host], mask)])
            for (name, one), mask in zip(
                self._each.items(), np.asarray(there).T, strict=True
            )
        }
        members = [
            mean_scores(dict(zip(found, each, strict=True)), self.units)
            for each in zip(*[f.members for f in found.values()], strict=True)
        ]
        scores = mean_scores({n: f.scores for n, f in found.items()}, self.units)
        return Evaluated(scores, {}, members, found)

    def moments(self, params: Any, model_state: Any, split: str) -> tuple[Moments, ...]:
        """Feature moments by the bins of each target; see `Evaluator.moments`."""
        total = tuple(one.no_moments() for one in self._each.values())
        for batch in self._batches(self._source.rows(split)):
            total = self._add_moments(total, params, model_state, batch)
        return total


def _of_target(batch: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A batch with the labels of one target; inputs are those of all."""
    own = {name: batch[name][:, number] for name in ("value", "bin", "mask")}
    return {"inputs": batch["inputs"], **own}


def _alone(host: Sequence[Evaluation], there: np.ndarray) -> Evaluation:
    """What batches give for a target, of the rows that have its label.

    Args:
      host: of the batches of all rows.
      there: `[rows]` bool, which have it.
    """
    rows = jax.tree.map(
        lambda *x: np.concatenate(x)[: len(there)][there], *[e.rows for e in host]
    )
    members = None
    if host[0].members is not None:
        members = added([e.members for e in host])
    return Evaluation(added([e.sums for e in host]), rows, members)
