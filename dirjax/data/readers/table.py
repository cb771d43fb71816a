"""Reads tables with a label: column types, dropped columns, the source.

`formats.table_files` reads the files; `preprocess` prepares numbers and categories.
"""

from __future__ import annotations

import pathlib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import (
    column_types,
    feature_columns,
    label_rules,
    labelling,
    row_checks,
    sources,
    targets,
)
from dirjax.data.column_types import ColumnReading, Wishes
from dirjax.data.describe import checks, columns
from dirjax.data.feature_columns import FIND, Features, listed
from dirjax.data.formats import row_keys, table_files
from dirjax.data.formats.categories import Categories
from dirjax.data.formats.text_columns import Table, words
from dirjax.data.readers import _new_tables, _typed_tables
from dirjax.errors import InputError

TARGETS = "names"
# Share of the variance of labels between the values of a column that repeats, from
# which on a random split leaks.
SAME_GROUP = 0.9


def rows_of(table: Table, file: pathlib.Path, on_bad: str) -> row_checks.Rows:
    """The rows of a table, with its notes and what it has skipped.

    Args:
      table: the table.
      file: its file, for messages.
      on_bad: see `row_checks.Rows`.
    """
    short = {"row length": table.skipped} if table.skipped else {}
    rows = row_checks.Rows(table.number, file, on_bad, short, first=table.first)
    rows.notes += table.notes
    return rows


def row_facts(
    table: Table,
    rows: row_checks.Rows,
    names: Sequence[str],
    *,
    split: str,
    weight: str | None,
    wishes: Wishes = FIND,
    hint: str = "",
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, dict[str, ColumnReading]]:
    """Reads labels, splits and weights of a table.

    Args:
      table: the table.
      rows: its rows.
      names: columns of the labels.
      split: see `load`.
      weight: see `load`.
      wishes: see `stated_numbers`.
      hint: see `stated_numbers`.

    Returns:
      Labels `[rows]` float64, of several columns `[rows, targets]`; the split `[rows]`
      int8 or None; weights `[rows]` float64 or None; and how labels and weight were
      read, where that is not plain.

    Raises:
      InputError: if a column is missing or has the wrong type.
    """
    for name in names:
        table.require(name, "data.label")
    readings: dict[str, ColumnReading] = {}

    def number(name: str, field: str) -> np.ndarray:
        values, way = stated_numbers(
            name, table.cells[name], rows, field=field, wishes=wishes, hint=hint
        )
        readings.update(way)
        return values

    y = np.stack([number(name, "label") for name in names], axis=1)
    y = y[:, 0] if len(names) == 1 else y
    part = weights = None
    if split != labelling.SPLIT:
        table.require(split, "data.split")
    if split in table.cells:
        part = labelling.parts_of(rows, words(table.cells[split]), split)
    if weight:
        table.require(weight, "data.weight")
        weights = number(weight, "weight")
    return y, part, weights, readings


def stated_numbers(
    name: str,
    column: Any,
    rows: row_checks.Rows,
    *,
    field: str,
    wishes: Wishes = FIND,
    hint: str = "",
) -> tuple[np.ndarray, dict[str, ColumnReading]]:
    """A column that must hold numbers because a field of the config names it.

    Args:
      name: the column.
      column: its cells.
      rows: its rows; those with text are refused.
      field: "label" or "weight", for messages.
      wishes: how the user says that numbers are written.
      hint: see `column_types.decimal_mark`.

    Returns:
      `[rows]` float64, NaN if missing; and, where it is not plain, how it was read.

    Raises:
      InputError: if there are no numbers in it.
    """
    way, plain = column_types.reading(column, wishes, hint)
    values, wrong = column_types.numbers(column, way.notation, plain)
    if way.kind == "doubt":
        rows.problem(f"{name!r} of {rows.file} {way.said}", "It must hold numbers")
        return values, {}
    if wrong.all():
        raise InputError(
            f"{field}s must be numbers, {name!r} of {rows.file} holds "
            f"{column[0].as_py()!r}. Name another {field} with "
            f"--config.data.{field}=NAME."
        )
    feature_columns.refuse_text(name, column, wrong, rows, forced=True)
    feature_columns.tell_missing_code(name, column, values, rows)
    plain = way.notation.plain
    return values, {} if plain else {name: ColumnReading("numbers", way.notation)}


def load(
    name: str,
    file: pathlib.Path,
    rules: label_rules.Rules,
    *,
    split: str = "split",
    weight: str | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    missing: Sequence[str] = (),
    decimal: str | None = None,
    thousands: str | None = None,
    date_order: str | None = None,
    dates: bool = True,
    group: str | None = None,
    sheet: str | None = None,
    both: int = 0,
    scaling: str = "robust",
    quantiles: int = 0,
) -> sources.Source:
    """Reads a table with a label.

    Args:
      name: name of the data set.
      file: see `blocks`.
      rules: rules of the label, its bins and the split.
      split: name of the split column (train, val, test). If the file lacks it, a
        balanced split is made from the labels.
      weight: name of the column of training weights, or None.
      numeric: see `feature_columns.features`.
      categorical: see `feature_columns.features`.
      drop: see `feature_columns.features`.
      missing: see `blocks`.
      decimal: see `column_types.Wishes`.
      thousands: see `column_types.Wishes`.
      date_order: see `column_types.Wishes`.
      dates: whether dates become features; otherwise they are left out.
      group: name of a column, such as the person of each row; rows with the same value
        stay on one side of the balanced split.
      sheet: see `blocks`.
      both: numeric columns with at most this many distinct integers in training also
        enter as categories.
      scaling: see `TablePreprocessor.fit`.
      quantiles: see `TablePreprocessor.fit`.

    Returns:
      The source.

    Raises:
      InputError: if the file is invalid, naming row and column.
    """
    sources.require_file(file)
    table = table_files.read(file, on_bad=rules.on_bad, missing=missing, sheet=sheet)
    rows = rows_of(table, file, rules.on_bad)
    if split == labelling.SPLIT and split not in table.cells:
        split = _other_split(table, rows) or split
    groups = None
    if group:
        table.require(group, "data.group")
        groups = words(table.cells[group])
    wishes = Wishes(decimal, thousands, date_order)
    hint = column_types.decimal_mark(table.cells, table.delimiter)
    every = [*table.cells, *table.odd]
    numeric, categorical = listed(numeric, every), listed(categorical, every)
    names = targets.names_of(rules, every)
    with rows.collected():
        _refuse_totals(table, rows)
        y, part, weights, readings = row_facts(
            table, rows, names, split=split, weight=weight, wishes=wishes, hint=hint
        )
        found = feature_columns.features(
            table,
            rows,
            others=(*names, split, *(c for c in (weight, group) if c)),
            numeric=numeric,
            categorical=categorical,
            drop=listed(drop, every),
            wishes=wishes,
            hint=hint,
            keep_dates=dates,
        )
        if groups is not None:
            _refuse_no_group(groups, str(group), rows)
        told = rows.has_problems and np.isnan(y).all()
        if not told:
            targets.check_labels(y, rows, rules, names)
    found.readings |= readings
    known = {c: v for c, v in found.values.items() if isinstance(v, np.ndarray)}
    known |= dict(zip(names, y.T if y.ndim > 1 else [y], strict=True))
    known |= {} if weights is None else {str(weight): weights}
    tell_notations(found.readings, rows)
    labelled = targets.label_rows(
        y,
        rows,
        rules,
        names,
        part=part,
        keys=lambda: row_keys.keys(table, known, found.readings),
        weight=weights,
        group=groups,
    )
    if not group:
        for one in labelled.targets or (labelled,):
            _tell_repeats(found, one)
    return _typed_tables.from_features(
        name,
        found,
        labelled,
        named=(*numeric, *categorical),
        both=both,
        scaling=scaling,
        quantiles=quantiles,
        missing=missing,
    )


# What stands beside the sums below a table.
_TOTAL = re.compile(
    r"((grand |sub)?totals?|sums?|average|mean|summe|gesamt|mittelwert|durchschnitt):?",
    re.IGNORECASE,
)


def _refuse_totals(table: Table, rows: row_checks.Rows) -> None:
    """Refuses a last row that sums up the others, if a cell of its own says so."""
    for name, column in table.cells.items():
        cell = column[-1].as_py() if len(column) else None
        if cell and _TOTAL.fullmatch(cell) and column.to_pylist().count(cell) == 1:
            last = np.arange(len(column)) == len(column) - 1
            rows.refuse(
                "totals",
                last,
                lambda i, name=name, cell=cell: (
                    f"a row must be one example, {rows.place(i)} says {cell!r} in "
                    f"{name!r}"
                ),
            )


def _refuse_no_group(groups: np.ndarray, name: str, rows: row_checks.Rows) -> None:
    """Refuses rows without a value in the column of groups."""
    rows.refuse(
        "no group",
        np.asarray(groups == ""),
        lambda i: f"data.group={name} must have a value, {rows.place(i)} has none",
    )


def _other_split(table: Table, rows: row_checks.Rows) -> str | None:
    """A column of splits that has another name, said."""
    cells = table.cells
    name = labelling.split_column({c: lambda c=c: words(cells[c]) for c in cells})
    if name:
        rows.notes.append(f"column {name!r} is taken for the split")
    return name


def tell_notations(
    readings: Mapping[str, ColumnReading], rows: row_checks.Rows
) -> None:
    """Notes how numbers are written, one for all columns of a notation."""
    alike: dict[str, list[str]] = {}
    for name, way in readings.items():
        if way.kind == "numbers":
            alike.setdefault(way.notation.said(), []).append(name)
    for said, names in alike.items():
        columns = "column" if len(names) == 1 else "columns"
        every = ", ".join(map(repr, names[:10])) + ", ..." * (len(names) > 10)
        rows.notes.append(f"numbers in {columns} {every}: {said}")


def _tell_repeats(found: Features, labelled: labelling.Labelled) -> None:
    """Notes columns whose values repeat with (almost) equal labels.

    They may name persons, sites or series, of which a random split leaves rows in
    training and in the test.
    """
    part, train = labelled.part, labelled.train
    used = part >= 0
    if labelled.mask is not None:  # of one of several labels
        used &= labelled.mask
    for name, values in found.values.items():
        if not column_types.repeats(name, values[used]):
            continue
        if isinstance(values, Categories):
            group = values.codes
        else:
            group = np.unique(values, return_inverse=True)[1]
        share = checks.explained(group[used], labelled.label[used])
        if share < SAME_GROUP:
            continue
        known = np.isin(group[part == 2], group[train])
        if known.any():
            labelled.rows.notes.append(
                f"the {len(np.unique(group[used])):,} values of {name!r} repeat, and "
                f"their rows have nearly the same label ({100 * share:.0f} % of the "
                f"variance lies between them); {known.sum():,} of {len(known):,} test "
                "rows share theirs with a training row, so that the test error says "
                "little of new ones: set --config.data.group="
                f"{shlex.quote(name)} to keep them apart"
            )


from_features = _typed_tables.from_features
read_new = _new_tables.read_new
describe_inputs = columns.describe_inputs
inputs_text = columns.inputs_text
