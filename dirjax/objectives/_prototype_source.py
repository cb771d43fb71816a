"""Sources of prototypes: the batch, running means, or the training set.

A batch holds few labels, with few rows of each (`features/prototypes.py`). By source,
the memory for label b is

    "batch"    nothing
    "running"  c_b <- m c_b + (1 - m) (mean of the batch's rows of b), in each step
    "data"     c_b over the whole training set, in evaluation mode: at the start of a
               stage and after each of its epochs

The gradient is that of the batch's prototype, evaluated at the memory: a row of b moves
along `c_b / (n_b ||c_b||)`. Labels outside the batch are constants.

**Deviations**: none known. A reviewer of the Frobenius-norm method
(https://openreview.net/forum?id=6XpSwo3ZCe) asks to compare prototypes of the batch,
running ones and those of the data set; the form of both memories is our own.
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
from dirjax.labels import specification
from dirjax.objectives import base

SOURCES = ("batch", "running", "data")


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a term takes its prototypes from.

    Attributes:
      name: "batch", "running" or "data".
      momentum: share of the old running prototype kept in a step, in [0, 1).
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
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum!r}.")

    def init(self, spec: labels.Spec) -> dict[str, Any]:
        """Its entries in a term's state: `memory`, or none.

        Raises:
          ValueError: if the feature width is unknown.
        """
        if self.name == "batch":
            return {}
        dim = specification.feature_dim_of(spec, f"source={self.name!r}")
        num = spec.bins.num
        row = jnp.zeros(num)
        return {"memory": Memory(row, jnp.zeros((num, dim)), row)}

    @property
    def collect(self) -> base.Collect:
        """The `collect` of the term's objective, see `base.Objective`."""
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
          state: state of the term.
          features: `[batch, dim]` float.
          bins: `[batch]` int.
          mask: `[batch]`, 1 for real rows and 0 for padding.
          num_bins: number of bins, static.

        Returns:
          The prototypes, with the batch's counts in `count`; `[slots]` bool, which of
          them are known; and the state after the step.
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
