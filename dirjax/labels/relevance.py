"""Relevance of labels: how much an error at a label matters.

Ribeiro and Moniz, "Imbalanced regression and extreme value prediction", Machine
Learning 2020, https://doi.org/10.1007/s10994-020-05900-9.

**Deviations**: relevance beyond the smallest label of a side without outliers is 0
(SMOGN package: 1); no outliers at all give zeros (SMOGN package: an error).
"""

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks
from dirjax.labels import bins as labels_lib


def relevance(
    labels: ArrayLike, query: ArrayLike, *, coef: float = 1.5, side: str = "both"
) -> np.ndarray:
    """Relevance of labels: 0 at the median, 1 from the whiskers of a box plot on.

    A whisker is the outermost label within `coef` box lengths of the box. A side
    without labels beyond its whisker has relevance 0. Between median and whisker the
    monotone cubic through both with slopes 0 is `t^2 (3 - 2 t)`.

    Args:
      labels: training labels that define the box plot.
      query: labels to rate, any shape.
      coef: whisker length in box lengths.
      side: `"both"`, `"high"` or `"low"`.

    Returns:
      float64 of the query's shape, 0 to 1.

    Raises:
      ValueError: if a label is not finite, or for an unknown side.

    Example:
      >>> relevance([1, 2, 3, 4, 5, 30], [1, 3.5, 4.25, 5, 30]).tolist()
      [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    checks.one_of("side", side, ("both", "high", "low"))
    array, asked = (labels_lib.numbers(x).astype(np.float64) for x in (labels, query))
    first, third = np.quantile(array, [0.25, 0.75], method="midpoint")
    median, reach = np.median(array), coef * (third - first)
    inside = array[(array >= first - reach) & (array <= third + reach)]
    phi = np.zeros_like(asked)
    if not inside.size:  # Two labels, say: the box lies between them.
        return phi
    for name, sign, whisker in (("low", -1, inside.min()), ("high", 1, inside.max())):
        if side in ("both", name) and (sign * (array - whisker) > 0).any():
            away, full = sign * (asked - median), sign * (whisker - median)
            t = np.clip(away / full, 0, 1) if full > 0 else (away > 0).astype(float)
            phi += t**2 * (3 - 2 * t)
    return phi
