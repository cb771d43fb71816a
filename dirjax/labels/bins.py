"""Label bins, their width, histograms and shot groups.

Host numpy in float64 and no JAX: everything is computed once, before training.

Sources: Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021,
https://arxiv.org/abs/2102.09554 (shot groups); Freedman and Diaconis, "On the
histogram as a density estimator: L2 theory", 1981 (the width of bins).

**Deviations** from the public benchmark code: bins may have any origin and width, and
labels any sign and fraction.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from dirjax import checks

SHOTS = ("many", "median", "few")
_MAX_BINS = 10_000_000
# More bins than this of the default width, and they cover most labels only.
AUTO_BINS = 1_000
_CHUNK = 1 << 16


def numbers(values: ArrayLike, name: str = "labels") -> np.ndarray:
    """Labels, or what has another name, as a non-empty array of finite numbers."""
    array = np.asarray(values)
    if array.size == 0 or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be numbers, at least one, got shape {array.shape} and type "
            f"{array.dtype}; convert or drop the rest first."
        )
    finite = np.isfinite(array) if array.dtype.kind == "f" else np.True_
    if not finite.all():
        where = np.argwhere(np.atleast_1d(~finite))[0].tolist()
        raise ValueError(
            f"{name} must be finite, got {array[~finite][0]} at row "
            f"{where[0] if len(where) == 1 else where}; drop or fill such rows."
        )
    return array


def _decimal(name: str, value: Any) -> Fraction:
    """The decimal number as printed: 0.1 is one tenth, also as a float32."""
    try:
        return Fraction(str(value))
    except ValueError:
        raise ValueError(f"{name} must be a finite number, got {value!r}.") from None


@dataclasses.dataclass(frozen=True, eq=False)
class Bins:
    """Half-open bins `[edges[b], edges[b + 1])`; the last one holds its right edge.

    Args:
      edges: `[num + 1]` float64 or float32, in label units, increasing.

    Raises:
      ValueError: if there are fewer than two edges, or they do not increase.

    Example:
      >>> Bins(np.array([-1.0, 0.0, 0.5, 2.0])).index([-7, -0.5, 0, 1.9, 2]).tolist()
      [0, 0, 1, 2, 2]
    """

    edges: np.ndarray

    def __post_init__(self):
        edges = np.array(self.edges)
        edges = edges if edges.dtype == np.float32 else edges.astype(np.float64)
        if edges.ndim != 1 or edges.size < 2 or not np.isfinite(edges).all():
            raise ValueError(f"edges must be two or more finite numbers, got {edges}.")
        falls = np.diff(edges) <= 0
        if falls.any():
            raise ValueError(
                f"edges must increase, got {edges[:-1][falls][0]} before "
                f"{edges[1:][falls][0]} in {edges.dtype}; sort them or widen the bins."
            )
        edges.setflags(write=False)
        object.__setattr__(self, "edges", edges)

    @property
    def mean_width(self) -> float:
        """Mean width of a bin, in label units."""
        return float(self.edges[-1] - self.edges[0]) / self.num

    @classmethod
    def uniform(
        cls,
        *,
        width: float,
        origin: float | Fraction,
        num: int,
        dtype: DTypeLike = np.float64,
    ) -> "Bins":
        """Bins of equal width whose edges are exact decimal literals.

        Args:
          width: in label units, above 0.
          origin: the first edge. Edge k is the decimal number `origin + k * width`,
            rounded once: width 0.1 gives 0.3, not 0.30000000000000004.
          num: number of bins, up to 10 million.
          dtype: float64, or float32 to compare labels in float32 (STS-B-DIR).

        Returns:
          The bins.

        Raises:
          ValueError: if width or num is out of range.

        Example:
          >>> Bins.uniform(width=0.1, origin=0, num=3).edges.tolist()
          [0.0, 0.1, 0.2, 0.3]
        """
        step, start = _decimal("width", width), _decimal("origin", origin)
        if step <= 0:
            raise ValueError(f"the bin width must be above 0, got {width}.")
        if not 1 <= num <= _MAX_BINS:
            raise ValueError(
                f"there must be 1 to {_MAX_BINS} bins, got {num} of width {width} from "
                f"{float(start)}; change the bin width, origin or label range."
            )
        whole = math.lcm(step.denominator, start.denominator)
        first, gap = int(start * whole), int(step * whole)
        # Python divides integers of any size with one correct rounding.
        return cls(np.array([(first + k * gap) / whole for k in range(num + 1)], dtype))

    @classmethod
    def covering(
        cls,
        labels: ArrayLike,
        *,
        width: float,
        origin: float | None = None,
        label_range: tuple[float, float] | None = None,
        dtype: DTypeLike = np.float64,
    ) -> "Bins":
        """Bins of equal width over all labels, or over a given range.

        Args:
          labels: finite numbers of any shape.
          width: in label units, above 0.
          origin: the first edge. Default: the low end of `label_range`, else the
            largest multiple of the width that is not above the smallest label.
          label_range: `(low, high)`; the last bin contains `high` and ends at or just
            above it; labels outside go to the end bins. Default: all labels.
          dtype: as in `uniform`.

        Returns:
          The bins.

        Raises:
          ValueError: if the range is empty or holds no label, and as in `uniform`.

        Example:
          >>> Bins.covering([-0.25, 0.1], width=0.1).edges.tolist()
          [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2]
          >>> Bins.covering([0, 5], width=0.1, label_range=(0, 5)).num
          50
        """
        array, step = numbers(labels), _decimal("width", width)
        if step <= 0:
            raise ValueError(f"the bin width must be above 0, got {width}.")
        low, high = label_range or (array.min(), array.max())
        inside = (array >= low) & (array <= high)
        if label_range and not (low < high and inside.any()):
            raise ValueError(
                "label_range must be (low, high) and contain labels, got "
                f"{label_range} and labels from {array.min()} to {array.max()}; check "
                "the units."
            )
        start, end = _decimal("low", low), _decimal("high", high)
        if origin is not None:
            start = _decimal("origin", origin)
        elif not label_range:
            start = math.floor(start / step) * step
        span = (end - start) / step
        num = math.ceil(span) if label_range else math.floor(span) + 1
        return cls.uniform(width=width, origin=start, num=num, dtype=dtype)

    @property
    def num(self) -> int:
        """Number of bins."""
        return self.edges.size - 1

    @property
    def centers(self) -> np.ndarray:
        """Middle of each bin, `[num]` float64, in label units."""
        edges = self.edges.astype(np.float64)
        return (edges[:-1] + edges[1:]) / 2

    def index(self, labels: ArrayLike) -> np.ndarray:
        """Bin of each label: the one whose left edge is the last edge not above it.

        Labels and edges are compared in the lower precision of the two, so a float32
        label 0.7 reaches the edge 0.7 (widened to float64 it is 0.699999988).

        Args:
          labels: finite numbers of any shape.

        Returns:
          int32 of the same shape, 0 to num - 1; labels outside go to the end bins.

        Raises:
          ValueError: if a label is not finite, with its row.

        Example:
          >>> Bins.uniform(width=0.1, origin=0, num=10).index([0.3, 0.7, 9]).tolist()
          [3, 7, 9]
        """
        array, edges, num = numbers(labels), self.edges, self.num
        flat, low, width = array.ravel(), float(edges[0]), np.ptp(edges) / num
        if array.dtype.kind == "f" and array.itemsize < edges.itemsize:
            with np.errstate(over="ignore"):
                lowered = edges.astype(array.dtype)
            edges = lowered if (lowered[1:] > lowered[:-1]).all() else edges
        steps = np.arange(num + 1)
        regular = bool((np.abs(edges - (low + width * steps)) <= width / 4).all())
        # Integers in bins of one unit need no comparison.
        unit = low.is_integer() and np.array_equal(edges, low + steps)
        unit = unit and array.dtype.kind in "biu" and array.dtype != np.uint64
        out = np.empty(flat.size, np.int32)
        for at in range(0, flat.size, _CHUNK):  # Chunks fit into the cache.
            part = flat[at : at + _CHUNK]
            with np.errstate(over="ignore"):
                part = part.astype(np.int64 if unit else edges.dtype)
            if unit:
                found = np.clip(part, int(low), int(low) + num - 1) - int(low)
            elif regular:  # The guess is off by at most one; compare with the edges.
                guess = np.clip((part.astype(np.float64) - low) / width, 0, num - 1)
                found = guess.astype(np.int32)
                found -= part < edges[found]
                found += part >= edges[found + 1]
            else:
                found = np.searchsorted(edges, part, side="right") - 1
            out[at : at + _CHUNK] = np.clip(found, 0, num - 1)
        return out.reshape(array.shape)


def _middle(array: np.ndarray) -> tuple[float, float]:
    """The ends of the middle 99 %; of 20 numbers or more, no smallest and largest."""
    outside = max(0.005, 1 / (array.size - 1)) if array.size >= 20 else 0.005
    low, high = np.quantile(array, [outside, 1 - outside])
    return float(low), float(high)


def auto_width(labels: ArrayLike) -> float:
    """A default bin width, computed from the labels alone.

    Freedman and Diaconis' `2 IQR n^(-1/3)`, clipped to between 1/100 and 1/20 of the
    range of the middle 99 % of labels, without the smallest and the largest of 20
    labels or more, then rounded to the nearest of 1, 2, 5 times a power of ten. For
    integer labels the width is an integer, and 1 if that gives at most 100 bins over
    that range.

    Args:
      labels: finite numbers of any shape, at least two of them distinct.

    Returns:
      The width in label units, above 0.

    Raises:
      ValueError: if all labels are equal.

    Example:
      >>> auto_width(np.arange(90)), auto_width(np.linspace(0, 1, 1000))
      (1.0, 0.05)
    """
    array = numbers(labels).astype(np.float64).ravel()
    if array.min() == array.max():
        raise ValueError(f"labels must differ to get a bin width, all are {array[0]}.")
    first, last = np.quantile(array, [0.25, 0.75])
    low, high = _middle(array)
    span = (high - low) or (array.max() - array.min())
    whole = bool(np.all(array == np.round(array)))
    if whole and span <= 100:
        return 1.0
    width = 2 * (last - first) / np.cbrt(array.size)
    width = min(max(width, span / 100), span / 20)
    power = math.floor(math.log10(width))
    near = min(
        ((m, e) for e in (power, power + 1) for m in (1, 2, 5)),
        key=lambda pair: abs(math.log10(width) - math.log10(pair[0]) - pair[1]),
    )
    nice = float(f"{near[0]}e{near[1]}")
    return max(nice, 1.0) if whole else nice


def around_most(labels: ArrayLike, width: float) -> tuple[float, float]:
    """The middle 99 % of labels, and as much again on both sides, in whole bins.

    The smallest and the largest of 20 labels or more are not in the middle.

    Args:
      labels: finite numbers of any shape.
      width: of a bin, above 0.

    Example:
      >>> around_most([*range(1000), 10**9], 10.0)
      (0.0, 1990.0)
    """
    array = numbers(labels).astype(np.float64)
    low, high = _middle(array)
    span = high - low
    low, high = max(array.min(), low - span), min(array.max(), high + span)
    low, high = np.floor(low / width) * width, np.ceil(high / width) * width
    return float(f"{low:.12g}"), float(f"{high:.12g}")


def histogram(labels: ArrayLike, bins: Bins) -> np.ndarray:
    """Number of labels in each bin, `[num]` int64; end bins include labels outside.

    Example:
      >>> histogram([0, 0, 9], Bins.uniform(width=1, origin=0, num=3)).tolist()
      [2, 0, 1]
    """
    return np.bincount(bins.index(labels).ravel(), minlength=bins.num)


def shot_groups(
    counts: ArrayLike,
    many: int = 100,
    few: int = 20,
    explicit: Mapping[str, Sequence[int]] | None = None,
) -> np.ndarray:
    """Shot group of each bin: many above `many`, few below `few`, median between.

    Args:
      counts: `[num]` training counts.
      many: a bin with more examples is many-shot.
      few: a bin with fewer examples is few-shot.
      explicit: group name -> list of bins, instead of thresholds, for benchmarks with
        fixed lists (STS-B-DIR); every bin is in exactly one list.

    Returns:
      `[num]` int8, position in `SHOTS`.

    Raises:
      ValueError: if `few` exceeds `many`, or the lists miss or repeat a bin or name one
        that does not exist.

    Example:
      >>> shot_groups([101, 100, 20, 19, 0]).tolist()
      [0, 1, 1, 2, 2]
    """
    counts = np.asarray(counts)
    if explicit is None:
        if few > many + 1:
            raise ValueError(f"few must not exceed many, got few={few}, many={many}.")
        return np.where(counts > many, 0, np.where(counts < few, 2, 1)).astype(np.int8)
    groups, listed = np.empty(counts.size, np.int8), []
    for name in explicit:
        checks.one_of("shot group", name, SHOTS)
        listed += [int(b) for b in explicit[name]]
    if sorted(listed) != list(range(counts.size)):
        odd = {
            b
            for b in (*listed, *range(counts.size))
            if listed.count(b) != 1 or not 0 <= b < counts.size
        }
        raise ValueError(
            f"the shot lists must name each of the {counts.size} bins exactly once; "
            f"check bins {sorted(odd)[:10]}."
        )
    for name in explicit:
        groups[list(explicit[name])] = SHOTS.index(name)
    return groups
