"""How sure a number is: spread over seeds, and intervals over seeds and test rows.

A hierarchical bootstrap redraws the test rows of each shot and the seeds, with
replacement. A draw of rows is the same for all runs, so a difference of two methods is
paired by row and, where both have the seed, by seed. Of n rows or seeds, n - 1 are
drawn, which makes the variance unbiased even for two seeds (Rao and Wu, JASA 1988). The
interval is Student's t around the value with Satterthwaite's degrees of freedom, so
without rows it is the usual t interval over seeds, and with one seed it covers rows
only. The generators are seeded: results repeat.

Deviations: rows and seeds are crossed, not nested; their interaction counts twice, so
intervals are a little too wide (Owen, Annals of Applied Statistics 2007).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dirjax.labels import SHOTS
from dirjax.report.runs import Run, TrainBins, same_bins

DRAWS = 1000
_CELLS = 4_000_000  # draws x rows that are in memory at once
_WORK = 200_000_000  # draws x rows x runs, above which there are fewer draws


class Spread(NamedTuple):
    """Mean of `size` values, one per seed, and how far it may be off.

    Attributes:
      mean: mean over seeds; None if undefined.
      std: sample standard deviation over seeds; None for fewer than two.
      size: number of seeds.
      by_rows: variance of the mean that is due to the choice of test rows; infinite
        if it is undefined.
      rows: number of test rows; 0 if they are unknown.
      tests: number of comparisons that the interval is corrected for (Bonferroni).
    """

    mean: float | None = None
    std: float | None = None
    size: int = 0
    by_rows: float = 0.0
    rows: int = 0
    tests: int = 1

    def half(self, *, seeds: float = 1.0, rows: float = 1.0) -> float | None:
        """Half the 95 % interval, if there were `seeds` and `rows` times as many.

        None for a single seed without rows, for a single row, and for equal values of
        all seeds without rows: that the seed makes no difference tells nothing.
        """
        if self.mean is None or (self.std is None and self.rows < 2):
            return None
        # As `scipy.stats.t.ppf`, but `scipy.stats` takes a second to import.
        from scipy import special

        ends = self.size * seeds, self.rows * rows
        parts = (self.std or 0.0) ** 2 / ends[0], self.by_rows / rows
        total = sum(parts)
        if not math.isfinite(total):
            return None
        if not total:
            return None if self.mean and not self.rows else 0.0
        loss = sum(p**2 / (n - 1) for p, n in zip(parts, ends, strict=True) if p)
        quantile = special.stdtrit(total**2 / loss, 1 - 0.025 / self.tests)
        return float(quantile) * math.sqrt(total)

    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean; None where `half` is.

        Example:
          >>> low, high = Spread(0.0, 1.0, 5).interval()
          >>> round(high, 3), low == -high
          (1.242, True)
        """
        half = self.half()
        if self.mean is None or half is None:
            return None
        return self.mean - half, self.mean + half

    @property
    def sign(self) -> int:
        """1 or -1 if the interval is above or below zero, otherwise 0."""
        low, high = self.interval() or (0.0, 0.0)
        return int(low > 0) - int(high < 0)


class Redrawn(NamedTuple):
    """Metrics of runs on redrawn test rows.

    Attributes:
      values: metric -> `[draws, runs, 4]` for the columns of `COLUMNS`.
      rows: number of test rows of each column.
      place: path of a run -> its place along the second axis.
    """

    values: Mapping[str, np.ndarray]
    rows: Sequence[int]
    place: Mapping[str, int]

    @property
    def draws(self) -> int:
        """Number of draws."""
        return len(self.values["mae"])


def spread(
    values: Sequence[float | None],
    drawn: np.ndarray | None = None,
    rows: int = 0,
    tests: int = 1,
) -> Spread:
    """The spread of the values that are not None.

    Args:
      values: one per seed.
      drawn: `[draws, seeds]`, the same on redrawn rows.
      rows: number of test rows.
      tests: number of comparisons to correct the interval for.

    Example:
      >>> spread([1.0, 3.0, None])[:3]
      (2.0, 1.4142135623730951, 2)
    """
    real = [k for k, value in enumerate(values) if value is not None]
    if not real:
        return Spread()
    kept = np.asarray([values[k] for k in real], np.float64)
    size = len(kept)
    std = float(kept.std(ddof=1)) if size > 1 else None
    one = Spread(float(kept.mean()), std, size, tests=tests)
    if drawn is None:
        return one
    weights = np.ones((len(drawn), 1))
    if size > 1:
        chosen = np.random.default_rng(size)
        weights = chosen.multinomial(size - 1, np.full(size, 1 / size), len(drawn))
    weights = weights / max(size - 1, 1)
    means = (drawn[:, real] * weights).sum(1)
    fine = np.isfinite(means)
    if rows < 2 or 2 * fine.sum() < len(drawn):  # as a correlation of two rows
        return one._replace(by_rows=math.inf, rows=rows)
    # What the same draws of seeds do on the rows as they are is not due to rows.
    by_rows = float(means[fine].var(ddof=1) - (weights @ kept)[fine].var(ddof=1))
    return one._replace(by_rows=max(by_rows, 0.0), rows=rows)


# How a sentence begins on runs that are not on the same rows or bins.
OTHER_DATA = "the runs have different"


def _problem(runs: Sequence[Run], bins: TrainBins | None) -> str | None:
    """Why the rows of runs cannot be compared, or None."""
    if bins is None or any("label" not in run.predictions for run in runs):
        return f"predictions by row are not stored{' for all runs' * (len(runs) > 1)}"
    label = runs[0].predictions["label"]
    if any(not np.array_equal(r.predictions["label"], label) for r in runs):
        return f"{OTHER_DATA} test rows"
    if not all(same_bins(run, bins) for run in runs):
        return f"{OTHER_DATA} bins"
    if any(r.bins and not np.array_equal(r.bins.shot, bins.shot) for r in runs):
        return f"{OTHER_DATA} shots of labels"
    shot = bins.shot[bins.index(label)]
    counts = [float((shot == code).sum()) for code in range(len(SHOTS))]
    for run in runs:
        mae = np.abs(run.predictions["prediction"] - label).mean()
        close = math.isclose(mae, run.value("mae", "all") or np.nan, rel_tol=1e-3)
        stored = [run.value("count", name) or 0.0 for name in SHOTS]
        if not close or stored != counts:
            return f"{run.path}/predictions.npz does not fit its result.json"
    return None


def redraw(runs: Sequence[Run]) -> Redrawn | str:
    """Metrics of runs on redrawn test rows, or a sentence why there are none."""
    bins = runs[0].bins
    if (problem := _problem(runs, bins)) is not None or bins is None:
        return str(problem)
    label = runs[0].predictions["label"]
    index = bins.index(label)
    predicted = np.stack([run.predictions["prediction"] for run in runs], axis=1)
    centre = label.mean()
    draws = int(np.clip(_WORK / (len(label) * len(runs)), 200, DRAWS))
    sums, counts = [], []
    for code in range(len(SHOTS)):
        here = np.flatnonzero(bins.shot[index] == code)
        here = here[np.argsort(index[here], kind="stable")]
        counts.append(len(here))
        y, p = label[here, None] - centre, predicted[here] - centre
        parts = _draw_sums(y, p, index[here], draws, np.random.default_rng(code))
        sums.append(parts)
    whole = [sum(parts) for parts in zip(*sums, strict=True)]
    columns = [_metrics(*parts) for parts in (whole, *sums)]
    stacked = {
        name: np.stack([column[name] for column in columns], axis=2)
        for name in columns[0]
    }
    place = {str(run.path): k for k, run in enumerate(runs)}
    return Redrawn(stacked, (sum(counts), *counts), place)


def _draw_sums(
    y: np.ndarray, p: np.ndarray, index: np.ndarray, draws: int, rng
) -> tuple[np.ndarray, ...]:
    """Sums over redrawn rows of one shot.

    Args:
      y: `[n, 1]` labels, sorted by bin.
      p: `[n, runs]` predictions.
      index: `[n]` bins.
      draws: number of draws.
      rng: source of the draws.

    Returns:
      `[draws, 1 or runs]` each: rows, labels, their squares; predictions, products,
      squared errors, absolute errors, their logarithms; bins, and MAE summed over bins.
    """
    n, runs = p.shape
    if not n:
        one, many = np.zeros((draws, 1)), np.zeros((draws, runs))
        return (*(one,) * 3, *(many,) * 5, one, many)
    gap = np.abs(p - y)
    columns = (np.ones_like(y), y, y**2, p, p * y, gap**2, gap)
    rows = np.hstack([*columns, np.log(np.maximum(gap, 1e-10))])
    rows = np.asfortranarray(rows)  # the product below is many times faster
    starts = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
    parts = [slice(*ends) for ends in pairwise([*starts, n])]
    found = []
    for part in np.array_split(np.arange(draws), -(-draws * n // _CELLS)):
        size, m = len(part), max(n - 1, 1)
        picks = rng.integers(n, size=(size, m)) + n * np.arange(size)[:, None]
        weight = np.bincount(picks.ravel(), minlength=size * n).reshape(size, n) * n / m
        sums = weight @ rows
        bins, by_bin = np.zeros((size, 1)), np.zeros((size, runs))
        for one in parts:
            count = weight[:, one].sum(1, keepdims=True)
            bins += count > 0
            by_bin += (weight[:, one] @ gap[one]) / np.where(count, count, 1)
        cuts = (1, 2, 3, *(3 + k * runs for k in range(1, 5)))
        found.append((*np.split(sums, cuts, axis=1), bins, by_bin))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def _metrics(n, y, yy, p, py, square, gap, log, bins, by_bin) -> dict[str, np.ndarray]:
    """Metrics `[draws, runs]` from the sums of `_draw_sums`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mse = square / n
        pp = square + 2 * py - yy
        deviations = (pp / n - (p / n) ** 2) * (yy / n - (y / n) ** 2)
        return {
            "mae": gap / n,
            "mse": mse,
            "rmse": np.sqrt(mse),
            "gm": np.exp(log / n),
            "bmae": by_bin / bins,
            "pearson": (py / n - p * y / n**2) / np.sqrt(deviations),
        }
