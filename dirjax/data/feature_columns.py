"""The feature columns of a table: their types, and which are left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import column_types, row_checks
from dirjax.data.column_types import ColumnReading, Wishes
from dirjax.data.formats import dates as date_forms
from dirjax.data.formats import numerals
from dirjax.data.formats.categories import Categories
from dirjax.data.formats.numerals import Notation
from dirjax.data.formats.text_columns import Table
from dirjax.errors import InputError, setting

# Nothing is said on how a file is written, and how numbers mostly are.
FIND, PLAIN = Wishes(), Notation()


@dataclasses.dataclass
class Features:
    """The feature columns of a table, typed.

    Attributes:
      numeric: names of numeric columns.
      categorical: names of categorical columns.
      values: column -> `[rows]` float64 (NaN missing) or texts (empty missing).
      dropped: column -> reason for leaving it out.
      readings: column of the file -> how its numbers or dates were read, where that is
        not plain.
    """

    numeric: list[str]
    categorical: list[str]
    values: dict[str, np.ndarray | Categories]
    dropped: dict[str, str]
    readings: dict[str, ColumnReading] = dataclasses.field(default_factory=dict)


def listed(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Names of columns, where one string may hold several, separated by commas.

    Example:
      >>> listed(("a,b",), ["a", "b", "c"]), listed(("a,b",), ["a,b", "c"])
      (('a', 'b'), ('a,b',))
    """
    if len(names) == 1 and names[0] not in known:
        return tuple(names[0].split(","))
    whole = ",".join(names)
    return (whole,) if whole in known else tuple(names)


def typed(
    values: Mapping[str, np.ndarray],
    rows: row_checks.Rows,
    *,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Features:
    """Features from columns that already have a type.

    Args:
      values: column -> `[rows]` float64 (NaN missing) or str.
      rows: their rows; those with an infinite number are refused.
      numeric: columns that must be numeric.
      categorical: columns to treat as categories.
      drop: columns to leave out.

    Raises:
      InputError: for unknown names, and for text in numeric columns.
    """
    found = Features([], [], {}, {})
    every = list(values)
    wanted = {"numeric": numeric, "categorical": categorical, "drop": drop}
    wanted = {field: listed(names, every) for field, names in wanted.items()}
    for field, names in wanted.items():
        for name in names:
            if name not in values:
                raise InputError(
                    f"{rows.file} has no column {name!r} (data.{field}); it has "
                    f"{', '.join(every)}. Name one of them."
                )
    for name, column in values.items():
        if name in wanted["drop"]:
            continue
        number = column.dtype.kind == "f"
        if name in wanted["numeric"] and not number:
            raise InputError(f"data.numeric names {name!r}, which holds text. Drop it.")
        if number:
            refuse_infinite(name, column, rows)
        found.values[name] = column if number else Categories.of(column.astype(str))
        if name in wanted["categorical"] or not number:
            found.categorical.append(name)
        if name in wanted["numeric"] or (number and name not in found.categorical):
            found.numeric.append(name)
    return found


def features(
    table: Table,
    rows: row_checks.Rows,
    *,
    others: Sequence[str],
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    wishes: Wishes = FIND,
    hint: str = "",
    keep_dates: bool = True,
) -> Features:
    """Infers the type of each feature column.

    A column is numeric if its values are numbers in one notation; dates become numbers
    (see `dates.parts`); other columns are categorical. Left out are empty columns, row
    numbers and identifiers, and text columns where most values occur once.

    Args:
      table: the table.
      rows: its rows; unusable ones are refused.
      others: columns that are not features (label, split, weight, group).
      numeric: columns that must be numeric.
      categorical: columns that must be categorical; may be numeric, too.
      drop: columns to leave out.
      wishes: how the user says that numbers and dates are written.
      hint: see `column_types.decimal_mark`.
      keep_dates: whether dates become features; otherwise they are left out.

    Raises:
      InputError: for unknown names, text in a numeric column, and numbers or dates that
        can be read in two ways.
    """
    for field, names in (("numeric", numeric), ("categorical", categorical)):
        for name in names:
            table.require(name, f"data.{field}")
    for name in drop:
        if name not in table.odd:
            table.require(name, "data.drop")
    for name in set(table.odd) - {*others, *drop}:
        table.require(name, "it would be a feature")
    found = Features([], [], {}, {})
    for name in table.unnamed:
        found.dropped[name or "(no name)"] = "taken for row numbers"
    for name, column in table.cells.items():
        if name in others or name in drop:
            continue
        way, plain = column_types.reading(column, wishes, hint)
        named = name in numeric or name in categorical
        if way.kind == "doubt" and name not in categorical:
            rows.problem(
                f"{name!r} of {rows.file} {way.said}",
                "Or leave it out with "
                + setting("data.drop", name)
                + ", or make it a category with "
                + setting("data.categorical", name),
                "Or list such columns, with commas, in --config.data.drop=NAMES or "
                "--config.data.categorical=NAMES",
            )
        elif name in numeric or (way.kind == "numbers" and name not in categorical):
            _add_numbers(found, name, column, way.notation, rows, named, plain)
        elif way.kind == "dates" and not named:
            if keep_dates:
                used = set(table.cells) - {*others, *drop}
                _add_dates(found, name, column, way, rows, used)
            else:
                said = date_forms.called(way.form)
                found.dropped[name] = f"{said}, which data.dates leaves out"
        else:
            _add_text(found, name, column, way.said, rows, named)
        if name in categorical and name not in found.categorical:
            found.categorical.append(name)
    return found


def _kept(name: str) -> str:
    return f"{setting('data.numeric', name)} keeps it"


def _add_numbers(
    found: Features,
    name: str,
    column: Any,
    notation: Notation,
    rows: row_checks.Rows,
    named: bool,
    plain: np.ndarray | None,
) -> None:
    """Adds a numeric column, unless it is empty or numbers the rows."""
    values, wrong = column_types.numbers(column, notation, plain)
    if not named:
        if column.null_count == len(column):
            found.dropped[name] = "empty"
            return
        if not wrong.any() and column_types.counts_rows(values):
            found.dropped[name] = f"it numbers the rows; {_kept(name)}"
            return
        if not wrong.any() and column_types.identifies(name, values):
            found.dropped[name] = f"an identifier; {_kept(name)}"
            return
    refuse_text(name, column, wrong, rows, forced=named)
    refuse_infinite(name, values, rows)
    tell_missing_code(name, column, values, rows)
    found.values[name] = values
    found.numeric.append(name)
    if not notation.plain:
        found.readings[name] = ColumnReading("numbers", notation)


def tell_missing_code(
    name: str, column: Any, values: np.ndarray, rows: row_checks.Rows
) -> None:
    """Notes a number that may stand for missing values in a column.

    Args:
      name: the column.
      column: its cells.
      values: `[rows]`, the same as numbers.
      rows: its rows.
    """
    code = column_types.missing_code(values)
    if code is not None:
        here = np.flatnonzero(values == code)
        cell = column[int(here[0])].as_py()  # as markers are compared: -999.0 is text
        rows.notes.append(
            f"column {name!r} holds {cell} in {len(here):,} rows, far from its other "
            "numbers: if it stands for a missing value, set "
            + setting("data.missing", cell)
        )


def _add_dates(
    found: Features,
    name: str,
    column: Any,
    way: ColumnReading,
    rows: row_checks.Rows,
    used: Collection[str],
) -> None:
    """Adds the parts of dates as numeric columns, unless their names are used."""
    parts = checked_dates(name, column, way, rows)
    what = date_forms.called(way.form)
    for part in parts:
        if part in used:
            rows.problem(
                f"{name!r} of {rows.file} holds {what}, of which a part would be named "
                f"{part!r} like another column",
                f"Rename one of them, or drop one: {setting('data.drop', part)}",
            )
            return
    for part, values in parts.items():
        found.values[part] = values
        found.numeric.append(part)
    found.readings[name] = way
    said = " (day first)" * (way.form == "dmy") + " (month first)" * (way.form == "mdy")
    names = ", ".join(part.removeprefix(f"{name} ") for part in parts)
    if what == "times":
        hours = parts[f"{name} hour"]
        i = int(np.flatnonzero(~np.isnan(hours))[0])
        said = f" such as {column[i].as_py()!r}, {hours[i]:g} hours"
    rows.notes.append(f"column {name!r} holds {what}{said}: it gives {names}")


def _add_text(
    found: Features,
    name: str,
    column: Any,
    said: str,
    rows: row_checks.Rows,
    named: bool,
) -> None:
    """Adds a column of categories, unless most of its values occur once."""
    text = Categories.read(column)
    filled = np.flatnonzero(~text.missing())
    different = np.count_nonzero(text.values != "")
    if not named and different > max(20, 0.5 * len(filled)):
        example = str(text.values[text.codes[filled[0]]])
        found.dropped[name] = (
            f"text with {different:,} different values such as {example!r}, most occur "
            "once"
        )
        return
    if said:
        rows.notes.append(f"column {name!r} {said}")
    found.values[name] = text
    found.categorical.append(name)


def checked_dates(
    name: str, column: Any, way: ColumnReading, rows: row_checks.Rows
) -> dict[str, np.ndarray]:
    """The parts of a column of dates: `NAME PART` -> `[rows]` float64, NaN missing.

    Args:
      name: the column.
      column: its cells.
      way: how to read them.
      rows: its rows; those with something else are refused.
    """
    parts, wrong = date_forms.parts(column, way.form, way.timed)
    if wrong.any():
        cells, what = column.to_pylist(), date_forms.called(way.form)
        rows.refuse(
            f"no {what.removesuffix('s')}",
            wrong,
            lambda i: (
                f"{name!r} must hold {what} as in training or in the other rows, "
                f"{rows.place(i)} has {cells[i]!r}"
            ),
        )
    return {f"{name} {part}": values for part, values in parts.items()}


def checked_numbers(
    table: Table, name: str, rows: row_checks.Rows, notation: Notation = PLAIN
) -> np.ndarray:
    """A column that must be numeric, `[rows]` float64, NaN for missing values.

    Args:
      table: the table.
      name: the column.
      rows: its rows; those with text or infinity are refused.
      notation: how its numbers are written.
    """
    values, wrong = column_types.numbers(table.cells[name], notation)
    cells, behind = table.cells[name], notation.behind
    refuse_text(name, cells, wrong, rows, forced=True, behind=behind)
    refuse_infinite(name, values, rows)
    return values


def refuse_infinite(name: str, values: np.ndarray, rows: row_checks.Rows) -> None:
    """Refuses rows with an infinite number in a column, `[rows]` float64."""
    rows.refuse(
        "infinite feature",
        np.isinf(values),
        lambda i: (
            f"features must be finite, {rows.place(i)} has {values[i]} in {name!r}"
        ),
    )


def refuse_text(
    name: str,
    column: Any,
    wrong: np.ndarray,
    rows: row_checks.Rows,
    *,
    forced: bool,
    behind: str = "",
) -> None:
    """Refuses rows with text in a numeric column.

    Args:
      name: the column.
      column: its cells.
      wrong: `[rows]` bool.
      rows: its rows.
      forced: whether it cannot be a category.
      behind: what stands behind its numbers.
    """
    if wrong.any():
        must = f" with {behind!r} behind them" * numerals.changes_number(behind)
        cells = column.to_pylist()
        where = map(int, np.flatnonzero(wrong))
        missing = {i: setting("data.missing", cells[i]) for i in where}
        way = "; if the column is a category, " + setting("data.categorical", name)
        way = "" if forced else way
        rows.refuse(
            "text in a numeric column",
            wrong,
            lambda i: (
                f"{name!r} must hold numbers{must}, {rows.place(i)} has {cells[i]!r} "
                f"(if it stands for a missing value, set {missing[i]}{way})"
            ),
        )
