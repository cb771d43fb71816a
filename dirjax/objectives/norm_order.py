"""Norm order: distances between feature norms follow distances between labels.

Phase 1 of the Frobenius-norm method, a term beside the regression loss:

    L = L_KL + alpha L_OE
    L_KL = sum_ab p_ab log(p_ab / q_ab)
    p_ab ~ exp(-d(y_a, y_b) / tau),  q_ab ~ exp(-d(F_a, F_b) / tau)

over pairs of labels in the batch, where `F_b` is the norm of a label's prototype
(`prototypes.py`), and `L_OE` is ordinal entropy of the same prototypes. The term's
weight is the method's beta.

"Enhancing Deep Imbalanced Regression via Frobenius Norm Regularization", anonymous
authors, ICLR 2026 submission. https://openreview.net/forum?id=6XpSwo3ZCe
L_KL after "PRIME: Deep Imbalanced Regression with Proxies", Lim et al., ICML 2025.
https://openreview.net/forum?id=hvaPL2DMpQ

**Deviations**. Only the appendix of the paper was available, so most of this is
*reconstruction*. The appendix names L_KL and L_OE, says what alpha and beta weigh, and
that d is the absolute difference of whole numbers. The form of L_KL is that of the
author's public code, where no training calls it; that of L_OE is a guess from its name.
All weights are our choice.

- Labels are bin indices of prototypes in the batch (the reviews mention mini-batch
  prototypes); the author's code takes single rows. `source` "running" and "data", which
  a review asks for, order the labels of the batch among all known labels
  (`_prototype_source.py`); the cost is then quadratic in the number of bins.
- One normaliser over all pairs except the diagonal, which would add a constant and
  dilute the rest. `pairs="all"` is the author's code; `pairs="rows"` normalises each
  row of the matrix separately and averages over rows.
- The author's code adds `eps` = 1e-8 to p and q; here it is 0 by default, and the
  computation uses logarithms.
- Norms have the unit of bins: a label range of 100 bins asks for norms that differ by
  100. `label_scale` divides labels first; a warning reports ranges that differ much.
- L_KL is blind to direction: norms that fall with the label are as good. The log shows
  the rank correlation of norms and labels in a batch.
- Two labels make a single pair, with p = q and no gradient. Batch weights do not enter.
  In dense tasks all pixels of the batch are rows.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.features.prototypes import prototypes
from dirjax.objectives import base, ordinal_entropy
from dirjax.objectives._prototype_source import Source

PAIRS = ("off_diagonal", "all", "rows")
DISTANCES = ("absolute", "squared")
_LOWEST = -1e30
# Warn if the ranges of norms and labels differ by more than this factor.
_FAR = 10.0


def _gaps(values: jax.Array, distance: str) -> jax.Array:
    gap = values[:, None] - values[None]
    return jnp.abs(gap) if distance == "absolute" else gap**2


def order_divergence(
    norms: jax.Array,
    labels: jax.Array,
    *,
    real: jax.Array | None = None,
    pairs: str = "off_diagonal",
    distance: str = "absolute",
    tau: float = 1.0,
    label_scale: float = 1.0,
    eps: float = 0.0,
) -> jax.Array:
    """`L_KL` of norms and labels: how far their distances differ.

    Args:
      norms: `[n]` float.
      labels: `[n]`, constants for gradients.
      real: `[n]` bool, which entries count. Default: all.
      pairs: "off_diagonal", "all" or "rows", see the module.
      distance: "absolute" or "squared" difference.
      tau: temperature of both sides, above 0.
      label_scale: labels are divided by it, above 0.
      eps: added to both probabilities, from 0.

    Returns:
      Scalar, not negative. 0 if distances agree: norms equal to the labels (over the
      scale) or their negative, plus a constant.

    Raises:
      ValueError: for an option out of range, or shapes that do not fit.

    Example:
      >>> y = jnp.array([1.0, 2.0, 4.0])
      >>> float(order_divergence(9 - y, y))
      0.0
      >>> f"{order_divergence(jnp.zeros(3), y):.3f}"
      '0.266'
    """
    _check(pairs, distance, tau, label_scale, eps)
    checks.check_shapes(
        norms=(norms, "n"),
        labels=(labels, "n"),
        real=(real, "n"),
    )
    real = jnp.ones(len(norms), bool) if real is None else real
    labels = jax.lax.stop_gradient(labels.astype(norms.dtype)) / label_scale
    some = real[:, None] & real[None]
    if pairs != "all":
        some &= ~jnp.eye(len(norms), dtype=bool)
    over = 1 if pairs == "rows" else (0, 1)

    def logs(values):
        """Log probabilities; arbitrary where there is no pair."""
        logits = jnp.where(some, -_gaps(values, distance) / tau, _LOWEST)
        return logits - jax.nn.logsumexp(logits, axis=over, keepdims=True)

    log_p, log_q = logs(labels), logs(norms)
    p = jnp.exp(log_p) + eps
    ratio = jnp.log(p) - jnp.log(jnp.exp(log_q) + eps) if eps else log_p - log_q
    total = jnp.sum(jnp.where(some, p * ratio, 0))
    if pairs == "rows":
        total = total / jnp.maximum(jnp.sum(some.any(axis=1)), 1)
    return total


def norm_order_loss(
    features: jax.Array,
    bins: jax.Array,
    *,
    mask: jax.Array | None = None,
    num_bins: int | None = None,
    reading: str = "prototype",
    pairs: str = "off_diagonal",
    distance: str = "absolute",
    tau: float = 1.0,
    label_scale: float = 1.0,
    eps: float = 0.0,
) -> jax.Array:
    """`L_KL` of the norms of a batch, bin by bin.

    The cost is quadratic in the number of bins or rows, whichever is smaller.

    Args:
      features: `[batch, dim]` float.
      bins: `[batch]` int, the label of each row.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.
      num_bins: number of bins, static.
      reading: see `prototypes`.
      pairs: see `order_divergence`.
      distance: see `order_divergence`.
      tau: see `order_divergence`.
      label_scale: see `order_divergence`.
      eps: see `order_divergence`.

    Returns:
      Scalar, not negative; 0 if the batch has fewer than three bins.

    Raises:
      ValueError: for an option out of range, or shapes that do not fit.

    Example:
      >>> z = jnp.array([[3.0, 4.0], [6.0, 0.0], [0.0, 8.0]])
      >>> float(norm_order_loss(z, jnp.array([2, 3, 5])))
      0.0
    """
    if not len(features):
        return jnp.sum(features)
    found = prototypes(features, bins, mask=mask, num_labels=num_bins, reading=reading)
    return order_divergence(
        found.norm,
        found.label,
        real=found.count > 0,
        pairs=pairs,
        distance=distance,
        tau=tau,
        label_scale=label_scale,
        eps=eps,
    )


def rank_correlation(
    values: jax.Array, labels: jax.Array, real: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Spearman's correlation; ties get their mean rank.

    Args:
      values: `[n]` float.
      labels: `[n]` float.
      real: `[n]` bool, which entries count.

    Returns:
      The correlation, 0 if undefined, and whether it is defined: 1 or 0.

    Example:
      >>> y, real = jnp.arange(3.0), jnp.ones(3, bool)
      >>> [f"{v:.3f}" for v in rank_correlation(-(y**2), y, real)]
      ['-1.000', '1.000']
    """

    def centered(x):
        # Twice the rank, an integer even for ties.
        less = jnp.sum((x[:, None] > x[None]) & real[None], axis=1)
        rank = less - jnp.sum((x[:, None] < x[None]) & real[None], axis=1)
        return jnp.where(real, rank, 0).astype(values.dtype)

    x, y = centered(values), centered(labels)
    size = jnp.sqrt(jnp.sum(x**2)) * jnp.sqrt(jnp.sum(y**2))
    some = size > 0
    found = jnp.sum(x * y) / jnp.where(some, size, 1)
    return jnp.where(some, found, 0), some.astype(values.dtype)


def _span(values: jax.Array, real: jax.Array) -> jax.Array:
    high = jnp.max(jnp.where(real, values, -jnp.inf), initial=-jnp.inf)
    low = jnp.min(jnp.where(real, values, jnp.inf), initial=jnp.inf)
    return jnp.where(real.any(), high - low, 0)


def _check(pairs, distance, tau, label_scale, eps) -> None:
    checks.one_of("pairs", pairs, PAIRS)
    checks.one_of("distance", distance, DISTANCES)
    checks.positive("tau", tau)
    checks.positive("label_scale", label_scale)
    checks.positive("eps", eps, zero=True)


def make(
    *,
    alpha: float = 0.1,
    reading: str = "prototype",
    source: str = "batch",
    momentum: float = 0.9,
    pairs: str = "off_diagonal",
    distance: str = "absolute",
    tau: float = 1.0,
    label_scale: float = 1.0,
    eps: float = 0.0,
    tightness: bool = True,
) -> base.Objective:
    """The ordinal penalty of phase 1 as a term.

    Args:
      alpha: factor of the ordinal entropy, at least 0.
      reading: see `prototypes`.
      source: source of prototypes, "batch", "running" or "data", see
        `_prototype_source`.
      momentum: momentum of running prototypes.
      pairs: see `order_divergence`.
      distance: see `order_divergence`.
      tau: see `order_divergence`.
      label_scale: see `order_divergence`.
      eps: see `order_divergence`.
      tightness: see `ordinal_entropy.ordinal_entropy_loss`.

    Returns:
      An objective whose state holds `bins` `[num_bins]` float32, their indices, and the
      `memory` of running prototypes or those of the data set. Its metrics:
      `loss/norm_kl` and `loss/norm_entropy` (without factors); `norm/spearman`, of
      norms and labels of the bins in a batch (of all known bins with a memory),
      averaged over the batches where it is defined; `norm/span` and `norm/label_span`,
      largest minus smallest norm, and bin over `label_scale`.

    Raises:
      ValueError: for an option out of range; at init, if a memory is needed and
        `spec.feature_dim` is unknown.
    """
    _check(pairs, distance, tau, label_scale, eps)
    checks.positive("alpha", alpha, zero=True)
    kept = Source(source, momentum, reading)

    def init(key, spec):
        del key
        state = {"bins": jnp.arange(spec.bins.num, dtype=float)} | kept.init(spec)
        return base.Variables({}, state)

    def loss(variables, view, batch, key):
        del key
        state = variables.state
        features = view.features.reshape(-1, view.features.shape[-1])
        bins, mask = (batch[name].reshape(-1) for name in ("bin", "mask"))
        found, real, state = kept.find(state, features, bins, mask, len(state["bins"]))
        kl = order_divergence(
            found.norm,
            found.label,
            real=real,
            pairs=pairs,
            distance=distance,
            tau=tau,
            label_scale=label_scale,
            eps=eps,
        )
        entropy = ordinal_entropy.diversity_loss(found.mean, found.label, real)
        if tightness:
            entropy += ordinal_entropy.tightness_loss(features, found, mask)
        one = jnp.ones(())
        metrics = {
            "loss/norm_kl": (kl, one),
            "loss/norm_entropy": (entropy, one),
            "norm/spearman": rank_correlation(found.norm, found.label, real),
            "norm/span": (_span(found.norm, real), one),
            "norm/label_span": (_span(found.label, real) / label_scale, one),
        }
        metrics = jax.lax.stop_gradient(metrics)
        return base.Outcome(kl + alpha * entropy, state, metrics)

    def advise(means: Mapping[str, float]) -> list[str]:
        norms, labels = means["norm/span"], means["norm/label_span"]
        if not labels or 1 / _FAR <= norms / labels <= _FAR:
            return []
        return [
            f"{norms / labels:.2g} times the label range of a batch (bins over "
            "label_scale) is the range of its feature norms, and norm_order makes "
            "both equal. To keep the norms, multiply label_scale by norm/label_span "
            "over norm/span from the log."
        ]

    return base.Objective(
        init, loss, collect=kept.collect, diagnostics=base.Diagnostics(advise)
    )
