"""What the columns of a table hold: numbers in some notation, dates, or text.

Also which columns say nothing but where a row stands: row numbers and identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from dirjax.data.formats import dates, numerals, text_columns
from dirjax.data.formats.categories import Categories
from dirjax.data.formats.numerals import Notation

# Names of identifiers: `id`, `house_id`, `HouseID`, `uuid`, `index`, `row number`.
_IDENTIFIER = re.compile(
    r"(.*[_\W])?([iI][dD]s?|ID|[uU]{2}[iI][dD]|index|idx|row[_ ]?(no|num|number))"
    r"|.*[a-z0-9](Id|ID)"
)
# Numbers of nines stand for missing values in many files.
_CODES = (99, 999, 9999, 99999, 999999)
# With fewer rows, that a column counts them is a coincidence.
_LEAST_ROWS = 20
# Numbers per row up to which a column of different numbers counts them.
_SPAN = 1.25
# Cells that tell the marks of a file.
_SAMPLE = 2_000
# Columns that tell them.
_VOTES = 50


class Wishes(NamedTuple):
    """How a user says that a file is written; None to find it.

    Attributes:
      decimal: the decimal mark.
      thousands: the mark between groups of digits; empty for none.
      date_order: "dmy" or "mdy".
    """

    decimal: str | None = None
    thousands: str | None = None
    date_order: str | None = None


class ColumnReading(NamedTuple):
    """How to read the cells of a column.

    Attributes:
      kind: "numbers", "dates", "text", or "doubt" where it is unclear.
      notation: of numbers.
      form: of dates, a key of `dates.FORMS`.
      timed: whether dates have times.
      said: the doubt, or what a reader should know; the end of a sentence that begins
        with the column. Empty for nothing.
    """

    kind: str
    notation: Notation = Notation()
    form: str = ""
    timed: bool = False
    said: str = ""


def to_json(readings: Mapping[str, ColumnReading]) -> dict[str, Any]:
    """Readings of columns as plain JSON, for a data record."""
    return {
        name: {**way._asdict(), "notation": list(way.notation)}
        for name, way in readings.items()
    }


def recorded(record: Mapping[str, Any]) -> dict[str, ColumnReading]:
    """The readings of columns that a data record keeps, see `to_json`.

    Example:
      >>> kept = {"price": ColumnReading("numbers", Notation(",", "."))}
      >>> recorded({"readings": to_json(kept)}) == kept
      True
    """
    return {
        name: ColumnReading(**way | {"notation": Notation(*way["notation"])})
        for name, way in record.get("readings", {}).items()
    }


def numbers(
    column: Any, notation: Notation, plain: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Reads numbers; see `numerals.read`.

    Args:
      column: pyarrow strings, null for missing values.
      notation: how they are written.
      plain: the numbers, if `reading` has given them.
    """
    if plain is not None:
        return plain, np.zeros(len(column), bool)
    if notation.plain:
        return text_columns.numbers(numerals.canonical(column))
    return numerals.read(column, notation)


def decimal_mark(cells: Mapping[str, Any], delimiter: str) -> str:
    """The decimal mark of a file, by the columns that leave no doubt.

    Args:
      cells: column -> pyarrow strings.
      delimiter: what separates cells; without decimals, a semicolon speaks for decimal
        commas, and a comma for points.

    Returns:
      "." or ","; empty if it is not clear.
    """
    votes: list[str] = []
    for column in cells.values():
        if len(votes) == _VOTES:
            break
        some = column.slice(0, _SAMPLE)
        if text_columns.plain_numbers(some) is not None and not numerals.has(some, "."):
            continue
        found = numerals.find(some).notation
        if found is None or (found.decimal, found.thousands) == (".", "."):
            continue
        if found.decimal == "," or found.thousands == ".":
            votes.append(",")
        elif found.thousands == "," or (found.plain and _has_decimals(some)):
            votes.append(".")
    if not votes:
        return {";": ",", ",": "."}.get(delimiter, "")
    return votes[0] if len(set(votes)) == 1 else ""


def _has_decimals(column: Any) -> bool:
    """Whether a plain column has a point that cannot stand between thousands."""
    import pyarrow.compute

    pc: Any = pyarrow.compute
    grouped = pc.match_substring_regex(column, r"^[+-]?[1-9]\d{0,2}(\.\d{3})+$")
    pointed = pc.match_substring(column, ".")
    return bool(pc.any(pc.and_(pointed, pc.invert(grouped))).as_py())


def reading(
    column: Any, wishes: Wishes, hint: str = ""
) -> tuple[ColumnReading, np.ndarray | None]:
    """Finds how a column is to be read.

    Args:
      column: pyarrow strings, null for missing values.
      wishes: what the user says.
      hint: see `decimal_mark`.

    Returns:
      How; and its numbers, if looking for them has given them already.
    """
    if wishes.decimal is None and wishes.thousands is None:
        plain = text_columns.plain_numbers(column)
        if plain is not None and _may_be_dates(plain):
            found = dates.find(column, forms=dates.COMPACT)
            if found.form:
                return ColumnReading("dates", form=found.form), plain
        if plain is not None and not (hint == "," and numerals.has(column, ".")):
            return ColumnReading("numbers"), plain
    return _marked(column, wishes, hint), None


def _may_be_dates(values: np.ndarray) -> bool:
    """Whether all numbers that are there are as large as 20210304."""
    for some in (values[:100], values):  # most columns differ at once
        known = some[~np.isnan(some)]
        if np.any((known < 19000101) | (known > 21001231)):
            return False
    return bool(len(known))


def _marked(column: Any, wishes: Wishes, hint: str) -> ColumnReading:
    """How to read a column that is not just plain numbers."""
    found = dates.find(column, wishes.date_order)
    if found.doubt:
        return ColumnReading("doubt", said=found.doubt)
    if found.form:
        return ColumnReading("dates", form=found.form, timed=found.timed)
    number = numerals.find(
        column, decimal=wishes.decimal, thousands=wishes.thousands, hint=hint
    )
    if number.doubt:
        return ColumnReading("doubt", said=number.doubt)
    if number.notation is None:
        said = f"{number.note} and is read as categories" if number.note else ""
        return ColumnReading(
            "text" if column.null_count < len(column) else "numbers", said=said
        )
    return ColumnReading("numbers", number.notation)


def missing_code(values: np.ndarray) -> float | None:
    """A number that may stand for missing values: -999 below or 9999 above all others.

    Args:
      values: `[rows]` float64.

    Example:
      >>> missing_code(np.array([0.5, -999, 3, -999]))
      -999.0
    """
    known = values[~np.isnan(values)]
    ends = (known.min(), known.max()) if len(known) else ()
    for code in ends:
        if abs(code) not in _CODES:
            continue
        rest = known[known != code]
        if len(known) - len(rest) < 2 or not len(rest):
            continue
        low, high = rest.min(), rest.max()
        if low >= 0 if code < 0 else code - high > high - low:
            return float(code)
    return None


def counts_rows(values: np.ndarray) -> bool:
    """Whether a column numbers the rows, in their order or in another.

    A fifth of the numbers may be missing, as when rows were left out before.

    Args:
      values: `[rows]` float64.

    Example:
      >>> counts_rows(np.arange(7.0, 107.0)), counts_rows(np.arange(0.0, 100.0, 2))
      (True, False)
    """
    if len(values) < _LEAST_ROWS or not np.all(values == np.round(values)):
        return False
    gaps = np.diff(np.sort(values))
    return bool(np.all(gaps >= 1) and np.sum(gaps) < _SPAN * len(values))


def identifies(name: str, values: np.ndarray | Categories) -> bool:
    """Whether a column is named like an identifier and differs in all rows.

    Args:
      name: of the column.
      values: `[rows]` float64 or texts.

    Example:
      >>> identifies("house_id", np.array([17.0, 4.0])), identifies("paid", np.ones(1))
      (True, False)
    """
    return bool(_IDENTIFIER.fullmatch(name)) and different(values) == len(values)


def different(values: np.ndarray | Categories) -> int:
    """How many different values there are; numpy's own count takes eight times as long.

    Missing numbers are one value.
    """
    if isinstance(values, Categories):
        return len(values.present())
    ordered = np.sort(values[~np.isnan(values)])
    gaps = len(ordered) < len(values)
    return gaps + int(np.count_nonzero(np.diff(ordered)) + min(1, len(ordered)))


def repeats(name: str, values: np.ndarray | Categories) -> bool:
    """Whether a column may name persons, sites or series that have several rows.

    Args:
      name: of the column.
      values: `[rows]` float64 or texts.
    """
    if not isinstance(values, Categories) and not _IDENTIFIER.fullmatch(name):
        return False
    return 10 <= different(values) <= len(values) / 2
