"""Several labels per row, the targets of one model: their names, and what is shared.

Each target has its own bins, shots and scale. What a model of several targets learns
are standardised labels, so that the losses of all targets are in the same unit.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Collection, Sequence

import numpy as np

from dirjax.labels.bins import Bins
from dirjax.labels.specification import Spec
from dirjax.labels.support import Support


def names(text: str, known: Collection[str] = ()) -> tuple[str, ...]:
    """The labels that a text names, separated by commas like cells of a CSV file.

    Args:
      text: one name, or several; those with a comma in quotation marks.
      known: names of columns; a text that is one of them names just that.

    Raises:
      ValueError: for an empty name, or one that is there twice.

    Example:
      >>> names("height, weight"), names("a,b", known=("a,b",)), names('"a,b",c')
      (('height', 'weight'), ('a,b',), ('a,b', 'c'))
    """
    if text in known or "," not in text:
        return (text,)
    (found,) = csv.reader([text], skipinitialspace=True)
    found = tuple(name.strip() for name in found)
    if not all(found) or len(set(found)) < len(found):
        raise ValueError(
            f"data.label must name different columns, separated by commas, got {text!r}"
            '. A name with a comma goes into quotation marks: "a,b",c.'
        )
    return found


def text(labels: Sequence[str]) -> str:
    """The inverse of `names`, for two or more.

    Example:
      >>> text(["a,b", "c"])
      '"a,b",c'
    """
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(labels)
    return line.getvalue()


def standardised(spec: Spec) -> Spec:
    """The specification of labels less their training mean, over their deviation.

    Example:
      >>> from dirjax import labels
      >>> found = standardised(labels.spec([1.0, 3.0], bin_width=1.0))
      >>> found.bins.edges.tolist(), found.label_mean, found.label_std
      ([-1.0, 0.0, 1.0, 2.0], 0.0, 1.0)
    """
    mean, unit = spec.label_mean, spec.label_std or 1.0

    def moved(places):
        return (np.asarray(places, np.float64) - mean) / unit

    groups, support = spec.groups, spec.support
    if groups is not None:
        groups = dataclasses.replace(groups, centers=moved(groups.centers))
    if support is not None:
        support = Support(moved(support.edges), support.counts, support.weights)
    return dataclasses.replace(
        spec,
        bins=Bins(moved(spec.bins.edges)),
        label_mean=0.0,
        label_std=1.0,
        groups=groups,
        support=support,
        means=None if spec.means is None else moved(spec.means),
    )


def rarest(labels: np.ndarray, bins: Sequence[Bins]) -> np.ndarray:
    """For each row the bin, of all bins of all targets, that has the fewest labels.

    A split that is balanced over these bins has rare labels of every target.

    Args:
      labels: `[n, targets]`, NaN where a row has no label of a target; it has at least
        one.
      bins: those of each target.

    Returns:
      `[n]` int, bins numbered through all targets.

    Example:
      >>> one = Bins.uniform(width=1, origin=0, num=2)
      >>> rarest(np.array([[0, 1], [0, 0], [1, 0], [0, np.nan]]), [one, one]).tolist()
      [3, 2, 1, 0]
    """
    first = np.cumsum([0, *(b.num for b in bins)])
    columns, sizes = [], []
    for column, own, start in zip(labels.T, bins, first, strict=False):
        there = ~np.isnan(column)
        index = own.index(np.where(there, column, own.edges[0]))
        count = np.bincount(index[there], minlength=own.num)[index]
        columns.append(start + index)
        sizes.append(np.where(there, count, len(labels) + 1))
    chosen = np.argmin(np.stack(sizes), axis=0)
    return np.take_along_axis(np.stack(columns), chosen[None], axis=0)[0]


def strata(
    labels: np.ndarray, bins: Sequence[Bins], fewest: int
) -> tuple[np.ndarray, Bins, int]:
    """Strata of rows for a split that is balanced over the labels of all targets.

    A stratum is the rarest bin of its rows. With many targets or few rows, hardly any
    of these bins has rows to give away; neighbouring bins are then merged by twos,
    until at least half of the rows are in strata of `fewest` rows or more.

    Args:
      labels: see `rarest`.
      bins: those of each target.
      fewest: size of the smallest stratum that gives rows away.

    Returns:
      `[n]` int, the stratum of each row; bins of width 1 over these numbers; and how
      many bins were merged into one.

    Example:
      >>> one = Bins.uniform(width=1, origin=0, num=4)
      >>> found, every, merged = strata(np.array([[0], [1], [2], [3]]), [one], 2)
      >>> found.tolist(), every.num, merged
      ([0, 0, 1, 1], 2, 2)
    """
    merged = 1
    while True:
        found = rarest(labels, bins)
        counts = np.bincount(found)
        whole = 2 * counts[counts >= fewest].sum() >= len(found)
        if whole or all(own.num == 1 for own in bins):
            num = sum(own.num for own in bins)
            return found, Bins.uniform(width=1, origin=0, num=num), merged
        bins = [Bins(np.append(own.edges[:-1:2], own.edges[-1])) for own in bins]
        merged *= 2
