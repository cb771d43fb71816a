"""Ranks and Spearman's rank correlation on the host, without JAX.

Deviations: none; equal values share the mean of their ranks. `scipy.stats` has both,
but takes a second to import in every run and evaluation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def ranks(values: ArrayLike) -> np.ndarray:
    """Ranks from 0; equal values share the mean of theirs.

    Args:
      values: `[n]`.

    Returns:
      `[n]` float64.

    Example:
      >>> ranks([5.0, 1.0, 5.0]).tolist()
      [1.5, 0.0, 1.5]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]


def spearman(x: ArrayLike, y: ArrayLike) -> float | None:
    """Spearman's rank correlation.

    Args:
      x: `[n]`.
      y: `[n]`.

    Returns:
      From -1 to 1; None for fewer than two values, a constant, or a number that is
      not finite.

    Example:
      >>> spearman([1.0, 2.0, 9.0], [3.0, 2.0, 1.0])
      -1.0
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.size < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    a, b = (r - r.mean() for r in (ranks(a), ranks(b)))
    norm = np.sqrt((a @ a) * (b @ b))
    return float(np.clip(a @ b / norm, -1, 1)) if norm > 0 else None
