"""Formats numbers, counts and lists for a terminal of 88 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

_WIDTH = 88


_NAMES = 30  # columns to list


def wrap(text: str, first: str = "", rest: str | None = None) -> str:
    """Wraps text, with separate indents for the first and the other lines."""
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first) if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def listed(names: Sequence[str]) -> str:
    """Names separated by commas, truncated if there are many."""
    more = [f"and {len(names) - _NAMES:,} more"] if len(names) > _NAMES else []
    return ", ".join([*names[:_NAMES], *more])


def number(x: float) -> str:
    """A readable number.

    Example:
      >>> number(500001), number(0.125), number(1234567.8)
      ('500,001', '0.125', '1,234,568')
    """
    whole = float(x).is_integer() or abs(x) >= 1e6
    return f"{x:,.0f}" if whole and abs(x) < 1e15 else f"{x:,.6g}"


def count(n: int, one: str, more: str = "") -> str:
    """`1 row`, `1,200 rows`."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def share(part: float, whole: float) -> str:
    """`4.7 %`."""
    return f"{100 * part / whole:.2g} %" if part < whole else "100 %"
