"""Ordered groups of label bins, for methods that first classify the part of the range.

Host numpy and no JAX: computed once, before training. Borders are compared in exact
arithmetic on the decimal numbers of the bin edges, so no bin falls on the wrong side
of a border by rounding.

"Leveraging Group Classification with Descending Soft Labeling for Deep Imbalanced
Regression", Pu et al., AAAI 2025. https://arxiv.org/abs/2412.12327

**Deviations**:

- The paper gives one example, `g = floor(y / G)`, which makes `G` groups only if the
  range is `G^2`. Here a group is `1/G` of the range, `g = floor((y - low) G / range)`.
- The range is that of all label bins, unless `label_range` names another. Neither the
  paper nor its supplementary states one; the author's code divides ages by 100. The
  configs of AgeDB-DIR and IMDB-WIKI-DIR, whose bins reach to 120, thus set (0, 100),
  and ages above belong to the last group. On AgeDB-DIR no group is then empty at any
  number of groups in the paper, while a division of all 121 bins would leave 1 of 10, 3
  of 20 and 6 of 40 groups without a training image.
- The public code truncates widths to whole label units. So the last group is large (40
  groups of 100 ages are 2 years each, and the last starts at 78), and groups narrower
  than a unit fail. `width_mode="int_floor"` truncates to whole bins, which is the same
  for bins of one unit.
- A bin belongs to the group of its lower edge, even if a border lies inside the bin.
"""

from __future__ import annotations

import bisect
import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks
from dirjax.labels.bins import Bins

WIDTH_MODES = ("exact", "int_floor", "equal_count")


@dataclasses.dataclass(frozen=True, eq=False)
class Groups:
    """Groups 0 to num - 1, ascending in the label.

    Attributes:
      num: number of groups; some may be empty.
      of_bin: `[num_bins]` int32, the group of each label bin, not descending.
      counts: `[num]` int64, training labels in each group.
      centers: `[num]` float64, the middle of each group's bins, in label units; for a
        group without bins, the border where it would lie.
    """

    num: int
    of_bin: np.ndarray
    counts: np.ndarray
    centers: np.ndarray

    def for_head(self) -> dict[str, Any]:
        """The hashable form that `models.from_config` takes."""
        return {
            "num_groups": self.num,
            "counts": tuple(self.counts.tolist()),
            "centers": tuple(self.centers.tolist()),
        }


def make(
    bins: Bins,
    counts: ArrayLike,
    *,
    num: int,
    width_mode: str = "exact",
    label_range: tuple[float, float] | None = None,
) -> Groups:
    """Divides label bins into ordered groups.

    Args:
      bins: the label bins.
      counts: `[num_bins]` training labels in each.
      num: number of groups, 1 to the number of bins.
      width_mode: "exact": groups of equal width; "int_floor": equally many whole bins,
        and the last group takes the rest; "equal_count": about equally many training
        labels, where one large bin may leave a group empty.
      label_range: the range `(low, high)` to divide; bins outside go to the end groups.
        Default: from the first edge to the last. Not allowed with "equal_count".

    Returns:
      The groups.

    Raises:
      ValueError: for an option out of range, naming it.

    Example:
      >>> bins = Bins.uniform(width=1, origin=0, num=5)
      >>> make(bins, [9, 5, 2, 1, 1], num=2).of_bin.tolist()
      [0, 0, 0, 1, 1]
      >>> make(bins, [9, 5, 2, 1, 1], num=2, width_mode="equal_count").counts.tolist()
      [9, 9]
    """
    checks.one_of("width_mode", width_mode, WIDTH_MODES)
    counts = np.asarray(counts)
    if counts.shape != (bins.num,):
        raise ValueError(
            f"counts must have one number for each of {bins.num} bins, got shape "
            f"{counts.shape}."
        )
    if isinstance(num, bool) or num != int(num) or not 1 <= num <= bins.num:
        raise ValueError(
            f"num must be a whole number from 1 to the {bins.num} label bins, "
            f"got {num!r}. Ask for fewer groups, or narrower bins."
        )
    if width_mode == "equal_count":
        if label_range is not None:
            raise ValueError(
                "label_range must be empty for width_mode='equal_count', got "
                f"{label_range}."
            )
        of_bin = _equal_count(counts, num)
    else:
        of_bin = np.searchsorted(
            _starts(bins, num, width_mode, label_range),
            np.arange(bins.num),
            side="right",
        )
    of_bin = of_bin.astype(np.int32)
    of_bin.setflags(write=False)
    edges = bins.edges.astype(np.float64)
    first, stop = (
        np.searchsorted(of_bin, np.arange(num), s) for s in ("left", "right")
    )
    return Groups(
        num=int(num),
        of_bin=of_bin,
        counts=np.bincount(of_bin, weights=counts, minlength=num).astype(np.int64),
        centers=(edges[first] + edges[stop]) / 2,
    )


def _starts(
    bins: Bins, num: int, mode: str, label_range: tuple[float, float] | None
) -> np.ndarray:
    """The first bin of each group except group 0."""
    # str, since the float32 nearest to 0.1 prints as 0.1.
    lower = [Fraction(str(e)) for e in bins.edges]
    low, high = lower[0], lower[-1]
    if label_range is not None:
        low, high = (Fraction(str(end)) for end in label_range)
        if not (low < high and low < lower[-1] and high > lower[0]):
            raise ValueError(
                "label_range must be (low, high) and contain bins, got "
                f"{label_range} and bins from {bins.edges[0]} to {bins.edges[-1]}."
            )
    inner = range(1, num)
    if mode == "exact":
        borders = [low + g * (high - low) / num for g in inner]
        return np.array([bisect.bisect_left(lower, b) for b in borders], int)
    first, stop = (bisect.bisect_left(lower, end) for end in (low, high))
    width = (min(stop, bins.num) - first) // num
    if not width:
        raise ValueError(
            f"num must be at most the {min(stop, bins.num) - first} bins of the "
            f"range for width_mode='int_floor', got {num}. Use width_mode='exact'."
        )
    return np.array([first + g * width for g in inner], int)


def _equal_count(counts: np.ndarray, num: int) -> np.ndarray:
    """Group of each bin by the share of labels below the middle of the bin."""
    counts = counts.astype(np.int64)
    twice = 2 * np.cumsum(counts) - counts
    return np.minimum(num * twice // max(2 * int(counts.sum()), 1), num - 1)
