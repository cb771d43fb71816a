"""MSE: squared error, the vanilla loss for text similarity and depth.

"Delving into Deep Imbalanced Regression", Yang et al., ICML 2021.
https://arxiv.org/abs/2102.09554

**Deviations**: none known. As in the published code, there is no factor 1/2, and the
mean over a batch divides by the number of examples, not by the sum of weights
(`base.term`). The published text similarity runs divide labels by 5 first; here that is
up to the data set.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base


def mse_loss(predictions: jax.Array, labels: jax.Array) -> jax.Array:
    """Squared error `(prediction - label)^2`, elementwise.

    Args:
      predictions: `[batch]` float, in label units; `[batch, labels]` for several labels
        per row, `[batch, height, width]` for dense tasks.
      labels: same shape.

    Returns:
      One value per label, same shape, in squared label units.

    Raises:
      ValueError: if the shapes differ or have an unsupported rank.

    Example:
      >>> mse_loss(jnp.array([1.0, 5.0]), jnp.array([3.0, 4.0])).tolist()
      [4.0, 1.0]
    """
    checks.check_elementwise(predictions, labels)
    return jnp.square(predictions - labels)


def make() -> base.Objective:
    """The squared error as a term."""
    return base.term(
        lambda view, batch: mse_loss(view.outputs.prediction, batch["label"])
    )
