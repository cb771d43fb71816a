"""Dates as people write them, and their parts as numbers.

`find` names the one form that the cells of a column have; `parts` reads cells in that
form: year, day of the year, weekday (0 is Monday) and, where there are times, the hour.
Columns are pyarrow string arrays with null for missing values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

_MONTHS = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
_TIME = (
    r"(?:[T ,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?"
    r" ?(?P<half>[AaPp]\.?[Mm]\.?)?(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?)?"
)
_NAME = r"(?P<name>[A-Za-z]{3})[a-z]*\.?"
_DAY, _MONTH = r"(?P<day>\d{1,2})", r"(?P<month>\d{1,2})"
_YEAR = r"(?P<year>\d{4}|\d{2})"
# The patterns of RE2.
FORMS = {
    "ymd": rf"^(?P<year>\d{{4}})[-/.]{_MONTH}[-/.]{_DAY}{_TIME}$",
    "dmy": rf"^{_DAY}[-/.]{_MONTH}[-/.] ?{_YEAR}{_TIME}$",
    "mdy": rf"^{_MONTH}[-/.]{_DAY}[-/.]{_YEAR}{_TIME}$",
    "d name y": rf"^{_DAY}(?:st|nd|rd|th)?[-. ]+{_NAME}[-, ]+{_YEAR}{_TIME}$",
    "name d y": rf"^{_NAME} {_DAY}(?:st|nd|rd|th)?,? {_YEAR}{_TIME}$",
}
# Forms that are numbers, too: 20210304.
COMPACT = {
    "yyyymmdd": rf"^(?P<year>\d{{4}})(?P<month>\d{{2}})(?P<day>\d{{2}})(?:\.0)?{_TIME}$"
}
PARTS = ("year", "day of year", "weekday", "hour")
# Share of the cells that must be dates.
_AGREES = 0.9


@dataclasses.dataclass(frozen=True)
class Found:
    """What `find` made of a column.

    Attributes:
      form: a key of FORMS or COMPACT; None if the cells are no dates.
      timed: whether there are times of day.
      doubt: why it is unclear how to read them, and what to do, as the end of a
        sentence that begins with the column; empty if it is clear.
    """

    form: str | None = None
    timed: bool = False
    doubt: str = ""


def _fields(column: Any, form: str) -> dict[str, np.ndarray]:
    """Each group of a form's pattern, `[rows]` float64, NaN where a cell has none."""
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    found = pc.extract_regex(column, (FORMS | COMPACT)[form])
    fields = {}
    for field in found.type:
        text = pc.struct_field(found, field.name)
        if field.name == "name":
            lower = pc.utf8_lower(text)
            value = pc.add(pc.index_in(lower, value_set=pa.array(_MONTHS)), 1)
        elif field.name == "half":
            value = pc.starts_with(pc.utf8_lower(text), "p")
            value = pc.if_else(pc.equal(text, ""), None, value)
        else:
            value = pc.if_else(pc.equal(text, ""), None, text)
        value = pc.cast(value, pa.float64())
        fields[field.name] = np.asarray(
            pc.fill_null(value, np.nan).to_numpy(zero_copy_only=False), np.float64
        )
    return fields


def _days(fields: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The dates, `[rows]` datetime64[D], and which of them exist, `[rows]` bool."""
    year, day = fields["year"], fields["day"]
    month = fields["name"] if "name" in fields else fields["month"]
    there = ~np.isnan(year + month + day) & (month >= 1) & (month <= 12) & (day >= 1)
    # As POSIX: 69 to 99 are of the last century.
    century = np.where(year < 69, 2000, np.where(year < 100, 1900, 0))
    months = np.where(there, (year + century - 1970) * 12 + month - 1, 0).astype(int)
    first = months.astype("datetime64[M]")
    days = first.astype("datetime64[D]") + np.where(there, day - 1, 0).astype(int)
    return days, there & (days.astype("datetime64[M]") == first)


def find(
    column: Any, order: str | None = None, *, forms: Mapping[str, str] = FORMS
) -> Found:
    """Finds the form of a column's dates.

    Args:
      column: pyarrow strings, null for missing values.
      order: "dmy" or "mdy" for dates in digits that end in the year, or None to find
        it.
      forms: `FORMS` or `COMPACT`.

    Example:
      >>> import pyarrow as pa
      >>> find(pa.array(["3.4.2021", None])).form
      'dmy'
      >>> find(pa.array(["3/4/2021"])).doubt.split(";")[0]
      'holds dates such as 3/4/2021, whose first number may be the day or the month'
    """
    import pyarrow.compute

    pc: Any = pyarrow.compute
    cells = pc.drop_null(column)
    if not len(cells):
        return Found()
    # Most columns are no dates, which a few cells tell.
    few = cells[:100]
    fits = {}
    for form in forms:
        if _days(_fields(few, form))[1].mean() >= _AGREES:
            fields = _fields(cells, form)
            share = _days(fields)[1].mean()
            if share >= _AGREES:
                fits[form] = share, bool(np.any(~np.isnan(fields["hour"])))
    if {"dmy", "mdy"} <= set(fits):
        example = cells[0].as_py()
        other = {"dmy": "mdy", "mdy": "dmy"}
        if order:
            del fits[other[order]]
        elif fits["dmy"] != fits["mdy"]:
            del fits[min(("dmy", "mdy"), key=lambda form: fits[form])]
        elif "." in example.split(" ")[0]:
            del fits["mdy"]
        else:
            return Found(
                doubt=f"holds dates such as {example}, whose first number may be the "
                "day or the month; say which with --config.data.date_order=dmy or mdy"
            )
    if not fits:
        return Found()
    form = max(fits, key=lambda form: fits[form])
    return Found(form, fits[form][1])


def parts(
    column: Any, form: str, timed: bool
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The parts of dates as numbers.

    Args:
      column: pyarrow strings, null for missing values.
      form: a key of FORMS or COMPACT.
      timed: whether to read times of day.

    Returns:
      A part's name -> `[rows]` float64, NaN for missing values; and `[rows]` bool, the
      cells that are present but no dates of that form.

    Example:
      >>> import pyarrow as pa
      >>> found, wrong = parts(pa.array(["2021-03-01 06:30"]), "ymd", True)
      >>> {name: value.tolist() for name, value in found.items()}
      {'year': [2021.0], 'day of year': [60.0], 'weekday': [0.0], 'hour': [6.5]}
    """
    import pyarrow.compute

    pc: Any = pyarrow.compute
    fields = _fields(column, form)
    days, there = _days(fields)
    year = days.astype("datetime64[Y]")
    found = {
        "year": year.astype(int) + 1970.0,
        "day of year": (days - year).astype(int) + 1.0,
        # 1 January 1970 was a Thursday.
        "weekday": (days.astype(int) + 3) % 7.0,
    }
    if timed:
        hour = fields["hour"]
        half = fields["half"]
        hour = np.where(np.isnan(half), hour, hour % 12 + 12 * half)
        rest = np.nan_to_num(fields["minute"]) / 60
        found["hour"] = hour + rest + np.nan_to_num(fields["second"]) / 3600
    given = np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False), bool)
    found = {name: np.where(there, value, np.nan) for name, value in found.items()}
    return found, given & ~there
