"""The bins on which a distribution over the label is predicted and stored.

Host numpy and no JAX: computed once, before training. By default they are the label
bins of the run, which also define its shots.

**Deviations**: none, this module is dirjax's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks
from dirjax.labels.bins import Bins, histogram, numbers
from dirjax.labels.scales import Scale

SPACINGS = ("bins", "equal", "quantile")


@dataclasses.dataclass(frozen=True, eq=False)
class Support:
    """Bins of a distribution over the label.

    Attributes:
      edges: `[num + 1]` float64, increasing, on the scale that the model learns.
      counts: `[num]` int64, training labels in each bin; those outside are in the end
        bins.
      weights: `[num]` float64, the sum of their weights in training; None if all are
        alike.
    """

    edges: np.ndarray
    counts: np.ndarray
    weights: np.ndarray | None = None

    @property
    def num(self) -> int:
        """Number of bins."""
        return len(self.counts)

    def for_model(self) -> dict[str, Any]:
        """The form that `models.from_config` takes."""
        return {
            "edges": tuple(self.edges.tolist()),
            "bin_counts": tuple(self.counts.tolist()),
        }

    def to_json(self, scale: Scale) -> dict[str, Any]:
        """The entry `support` of `bins.json`.

        Args:
          scale: on which the model learns the label.

        Returns:
          `edges` in units of the label, `train_count`, `train_weight`, and `learnt`:
          the edges as the model has them, since the way back from units loses bits.
        """
        weights = self.weights
        return {
            "edges": np.asarray(scale.inverse(self.edges)).tolist(),
            "train_count": self.counts.tolist(),
            "train_weight": None if weights is None else weights.tolist(),
            "learnt": self.edges.tolist(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Support:
        """The inverse of `to_json`, exactly."""
        edges = np.asarray(record["learnt"], np.float64)
        weights = record["train_weight"]
        return cls(
            edges,
            np.asarray(record["train_count"], np.int64),
            None if weights is None else np.asarray(weights),
        )


def make(
    bins: Bins,
    counts: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    num: int = 0,
    spacing: str = "bins",
) -> Support:
    """Chooses the bins of a distribution.

    Args:
      bins: the label bins, whose range is kept.
      counts: `[bins.num]` training labels in each.
      labels: the training labels, of any shape, without those that do not count. Not
        needed for `spacing="bins"`.
      num: number of bins; 0, and nothing else, for `spacing="bins"`.
      spacing: "bins": the label bins; "equal": `num` bins of equal width; "quantile":
        `num` bins with about equally many training labels, with borders halfway between
        neighbouring labels. Where many labels are equal there are fewer bins.

    Returns:
      The support.

    Raises:
      ValueError: for an option out of range, naming it.

    Example:
      >>> bins = Bins.uniform(width=1, origin=0, num=4)
      >>> make(bins, [3, 0, 1, 0], [0, 0.5, 0.5, 2], num=2, spacing="equal").counts
      array([3, 1])
      >>> make(bins, [3, 0, 1, 0], [0, 0.5, 0.5, 2], num=2, spacing="quantile").edges
      array([0.  , 0.25, 4.  ])
    """
    checks.one_of("spacing", spacing, SPACINGS)
    checks.whole("num", num, least=0)
    if (num == 0) != (spacing == "bins"):
        said = "be 0 for spacing='bins'" if num else f"be given for {spacing=}"
        raise ValueError(
            f"num must {said}, got {num}. Label bins follow data.bin_width; other "
            "numbers go with spacing='equal' or 'quantile'."
        )
    if spacing == "bins":
        return Support(bins.edges.astype(np.float64), np.asarray(counts, np.int64))
    if labels is None:
        raise ValueError(f"labels must be given for {spacing=}, got None.")
    low, high = float(bins.edges[0]), float(bins.edges[-1])
    array = numbers(labels).ravel()
    if spacing == "equal":
        edges = np.linspace(low, high, int(num) + 1)
    else:
        inner = _quantile_borders(array, int(num))
        inside = inner[(inner > low) & (inner < high)]
        edges = np.concatenate([[low], inside, [high]])
    return Support(edges, histogram(array, Bins(edges)).astype(np.int64))


def _quantile_borders(labels: np.ndarray, num: int) -> np.ndarray:
    """Borders between labels, each with the share of labels below nearest to k/num."""
    values, counts = np.unique(labels.astype(np.float64), return_counts=True)
    if len(values) < 2:
        return np.zeros(0)
    borders, below = (values[:-1] + values[1:]) / 2, np.cumsum(counts)[:-1]
    wanted = np.arange(1, num) * (len(labels) / num)
    after = np.clip(np.searchsorted(below, wanted), 1, max(len(below) - 1, 1))
    before, after = after - 1, np.minimum(after, len(below) - 1)
    nearer = np.where(wanted - below[before] <= below[after] - wanted, before, after)
    return borders[np.unique(nearer)]
