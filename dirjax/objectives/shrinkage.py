"""Shrinkage loss: squared errors that shrink where the error is small.

    L = e^2 / (1 + exp(a (c - |e|))),  times exp(y) in its first use (here: weights)

The sigmoid is near 0 below the error `c`, which easy examples have, and near 1 above;
`a` says how fast it rises. Large errors keep the squared error.

"Deep Regression Tracking with Shrinkage Loss", Lu et al., ECCV 2018.
https://openaccess.thecvf.com/content_ECCV_2018/html/Xiankai_Lu_Deep_Regression_Tracking_ECCV_2018_paper.html

**Deviations**:

- Errors are in deviations of the training labels, so that `a` and `c` serve labels of
  any unit. In the paper labels are from 0 to 1, a is 10 and c is 0.2; so are the
  defaults here.
- The paper multiplies by exp(y) to weight targets near 1, which are rare there. For
  rare labels elsewhere the weights are those of `reweight` and `lds`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base


def shrinkage_loss(
    predictions: jax.Array, labels: jax.Array, *, speed: float = 10.0, at: float = 0.2
) -> jax.Array:
    """Squared error times a sigmoid of the error, elementwise.

    Args:
      predictions: `[batch]`, `[batch, labels]` or `[batch, height, width]`.
      labels: same shape.
      speed: a, above 0.
      at: c, from 0: the error where half of the squared error is left.

    Returns:
      One value per label, same shape.

    Raises:
      ValueError: for an option out of range, or if the shapes differ.

    Example:
      >>> loss = shrinkage_loss(jnp.array([0.2, 3.0]), jnp.zeros(2))
      >>> [f"{x:.2f}" for x in loss]
      ['0.02', '9.00']
    """
    checks.check_elementwise(predictions, labels)
    checks.positive("speed", speed)
    checks.positive("at", at, zero=True)
    error = predictions - labels
    # The sigmoid may have any slope at 0, where the square has none.
    size = jnp.maximum(error, -error)
    return jnp.square(error) * jax.nn.sigmoid(speed * (size - at))


def make(*, speed: float = 10.0, at: float = 0.2) -> base.Objective:
    """The shrinkage loss as a term, in place of another loss of the prediction.

    Args:
      speed: see `shrinkage_loss`, in deviations of the training labels.
      at: see `shrinkage_loss`.

    Returns:
      An objective whose state holds `unit`, the deviation of the training labels.
      Losses are in squared deviations.

    Raises:
      ValueError: for an option out of range.
    """
    checks.positive("speed", speed)
    checks.positive("at", at, zero=True)

    def elementwise(outputs, labels, unit):
        # The difference comes first: quotients of large labels are rounded.
        error = (outputs.prediction - labels) / unit
        return shrinkage_loss(error, jnp.zeros_like(error), speed=speed, at=at)

    return base.in_deviations(elementwise)
