"""Group contrast: pulls features closer the nearer their label groups are.

For each ordered pair of rows, the similarity competes with those of all rows at least
as distant in group index:

    L = -1/(N(N-1)) sum_i sum_{j != i} log( s_ij / sum_{k != i, d_ik >= d_ij} s_ik )
    s_ij = exp(sim(z_i, z_j) / t),  d_ij = |g_i - g_j|

"Leveraging Group Classification with Descending Soft Labeling for Deep Imbalanced
Regression", Pu et al., AAAI 2025. https://arxiv.org/abs/2412.12327 It is the loss of
"Rank-N-Contrast", Zha et al., NeurIPS 2023, with groups as labels.
https://arxiv.org/abs/2210.01189

The denominator depends only on a row and a distance. One matrix product sums each row
over each group, and cumulative sums run over groups from both far ends (never a total
minus a part, which cancels). This leaves `N x N` work, `N x G` logarithms, and no loop.

**Deviations** and readings:

- The paper leaves the similarity open ("e.g. cosine"). The default is the negative L2
  distance of normalised features at t = 2.5: the temperature in the supplementary makes
  sense at that scale, and the author's code does the same. "l2" is Rank-N-Contrast's,
  without normalisation. The cosine in the author's code has the wrong sign; it is
  corrected here.
- The only stop-gradients are on the maxima subtracted for stability.
- The formula has one view, as tables do. In the presets, augmented images come in two
  views (`augment/`), as in Rank-N-Contrast and the author's code: the formula then has
  2N rows, and the other view is a row of the same group like any other.
- Distances within rounding of equal rows count as 0 with gradient 0; rows shorter than
  1e-12 are normalised to 0 and get no gradient.
- Batch weights do not enter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.labels import specification
from dirjax.objectives import base
from dirjax.ops.numerics import distances, gram, product, unit

SIMILARITIES = ("l2_normalised", "cosine", "l2")
# Batches up to this size are one block; larger ones are blocks of `_ROWS` rows.
_WHOLE, _ROWS = 4096, 512
# Exponentials of logits within this range can be summed directly in float32.
_SPREAD = 60.0
_LOWEST = -1e30


class _Rows(NamedTuple):
    """Features `[n, dim]`, groups, masks and indices `[n]` of some rows."""

    features: jax.Array
    groups: jax.Array
    mask: jax.Array
    number: jax.Array


def _padded(sums: jax.Array, fill: float, first: bool) -> jax.Array:
    end = jnp.full((len(sums), 1), fill, sums.dtype)
    return jnp.concatenate([end, sums] if first else [sums, end], axis=1)


def _log_tails(
    logits: jax.Array,
    pairs: jax.Array,
    hot: jax.Array,
    own: jax.Array,
    groups: jax.Array,
    bounded: bool,
) -> jax.Array:
    """`log sum_{k: d_ik >= m} exp(logits_ik)` for each row and distance `[rows, G]`.

    About -1e30 if there is no such `k`. Logits are at most 0 in each row.
    """
    num = hot.shape[1]
    m = jnp.arange(num)[None]
    # Groups up to own - m, and those from own + m on; own belongs to the latter.
    low = jnp.maximum(own[:, None] + 1 - jnp.maximum(m, 1), 0)
    high = jnp.minimum(own[:, None] + m, num)
    take = functools.partial(jnp.take_along_axis, axis=1)
    if bounded:
        sums = product(jnp.where(pairs, jnp.exp(logits), 0.0), hot)
        below = _padded(jax.lax.cumsum(sums, axis=1), 0.0, True)
        above = _padded(jax.lax.cumsum(sums, axis=1, reverse=True), 0.0, False)
        tails = take(below, low) + take(above, high)
        some = tails > 0
        return jnp.where(some, jnp.log(jnp.where(some, tails, 1.0)), _LOWEST)
    # The maximum per group, so that distant groups do not underflow beside near ones.
    top = jax.ops.segment_max(jnp.where(pairs, logits, _LOWEST).T, groups, num).T
    top = jax.lax.stop_gradient(jnp.maximum(top, _LOWEST))
    shifted = jnp.where(pairs, logits - jnp.where(pairs, top[:, groups], 0.0), 0.0)
    sums = product(jnp.where(pairs, jnp.exp(shifted), 0.0), hot)
    some = sums > 0
    logs = jnp.where(some, jnp.log(jnp.where(some, sums, 1.0)) + top, _LOWEST)
    below = _padded(jax.lax.cumlogsumexp(logs, axis=1), _LOWEST, True)
    above = _padded(jax.lax.cumlogsumexp(logs, axis=1, reverse=True), _LOWEST, False)
    return jnp.logaddexp(take(below, low), take(above, high))


def prepared(features: jax.Array, mask: jax.Array, similarity: str) -> jax.Array:
    """Rows as the similarity needs them, with padding set to 0.

    Args:
      features: `[batch, dim]` float. Padding may be NaN.
      mask: `[batch]`, 1 for real rows and 0 for padding.
      similarity: see `group_contrast_loss`.

    Returns:
      `[batch, dim]`.
    """
    some = mask[:, None] > 0
    features = jnp.where(some, features, 0.0)
    if similarity != "l2":
        features = unit(features)
    if similarity == "cosine":
        return features
    # Centring changes no distance, and products cancel less.
    center = jnp.sum(features, axis=0) / jnp.maximum(jnp.sum(mask), 1.0)
    return jnp.where(some, features - jax.lax.stop_gradient(center)[None], 0.0)


def similarities(rows: jax.Array, columns: jax.Array, similarity: str) -> jax.Array:
    """Similarity of all `[n, dim]` prepared rows with all columns, `[n, m]`."""
    if similarity == "cosine":
        return gram(rows) if columns is rows else product(rows, columns.T)
    return -distances(rows, columns)


def in_blocks(block: Callable[[Any], jax.Array], rows: Any) -> jax.Array:
    """Sum of a function of rows, in blocks above 4096 rows.

    Blocks are recomputed for the gradient, so nothing of the size of rows times rows is
    stored.

    Args:
      block: from a tree of arrays with leading axis rows to a scalar. Rows of zeros
        may be added; it must give them 0.
      rows: the tree.

    Returns:
      Scalar.
    """
    size = len(jax.tree.leaves(rows)[0])
    if size <= _WHOLE:
        return block(rows)
    missing = -size % _ROWS

    def blocks(x):
        x = jnp.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1))
        return x.reshape(-1, _ROWS, *x.shape[1:])

    parts = jax.tree.map(blocks, rows)
    return jnp.sum(jax.lax.map(jax.checkpoint(block), parts))


def _block(
    rows: _Rows,
    columns: _Rows,
    *,
    num_groups: int,
    temperature: float,
    similarity: str,
) -> jax.Array:
    """Sum over the ordered pairs of some rows with all columns."""
    logits = similarities(rows.features, columns.features, similarity)
    pairs = (rows.mask[:, None] > 0) & (columns.mask[None] > 0)
    pairs &= rows.number[:, None] != columns.number[None]
    logits = jnp.where(pairs, logits / temperature, 0.0)
    largest = jnp.max(jnp.where(pairs, logits, _LOWEST), axis=1, keepdims=True)
    # It cancels in the difference of the two sums below.
    logits -= jax.lax.stop_gradient(jnp.where(largest > _LOWEST, largest, 0.0))
    hot = jax.nn.one_hot(columns.groups, num_groups, dtype=logits.dtype)
    hot *= columns.mask[:, None]
    bounded = similarity != "l2" and 2 / temperature <= _SPREAD
    own = rows.groups
    tails = _log_tails(logits, pairs, hot, own, columns.groups, bounded)
    members = jnp.sum(hot, axis=0)
    m = jnp.arange(num_groups)[None]

    def at(group):
        inside = (group >= 0) & (group < num_groups)
        return jnp.where(inside, members[jnp.clip(group, 0, num_groups - 1)], 0.0)

    # Number of columns at each distance, without the row itself at distance 0.
    many = at(own[:, None] - m) + jnp.where(m > 0, at(own[:, None] + m), -1.0)
    many = jnp.where(rows.mask[:, None] > 0, many, 0.0)
    denominators = jnp.sum(many * jnp.where(many > 0, tails, 0.0), axis=1)
    return jnp.sum(denominators - jnp.sum(jnp.where(pairs, logits, 0.0), axis=1))


def group_contrast_loss(
    features: jax.Array,
    groups: jax.Array,
    *,
    num_groups: int,
    temperature: float = 2.5,
    similarity: str = "l2_normalised",
    mask: jax.Array | None = None,
) -> jax.Array:
    """Contrast over all ordered pairs of rows by group distance.

    Above 4096 rows, the work is done in blocks of rows that are recomputed for the
    gradient, so no `[batch, batch]` array is stored.

    Args:
      features: `[batch, dim]` float.
      groups: `[batch]` int, 0 to num_groups - 1, ordered.
      num_groups: number of groups.
      temperature: divides similarities, above 0.
      similarity: "l2_normalised" (negative distance of rows of length 1), "cosine" or
        "l2" (negative distance of unnormalised rows).
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.

    Returns:
      Scalar, the mean over ordered pairs; 0 without pairs.

    Raises:
      ValueError: for an option out of range, or shapes that do not fit.

    Example:
      >>> z = jnp.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
      >>> loss = group_contrast_loss(z, jnp.array([0, 0, 1]), num_groups=2)
      >>> f"{loss:.4f}"
      '0.3547'
    """
    checks.check_shapes(
        features=(features, "b d"),
        groups=(groups, "b"),
        mask=(mask, "b"),
    )
    check(temperature, similarity)
    if num_groups < 1:
        raise ValueError(f"num_groups must be at least 1, got {num_groups}.")
    if not len(features):
        return jnp.sum(features)
    mask = jnp.ones(len(features)) if mask is None else mask
    mask = (mask > 0).astype(features.dtype)
    real = jnp.sum(mask)
    features = prepared(features, mask, similarity)
    groups = jnp.clip(groups.astype(jnp.int32), 0, num_groups - 1)
    all_rows = _Rows(features, groups, mask, jnp.arange(len(features)))
    block = functools.partial(
        _block,
        columns=all_rows,
        num_groups=num_groups,
        temperature=temperature,
        similarity=similarity,
    )
    total = in_blocks(block, all_rows)
    return total / jnp.maximum(real * (real - 1.0), 1.0)


def check(temperature: float, similarity: str) -> None:
    """Raises a ValueError for an option out of range."""
    checks.positive("temperature", temperature)
    checks.one_of("similarity", similarity, SIMILARITIES)


def make(
    *, temperature: float = 2.5, similarity: str = "l2_normalised"
) -> base.Objective:
    """Group contrast as a term.

    Args:
      temperature: see `group_contrast_loss`.
      similarity: see `group_contrast_loss`.

    Returns:
      An objective whose state holds `of_bin`, the group of each label bin `[num_bins]`
      int32, and `members`, the number of training labels in each group `[num_groups]`.

    Raises:
      ValueError: for an option out of range; at init, if the run has no groups.
    """
    check(temperature, similarity)

    def init(key, spec):
        del key
        groups = specification.of_spec(spec, "group_contrast")
        members = jnp.asarray(groups.counts, jnp.float32)
        return base.Variables(
            {}, {"of_bin": jnp.asarray(groups.of_bin), "members": members}
        )

    def loss(variables, view, batch, key):
        of_bin, members = variables.state["of_bin"], variables.state["members"]

        def contrast(view, batch):
            base.check_one_per_row("group contrast", batch["bin"])
            return group_contrast_loss(
                view.features,
                of_bin[batch["bin"]],
                num_groups=len(members),
                temperature=temperature,
                similarity=similarity,
                mask=batch["mask"],
            )

        return base.term(contrast).loss(variables, view, batch, key)

    return base.Objective(init, loss)
