"""What a run writes about itself: its bins, and its result."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import dirjax
from dirjax import data, labels
from dirjax.errors import Failed
from dirjax.training.build import Pieces
from dirjax.training.progress import Clock


def bins(source: data.Source, spec: labels.Spec) -> dict[str, Any]:
    """The content of `bins.json`: what reports need about labels, in their units."""
    groups = spec.groups
    found: dict[str, Any] = {
        "label": source.label,
        "edges": source.edges.tolist(),
        "train_count": spec.counts.tolist(),
        "shots": [labels.SHOTS[s] for s in spec.shots],
    }
    if groups is not None:
        centers = np.asarray(source.scale.inverse(groups.centers))
        found["groups"] = {
            "num": groups.num,
            "of_bin": groups.of_bin.tolist(),
            "train_count": groups.counts.tolist(),
            "centers": centers.tolist(),
        }
    return found


def selected(
    scores: Mapping[str, Any], step: int, *, metric: str, shot: str, split: str
) -> float:
    """The score that selects checkpoints; smaller is better.

    Args:
      scores: metrics of the split.
      step: step of the state, for the message.
      metric: which metric.
      shot: on which shot.
      split: the split that was evaluated.

    Raises:
      Failed: if it is not finite.
    """
    value = scores[metric][shot]
    if value is None:
        which = "validation" if split == "val" else split
        raise Failed(
            f"the {which} {metric} after step {step} is not finite. Look for "
            f"non-finite features in the {which} rows, or try a smaller learning rate."
        )
    return value


def result(
    pieces: Pieces, scores: Mapping[str, Any], best_step: int, clock: Clock
) -> dict[str, Any]:
    """The content of `result.json`, without the command.

    Args:
      pieces: the run's data and model.
      scores: metrics of "val" and "test", `{}` for a split that does not exist.
      best_step: step of the evaluated state.
      clock: the run's clock.
    """
    config, rate = pieces.config, clock.rate()
    return {
        "schema": 1,
        "dirjax": dirjax.__version__,
        "dataset": pieces.source.name,
        "method": config["method"],
        "seed": config["seed"],
        "steps": pieces.plan.stop,
        "best_step": best_step,
        "select": {**config["select"], "split": pieces.select_split},
        **scores,
        "skipped": dict(pieces.source.skipped),
        "train_seconds": round(clock.seconds(), 3),
        "examples_per_second": rate and round(rate * pieces.plan.batch_size, 1),
        "device": jax.devices()[0].platform,
        "processes": jax.process_count(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("jax", "flax", "optax", "orbax-checkpoint", "numpy")
        },
    }
