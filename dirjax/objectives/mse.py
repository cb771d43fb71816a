"""MSE: squared error, the vanilla loss for text similarity and depth.

"Delving into Deep Imbalanced Regression", Yang et al., ICML 2021.
https://arxiv.org/abs/2102.09554

**Deviations**: none known. There is no factor 1/2, and the mean over a batch is over
examples and is not divided by the sum of weights (`base.term`), both as there. The
published text similarity runs divide labels by 5 first; here the data set does so
or not.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base


def mse_loss(predictions: jax.Array, labels: jax.Array) -> jax.Array:
    """Squared error `(prediction - label)^2`, elementwise.

    Args:
      predictions: `[batch]` float, in label units; of several labels a row
        `[batch, labels]`, of dense tasks `[batch, height, width]`.
      labels: same shape.

    Returns:
      One value per label, same shape, in squared label units.

    Raises:
      ValueError: if the shapes differ or are of another rank.

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
