"""Prototypes: the mean feature of each label in a batch, and its norm.

For the labels in a batch, with `n_b` rows each,

    c_b = (1/n_b) sum_{i in b} z_i
    F_b = ||c_b||                        reading "prototype"
    F_b = (1/n_b) sum_{i in b} ||z_i||   reading "mean_of_norms"

The second is never below the first, and its average over batches equals that of the
whole set; the first falls with the number of rows per prototype. The Frobenius norm of
a vector is its L2 norm.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.features.moments import Moments
from dirjax.ops import numerics

READINGS = ("prototype", "mean_of_norms")


class Prototypes(NamedTuple):
    """One slot for each label in a batch, in ascending order; the rest is empty.

    Attributes:
      label: `[slots]` the label, 0 in empty slots.
      count: `[slots]` rows, 0 in empty slots.
      mean: `[slots, dim]` mean feature, 0 in empty slots.
      norm: `[slots]` F, 0 in empty slots.
      slot: `[batch]` int32, slot of each row; arbitrary for padding.
    """

    label: jax.Array
    count: jax.Array
    mean: jax.Array
    norm: jax.Array
    slot: jax.Array


def prototypes(
    features: jax.Array,
    labels: jax.Array,
    *,
    mask: jax.Array | None = None,
    num_labels: int | None = None,
    reading: str = "prototype",
) -> Prototypes:
    """Mean features and norms of the labels in a batch.

    Args:
      features: `[batch, dim]` float. Padding may be NaN.
      labels: `[batch]`, float or bins; rows of equal labels belong together.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.
      num_labels: largest number of labels, static; saves slots.
      reading: definition of the norms, "prototype" or "mean_of_norms".

    Returns:
      Prototypes with as many slots as batch rows, or `num_labels` if that is less.

    Raises:
      ValueError: for an unknown reading, or shapes that do not fit.

    Example:
      >>> z = jnp.array([[3.0, 0.0], [0.0, 4.0], [1.0, 0.0]])
      >>> found = prototypes(z, jnp.array([7, 7, 2]))
      >>> found.label.tolist(), found.count.tolist(), found.norm.tolist()
      ([2.0, 7.0, 0.0], [1.0, 2.0, 0.0], [1.0, 2.5, 0.0])
    """
    checks.check_shapes(
        features=(features, "b d"),
        labels=(labels, "b"),
        mask=(mask, "b"),
    )
    checks.one_of("reading", reading, READINGS)
    kind = features.dtype
    mask = jnp.ones(len(features), kind) if mask is None else (mask > 0).astype(kind)
    features = jnp.where(mask[:, None] > 0, features, 0)
    # Padding sorts last and is dropped if slots are full.
    keys = jnp.where(mask > 0, labels.astype(kind), jnp.inf)
    size = len(features) if num_labels is None else min(len(features), num_labels)
    label, slot = jnp.unique(
        keys, return_inverse=True, size=size, fill_value=jnp.inf, sorted=True
    )

    def total(values):
        return jax.ops.segment_sum(values, slot, num_segments=size)

    count = total(mask)
    rows = jnp.maximum(count, 1)
    mean = total(features) / rows[:, None]
    if reading == "prototype":
        norm = numerics.norms(mean)
    else:
        norm = total(mask * numerics.norms(features)) / rows
    return Prototypes(jnp.where(count > 0, label, 0), count, mean, norm, slot)


class Memory(NamedTuple):
    """Prototypes of all labels; zeros for unseen labels.

    Attributes:
      seen: `[labels]` 1 for known labels, otherwise 0.
      mean: `[labels, dim]` mean feature.
      norm: `[labels]` mean of norms.
    """

    seen: jax.Array
    mean: jax.Array
    norm: jax.Array


def of_data(moments: Moments) -> Memory:
    """The prototypes of a data set.

    Args:
      moments: its feature moments.

    Returns:
      One row for each bin.
    """
    seen = (moments.count > 0).astype(moments.mean.dtype)
    return Memory(seen, moments.mean, moments.norm / jnp.maximum(moments.count, 1))


def norms(memory: Memory, *, reading: str = "prototype") -> jax.Array:
    """Norms of the prototypes in memory.

    Args:
      memory: the memory of all labels.
      reading: see `prototypes`.

    Returns:
      `[labels]`, 0 for unknown labels.

    Raises:
      ValueError: for an unknown reading.
    """
    checks.one_of("reading", reading, READINGS)
    return numerics.norms(memory.mean) if reading == "prototype" else memory.norm


def recall(
    found: Prototypes, memory: Memory, *, momentum: float, reading: str = "prototype"
) -> tuple[Prototypes, Memory]:
    """Prototypes of all labels: the batch's, combined with those in memory.

    Args:
      found: prototypes of a batch, labels 0 to `labels - 1`, with the same reading.
      memory: the memory before the batch.
      momentum: share of the old memory for labels in the batch, 0 to 1; 1 does not
        change the memory.
      reading: see `prototypes`.

    Returns:
      Prototypes with one slot for each label, with the batch's `count`, 0 for all other
      labels; and the memory after the batch, constant for gradients, whose `seen` marks
      known prototypes.

    Raises:
      ValueError: for an unknown reading, or shapes that do not fit.

    Example:
      >>> memory = Memory(jnp.ones(3), jnp.ones((3, 2)), jnp.ones(3))
      >>> batch = prototypes(jnp.array([[3.0, 0.0], [0.0, 4.0]]), jnp.array([2, 0]))
      >>> found, memory = recall(batch, memory, momentum=0.5)
      >>> found.mean.tolist(), found.count.tolist()
      ([[0.5, 2.5], [1.0, 1.0], [2.0, 0.5]], [1.0, 0.0, 1.0])
    """
    checks.one_of("reading", reading, READINGS)
    checks.check_shapes(
        seen=(memory.seen, "labels"),
        mean=(memory.mean, "labels dim"),
        found=(found.mean, "slots dim"),
    )
    num = len(memory.seen)
    # Empty slots of the batch index past the end and are dropped.
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
        norm, mean_norm = numerics.norms(mean), memory.norm
    else:
        norm = mean_norm = blend(memory.norm, spread(found.norm))
    seen = jnp.maximum(memory.seen, (count > 0).astype(memory.seen.dtype))
    label = jnp.arange(num, dtype=found.label.dtype)
    slot = place[jnp.minimum(found.slot, len(place) - 1)]
    after = jax.lax.stop_gradient(Memory(seen, mean, mean_norm))
    return Prototypes(label, count, mean, norm, slot), after
