"""The label specification, fixed before a run: bins, counts, shots, groups, support.

Host numpy and no JAX.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from dirjax.labels import groups as groups_lib
from dirjax.labels import support as support_lib
from dirjax.labels.bins import Bins, histogram, numbers, shot_groups
from dirjax.labels.groups import Groups
from dirjax.labels.support import Support


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
      feature_dim: width of the encoder's output, 0 if not known yet.
      groups: groups of label bins, if the config asks for them.
      support: bins of predicted distributions, if the config asks for them.
      weights: `[num]` float64, the sum over training labels in each bin of the weight
        that each has in training; None if all are alike.
      means: `[num]` float64, mean training label in each bin; None if not known.
    """

    bins: Bins
    counts: np.ndarray
    shots: np.ndarray
    label_mean: float
    label_std: float
    examples: int
    feature_dim: int = 0
    groups: Groups | None = None
    support: Support | None = None
    weights: np.ndarray | None = None
    means: np.ndarray | None = None

    @property
    def centers(self) -> np.ndarray:
        """Mean training label of each bin, `[num]`; the middle of a bin without any.

        Labels that are whole numbers stand at an edge of their bin, not in its middle.
        """
        middle = self.bins.centers.astype(np.float64)
        if self.means is None:
            return middle
        return np.where(self.counts > 0, self.means, middle)


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
    cover: ArrayLike | None = None,
) -> Spec:
    """Bins, counts and shot groups of training labels.

    Args:
      labels: training labels of any shape.
      bin_width: in label units; see `Bins.covering`.
      label_range: `(low, high)` that the bins cover; see `Bins.covering`.
      origin: the first edge; see `Bins.covering`.
      many: a bin with more examples is many-shot.
      few: a bin with fewer examples is few-shot.
      shot_lists: bins of each shot by name, instead of thresholds; see `shot_groups`.
      dtype: dtype of the edges.
      cover: labels that the bins must cover, for example of all splits. Default:
        `labels`.

    Returns:
      The specification, with `feature_dim` 0.

    Raises:
      ValueError: see `Bins.covering` and `shot_groups`.

    Example:
      >>> spec([1, 1, 3], bin_width=1, label_range=(0, 5)).counts.tolist()
      [0, 2, 0, 1, 0]
    """
    array = numbers(labels)
    reach = array if cover is None else cover
    bins = Bins.covering(
        reach, width=bin_width, origin=origin, label_range=label_range, dtype=dtype
    )
    counts = histogram(array, bins)
    shots = shot_groups(counts, many, few, shot_lists)
    mean, std = (float(f(array, dtype=np.float64)) for f in (np.mean, np.std))
    means = _means(array, bins, mean)
    return Spec(bins, counts, shots, mean, std, array.size, means=means)


def _means(labels: np.ndarray, bins: Bins, origin: float) -> np.ndarray:
    """Mean label of each bin, `[num]`; `origin`, against rounding, in empty ones."""
    index, flat = bins.index(labels).ravel(), labels.ravel().astype(np.float64)
    count = np.bincount(index, minlength=bins.num)
    return np.bincount(index, flat - origin, bins.num) / np.maximum(count, 1) + origin


def from_config(fields: Mapping[str, Any] | None, spec: Spec) -> Groups | None:
    """The groups that `config.groups` asks for; None without that entry.

    Raises:
      ValueError: see `groups.make`.
    """
    if not fields:
        return None
    try:
        return groups_lib.make(spec.bins, spec.counts, **fields)
    except ValueError as error:  # It begins with the name of the option.
        raise ValueError(f"config.groups.{error}") from error


def support_from_config(
    fields: Mapping[str, Any] | None, spec: Spec, labels: Callable[[], ArrayLike]
) -> Support | None:
    """The support that `config.support` asks for; None without that entry.

    Args:
      fields: the options of `support.make`.
      spec: the specification so far.
      labels: gives the training labels that count, which not every support needs.

    Raises:
      ValueError: see `support.make`.
    """
    if not fields:
        return None
    try:
        there = None if fields.get("spacing") == "bins" else labels()
        return support_lib.make(spec.bins, spec.counts, there, **fields)
    except ValueError as error:  # It begins with the name of the option.
        raise ValueError(f"config.support.{error}") from error


def weighted(
    spec: Spec,
    of_bins: ArrayLike,
    labels: Callable[[], ArrayLike],
    own: ArrayLike | None = None,
) -> Spec:
    """A specification that knows the weights of labels in training.

    Args:
      spec: the specification, with its support.
      of_bins: `[num]`, weight of a label in each bin.
      labels: gives the training labels that count, `[n]`; only called where weights of
        bins are not enough.
      own: a further weight of each label, `[n]`; None if all are 1.

    Returns:
      `spec` with the `weights` of its bins and of its support, which sum to the number
      of labels.

    Example:
      >>> found = weighted(spec([0, 0, 0, 1], bin_width=1), [1.0, 3.0], lambda: ())
      >>> found.weights.tolist()
      [2.0, 2.0]
    """
    table, support = np.asarray(of_bins, np.float64), spec.support
    same = support is None or np.array_equal(support.edges, spec.bins.edges)
    if own is None and same:
        held = in_support = spec.counts * table
    else:
        array = np.asarray(labels())
        index = spec.bins.index(array)
        each = table[index] * (1.0 if own is None else np.asarray(own, np.float64))
        held = in_support = np.bincount(index, each, minlength=spec.bins.num)
        if support is not None:
            place = Bins(support.edges).index(array)
            in_support = np.bincount(place, each, minlength=support.num)
    factor = spec.counts.sum() / held.sum()
    if support is not None:
        support = dataclasses.replace(support, weights=in_support * factor)
    return dataclasses.replace(spec, support=support, weights=held * factor)


def resampled(spec: Spec, labels: ArrayLike) -> Spec:
    """The specification of resampled training labels, in the bins and shots of `spec`.

    Mean and deviation, the units of losses, stay those of the labels as they were.

    Example:
      >>> found = resampled(spec([0, 0, 0, 1], bin_width=1, many=2, few=2), [0, 1, 1])
      >>> found.counts.tolist(), found.shots.tolist()
      ([1, 2], [0, 2])
    """
    array = numbers(labels)
    counts = histogram(array, spec.bins)
    return dataclasses.replace(
        spec,
        counts=counts,
        examples=array.size,
        weights=counts.astype(np.float64),
        # Synthetic labels may lie in bins that had none.
        means=_means(array, spec.bins, spec.label_mean),
    )


def of_spec(spec: Any, method: str) -> Groups:
    """The groups of a run.

    Raises:
      ValueError: if it has none, naming the method that needs them.
    """
    if spec.groups is None:
        raise ValueError(
            f"{method} needs label groups, and the config has none. Use a preset that "
            "sets config.groups, such as group_dir."
        )
    return spec.groups


def feature_dim_of(spec: Any, method: str) -> int:
    """The width of the encoder's output.

    Raises:
      ValueError: if it is not known yet, naming the method that needs it.
    """
    if spec.feature_dim <= 0:
        raise ValueError(
            f"{method} needs spec.feature_dim above 0, got {spec.feature_dim}. Set it "
            "to the width of the features: dataclasses.replace(spec, feature_dim=64)."
        )
    return spec.feature_dim
