"""Segments of labels that are rare or common, and their sizes after resampling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dirjax import checks

AMOUNTS = ("balance", "extreme")


def segments(labels: np.ndarray, phi: np.ndarray, threshold: float) -> list[np.ndarray]:
    """Rows of each segment, in the order of the label.

    Args:
      labels: `[n]`.
      phi: `[n]`, their relevance.
      threshold: a label is rare from this relevance on.

    Returns:
      Arrays of row numbers; rare and common segments alternate.

    Raises:
      ValueError: if no label is rare, or all are.

    Example:
      >>> found = segments(np.array([9, 1, 2, 3]), np.array([1, 0, 0, 0]), 0.5)
      >>> [rows.tolist() for rows in found]
      [[1, 2, 3], [0]]
    """
    order = np.argsort(labels, kind="stable")
    rare = phi[order] >= threshold
    if rare.all() or not rare.any():
        raise ValueError(
            f"relevance must be at least {threshold:g} for some labels and less for "
            f"others, it is from {phi.min():.3g} to {phi.max():.3g}. Without outliers "
            "in a box plot nothing is rare: give control_points, relevance='density', "
            "or another threshold."
        )
    return np.split(order, np.flatnonzero(np.diff(rare)) + 1)


def sizes(counts: Sequence[int], amount: str | Sequence[float]) -> list[int]:
    """Rows of each segment after resampling.

    Args:
      counts: rows of each segment, at least one each.
      amount: `"balance"` gives all segments the same size; `"extreme"` sizes in
        inverse proportion to their counts; both keep the total, but for rounding. Or a
        factor for each segment, in the order of the label.

    Returns:
      Sizes, at least 1.

    Raises:
      ValueError: for an unknown amount, or factors that are not one for each segment.

    Example:
      >>> [sizes([90, 10], amount) for amount in ("balance", "extreme", [1, 3])]
      [[50, 50], [10, 90], [90, 30]]
    """
    n = np.asarray(counts, np.float64)
    if isinstance(amount, str):
        checks.one_of("amount", amount, AMOUNTS)
        each = np.full(len(n), n.sum() / len(n))
        if amount == "extreme":
            each = n.sum() / n / (1 / n).sum()
    else:
        factors = np.asarray(amount, np.float64)
        if factors.shape != n.shape or not (factors > 0).all():
            raise ValueError(
                f"amount must be balance, extreme, or {len(n)} factors above 0, one "
                f"for each segment of labels, got {amount!r}."
            )
        each = n * factors
    return np.maximum(np.round(each), 1).astype(int).tolist()
