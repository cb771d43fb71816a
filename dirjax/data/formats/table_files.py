"""Reads table files, CSV (plain, gzip or zip), Excel and Parquet, as columns of text.

Cells stay text until a column is known to hold numbers, so that a category reads the
same from every file. pyarrow reads strictly, with equal row lengths; lines that are no
rows (`sep=;`, comments above the header, a header once more) are left out and named.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dirjax.data import row_checks
from dirjax.data.formats import csv_files, excel, text_columns, text_files
from dirjax.data.formats.text_columns import Table
from dirjax.errors import InputError


def _without_nameless(table: Table) -> Table:
    """Leaves out empty columns that have no name.

    Raises:
      InputError: if such a column holds anything.
    """
    nameless = [n for n in table.cells if text_columns.is_nameless(n)]
    if not nameless:
        return table
    for name in nameless:
        column = table.cells[name]
        if column.null_count < len(column):
            raise InputError(
                f"columns must have names, {name.strip('()')} of {table.file} has "
                "none. Name it."
            )
    note = f"empty columns without a name are left out: {len(nameless)}"
    kept = {n: c for n, c in table.cells.items() if n not in nameless}
    return dataclasses.replace(table, cells=kept, notes=(*table.notes, note))


def _without_empty_rows(table: Table) -> Table:
    """Leaves out rows that hold nothing but separators."""
    import pyarrow as pa

    empty = np.ones(len(table.number), bool)
    for column in table.cells.values():
        empty &= np.asarray(column.is_null().to_numpy(), bool)
        if not empty.any():
            return table
    kept = pa.array(~empty)
    note = f"empty rows are left out: {empty.sum()}"
    return dataclasses.replace(
        table,
        cells={n: c.filter(kept) for n, c in table.cells.items()},
        number=table.number[~empty],
        notes=(*table.notes, note),
    )


def _workbook(
    file: pathlib.Path, missing: Sequence[str], sheet: str | None
) -> Iterator[Table]:
    """The one block of an Excel sheet."""
    import pyarrow as pa

    start, (header, *rows) = excel.rows(file, sheet)
    names = text_columns.column_names(header, file)
    columns = zip(*rows, strict=True) if rows else [[] for _ in names]
    cells = {
        name: text_columns.clean(pa.array(column, pa.string()), missing)
        for name, column in zip(names, columns, strict=True)
    }
    yield text_columns.without_index(file, cells, np.arange(len(rows)), first=start + 1)


def _as_text(column: Any) -> Any:
    """Converts a column of any plain type to text, as in a CSV file."""
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    if pa.types.is_boolean(column.type):
        return pc.if_else(column, "True", "False")
    return column.cast(pa.string())


def of_arrow(
    file: pathlib.Path, columns: Any, missing: Sequence[str] = (), start: int = 0
) -> Table:
    """Columns of any plain type as a table of text.

    Args:
      file: where they come from.
      columns: pyarrow table or record batch.
      missing: see `blocks`.
      start: position of the first row in the file.

    Raises:
      InputError: for duplicate or empty names.
    """
    import pyarrow as pa

    cells, odd = {}, {}
    names = text_columns.column_names(columns.schema.names, file)
    for name, column in zip(names, columns.columns, strict=True):
        try:
            cells[name] = text_columns.clean(_as_text(column), missing)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            odd[name] = str(column.type)
    return text_columns.without_index(
        file, cells, np.arange(start, start + columns.num_rows), odd=odd, first=0
    )


def _parquet(
    file: pathlib.Path, missing: Sequence[str], without: Sequence[str]
) -> Iterator[Table]:
    """Blocks of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = 0
    try:
        with pq.ParquetFile(file) as opened:
            names = opened.schema_arrow.names
            kept = [name for name in names if name not in without]
            for batch in opened.iter_batches(columns=kept):
                yield of_arrow(file, batch, missing, start)
                start += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{file} must be a Parquet file: {text_columns.reason(error)}. Give "
            "another file."
        ) from error


def blocks(
    file: pathlib.Path,
    *,
    on_bad: str = "error",
    missing: Sequence[str] = (),
    skip_with: str = row_checks.SKIP,
    bare_tabs: bool = False,
    sheet: str | None = None,
    without: Sequence[str] = (),
) -> Iterator[Table]:
    """Reads a table in blocks.

    Args:
      file: CSV (comma, semicolon, tab or |; plain, gzip or zip), an Excel workbook or
        Parquet, recognised by content.
      on_bad: "error" or "skip" for rows with too few or too many cells.
      missing: more markers of missing values.
      skip_with: the argument that skips bad rows, for messages.
      bare_tabs: whether to treat quotation marks in tab-separated files as plain text.
      sheet: the sheet of a workbook; None for the only one that holds anything.
      without: columns of a Parquet file that are not read.

    Yields:
      Tables of consecutive rows; one empty table if the file has no rows.

    Raises:
      InputError: if the file is not a valid table, naming row and column.
    """
    try:
        parquet = text_files.starts_with(file, b"PAR1")
    except OSError as error:
        raise InputError(
            f"{file} cannot be read: {error}. Give another file."
        ) from error
    if parquet:
        yield from _parquet(file, missing, without)
    elif excel.is_workbook(file):
        yield from _workbook(file, missing, sheet)
    else:
        yield from csv_files.blocks(file, on_bad, missing, skip_with, bare_tabs)


def read(file: pathlib.Path, **options: Any) -> Table:
    """Reads a whole table; arguments as in `blocks`.

    Raises:
      InputError: see `blocks`; also if there are no rows.
    """
    import pyarrow as pa

    pieces = list(blocks(file, **options))
    if not sum(len(p.number) for p in pieces):
        raise InputError(f"{file} has a header but no rows. Give another file.")
    last = pieces[-1]
    cells = {
        name: pa.chunked_array([p.cells[name] for p in pieces]) for name in last.cells
    }
    number = np.concatenate([p.number for p in pieces])
    whole = dataclasses.replace(last, cells=cells, number=number)
    return _without_empty_rows(_without_nameless(whole))


def report_skipped(now: int, before: int) -> int:
    """Prints how many rows of wrong length were skipped since the last block.

    Args:
      now: rows skipped up to this block.
      before: rows skipped up to the previous block.

    Returns:
      `now`.
    """
    if now > before:
        print(f"rows of wrong length left out: {now - before}")
    return now
