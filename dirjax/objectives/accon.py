"""ACCon: contrast in which the angle to a negative should follow the label distance.

With angles `theta_ij` between features and rows of one label as positives P(i),

    L = -mean_i mean_{j in P(i)} (cos theta_ij / t - log sum_{k != i} exp(c_ik / t))
    c_ik = cos theta_ik for positives, else cos(theta_ik + phi_ik)
    phi_ik = pi (1 - |y_i - y_k| / R)

where R is the range of the labels. A negative no longer counts once its angle is
`pi |y_i - y_k| / R`, so features come to lie on half a circle in the order of labels.

"ACCon: Angle-Compensated Contrastive Regularizer for Deep Regression", Zhao et al.,
AAAI 2025. https://arxiv.org/abs/2501.07045

**Deviations** and readings:

- Written from the formula; the paper's own numbers of temperature and weight were not
  checked, and there are no golden numbers. Temperature 0.07 is that of supervised
  contrast.
- Positives are rows of one label bin, distances those of labels. Positives take no
  compensation, though their labels may differ.
- The sine of an angle is `sqrt(1 - cos^2)`, with gradient 0 where it is 0; the public
  code adds a small number under the root. The row itself is not in the denominator.
- A row without positives does not count; there it counts 1 (a small number over
  itself) without gradient.
- Batch weights do not enter.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base
from dirjax.ops.numerics import gram, masked_mean, unit

_LOWEST = -1e30
# Squared sines below this are float32 rounding.
_FLAT = 1e-6


def accon_loss(
    features: jax.Array,
    labels: jax.Array,
    bins: jax.Array,
    *,
    span: float | jax.Array,
    temperature: float = 0.07,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Supervised contrast with angles of negatives compensated by label distance.

    Args:
      features: `[batch, dim]` float.
      labels: `[batch]` float.
      bins: `[batch]` int; rows of one bin are positives.
      span: R, range of the labels, above 0; larger distances count as it.
      temperature: divides cosines, above 0.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.

    Returns:
      Scalar, the mean over rows with positives; 0 without any.

    Raises:
      ValueError: for a temperature not above 0, or shapes that do not fit.

    Example:
      >>> z = jnp.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
      >>> y, bins = jnp.array([0.0, 0.0, 9.0]), jnp.array([0, 0, 9])
      >>> f"{accon_loss(z, y, bins, span=9.0, temperature=1.0):.4f}"
      '0.1269'
    """
    checks.check_shapes(
        features=(features, "b d"),
        labels=(labels, "b"),
        bins=(bins, "b"),
        mask=(mask, "b"),
    )
    checks.positive("temperature", temperature)
    size = len(features)
    real = jnp.ones(size, bool) if mask is None else jnp.asarray(mask) > 0
    units = unit(jnp.where(real[:, None], features, 0))
    cosine = jnp.clip(gram(units), -1, 1)
    square = 1 - cosine**2
    sine = jnp.where(square > _FLAT, jnp.sqrt(jnp.where(square > _FLAT, square, 1)), 0)
    labels = jax.lax.stop_gradient(jnp.where(real, labels, 0))
    apart = jnp.abs(labels[:, None] - labels[None]) / span
    phi = jnp.pi * (1 - jnp.minimum(apart, 1))
    compensated = cosine * jnp.cos(phi) - sine * jnp.sin(phi)
    pairs = real[:, None] & real[None] & ~jnp.eye(size, dtype=bool)
    same = pairs & (bins[:, None] == bins[None])
    logits = jnp.where(same, cosine, compensated) / temperature
    below = jax.nn.logsumexp(jnp.where(pairs, logits, _LOWEST), axis=1)
    count = jnp.sum(same, axis=1)
    above = jnp.sum(jnp.where(same, logits, 0), axis=1) / jnp.maximum(count, 1)
    counts = count > 0
    each = jnp.where(counts, jnp.where(counts, below, 0) - above, 0)
    return masked_mean(each, counts.astype(each.dtype))


def make(*, temperature: float = 0.07) -> base.Objective:
    """ACCon as a term beside a loss of the prediction.

    Args:
      temperature: see `accon_loss`.

    Returns:
      An objective whose state holds `span`, the range of the label bins.

    Raises:
      ValueError: for a temperature not above 0; in a step, for labels of pixels.
    """
    checks.positive("temperature", temperature)

    def init(key, spec):
        del key
        span = float(spec.bins.edges[-1] - spec.bins.edges[0])
        return base.Variables({}, {"span": jnp.float32(span)})

    def loss(variables, view, batch, key):
        del key
        base.check_one_per_row("accon", batch["label"])
        value = accon_loss(
            view.features,
            batch["label"],
            batch["bin"],
            span=variables.state["span"],
            temperature=temperature,
            mask=batch["mask"],
        )
        return base.Outcome(value, variables.state, {})

    return base.Objective(init, loss)
