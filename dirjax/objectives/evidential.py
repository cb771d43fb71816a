"""Evidential regression: likelihood of a label under uncertain mean and variance.

    L = -log t(y; 2 alpha, gamma, s^2) + c |y - gamma| (2 nu + alpha)
    s^2 = beta (1 + nu) / (nu alpha)

for the head `evidential`, which predicts `gamma`, `nu`, `alpha` and `beta` of a
normal-inverse-gamma distribution; the first part is the negative log likelihood under
Student's t, the second takes evidence away from wrong predictions.

"Deep Evidential Regression" (DER), Amini et al., NeurIPS 2020.
https://arxiv.org/abs/1910.02600 With weights on the evidence, the head of VIR:
"Variational Imbalanced Regression: Fair Uncertainty Quantification via Probabilistic
Smoothing", Wang and Wang, NeurIPS 2023. https://arxiv.org/abs/2306.06599

In VIR a row predicts the evidence `n` of its label, and its weight by label frequency
counts evidence, not loss (`weigh="evidence"`):

    nu = w n,  alpha = 0.3 + w n / 2

**Deviations** and readings:

- Errors are in deviations of the training labels, so that `c` serves labels of any
  unit. The likelihood differs from that in label units by the logarithm of the unit.
- Weights above or below 1 change the evidence in training only, as in the public code,
  where small weights make `alpha < 1` and the variance negative; here the scale of the
  t distribution, which is always positive, is what is reported. `nu` counts as 1e-3 at
  least, for weights of 0.
- For DER, weights multiply the loss of a row; there are none in the paper.
- The term KL of VIR's code is commented out there, and the affine calibration of three
  numbers after training is left out: intervals are calibrated on the validation split
  in any case (`correct/conformal.py`). The reconstruction of images needs a decoder and
  is left out, too.
- A floor of 1e-3 for `nu` and 1e-6 for `beta` keeps logarithms finite.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base
from dirjax.ops.numerics import log_gamma_step

HEAD = "evidential"
WEIGHS = ("loss", "evidence")
_LEAST = 1e-3


def nig_nll(
    labels: jax.Array,
    gamma: jax.Array,
    nu: jax.Array,
    alpha: jax.Array,
    beta: jax.Array,
) -> jax.Array:
    """Negative log likelihood of labels, elementwise.

    Args:
      labels: `[...]`.
      gamma: same shape.
      nu: same shape, above 0.
      alpha: same shape, above 0.
      beta: same shape, above 0, in squared units of the labels.

    Returns:
      Same shape.

    Raises:
      ValueError: if shapes differ.

    Example:
      >>> y, gamma, nu, alpha, beta = jnp.array([[3.0], [2.0], [4.0], [2.3], [1.5]])
      >>> f"{nig_nll(y, gamma, nu, alpha, beta)[0]:.4f}"
      '1.5326'
    """
    for x in (gamma, nu, alpha, beta):
        checks.check_elementwise(x, labels)
    omega = 2 * beta * (1 + nu)
    far = (alpha + 0.5) * jnp.log1p(nu * jnp.square(labels - gamma) / omega)
    return 0.5 * jnp.log(jnp.pi * omega / nu) + far + log_gamma_step(alpha)


def nig_regulariser(
    labels: jax.Array, gamma: jax.Array, nu: jax.Array, alpha: jax.Array
) -> jax.Array:
    """Error times evidence, `|y - gamma| (2 nu + alpha)`, elementwise.

    Args:
      labels: `[...]`.
      gamma: same shape.
      nu: same shape.
      alpha: same shape.
    """
    error = labels - gamma
    # The slope at an error of 0 is that of one side, as in l1.
    return jnp.maximum(error, -error) * (2 * nu + alpha)


def weighted_evidence(
    nu: jax.Array, alpha: jax.Array, weights: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """`nu` and `alpha` where the evidence of a row counts `weights` times.

    Args:
      nu: `[...]`, the evidence `n`.
      alpha: same shape, `alpha0 + n / 2`.
      weights: same shape, from 0.

    Returns:
      `w n` and `alpha0 + w n / 2`.

    Example:
      >>> one = jnp.ones(1)
      >>> [float(x[0]) for x in weighted_evidence(4 * one, 2.5 * one, 0.5 * one)]
      [2.0, 1.5]
    """
    new = jnp.maximum(weights * nu, _LEAST)
    return new, alpha + (new - nu) / 2


def make(*, coefficient: float = 0.01, weigh: str = "loss") -> base.Objective:
    """The evidential loss as a term.

    Args:
      coefficient: `c`, at least 0.
      weigh: what weights of rows multiply, "loss" or "evidence"; the latter for the
        form "conjugate" of the head.

    Returns:
      An objective whose state holds `unit`, the deviation of the training labels, and
      which logs `evidential/nu`, the mean evidence.

    Raises:
      ValueError: for an option out of range; in a step, for another head.
    """
    checks.positive("coefficient", coefficient, zero=True)
    checks.one_of("weigh", weigh, WEIGHS)

    def init(key, spec):
        del key
        return base.Variables({}, {"unit": jnp.float32(spec.label_std or 1.0)})

    def loss(variables, view, batch, key):
        del key
        outputs, unit = view.outputs, variables.state["unit"]
        if not hasattr(outputs, "nu"):
            raise ValueError("the term evidential needs model.head='evidential'.")
        nu, alpha, weight = outputs.nu, outputs.alpha, batch["weight"]
        if weigh == "evidence":
            if not outputs.conjugate:
                raise ValueError(
                    "weigh='evidence' needs model.head_options.form='conjugate', where "
                    "alpha follows from the evidence. Use the preset vir."
                )
            nu, alpha = weighted_evidence(nu, alpha, weight)
            weight = jnp.ones_like(weight)
        # The difference comes first: quotients of large labels are rounded.
        error = (outputs.center - batch["label"]) / unit
        zero = jnp.zeros_like(error)
        value = nig_nll(zero, error, nu, alpha, outputs.beta / unit**2)
        value = value + coefficient * nig_regulariser(zero, error, nu, alpha)
        total = base.masked_mean(value * weight, batch["mask"])
        evidence = jnp.sum(jnp.where(batch["mask"] > 0, nu, 0.0))
        metrics = {"evidential/nu": (evidence, jnp.sum(batch["mask"]))}
        return base.Outcome(total, variables.state, metrics)

    return base.Objective(init, loss)
