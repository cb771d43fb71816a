"""Rank-N-Contrast (RnC): pulls features closer the nearer their labels are.

For each ordered pair of rows, the similarity competes with those of all rows whose
label is at least as distant, the row j itself included:

    L = -1/(n(n-1)) sum_i sum_{j != i} (l_ij - log sum_{k != i, d_ik >= d_ij} exp l_ik)
    l_ij = -||z_i - z_j|| / t,  d_ij = |y_i - y_j|, summed over several labels

"Rank-N-Contrast: Learning Continuous Representations for Regression", Zha et al.,
NeurIPS 2023, first called SupCR, supervised contrastive regression.
https://arxiv.org/abs/2210.01189

Each row is sorted by label distance and summed from the far end; rows of equal distance
share the sum of all of them. That is O(n^2 log n) work. Distances from one of many
sorted labels fall and then rise, so they need no full sort (`ops/sorting.py`). With
`labels="bins"` it is `group_contrast` with label bins as groups, which is faster, and
the same for whole numbers in bins of width 1.

**Deviations**:

- Batches have adjacent views of an image (`augment/`); the loss does not depend on the
  order of rows. Tables have one view.
- The author's code subtracts the largest similarity of a row with itself, which is 0,
  so exponentials of far rows vanish. Here nothing is lost: where similarities spread
  further than float32 exponentials, sums are those of logarithms.
- Distances within rounding of equal rows count as 0 with gradient 0.
- Label distances are compared as they are in the dtype of the features. Two that are
  equal in decimals, as 0.3 - 0.2 and 0.2 - 0.1, may differ by rounding, and then one
  of the two rows is not in the denominator of the other, as in the author's code. Whole
  numbers are exact, and with `labels="bins"` no rounding enters.
- Published: SGD, learning rate 0.5, 400 epochs, then a linear probe with L1. The preset
  keeps the optimiser and the length of the data set, for both stages.
- Batch weights do not enter.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base, group_contrast
from dirjax.ops import sorting

LABELS = ("real", "bins")
# Exponentials of logits within this range can be summed directly in float32.
_SPREAD = 60.0
_LOWEST = -1e30


class _Rows(NamedTuple):
    """Features `[n, dim]`, labels `[n, k]`, masks and indices `[n]` of some rows."""

    features: jax.Array
    labels: jax.Array
    mask: jax.Array
    number: jax.Array


def _log_tails(logits: jax.Array, bounded: jax.Array) -> jax.Array:
    """Log of the sum of exponentials from each entry to the end, down the columns."""

    def direct(logits):
        sums = sorting.running(jnp.add, jnp.exp(logits), reverse=True)
        return jnp.where(sums > 0, jnp.log(jnp.where(sums > 0, sums, 1.0)), _LOWEST)

    def by_logs(logits):
        return sorting.running(jnp.logaddexp, logits, reverse=True)

    # One of them runs; the second keeps nothing for the gradient but its argument.
    return jax.lax.cond(bounded, direct, jax.checkpoint(by_logs), logits)


def _shares(distances: jax.Array, real: jax.Array) -> jax.Array:
    """How many pairs share the sum that begins at an entry, in sorted columns.

    Args:
      distances: `[n, rows]`, ascending; infinite for padding.
      real: `[rows]`, 1 for real rows.

    Returns:
      `[n, rows]`, 0 but for the first of each run of equal distances.
    """
    place = jax.lax.broadcasted_iota(jnp.int32, distances.shape, 0)
    new = distances[1:] != distances[:-1]
    new = jnp.pad(new, ((1, 0), (0, 0)), constant_values=True)
    starts = jnp.where(new, place, len(distances))
    after = sorting.running(jnp.minimum, starts, reverse=True)
    after = jnp.pad(after[1:], ((0, 1), (0, 0)), constant_values=len(distances))
    count = jnp.where(new & (distances < jnp.inf), after - place, 0)
    # The row itself is in the first run.
    count = count - (place == 0)
    return jnp.where(real[None] > 0, count, 0).astype(distances.dtype)


def _block(
    rows: _Rows, columns: _Rows, *, temperature: float, similarity: str
) -> jax.Array:
    """Sum over the ordered pairs of some rows with all columns."""
    features = (columns.features, rows.features)
    logits = group_contrast.similarities(*features, similarity) / temperature
    pairs = (columns.mask[:, None] > 0) & (rows.mask[None] > 0)
    pairs &= columns.number[:, None] != rows.number[None]
    largest = jnp.max(jnp.where(pairs, logits, _LOWEST), axis=0, keepdims=True)
    # It cancels in the difference of the two sums below.
    logits -= jax.lax.stop_gradient(jnp.where(largest > _LOWEST, largest, 0.0))
    logits = jnp.where(pairs, logits, _LOWEST)
    parts = zip(columns.labels.T, rows.labels.T, strict=True)
    gaps = sum(jnp.abs(a[:, None] - b[None]) for a, b in parts)
    gaps = jnp.where(columns.mask[:, None] > 0, gaps, jnp.inf)
    if columns.labels.shape[1] == 1:
        order = sorting.of_valleys(gaps)
    else:
        order = sorting.ascending(gaps.T).T
    count = _shares(sorting.in_order(gaps, order), rows.mask)
    lowest = jnp.min(jnp.where(pairs, logits, 0.0))
    tails = _log_tails(sorting.in_order(logits, order), lowest > -_SPREAD)
    sums = jnp.sum(jnp.where(count > 0, count * tails, 0.0))
    return sums - jnp.sum(jnp.where(pairs, logits, 0.0))


def rank_n_contrast_loss(
    features: jax.Array,
    labels: jax.Array,
    *,
    temperature: float = 2.0,
    similarity: str = "l2",
    mask: jax.Array | None = None,
) -> jax.Array:
    """Contrast over all ordered pairs of rows by label distance.

    Above 4096 rows, the work is done in blocks of rows that are recomputed for the
    gradient, so no `[batch, batch]` array is stored.

    Args:
      features: `[batch, dim]` float.
      labels: `[batch]`, or `[batch, k]` for several labels, whose distances add up.
      temperature: divides similarities, above 0.
      similarity: see `group_contrast_loss`; "l2" is the paper's.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.

    Returns:
      Scalar, the mean over ordered pairs; 0 without pairs.

    Raises:
      ValueError: for an option out of range, or shapes that do not fit.

    Example:
      >>> z = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
      >>> loss = rank_n_contrast_loss(z, jnp.array([0.0, 3.0, 0.0, 3.0]))
      >>> f"{loss:.4f}"
      '0.7728'
    """
    checks.check_shapes(
        features=(features, "b d"),
        labels=(labels, "b" if jnp.ndim(labels) == 1 else "b k"),
        mask=(mask, "b"),
    )
    group_contrast.check(temperature, similarity)
    if not len(features):
        return jnp.sum(features)
    mask = jnp.ones(len(features)) if mask is None else mask
    mask = jnp.asarray(mask > 0, features.dtype)
    real = jnp.sum(mask)
    features = group_contrast.prepared(features, mask, similarity)
    labels = jax.lax.stop_gradient(labels).reshape(len(labels), -1)
    labels = jnp.where(mask[:, None] > 0, labels, 0).astype(features.dtype)
    if labels.shape[1] == 1:  # Sorted, with padding at the end.
        order = jnp.argsort(jnp.where(mask > 0, labels[:, 0], jnp.inf))
        features, labels, mask = features[order], labels[order], mask[order]
    all_rows = _Rows(features, labels, mask, jnp.arange(len(features)))
    block = functools.partial(
        _block, columns=all_rows, temperature=temperature, similarity=similarity
    )
    total = group_contrast.in_blocks(block, all_rows)
    return total / jnp.maximum(real * (real - 1.0), 1.0)


def make(
    *, temperature: float = 2.0, similarity: str = "l2", labels: str = "real"
) -> base.Objective:
    """Rank-N-Contrast as a term.

    Args:
      temperature: see `rank_n_contrast_loss`.
      similarity: see `rank_n_contrast_loss`.
      labels: "real", as the model learns them; or "bins": distances are those of label
        bins, and the loss is that of `group_contrast`.

    Returns:
      An objective without parameters; its state holds `bins`, one entry a bin.

    Raises:
      ValueError: for an option out of range; in a step, for labels of pixels.
    """
    group_contrast.check(temperature, similarity)
    checks.one_of("labels", labels, LABELS)
    options = {"temperature": temperature, "similarity": similarity}

    def init(key, spec):
        del key
        return base.Variables({}, {"bins": jnp.zeros(spec.bins.num, jnp.int8)})

    def loss(variables, view, batch, key):
        del key
        base.check_one_per_row("rank_n_contrast", batch["label"])
        if labels == "bins":
            value = group_contrast.group_contrast_loss(
                view.features,
                batch["bin"],
                num_groups=len(variables.state["bins"]),
                mask=batch["mask"],
                **options,
            )
        else:
            value = rank_n_contrast_loss(
                view.features, batch["label"], mask=batch["mask"], **options
            )
        return base.Outcome(value, variables.state, {})

    return base.Objective(init, loss)
