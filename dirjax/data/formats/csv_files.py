"""Reads CSV files: first lines, empty lines, rows of wrong length."""

from __future__ import annotations

import csv
import io
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from dirjax.data import row_checks
from dirjax.data.formats import text_columns, text_files
from dirjax.data.formats.text_columns import Table
from dirjax.errors import InputError

# What ends a line and an empty one behind it.
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_BLOCK = 1 << 24  # bytes of a CSV file per block
_LOOK = 20  # lines that tell how cells are separated
_SHORT = 1 << 16  # bytes that hold most headers


class _Head(NamedTuple):
    """The first lines of a text file.

    Attributes:
      lines: number of lines above the header.
      delimiter: what separates cells.
      note: what a reader should know of these lines; empty for nothing.
    """

    lines: int
    delimiter: str
    note: str


def _delimiter(header: str) -> str:
    """The most frequent of comma, semicolon, tab and bar in the header."""
    bare = re.sub('"[^"]*"', "", header)
    return max(",;\t|", key=bare.count)


def _is_comment(line: str, following: str) -> bool:
    """Whether a line is a comment, and not a header whose first name begins with #."""
    if not line.startswith("#"):
        return False
    mark = _delimiter(line)
    cells = line.count(mark)
    return line[1:2] in (" ", "#", "") or not cells or cells != following.count(mark)


def _refuse_blanks(
    file: pathlib.Path, header: str, lines: Sequence[str], delimiter: str
) -> None:
    """Refuses cells that are separated by runs of blanks, as in files of fixed width.

    Raises:
      InputError: if the first lines hold numbers between blanks, as many in each, and
        at most a tab besides.
    """
    wide = delimiter in header
    firsts = [line.split(delimiter)[0] if wide else line for line in lines]
    parts = [[c.strip('"') for c in first.split()] for first in firsts if first.strip()]
    count = len(parts[0]) if parts else 0
    if (
        header.count(delimiter) > 1
        or count < 2 + wide
        or any(len(cells) != count for cells in parts)
        # R writes no name above the names of rows.
        or (not wide and len(header.split()) not in (count, count - 1))
        or any(2 * sum(map(_is_number, cells)) < count for cells in parts)
        or all(re.fullmatch(r"\d{3}([.,]\d+)?", c) for p in parts for c in p[1:])
    ):
        return
    names = header.split(delimiter)[0].split()
    nameless = 2 * sum(map(_is_number, names)) > len(names)
    lacking = " and write names of the columns above it" * nameless
    raise InputError(
        f"cells must be separated by commas, semicolons, tabs or |, those of {file} "
        f"are by blanks, {count} in a line. Convert it{lacking}: "
        "awk -v OFS='\\t' '{$1=$1; print}' OLD > NEW.tsv."
    )


def _is_number(cell: str) -> bool:
    """Whether a cell holds a number, however its decimals are marked."""
    digits = r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?"
    return bool(re.fullmatch(digits, cell))


def _read_head(file: pathlib.Path, encoding: text_files.Encoding) -> _Head:
    """Finds the header below comments, empty lines and `sep=;`."""
    with text_files.opened(file, encoding) as stream:
        text = stream.read(1 << 20).decode("utf-8", "replace")
    lines = text.splitlines()
    delimiter, comments, i = "", 0, 0
    for i, line in enumerate(lines):
        following = lines[i + 1] if i + 1 < len(lines) else ""
        named = re.fullmatch(r'"?sep=(.)"?', line.strip(), re.IGNORECASE)
        if named and not i:
            delimiter = named[1]
        elif _is_comment(line, following):
            comments += 1
        elif line.strip():
            break
    note = f"comment lines above the header are left out: {comments}"
    header = lines[i] if lines else ""
    if not delimiter:
        delimiter = _delimiter(header)
        _refuse_blanks(file, header, lines[i + 1 : i + 1 + _LOOK], delimiter)
    return _Head(i, delimiter, note if comments else "")


class _Rows:
    """Tracks row positions and handles rows of wrong length.

    pyarrow does not count empty lines, but users do.

    Attributes:
      wrong: skipped rows, as pyarrow counts, from 0.
      comments: how many of them are comments.
      refused: the message on the first refused row.
    """

    def __init__(
        self,
        file: pathlib.Path,
        on_bad: str,
        skip_with: str,
        empty: Sequence[int],
        first: int,
    ):
        self._file, self._on_bad, self._skip_with = file, on_bad, skip_with
        self._first = first
        self.comments = 0
        self._before = np.asarray(empty, np.int64) - np.arange(len(empty))
        self.wrong: list[int] = []
        self.refused: InputError | None = None

    def __call__(self, row: Any) -> str:
        """Called by pyarrow, which swallows exceptions."""
        position = row.number - self._first
        if str(row.text).startswith("#"):
            self.comments += 1
            self.wrong.append(position)
        elif self._on_bad == "skip":
            self.wrong.append(position)
        else:
            number = self._place(np.array([position]))[0] + self._first
            if row.expected_columns == 1:
                self.refused = self.refused or InputError(
                    f"the first line must name the columns, that of {self._file} holds "
                    f"one cell and row {number} {row.actual_columns}. Remove the lines "
                    "above the names."
                )
                return "error"
            self.refused = self.refused or InputError(
                f"each row must have {row.expected_columns} cells like the header, row "
                f"{number} of {self._file} has {row.actual_columns}. Fix it, "
                f"{row_checks.or_skip(self._skip_with)}."
            )
            return "error"
        return "skip"

    def _place(self, rows: np.ndarray) -> np.ndarray:
        """Positions in the file, counting empty lines."""
        return rows + np.searchsorted(self._before, rows, side="right")

    def numbers(self, start: int, rows: int) -> tuple[np.ndarray, int]:
        """Positions of the next good rows, and the start of the rows after them."""
        number = np.arange(start, start + rows + len(self.wrong))
        number = np.setdiff1d(number, self.wrong)[:rows] if self.wrong else number
        return self._place(number), int(number[-1]) + 1 if rows else start


def _any_empty(stream: BinaryIO) -> bool:
    """Whether a file has an empty line."""
    before = b""
    while piece := stream.read(_BLOCK):
        text = before + piece
        if _EMPTY_LINE.search(text) or (b"\r" in text and b"\r\r" in text):
            return True
        before = piece[-2:]
    return False


def _empty_lines(
    file: pathlib.Path, encoding: text_files.Encoding, head: _Head, bare: bool
) -> list[int]:
    """Positions of empty lines among the rows below the header."""
    with text_files.opened(file, encoding) as stream:
        if not _any_empty(stream):
            return []
    with text_files.opened(file, encoding) as stream:
        text = io.TextIOWrapper(stream, "utf-8", newline="")
        for _ in range(head.lines):
            text.readline()
        rows = csv.reader(text, quoting=csv.QUOTE_NONE if bare else csv.QUOTE_MINIMAL)
        return [i - 1 for i, row in enumerate(rows) if not row]


def blocks(
    file: pathlib.Path,
    on_bad: str,
    missing: Sequence[str],
    skip_with: str,
    bare_tabs: bool,
) -> Iterator[Table]:
    """Blocks of a CSV file."""
    import pyarrow as pa
    import pyarrow.csv as arrow

    encoding = text_files.detect(file)
    head = _read_head(file, encoding)
    bare = bare_tabs and head.delimiter == "\t"

    def reader(stream, invalid, size, **options):
        return arrow.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=arrow.ReadOptions(
                use_threads=False, block_size=size, skip_rows=head.lines
            ),
            parse_options=arrow.ParseOptions(
                delimiter=head.delimiter,
                quote_char=False if bare else '"',
                invalid_row_handler=invalid,
                newlines_in_values=True,
            ),
            **options,
        )

    first = head.lines + 2
    empty = _empty_lines(file, encoding, head, bare)
    rows = _Rows(file, on_bad, skip_with, empty, first)
    try:
        header = _header(file, encoding, reader)
        names = text_columns.column_names(header, file)
        # Read everything as text; most cells need no more cleaning than that.
        as_text = arrow.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            strings_can_be_null=True,
            null_values=[m for m in text_columns.markers(missing) if m == m.strip()],
        )
        start = repeated = 0
        with text_files.opened(file, encoding) as stream:
            for batch in reader(stream, rows, _BLOCK, convert_options=as_text):
                number, start = rows.numbers(start, batch.num_rows)
                cells = {
                    name: text_columns.clean(column, missing, marked=True)
                    for name, column in zip(names, batch.columns, strict=True)
                }
                again = _headers(cells, [h.strip() for h in header])
                if again.any():
                    repeated += int(again.sum())
                    cells = {n: c.filter(pa.array(~again)) for n, c in cells.items()}
                    number = number[~again]
                counted = {
                    "comment lines between rows are left out": rows.comments,
                    "rows that repeat the header are left out": repeated,
                }
                notes = [encoding.note, head.note]
                notes += [f"{why}: {n}" for why, n in counted.items() if n]
                yield text_columns.without_index(
                    file,
                    cells,
                    number,
                    len(rows.wrong) - rows.comments,
                    first=first,
                    delimiter=head.delimiter,
                    notes=tuple(n for n in notes if n),
                )
    except (pa.ArrowInvalid, OSError) as error:
        if rows.refused:
            raise rows.refused from error
        raise InputError(
            f"{file} must be a CSV file with a header, plain, gzip or zip: "
            f"{text_columns.reason(error)}. Give another file."
        ) from error


def _header(
    file: pathlib.Path, encoding: text_files.Encoding, reader: Callable[..., Any]
) -> list[str]:
    """The cells of the header; arrow reads a whole block for it."""
    import pyarrow as pa

    def names(size: int) -> list[str]:
        with text_files.opened(file, encoding) as stream:
            return reader(stream, lambda row: "skip", size).schema.names

    try:
        return names(_SHORT)
    except pa.ArrowInvalid:  # a row may be longer
        return names(_BLOCK)


def _headers(cells: dict[str, Any], header: Sequence[str]) -> np.ndarray:
    """`[rows]` bool: rows that hold the names of their columns."""
    import pyarrow.compute

    pc: Any = pyarrow.compute
    found = np.ones(len(next(iter(cells.values()))), bool)
    for column, name in zip(cells.values(), header, strict=True):
        same = pc.equal(pc.fill_null(column, ""), name)
        found &= np.asarray(same.to_numpy(zero_copy_only=False), bool)
        if not found.any():
            break
    return found
