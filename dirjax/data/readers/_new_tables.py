"""Reads rows to predict from tables and arrays of columns, by the rules of training."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import (
    column_types,
    feature_columns,
    label_rules,
    readers,
    row_checks,
    sources,
)
from dirjax.data.column_types import ColumnReading
from dirjax.data.formats import dates as date_forms
from dirjax.data.formats import npz_files, table_files, text_files
from dirjax.data.formats.categories import Categories
from dirjax.data.formats.text_columns import Table, words
from dirjax.data.preprocess import TablePreprocessor
from dirjax.errors import InputError


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
    return label_rules.new_labels(values, rows, label, record)


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
    value = npz_files.new_labels(stored, rows, label, record, name)
    found = {k: v[rows.good] for k, v in found.items()}
    yield readers.Piece(
        {"index": np.arange(len(x))},
        fitted.transform(found),
        rows.good,
        None if value is None else value[rows.good],
        fitted.surprises(found),
    )
