"""Distances between rows of numbers and categories, and nearest neighbours.

HEOM: the root of a sum over columns, of the squared difference of numbers divided by
the range of their column, and of 1 where categories differ. Neighbours are exact, but
for rounding: those of scipy's k-d tree where rows have few coordinates, of a search
among all rows elsewhere, since a tree then visits most of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# Distances that are held at once, and rows among which a median distance is found: an
# odd number, of which the median is one.
_BLOCK = 1 << 19
MOST = 1023
# Coordinates up to which the tree is faster, and rows in its leaves.
_TREE, _LEAF = 10, 64
# Categories of a column that are coordinates each: a product of matrices is then faster
# than comparing.
_UNITS = 16
# Rows of which only the nearest is looked at first.
_GROUP = 64


class Points(NamedTuple):
    """Rows whose squared distance is that of `dense`, and 1 for each code that differs.

    Attributes:
      dense: `[n, d]` float64.
      codes: `[n, m]` whole numbers; may have no columns.
    """

    dense: np.ndarray
    codes: np.ndarray

    def take(self, rows: np.ndarray) -> Points:
        """Some rows."""
        return Points(self.dense[rows], self.codes[rows])


def points(numeric: np.ndarray, codes: np.ndarray, scale: np.ndarray) -> Points:
    """Rows as points whose distance is HEOM.

    Args:
      numeric: `[n, d]`.
      codes: `[n, m]` whole numbers, the categories.
      scale: `[d]`, divisor of each number.

    Returns:
      The points. Numbers are centred, against rounding. A column of few categories is
      in `dense`: 0 or 1 if there are two, otherwise unit vectors divided by the root of
      two.

    Example:
      >>> found = points(np.array([[0.0], [3.0]]), np.array([[1], [2]]), np.ones(1))
      >>> squares(found, found).tolist()
      [[0.0, 10.0], [10.0, 0.0]]
    """
    dense, many = [numeric / scale], []
    for column in codes.T:
        values, place = np.unique(column, return_inverse=True)
        if len(values) == 2:
            dense.append(place[:, None].astype(np.float64))
        elif 2 < len(values) <= _UNITS:
            dense.append(np.eye(len(values))[place] * np.sqrt(0.5))
        elif len(values) > _UNITS:
            many.append(place.astype(np.int32))
    table = np.concatenate(dense, axis=1)
    none = np.empty((len(table), 0), np.int32)
    return Points(table - table.mean(axis=0), np.stack(many, axis=1) if many else none)


def squares(a: Points, b: Points) -> np.ndarray:
    """Squared distances `[len(a), len(b)]` of all rows."""
    found = a.dense @ b.dense.T
    found *= -2
    found += np.einsum("nd,nd->n", b.dense, b.dense)
    found += np.einsum("nd,nd->n", a.dense, a.dense)[:, None]
    for mine, other in zip(a.codes.T, b.codes.T, strict=True):
        found += mine[:, None] != other
    return np.maximum(found, 0, out=found)


def apart(a: Points, b: Points) -> np.ndarray:
    """Distances `[n]` of pairs of rows.

    Example:
      >>> a = Points(np.array([[0.0], [3.0]]), np.array([[20], [21]]))
      >>> apart(a, a.take(np.array([0, 0]))).round(3).tolist()
      [0.0, 3.162]
    """
    numbers = ((a.dense - b.dense) ** 2).sum(axis=1)
    return np.sqrt(numbers + (a.codes != b.codes).sum(axis=1))


def _blocks(rows: int, others: int) -> Iterator[slice]:
    """Slices of rows whose distances from all others are held at once."""
    step = max(1, _BLOCK // others)
    return (slice(start, start + step) for start in range(0, rows, step))


def neighbours(table: Points, k: int) -> np.ndarray:
    """The nearest other rows of each row.

    Args:
      table: two rows or more.
      k: how many; all others if there are fewer.

    Returns:
      `[n, min(k, n - 1)]` row numbers, nearest first.

    Example:
      >>> table = Points(np.array([[0.0], [1.0], [5.0]]), np.empty((3, 0), int))
      >>> neighbours(table, 2).tolist()
      [[1, 2], [0, 2], [1, 0]]
    """
    rows, width = table.dense.shape
    k = min(k, rows - 1)
    if table.codes.shape[1] or not 0 < width <= _TREE:
        return _among_all(table, k)
    return _by_tree(table.dense, k)


def _by_tree(dense: np.ndarray, k: int) -> np.ndarray:
    """`neighbours` of points without codes."""
    from scipy.spatial import KDTree

    rows = len(dense)
    tree = KDTree(dense, leafsize=_LEAF)
    found = np.asarray(tree.query(dense, k=k + 1, workers=-1)[1])
    # A row is its own neighbour, though not the first among equal rows, and not even
    # found among many of them.
    own = found == np.arange(rows)[:, None]
    own[~own.any(axis=1), -1] = True
    return found[~own].reshape(rows, k)


def _among_all(table: Points, k: int) -> np.ndarray:
    """`neighbours` by all distances, of which few are sorted.

    The k-th smallest of the least distances of groups bounds those of the k nearest.
    """
    rows = len(table.dense)
    firsts = np.arange(0, rows, np.clip(rows // (8 * k), 1, _GROUP))
    out = np.empty((rows, k), np.int64)
    for block in _blocks(rows, rows):
        mine = np.arange(rows)[block]
        found = squares(table.take(mine), table)
        found[np.arange(len(mine)), mine] = np.inf
        least = np.minimum.reduceat(found, firsts, axis=1)
        bound = np.partition(least, k - 1, axis=1)[:, k - 1 : k]
        row, other = np.nonzero(found <= bound)
        order = np.lexsort((found[row, other], row))
        start = np.searchsorted(row, np.arange(len(mine)))
        out[block] = other[order[start[:, None] + np.arange(k)]]
    return out


def half_medians(
    table: Points, rows: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Half the median distance of rows from all rows, themselves included.

    Args:
      table: all rows.
      rows: `[m]` row numbers.
      rng: draws `MOST` of the rows to look at, if there are more.

    Returns:
      `[m]`.

    Example:
      >>> table = Points(np.array([[0.0], [1.0], [5.0]]), np.empty((3, 0), int))
      >>> half_medians(table, np.array([0, 2]), np.random.default_rng(0)).tolist()
      [0.5, 2.0]
    """
    others = table
    if len(table.dense) > MOST:
        others = table.take(rng.permutation(len(table.dense))[:MOST])
    size = len(others.dense)
    middle = sorted({(size - 1) // 2, size // 2})
    out = np.empty(len(rows))
    for block in _blocks(len(rows), size):
        found = squares(table.take(rows[block]), others)
        found.partition(middle, axis=1)
        out[block] = np.sqrt(found[:, middle]).mean(axis=1) / 2
    return out
