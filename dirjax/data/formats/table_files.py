"""Reads table files, CSV (plain or gzip) and Parquet, as columns of text.

Cells stay text until a column is known to hold numbers, so that a category reads the
same from every file. pyarrow reads strictly: UTF-8, equal row lengths.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import difflib
import gzip
import io
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dirjax.data import labelling
from dirjax.errors import InputError

# Markers of a missing value, besides an empty cell.
MISSING = (
    *("NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NULL", "null", "None"),
    *("<NA>", "NaT"),
)
# Row numbers, as pandas writes them.
_INDEX = re.compile(r"|__index_level_\d+__")
_EMPTY_LINE = re.compile(rb"\n\r?\n|\r\r")
_GZIP = b"\x1f\x8b"
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
    """

    file: pathlib.Path
    cells: dict[str, Any]
    number: np.ndarray
    skipped: int = 0
    odd: dict[str, str] = dataclasses.field(default_factory=dict)
    unnamed: tuple[str, ...] = ()

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


def starts_with(file: pathlib.Path, magic: bytes) -> bool:
    """Whether a file starts with these bytes."""
    with file.open("rb") as stream:
        return stream.read(len(magic)) == magic


def unpacked(file: pathlib.Path) -> Any:
    """Opens a file, decompressed; for use in a `with` statement."""
    return gzip.open(file) if starts_with(file, _GZIP) else file.open("rb")


def _head(file: pathlib.Path) -> bytes:
    """The first bytes of a file, decompressed."""
    try:
        with unpacked(file) as stream:
            return stream.read(1 << 16)
    except (OSError, EOFError) as error:
        raise InputError(
            f"{file} cannot be read: {error}. Give another file."
        ) from error


def _delimiter(head: bytes) -> str:
    """The most frequent of comma, semicolon and tab in the header."""
    header = head.splitlines()[0] if head.splitlines() else b""
    header = re.sub(rb'"[^"]*"', b"", header)
    return max(",;\t", key=lambda d: header.count(d.encode()))


def _check_text(file: pathlib.Path, head: bytes) -> None:
    """Refuses files that are not UTF-8 text, naming the first bad row."""
    if not head.strip():
        raise InputError(
            f"{file} must be a CSV file with a header, it is empty. Give another file."
        )
    if b"\0" in head:
        raise InputError(
            f"{file} must be a CSV file in UTF-8, it has zero bytes, like UTF-16 and "
            "binary files. Save it as UTF-8, or give another file."
        )
    decoder = codecs.getincrementaldecoder("utf-8")()
    row = 1
    try:
        with unpacked(file) as stream:
            while block := stream.read(_BLOCK):
                try:
                    decoder.decode(block)
                except UnicodeDecodeError as error:
                    # The rest of the previous block holds no line end.
                    row += error.object[: error.start].count(b"\n")
                    raise InputError(
                        f"{file} must be a CSV file in UTF-8, row {row} is not (byte "
                        f"{error.object[error.start]:#04x}). Save it as UTF-8: iconv "
                        "-f latin1 -t utf8 OLD > NEW."
                    ) from error
                row += block.count(b"\n")
    except (OSError, EOFError) as error:
        raise InputError(
            f"{file} cannot be read: {error}. Give another file."
        ) from error


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
      refused: the message on the first refused row.
    """

    def __init__(
        self, file: pathlib.Path, on_bad: str, skip_with: str, empty: Sequence[int]
    ):
        self._file, self._on_bad, self._skip_with = file, on_bad, skip_with
        self._before = np.asarray(empty, np.int64) - np.arange(len(empty))
        self.wrong: list[int] = []
        self.refused: InputError | None = None

    def __call__(self, row: Any) -> str:
        """Called by pyarrow, which swallows exceptions."""
        if self._on_bad == "skip":
            self.wrong.append(row.number - 2)
        else:
            number = self._place(np.array([row.number - 2]))[0] + 2
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


def _empty_lines(file: pathlib.Path, bare: bool) -> list[int]:
    """Positions of empty lines among the rows below the header."""
    with unpacked(file) as stream:
        pieces = iter(lambda: stream.read(_BLOCK), b"")
        if not any(_EMPTY_LINE.search(piece) for piece in pieces):
            return []
    with unpacked(file) as stream:
        text = io.TextIOWrapper(stream, "utf-8", newline="")
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

    head = _head(file)
    _check_text(file, head)
    delimiter = _delimiter(head)
    bare = bare_tabs and delimiter == "\t"

    def reader(invalid, **options):
        packed = "gzip" if starts_with(file, _GZIP) else None
        return arrow.open_csv(
            pa.input_stream(str(file), compression=packed),
            read_options=arrow.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=arrow.ParseOptions(
                delimiter=delimiter,
                quote_char=False if bare else '"',
                invalid_row_handler=invalid,
                newlines_in_values=True,
            ),
            **options,
        )

    rows = _Rows(file, on_bad, skip_with, _empty_lines(file, bare))
    try:
        header = reader(lambda row: "skip").schema.names
        _check_names(header, file)
        # Read everything as text; `_clean` handles missing values.
        as_text = arrow.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
        )
        start = 0
        for batch in reader(rows, convert_options=as_text):
            number, start = rows.numbers(start, batch.num_rows)
            cells = {
                name.strip(): _clean(column, missing)
                for name, column in zip(header, batch.columns, strict=True)
            }
            yield _table(file, cells, number, len(rows.wrong))
    except (pa.ArrowInvalid, OSError) as error:
        if rows.refused:
            raise rows.refused from error
        raise InputError(
            f"{file} must be a CSV file with a header, plain or gzip: "
            f"{_why(error)}. Give another file."
        ) from error


def _why(error: Exception) -> str:
    """The first line of a library's message, without its full stop."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")


def _table(file, cells, number, skipped=0, odd=None) -> Table:
    """A table without its columns of row numbers."""
    unnamed = tuple(c for c in cells if _INDEX.fullmatch(c))
    kept = {c: v for c, v in cells.items() if c not in unnamed}
    return Table(file, kept, number, skipped, odd or {}, unnamed)


def _check_names(names: Sequence[str], file: pathlib.Path) -> None:
    """Refuses a header with duplicate or empty names."""
    stripped = [name.strip() for name in names]
    twice = sorted({n for n in stripped if stripped.count(n) > 1})
    if twice:
        raise InputError(
            f"columns must have different names, {file} has {twice[0]!r} "
            f"{stripped.count(twice[0])} times. Rename or remove one."
        )
    if "" in stripped[1:]:
        raise InputError(
            f"columns must have names, column {stripped.index('', 1) + 1} of {file} "
            "has none. Name it."
        )


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

    names = columns.schema.names
    _check_names(names, file)
    cells, odd = {}, {}
    for name, column in zip(names, columns.columns, strict=True):
        try:
            cells[name.strip()] = _clean(_as_text(column), missing)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            odd[name.strip()] = str(column.type)
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
            _check_names(names, file)
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
    without: Sequence[str] = (),
) -> Iterator[Table]:
    """Reads a table in blocks.

    Args:
      file: CSV (comma, semicolon or tab; plain or gzip) or Parquet, recognised by
        content.
      on_bad: "error" or "skip" for rows with too few or too many cells.
      missing: more markers of missing values.
      skip_with: the argument that skips bad rows, for messages.
      bare_tabs: whether to treat quotation marks in tab-separated files as plain text.

    Yields:
      Tables of consecutive rows; one empty table if the file has no rows.

    Raises:
      InputError: if the file is not a valid table, naming row and column.
    """
    if _head(file)[:4] == b"PAR1":
        yield from _parquet(file, missing, without)
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
    return Table(file, cells, number, last.skipped, last.odd, last.unnamed)


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


def keys(table: Table) -> list[str]:
    """A key for each row, from its content; equal rows are numbered."""
    columns = []
    for _, column in sorted(table.cells.items()):
        values, text = numbers(column)[0].tolist(), words(column).tolist()
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
