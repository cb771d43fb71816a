"""Prototypes: the mean feature of each label in a batch, and how long it is.

For the labels that a batch has, with `n_b` rows each,

    c_b = (1/n_b) sum_{i in b} z_i
    F_b = ||c_b||                        reading "prototype"
    F_b = (1/n_b) sum_{i in b} ||z_i||   reading "mean_of_norms"

The second is never less than the first, and on average over batches equal to that of
the whole set; the first falls with the rows that a prototype is the mean of. The
Frobenius norm of a vector is its L2 norm.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dirjax import geometry
from dirjax.objectives import base

READINGS = ("prototype", "mean_of_norms")


class Prototypes(NamedTuple):
    """One slot for each label in a batch, in ascending order; the rest is empty.

    Attributes:
      label: `[slots]` the label, 0 in empty slots.
      count: `[slots]` rows, 0 in empty slots.
      mean: `[slots, dim]` mean feature, 0 in empty slots.
      norm: `[slots]` F, 0 in empty slots.
      slot: `[batch]` int32, of each row; of padding, any.
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
      num_labels: how many labels there are at most, static; it saves slots.
      reading: "prototype" or "mean_of_norms", of the norms.

    Returns:
      As many slots as the batch has rows, or `num_labels` if that is less.

    Raises:
      ValueError: for an unknown reading, or shapes that do not fit.

    Example:
      >>> z = jnp.array([[3.0, 0.0], [0.0, 4.0], [1.0, 0.0]])
      >>> found = prototypes(z, jnp.array([7, 7, 2]))
      >>> found.label.tolist(), found.count.tolist(), found.norm.tolist()
      ([2.0, 7.0, 0.0], [1.0, 2.0, 0.0], [1.0, 2.5, 0.0])
    """
    base.check_shapes(
        features=(features, "b d"),
        labels=(labels, "b"),
        mask=None if mask is None else (mask, "b"),
    )
    check_reading(reading)
    kind = features.dtype
    mask = jnp.ones(len(features), kind) if mask is None else (mask > 0).astype(kind)
    features = jnp.where(mask[:, None] > 0, features, 0)
    # Padding sorts last, and falls out of full slots.
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
        norm = geometry.norms(mean)
    else:
        norm = total(mask * geometry.norms(features)) / rows
    return Prototypes(jnp.where(count > 0, label, 0), count, mean, norm, slot)


def check_reading(reading: str) -> None:
    """Raises ValueError unless there is such a reading."""
    if reading not in READINGS:
        raise ValueError(
            f"reading must be one of {', '.join(READINGS)}, got {reading!r}."
        )
