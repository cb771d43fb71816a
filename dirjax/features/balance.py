"""Feature balance: how similar the features within a label bin are.

The variance of each of the `dim` features over the examples of a label bin is pooled
over features into one number; smaller is more balanced. Section 8.8 of "Lifting
Imbalanced Regression with Self-Supervised Learning", ICLR 2022 submission; after
"Exploring Balanced Feature Spaces for Representation Learning", Kang et al., ICLR 2021.
https://openreview.net/forum?id=OqtLIabPTit

    sigma = (1 / dim) sum_i sigma_i^2           # "mean"
    sigma = exp((1 / dim) sum_i log sigma_i^2)  # "log_product"

**Deviations**, and readings where the source is silent:

- The operator in Eq. 14 is missing. The default is the mean; the product, which suits
  independent Gaussian features, is available as a geometric mean, in logarithms, since
  a product of 2048 small numbers underflows. A single constant feature would also make
  it 0, so variances are at least `FLOOR` of the mean variance over the whole split.
- Variances divide by `count - 1`, so that bins with few examples do not look balanced.
  A bin with fewer than two examples is left out.
- The value of a group of bins is the unweighted mean over its bins.
- The scale of features is arbitrary and differs between methods. The source gives raw
  numbers; here reports add the ratio to the variance over the whole split (all bins
  together), pooled in the same way, which is invariant to feature scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks
from dirjax.labels import SHOTS

POOLS = ("mean", "log_product")
FLOOR = 1e-6


def variances(count: ArrayLike, m2: ArrayLike) -> np.ndarray:
    """Variance of each feature in each bin.

    Args:
      count: `[...]` examples.
      m2: `[..., dim]` sums of squared deviations from the mean.

    Returns:
      `[..., dim]` float64, NaN with fewer than two examples.

    Raises:
      ValueError: if the shapes do not fit.

    Example:
      >>> variances([3, 1], [[4.0], [0.0]]).tolist()
      [[2.0], [nan]]
    """
    count, m2 = np.asarray(count, np.float64), np.asarray(m2, np.float64)
    if m2.ndim < 1 or m2.shape[:-1] != count.shape:
        raise ValueError(
            f"m2 must have the shape of count with one more axis, got {m2.shape} and "
            f"{count.shape}."
        )
    divisor = np.where(count > 1, count - 1, np.nan)
    return m2 / divisor[..., None]


def pooled(variance: ArrayLike, how: str = "mean", least: float = 0.0) -> np.ndarray:
    """Pools the variances of all features into one number.

    Args:
      variance: `[..., dim]`, from 0; rows of NaN stay NaN.
      how: "mean", or "log_product" for the geometric mean.
      least: lower bound of variances in the geometric mean, which a single 0 would make
        0.

    Returns:
      `[...]` float64.

    Raises:
      ValueError: for an unknown `how`.

    Example:
      >>> [float(pooled([1.0, 4.0], how).round(6)) for how in POOLS]
      [2.5, 2.0]
    """
    checks.one_of("how", how, POOLS)
    variance = np.asarray(variance, np.float64)
    if how == "mean":
        return variance.mean(axis=-1)
    # The maximum with NaN stays NaN.
    variance = np.maximum(variance, least)
    none = variance == 0
    mean = np.exp(np.log(np.where(none, 1, variance)).mean(axis=-1))
    return np.where(none.any(axis=-1), 0.0, mean)


def union(
    count: ArrayLike, mean: ArrayLike, m2: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Merges count and squared deviations of all bins.

    Args:
      count: `[bins]` examples.
      mean: `[bins, dim]` mean features.
      m2: `[bins, dim]` sums of squared deviations from them.

    Returns:
      The count, a scalar, and `[dim]` sums of squared deviations.

    Example:
      >>> total, m2 = union([1, 1], [[1.0], [3.0]], [[0.0], [0.0]])
      >>> int(total), m2.tolist()
      (2, [2.0])
    """
    count, mean = np.asarray(count, np.float64), np.asarray(mean, np.float64)
    column, total = count[:, None], count.sum()
    gap = mean - (column * mean).sum(axis=0) / max(total, 1.0)
    return total, (np.asarray(m2, np.float64) + column * gap**2).sum(axis=0)


def by_shot(values: ArrayLike, shots: ArrayLike) -> dict[str, float | None]:
    """Means over groups of bins.

    Args:
      values: `[bins]`, NaN for bins to leave out.
      shots: `[bins]` int, index into `labels.SHOTS`.

    Returns:
      "all", "many", "median" and "few"; None for a group without a bin.

    Example:
      >>> by_shot([1.0, 3.0, float("nan")], [0, 0, 2])
      {'all': 2.0, 'many': 2.0, 'median': None, 'few': None}
    """
    values, shots = np.asarray(values, np.float64), np.asarray(shots)
    real = np.isfinite(values)
    groups = {"all": real}
    groups |= {name: real & (shots == code) for code, name in enumerate(SHOTS)}
    return {
        name: float(values[here].mean()) if here.any() else None
        for name, here in groups.items()
    }


def _variance_of_norms(
    count: np.ndarray, mean: np.ndarray, m2: ArrayLike, length: np.ndarray
) -> np.ndarray:
    """The variance of norms, from the moments of features."""
    squares = np.asarray(m2, np.float64).sum(axis=-1) + count * (mean**2).sum(axis=-1)
    left = np.maximum(squares - count * length**2, 0)
    return left / np.where(count > 1, count - 1, np.nan)


def summary(
    count: ArrayLike, mean: ArrayLike, m2: ArrayLike, norm: ArrayLike
) -> dict[str, np.ndarray]:
    """Feature balance and feature norms by bin.

    Args:
      count: `[bins]` examples of a split.
      mean: `[bins, dim]` mean features.
      m2: `[bins, dim]` sums of squared deviations.
      norm: `[bins]` sums of the L2 norms of features.

    Returns:
      `count` `[bins]` int64; `norm` and `norm_prototype` `[bins]`, the mean L2 norm and
      the norm of the mean, NaN in empty bins; `norm_std` `[bins]`, sample standard
      deviation of norms, NaN in bins with fewer than two examples; `variance_mean` and
      `variance_log_product` `[bins]`, NaN in bins with fewer than two examples;
      `total_mean` and `total_log_product`, the same over the whole split; `dim`.

    Example:
      >>> found = summary([2, 0], [[1.0], [0.0]], [[2.0], [0.0]], [2.0, 0.0])
      >>> found["variance_mean"].tolist(), found["norm"].tolist()
      ([2.0, nan], [1.0, nan])
    """
    count = np.asarray(count, np.float64)
    within, total = variances(count, m2), variances(*union(count, mean, m2))
    floor = FLOOR * float(pooled(total))
    mean, divisor = np.asarray(mean, np.float64), np.where(count > 0, count, np.nan)
    length = np.asarray(norm, np.float64) / divisor
    found = {
        "count": np.rint(count).astype(np.int64),
        "norm": length,
        "norm_std": np.sqrt(_variance_of_norms(count, mean, m2, length)),
        "norm_prototype": np.linalg.norm(mean, axis=-1) + 0 * divisor,
        "dim": np.asarray(within.shape[-1]),
    }
    for how in POOLS:
        found[f"variance_{how}"] = pooled(within, how, floor)
        found[f"total_{how}"] = pooled(total, how, floor)
    return found
