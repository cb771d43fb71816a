"""Tables as columns of text: names, missing values, numbers and words."""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from dirjax.errors import InputError, setting

# Markers of a missing value, besides an empty cell.
MISSING = (
    *("NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NULL", "null", "None"),
    *("<NA>", "NaT"),
)
# Row numbers, as pandas writes them.
_INDEX = re.compile(r"|Unnamed: 0|__index_level_\d+__")
_NUMERAL = re.compile(r"[+-]?\d+([.,]\d+)?")
_NAMELESS = "(column {})"
# What Python may read as a number in ASCII; RE2.
_NUMBER = r"^\s*[+-]?\s*(?:[\d.]|(?i:inf|nan))"


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

    def require(self, name: str, field: str, todo: str = "") -> None:
        """Raises an error unless a column exists.

        Args:
          name: the column.
          field: what needs the column, for the message.
          todo: what to do if no other name is close; to name one of the columns, if
            empty.

        Raises:
          InputError: listing the existing names.
        """
        if name in self.odd:
            raise InputError(
                f"columns must hold numbers or text, {name!r} of {self.file} holds "
                f"{self.odd[name]} ({field}). Convert it, or leave it out with "
                f"{setting('data.drop', name)}."
            )
        if name not in self.cells:
            if all(map(_NUMERAL.fullmatch, self.cells)):
                todo = "The first line must name the columns: write names above it."
            of_config = field.startswith("data.")
            how = f" with {setting(field, 'NAME')}" if of_config else ""
            todo = todo or f"Name one of them{how}."
            known = {c.lower(): c for c in self.cells}
            close = difflib.get_close_matches(name.lower(), known, 1)
            raise InputError(
                f"{self.file} has no column {name!r} ({field}); it has "
                f"{', '.join(self.cells)}. "
                + (f"Did you mean {known[close[0]]!r}?" if close else todo)
            )


def markers(missing: Sequence[str]) -> list[str]:
    """All markers of a missing value; `missing` are those of the user."""
    return ["", *MISSING, *missing]


def clean(column: Any, missing: Sequence[str], marked: bool = False) -> Any:
    """Strips text and replaces markers of missing values by null.

    Args:
      column: pyarrow string array.
      missing: more markers.
      marked: whether markers without blanks around them are null already.
    """
    import pyarrow as pa
    import pyarrow.compute

    if marked and not _may_be_blank(column):
        return column
    pc: Any = pyarrow.compute  # its functions are created at run time
    column = pc.utf8_trim_whitespace(column)
    nothing = pa.array(markers(missing), column.type)
    return pc.if_else(pc.is_in(column, value_set=nothing), None, column)


def _may_be_blank(column: Any) -> bool:
    """Whether an array of strings has a byte that may belong to a blank."""
    _, offsets, content = column.buffers()
    if content is None or not len(column):
        return False
    ends = np.frombuffer(offsets, np.int32)
    first, last = ends[column.offset], ends[column.offset + len(column)]
    data = np.frombuffer(content, np.uint8)[first:last]
    # Those of ASCII end with the blank, and others are above.
    return bool(np.any(data - np.uint8(ord("!")) > ord("~") - ord("!")))


def without_index(file, cells, number, skipped=0, odd=None, **others) -> Table:
    """A table without its columns of row numbers."""
    unnamed = tuple(c for c in cells if _INDEX.fullmatch(c))
    kept = {c: v for c, v in cells.items() if c not in unnamed}
    return Table(file, kept, number, skipped, odd or {}, unnamed, **others)


def column_names(header: Sequence[str], file: pathlib.Path) -> list[str]:
    """Names of columns; those that have none are counted, but for the first.

    Raises:
      InputError: for a name that two columns have.
    """
    stripped = [name.strip() for name in header]
    twice = sorted({n for n in stripped if n and stripped.count(n) > 1})
    if twice and all(map(_NUMERAL.fullmatch, stripped)):
        raise InputError(
            f"the first line must name the columns, that of {file} holds numbers. "
            "Write names above it."
        )
    if twice:
        raise InputError(
            f"columns must have different names, {file} has {twice[0]!r} "
            f"{stripped.count(twice[0])} times. Rename or remove one."
        )
    return [
        n if n or not i else _NAMELESS.format(i + 1) for i, n in enumerate(stripped)
    ]


def is_nameless(name: str) -> bool:
    """Whether `column_names` has made a name."""
    return bool(re.fullmatch(r"\(column \d+\)", name))


def reason(error: Exception) -> str:
    """The first line of a library's message, without its full stop."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")


def plain_numbers(column: Any) -> np.ndarray | None:
    """`[rows]` float64, NaN for missing values.

    None unless all cells that are present are numbers as programs write them.
    """
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    try:
        values = pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        return None
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)


def numbers(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Converts text to numbers.

    Args:
      column: pyarrow string array.

    Returns:
      `[rows]` float64, NaN for missing values and text, and `[rows]` bool: values that
      are present but not numbers.
    """
    import pyarrow.compute

    pc: Any = pyarrow.compute
    wrong = np.zeros(len(column), bool)
    plain = plain_numbers(column)
    if plain is not None:
        return plain, wrong
    found, wrong = np.full(len(column), np.nan), _matches(column, "")
    ascii_only = pc.fill_null(pc.string_is_ascii(column), True)
    strange = ~np.asarray(ascii_only.to_numpy(zero_copy_only=False), bool)
    perhaps = np.flatnonzero(_matches(column, _NUMBER) | strange)
    for i, text in zip(perhaps.tolist(), column.take(perhaps).to_pylist(), strict=True):
        try:
            # Python accepts 1_000, which is not a number here.
            found[i] = float(text.replace("_", "?"))
            wrong[i] = False
        except ValueError:
            continue
    return found, wrong


def _matches(column: Any, pattern: str) -> np.ndarray:
    """`[rows]` bool: cells that match a pattern of RE2; missing ones do not."""
    import pyarrow.compute

    pc: Any = pyarrow.compute
    found = pc.fill_null(pc.match_substring_regex(column, pattern), False)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def words(column: Any) -> np.ndarray:
    """`[rows]` str, empty for missing values; whole numbers without `.0`."""
    different, codes = coded_words(column)
    return different[codes]


def coded_words(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """The same as `[different]` str, not all of them distinct, and `[rows]` int."""
    import pyarrow.compute

    pc: Any = pyarrow.compute
    coded = in_one(pc.dictionary_encode(pc.fill_null(column, "")))
    plain = pc.replace_substring_regex(coded.dictionary, r"^(-?\d+)\.0+$", r"\1")
    return np.asarray(plain.to_pylist(), np.str_), coded.indices.to_numpy()


def in_one(column: Any) -> Any:
    """A column in one piece, as a pyarrow array."""
    pieces = getattr(column, "chunks", None)
    if pieces is None:
        return column
    return pieces[0] if len(pieces) == 1 else column.combine_chunks()
