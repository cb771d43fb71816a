"""Huber: squared error near zero, absolute error beyond `beta`.

"Robust Estimation of a Location Parameter", Huber, Annals of Mathematical
Statistics 1964. https://doi.org/10.1214/aoms/1177703732. As a baseline for imbalanced
regression: "Delving into Deep Imbalanced Regression", Yang et al., ICML 2021.
https://arxiv.org/abs/2102.09554

**Deviations**: this is the form of Yang et al., Huber's loss divided by `beta` (called
smooth L1 elsewhere), with slope 1 for large errors. `optax.huber_loss(delta)` is
`delta` times it. The published `beta` is 1 for ages and 0.3 for text similarity, in
label units.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base


def huber_loss(
    predictions: jax.Array, labels: jax.Array, *, beta: float = 1.0
) -> jax.Array:
    """Huber loss in its smooth L1 form, elementwise.

    With `e = |prediction - label|`: `e^2 / (2 beta)` if `e < beta`, else
    `e - beta / 2`.

    Args:
      predictions: `[batch]` float, in label units; `[batch, labels]` for several labels
        per row, `[batch, height, width]` for dense tasks.
      labels: same shape.
      beta: error at which the two parts meet, in label units, above 0.

    Returns:
      One value per label, same shape.

    Raises:
      ValueError: if the shapes differ or have an unsupported rank, or `beta <= 0`.

    Example:
      >>> huber_loss(jnp.array([1.0, 5.0]), jnp.array([3.0, 4.5]), beta=1.0).tolist()
      [1.5, 0.125]
    """
    checks.check_elementwise(predictions, labels)
    if beta <= 0:
        raise ValueError(
            f"beta of the Huber loss must be above 0, got {beta}. Use the l1 loss for "
            "the limit beta = 0."
        )
    error = predictions - labels
    error = jnp.maximum(error, -error)  # Slope 0 at 0, where jnp.abs has slope 1.
    return jnp.where(error < beta, 0.5 * error**2 / beta, error - 0.5 * beta)


def make(*, beta: float = 1.0) -> base.Objective:
    """The Huber loss as a term.

    Args:
      beta: where squared error turns into absolute error, in label units.
    """
    return base.term(
        lambda view, batch: huber_loss(
            view.outputs.prediction, batch["label"], beta=beta
        )
    )
