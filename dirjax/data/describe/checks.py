"""Checks of labels and columns: pure functions of arrays, with thresholds.

`advice` turns the results into sentences. The statistics are a few lines of numpy,
since importing `scipy.stats` takes longer than describing a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from dirjax import labels

# Fewest rows of a pile-up. One at an end also needs this share of the rows, and this
# multiple of the mean count of the five nearest labels.
PILE_ROWS = 10
PILE_SHARE = 0.005
PILE_FACTOR = 5
# A single value with this share of fractional labels is no coincidence.
COMMON_SHARE = 0.05
# Far means this many box lengths (interquartile ranges) from the quartiles.
BOX_LENGTHS = 3
# Outliers are far, few, and a box length apart from the rest. Otherwise it is a tail.
FAR_SHARE = 0.01
# Round numbers have this multiple of their neighbours' rows, and at least this many.
HEAP_FACTOR = 2
HEAP_ROWS = 50


def piled(counts: np.ndarray) -> tuple[bool, bool]:
    """Whether labels pile up at the smallest label, and at the largest.

    Args:
      counts: `[distinct]` number of rows of each label, in label order.

    Example:
      >>> piled(np.array([2, 1, 2, 1, 2, 1, 40]))
      (False, True)
    """
    enough = max(PILE_ROWS, PILE_SHARE * counts.sum())
    first = counts[0] >= max(enough, PILE_FACTOR * counts[1:6].mean())
    last = counts[-1] >= max(enough, PILE_FACTOR * counts[-6:-1].mean())
    return bool(first), bool(last)


def common(distinct: np.ndarray, counts: np.ndarray) -> int | None:
    """Index of a label with far too many rows, for labels with fractions.

    Args:
      distinct: `[distinct]` labels, ascending.
      counts: `[distinct]` number of rows of each.
    """
    top = int(counts.argmax())
    fractions = np.any(distinct != np.round(distinct))
    enough = counts[top] >= max(PILE_ROWS, COMMON_SHARE * counts.sum())
    return top if fractions and enough else None


def far(x: np.ndarray) -> np.ndarray:
    """Values beyond three box lengths from the quartiles, `[n]` bool.

    Example:
      >>> far(np.array([1.0, 2, 3, 4, 5, 99])).tolist()
      [False, False, False, False, False, True]
    """
    low, high = np.quantile(x, (0.25, 0.75))
    reach = BOX_LENGTHS * (high - low)
    return ((x < low - reach) | (x > high + reach)) & (reach > 0)


def apart(x: np.ndarray) -> np.ndarray:
    """Outliers: values that are far, few, and beyond a gap of a box length.

    Args:
      x: `[n]` finite numbers.

    Returns:
      `[n]` bool; all False for a tail that thins out.
    """
    suspects = far(x)
    none = np.zeros(len(x), bool)
    if not suspects.any() or suspects.mean() > FAR_SHARE:
        return none
    box = np.subtract(*np.quantile(x, (0.75, 0.25)))
    usual = x[~suspects]
    found = none
    for side, edge in ((x, usual.max()), (-x, -usual.min())):
        tail = np.sort(np.append(side[suspects & (side > edge)], edge))
        gaps = np.flatnonzero(np.diff(tail) >= box)
        if len(gaps):
            found = found | (side >= tail[gaps[0] + 1])
    return found


def skewness(x: np.ndarray) -> float:
    """Skewness, the standardised third central moment; 0 if all are equal.

    Example:
      >>> round(skewness(np.array([0.0, 0, 0, 1])), 3)
      1.155
    """
    centred = x - x.mean()
    spread = np.sqrt(np.mean(centred**2))
    return float(np.mean(centred**3) / spread**3) if spread else 0.0


def heap(distinct: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Round numbers that are more frequent than their neighbours.

    Args:
      distinct: `[distinct]` labels, ascending.
      counts: `[distinct]` number of rows of each.

    Returns:
      The round number (2, 5 or 10 units, where a unit is the largest power of ten that
      divides nine in ten labels) and how many times as frequent its multiples are; (0,
      0) if there is none.
    """
    nothing = (0.0, 0.0)
    if len(distinct) < 2:
        return nothing
    span = distinct[-1] - distinct[0]
    for power in range(math.floor(math.log10(span / 50)), -7, -1):
        unit = 10.0**power
        if span / unit > 1e5:
            return nothing
        steps = np.round(distinct / unit)
        # Labels are float32.
        near = np.abs(distinct - steps * unit) <= 2e-7 * np.abs(distinct)
        if counts[near].sum() >= 0.9 * counts.sum():
            break
    else:
        return nothing
    first = steps[near].min() - 1
    at = (steps[near] - first).astype(int)
    line = np.bincount(at, counts[near], minlength=at.max() + 2)
    position = np.arange(1, len(line) - 1)
    last = (position + first) % 10

    def ratio(chosen: np.ndarray) -> float:
        here = line[position[chosen]].sum()
        beside = (line[position[chosen] - 1] + line[position[chosen] + 1]).sum() / 2
        return float(here / max(beside, 1.0)) if here >= HEAP_ROWS else 0.0

    tens, fives = ratio(last == 0), ratio(last == 5)
    evens = ratio((last % 2 == 0) & (last != 0))
    for step, times in ((2, evens), (5, min(tens, fives)), (10, tens)):
        if times > HEAP_FACTOR:
            return step * unit, times
    return nothing


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation; 0 if either is constant."""
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt((a @ a) * (b @ b))
    return float(a @ b) / size if size else 0.0


def explained(group: np.ndarray, y: np.ndarray) -> float:
    """Share of the variance of `y` between groups, adjusted for their number.

    Args:
      group: `[rows]` int from 0.
      y: `[rows]`.

    Returns:
      At most 1; 0 if groups have fewer than two rows on average.

    Example:
      >>> explained(np.array([0, 0, 1, 1]), np.array([5.0, 5.0, 7.0, 7.0]))
      1.0
    """
    sizes = np.bincount(group)
    used = int(np.sum(sizes > 0))
    total = np.sum((y - y.mean()) ** 2)
    if used * 2 > len(y) or used < 2 or not total:
        return 0.0
    means = np.bincount(group, y) / np.maximum(sizes, 1)
    inside = np.sum((y - means[group]) ** 2)
    return float(1 - inside / total * (len(y) - 1) / (len(y) - used))


def distance(p: np.ndarray, q: np.ndarray) -> float:
    """Total variation distance of two distributions: 0 if equal, 1 if disjoint."""
    return float(np.abs(p / p.sum() - q / q.sum()).sum() / 2)


def cut(keep: float, leave: float, edges: Sequence[float]) -> float:
    """A limit between a label to keep and one to leave out.

    Args:
      keep: a label to keep.
      leave: a label to leave out.
      edges: edges of the bins; prefers one in between, so that bins do not change.

    Example:
      >>> cut(34.0, 99.0, [0, 10, 20, 30, 40, 50]), cut(34.5, 35.0, [0, 50])
      (40, 34.75)
    """
    low, high = sorted((keep, leave))
    between = [e for e in edges if low < e < high or e == keep]
    if between:
        return min(between, key=lambda e: abs(e - keep))
    whole = float(keep).is_integer()
    return float(keep) if whole else float(f"{(keep + leave) / 2:.7g}")


def thresholds(
    train: np.ndarray, test: np.ndarray, least: int
) -> tuple[int, int] | None:
    """Thresholds `many` and `few` that divide the bins most nearly into thirds.

    Args:
      train: `[bins]` training rows of each bin.
      test: `[bins]` test rows.
      least: fewest test rows of each shot.

    Returns:
      `(many, few)`: bins with more than `many` rows are many-shot, those with fewer
      than `few` few-shot. None if no pair leaves so many test rows.

    Example:
      >>> thresholds(np.array([1, 2, 5, 6, 20, 30]), np.full(6, 9), 10)
      (6, 5)
    """
    filled = train > 0
    counts = np.unique(train[filled])
    if len(counts) > 60:
        counts = np.unique(np.quantile(counts, np.linspace(0, 1, 60)).astype(int))
    best, found = np.inf, None
    for few in counts:
        for many in counts[counts >= few]:
            shots = (train > many, filled & (train < few))
            shots = (*shots, filled & ~shots[0] & ~shots[1])
            if min(test[s].sum() for s in shots) < least:
                continue
            uneven = sum(abs(s.sum() - filled.sum() / 3) for s in shots)
            if uneven < best:
                best, found = uneven, (int(many), int(few))
    return found


def wider(
    x: np.ndarray, width: float, good: Callable[[np.ndarray], bool]
) -> float | None:
    """The next suitable wider bins, 1, 2 or 5 times a power of ten.

    Args:
      x: `[n]` labels.
      width: current width of the bins.
      good: tells whether bin counts are suitable.

    Returns:
      A width that leaves five bins or more, or None.

    Example:
      >>> wider(np.arange(100.0), 1, lambda c: c.min() >= 5)
      5.0
    """
    span, power = x.max() - x.min(), math.floor(math.log10(width))
    for size in (float(f"{m}e{p}") for p in range(power, power + 6) for m in (1, 2, 5)):
        if width * (1 + 1e-9) < size <= span / 5:
            bins = labels.Bins.covering(x, width=size)
            if good(labels.histogram(x, bins)):
                return size
    return None
