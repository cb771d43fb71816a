"""Spearman's rank correlation, on the host.

Deviations: none. The ranks are SciPy's; the correlation of `scipy.stats.spearmanr` is
not used, since it rounds a perfect one to 0.9999999999999999.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def spearman(x: ArrayLike, y: ArrayLike) -> float | None:
    """Spearman's rank correlation; equal values share the mean of their ranks.

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
    from scipy import stats  # Takes a second to import.

    mean = (a.size + 1) / 2
    a, b = stats.rankdata(a) - mean, stats.rankdata(b) - mean
    norm = np.sqrt((a @ a) * (b @ b))
    return float(np.clip(a @ b / norm, -1, 1)) if norm > 0 else None
