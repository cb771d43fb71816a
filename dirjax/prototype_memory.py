"""Prototypes that outlive a batch: of labels that it lacks, and of more rows.

A batch has few labels and few rows of each (`prototypes.py`). What is known of label b
besides is, by source,

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
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dirjax import geometry, labels
from dirjax.moments import Moments
from dirjax.objectives import base
from dirjax.prototypes import Prototypes, check_reading, prototypes

SOURCES = ("batch", "running", "data")


class Memory(NamedTuple):
    """Prototypes of all labels. Zeros where a label was not seen.

    Attributes:
      seen: `[labels]` 1 for labels that are known, else 0.
      mean: `[labels, dim]` mean feature.
      norm: `[labels]` mean of norms.
    """

    seen: jax.Array
    mean: jax.Array
    norm: jax.Array


def of_data(moments: Moments) -> Memory:
    """The prototypes of a data set.

    Args:
      moments: of its features.

    Returns:
      One row for each bin.
    """
    seen = (moments.count > 0).astype(moments.mean.dtype)
    return Memory(seen, moments.mean, moments.norm / jnp.maximum(moments.count, 1))


def norms(memory: Memory, *, reading: str = "prototype") -> jax.Array:
    """Norms of what is remembered.

    Args:
      memory: of all labels.
      reading: see `prototypes`.

    Returns:
      `[labels]`, 0 where a label is not known.

    Raises:
      ValueError: for an unknown reading.
    """
    check_reading(reading)
    return geometry.norms(memory.mean) if reading == "prototype" else memory.norm


def recall(
    found: Prototypes, memory: Memory, *, momentum: float, reading: str = "prototype"
) -> tuple[Prototypes, Memory]:
    """Prototypes of all labels, those of a batch set in among those in memory.

    Args:
      found: of a batch, with labels from 0 to `labels - 1`, of the same reading.
      memory: what is known before the batch.
      momentum: share of what is known of a label that the batch has, 0 to 1; 1 keeps
        the memory as it is.
      reading: see `prototypes`.

    Returns:
      Prototypes with one slot for each label, whose `count` is that of the batch, 0 for
      all other labels; and the memory after the batch, a constant for gradients, whose
      `seen` tells which of the prototypes are known.

    Raises:
      ValueError: for an unknown reading, or shapes that do not fit.

    Example:
      >>> memory = Memory(jnp.ones(3), jnp.ones((3, 2)), jnp.ones(3))
      >>> batch = prototypes(jnp.array([[3.0, 0.0], [0.0, 4.0]]), jnp.array([2, 0]))
      >>> found, memory = recall(batch, memory, momentum=0.5)
      >>> found.mean.tolist(), found.count.tolist()
      ([[0.5, 2.5], [1.0, 1.0], [2.0, 0.5]], [1.0, 0.0, 1.0])
    """
    check_reading(reading)
    base.check_shapes(
        seen=(memory.seen, "labels"),
        mean=(memory.mean, "labels dim"),
        found=(found.mean, "slots dim"),
    )
    num = len(memory.seen)
    # Empty slots of the batch go past the end, where they are dropped.
    place = jnp.where(found.count > 0, found.label.astype(jnp.int32), num)

    def spread(values):
        empty = jnp.zeros((num, *values.shape[1:]), values.dtype)
        return empty.at[place].set(values, mode="drop")

    count = spread(found.count)
    kept = jnp.where(count > 0, jnp.where(memory.seen > 0, momentum, 0.0), 1.0)

    def blend(old, batch):
        """The values after the batch, with the gradient of the batch's own."""
        share = kept.reshape(-1, *(1,) * (old.ndim - 1))
        fixed = jax.lax.stop_gradient(batch)
        return jax.lax.stop_gradient(share * old + (1 - share) * fixed) + batch - fixed

    mean = blend(memory.mean, spread(found.mean))
    if reading == "prototype":
        norm, mean_norm = geometry.norms(mean), memory.norm
    else:
        norm = mean_norm = blend(memory.norm, spread(found.norm))
    seen = jnp.maximum(memory.seen, (count > 0).astype(memory.seen.dtype))
    label = jnp.arange(num, dtype=found.label.dtype)
    slot = place[jnp.minimum(found.slot, len(place) - 1)]
    after = jax.lax.stop_gradient(Memory(seen, mean, mean_norm))
    return Prototypes(label, count, mean, norm, slot), after


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
      >>> Source("running", momentum=0.5).collect is None
      True
    """

    name: str = "batch"
    momentum: float = 0.9
    reading: str = "prototype"

    def __post_init__(self):
        check_reading(self.reading)
        if self.name not in SOURCES:
            raise ValueError(
                f"source must be one of {', '.join(SOURCES)}, got {self.name!r}."
            )
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
    def collect(self) -> Callable[[base.Variables, Moments], base.Variables] | None:
        """For `start` and `refresh` of the term's objective."""
        return _collect if self.name == "data" else None

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
