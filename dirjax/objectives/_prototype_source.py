"""Where prototypes come from: the batch, running means, or the training set.

A batch has few labels and few rows of each (`features/prototypes.py`). What is known
of label b besides is, by source,

    "batch"     nothing
    "running"   c_b <- m c_b + (1 - m) (mean of the batch's rows of b), in each step
    "data"      c_b of the whole training set, in evaluation mode: at the start of a
                stage and after each of its epochs

The gradient is that of the batch's prototype, taken at what is known: a row of b moves
along `c_b / (n_b ||c_b||)`. Labels outside of the batch are constants.

**Deviations**: none known. That prototypes of a batch, running ones and those of the
data set be compared is a reviewer's wish for the Frobenius-norm method
(https://openreview.net/forum?id=6XpSwo3ZCe); the form of both memories is our own.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from dirjax import checks, labels
from dirjax.features.moments import Moments
from dirjax.features.prototypes import (
    READINGS,
    Memory,
    Prototypes,
    of_data,
    prototypes,
    recall,
)
from dirjax.objectives import base

SOURCES = ("batch", "running", "data")


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a term has its prototypes from.

    Attributes:
      name: "batch", "running" or "data".
      momentum: of running prototypes, the share that stays in a step, from 0, below 1.
      reading: see `prototypes`.

    Raises:
      ValueError: for a value out of range.

    Example:
      >>> Source("data").collect.epoch is not None
      True
    """

    name: str = "batch"
    momentum: float = 0.9
    reading: str = "prototype"

    def __post_init__(self):
        checks.one_of("reading", self.reading, READINGS)
        checks.one_of("source", self.name, SOURCES)
        if not 0 <= self.momentum < 1:
            raise ValueError(
                f"momentum must be a number from 0, below 1, got {self.momentum!r}."
            )

    def init(self, spec: labels.Spec) -> dict[str, Any]:
        """What a term's state holds for it: `memory`, or nothing.

        Raises:
          ValueError: if the width of features is not known.
        """
        if self.name == "batch":
            return {}
        num, dim = spec.bins.num, spec.feature_dim
        if dim <= 0:
            raise ValueError(
                f"source={self.name!r} needs spec.feature_dim above 0, got {dim}: set "
                "it."
            )
        row = jnp.zeros(num)
        return {"memory": Memory(row, jnp.zeros((num, dim)), row)}

    @property
    def collect(self) -> base.Collect:
        """What the term's objective collects, see `base.Objective`."""
        return (
            base.Collect(_collect, _collect) if self.name == "data" else base.Collect()
        )

    def find(
        self,
        state: dict[str, Any],
        features: jax.Array,
        bins: jax.Array,
        mask: jax.Array,
        num_bins: int,
    ) -> tuple[Prototypes, jax.Array, dict[str, Any]]:
        """Prototypes for a step.

        Args:
          state: of the term.
          features: `[batch, dim]` float.
          bins: `[batch]` int.
          mask: `[batch]`, 1 for real rows and 0 for padding.
          num_bins: how many bins there are, static.

        Returns:
          Prototypes, whose `count` is of the batch; `[slots]` bool, which of them are
          known; and the state after the step.
        """
        find = functools.partial(prototypes, reading=self.reading)
        found = find(features, bins, mask=mask, num_labels=num_bins)
        if self.name == "batch":
            return found, found.count > 0, state
        momentum = 1.0 if self.name == "data" else self.momentum
        found, memory = recall(
            found, state["memory"], momentum=momentum, reading=self.reading
        )
        return found, memory.seen > 0, state | {"memory": memory}


def _collect(variables: base.Variables, moments: Moments) -> base.Variables:
    return variables._replace(state=variables.state | {"memory": of_data(moments)})
