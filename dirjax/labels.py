"""Label bins, histograms, smoothing kernels, weights, shot groups and splits.

Host numpy in float64 and no JAX: all of it is computed once, before training.

Sources: Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021,
https://arxiv.org/abs/2102.09554 (weights, label distribution smoothing, shot groups,
split rule); Ribeiro and Moniz, "Imbalanced regression and extreme value prediction",
Machine Learning 2020 (relevance).

**Deviations** from the public benchmark code: bins have any origin and width, labels
any sign and fraction. Smoothed integer counts are cut to integers only with
`truncate=True`; the public code always does so under `"inverse"`. A bin without
density gets the largest weight in use, not infinity. Relevance beyond the smallest
label of a side without outliers is 0 (SMOGN package: 1); no outliers at all give
zeros (SMOGN package: an error).
"""

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

SHOTS = ("many", "median", "few")
KERNELS = ("gaussian", "gaussian_exact", "triang", "laplace")
_PAD_MODES: Any = {"zero": "constant", "edge": "symmetric", "reflect": "reflect"}
_MAX_BINS = 10_000_000
_CHUNK = 1 << 16


def _choose(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}.")


def _numbers(labels: ArrayLike) -> np.ndarray:
    """Labels as a non-empty array of finite integers or floats."""
    array = np.asarray(labels)
    if array.size == 0 or array.dtype.kind not in "biuf":
        raise ValueError(
            f"labels must be numbers, at least one, got shape {array.shape} and type "
            f"{array.dtype}; convert or drop the rest first."
        )
    finite = np.isfinite(array) if array.dtype.kind == "f" else np.True_
    if not finite.all():
        where = np.argwhere(np.atleast_1d(~finite))[0].tolist()
        raise ValueError(
            f"labels must be finite, got {array[~finite][0]} at row "
            f"{where[0] if len(where) == 1 else where}; drop or fill such rows."
        )
    return array


def _decimal(name: str, value: Any) -> Fraction:
    """The number that a person reads: 0.1 is one tenth, also as a float32."""
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

    @classmethod
    def uniform(
        cls,
        *,
        width: float,
        origin: float | Fraction,
        num: int,
        dtype: DTypeLike = np.float64,
    ) -> "Bins":
        """Bins of equal width whose edges are the literals a person would write.

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
        """Bins of equal width over all labels, or over a stated range.

        Args:
          labels: finite numbers of any shape.
          width: in label units, above 0.
          origin: the first edge. Default: the low end of `label_range`, else the
            largest multiple of the width that is not above the smallest label.
          label_range: `(low, high)`; the last bin ends at or just above high and holds
            it, and labels outside go to the end bins. Default: all labels.
          dtype: as in `uniform`.

        Returns:
          The bins.

        Raises:
          ValueError: if the range is empty or holds no label, or as `uniform`.

        Example:
          >>> Bins.covering([-0.25, 0.1], width=0.1).edges.tolist()
          [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2]
          >>> Bins.covering([0, 5], width=0.1, label_range=(0, 5)).num
          50
        """
        array, step = _numbers(labels), _decimal("width", width)
        if step <= 0:
            raise ValueError(f"the bin width must be above 0, got {width}.")
        low, high = label_range or (array.min(), array.max())
        inside = (array >= low) & (array <= high)
        if label_range and not (low < high and inside.any()):
            raise ValueError(
                f"label_range must be (low, high) around labels, got {label_range} and "
                f"labels from {array.min()} to {array.max()}; check the units."
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
        """Bin of each label: that of the last edge not above it.

        Labels and edges are compared in the lower precision of the two, so a float32
        label 0.7 reaches the edge 0.7 (widened to float64 it is 0.699999988).

        Args:
          labels: finite numbers of any shape.

        Returns:
          int32 of the same shape, 0 to num - 1; outside labels go to the end bins.

        Raises:
          ValueError: if a label is not finite, with its row.

        Example:
          >>> Bins.uniform(width=0.1, origin=0, num=10).index([0.3, 0.7, 9]).tolist()
          [3, 7, 9]
        """
        array, edges, num = _numbers(labels), self.edges, self.num
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
        for at in range(0, flat.size, _CHUNK):  # Chunks stay in the cache.
            part = flat[at : at + _CHUNK]
            with np.errstate(over="ignore"):
                part = part.astype(np.int64 if unit else edges.dtype)
            if unit:
                found = np.clip(part, int(low), int(low) + num - 1) - int(low)
            elif regular:  # The guess is off by one at most; the edges decide.
                guess = np.clip((part.astype(np.float64) - low) / width, 0, num - 1)
                found = guess.astype(np.int32)
                found -= part < edges[found]
                found += part >= edges[found + 1]
            else:
                found = np.searchsorted(edges, part, side="right") - 1
            out[at : at + _CHUNK] = np.clip(found, 0, num - 1)
        return out.reshape(array.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Spec:
    """What objectives and metrics know about the labels, fixed for a run.

    Attributes:
      bins: the label bins.
      counts: `[num]` int64, training labels in each bin.
      shots: `[num]` int8, position of each bin's group in `SHOTS`.
      label_mean: mean of the training labels.
      label_std: their standard deviation (divided by n); 0 if all are equal.
      examples: number of training labels.
      feature_dim: width of the encoder's output, 0 while unknown.
    """

    bins: Bins
    counts: np.ndarray
    shots: np.ndarray
    label_mean: float
    label_std: float
    examples: int
    feature_dim: int = 0


def spec(
    labels: ArrayLike,
    *,
    bin_width: float,
    label_range: tuple[float, float] | None = None,
    origin: float | None = None,
    many: int = 100,
    few: int = 20,
    shot_lists: Mapping[str, Sequence[int]] | None = None,
    dtype: DTypeLike = np.float64,
) -> Spec:
    """Bins, counts and shot groups of training labels.

    Args:
      labels: training labels of any shape.
      bin_width: in label units; this and the next two go to `Bins.covering`.
      label_range: as there.
      origin: as there.
      many: this and the next two go to `shot_groups`.
      few: as there.
      shot_lists: as there.
      dtype: of the edges.

    Returns:
      The specification, with `feature_dim` 0.

    Raises:
      ValueError: as `Bins.covering` and `shot_groups`.

    Example:
      >>> spec([1, 1, 3], bin_width=1, label_range=(0, 5)).counts.tolist()
      [0, 2, 0, 1, 0]
    """
    array = _numbers(labels)
    bins = Bins.covering(
        array, width=bin_width, origin=origin, label_range=label_range, dtype=dtype
    )
    counts = histogram(array, bins)
    shots = shot_groups(counts, many, few, shot_lists)
    mean, std = (float(f(array, dtype=np.float64)) for f in (np.mean, np.std))
    return Spec(bins, counts, shots, mean, std, array.size)


def histogram(labels: ArrayLike, bins: Bins) -> np.ndarray:
    """Number of labels in each bin, `[num]` int64; outside labels count at the ends.

    Example:
      >>> histogram([0, 0, 9], Bins.uniform(width=1, origin=0, num=3)).tolist()
      [2, 0, 1]
    """
    return np.bincount(bins.index(labels).ravel(), minlength=bins.num)


def kernel_window(
    kernel: str, size: int, sigma: float = 2.0, normalize: str = "max"
) -> np.ndarray:
    """Symmetric smoothing window over bins.

    Args:
      kernel: `"gaussian"`, the benchmark's: a unit impulse of this length under a
        Gaussian filter whose ends mirror, edge sample repeated; the tails fold back,
        and size 5 with sigma 2 is nearly flat. `"gaussian_exact"`:
        `exp(-x^2 / 2 sigma^2)`. `"laplace"`: `exp(-|x| / sigma)`. `"triang"`: straight
        sides, no sigma.
      size: odd number of taps.
      sigma: spread in bins, above 0.
      normalize: `"max"` (label smoothing) or `"sum"` (feature smoothing).

    Returns:
      `[size]` float64.

    Raises:
      ValueError: for an unknown name, an even size or a sigma not above 0.

    Example:
      >>> kernel_window("gaussian", 5, 2.0).round(6).tolist()
      [0.858285, 0.945828, 1.0, 0.945828, 0.858285]
    """
    _choose("kernel", kernel, KERNELS)
    _choose("normalize", normalize, ("max", "sum"))
    if size < 1 or size % 2 == 0 or not 0 < sigma < math.inf:
        raise ValueError(f"size must be odd and sigma above 0, got {size} and {sigma}.")
    x = np.abs(np.arange(size) - size // 2)
    if kernel == "gaussian":
        radius = int(4 * sigma + 0.5)
        taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        window = np.convolve(np.pad(x == 0, radius, "symmetric"), taps, "valid")
    elif kernel == "gaussian_exact":
        window = np.exp(-0.5 * (x / sigma) ** 2)
    else:
        window = np.exp(-x / sigma) if kernel == "laplace" else 1 - 2 * x / (size + 1)
    window = window + window[::-1]  # Symmetric to the last bit.
    return window / (window.max() if normalize == "max" else window.sum())


def smooth(values: ArrayLike, window: ArrayLike, padding: str = "zero") -> np.ndarray:
    """Convolve values over the bins with a symmetric window.

    Args:
      values: `[num]`.
      window: odd and symmetric, `[size]`, see `kernel_window`.
      padding: `"zero"`: nothing beyond the ends (scipy `constant`); `"edge"`: mirrored
        with the end value repeated (numpy `symmetric`, scipy `reflect`); `"reflect"`:
        mirrored around the end value (numpy and torch `reflect`, scipy `mirror`).

    Returns:
      `[num]` float64.

    Raises:
      ValueError: for an unknown padding, no values, or an asymmetric window.

    Example:
      >>> smooth([0.0, 2.0, 0.0, 0.0], [0.5, 1.0, 0.5]).tolist()
      [1.0, 2.0, 1.0, 0.0]
    """
    _choose("padding", padding, tuple(_PAD_MODES))
    values, window = np.asarray(values, np.float64), np.asarray(window, np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"values must be [num] with num >= 1, got {values.shape}.")
    if window.size % 2 == 0 or not np.allclose(window, window[::-1]):
        raise ValueError(f"the window must be odd and symmetric, got {window}.")
    half, num = window.size // 2, values.size
    padded, out = np.pad(values, half, _PAD_MODES[padding]), values * window[half]
    for k in range(half):  # Pairs, so that mirrored values give mirrored results.
        pair = padded[k : k + num] + padded[2 * half - k :][:num]
        out += pair * window[k]
    return out


def bin_density(
    counts: ArrayLike,
    scheme: str,
    *,
    clip: tuple[float, float] | None = (5, 1000),
    kernel: str | None = None,
    size: int = 5,
    sigma: float = 2.0,
    padding: str = "zero",
    truncate: bool = False,
) -> np.ndarray:
    """Effective label density of each bin: counts, clipped or rooted, then smoothed.

    Args:
      counts: `[num]` training counts, not negative, at least one above 0.
      scheme: `"inverse"` takes counts, `"sqrt_inverse"` their roots, `"none"` ones.
      clip: bounds on the counts under `"inverse"` (ages: 5 and 1000; STS-B-DIR and
        NYUD2-DIR: None). Roots are never clipped.
      kernel: see `kernel_window`, as `size` and `sigma`; None: no smoothing.
      size: taps of the kernel.
      sigma: spread of the kernel in bins.
      padding: see `smooth`. NYUD2-DIR uses `"edge"`, the others `"zero"`.
      truncate: under `"inverse"`, cut smoothed counts to integers as the public code.

    Returns:
      `[num]` float64; may be 0 in empty bins.

    Raises:
      ValueError: for counts that are negative or all 0, an unknown name, or a kernel
        together with the scheme `"none"`.

    Example:
      >>> bin_density([1, 4, 9, 0, 1], "inverse", kernel="gaussian", truncate=True)
      array([17., 22., 27., 22., 17.])
    """
    _choose("scheme", scheme, ("none", "inverse", "sqrt_inverse"))
    density = np.asarray(counts, np.float64)
    if density.ndim != 1 or not (density >= 0).all() or not density.any():
        raise ValueError(f"counts must be [num] from 0, one above 0, got {density}.")
    if scheme == "none":
        if kernel is not None:
            raise ValueError(f"scheme 'none' has no weights for kernel {kernel!r}.")
        return np.ones_like(density)
    if scheme == "sqrt_inverse":
        density = np.sqrt(density)
    elif clip is not None:
        density = np.clip(density, *clip)
    if kernel is not None:
        density = smooth(density, kernel_window(kernel, size, sigma), padding)
    return np.trunc(density) if truncate and scheme == "inverse" else density


def bin_weights(counts: ArrayLike, scheme: str, **options: Any) -> np.ndarray:
    """Weight of each bin, 1 / density, scaled to mean 1 over the training examples.

    Args:
      counts: `[num]` training counts.
      scheme: see `bin_density`.
      **options: keywords of `bin_density`.

    Returns:
      `[num]` float64 with `sum(counts * weights) == sum(counts)`. A bin of density 0,
      which no training example is in, weighs as much as the heaviest other bin.

    Raises:
      ValueError: as `bin_density`.

    Example:
      >>> bin_weights([1, 4, 9, 0, 1], "sqrt_inverse").round(6).tolist()
      [2.142857, 1.071429, 0.714286, 2.142857, 2.142857]
    """
    counts, density = np.asarray(counts), bin_density(counts, scheme, **options)
    inverse = 1 / np.where(density > 0, density, density[density > 0].min())
    return inverse * (counts.sum() / (counts * inverse).sum())


def sample_weights(
    labels: ArrayLike,
    bins: Bins,
    scheme: str,
    *,
    counts: ArrayLike | None = None,
    **options: Any,
) -> np.ndarray:
    """Weight of each example, that of its bin.

    Args:
      labels: of any shape.
      bins: the label bins.
      scheme: see `bin_density`.
      counts: `[num]` training counts. Default: those of `labels`.
      **options: keywords of `bin_density`.

    Returns:
      float32 of the labels' shape; mean 1 over the examples that were counted.

    Raises:
      ValueError: as `bin_density` and `Bins.index`.

    Example:
      >>> pair = Bins.uniform(width=1, origin=0, num=2)
      >>> sample_weights([0, 0, 1], pair, "inverse", clip=None).tolist()
      [0.75, 0.75, 1.5]
    """
    index = bins.index(labels)
    if counts is None:
        counts = np.bincount(index.ravel(), minlength=bins.num)
    return bin_weights(counts, scheme, **options).astype(np.float32)[index]


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
      explicit: bins of each group by name, instead of thresholds, for benchmarks with
        fixed lists (STS-B-DIR); every bin in exactly one list.

    Returns:
      `[num]` int8, position in `SHOTS`.

    Raises:
      ValueError: if thresholds cross, or the lists miss, repeat or invent a bin.

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
        _choose("shot group", name, SHOTS)
        listed += [int(b) for b in explicit[name]]
    if sorted(listed) != list(range(counts.size)):
        odd = {
            b
            for b in (*listed, *range(counts.size))
            if listed.count(b) != 1 or not 0 <= b < counts.size
        }
        raise ValueError(
            f"the shot lists must name each of the {counts.size} bins once; it "
            f"fails for bins {sorted(odd)[:10]}."
        )
    for name in explicit:
        groups[list(explicit[name])] = SHOTS.index(name)
    return groups


def _mix(x: np.ndarray) -> np.ndarray:
    """splitmix64 (Steele et al., 2014): a one-to-one scrambling of 64 bits."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def balanced_split(
    labels: ArrayLike,
    bins: Bins,
    *,
    denominator: int = 3,
    cap: int = 30,
    seed: int,
    keys: ArrayLike | None = None,
) -> np.ndarray:
    """Split into train, validation and test by AgeDB-DIR's rule.

    Of a bin with n examples `min(n // denominator, cap)` go to validation and as many
    to test: both are near balance, and training keeps the imbalance. The part of an
    example depends on its key, the seed and its bin mates, not on the order of rows.

    Args:
      labels: `[n]`.
      bins: the label bins.
      denominator: 2 or more; the smallest bin that gives examples away.
      cap: most examples of a bin in validation, and in test.
      seed: any integer.
      keys: `[n]` distinct integers or strings (file names). Default: row numbers.

    Returns:
      `[n]` int8: 0 train, 1 validation, 2 test.

    Raises:
      ValueError: if keys repeat, shapes differ, or denominator or cap are too small.

    Example:
      >>> one = Bins.uniform(width=1, origin=7, num=1)
      >>> np.bincount(balanced_split([7] * 9, one, seed=0)).tolist()
      [3, 3, 3]
    """
    if denominator < 2 or cap < 0:
        raise ValueError(f"need denominator >= 2, cap >= 0, got {denominator}, {cap}.")
    index = bins.index(labels)
    names = np.arange(index.size) if keys is None else np.asarray(keys)
    if index.ndim != 1 or names.shape != index.shape:
        raise ValueError(f"need [n] labels and keys, got {index.shape}, {names.shape}.")
    if names.dtype.kind in "biu":
        numbers = names.astype(np.uint64)
    else:
        digests = [hashlib.blake2b(str(k).encode(), digest_size=8) for k in names]
        numbers = np.frombuffer(b"".join(d.digest() for d in digests), "<u8")
    hashes = _mix(_mix(np.array([seed % 2**64], np.uint64)) ^ numbers)
    if np.unique(hashes).size != hashes.size:  # One to one in the integer keys.
        raise ValueError("keys must be distinct; leave them out to use row numbers.")
    counts, order = np.bincount(index, minlength=bins.num), np.lexsort((hashes, index))
    rank = np.arange(index.size) - (np.cumsum(counts) - counts)[index[order]]
    share = np.minimum(counts // denominator, cap)[index[order]]
    parts = np.empty(index.size, np.int8)
    parts[order] = np.where(rank < share, 1, np.where(rank < 2 * share, 2, 0))
    return parts


def relevance(
    labels: ArrayLike, query: ArrayLike, *, coef: float = 1.5, side: str = "both"
) -> np.ndarray:
    """Relevance of labels: 0 at the median, 1 from the whiskers of a box plot on.

    A whisker is the outermost label within `coef` box lengths of the box. A side
    without labels beyond its whisker has relevance 0. Between median and whisker the
    monotone cubic through both with slopes 0 is `t^2 (3 - 2 t)`.

    Args:
      labels: training labels that define the box plot.
      query: labels to rate, any shape.
      coef: whisker length in box lengths.
      side: `"both"`, `"high"` or `"low"`.

    Returns:
      float64 of the query's shape, 0 to 1.

    Raises:
      ValueError: if a label is not finite, or for an unknown side.

    Example:
      >>> relevance([1, 2, 3, 4, 5, 30], [1, 3.5, 4.25, 5, 30]).tolist()
      [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    _choose("side", side, ("both", "high", "low"))
    array, asked = (_numbers(x).astype(np.float64) for x in (labels, query))
    first, third = np.quantile(array, [0.25, 0.75], method="midpoint")
    median, reach = np.median(array), coef * (third - first)
    inside = array[(array >= first - reach) & (array <= third + reach)]
    phi = np.zeros_like(asked)
    if not inside.size:  # Two labels, say: the box lies between them.
        return phi
    for name, sign, whisker in (("low", -1, inside.min()), ("high", 1, inside.max())):
        if side in ("both", name) and (sign * (array - whisker) > 0).any():
            away, full = sign * (asked - median), sign * (whisker - median)
            t = np.clip(away / full, 0, 1) if full > 0 else (away > 0).astype(float)
            phi += t**2 * (3 - 2 * t)
    return phi
