"""The norm line: maps a label to the norm of its features, fitted on many-shot labels.

Phase 2 of the Frobenius-norm method. With the network frozen, a line is fitted to the
norms of many-shot labels and gives target norms of the others:

    f(y) = max(0, w y + b)       least squares, closed form ("closed")
    f(y) = softplus(w y + b)     trained by gradients ("sgd")

"Enhancing Deep Imbalanced Regression via Frobenius Norm Regularization", anonymous
authors, ICLR 2026 submission. https://openreview.net/forum?id=6XpSwo3ZCe

**Deviations** and readings:

- The input is the label (its reviews; the author's public code), not the feature.
- "closed" is not in any source. The published rate (1e-4 for about twenty epochs in
  batches of four) moves a weight by only 0.03 in total, too little to fit a line. Both
  forms standardise label and norm over the fitted labels; "sgd" starts from the mean
  norm for all labels, and its rate of 1e-2 is our choice.
- "sgd" is Adam on mean squared errors, as in the author's code, without its weight
  decay of 1e-4.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dirjax import checks
from dirjax.ops import numerics

FITS = ("closed", "sgd")


class Line(NamedTuple):
    """A line before the positivity constraint; both are scalars.

    Attributes:
      slope: norm per label unit.
      intercept: norm at label 0.
    """

    slope: jax.Array
    intercept: jax.Array


def predict(line: Line, labels: jax.Array, *, fit: str = "closed") -> jax.Array:
    """Norms of labels.

    Args:
      line: fitted.
      labels: any shape.
      fit: "closed" clips at 0, "sgd" applies softplus.

    Returns:
      Same shape, non-negative.

    Raises:
      ValueError: for an unknown fit.

    Example:
      >>> predict(Line(jnp.float32(2.0), jnp.float32(-3.0)), jnp.arange(3.0)).tolist()
      [0.0, 0.0, 1.0]
    """
    checks.one_of("fit", fit, FITS)
    raw = line.slope * labels + line.intercept
    return jnp.maximum(raw, 0) if fit == "closed" else jax.nn.softplus(raw)


class _Scale(NamedTuple):
    """Values standardised by the weighted mean and deviation."""

    values: jax.Array
    mean: jax.Array
    deviation: jax.Array


def _standardise(values: jax.Array, weight: jax.Array) -> _Scale:
    total = jnp.maximum(jnp.sum(weight), 1)
    mean = jnp.sum(weight * values) / total
    variance = jnp.sum(weight * (values - mean) ** 2) / total
    some = variance > 0
    deviation = jnp.where(some, jnp.sqrt(jnp.where(some, variance, 1)), 1)
    return _Scale((values - mean) / deviation, mean, deviation)


def _checked(labels, norms, real) -> tuple[jax.Array, jax.Array, jax.Array]:
    checks.check_shapes(labels=(labels, "n"), norms=(norms, "n"), real=(real, "n"))
    # Entries that do not count may be any number.
    some = real > 0
    return (
        jnp.where(some, labels, 0),
        jnp.where(some, norms, 0),
        jnp.where(some, 1.0, 0.0),
    )


def fit_closed(labels: jax.Array, norms: jax.Array, real: jax.Array) -> Line:
    """Fits a line by least squares.

    Args:
      labels: `[n]` float.
      norms: `[n]` float.
      real: `[n]`, 1 for labels to fit, 0 for the others.

    Returns:
      The line; flat with fewer than two labels, and 0 without any.

    Raises:
      ValueError: if shapes do not fit.

    Example:
      >>> y = jnp.array([0.0, 2.0, 8.0])
      >>> line = fit_closed(y, jnp.array([1.0, 2.0, 99.0]), jnp.array([1, 1, 0]))
      >>> float(line.slope), float(line.intercept)
      (0.5, 1.0)
    """
    labels, norms, weight = _checked(labels, norms, real)
    x, y = _standardise(labels, weight), _standardise(norms, weight)
    # For standardised values the slope is the correlation.
    total = jnp.maximum(jnp.sum(weight), 1)
    correlation = jnp.sum(weight * x.values * y.values) / total
    slope = correlation * y.deviation / x.deviation
    return Line(slope, y.mean - slope * x.mean)


def fit_sgd(
    key: jax.Array,
    labels: jax.Array,
    norms: jax.Array,
    real: jax.Array,
    *,
    epochs: float = 20.0,
    steps: int = 0,
    learning_rate: float = 1e-2,
    batch_size: int = 4,
) -> Line:
    """Fits the line inside a softplus with Adam in batches.

    Args:
      key: random key of the label order.
      labels: `[n]` float.
      norms: `[n]` float, above 0.
      real: `[n]`, 1 for labels to fit, 0 for the others.
      epochs: passes over the fitted labels.
      steps: number of batches; takes precedence if not 0.
      learning_rate: for weights that map standardised labels to standardised norms.
      batch_size: labels in a batch; the last of an epoch may hold fewer.

    Returns:
      The line; with no steps it gives the mean norm everywhere.

    Raises:
      ValueError: if shapes do not fit.
    """
    labels, norms, weight = _checked(labels, norms, real)
    x, y = _standardise(labels, weight), _standardise(norms, weight)
    # Its softplus is the mean norm.
    mean = jnp.maximum(y.mean, 1e-6)
    middle = mean + jnp.log(-jnp.expm1(-mean))
    many = jnp.sum(weight).astype(jnp.int32)
    per_epoch = jnp.maximum(-(-many // batch_size), 1)
    length = steps or jnp.ceil(epochs * per_epoch).astype(jnp.int32)
    adam = optax.adam(learning_rate)

    def loss(line, rows, inside):
        norm = jax.nn.softplus(
            middle + y.deviation * (line.slope * x.values[rows] + line.intercept)
        )
        return numerics.masked_mean(((norm - norms[rows]) / y.deviation) ** 2, inside)

    def body(step, carry):
        line, moments = carry
        chance = jax.random.uniform(
            jax.random.fold_in(key, step // per_epoch), labels.shape
        )
        # Fitted labels first, in random order; the last batch may reach beyond them.
        order = jnp.argsort(jnp.where(weight > 0, chance, 2.0))
        place = step % per_epoch * batch_size + jnp.arange(batch_size)
        rows = order[jnp.minimum(place, len(order) - 1)]
        inside = (place < many).astype(weight.dtype)
        gradient = jax.grad(loss)(line, rows, inside)
        update, moments = adam.update(gradient, moments)
        return optax.apply_updates(line, update), moments

    start = Line(jnp.zeros_like(mean), jnp.zeros_like(mean))
    line, _ = jax.lax.fori_loop(0, length, body, (start, adam.init(start)))
    slope = y.deviation * line.slope / x.deviation
    return Line(slope, middle + y.deviation * line.intercept - slope * x.mean)
