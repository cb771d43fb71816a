"""Stress tests of a split: labels without training rows, and other degrees of skew.

Validation and test keep their rows; only training loses some. `unseen` removes whole
bins: both ends (extrapolation), the middle (interpolation), or a few drawn ones (blind
spots), as in the extrapolation and interpolation tests of "Delving into Deep Imbalanced
Regression", Yang et al., ICML 2021, https://arxiv.org/abs/2102.09554. `skewed` thins
bins to a given ratio of the fullest to the emptiest one.

**Deviations**: the paper removes hand-chosen ranges of ages, which are not known here
as lists; these are shares of the bins that have training rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks

KINDS = ("extrapolation", "interpolation", "blind_spot")


def unseen(counts: ArrayLike, kind: str, share: float, *, seed: int = 0) -> np.ndarray:
    """The bins that lose all training rows.

    Args:
      counts: `[num]` training rows of each bin.
      kind: "extrapolation": as many at both ends; "interpolation": neighbours in the
        middle; "blind_spot": drawn, and neither the first nor the last.
      share: of the bins with rows, above 0 and below 1; at least one bin goes (of the
        ends, one each), and one is left.
      seed: of the draw, from 0.

    Returns:
      `[num]` bool.

    Raises:
      ValueError: for an option out of range, or too few bins.

    Example:
      >>> unseen([5, 0, 9, 4, 1, 1], "extrapolation", 0.4).nonzero()[0].tolist()
      [0, 5]
      >>> unseen([5, 0, 9, 4, 1, 1], "interpolation", 0.4).nonzero()[0].tolist()
      [2, 3]
    """
    checks.one_of("data.unseen", kind, KINDS)
    if not 0 < share < 1:
        raise ValueError(
            f"data.unseen_share must be above 0 and below 1, got {share!r}."
        )
    full = np.flatnonzero(np.asarray(counts))
    inner = full if kind == "interpolation" else full[1:-1]
    most = len(inner) if kind == "blind_spot" else len(full) - 1
    number = min(max(1, round(share * len(full))), most)
    if number < 1 or len(full) < 3:
        raise ValueError(
            f"data.unseen needs at least 3 bins with training rows, got {len(full)}. "
            "Set a smaller data.bin_width."
        )
    out = np.zeros(len(np.asarray(counts)), bool)
    if kind == "extrapolation":
        side = max(1, number // 2)
        out[full[:side]] = out[full[-side:]] = True
    elif kind == "interpolation":
        start = (len(full) - number) // 2
        out[full[start : start + number]] = True
    else:
        rng = np.random.Generator(np.random.Philox(key=[seed, 3]))
        out[rng.permutation(inner)[:number]] = True
    return out


def skewed(counts: ArrayLike, ratio: float) -> np.ndarray:
    """Rows to keep in each bin, so that the fullest has `ratio` times the emptiest.

    Counts are raised to the power that gives this ratio, and scaled to the largest ones
    that do not exceed them: flatter keeps the emptiest bin, steeper the fullest one.

    Args:
      counts: `[num]` training rows of each bin.
      ratio: at least 1.

    Returns:
      `[num]` int64, at least 1 in bins with rows.

    Raises:
      ValueError: for a ratio below 1 or above the largest count, or counts that are all
        equal and another ratio.

    Example:
      >>> skewed([100, 10, 4, 0], 5.0).tolist()
      [20, 6, 4, 0]
      >>> skewed([100, 10, 4, 0], 50.0).tolist()
      [100, 6, 2, 0]
    """
    counts = np.asarray(counts, np.float64)
    if not ratio >= 1:
        raise ValueError(f"data.imbalance must be at least 1, got {ratio!r}.")
    some = counts > 0
    least, most = counts[some].min(), counts.max()
    if least == most and ratio > 1:
        raise ValueError(
            f"data.imbalance must be 1 where all bins have {most:g} training rows, got "
            f"{ratio:g}."
        )
    if ratio > most:
        raise ValueError(
            f"data.imbalance must be at most {most:g}, the training rows of the "
            f"fullest bin, since others keep one row, got {ratio:g}. Set a larger "
            "data.bin_width, or a smaller ratio."
        )
    power = np.log(ratio) / np.log(most / least) if most > least else 1.0
    base = least if power < 1 else most
    kept = base * (np.where(some, counts, 1) / base) ** power
    kept = np.where(some, np.maximum(np.round(kept), 1), 0)
    return np.minimum(kept, counts).astype(np.int64)


def thin(part: np.ndarray, bins: np.ndarray, kept: np.ndarray, *, seed: int) -> None:
    """Takes training rows away, drawn with a seed, in place.

    Args:
      part: `[rows]` int8, 0 for training; rows that go become -1.
      bins: `[rows]` int, the bin of each row.
      kept: `[num]` rows to keep in each bin.
      seed: any integer from 0.
    """
    train = np.flatnonzero(part == 0)
    rng = np.random.Generator(np.random.Philox(key=[seed, 4]))
    train = rng.permutation(train)
    train = train[np.argsort(bins[train], kind="stable")]
    counts = np.bincount(bins[train], minlength=len(kept))
    rank = np.arange(len(train)) - (np.cumsum(counts) - counts)[bins[train]]
    part[train[rank >= np.asarray(kept)[bins[train]]]] = -1


def imbalance(counts: ArrayLike) -> dict[str, float]:
    """Measures of the imbalance of bins.

    Args:
      counts: `[num]` rows of each bin, one above 0.

    Returns:
      "ratio": the fullest over the emptiest bin, of those with rows. "gini": 0 if all
      bins have the same number, towards 1 if one has all; and "entropy": that of the
      distribution over bins, relative to that of uniform labels, 1 if all are equal,
      both over all bins, empty ones included.

    Example:
      >>> {k: round(v, 3) for k, v in imbalance([6, 2, 0, 0]).items()}
      {'ratio': 3.0, 'gini': 0.625, 'entropy': 0.406}
    """
    counts = np.sort(np.asarray(counts, np.float64))
    full, num, total = counts[counts > 0], len(counts), counts.sum()
    ranks = np.arange(1, num + 1)
    share = full / total
    entropy = -(share @ np.log(share)) / np.log(num) if num > 1 else 1.0
    return {
        "ratio": float(full.max() / full.min()),
        "gini": float((2 * ranks - num - 1) @ counts / (num * total)),
        "entropy": float(abs(entropy)),
    }
