"""Gaussian: negative log likelihood of a normal distribution, and its beta form.

    L = s^(2 beta) (log s + (y - m)^2 / (2 s^2))

for the centre `m` and the deviation `s` of the head `gaussian`. `beta` makes the factor
in front, which gets no gradient: 0 is the likelihood; 1 gives the centre the gradient
of the squared error; 0.5, between them, is the authors' advice.

"Estimating the Mean and Variance of the Target Probability Distribution", Nix and
Weigend, ICNN 1994. https://doi.org/10.1109/ICNN.1994.374138 With beta: "On the Pitfalls
of Heteroscedastic Uncertainty Estimation with Probabilistic Neural Networks", Seitzer
et al., ICLR 2022. https://arxiv.org/abs/2203.09168

**Deviations**:

- Labels, centres and deviations are divided by the deviation of the training labels, so
  that learning rates and `beta` serve labels of any scale.
- The constant `log(2 pi) / 2` is left out.
- Deviations have a floor, `models/distribution_heads.py:FLOOR`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base

HEAD = "gaussian"


def gaussian_loss(
    center: jax.Array, deviation: jax.Array, labels: jax.Array, *, beta: float = 0.0
) -> jax.Array:
    """Negative log likelihood, times the deviation to the power `2 beta`, elementwise.

    Args:
      center: `[batch]`, or `[batch, height, width]`.
      deviation: same shape, above 0.
      labels: same shape.
      beta: from 0 to 1; the factor gets no gradient.

    Returns:
      One value per label, same shape.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> ones = jnp.ones(1)
      >>> f"{gaussian_loss(3 * ones, 2 * ones, ones)[0]:.3f}"
      '1.193'
    """
    checks.check_elementwise(center, labels)
    checks.check_elementwise(deviation, labels)
    error = (labels - center) / deviation
    loss = jnp.log(deviation) + 0.5 * error**2
    if beta:
        loss = loss * jax.lax.stop_gradient(deviation) ** (2 * beta)
    return loss


def make(*, beta: float = 0.0) -> base.Objective:
    """The likelihood of the head's Gaussian as a term.

    Args:
      beta: from 0 to 1, see `gaussian_loss`.

    Returns:
      An objective whose state holds `unit`, the deviation of the training labels.

    Raises:
      ValueError: for a beta out of range; in a step, for another head.
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"beta must be a number from 0 to 1, got {beta!r}.")

    def elementwise(outputs, labels, unit):
        if not hasattr(outputs, "deviation"):
            raise ValueError("the term gaussian needs model.head='gaussian'.")
        # The difference comes first: quotients of large labels are rounded.
        error, deviation = (outputs.center - labels) / unit, outputs.deviation / unit
        return gaussian_loss(error, deviation, jnp.zeros_like(error), beta=beta)

    return base.in_deviations(elementwise)
