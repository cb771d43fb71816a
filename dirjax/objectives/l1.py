"""L1: absolute error, the vanilla loss for ages.

"Delving into Deep Imbalanced Regression", Yang et al., ICML 2021.
https://arxiv.org/abs/2102.09554

**Deviations**: none known. As in the published code, the mean over a batch divides by
the number of examples, not by the sum of weights (`base.term`).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base


def l1_loss(predictions: jax.Array, labels: jax.Array) -> jax.Array:
    """Absolute error `|prediction - label|`, elementwise.

    Args:
      predictions: `[batch]` float, in label units; `[batch, labels]` for several labels
        per row, `[batch, height, width]` for dense tasks.
      labels: same shape.

    Returns:
      One value per label, same shape. The gradient at zero error is 0.

    Raises:
      ValueError: if the shapes differ or have an unsupported rank.

    Example:
      >>> l1_loss(jnp.array([1.0, 5.0]), jnp.array([3.0, 4.0])).tolist()
      [2.0, 1.0]
    """
    checks.check_elementwise(predictions, labels)
    error = predictions - labels
    # Slope 0 at 0, where jnp.abs has slope 1.
    return jnp.maximum(error, -error)


def make() -> base.Objective:
    """The L1 loss as a term."""
    return base.term(
        lambda view, batch: l1_loss(view.outputs.prediction, batch["label"])
    )
