"""Intervals of ordered bins: halving them by counts, and pooling bins into them."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike


def _half(counts: np.ndarray, low: int, high: int) -> list[int]:
    """Where the second half of bins `low` to `high - 1` starts; empty if nowhere."""
    some = low + np.flatnonzero(counts[low:high] > 0)
    if len(some) < 2:
        return []
    total = np.cumsum(counts[some])
    first = int(np.argmin(np.abs(total - total[-1] / 2)))
    return [int(some[min(first + 1, len(some) - 1)])]


def halvings(counts: ArrayLike, levels: int) -> np.ndarray:
    """Halves all bins, then each half, and so on, into parts of about equal counts.

    An interval is divided after the bin that is not empty at which its running count is
    nearest to half of its total, the first one of several; empty bins go to the part
    below them. An interval with fewer than two bins that are not empty stays whole.

    Args:
      counts: `[num]` from 0.
      levels: number of rounds, at least 0.

    Returns:
      `[found, num]` int32, not descending along bins: the interval of each bin after
      each round. Rounds that divide nothing are left out, and one after which each bin
      is alone.

    Example:
      >>> halvings([100, 200, 400, 200, 200, 100, 100, 50, 50], 2)
      array([[0, 0, 0, 1, 1, 1, 1, 1, 1],
             [0, 0, 1, 2, 2, 3, 3, 3, 3]], dtype=int32)
    """
    counts = np.asarray(counts, np.float64)
    num, starts, found = len(counts), [0], []
    for _ in range(levels):
        pairs = list(itertools.pairwise([*starts, num]))
        more = sorted([*starts, *itertools.chain(*(_half(counts, *p) for p in pairs))])
        if len(more) in (len(starts), num):
            break
        starts = more
        found.append(np.searchsorted(starts, np.arange(num), side="right") - 1)
    return np.asarray(found, np.int32).reshape(-1, num)


def _pooled(fn: Any, values: jax.Array, place: Any, num: int) -> jax.Array:
    moved = jnp.moveaxis(values, -1, 0)
    return jnp.moveaxis(fn(moved, place, num, indices_are_sorted=True), 0, -1)


def sums(values: jax.Array, place: Any, num: int) -> jax.Array:
    """Sums over the bins of each interval.

    Args:
      values: `[..., bins]`.
      place: `[bins]` int, the interval of each bin, not descending, none left out.
      num: number of intervals.

    Returns:
      `[..., num]`.

    Example:
      >>> sums(jnp.array([1.0, 2.0, 5.0]), jnp.array([0, 0, 1]), 2).tolist()
      [3.0, 5.0]
    """
    return _pooled(jax.ops.segment_sum, values, place, num)


def log_sums(values: jax.Array, place: Any, num: int) -> jax.Array:
    """Logarithms of sums of exponentials, see `sums`; nothing overflows.

    Example:
      >>> logs = log_sums(jnp.array([-900.0, -900.0, 7.0]), jnp.array([0, 0, 1]), 2)
      >>> [f"{x:.2f}" for x in logs.tolist()]
      ['-899.31', '7.00']
    """
    top = _pooled(jax.ops.segment_max, jax.lax.stop_gradient(values), place, num)
    away = jnp.exp(values - jnp.take(top, place, axis=-1))
    return top + jnp.log(sums(away, place, num))


def maxima(values: jax.Array, place: Any, num: int) -> jax.Array:
    """Largest value of each interval, see `sums`; ties share the gradient.

    Example:
      >>> maxima(jnp.array([1.0, 2.0, 5.0]), jnp.array([0, 0, 1]), 2).tolist()
      [2.0, 5.0]
    """
    top = _pooled(jax.ops.segment_max, jax.lax.stop_gradient(values), place, num)
    best = (values == jnp.take(top, place, axis=-1)).astype(values.dtype)
    return sums(best * values, place, num) / sums(best, place, num)
