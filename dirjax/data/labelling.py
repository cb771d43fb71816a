"""Checks, splits, bins and counts the labels of a data set.

Readers (`data.readers`) turn files into arrays; all of them pass their labels through
this module. `sources.assemble` does the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dirjax import labels
from dirjax.data import label_rules, row_checks, splits, stress
from dirjax.data.label_rules import Rules
from dirjax.errors import InputError

SPLITS = ("train", "val", "test")
# Other names of the split column, in lower case.
_SPLIT_COLUMNS = ("split", "subset", "partition", "fold")
# Default name of the split column; it may be missing.
SPLIT = "split"


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Rows with checked labels; see `Source` for the meaning of the fields.

    Attributes:
      part: `[rows]` int8, position in SPLITS, or -1 for unused rows.
      value: `[rows]` or `[rows, height, width]` float64, the label as the file has it.
      label: same shape, float64, the label on the scale on which it is learnt.
      weight: `[rows]` float64.
      spec: specification of the training labels.
      scale: on which the label is learnt.
      rules: as given.
      rows: as given.
      mask: of the label's shape, bool, which labels count; None if all do.
      targets: of rows with several labels, the rows with each of them alone; value,
        label and mask are then `[rows, targets]`, and spec and scale None.
    """

    part: np.ndarray
    value: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    spec: labels.Spec
    scale: labels.Scale
    rules: Rules
    rows: row_checks.Rows
    mask: np.ndarray | None = None
    targets: tuple[Labelled, ...] = ()

    @property
    def bin(self) -> np.ndarray:
        """The bin of each label, of the label's shape."""
        if self.targets:
            return np.stack([one.bin for one in self.targets], axis=1)
        return self.spec.bins.index(self.label)

    @property
    def train(self) -> np.ndarray:
        """`[rows]` bool."""
        return self.part == 0


def _position(name: str) -> int:
    """Position in SPLITS of a split's name or number; -1 for other text."""
    lower = name.strip().lower()
    numbers = {str(i): i for i in range(len(SPLITS))}
    return {**splits.PARTS, **numbers}.get(lower, -1)


def split_column(columns: Mapping[str, Callable[[], np.ndarray]]) -> str | None:
    """The column that holds nothing but names of splits, if one is named like that.

    Args:
      columns: column -> function that gives its `[rows]` words.
    """
    for name, words in columns.items():
        if name.strip().lower() in _SPLIT_COLUMNS:
            different = set(np.unique(words()).tolist())
            if all(_position(w) >= 0 and not w.isdigit() for w in different):
                return name
    return None


def parts_of(rows: row_checks.Rows, names: np.ndarray, column: str) -> np.ndarray:
    """`[rows]` int8 position in SPLITS, from their names or positions."""
    text = names.astype(str)
    different, inverse = np.unique(text, return_inverse=True)
    part = np.array([_position(name) for name in different], np.int8)[inverse]
    rows.refuse(
        "unknown split",
        part < 0,
        lambda i: (
            f"{column!r} must hold train, val or test, {rows.place(i)} holds "
            f"{str(text[i])!r}"
        ),
    )
    part[~rows.good] = -1
    if not (part == 0).any() and not rows.has_problems:
        raise InputError(
            f"{column!r} of {rows.file} names no training row. Mark rows as train."
        )
    return part


def thin(part: np.ndarray, rules: Rules) -> None:
    """Keeps only `limit` training rows."""
    train = np.flatnonzero(part == 0)
    if 0 < rules.limit < len(train):
        rng = np.random.Generator(np.random.Philox(key=[rules.seed, 1]))
        part[rng.permutation(train)[rules.limit :]] = -1


def _stressed(
    part: np.ndarray,
    label: np.ndarray,
    bins: labels.Bins,
    real: np.ndarray,
    rows: row_checks.Rows,
    rules: Rules,
) -> None:
    """Takes training rows away as `unseen` and `imbalance` ask for, in place."""
    if rules.unseen is None and rules.imbalance is None:
        return
    if label.ndim > 1:
        raise InputError(
            "data.unseen and data.imbalance take rows away by their label, this data "
            "has one per pixel. Leave them out."
        )
    index, before = np.zeros(len(label), np.int32), int(np.sum(part == 0))
    index[real] = bins.index(label[real])
    counts = np.bincount(index[part == 0], minlength=bins.num)
    kept = counts
    try:
        if rules.unseen is not None:
            gone = stress.unseen(
                counts, rules.unseen, rules.unseen_share, seed=rules.seed
            )
            kept = np.where(gone, 0, kept)
        if rules.imbalance is not None:
            kept = stress.skewed(kept, rules.imbalance)
    except ValueError as error:
        raise InputError(str(error)) from error
    stress.thin(part, index, kept, seed=rules.seed)
    asked = [f"unseen={rules.unseen}"] * (rules.unseen is not None)
    asked += [f"imbalance={rules.imbalance}"] * (rules.imbalance is not None)
    ratio = kept.max() / kept[kept > 0].min()
    rows.notes.append(
        f"data.{' and data.'.join(asked)} left {int(np.sum(part == 0)):,} of "
        f"{before:,} training rows, in {int(np.sum(kept > 0))} of "
        f"{int(np.sum(counts > 0))} bins; the fullest has {ratio:.3g} times as many as "
        "the emptiest of them"
    )


def _made_split(
    y: np.ndarray,
    real: np.ndarray,
    rows: row_checks.Rows,
    rules: Rules,
    keys: Callable[[], Any],
    group: np.ndarray | None,
) -> tuple[np.ndarray, str]:
    """A balanced split, `[rows]` int8, and a sentence on it; see `label_rows`.

    Its bins are those of all labels, since training is not known yet.
    """
    good = rows.good
    label, bins = label_rules.all_bins(y, real, rows, rules)
    share = {
        "denominator": rules.split_divisor,
        "cap": rules.split_cap,
        "seed": rules.seed,
    }
    part = np.full(len(y), -1, np.int8)
    if group is not None:
        part[good] = splits.balanced_group_split(
            label[good], bins, group[good], **share
        )
        many = [len(np.unique(group[part == p])) for p in range(3)]
        return part, (
            "the file has no split: groups went to train, val and test as a whole "
            f"({many[0]:,}, {many[1]:,} and {many[2]:,}), so that about 1 in "
            f"{rules.split_divisor} rows of each bin, at most {rules.split_cap}, "
            "are in val and as many in test"
        )
    found = keys()
    found = rows.number if found is None else np.asarray(found)
    part[good] = splits.balanced_split(label[good], bins, keys=found[good], **share)
    return part, (
        f"the file has no split: 1 in {rules.split_divisor} of each bin, at most "
        f"{rules.split_cap}, went to val, and as many to test"
    )


def _torn(group: np.ndarray, part: np.ndarray) -> str:
    """A sentence on groups that a given split tears apart; empty if there are none."""
    pairs = np.unique(np.stack([group.astype(str), part.astype(str)]), axis=1)
    apart = int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())
    if not apart:
        return ""
    return (
        f"the given split tears {apart:,} groups apart: their rows are in more than "
        "one of train, val and test"
    )


def label_rows(
    y: np.ndarray,
    rows: row_checks.Rows,
    rules: Rules,
    *,
    part: np.ndarray | None = None,
    keys: Callable[[], Any] = lambda: None,
    weight: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> Labelled:
    """Checks labels, splits the rows, makes bins and counts shots.

    Args:
      y: `[rows]` float64, NaN if missing; dense `[rows, height, width]`.
      rows: the rows of the labels.
      rules: how to split, bin and count.
      part: `[rows]` int8, position in SPLITS; None makes a balanced split, which needs
        one label per row.
      keys: function that gives `[rows]` distinct integers or strings, so that a split
        does not depend on row order; None for row numbers.
      weight: `[rows]` float64, or None for ones.
      mask: bool, shape of `y`, which labels count; bins, counts and checks ignore the
        others. None for all.
      group: `[rows]` strings or numbers; rows with the same stay on one side of the
        balanced split, and are counted where they do not in a given one. None for rows
        that are independent.

    Returns:
      The labelled rows.

    Raises:
      InputError: for invalid labels, weights or bin width.
    """
    label_rules.check_labels(y, rows, rules, mask)
    weights = np.ones(len(y)) if weight is None else weight
    rows.refuse(
        "weight not positive",
        ~(np.isfinite(weights) & (weights > 0)),
        lambda i: f"weights must be above 0, {rows.place(i)} has {weights[i]:g}",
    )
    good = rows.good
    real = np.broadcast_to(good.reshape(-1, *[1] * (y.ndim - 1)), y.shape)
    real = real if mask is None else real & mask
    if not real.any():
        raise InputError(f"{rows.file} has no usable row. Give another file.")
    # Masked labels must be finite, too, or gradients become NaN.
    y = np.where(real, y, y[real][0])
    label_rules.check_spread(y[real], rows, rules)
    split_note = ""
    if part is None:
        part, split_note = _made_split(y, real, rows, rules, keys, group)
    elif group is not None:
        split_note = _torn(group[good], part[good])
    part = np.where(good, part, -1).astype(np.int8)
    thin(part, rules)
    for position, name in enumerate(SPLITS):
        if not (part == position).any():
            if not position:
                raise InputError(
                    f"no training row is left of {rows.file}. Mark more rows as train, "
                    "or fix the skipped rows."
                )
            rows.notes.append(
                f"there is no {name} split: "
                + ("the last state is the result" if position == 1 else "no test")
            )
    train = y[part == 0][real[part == 0]]
    _check_train(train, rows, rules)
    # Scale and bins are those before a stress test, so that its degrees share them.
    scale = rules.scale(train)
    label = scale.forward(y)
    width, ends, notes = label_rules.width_and_range(label[real], rows, rules, scale)
    rows.notes += notes + [split_note] * bool(split_note)
    cover = label[part >= 0][real[part >= 0]]
    binned = {"label_range": ends, "dtype": np.dtype(rules.bin_dtype)}
    try:
        bins = labels.Bins.covering(cover, width=width, **binned)
    except ValueError as error:
        raise InputError(f"the training labels cannot be binned: {error}") from error
    _stressed(part, label, bins, real, rows, rules)
    train = y[part == 0][real[part == 0]]
    _check_train(train, rows, rules)
    try:
        spec = labels.spec(
            scale.forward(train),
            bin_width=width,
            many=rules.many,
            few=rules.few,
            shot_lists=rules.shot_lists,
            cover=cover,
            **binned,
        )
    except ValueError as error:
        raise InputError(f"the training labels cannot be binned: {error}") from error
    weights = weights / weights[part == 0].mean()
    return Labelled(part, y, label, weights, spec, scale, rules, rows, mask)


def _check_train(label: np.ndarray, rows: row_checks.Rows, rules: Rules) -> None:
    """Checks that training labels differ."""
    if not label.size or label.min() == label.max():
        raise InputError(
            f"training labels must differ, all {len(label)} in {rules.label!r} of "
            f"{rows.file} are equal. Mark other rows as train."
        )
