"""Figures that compare methods: error and gain by label, bars by shot, curves.

Each function takes arrays by method and returns a matplotlib figure. Bins are merged to
at most thirty, since a bin in the tail has only a few test examples. Deviations: none,
this module is dirjax's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dirjax import digits
from dirjax.report.figures import style
from dirjax.report.figures.style import LIGHT, MARKERS, SERIES
from dirjax.report.runs import COLUMNS, Log, TrainBins, of_split, ratio

# Method -> `[seeds, num]` sums of absolute errors in each label bin.
_Sums = Mapping[str, np.ndarray]


def merge(edges: np.ndarray, sums: Sequence[np.ndarray], limit: int = 30) -> Any:
    """Merges neighbouring bins until at most `limit` are left.

    Args:
      edges: `[num + 1]` bin edges.
      sums: arrays `[..., num]` to be summed over merged bins.
      limit: largest number of merged bins.

    Returns:
      The merged edges and the list of merged sums.

    Example:
      >>> edges, (count,) = merge(np.arange(5.0), [np.ones(4)], limit=2)
      >>> edges.tolist(), count.tolist()
      ([0.0, 2.0, 4.0], [2.0, 2.0])
    """
    num = len(edges) - 1
    starts = np.arange(0, num, math.ceil(num / limit))
    joined = [np.add.reduceat(values, starts, axis=-1) for values in sums]
    return np.append(edges[starts], edges[-1]), joined


def _bar(ax, y: int, seeds: np.ndarray, colour: str, form: digits.Form) -> float:
    """Draws the bar of a method, followed by its mean; returns where the bar ends."""
    mean, std = seeds.mean(), seeds.std(ddof=1) if len(seeds) > 1 else 0.0
    end = max(mean + std, seeds.max())
    ax.barh(y, mean, 0.62, color=colour, alpha=0.55)
    if len(seeds) > 1:
        style.whiskers(ax, mean, y, std, axis="x")
        look = {"s": 7, "zorder": 3, "color": LIGHT["ink"], "linewidths": 0}
        ax.scatter(seeds, np.full(len(seeds), y), **look)
    look = {"va": "center", "textcoords": "offset points", "fontsize": 9}
    ax.annotate(form(mean), (end, y), (5, 0), **look)
    return end


@style.styled
def shot_bars(
    values: Mapping[str, Mapping[str, Sequence[float]]],
    axis: str = "test MAE",
    title: str = "Error by shot",
) -> Any:
    """Error of each method by shot group: mean, spread and each seed.

    Args:
      values: method -> column of `COLUMNS` -> one value per seed.
      axis: text of the error axis.
      title: title of the figure.
    """
    names = [style.wrapped(name) for name in values]
    lines = sum(1 + name.count("\n") for name in names)
    height = 1.8 + 2 * (0.25 + 0.22 * lines)
    figure, axes = style.figure(2, 2, height=height, sharey=True)
    every = [v for columns in values.values() for vs in columns.values() for v in vs]
    form = digits.form(every)
    # Share of each axis that the printed mean takes, at about 0.08 inches per letter.
    letters = max(len(line) for name in names for line in name.split("\n"))
    longest = len(form(max(every, default=0.0)))
    share = (0.08 * longest + 0.1) / (2.3 - 0.04 * letters)
    for ax, shot in zip(axes.flat, COLUMNS, strict=True):
        colour = LIGHT["muted" if shot == "all" else shot]
        seeds = [np.asarray(m.get(shot, ()), np.float64) for m in values.values()]
        ends = [_bar(ax, k, s, colour, form) for k, s in enumerate(seeds) if len(s)]
        right = max(ends, default=0.0)
        ax.set_xlim(0, right / (1 - share) if right > 0 else 1.0)
        ax.set_title(shot, fontsize=10)
        ax.grid(False)
        ax.grid(True, axis="x")
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].invert_yaxis()
    style.headline(figure, title)
    for ax in axes[1]:
        ax.set_xlabel(axis)
    return figure


@style.styled
def mae_by_method(
    logs: Mapping[str, Sequence[Log]], bins: TrainBins | None = None
) -> Any:
    """Validation MAE by epoch and method: mean and range over seeds."""
    figure, axes = style.figure(height=3.6)
    ax = axes[0, 0]
    for k, (name, seeds) in enumerate(logs.items()):
        held = (of_split(log, "val") for log in seeds)
        curves = [style.series(log, "mae/all", "epoch") for log in held]
        style.band(ax, curves, style.look(k), name, 0.18)
    ax.set_title("Validation MAE during training")
    ax.set_ylabel(style.error_axis(bins, "MAE"))
    style.epoch_axis(ax, [log for seeds in logs.values() for log in seeds])
    style.legend(figure, ax)
    return figure


@style.styled
def error_by_method(
    bins: TrainBins, count: np.ndarray, absolute: _Sums, squares: _Sums
) -> Any:
    """Test MAE by label of several methods, mean over seeds, above test counts.

    Args:
      bins: label bins.
      count: `[num]` test examples.
      absolute: method -> `[seeds, num]` sums of absolute errors.
      squares: method -> `[seeds, num]` sums of squared errors, where they are known.
    """
    figure, (ax, low) = style.above_counts(bins, 4.8)
    for k, (name, values) in enumerate(absolute.items()):
        edges, (size, sums) = merge(bins.edges, [count, values])
        more = squares.get(name)
        if more is not None:
            _, (more,) = merge(bins.edges, [more.mean(axis=0)])
        error = ratio(sums, np.broadcast_to(size, sums.shape))
        half = style.half_interval(error.mean(axis=0), size, more)
        if len(values) > 1:
            by_seed = 1.96 * error.std(axis=0, ddof=1) / math.sqrt(len(values))
            half = by_seed if more is None else np.sqrt(half**2 + by_seed**2)
        # Shifted sideways, so that whiskers do not overlap.
        shift = (k + 1) / (len(absolute) + 1)
        x, error = edges[:-1] + shift * np.diff(edges), error.mean(axis=0)
        look = {"color": SERIES[k], "marker": MARKERS[k], "markersize": 3.5}
        ax.plot(x, error, linewidth=1.4, label=style.plain(name), **look)
        thin = {"ecolor": SERIES[k], "elinewidth": 0.8, "capsize": 0}
        style.whiskers(ax, x, error, half, **thin)
        style.counts(low, edges, size, style.label_axis(bins))
    ax.set_ylim(bottom=0)
    ax.set_title("Test error by label")
    ax.set_ylabel(style.error_axis(bins))
    style.legend(figure, ax)
    return figure


@style.styled
def error_panels(bins: TrainBins, count: np.ndarray, absolute: _Sums) -> Any:
    """Test MAE of each label bin, one panel per method, each with its own scale.

    Args:
      bins: label bins.
      count: `[num]` test examples.
      absolute: method -> `[seeds, num]` sums of absolute errors.
    """
    figure, axes = style.rows(absolute, 1.1, 1.35)
    for ax, values in zip(axes, absolute.values(), strict=True):
        style.shot_stairs(ax, ratio(values.mean(axis=0), count, empty=0.0), bins)
        ax.set_ylabel(style.error_axis(bins, "MAE"))
    axes[-1].set_xlabel(style.label_axis(bins))
    style.headline(figure, "Test error of each label")
    style.legend(figure, axes[0], 3)
    return figure


@style.styled
def gain_by_label(bins: TrainBins, count: np.ndarray, gains: _Sums, base: str) -> Any:
    """Reduction of the test MAE relative to the base, by label.

    Args:
      bins: label bins.
      count: `[num]` test examples.
      gains: method -> `[pairs, num]` sums of absolute errors of the base minus
        those of the method, one row per common seed.
      base: name of the base.
    """
    figure, axes = style.rows(gains, 1.0, 1.45, sharey=True)
    for ax, values in zip(axes, gains.values(), strict=True):
        edges, (size, sums) = merge(bins.edges, [count, values])
        gain, x = ratio(sums, size, empty=0.0), (edges[1:] + edges[:-1]) / 2
        mean = gain.mean(axis=0)
        for sign, colour in ((1, "gain"), (-1, "loss")):
            shown = np.where(sign * mean > 0, mean, 0.0)
            ax.bar(x, shown, 0.86 * np.diff(edges), color=LIGHT[colour])
        if len(values) > 1:
            real, std = size > 0, gain.std(axis=0, ddof=1)
            at = x[real], mean[real], std[real]
            style.whiskers(ax, *at, elinewidth=0.9, capsize=1.5)
        ax.axhline(0, color=LIGHT["ink"], linewidth=0.9)
        ax.set_xlim(bins.edges[0], bins.edges[-1])
        ax.set_ylabel(style.error_axis(bins, "gain"))
        ax.locator_params(axis="y", nbins=5)
    style.headline(figure, f"Gain in test MAE over {base}")
    axes[-1].set_xlabel(style.label_axis(bins))
    return figure
