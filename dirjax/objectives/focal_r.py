"""Focal-R: scales small errors down.

"Delving into Deep Imbalanced Regression", Yang et al., ICML 2021, section 4.
https://arxiv.org/abs/2102.09554

**Deviations**:

- The paper writes the factor as `sigmoid(|beta e|)^gamma`. The published code, followed
  here, rescales it to `(2 sigmoid(beta |e|) - 1)^gamma`, which is 0 at `e = 0`. The
  rescaled sigmoid is `tanh(beta |e| / 2)`: the two activations differ by a factor 2
  in `beta`.
- `beta` is per bin by default (`unit="bin"`): the error in the factor, and only there,
  is divided by the bin width. Published values are per label unit, 0.2 for ages, where
  a bin is one year and the two agree. For text similarity the published 20 assumes
  labels divided by 5: use `beta=4, unit="label"` for labels in 0..5.
- Below `gamma = 1` the gradient of the published code is NaN at zero error; here it
  is 0.
- In several repositories derived from the published code, weights are passed to the
  wrong argument and this loss ignores them. Here all options are keywords and
  `batch["weight"]` applies.

As published, the gradient flows through the factor.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base

_SCALE = {"sigmoid": 0.5, "tanh": 1.0}


def _focal(
    power: int,
    predictions: jax.Array,
    labels: jax.Array,
    beta: float | jax.Array,
    gamma: float,
    activation: str,
) -> jax.Array:
    """`|e|^power * factor(|e|)^gamma`; finite gradient at `e = 0`."""
    checks.check_elementwise(predictions, labels)
    checks.one_of("activation", activation, _SCALE)
    if gamma < 0:
        raise ValueError(
            f"gamma of Focal-R must not be negative, got {gamma}. Use 0 for the plain "
            "loss."
        )
    error = predictions - labels
    error = jnp.maximum(error, -error)  # Slope 0 at 0, where jnp.abs has slope 1.
    factor = jnp.tanh(_SCALE[activation] * beta * error)
    # The slope of x^gamma at 0 is infinite for gamma < 1, so keep the power away from
    # 0.
    zero = factor <= 0
    safe = jnp.where(zero, 1.0, factor) ** gamma
    return jnp.where(zero, float(gamma == 0), safe) * error**power


def focal_l1_loss(
    predictions: jax.Array,
    labels: jax.Array,
    *,
    beta: float | jax.Array = 0.2,
    gamma: float = 1.0,
    activation: str = "sigmoid",
) -> jax.Array:
    """Focal-R on the absolute error, elementwise: `|e| g(|e|)`.

    `g(e) = (2 sigmoid(beta e) - 1)^gamma` or `tanh(beta e)^gamma`.

    Args:
      predictions: `[batch]` float, in label units; `[batch, labels]` for several labels
        per row, `[batch, height, width]` for dense tasks.
      labels: same shape.
      beta: slope of the factor, per label unit; scalar, may be traced.
      gamma: power of the factor, not negative; 0 gives the plain loss.
      activation: `"sigmoid"` or `"tanh"`.

    Returns:
      One value per label, same shape.

    Raises:
      ValueError: if the shapes differ or have an unsupported rank, for an unknown
        activation or a negative gamma.

    Example:
      >>> f"{focal_l1_loss(jnp.array([2.0]), jnp.array([0.0]))[0]:.4f}"
      '0.3948'
    """
    return _focal(1, predictions, labels, beta, gamma, activation)


def focal_mse_loss(
    predictions: jax.Array,
    labels: jax.Array,
    *,
    beta: float | jax.Array = 0.2,
    gamma: float = 1.0,
    activation: str = "sigmoid",
) -> jax.Array:
    """Focal-R on the squared error, elementwise: `e^2 g(|e|)`.

    `g(e) = (2 sigmoid(beta e) - 1)^gamma` or `tanh(beta e)^gamma`.

    Args:
      predictions: `[batch]` float, in label units; `[batch, labels]` for several labels
        per row, `[batch, height, width]` for dense tasks.
      labels: same shape.
      beta: slope of the factor, per label unit; scalar, may be traced.
      gamma: power of the factor, not negative; 0 gives the plain loss.
      activation: `"sigmoid"` or `"tanh"`.

    Returns:
      One value per label, same shape, in squared label units.

    Raises:
      ValueError: if the shapes differ or have an unsupported rank, for an unknown
        activation or a negative gamma.

    Example:
      >>> f"{focal_mse_loss(jnp.array([2.0]), jnp.array([0.0]))[0]:.4f}"
      '0.7895'
    """
    return _focal(2, predictions, labels, beta, gamma, activation)


_FORMS = {"l1": focal_l1_loss, "mse": focal_mse_loss}


def make(
    *,
    form: str = "l1",
    beta: float = 0.2,
    gamma: float = 1.0,
    activation: str = "sigmoid",
    unit: str = "bin",
) -> base.Objective:
    """Focal-R as a term.

    Args:
      form: `"l1"` or `"mse"`.
      beta: slope of the factor, per `unit`.
      gamma: power of the factor.
      activation: `"sigmoid"` or `"tanh"`.
      unit: `"bin"` measures errors in the factor in (mean) bin widths, so that one
        `beta` serves labels of any scale; `"label"` in label units, as published.

    Returns:
      An objective whose state holds `width`, the unit in label units, a scalar.

    Raises:
      ValueError: for an unknown form, activation or unit.

    Example:
      >>> make(form="mse", unit="label").init(jax.random.key(0), None).state
      {'width': Array(1., dtype=float32)}
    """
    checks.one_of("form", form, _FORMS)
    checks.one_of("activation", activation, _SCALE)
    checks.one_of("unit", unit, ("bin", "label"))

    def init(key, spec):
        del key
        width = 1.0
        if unit == "bin":
            width = spec.bins.mean_width
        return base.Variables({}, {"width": jnp.asarray(width, float)})

    def loss(variables, view, batch, key):
        slope = beta / variables.state["width"]
        weighted = base.term(
            lambda view, batch: _FORMS[form](
                view.outputs.prediction,
                batch["label"],
                beta=slope,
                gamma=gamma,
                activation=activation,
            )
        )
        return weighted.loss(variables, view, batch, key)

    return base.Objective(init, loss)
