"""How numbers are written for people: significant digits, one rule everywhere.

A column of numbers has a common number of decimals, so that they can be compared: four
significant digits of the largest (five from 100, whose smaller neighbours then have
four), and up to six where the smallest number, or the largest spread, would otherwise
have fewer than two. Thousands are separated by commas.
Below 0.001 and from 1e9, a power of ten follows, the same for the whole column.
Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

_LEAST, _MOST, _SPREAD = 4, 6, 2  # significant digits
_MORE = 2  # power of ten from which there is one more
_SMALL, _LARGE = -3, 9  # powers of ten between which numbers are written plainly


def _power(value: float) -> int:
    """The power of ten of the first digit: 0.02 -> -2."""
    return math.floor(math.log10(value))


class Form(NamedTuple):
    """How the numbers of a column are written.

    Attributes:
      decimals: digits behind the point.
      power: they are written in units of 10 to this power.
    """

    decimals: int
    power: int = 0

    def __call__(self, value: float, sign: str = "") -> str:
        """Writes a number; `sign="+"` writes the sign of positive ones, too."""
        text = f"{value / 10.0**self.power:{sign},.{self.decimals}f}"
        if not any(digit in text for digit in "123456789"):
            text = text.lstrip("-+")  # no sign before zero
        return f"{text}e{self.power}" if self.power and value else text


def form(values: Iterable[float], spreads: Iterable[float] = ()) -> Form:
    """The form of a column.

    Args:
      values: its numbers; those that are not finite do not count.
      spreads: deviations, widths of intervals and differences, in the same unit.

    Example:
      >>> [form([20.861, 30.729])(20.861), form([22561.2])(22561.2)]
      ['20.86', '22,561']
      >>> form([1.2345e-6, 9.9e-7], [2e-8])(9.9e-7)
      '0.990e-6'
    """
    sizes = [abs(v) for v in values if math.isfinite(v) and v]
    widths = [abs(v) for v in spreads if math.isfinite(v) and v]
    if not sizes + widths:
        return Form(_LEAST - 1)
    top = _power(max(sizes or widths))
    low = min(map(_power, [*sizes, max(widths)] if widths else sizes))
    least = _LEAST + (_MORE <= top < _LARGE)
    digits = min(max(least, _SPREAD + top - low), _MOST)
    return _form(top, digits)


def _form(power: int, digits: int) -> Form:
    """So many significant digits of a number with this power of ten."""
    if _SMALL <= power < _LARGE:
        return Form(max(digits - 1 - power, 0))
    return Form(digits - 1, power)


def short(value: float) -> str:
    """One number in a sentence or a legend, with four significant digits.

    Example:
      >>> [short(v) for v in (22561.2, 20.861, 1.2343e-6)]
      ['22,561', '20.86', '1.234e-6']
    """
    if not value or not math.isfinite(value):
        return f"{value:g}"
    return _form(_power(abs(value)), _LEAST)(value)


def plain(value: float) -> str:
    """A number without trailing zeros, such as a tick of a logarithmic axis.

    Example:
      >>> [plain(v) for v in (0.5, 2000.0, 2.5e-6, 0.1 + 0.2)]
      ['0.5', '2,000', '2.5e-6', '0.3']
    """
    if not value or not math.isfinite(value):
        return f"{value:g}"
    first = _power(abs(value))
    power = 0 if _SMALL <= first < _LARGE else first
    # To twelve significant digits: further ones are those of floating point.
    text = f"{value / 10.0**power:,.{11 - first + power}f}"
    text = text.rstrip("0").rstrip(".")
    return f"{text}e{power}" if power else text


def ticks(values: Sequence[float]) -> list[str]:
    """Evenly spaced numbers, such as ticks, with the decimals that tell them apart.

    Example:
      >>> ticks([0.0, 0.5, 1.0]), ticks([0.0, 1e6]), ticks([0.0, 5e-7, 1e-6])
      (['0.0', '0.5', '1.0'], ['0', '1,000,000'], ['0', '5e-7', '10e-7'])
    """
    top = max((abs(v) for v in values), default=0.0)
    if not top:
        return [plain(v) for v in values]
    # Sums of steps are exact up to rounding: 0.30000000000000004 is 0.3.
    step = min((b - a for a, b in pairwise(values)), default=top)
    power = 0 if _SMALL <= _power(top) < _LARGE else _power(step * (1 + 1e-9))
    scaled = [round(v / 10.0**power, 9) for v in values]
    decimals = max(len(f"{v:.9f}".rstrip("0").partition(".")[2]) for v in scaled)
    write = Form(decimals, power)
    return [
        write(s * 10.0**power) if s else Form(0 if power else decimals)(0.0)
        for s in scaled
    ]
