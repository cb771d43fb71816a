"""Quantile: pinball loss of quantiles at several levels.

    L = mean_k max(t_k (y - v_k), (t_k - 1) (y - v_k))

for the values `v_k` of the head `quantile` at levels `t_k`. With one level of 1/2 it is
half the absolute error.

"Regression Quantiles", Koenker and Bassett, Econometrica 1978.
https://doi.org/10.2307/1913643

**Deviations**:

- Errors are divided by the deviation of the training labels, so that learning rates
  serve labels of any scale.
- All levels share one network, whose quantiles cannot cross.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dirjax.objectives import base
from dirjax.ops import densities

HEAD = "quantile"


def pinball_loss(values: jax.Array, levels: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean pinball loss over levels, elementwise.

    Args:
      values: `[..., levels]`, predicted quantiles.
      levels: `[levels]`, between 0 and 1.
      labels: `[...]`.

    Returns:
      One value per label, `[...]`.

    Raises:
      ValueError: if the shapes do not fit.

    Example:
      >>> values, levels = jnp.array([[0.0, 2.0]]), jnp.array([0.25, 0.5])
      >>> pinball_loss(values, levels, jnp.array([1.0])).tolist()
      [0.375]
    """
    if values.shape != (*labels.shape, *levels.shape):
        raise ValueError(
            "values must have one number for each label and level, got shape "
            f"{values.shape} for labels {labels.shape} and levels {levels.shape}."
        )
    error, levels = labels[..., None] - values, densities.along(levels, values, jnp)
    return jnp.mean(jnp.maximum(levels * error, (levels - 1) * error), axis=-1)


def make() -> base.Objective:
    """The pinball loss of the head's quantiles as a term.

    Returns:
      An objective whose state holds `unit`, the deviation of the training labels.

    Raises:
      ValueError: in a step, for another head.
    """

    def elementwise(outputs, labels, unit):
        if not hasattr(outputs, "levels"):
            raise ValueError("the term quantile needs model.head='quantile'.")
        return pinball_loss(outputs.values, outputs.levels, labels) / unit

    return base.in_deviations(elementwise)
