"""SupReMix: contrast with mixtures of features as harder negatives and positives.

For each row i, with similarities `l(z) = <z_i, z> / t` of normalised features,

    L_i = -(1/|P_i|) sum_{p in P_i} (l(p) - log sum_{q in P_i, N_i} w_iq exp(l(q)))

Positives are rows with the label of i (its other views among them), and mixtures
without i, `a z_j + (1 - a) z_k` with `y_j < y_i < y_k` and `a` such that the mixed
label is `y_i`. Negatives are rows with other labels, and mixtures with i,
`a z_i + (1 - a) z_k` with `a ~ Beta(2, 8)`. Weights `w = 1 + |y_i - y|` grow with the
distance of the (mixed) label.

"SupReMix: Supervised Contrastive Learning for Medical Imaging Regression with Mixup",
Wu et al., 2023. https://arxiv.org/abs/2309.16633

**Deviations** and readings:

- Mixtures have no gradient and are not normalised again, as in the public code; `a`
  multiplies row i.
- All terms share one sum of exponentials; the public code shifts rows and mixtures by
  maxima of their own, which changes how they count against one another.
- The mean is over the |P_i| positives; one of two public versions divides by one more.
- Mixtures without i are n^2 for each row, so n^3 in all; the public code takes all and
  splits batches. Here each row has `partners` of them, drawn with equal chances among
  rows below and above within `window`.
- Label distances, in the window and in the weights, are in label bins; rows have the
  same label if they are in one bin. A distance of `window` is outside, to rounding.
- A row without a positive does not count. Batch weights do not enter.
- Published: two views, 100 epochs of contrast alone, then a linear probe.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base
from dirjax.ops import numerics
from dirjax.ops.random import stream_key

_LOWEST = -1e30


def supremix_loss(
    features: jax.Array,
    labels: jax.Array,
    bins: jax.Array,
    key: jax.Array,
    *,
    mask: jax.Array | None = None,
    temperature: float = 0.3,
    window: float = 5.0,
    beta: tuple[float, float] = (2.0, 8.0),
    partners: int = 16,
) -> jax.Array:
    """Contrast with mixtures, a mean over rows that have a positive.

    Args:
      features: `[batch, dim]`; they are normalised.
      labels: `[batch]`, in bins.
      bins: `[batch]` int; rows of one bin have the same label.
      key: random key of the mixtures.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.
      temperature: `t`, above 0.
      window: the largest label distance of rows mixed to a positive.
      beta: of the Beta distribution of the share of row i in a negative, both above 0.
      partners: mixed positives of each row.

    Returns:
      Scalar; 0 if no row has a positive.

    Raises:
      ValueError: for an option out of range, or shapes that do not fit.

    Example:
      >>> z, y = jnp.eye(4), jnp.array([0.0, 0.0, 1.0, 2.0])
      >>> float(supremix_loss(z, y, y.astype(int), jax.random.key(0))) > 0
      True
    """
    checks.check_shapes(
        features=(features, "b d"),
        labels=(labels, "b"),
        bins=(bins, "b"),
        mask=(mask, "b"),
    )
    _check(temperature, window, beta, partners)
    if not len(features):
        return jnp.sum(features)
    real = jnp.ones(len(labels), bool) if mask is None else mask > 0
    features = jnp.where(real[:, None], features, 0)
    labels = jnp.where(real, labels, 0)
    norm = numerics.norms(features)[:, None]
    z = features / jnp.where(norm > 0, norm, 1)
    fixed = jax.lax.stop_gradient(z)
    place = jnp.arange(len(labels))
    others = real[None] & real[:, None] & (place[:, None] != place[None])
    same = bins[:, None] == bins[None]
    gaps, _ = numerics.gaps(labels)
    plain = numerics.gram(z) / temperature
    # Row i in a share of each negative: <z_i, a z_i + (1 - a) z_k>.
    share = _by_pair(key, len(labels), beta)
    own = jnp.sum(z * fixed, axis=1)[:, None]
    crossed = numerics.product(z, fixed.T)
    mixed = (share * own + (1 - share) * crossed) / temperature
    far = 1 + (1 - share) * gaps
    pairs, there = _between(key, labels, others, window, partners)
    (low, high), (below, above) = pairs, (labels[pairs[0]], labels[pairs[1]])
    part = (above - labels[:, None]) / jnp.maximum(above - below, 1e-12)
    inside = jnp.take_along_axis(crossed, low, axis=1) * part
    inside = (inside + jnp.take_along_axis(crossed, high, axis=1) * (1 - part)) / (
        temperature
    )
    positive, negative = others & same, others & ~same
    logits = jnp.concatenate([plain, mixed, inside], axis=1)
    weight = jnp.concatenate([1 + gaps, far, jnp.ones_like(inside)], axis=1)
    counts = jnp.concatenate([others, negative, there], axis=1)
    against = jax.nn.logsumexp(
        jnp.where(counts, logits + jnp.log(weight), _LOWEST), axis=1
    )
    pulled = jnp.concatenate([positive, jnp.zeros_like(positive), there], axis=1)
    number = jnp.sum(pulled, axis=1)
    mean = jnp.sum(jnp.where(pulled, logits, 0), axis=1) / jnp.maximum(number, 1)
    rows = jnp.where(number > 0, against - mean, 0)
    return numerics.masked_mean(rows, (number > 0).astype(rows.dtype))


def _check(
    temperature: float, window: float, beta: tuple[float, float], partners: int
) -> None:
    checks.positive("temperature", temperature)
    checks.positive("window", window)
    if len(beta) != 2 or not all(0 < x < math.inf for x in beta):
        raise ValueError(f"beta must be two numbers above 0, got {beta!r}.")
    checks.whole("partners", partners)


def _keys(key: jax.Array, name: str, rows: int) -> jax.Array:
    """A key for each row that does not depend on the number of rows."""
    return jax.vmap(jax.random.fold_in, (None, 0))(
        stream_key(key, name), jnp.arange(rows)
    )


def _by_pair(key: jax.Array, rows: int, beta: tuple[float, float]) -> jax.Array:
    """`[rows, rows]` shares, drawn for each pair."""

    def of_row(own):
        keys = jax.vmap(jax.random.fold_in, (None, 0))(own, jnp.arange(rows))
        return jax.vmap(lambda k: jax.random.beta(k, *beta))(keys)

    return jax.vmap(of_row)(_keys(key, "negatives", rows))


def _between(
    key: jax.Array, labels: jax.Array, others: jax.Array, window: float, number: int
) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    """Rows below and above each row within the window, `[rows, number]` each.

    And whether there are both, of the same shape.
    """
    gap = labels[None] - labels[:, None]
    size, rounding = numerics.gaps(labels)
    found = []
    for name, side in (("below", gap < 0), ("above", gap > 0)):
        near = others & side & (size < window - rounding)
        upto = jnp.cumsum(near, axis=1)
        keys = _keys(key, name, len(labels))
        draws = jax.vmap(lambda k: jax.random.uniform(k, (number,)))(keys)
        rank = jnp.floor(draws * upto[:, -1:]) + 1
        at = jax.vmap(jnp.searchsorted)(upto, rank.astype(upto.dtype))
        found.append((jnp.minimum(at, len(labels) - 1), upto[:, -1:] > 0))
    (low, some), (high, more) = found
    return (low, high), jnp.broadcast_to(some & more, low.shape)


def make(
    *,
    temperature: float = 0.3,
    window: float = 5.0,
    beta: tuple[float, float] = (2.0, 8.0),
    partners: int = 16,
) -> base.Objective:
    """The contrast with mixtures as a term, for a stage of its own.

    Args:
      temperature: see `supremix_loss`.
      window: in label bins, see `supremix_loss`.
      beta: see `supremix_loss`.
      partners: see `supremix_loss`.

    Returns:
      An objective whose state holds `width`, the mean bin width.

    Raises:
      ValueError: for an option out of range; in a step, for labels of pixels.
    """
    _check(temperature, window, beta, partners)
    options = {"temperature": temperature, "window": window, "partners": partners}

    def init(key, spec):
        del key
        return base.Variables({}, {"width": jnp.float32(spec.bins.mean_width)})

    def loss(variables, view, batch, key):
        base.check_one_per_row("supremix", batch["label"])
        value = supremix_loss(
            view.features,
            batch["label"] / variables.state["width"],
            batch["bin"],
            key,
            mask=batch["mask"],
            beta=(beta[0], beta[1]),
            **options,
        )
        return base.Outcome(value, variables.state, {})

    return base.Objective(init, loss)
