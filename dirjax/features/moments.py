"""Per-bin feature moments over a data set, by segment sums on the device.

Count, mean and squared deviations per label bin are computed batch by batch and merged
without storing features: "Updating Formulae and a Pairwise Algorithm for Computing
Sample Variances", Chan, Golub and LeVeque, 1982,
https://doi.org/10.1007/978-3-642-51461-6_3. Methods use them for feature smoothing,
norm targets and centroids.

**Deviations**: within a batch, deviations are from the batch mean in a second pass, and
the rounding error of the mean is carried along, so float32 suffices for features with a
large mean.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.ops import numerics


class Moments(NamedTuple):
    """Feature moments per bin; zeros for empty bins.

    Attributes:
      count: `[bins]` examples seen, float (exact up to 2^24 in float32).
      mean: `[bins, dim]` mean feature.
      m2: `[bins, dim]` sum of squared deviations from the mean.
      norm: `[bins]` sum of L2 norms.
      rest: `[bins, dim]` rounding error of `mean`: `mean + rest` is exact to about
        twice the digits. Only `merge` and `pool` need it; 0 if unknown.
    """

    count: jax.Array
    mean: jax.Array
    m2: jax.Array
    norm: jax.Array
    rest: jax.Array | float = 0.0


def zeros(num_bins: int, dim: int) -> Moments:
    """Empty moments, the neutral element of `merge`.

    Args:
      num_bins: number of label bins.
      dim: width of the features.

    Returns:
      Moments in the default float type.

    Example:
      >>> zeros(3, 2).mean.shape
      (3, 2)
    """
    row, table = jnp.zeros(num_bins), jnp.zeros((num_bins, dim))
    return Moments(row, table, table, row, table)


def _over(total: jax.Array, count: jax.Array) -> jax.Array:
    """`total / count` by row, 0 for rows of count 0."""
    count = count[:, None]
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), 0)


def _exact_sum(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`a + b` and its rounding error (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def from_batch(
    features: jax.Array, bins: jax.Array, mask: jax.Array, *, num_bins: int
) -> Moments:
    """Moments of one batch.

    Args:
      features: `[batch, dim]` float. Rows under a zero mask may be NaN. Dense features
        are flattened to rows first.
      bins: `[batch]` int, 0 to num_bins - 1 (from `labels.Bins.index`); rows of other
        bins are dropped.
      mask: `[batch]`, 1 for real rows and 0 for padding.
      num_bins: number of bins, static.

    Returns:
      Moments in the features' type, `num_bins` rows.

    Raises:
      ValueError: if leading sizes differ or a rank is wrong.

    Example:
      >>> x = jnp.array([[1.0], [3.0], [8.0]])
      >>> m = from_batch(x, jnp.array([0, 0, 2]), jnp.ones(3), num_bins=3)
      >>> m.count.tolist(), m.mean.ravel().tolist(), m.m2.ravel().tolist()
      ([2.0, 0.0, 1.0], [2.0, 0.0, 8.0], [2.0, 0.0, 0.0])
    """
    checks.check_shapes(features=(features, "b d"), bins=(bins, "b"), mask=(mask, "b"))
    mask = jnp.asarray(mask, features.dtype)
    features = jnp.where(mask[:, None] > 0, features, 0)
    none = jnp.zeros_like(features)
    examples = Moments(mask, features, none, mask * numerics.norms(features), none)
    return pool(examples, bins, num_rows=num_bins)


def merge(a: Moments, b: Moments) -> Moments:
    """Merges the moments of two disjoint sets of examples.

    Args:
      a: moments of the first set.
      b: moments of the second, same shapes.

    Returns:
      Moments of the union. Commutative up to rounding; either side may be empty.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> one = from_batch(jnp.ones((2, 1)), jnp.zeros(2, int), jnp.ones(2), num_bins=2)
      >>> merge(one, zeros(2, 1)).count.tolist()
      [2.0, 0.0]
    """
    checks.check_shapes(a=(a.mean, "bins dim"), b=(b.mean, "bins dim"))
    count = a.count + b.count
    gap = (b.mean - a.mean) + (b.rest - a.rest)
    share = _over(b.count[:, None], count)
    mean, rest = _exact_sum(a.mean, gap * share + a.rest)
    m2 = a.m2 + b.m2 + gap**2 * a.count[:, None] * share
    return Moments(count, mean, m2, a.norm + b.norm, rest)


def pool(moments: Moments, rows: jax.Array, *, num_rows: int) -> Moments:
    """Moments of unions of bins.

    Args:
      moments: `[bins]` and `[bins, dim]`.
      rows: `[bins]` int, the new row of each bin, 0 to num_rows - 1; bins with another
        row are dropped.
      num_rows: number of new rows, static.

    Returns:
      Moments with `num_rows` rows.

    Raises:
      ValueError: if `rows` does not have one entry per bin.

    Example:
      >>> x = jnp.array([[1.0], [3.0]])
      >>> m = from_batch(x, jnp.array([0, 1]), jnp.ones(2), num_bins=2)
      >>> pool(m, jnp.array([0, 0]), num_rows=1).mean.tolist()
      [[2.0]]
    """
    checks.check_shapes(moments=(moments.mean, "bins dim"), rows=(rows, "bins"))

    def add(values):
        return jax.ops.segment_sum(values, rows, num_segments=num_rows)

    column = moments.count[:, None]
    count = add(moments.count)
    first = _over(add(column * moments.mean), count)
    gap = (moments.mean - first[rows]) + moments.rest
    # The first mean is rounded: shift it, and correct the squares.
    drift = _over(add(column * gap), count)
    m2 = add(moments.m2 + column * gap**2) - count[:, None] * drift**2
    mean, rest = _exact_sum(first, drift)
    return Moments(count, mean, jnp.maximum(m2, 0), add(moments.norm), rest)


def variance(moments: Moments, unbiased: bool = True) -> jax.Array:
    """Variance of each feature in each bin.

    Args:
      moments: feature moments.
      unbiased: divide by `count - 1` in bins with at least two examples, otherwise by
        `count`.

    Returns:
      `[bins, dim]`, 0 in bins with fewer than two examples.

    Example:
      >>> x = jnp.array([[1.0], [3.0]])
      >>> m = from_batch(x, jnp.array([0, 0]), jnp.ones(2), num_bins=1)
      >>> variance(m).tolist(), variance(m, unbiased=False).tolist()
      ([[2.0]], [[1.0]])
    """
    divisor = jnp.where(moments.count > 1, moments.count - unbiased, moments.count)
    return _over(moments.m2, divisor)
