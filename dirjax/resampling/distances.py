"""Distances between rows of numbers and categories, and nearest neighbours.

HEOM: the root of a sum over columns, of the squared difference of numbers divided by
the range of their column, and of 1 where categories differ. The neighbours are those of
scipy's k-d tree, which is exact.
"""

from __future__ import annotations

import numpy as np

# Distances that are held at once, and rows among which a median distance is found.
_BLOCK = 1 << 20
MOST = 1024


def points(numeric: np.ndarray, codes: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Rows as points whose Euclidean distance is HEOM.

    Args:
      numeric: `[n, d]`.
      codes: `[n, m]` whole numbers, the categories.
      scale: `[d]`, divisor of each number.

    Returns:
      `[n, d + values]`: a category is a unit vector, divided by the root of two.

    Example:
      >>> a, b = points(np.array([[0.0], [3.0]]), np.array([[1], [2]]), np.ones(1))
      >>> round(float(np.sum((a - b) ** 2)), 6)
      10.0
    """
    parts = [numeric / scale]
    for column in codes.T:
        values, place = np.unique(column, return_inverse=True)
        if len(values) > 1:
            parts.append(np.eye(len(values))[place] * np.sqrt(0.5))
    return np.concatenate(parts, axis=1)


def neighbours(table: np.ndarray, k: int) -> np.ndarray:
    """The nearest other rows of each row.

    Args:
      table: `[n, d]`, two rows or more.
      k: how many; all others if there are fewer.

    Returns:
      `[n, min(k, n - 1)]` row numbers.

    Example:
      >>> neighbours(np.array([[0.0], [1.0], [5.0]]), 1).ravel().tolist()
      [1, 0, 1]
    """
    from scipy.spatial import KDTree

    rows = len(table)
    k = min(k, rows - 1)
    found = np.asarray(KDTree(table).query(table, k=k + 1, workers=-1)[1])
    # A row is its own neighbour, though not the first among equal rows, and not even
    # found among many of them.
    own = found == np.arange(rows)[:, None]
    own[~own.any(axis=1), -1] = True
    return found[~own].reshape(rows, k)


def half_medians(
    table: np.ndarray, rows: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Half the median distance of rows from all rows, themselves included.

    Args:
      table: `[n, d]`.
      rows: `[m]` row numbers.
      rng: draws `MOST` of the rows to look at, if there are more.

    Returns:
      `[m]`.

    Example:
      >>> table = np.array([[0.0], [1.0], [5.0]])
      >>> half_medians(table, np.array([0, 2]), np.random.default_rng(0)).tolist()
      [0.5, 2.0]
    """
    others = table
    if len(table) > MOST:
        others = table[rng.permutation(len(table))[:MOST]]
    lengths = np.einsum("nd,nd->n", others, others)
    out, upper = np.empty(len(rows)), len(others) // 2
    middle = [upper] if len(others) % 2 else [upper - 1, upper]
    step = max(1, _BLOCK // len(others))
    for start in range(0, len(rows), step):
        some = table[rows[start : start + step]]
        square = some @ others.T
        square *= -2
        square += lengths
        square += np.einsum("nd,nd->n", some, some)[:, None]
        square.partition(middle, axis=1)
        found = np.sqrt(np.maximum(square[:, middle], 0)).mean(axis=1)
        out[start : start + step] = found / 2
    return out
