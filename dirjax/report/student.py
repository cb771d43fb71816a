"""Student's t: the interval of a mean of few values.

For whole degrees of freedom the distribution is a finite sum (Abramowitz and Stegun,
Handbook of Mathematical Functions, 26.7.3 and 26.7.4). Its terms are all positive, so
the quantile found by bisection is good to about 1e-14 without a table. Deviations:
none, this module is dirjax's own.
"""

from __future__ import annotations

import functools
import math

LEVEL = 0.95


def _inside(angle: float, freedom: int) -> float:
    """Probability of `|t| < sqrt(freedom) * tan(angle)`."""
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= square * k / (k + 1)
    return (angle + sine * total) * 2 / math.pi if odd else sine * total


@functools.cache
def quantile(freedom: int, level: float = LEVEL) -> float:
    """Half width of the central interval of Student's t.

    Args:
      freedom: degrees of freedom, a whole number above 0.
      level: probability of the interval, between 0 and 1.

    Returns:
      `q` with `P(|t| < q) = level`.

    Raises:
      ValueError: if an argument is out of range.

    Example:
      >>> round(quantile(4), 4), round(quantile(10, 0.99), 4)
      (2.7764, 3.1693)
    """
    if freedom < 1 or not 0 < level < 1:
        raise ValueError(f"freedom >= 1 and 0 < level < 1, got {freedom}, {level}.")
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if _inside(middle, freedom) < level:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def interval(
    mean: float | None, std: float | None, size: int
) -> tuple[float, float] | None:
    """The 95 % interval of the mean of `size` independent normal values.

    Args:
      mean: their mean.
      std: their sample standard deviation (divisor `size - 1`).
      size: how many they are.

    Returns:
      Low and high end, or None for fewer than two values.

    Example:
      >>> low, high = interval(0.0, 1.0, 5)
      >>> round(high, 3), low == -high
      (1.242, True)
    """
    if mean is None or std is None or size < 2:
        return None
    half = quantile(size - 1) * std / math.sqrt(size)
    return mean - half, mean + half
