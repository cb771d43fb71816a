"""How often intervals hold the label, along the label.

Intervals cover as often as they claim over all rows; where predictions for rare labels
fall among common ones they do not, and the figure shows where.

Source of the interval of a share: Wilson, "Probable inference, the law of succession,
and statistical inference", JASA 1927; `scipy.stats`, which has it, takes a second to
import.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dirjax.labels import SHOTS
from dirjax.report.figures import style
from dirjax.report.figures.style import Drawn
from dirjax.report.runs import Run, TrainBins

# Nominal coverage of the intervals that runs store, see `evals.frontier`.
NOMINAL = 0.9
RANGES = 12
_Z = 1.959964


def shares(
    label: np.ndarray, inside: np.ndarray, ends: tuple[float, float], ranges: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Share of rows inside of their interval, in equal ranges of the label.

    Args:
      label: `[n]`.
      inside: `[n]` bool.
      ends: smallest and largest label.
      ranges: number of ranges; those without rows are left out.

    Returns:
      Middle of each range, its share, and half its 95 % interval below and above.

    Example:
      >>> label, inside = np.array([0.0, 0.0, 3.0]), np.array([True, False, True])
      >>> [x.round(2).tolist() for x in shares(label, inside, (0.0, 4.0), 2)[:2]]
      [[1.0, 3.0], [0.5, 1.0]]
    """
    edges = np.linspace(*ends, ranges + 1)
    place = np.clip(np.searchsorted(edges, label, side="right") - 1, 0, ranges - 1)
    count = np.bincount(place, minlength=ranges)
    some = count > 0
    n = count[some]
    share = np.bincount(place, inside, minlength=ranges)[some] / n
    center = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * np.sqrt(share * (1 - share) / n + (_Z / (2 * n)) ** 2) / (1 + _Z**2 / n)
    below = np.maximum(share - (center - half), 0)
    above = np.maximum(center + half - share, 0)
    return ((edges[1:] + edges[:-1]) / 2)[some], share, below, above


def figures(run: Run) -> Iterator[Drawn]:
    """The figure of coverage by label, if the run has intervals.

    Args:
      run: a finished run.
    """
    stored, bins = run.predictions, run.bins
    if bins is None or not {"label", "low", "high"} <= stored.keys():
        return
    label = np.asarray(stored["label"], np.float64)
    inside = (stored["low"] <= label) & (label <= stored["high"])
    shot = bins.shot[bins.index(label)]
    said = ", ".join(
        f"{name} {inside[shot == code].mean():.0%}"
        for code, name in enumerate(SHOTS)
        if (shot == code).any()
    )
    yield Drawn(
        by_label(bins, label, inside, stored["high"] - stored["low"]),
        "coverage",
        f"Share of test labels inside of their calibrated {NOMINAL:.0%} intervals, and "
        "mean width of these, in twelve equal ranges of the label. Whiskers: 95 % "
        "interval.",
        f"Coverage by label: {inside.mean():.0%} over all, {said}.",
    )


@style.styled
def by_label(
    bins: TrainBins, label: np.ndarray, inside: np.ndarray, width: np.ndarray
) -> Any:
    """Coverage and width of intervals over the label.

    Args:
      bins: label bins, for the names of the axes.
      label: `[n]` test labels.
      inside: `[n]` bool.
      width: `[n]`, of the intervals.
    """
    ends = float(label.min()), float(label.max())
    if ends[0] == ends[1]:
        ends = ends[0] - 0.5, ends[1] + 0.5
    middle, share, below, above = shares(label, inside, ends, RANGES)
    figure, axes = style.figure(rows=2, height=4.6)
    upper, lower = axes[:, 0]
    look = style.look(0)
    upper.axhline(NOMINAL, **style.DASHED)
    upper.errorbar(middle, share, (below, above), fmt="o", color=look["color"], ms=5)
    upper.set_ylim(-0.03, 1.03)
    upper.set_ylabel("coverage")
    upper.set_title("Calibrated intervals along the label")
    edges = np.linspace(*ends, RANGES + 1)
    place = np.clip(np.searchsorted(edges, label, side="right") - 1, 0, RANGES - 1)
    means = [width[place == k].mean() for k in np.unique(place)]
    lower.plot(middle, means, "o-", color=look["color"], ms=5)
    lower.set_ylim(bottom=0)
    lower.set_ylabel(style.error_axis(bins, "width"))
    lower.set_xlabel(style.label_axis(bins))
    return figure
