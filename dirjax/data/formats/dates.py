"""Dates, months and times as people write them, and their parts as numbers.

`find` names the one form that the cells of a column have; `parts` reads cells in that
form. Dates have year, day of the year, weekday (0 is Monday) and, where there are times
of day, the hour; months have year and month; times of day and durations have hours, as
12.5 for `12:30`. Columns are pyarrow string arrays with null for missing values.
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
# Without a day, other numbers look like years.
_FULL_YEAR = r"(?P<year>(?:1[89]|20|21)\d{2})"
# The patterns of RE2.
FORMS = {
    "ymd": rf"^(?P<year>\d{{4}})[-/.]{_MONTH}[-/.]{_DAY}{_TIME}$",
    "dmy": rf"^{_DAY}[-/.]{_MONTH}[-/.] ?{_YEAR}{_TIME}$",
    "mdy": rf"^{_MONTH}[-/.]{_DAY}[-/.]{_YEAR}{_TIME}$",
    "d name y": rf"^{_DAY}(?:st|nd|rd|th)?[-. ]+{_NAME}[-, ]+{_YEAR}{_TIME}$",
    "name d y": rf"^{_NAME} {_DAY}(?:st|nd|rd|th)?,? {_YEAR}{_TIME}$",
    "ym": rf"^{_FULL_YEAR}[-/]{_MONTH}$",
    "my": rf"^{_MONTH}[-/]{_FULL_YEAR}$",
    "name y": rf"^{_NAME}[-/, ]+{_FULL_YEAR}$",
    "y name": rf"^{_FULL_YEAR}[-/, ]+{_NAME}$",
    # As Python and pandas write durations: `1 day, 2:30:00`, `0 days 02:30:00`.
    "time": (
        r"^(?P<sign>-?)(?:(?P<days>\d+) days?,? \+?)?(?P<hour>\d+):(?P<minute>\d{2})"
        r"(?::(?P<second>\d{2}(?:[.,]\d+)?))?(?: ?(?P<half>[AaPp]\.?[Mm]\.?))?$"
    ),
}
_MONTHLY = ("ym", "my", "name y", "y name")
# Forms that are numbers, too: 20210304.
COMPACT = {
    "yyyymmdd": rf"^(?P<year>\d{{4}})(?P<month>\d{{2}})(?P<day>\d{{2}})(?:\.0)?{_TIME}$"
}
PARTS = ("year", "month", "day of year", "weekday", "hour")
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
        elif field.name == "sign":
            value = pc.equal(text, "-")
        else:
            value = pc.if_else(pc.equal(text, ""), None, text)
            value = pc.replace_substring(value, ",", ".")
        value = pc.cast(value, pa.float64())
        fields[field.name] = np.asarray(
            pc.fill_null(value, np.nan).to_numpy(zero_copy_only=False), np.float64
        )
    return fields


def _hours(fields: dict[str, np.ndarray]) -> np.ndarray:
    """Times of day as hours, `[rows]`."""
    hour, half = fields["hour"], fields["half"]
    hour = np.where(np.isnan(half), hour, hour % 12 + 12 * half)
    rest = np.nan_to_num(fields["minute"]) / 60
    return hour + rest + np.nan_to_num(fields["second"]) / 3600


def _durations(fields: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Times of the form `time` as hours, and which of them exist, both `[rows]`."""
    hour, half, second = (fields[name] for name in ("hour", "half", "second"))
    there = (fields["minute"] < 60) & ~(second >= 60)
    there &= np.isnan(half) | ((hour >= 1) & (hour <= 12))
    there &= np.isnan(fields["days"]) | (hour < 24)
    sign = np.where(fields["sign"] == 1, -1, 1)
    # A sign is that of the days, if there are any: `-1 day, 23:00:00` is minus an hour.
    days, hours = fields["days"], _hours(fields)
    return np.where(np.isnan(days), sign * hours, sign * 24 * days + hours), there


def _exist(fields: dict[str, np.ndarray], form: str) -> np.ndarray:
    """Which cells hold what the form is for, `[rows]` bool."""
    return _durations(fields)[1] if form == "time" else _days(fields)[1]


def _days(fields: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The dates, `[rows]` datetime64[D], and which of them exist, `[rows]` bool.

    Months begin with their first day.
    """
    year = fields["year"]
    day = fields.get("day", np.ones(len(year)))
    month = fields["name"] if "name" in fields else fields["month"]
    there = ~np.isnan(year + month + day) & (month >= 1) & (month <= 12) & (day >= 1)
    # As POSIX: 69 to 99 are of the last century.
    century = np.where(year < 69, 2000, np.where(year < 100, 1900, 0))
    months = np.where(there, (year + century - 1970) * 12 + month - 1, 0).astype(int)
    first = months.astype("datetime64[M]")
    days = first.astype("datetime64[D]") + np.where(there, day - 1, 0).astype(int)
    return days, there & (days.astype("datetime64[M]") == first)


def called(form: str) -> str:
    """What a form is for, in a word."""
    return "times" if form == "time" else "months" if form in _MONTHLY else "dates"


def _mixed(cells: Any, forms: Mapping[str, str]) -> str:
    """The doubt that dates of several forms leave; empty if these are none."""
    # At random, since forms may alternate.
    chosen = np.random.default_rng(0).permutation(len(cells))[:100]
    some = cells.take(chosen)
    fits = {form: _exist(_fields(some, form), form) for form in forms}
    best = max(fits, key=lambda form: fits[form].sum())
    others = np.any(list(fits.values()), axis=0) & ~fits[best]
    if not (fits[best] | others).mean() >= _AGREES > fits[best].mean():
        return ""
    pair = [some[int(np.argmax(mask))].as_py() for mask in (fits[best], others)]
    return (
        f"holds {called(best)} in several forms, such as {pair[0]} and {pair[1]}; "
        "write them in one way"
    )


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
        if _exist(_fields(few, form), form).mean() >= _AGREES:
            fields = _fields(cells, form)
            share = _exist(fields, form).mean()
            if share >= _AGREES:
                hour = fields.get("hour", np.array(np.nan))
                fits[form] = share, not np.isnan(hour).all()
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
        return Found(doubt=_mixed(cells, forms))
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
      >>> parts(pa.array(["12:30", "36:00:00"]), "time", True)[0]["hour"].tolist()
      [12.5, 36.0]
    """
    import pyarrow.compute

    pc: Any = pyarrow.compute
    fields = _fields(column, form)
    if form == "time":
        hours, there = _durations(fields)
        found = {"hour": hours}
    else:
        days, there = _days(fields)
        year = days.astype("datetime64[Y]")
        found = {"year": year.astype(int) + 1970.0}
        if form in _MONTHLY:
            month = days.astype("datetime64[M]") - year.astype("datetime64[M]")
            found["month"] = month.astype(int) + 1.0
        else:
            found["day of year"] = (days - year).astype(int) + 1.0
            # 1 January 1970 was a Thursday.
            found["weekday"] = (days.astype(int) + 3) % 7.0
        if timed:
            found["hour"] = _hours(fields)
    given = np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False), bool)
    found = {name: np.where(there, value, np.nan) for name, value in found.items()}
    return found, given & ~there
