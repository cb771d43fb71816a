"""Reads the sheet of an Excel workbook as rows of text."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Sequence
from typing import Any

from dirjax.data.formats import text_files
from dirjax.errors import InputError


def is_workbook(file: pathlib.Path) -> bool:
    """Whether a file is a workbook of Excel 2007 or later."""
    return "[Content_Types].xml" in text_files.members(file)


def _text(cell: Any) -> str:
    """A cell as a CSV file would have it."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, (datetime.date, datetime.datetime)):
        return cell.isoformat()
    return str(cell).strip()


def _refuse_merged(
    ranges: Sequence[tuple[tuple[int, int], tuple[int, int]]],
    sheet: str,
    file: pathlib.Path,
) -> None:
    """Refuses cells that span rows: the file holds the value of the first alone."""
    for (top, left), (bottom, _) in ranges:
        if bottom > top:
            raise InputError(
                f"cells must not be merged, sheet {sheet!r} of {file} merges rows "
                f"{top + 1} to {bottom + 1} of column {left + 1}. Unmerge them, and "
                "fill each with its value."
            )


def rows(file: pathlib.Path, sheet: str | None = None) -> tuple[int, list[list[str]]]:
    """The rows of a sheet.

    Args:
      file: a workbook.
      sheet: its name; None for the only one that holds anything.

    Returns:
      Number of the first row that holds anything, from 1, and the rows from there on,
      all of one length, as text; empty text for an empty cell.

    Raises:
      InputError: if no library reads workbooks, or it is unclear which sheet is meant.
    """
    try:
        import python_calamine
    except ImportError as error:
        raise InputError(
            f"Excel workbooks need python-calamine, to read {file}. Install it with "
            "pip install python-calamine, or save the sheet as CSV."
        ) from error
    try:
        with python_calamine.load_workbook(str(file)) as book:
            names = book.sheet_names
            sheets = {
                name: book.get_sheet_by_name(name)
                for name in names
                if sheet in (None, name)
            }
            found = {
                name: one.to_python(skip_empty_area=False)
                for name, one in sheets.items()
            }
            merged = {n: one.merged_cell_ranges or [] for n, one in sheets.items()}
    except (python_calamine.CalamineError, OSError) as error:
        raise InputError(
            f"{file} must be an Excel workbook: {error}. Give another file."
        ) from error
    if sheet is not None and not found:
        raise InputError(
            f"{file} has no sheet {sheet!r} (data.sheet); it has {', '.join(names)}. "
            "Name one of them."
        )
    filled = {n: r for n, r in found.items() if any(c != "" for row in r for c in row)}
    if len(filled) != 1:
        some = ", ".join(filled) or "none"
        raise InputError(
            f"one sheet of a workbook must hold the table, in {file} these hold "
            f"something: {some}. Name one with --config.data.sheet=NAME."
        )
    ((name, cells),) = filled.items()
    _refuse_merged(merged[name], name, file)
    first = next(i for i, row in enumerate(cells) if any(c != "" for c in row))
    return first + 1, [[_text(c) for c in row] for row in cells[first:]]
