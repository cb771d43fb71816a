"""Reads tables with a label: column types, dropped columns, the source.

`formats.table_files` reads the files; `preprocess` prepares numbers and categories.
"""

from __future__ import annotations

import pathlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import (
    column_types,
    feature_columns,
    labelling,
    readers,
    row_checks,
    sources,
)
from dirjax.data.column_types import ColumnReading, Wishes
from dirjax.data.describe import checks, columns
from dirjax.data.feature_columns import FIND, Features, listed
from dirjax.data.formats import dates as date_forms
from dirjax.data.formats import npz_files, row_keys, table_files, text_files
from dirjax.data.formats.categories import Categories
from dirjax.data.formats.text_columns import Table, words
from dirjax.data.preprocess import TablePreprocessor
from dirjax.errors import InputError

# Share of the variance of labels between the values of a column that repeats, from
# which on a random split leaks.
SAME_GROUP = 0.9


def row_facts(
    table: Table,
    rows: row_checks.Rows,
    rules: labelling.Rules,
    *,
    split: str,
    weight: str | None,
    wishes: Wishes = FIND,
    hint: str = "",
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, dict[str, ColumnReading]]:
    """Reads labels, splits and weights of a table.

    Returns:
      Labels `[rows]` float64; the split `[rows]` int8 or None; weights `[rows]` float64
      or None; and how label and weight were read, where that is not plain.

    Raises:
      InputError: if a column is missing or has the wrong type.
    """
    table.require(rules.label, "data.label")
    readings: dict[str, ColumnReading] = {}

    def number(name: str, field: str) -> np.ndarray:
        values, way = stated_numbers(
            name, table.cells[name], rows, field=field, wishes=wishes, hint=hint
        )
        readings.update(way)
        return values

    y = number(rules.label, "label")
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


def _few_values(column: np.ndarray, limit: int) -> bool:
    """Whether a numeric column has 3 to `limit` distinct whole values."""
    values = column[~np.isnan(column)]
    whole = bool(np.all(values == np.round(values)))
    return whole and 2 < column_types.different(values) <= limit


def load(
    name: str,
    file: pathlib.Path,
    rules: labelling.Rules,
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
    short = {"row length": table.skipped} if table.skipped else {}
    rows = row_checks.Rows(table.number, file, rules.on_bad, short, first=table.first)
    rows.notes += table.notes
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
    with rows.collected():
        _refuse_totals(table, rows)
        y, part, weights, readings = row_facts(
            table, rows, rules, split=split, weight=weight, wishes=wishes, hint=hint
        )
        found = feature_columns.features(
            table,
            rows,
            others=(rules.label, split, *(c for c in (weight, group) if c)),
            numeric=numeric,
            categorical=categorical,
            drop=listed(drop, every),
            wishes=wishes,
            hint=hint,
            keep_dates=dates,
        )
        if groups is not None:
            rows.refuse(
                "no group",
                np.asarray(groups == ""),
                lambda i: (
                    f"data.group={group} must have a value, {rows.place(i)} has none"
                ),
            )
        if not (rows.has_problems and np.isnan(y).all()):  # it is told why
            labelling.check_labels(y, rows, rules)
    found.readings |= readings
    known = {c: v for c, v in found.values.items() if isinstance(v, np.ndarray)}
    known |= {rules.label: y} | ({} if weights is None else {str(weight): weights})
    tell_notations(found.readings, rows)
    labelled = labelling.label_rows(
        y,
        rows,
        rules,
        part=part,
        keys=lambda: row_keys.keys(table, known, found.readings),
        weight=weights,
        group=groups,
    )
    if not group:
        _tell_repeats(found, labelled)
    return from_features(
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


def from_features(
    name: str,
    found: Features,
    labelled: labelling.Labelled,
    *,
    named: Sequence[str] = (),
    both: int = 0,
    scaling: str = "robust",
    quantiles: int = 0,
    missing: Sequence[str] = (),
) -> sources.Source:
    """Makes a source of typed columns.

    Args:
      name: name of the data set.
      found: the columns; those that are constant in training are left out.
      labelled: the rows.
      named: columns to keep even if constant.
      both: see `load`.
      scaling: see `load`.
      quantiles: see `load`.
      missing: see `load`.

    Raises:
      InputError: if no column is left.
    """
    rows = labelled.rows
    train = {c: v[labelled.train] for c, v in found.values.items()}
    _drop_constant(found, train, named)
    for column, why in found.dropped.items():
        rows.notes.append(f"column {column!r} is left out: {why}")
    if not found.values:
        raise InputError(
            f"{rows.file} has no feature left besides {labelled.rules.label!r}"
            + "".join(f"; {c!r} is left out: {why}" for c, why in found.dropped.items())
            + ". Add columns, or name them in data.numeric or data.categorical."
        )
    doubled = (
        c
        for c in found.numeric
        if c not in found.categorical and _few_values(train[c], both)
    )
    fitted = TablePreprocessor.fit(
        train,
        numeric=found.numeric,
        categorical=(*found.categorical, *doubled),
        scaling=scaling,
        quantiles=quantiles,
    )
    gaps = ", ".join(repr(n) for n in fitted.indicators)
    if gaps:
        rows.notes.append(f"missing values are filled and marked by indicators: {gaps}")
    return sources.assemble(
        name,
        fitted.transform(found.values),
        labelled,
        record={
            "kind": "table",
            "table": fitted.to_json(),
            "missing": list(missing),
            "readings": column_types.to_json(found.readings),
            "encoder": {
                "numeric": fitted.width,
                "rows": int(labelled.train.sum()),
                "cardinalities": fitted.cardinalities,
                "edges": fitted.edges if quantiles else None,
            },
        },
    )


def _drop_constant(
    found: Features, train: Mapping[str, np.ndarray | Categories], named: Sequence[str]
) -> None:
    """Leaves out columns that are constant in training, unless they were named."""
    for name, values in train.items():
        if name in named:
            continue
        if isinstance(values, Categories):
            ends = np.unique(values.present())[[0, -1]].tolist()
            empty, alike = not ends[1], ends[0] == ends[1]
        else:  # the smallest of numbers is NaN if one is
            ends = values.min(), values.max()
            empty, alike = bool(np.isnan(values).all()), ends[0] == ends[1]
        if empty or alike:
            why = "empty in training" if empty else f"always {ends[0]}"
            found.dropped[name] = why
            del found.values[name]
            for names in (found.numeric, found.categorical):
                if name in names:
                    names.remove(name)


def read_new(
    path: pathlib.Path,
    record: Mapping[str, Any],
    *,
    on_bad: str = "error",
    keep: Sequence[str] = (),
    label: str | None = None,
    sheet: str | None = None,
) -> Iterator[readers.Piece]:
    """Reads rows to predict from a table or an NPZ file.

    Args:
      path: the file; an NPZ has the array `x` `[rows, columns]`.
      record: data record of the run.
      on_bad: "error" or "skip" for unusable rows.
      keep: columns of a table to repeat in the output.
      label: column or array of labels to read, too.
      sheet: see `load`.

    Raises:
      InputError: if a column is missing, or a row is unusable.
    """
    sources.require_file(path, "the model takes tables, --input", "Give a file.")
    if text_files.starts_with(path, npz_files.MAGIC):
        return new_of_npz(path, record, "x", on_bad, keep, label)
    return _new_of_table(path, record, on_bad, keep, label, sheet)


def new_labels(
    table: Table, rows: row_checks.Rows, label: str | None, record: Mapping[str, Any]
) -> np.ndarray | None:
    """The labels of new rows in a table, `[rows]`; None if there are none to read."""
    if label is None:
        return None
    table.require(label, "the label of the run", "Add it, or use dirjax.predict.")
    way = column_types.recorded(record).get(label, ColumnReading("numbers"))
    values = feature_columns.checked_numbers(table, label, rows, way.notation)
    return labelling.new_labels(values, rows, label, record)


def _new_of_table(
    file: pathlib.Path,
    record: Mapping[str, Any],
    on_bad: str,
    keep: Sequence[str],
    label: str | None,
    sheet: str | None,
) -> Iterator[readers.Piece]:
    fitted = TablePreprocessor.from_json(record["table"])
    ways = column_types.recorded(record)
    every = (*fitted.numeric, *fitted.categorical)
    of_dates = {
        f"{name} {part}": name
        for name, way in ways.items()
        if way.kind == "dates"
        for part in date_forms.PARTS
    }
    columns = dict.fromkeys(of_dates.get(name, name) for name in every)
    skipped, notes = 0, ()
    for table in table_files.blocks(
        file,
        on_bad=on_bad,
        missing=record["missing"],
        skip_with=readers.SKIP,
        sheet=sheet,
    ):
        rows = row_checks.Rows(
            table.number, file, on_bad, first=table.first, skip_with=readers.SKIP
        )
        for name in columns:
            table.require(name, "the model was trained with it", "Add it.")
        for name in keep:
            table.require(name, "--keep")
        found: dict[str, np.ndarray | Categories] = {}
        with rows.collected():
            for name in columns:
                way = ways.get(name, ColumnReading("numbers"))
                if way.kind == "dates":
                    found |= feature_columns.checked_dates(
                        name, table.cells[name], way, rows
                    )
                elif name in fitted.numeric:
                    found[name] = feature_columns.checked_numbers(
                        table, name, rows, way.notation
                    )
                else:
                    found[name] = Categories.read(table.cells[name])
        names: dict[str, Any] = {"index": table.number}
        names |= {n: words(table.cells[n]) for n in keep}
        value = new_labels(table, rows, label, record)
        found = {k: v[rows.good] for k, v in found.items()}
        skipped = table_files.report_skipped(table.skipped, skipped)
        yield readers.Piece(
            names,
            fitted.transform(found),
            rows.good,
            None if value is None else value[rows.good],
            fitted.surprises(found),
        )
        notes = table.notes
    for note in notes:
        print(note)


def new_of_npz(
    file: pathlib.Path,
    record: Mapping[str, Any],
    name: str,
    on_bad: str,
    keep: Sequence[str],
    label: str | None = None,
) -> Iterator[readers.Piece]:
    """Reads rows to predict from an array of columns.

    Args:
      file: an NPZ file.
      record: see `read_new`.
      name: name of the array, `[rows, columns]`.
      on_bad: see `read_new`.
      keep: must be empty.
      label: name of an array of labels to read, too.
    """
    npz_files.refuse_keep(keep)
    stored = npz_files.read(file)
    x = npz_files.require(stored, name, "inputs", file)
    if npz_files.encoded(stored, name, file) is None:
        x = npz_files.check_inputs(x, name, file)
    if x.ndim != 2:
        raise InputError(
            f"the model takes tables, {name!r} of {file} holds images. Give an array "
            "[rows, columns]."
        )
    fitted = TablePreprocessor.from_json(record["table"])
    found = npz_files.columns(x)
    for column in (*fitted.numeric, *fitted.categorical):
        if column not in found:
            raise InputError(
                f"{file} must have the column {column!r} that the model was trained "
                f"with; {name!r} has {', '.join(found)}. Add the column."
            )
    rows = row_checks.Rows(
        np.arange(len(x)), file, on_bad, first=0, skip_with=readers.SKIP
    )
    feature_columns.typed(found, rows)
    value = npz_files.new_labels(stored, rows, label, record)
    found = {k: v[rows.good] for k, v in found.items()}
    yield readers.Piece(
        {"index": np.arange(len(x))},
        fitted.transform(found),
        rows.good,
        None if value is None else value[rows.good],
        fitted.surprises(found),
    )


describe_inputs = columns.describe_inputs
inputs_text = columns.inputs_text
