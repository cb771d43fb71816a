"""Split conformal prediction: intervals that cover as often as they claim.

Intervals of any model are widened (or narrowed) by one number, found on labelled rows
that the model was not trained on: conformalised quantile regression, Romano, Patterson
and Candès, "Conformalized quantile regression", NeurIPS 2019,
https://arxiv.org/abs/1905.03222. With one number for each part of the predictions,
coverage holds in each part: Vovk, "Conditional validity of inductive conformal
predictors", 2012 (Mondrian).

**Deviations**: parts are ranges of the prediction that hold about equally many
calibration rows. Coverage is over the distribution of the calibration rows, which in
dirjax is balanced, as the test set is.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

# Parts are as many as leave this many rows beyond the interval in each, at most _PARTS.
_OUTSIDE, _PARTS = 5, 10
# What rounding makes of a whole number of rows: 100 * 0.55 is 55.00000000000001.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Widening:
    """What is added to both ends of intervals of one nominal coverage.

    Attributes:
      coverage: nominal, between 0 and 1.
      everywhere: one number for all predictions, in units of the label; infinite with
        too few calibration rows.
      starts: first prediction of each part after the first, ascending.
      parts: the number for each part, `len(starts) + 1`.
    """

    coverage: float
    everywhere: float
    starts: tuple[float, ...] = ()
    parts: tuple[float, ...] = ()

    def apply(
        self, low: np.ndarray, high: np.ndarray, predictions: np.ndarray, *, by: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Widened intervals; the ends meet where they would cross.

        Args:
          low: `[n]`.
          high: `[n]`.
          predictions: `[n]`, for the parts.
          by: "all" for one number, "prediction" for one a part.
        """
        added: Any = self.everywhere
        if by == "prediction" and self.parts:
            at = np.searchsorted(self.starts, predictions, side="right")
            added = np.asarray(self.parts)[at]
        low, high = low - added, high + added
        crossed = low > high
        middle = (low[crossed] + high[crossed]) / 2
        low[crossed] = high[crossed] = middle
        return low, high


def _needed(scores: np.ndarray, coverage: float) -> float:
    """The score that a share of `coverage` of new rows stays below."""
    rank = math.ceil((scores.size + 1) * coverage - _ROUNDING)
    return float(np.sort(scores)[rank - 1]) if rank <= scores.size else math.inf


def fit(
    low: np.ndarray,
    high: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
    *,
    coverage: float,
) -> Widening:
    """Fits how much intervals must be widened.

    Args:
      low: `[n]`, lower ends on calibration rows.
      high: `[n]`, upper ends.
      labels: `[n]`.
      predictions: `[n]`.
      coverage: nominal, between 0 and 1.

    Raises:
      ValueError: if the coverage is not between 0 and 1, or there are no rows.

    Example:
      >>> fit(np.zeros(9), np.zeros(9), np.arange(9.0), np.zeros(9), coverage=0.5)
      Widening(coverage=0.5, everywhere=4.0, starts=(), parts=())
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be between 0 and 1, got {coverage}.")
    if not labels.size:
        raise ValueError("intervals need labelled rows for calibration, got none.")
    scores = np.maximum(low - labels, labels - high)
    everywhere = _needed(scores, coverage)
    count = int(scores.size * (1 - coverage) / _OUTSIDE + _ROUNDING)
    count = min(count, _PARTS)
    if count < 2:
        return Widening(coverage, everywhere)
    starts = np.unique(np.quantile(predictions, np.arange(1, count) / count))
    part = np.searchsorted(starts, predictions, side="right")
    kept = [n for n in range(starts.size + 1) if (part == n).any()]
    if len(kept) < starts.size + 1:  # Many equal predictions.
        return Widening(coverage, everywhere)
    parts = tuple(_needed(scores[part == n], coverage) for n in kept)
    return Widening(coverage, everywhere, tuple(starts.tolist()), parts)
