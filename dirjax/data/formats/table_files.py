"""Reads table files, CSV (plain, gzip or zip), Excel and Parquet, as columns of text.

Cells stay text until a column is known to hold numbers, so that a category reads the
same from every file. pyarrow reads strictly, with equal row lengths; lines that are no
rows (`sep=;`, comments above the header, a header once more) are left out and named.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import io
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax.data import labelling
from dirjax.data.formats import excel, text_files
from dirjax.errors import InputError

# Markers of a missing value, besides an empty cell.
MISSING = (
    *("NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NULL", "null", "None"),
    *("<NA>", "NaT"),
)
# Row numbers, as pandas writes them.
_INDEX = re.compile(r"|Unnamed: 0|__index_level_\d+__")
_EMPTY_LINE = re.compile(rb"\n\r?\n|\r\r")
_NAMELESS = "(column {})"
# Column -> `[rows]` numbers, and which cells are none.
Reader = Callable[[Any], tuple[np.ndarray, np.ndarray]]
_BLOCK = 1 << 24  # bytes of a CSV file per block


@dataclasses.dataclass
class Table:
    """Columns of text.

    Attributes:
      file: the file.
      cells: column -> pyarrow string array, null for missing values.
      number: `[rows]` int64, position of each row in the file, from 0.
      skipped: number of rows skipped so far for a wrong number of cells.
      odd: column -> its type, for columns of neither numbers nor text.
      unnamed: columns of row numbers, which are not read.
      first: number of the first row below the header, as a spreadsheet counts.
      delimiter: what separates cells; empty where nothing does.
      notes: sentences on what was found in the file.
    """

    file: pathlib.Path
    cells: dict[str, Any]
    number: np.ndarray
    skipped: int = 0
    odd: dict[str, str] = dataclasses.field(default_factory=dict)
    unnamed: tuple[str, ...] = ()
    first: int = 2
    delimiter: str = ""
    notes: tuple[str, ...] = ()

    def require(self, name: str, field: str, todo: str = "Name one of them.") -> None:
        """Raises an error unless a column exists.

        Args:
          name: the column.
          field: what needs the column, for the message.
          todo: what to do if no other name is close.

        Raises:
          InputError: listing the existing names.
        """
        if name in self.odd:
            raise InputError(
                f"columns must hold numbers or text, {name!r} of {self.file} holds "
                f"{self.odd[name]} ({field}). Convert it, or drop it (data.drop)."
            )
        if name not in self.cells:
            known = {c.lower(): c for c in self.cells}
            close = difflib.get_close_matches(name.lower(), known, 1)
            raise InputError(
                f"{self.file} has no column {name!r} ({field}); it has "
                f"{', '.join(self.cells)}. "
                + (f"Did you mean {known[close[0]]!r}?" if close else todo)
            )


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
    """The most frequent of comma, semicolon and tab in the header."""
    bare = re.sub('"[^"]*"', "", header)
    return max(",;\t", key=bare.count)


def _is_comment(line: str, following: str) -> bool:
    """Whether a line is a comment, and not a header whose first name begins with #."""
    if not line.startswith("#"):
        return False
    mark = _delimiter(line)
    cells = line.count(mark)
    return line[1:2] in (" ", "#", "") or not cells or cells != following.count(mark)


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
    return _Head(i, delimiter or _delimiter(header), note if comments else "")


def _clean(column: Any, missing: Sequence[str]) -> Any:
    """Strips text and replaces markers of missing values by null."""
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute  # its functions are created at run time
    column = pc.utf8_trim_whitespace(column)
    nothing = pa.array(["", *MISSING, *missing], column.type)
    return pc.if_else(pc.is_in(column, value_set=nothing), None, column)


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
            self.refused = self.refused or InputError(
                f"each row must have {row.expected_columns} cells like the header, row "
                f"{number} of {self._file} has {row.actual_columns}. Fix it, or skip "
                f"such rows: {self._skip_with}."
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


def _empty_lines(
    file: pathlib.Path, encoding: text_files.Encoding, head: _Head, bare: bool
) -> list[int]:
    """Positions of empty lines among the rows below the header."""
    with text_files.opened(file, encoding) as stream:
        pieces = iter(lambda: stream.read(_BLOCK), b"")
        if not any(_EMPTY_LINE.search(piece) for piece in pieces):
            return []
    with text_files.opened(file, encoding) as stream:
        text = io.TextIOWrapper(stream, "utf-8", newline="")
        for _ in range(head.lines):
            text.readline()
        rows = csv.reader(text, quoting=csv.QUOTE_NONE if bare else csv.QUOTE_MINIMAL)
        return [i - 1 for i, row in enumerate(rows) if not row]


def _csv(
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

    def reader(stream, invalid, **options):
        return arrow.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=arrow.ReadOptions(
                use_threads=False, block_size=_BLOCK, skip_rows=head.lines
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
        with text_files.opened(file, encoding) as stream:
            header = reader(stream, lambda row: "skip").schema.names
        names = _names(header, file)
        # Read everything as text; `_clean` handles missing values.
        as_text = arrow.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
        )
        start = repeated = 0
        with text_files.opened(file, encoding) as stream:
            for batch in reader(stream, rows, convert_options=as_text):
                number, start = rows.numbers(start, batch.num_rows)
                cells = {
                    name: _clean(column, missing)
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
                yield _table(
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
            f"{_why(error)}. Give another file."
        ) from error


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


def _why(error: Exception) -> str:
    """The first line of a library's message, without its full stop."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")


def _table(file, cells, number, skipped=0, odd=None, **others) -> Table:
    """A table without its columns of row numbers."""
    unnamed = tuple(c for c in cells if _INDEX.fullmatch(c))
    kept = {c: v for c, v in cells.items() if c not in unnamed}
    return Table(file, kept, number, skipped, odd or {}, unnamed, **others)


def _names(header: Sequence[str], file: pathlib.Path) -> list[str]:
    """Names of columns; those that have none are counted, but for the first.

    Raises:
      InputError: for a name that two columns have.
    """
    stripped = [name.strip() for name in header]
    twice = sorted({n for n in stripped if n and stripped.count(n) > 1})
    if twice:
        raise InputError(
            f"columns must have different names, {file} has {twice[0]!r} "
            f"{stripped.count(twice[0])} times. Rename or remove one."
        )
    return [
        n if n or not i else _NAMELESS.format(i + 1) for i, n in enumerate(stripped)
    ]


def _without_nameless(table: Table) -> Table:
    """Leaves out empty columns that have no name.

    Raises:
      InputError: if such a column holds anything.
    """
    nameless = [n for n in table.cells if re.fullmatch(r"\(column \d+\)", n)]
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
    names = _names(header, file)
    columns = zip(*rows, strict=True) if rows else [[] for _ in names]
    cells = {
        name: _clean(pa.array(column, pa.string()), missing)
        for name, column in zip(names, columns, strict=True)
    }
    yield _table(file, cells, np.arange(len(rows)), first=start + 1)


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
    names = _names(columns.schema.names, file)
    for name, column in zip(names, columns.columns, strict=True):
        try:
            cells[name] = _clean(_as_text(column), missing)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            odd[name] = str(column.type)
    return _table(file, cells, np.arange(start, start + columns.num_rows), odd=odd)


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
            f"{file} must be a Parquet file: {_why(error)}. Give another file."
        ) from error


def blocks(
    file: pathlib.Path,
    *,
    on_bad: str = "error",
    missing: Sequence[str] = (),
    skip_with: str = labelling.SKIP,
    bare_tabs: bool = False,
    sheet: str | None = None,
    without: Sequence[str] = (),
) -> Iterator[Table]:
    """Reads a table in blocks.

    Args:
      file: CSV (comma, semicolon or tab; plain, gzip or zip), an Excel workbook or
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
        yield from _csv(file, on_bad, missing, skip_with, bare_tabs)


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


def is_plain(column: Any) -> bool:
    """Whether all cells that are present are numbers as programs write them."""
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    try:
        pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def numbers(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Converts text to numbers.

    Args:
      column: pyarrow string array.

    Returns:
      `[rows]` float64, NaN for missing values and text, and `[rows]` bool: values that
      are present but not numbers.
    """
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    try:
        values = pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        found = np.full(len(column), np.nan)
        wrong = np.zeros(len(column), bool)
        for i, text in enumerate(column.to_pylist()):
            if text is not None:
                try:
                    # Python accepts 1_000, which is not a number here.
                    found[i] = float(text.replace("_", "?"))
                except ValueError:
                    wrong[i] = True
        return found, wrong
    filled = pc.fill_null(values, np.nan)
    return np.asarray(filled.to_numpy(), np.float64), np.zeros(len(column), bool)


def words(column: Any) -> np.ndarray:
    """`[rows]` str, empty for missing values; whole numbers without `.0`."""
    import pyarrow.compute

    pc: Any = pyarrow.compute
    plain = pc.replace_substring_regex(column, r"^(-?\d+)\.0+$", r"\1")
    return np.asarray(pc.fill_null(plain, "").to_pylist(), np.str_)


def keys(table: Table, read: Mapping[str, Reader] | None = None) -> list[str]:
    """A key for each row, from its content; equal rows are numbered.

    Args:
      table: the table.
      read: column -> what reads its numbers, like `numbers`, where these are written in
        a notation of their own: the keys are those of the numbers.
    """
    columns = []
    for name, column in sorted(table.cells.items()):
        reader = (read or {}).get(name, numbers)
        values, text = reader(column)[0].tolist(), words(column).tolist()
        columns.append([t if v != v else v for t, v in zip(text, values, strict=True)])
    seen: dict[str, int] = {}
    found = []
    for cells in zip(*columns, strict=True):
        text = repr(cells)
        twin = seen[text] = seen.get(text, -1) + 1
        found.append(f"{text}{twin}")
    return found


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
