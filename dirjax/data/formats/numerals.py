"""Numbers as people write them: `1.234,5`, `1,188 kg`, `$ 12`, `7 %`.

`find` looks at a whole column and names the one notation that all its cells (or nearly
all) agree with; `read` reads cells in that notation and nothing else, so that new data
is read by the rules of training. Columns are pyarrow string arrays with null for
missing values.

RE2, which pyarrow uses, has no lookaround; the patterns are written without.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

# Three-letter codes that may stand in front of a number; other words are names, as in
# `Q1` or `P17`.
_CODES = (
    "AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MXN|NOK|NTD|NZD"
    "|PLN|RUB|SEK|SGD|THB|TRY|TWD|USD|ZAR"
)
_BEFORE = rf"(?:[A-Z]{{0,3}}\p{{Sc}}|(?:{_CODES})|Rs\.?|Fr\.|kr\.?)"
_BEHIND = r"(?:[\p{L}%‰°\p{Sc}][^\s]*(?: [\p{L}\p{Sc}/(][^\s]*)*)"
_DIGITS = r"(?:\d[\d.,' ]*\d|\d|[.,]\d+)"
_EXPONENT = r"(?:[eE][+-]?\d+)?"
_LOOSE = (
    rf"^(?P<sign>[+-]?) ?(?P<before>{_BEFORE}?) ?(?P<number>[+-]?{_DIGITS}{_EXPONENT})"
    rf" ?(?P<behind>{_BEHIND}?)$"
)
# Negative in accounts; about, or below a limit of detection.
_ODD = (
    rf"(?:\({_BEFORE}? ?{_DIGITS} ?{_BEHIND}?\)|{_DIGITS} ?-"
    rf"|(?:[~<>≈≤≥±]=?|ca\.?) ?[+-]?{_DIGITS} ?{_BEHIND}?)"
)
# How decimals and groups of thousands may be marked, the plain notation first.
_MARKS = (
    *((".", ""), (".", ","), (".", " "), (".", "'")),
    *((",", ""), (",", "."), (",", " "), (",", "'")),
)
# Share of a column's cells that must look like numbers, and that must agree.
_LOOKS, _AGREES = 0.5, 0.98
# Cells that tell whether a long column has numbers.
_SAMPLE = 2_000
# Columns of at most this many different texts may be categories that hold digits.
_FEW = 20
# More units than these are names, as in house numbers.
_UNITS = 3
PER_CENT = ("%", "‰")
# What multiplies a number, alone or in front of a unit: `k`, `kW`, `Mio. EUR`.
_TIMES = re.compile(
    r"([kKMB]|bn|mn|mln|[Mm]io|[Mm]rd|[Tt]sd|thousand|[mb]illions?|lakh|crore)(?![a-z])"
)
_DIFFER = (
    "holds numbers whose marks differ or are not those of data.decimal and "
    "data.thousands; write them in one way"
)


class Notation(NamedTuple):
    """How the numbers of a column are written.

    Attributes:
      decimal: the decimal mark.
      thousands: the mark between groups of digits; empty for none.
      before: text in front of each number, such as a currency; empty for none.
      behind: text behind each number, such as a unit; empty for none.
    """

    decimal: str = "."
    thousands: str = ""
    before: str = ""
    behind: str = ""

    @property
    def plain(self) -> bool:
        """Whether it is that of programming languages."""
        return self == Notation()

    def said(self) -> str:
        """What is done to the cells, in words.

        Example:
          >>> Notation(",", ".", behind="EUR").said()
          "',' is the decimal mark, '.' separates thousands, 'EUR' is left out"
        """
        said = []
        if self.decimal != ".":
            said.append(f"{self.decimal!r} is the decimal mark")
        if self.thousands:
            said.append(f"{self.thousands!r} separates thousands")
        said += [f"{t!r} is left out" for t in (self.before, self.behind) if t]
        return ", ".join(said)


@dataclasses.dataclass(frozen=True)
class Found:
    """What `find` made of a column.

    Attributes:
      notation: the notation; None if the cells are text.
      doubt: why it is unclear how to read numbers, and what to do, as the end of a
        sentence that begins with the column; empty if it is clear.
      note: what a reader should know, as such an end; empty for nothing.
    """

    notation: Notation | None = None
    doubt: str = ""
    note: str = ""


# Patterns of what is no part of a number or written in several ways, and what it means.
_ALIKE = (
    ("[\u2212\ufe63\uff0d]", "-"),
    ("[\u00a0\u2007\u2009\u202f\u3000]", " "),
    ("[\u2018\u2019\u02bc\uff07]", "'"),
    ("\uff0e", "."),
    ("\uff0c", ","),
    *((chr(0xFF10 + digit), str(digit)) for digit in range(10)),
)


def canonical(column: Any) -> Any:
    """Cells as far as they hold numbers, in ASCII.

    Minus signs, narrow and fixed blanks, typographic apostrophes and wide digits become
    those of ASCII; a spreadsheet's apostrophe for "this is text" and the dash for "no
    cents" go.

    Example:
      >>> import pyarrow as pa
      >>> canonical(pa.array(["\u22121\u20190", "'12", "5.-"])).to_pylist()
      ["-1'0", '12', '5']
    """
    import pyarrow.compute

    pc: Any = pyarrow.compute
    if not pc.all(pc.string_is_ascii(column)).as_py():
        for pattern, plain in _ALIKE:
            column = pc.replace_substring_regex(column, pattern, plain)
        column = pc.replace_substring_regex(column, "([.,])[\u2013\u2014]+$", r"\1-")
    column = pc.replace_substring_regex(column, r"^'([-+]?[\d.,])", r"\1")
    return pc.replace_substring_regex(column, r"(\d)[.,]-+$", r"\1")


def _pattern(decimal: str, thousands: str) -> str:
    """A number with these marks; groups of two are Indian."""
    mark = re.escape(decimal)
    whole = r"\d+"
    if thousands:
        gap = re.escape(thousands)
        whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:{gap}\d{{2,3}})*{gap}\d{{3}})"
    return rf"[+-]?(?:{whole}(?:{mark}\d*)?|{mark}\d+){_EXPONENT}"


def _matches(column: Any, pattern: str) -> np.ndarray:
    """`[rows]` bool, False for missing values."""
    import pyarrow.compute

    pc: Any = pyarrow.compute
    found = pc.match_substring_regex(column, f"^{pattern}$")
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), bool)


def _stem(unit: str) -> str:
    """A unit in singular; `s` and `ms` are units, and no plurals."""
    return unit[:-1] if unit.endswith("s") and len(unit) > 2 else unit


def _one_unit(units: Counter[str]) -> str | None:
    """The unit of all cells that have one; None if they differ but for the plural."""
    stems = {_stem(u) for u in units if u}
    if len(stems) > 1:
        return None
    return max((u for u in units if u), key=lambda u: units[u], default="")


def changes_number(behind: str) -> bool:
    """Whether a number means another one without the text behind it.

    Example:
      >>> [changes_number(text) for text in ("%", "k", "Mio. EUR", "kg", "EUR")]
      [True, True, True, False, False]
    """
    return behind in PER_CENT or bool(_TIMES.match(behind))


def _doubtful_units(units: Counter[str], place: str) -> Found | None:
    """What is wrong with the texts beside the numbers of a column, if anything."""
    named = Counter({u: n for u, n in units.items() if u})
    if len(named) > _UNITS:
        return Found()
    if _one_unit(units) is None:
        said = ", ".join(repr(u) for u, _ in named.most_common())
        return Found(
            doubt=f"holds numbers with different text {place} them ({said}); convert "
            "them to one unit"
        )
    changing = [u for u in named if changes_number(u)]
    if changing and units[""]:
        return Found(
            doubt=f"has {named[changing[0]]:,} numbers with {changing[0]} and "
            f"{units['']:,} without; write all of them in one way"
        )
    return None


def _marks(
    numbers: Any, decimal: str | None, thousands: str | None, hint: str
) -> tuple[str, str] | str | None:
    """The marks of a column: a pair, None if there is none, or a doubt in words.

    Args:
      numbers: arrow strings of digits and marks, without missing values.
      decimal: the decimal mark if it is given.
      thousands: the mark of thousands if it is given.
      hint: the decimal mark of other columns of the file, or empty.
    """
    shares = {
        (mark, gap): _matches(numbers, _pattern(mark, gap)).mean()
        for mark, gap in _MARKS
        if decimal in (None, mark) and thousands in (None, gap)
    }
    best = max(shares.values(), default=0.0)
    if best < _AGREES:
        # Numbers of versions or chapters, such as 1.2.3.
        return None if best < _LOOKS and decimal is thousands is None else _DIFFER
    fits = [pair for pair, share in shares.items() if share == best]
    fits = [pair for pair in fits if _shown(numbers, *pair)] or fits
    for point, comma in ((".", ","), (",", ".")):
        # `1,188` is one thousand and more, or one and a bit.
        grouped, decimals = (point, comma), (comma, "")
        if grouped not in fits or decimals not in fits:
            continue
        if comma == "." and hint != ",":
            return decimals
        cut = _matches(numbers, rf"[+-]?\d*{re.escape(comma)}\d*")
        ungrouped = _matches(numbers, r"[+-]?\d{4,}").any()
        if hint == comma:
            return decimals
        if not ungrouped and (hint == point or not cut.all()):
            return grouped
        example = numbers[int(np.argmax(cut))].as_py()
        whole, _, rest = example.partition(comma)
        return (
            f"may mean {whole}{rest} or {whole}.{rest} by {example!r}; say which with "
            f"--config.data.thousands={comma!r} or --config.data.decimal={comma!r}"
        )
    return fits[0]


def _shown(numbers: Any, decimal: str, thousands: str) -> bool:
    """Whether some number has the marks, which otherwise tell nothing."""
    if thousands:
        return has(numbers, thousands)
    return decimal == "." or has(numbers, decimal)


def has(column: Any, mark: str) -> bool:
    """Whether a cell of a column holds a text."""
    import pyarrow.compute

    pc: Any = pyarrow.compute
    return bool(pc.any(pc.match_substring(column, mark)).as_py())


def find(
    column: Any,
    *,
    decimal: str | None = None,
    thousands: str | None = None,
    hint: str = "",
) -> Found:
    """Finds how the numbers of a column are written.

    Args:
      column: pyarrow strings, null for missing values.
      decimal: the decimal mark, or None to find it.
      thousands: the mark of thousands, empty for none, or None to find it.
      hint: the decimal mark of other columns of the file, which decides cases such as
        `1,188`; empty if it is not known.

    Returns:
      The notation, or why there is none. Without any doubt it is None for text, that
      is, if fewer than half of the cells look like numbers.

    Example:
      >>> import pyarrow as pa
      >>> find(pa.array(["1.188,50 kg", None, "2 kg"])).notation
      Notation(decimal=',', thousands='.', before='', behind='kg')
    """
    import pyarrow.compute

    pc: Any = pyarrow.compute
    cells = pc.drop_null(column)
    if len(cells) > 2 * _SAMPLE:
        # Most columns of text have no number, which some of their cells tell.
        some = canonical(cells.take(np.arange(0, len(cells), len(cells) // _SAMPLE)))
        if not _matches(some, f"(?:{_LOOSE[1:-1]}|{_ODD})").any():
            return Found()
    cells = canonical(cells)
    if not len(cells):
        return Found()
    parts = pc.extract_regex(cells, _LOOSE)
    there = np.asarray(pc.is_valid(parts).to_numpy(zero_copy_only=False), bool)
    few = len(pc.unique(cells)) <= min(_FEW, len(cells) / 3)
    if there.mean() < _LOOKS:
        odd = _matches(cells, _ODD)
        if odd.any() and not few and (there | odd).mean() >= _AGREES:
            example = cells[int(np.argmax(odd))].as_py()
            return Found(
                doubt=f"holds numbers such as {example!r}, of which it is unclear what "
                "they mean; write them as numbers"
            )
        return Found()
    numeric = parts.filter(pc.is_valid(parts))

    def field(name: str) -> Any:
        return pc.struct_field(numeric, name)

    texts = {}
    for name, place in (("before", "in front of"), ("behind", "behind")):
        units = Counter(
            {
                entry["values"]: entry["counts"]
                for entry in pc.value_counts(field(name)).to_pylist()
            }
        )
        doubt = _doubtful_units(units, place)
        if doubt is not None:
            return Found(note="holds numbers with different units") if few else doubt
        texts[name] = _one_unit(units) or ""
    if few and any(texts.values()) and there.mean() < _AGREES:
        return Found(note="holds words beside numbers")
    numbers = pc.binary_join_element_wise(field("sign"), field("number"), "")
    marks = _marks(numbers, decimal, thousands, hint)
    if marks is None:
        return Found()
    if isinstance(marks, str):
        return Found(doubt=marks)
    return Found(Notation(*marks, **texts))


def read(column: Any, notation: Notation) -> tuple[np.ndarray, np.ndarray]:
    """Reads cells in a notation.

    Args:
      column: pyarrow strings, null for missing values.
      notation: as found in training; texts before and behind may be missing, unless
        they change the number, and in singular or plural.

    Returns:
      `[rows]` float64, NaN for missing values and whatever is not such a number, and
      `[rows]` bool: values that are present but not such numbers.

    Example:
      >>> import pyarrow as pa
      >>> values, wrong = read(pa.array(["1.188,5", "3.5"]), Notation(",", "."))
      >>> values.tolist(), wrong.tolist()
      ([1188.5, nan], [False, True])
    """
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    cells = canonical(column)
    behind = re.escape(_stem(notation.behind))
    plural = "s?" if len(_stem(notation.behind)) > 1 else ""
    rarely = "" if changes_number(notation.behind) else "?"
    behind = rf"(?: ?{behind}{plural}){rarely}" if behind else ""
    before = rf"(?:{re.escape(notation.before)} ?)?" if notation.before else ""
    number = _pattern(notation.decimal, notation.thousands)
    pattern = rf"^(?P<sign>[+-]?) ?{before}(?P<number>{number}){behind}$"
    parts = pc.extract_regex(cells, pattern)
    text = pc.binary_join_element_wise(
        pc.struct_field(parts, "sign"), pc.struct_field(parts, "number"), ""
    )
    if notation.thousands:
        text = pc.replace_substring(text, notation.thousands, "")
    text = pc.replace_substring(text, notation.decimal, ".")
    # Arrow takes no plus sign, nor a point without digits behind it.
    text = pc.replace_substring_regex(text, r"^\+", "")
    text = pc.replace_substring_regex(text, r"\.($|[eE])", r"\1")
    text = pc.replace_substring_regex(text, r"^(-?)\.", r"\10.")
    values = pc.fill_null(pc.cast(text, pa.float64()), np.nan)
    found = np.asarray(values.to_numpy(zero_copy_only=False), np.float64)
    there = np.asarray(pc.is_valid(cells).to_numpy(zero_copy_only=False), bool)
    return found, there & np.isnan(found)
