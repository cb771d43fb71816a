"""Relevance of labels: how much an error at a label matters.

Ribeiro and Moniz, "Imbalanced regression and extreme value prediction", Machine
Learning 2020, https://doi.org/10.1007/s10994-020-05900-9; its monotone cubic is that of
Fritsch and Carlson, "Monotone piecewise cubic interpolation", 1980. Sigmoid and density
are those of the RESREG package: Gado et al., "Improving enzyme optimum temperature
prediction with resampling strategies and ensemble learning", J. Chem. Inf. Model. 2020,
https://doi.org/10.1021/acs.jcim.0c00489.

**Deviations**: relevance beyond the smallest label of a side without outliers is 0
(SMOGN package: 1); without any outliers relevance is 0 everywhere (SMOGN package: an
error). Outside the given control points relevance is that of the nearest one (UBL
package: a straight line; SMOGN package: 1 on the left, a straight line on the right).
Two sigmoids whose sum is above 1 count as 1 (RESREG package: more than 1), and the
slope takes the size of the centre, so that cut points may be negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks
from dirjax.labels import bins as labels_lib
from dirjax.labels.kernel_density import kernel_density


def relevance(
    labels: ArrayLike,
    query: ArrayLike,
    *,
    coef: float = 1.5,
    side: str = "both",
    control_points: Sequence[Sequence[float]] | None = None,
) -> np.ndarray:
    """Relevance of labels: 0 at the median, 1 from the whiskers of a box plot on.

    A whisker is the outermost label within `coef` box lengths of the box. A side
    without labels beyond its whisker has relevance 0. Between median and whisker the
    monotone cubic through both with slopes 0 is `t^2 (3 - 2 t)`. With control points,
    relevance is the monotone cubic through them, and labels do not matter.

    Args:
      labels: training labels that define the box plot.
      query: labels to evaluate, any shape.
      coef: whisker length in box lengths.
      side: `"both"`, `"high"` or `"low"`.
      control_points: `(label, relevance)` or `(label, relevance, slope)` of two or more
        labels, ascending; relevance is from 0 to 1, slopes are 0 unless given.

    Returns:
      float64 of the query's shape, 0 to 1.

    Raises:
      ValueError: if a label is not finite, for an unknown side, or for control points
        that do not ascend or whose relevance is out of range.

    Example:
      >>> relevance([1, 2, 3, 4, 5, 30], [1, 3.5, 4.25, 5, 30]).tolist()
      [0.0, 0.0, 0.5, 1.0, 1.0]
      >>> relevance([1], [0, 5, 10, 15], control_points=[(0, 0), (10, 1)]).tolist()
      [0.0, 0.5, 1.0, 1.0]
    """
    checks.one_of("side", side, ("both", "high", "low"))
    array, asked = (labels_lib.numbers(x).astype(np.float64) for x in (labels, query))
    if control_points is not None:
        return _through(np.asarray(control_points, np.float64), asked)
    first, third = np.quantile(array, [0.25, 0.75], method="midpoint")
    median, reach = np.median(array), coef * (third - first)
    inside = array[(array >= first - reach) & (array <= third + reach)]
    phi = np.zeros_like(asked)
    if not inside.size:  # For example, two labels: the box lies between them.
        return phi
    for name, sign, whisker in (("low", -1, inside.min()), ("high", 1, inside.max())):
        if side in ("both", name) and (sign * (array - whisker) > 0).any():
            away, full = sign * (asked - median), sign * (whisker - median)
            t = np.clip(away / full, 0, 1) if full > 0 else (away > 0).astype(float)
            phi += t**2 * (3 - 2 * t)
    return phi


def _through(points: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The monotone cubic through control points `[n, 2]` or `[n, 3]`."""
    from scipy.interpolate import CubicHermiteSpline

    if points.ndim != 2 or len(points) < 2 or points.shape[1] not in (2, 3):
        raise ValueError(
            "control_points must be (label, relevance) or (label, relevance, slope) of "
            f"two or more labels, got an array of shape {points.shape}."
        )
    x, y = points[:, 0], points[:, 1]
    ordered = bool(np.isfinite(points).all() and (np.diff(x) > 0).all())
    if not ordered or y.min() < 0 or y.max() > 1:
        raise ValueError(
            "control_points must ascend in the label, with relevance from 0 to 1, got "
            f"{points.tolist()}."
        )
    slope = points[:, 2].copy() if points.shape[1] == 3 else np.zeros(len(x))
    secant = np.diff(y) / np.diff(x)
    for k, rise in enumerate(secant):
        if rise == 0:
            slope[k : k + 2] = 0
            continue
        size = np.hypot(slope[k], slope[k + 1]) / abs(rise)
        if size > 3:  # Steeper ones would overshoot.
            slope[k : k + 2] *= 3 / size
    curve = CubicHermiteSpline(x, y, slope)
    return np.clip(curve(np.clip(asked, x[0], x[-1])), 0, 1)


# Relevance at twice the cut point, and 1 - that at 0.
_AT_TWICE = 1 - 1e-4


def sigmoid_relevance(
    labels: ArrayLike,
    query: ArrayLike,
    *,
    low: float | None = None,
    high: float | None = None,
) -> np.ndarray:
    """Relevance that rises beyond cut points, where it is about one half.

    `1 / (1 + exp(-s (y - c)))` above a high cut point, mirrored below a low one, and
    the sum of both if there are two. The centre `c` is the cut point, a thousandth of
    the labels' deviation further out, and the slope `s = log(1e4 - 1) / |c|`: so
    relevance depends on where labels have their 0, and suits labels above 0.

    Args:
      labels: training labels, for their deviation.
      query: labels to evaluate, any shape.
      low: cut point below which labels are relevant.
      high: cut point above which labels are relevant.

    Returns:
      float64 of the query's shape, 0 to 1.

    Raises:
      ValueError: if a label is not finite, without a cut point, or for a centre of 0.

    Example:
      >>> sigmoid_relevance([5.0], [0, 10, 20], high=10.0).round(4).tolist()
      [0.0001, 0.5, 0.9999]
    """
    array, asked = (labels_lib.numbers(x).astype(np.float64) for x in (labels, query))
    beyond, phi = 1e-3 * array.std(), np.zeros_like(asked)
    if low is None and high is None:
        raise ValueError("sigmoid_relevance needs a cut point: give low, high or both.")
    for sign, cut in ((-1, low), (1, high)):
        if cut is None:
            continue
        center = cut + sign * beyond
        if not center or not np.isfinite(center):
            raise ValueError(
                f"a cut point must be a finite number other than 0, got {cut}: its "
                "distance from 0 sets the slope. Move the labels, or cut elsewhere."
            )
        slope = np.log(_AT_TWICE / (1 - _AT_TWICE)) / abs(center)
        # The logistic function, without overflow.
        phi += 0.5 * (1 + np.tanh(0.5 * sign * slope * (asked - center)))
    return np.minimum(phi, 1)


def _silverman(labels: np.ndarray) -> float:
    """Silverman's rule of thumb for labels that are not all equal."""
    first, third = np.quantile(labels, [0.25, 0.75])
    spread = min(labels.std(), (third - first) / 1.34) or labels.std()
    return float(0.9 * spread * len(labels) ** -0.2)


def density_relevance(
    labels: ArrayLike, query: ArrayLike, *, bandwidth: float | None = None
) -> np.ndarray:
    """Relevance by rarity: 1 where training labels are sparsest, 0 where densest.

    `1 - (p(y) - min p) / (max p - min p)`, with the Gaussian kernel density `p` of the
    training labels and its extremes over them, see `kernel_density`.

    Args:
      labels: training labels.
      query: labels to evaluate, any shape.
      bandwidth: deviation of the kernel. Default: Silverman's rule of thumb, `0.9
        min(deviation, quartile range / 1.34) n^(-1/5)`.

    Returns:
      float64 of the query's shape, 0 to 1; 0 everywhere if all labels are equal.

    Raises:
      ValueError: if a label is not finite, or the bandwidth not positive.

    Example:
      >>> density_relevance([1, 1, 1, 9], [1, 9], bandwidth=1).round(3).tolist()
      [0.0, 1.0]
    """
    array, asked = (labels_lib.numbers(x).astype(np.float64) for x in (labels, query))
    array = array.ravel()
    if bandwidth is not None:
        checks.positive("bandwidth", bandwidth)
    if array.min() == array.max():
        return np.zeros_like(asked)
    width = _silverman(array) if bandwidth is None else bandwidth
    grid, density = kernel_density(array, bandwidth=width)
    seen = np.interp(array, grid, density)
    span = seen.max() - seen.min()
    if span <= 1e-5 * seen.max():  # as dense everywhere
        return np.zeros_like(asked)
    found = np.interp(asked, grid, density, left=0.0, right=0.0)
    return np.clip(1 - (found - seen.min()) / span, 0, 1)
