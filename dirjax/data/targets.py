"""Checks, splits, bins and counts several labels per row, each by `labelling`.

A row may lack some of its labels, but not all. It counts for those that it has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from dirjax.data import label_rules, labelling, row_checks, splits
from dirjax.data.label_rules import Rules
from dirjax.data.labelling import Labelled
from dirjax.errors import InputError
from dirjax.labels import targets

# Fields of `Rules` in units of one label, with the value that asks for nothing.
_OF_ONE = {
    "label_offset": 0.0,
    "label_low": None,
    "bin_width": None,
    "label_range": None,
    "shot_lists": None,
    "unseen": None,
    "imbalance": None,
}


def check_single(rules: Rules) -> None:
    """Checks that fields of one label do not list values for several.

    Raises:
      InputError: naming the field that does.
    """
    for field, values in (
        ("bin_widths", rules.bin_widths),
        ("label_scale", "," in rules.label_scale and rules.label_scale),
    ):
        if values:
            raise InputError(
                f"data.{field} lists values of several labels, data.label names one "
                f"({rules.label}), got {values!r}. Give one value"
                + ", as data.bin_width." * (field == "bin_widths")
                + "." * (field != "bin_widths")
            )


def rules_of(rules: Rules, names: Sequence[str]) -> list[Rules]:
    """The rules of each of several targets.

    Raises:
      InputError: if a field is set that is in units of one label.
    """
    for field, none in _OF_ONE.items():
        value = getattr(rules, field)
        if value != none:
            raise InputError(
                f"data.{field} is about one label, data.label names {len(names)} "
                f"({', '.join(names)}), got {value!r}. "
                + "List them in data.bin_widths." * (field == "bin_width")
                + "Leave it out, or train one model per label." * (field != "bin_width")
            )
    units = _listed("unit", rules.unit.split(","), names)
    kinds = rules.label_scale.split(",")
    kinds = _listed(
        "label_scale", kinds * len(names) if len(kinds) == 1 else kinds, names
    )
    widths = _listed("bin_widths", rules.bin_widths, names)
    return [
        dataclasses.replace(
            rules, label=n, unit=u.strip(), label_scale=k.strip(), bin_width=w
        )
        for n, u, k, w in zip(names, units, kinds, widths, strict=True)
    ]


def _listed(
    field: str, values: Sequence[Any] | None, names: Sequence[str]
) -> list[Any]:
    """A value for each target; nothing for all if there are none."""
    if not values or values == [""]:
        return [None if values is None else ""] * len(names)
    if len(values) != len(names):
        raise InputError(
            f"data.{field} must list {len(names)} values, one for each label "
            f"({', '.join(names)}), got {len(values)} ({', '.join(map(str, values))})."
        )
    return list(values)


def names_of(rules: Rules, known: Collection[str]) -> tuple[str, ...]:
    """The labels that `data.label` names.

    Args:
      rules: see `Rules`.
      known: names of columns or arrays.

    Raises:
      InputError: for names that are no list, or fields that list values for several
        labels where it names one.
    """
    try:
        names = targets.names(rules.label, known)
    except ValueError as error:
        raise InputError(str(error)) from error
    if len(names) == 1:
        check_single(rules)
    return names


def check_labels(
    y: np.ndarray, rows: row_checks.Rows, rules: Rules, names: Sequence[str]
) -> None:
    """Refuses rows with an invalid label, or without any.

    Args:
      y: `[rows, targets]` float64, NaN if missing; `[rows]` of one target.
      rows: the rows.
      rules: see `Rules`.
      names: of the targets.
    """
    if len(names) == 1:
        label_rules.check_labels(y, rows, rules)
        return
    there = ~np.isnan(y)
    for values, real, own in zip(y.T, there.T, rules_of(rules, names), strict=True):
        label_rules.check_labels(values, rows, own, real)
    rows.refuse(
        "no label",
        np.asarray(~there.any(axis=1)),
        lambda i: f"a row must have a label, {rows.place(i)} has none of {names}",
    )


def _made_split(
    y: np.ndarray,
    rows: row_checks.Rows,
    rules: Sequence[Rules],
    keys: Callable[[], Any],
    group: np.ndarray | None,
) -> tuple[np.ndarray, str]:
    """A split balanced over `targets.strata`; see `labelling.label_rows`."""
    good, first = rows.good, rules[0]
    learnt, bins = [], []
    for values, own in zip(y.T, rules, strict=True):
        real = good & ~np.isnan(values)
        if not real.any() or np.ptp(values[real]) == 0:
            raise InputError(
                f"labels must differ, those in {own.label!r} of {rows.file} do not. "
                "Leave it out of data.label."
            )
        one, its_bins = label_rules.all_bins(values, real, rows, own)
        learnt.append(np.where(real, one, np.nan))
        bins.append(its_bins)
    found = np.stack(learnt, axis=1)[good]
    place, every, merged = targets.strata(found, bins, first.split_divisor)
    share = {
        "denominator": first.split_divisor,
        "cap": first.split_cap,
        "seed": first.seed,
    }
    part = np.full(len(y), -1, np.int8)
    said = "the file has no split: "
    if group is not None:
        part[good] = splits.balanced_group_split(place, every, group[good], **share)
        said += "groups went to train, val and test as a whole, so that about "
    else:
        found = keys()
        found = rows.number if found is None else np.asarray(found)
        part[good] = splits.balanced_split(place, every, keys=found[good], **share)
    return part, said + (
        f"1 in {first.split_divisor} of each bin, at most {first.split_cap}, went to "
        "val, and as many to test; a row counts in the rarest bin of its labels"
        + f", where {merged} bins are one, since they hold few rows"
        * (merged > 1)
    )


def label_rows(
    y: np.ndarray,
    rows: row_checks.Rows,
    rules: Rules,
    names: Sequence[str],
    *,
    part: np.ndarray | None = None,
    keys: Callable[[], Any] = lambda: None,
    weight: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> Labelled:
    """Checks labels, splits the rows, makes bins and counts shots of each target.

    Args:
      y: `[rows, targets]` float64, NaN where a row has no label of a target; `[rows]`
        of one target.
      rows: the rows of the labels.
      rules: how to split, bin and count.
      names: of the targets.
      part: see `labelling.label_rows`.
      keys: see `labelling.label_rows`.
      weight: see `labelling.label_rows`.
      group: see `labelling.label_rows`.

    Returns:
      The labelled rows. If there are several targets, they are there alone, too, as
      `targets`; `label` is standardised, and a mask leaves out the labels that are
      missing, if any.

    Raises:
      InputError: as `labelling.label_rows`, and if a split has no label of a target.
    """
    if len(names) == 1:
        return labelling.label_rows(
            y, rows, rules, part=part, keys=keys, weight=weight, group=group
        )
    check_labels(y, rows, rules, names)
    each = rules_of(rules, names)
    split_note = ""
    if part is None:
        part, split_note = _made_split(y, rows, each, keys, group)
        group = None
    notes, found = rows.notes, []
    said: list[list[str]] = []
    width = "--config.data.bin_width=WIDTH changes it"
    for values, own in zip(y.T, each, strict=True):
        rows.notes = []
        one = labelling.label_rows(
            values,
            rows,
            own,
            part=part,
            weight=weight,
            mask=~np.isnan(values),
            group=group,
        )
        said.append([note.replace(f"; {width}", "") for note in rows.notes])
        found.append(one)
    # What holds for all targets is said once.
    common = [note for note in said[0] if all(note in more for more in said)]
    notes += common + [split_note] * bool(split_note)
    notes += [
        f"{name}: {note}"
        for name, more in zip(names, said, strict=True)
        for note in more
        if note not in common
    ]
    if rules.bin_widths is None:
        widths = ",".join(f"{o.spec.bins.mean_width:g}" for o in found)
        notes.append(f"--config.data.bin_widths={widths} changes the widths of bins")
    rows.notes = notes
    mask = np.stack([one.mask for one in found], axis=1)
    used = found[0].part
    _check_there(used, mask, names, rows)
    learnt = [(o.label - o.spec.label_mean) / o.spec.label_std for o in found]
    nothing: Any = None
    return Labelled(
        part=used,
        value=np.stack([one.value for one in found], axis=1),
        label=np.stack(learnt, axis=1),
        weight=found[0].weight,
        spec=nothing,
        scale=nothing,
        rules=rules,
        rows=rows,
        mask=None if mask[used >= 0].all() else mask,
        targets=tuple(found),
    )


def _check_there(
    part: np.ndarray, mask: np.ndarray, names: Sequence[str], rows: row_checks.Rows
) -> None:
    """Every split must have labels of every target; those that are missing are told."""
    for name, there in zip(names, mask.T, strict=True):
        for position, split in enumerate(labelling.SPLITS):
            here = part == position
            if here.any() and not there[here].any():
                raise InputError(
                    f"each split needs labels of each target, {split} of {rows.file} "
                    f"has none of {name!r}. Mark other rows as {split}, or leave "
                    "the label out."
                )
        missing = int(np.sum(~there[part >= 0]))
        if missing:
            rows.notes.append(
                f"{missing:,} of {int(np.sum(part >= 0)):,} rows have no {name!r} and "
                "count for the other labels only"
            )
