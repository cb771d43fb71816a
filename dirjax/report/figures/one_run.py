"""Figures of one run: label histogram, error by label, predictions.

Each function takes arrays and returns a matplotlib figure, which `style.svg` and
`style.png` render. Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dirjax import digits
from dirjax.labels import SHOTS
from dirjax.report.figures import style
from dirjax.report.figures.style import DASHED, LIGHT, MARKERS
from dirjax.report.runs import TrainBins, ratio


@style.styled
def label_histogram(bins: TrainBins) -> Any:
    """Training examples by label bin, coloured by shot group."""
    figure, axes = style.figure()
    _histogram(axes[0, 0], bins)
    style.legend(figure, axes[0, 0], 2)
    return figure


def _histogram(ax, bins: TrainBins) -> None:
    base = style.count_axis(ax, bins)
    for code, shot in enumerate(SHOTS):
        here = bins.shot == code
        if here.any():
            plural = "" if here.sum() == 1 else "s"
            examples = int(bins.count[here].sum())
            name = f"{shot}: {examples:,} in {here.sum()} bin{plural}"
            values = np.where(here, bins.count, 0)
            style.stairs(ax, values, bins.edges, base, color=LIGHT[shot], label=name)
    limits = ((bins.many, "many\n> ", "bottom"), (bins.few, "few\n< ", "top"))
    for limit, text, va in limits if _by_threshold(bins) else ():
        if max(base, bins.count.min() / 10) < limit < ax.get_ylim()[1]:
            ax.axhline(limit, **DASHED)
            ax.annotate(
                f"{text}{limit:,}",
                (1.0, limit),
                (4, 0),
                xycoords=ax.get_yaxis_transform(),
                textcoords="offset points",
                va=va,
                fontsize=9,
                linespacing=1.0,
                annotation_clip=False,
            )
    ax.set_xlim(bins.edges[0], bins.edges[-1])
    ax.set_title("Training labels")
    ax.set_xlabel(style.label_axis(bins))
    ax.set_ylabel("training examples per bin")


def _by_threshold(bins: TrainBins) -> bool:
    """Whether shots follow the two thresholds rather than fixed lists of bins."""
    few = np.where(bins.count < bins.few, 2, 1)
    expected = np.where(bins.count > bins.many, 0, few)
    edge = (bins.count == bins.many) | (bins.count == bins.few)
    return bool(((bins.shot == expected) | edge).all())


@style.styled
def labels_and_splits(
    bins: TrainBins, splits: Mapping[str, Mapping[str, int]], log: bool = False
) -> Any:
    """The label histogram, and the shots of each split below it.

    Args:
      bins: label bins.
      splits: split -> numbers of examples: "rows" in total, "many", "median", "few".
      log: whether the label axis is logarithmic.
    """
    low = 0.55 + 0.28 * len(splits)
    figure, axes = style.figure(2, height=3.4 + low, height_ratios=(3.0, low))
    top, ax = axes[:, 0]
    _histogram(top, bins)
    if log:
        top.set_xscale("log")
        style.numbers(top)
    places = np.arange(len(splits))[::-1]
    left = np.zeros(len(splits))
    for shot in SHOTS:
        part = [100 * s[shot] / max(s["rows"], 1) for s in splits.values()]
        ax.barh(places, part, left=left, height=0.7, color=LIGHT[shot], linewidth=0)
        left += part
    ax.set_yticks(places, [f"{name}: {s['rows']:,}" for name, s in splits.items()])
    ax.tick_params(axis="y", length=0)
    ax.grid(False)
    ax.set_xlim(0, 100)
    ax.set_title("Splits by shot")
    ax.set_xlabel("per cent of the examples")
    style.legend(figure, top, 2)
    return figure


@style.styled
def error_by_label(
    bins: TrainBins,
    count: np.ndarray,
    absolute: np.ndarray,
    squares: np.ndarray | None = None,
) -> Any:
    """Test MAE of each label bin above test counts, with training counts in grey.

    Args:
      bins: label bins.
      count: `[num]` test examples.
      absolute: `[num]` sums of absolute errors, in label units.
      squares: `[num]` sums of squared errors, for intervals.
    """
    figure, (ax, low) = style.above_counts(bins, 4.6)
    style.counts(low, bins.edges, count, style.label_axis(bins))
    error, size = ratio(absolute, count), np.sqrt(count / max(count.max(), 1.0))
    half = style.half_interval(error, count, squares)
    style.whiskers(ax, bins.centers, error, half, elinewidth=0.8, capsize=0, alpha=0.5)
    for code, shot in enumerate(SHOTS):
        here = (count > 0) & (bins.shot == code)
        if here.any():
            look = {"marker": MARKERS[code], "color": LIGHT[shot], "linewidths": 0}
            area = 10 + 38 * size[here]
            ax.scatter(bins.centers[here], error[here], s=area, label=shot, **look)
    overall = absolute.sum() / max(count.sum(), 1.0)
    ax.axhline(overall, **DASHED)
    # The legend entry is a second line of NaN, which leaves the axis limits alone.
    ax.axhline(np.nan, label=f"all: {digits.short(overall)}", **DASHED)
    top = (error + np.nan_to_num(half))[count > 0].max(initial=0.0)
    # A bin of two rows can have an interval far above all errors.
    ax.set_ylim(0, min(1.08 * top, 1.4 * error[count > 0].max(initial=0.0)) or 1.0)
    ax.set_title("Test error by label")
    ax.set_ylabel(style.error_axis(bins))
    style.legend(figure, ax, 4)
    return figure


def _limits(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Range of the labels and of the predictions without 0.1 % at each end."""
    ends = []
    for label, prediction in pairs:
        ends += [label.min(), label.max(), *np.quantile(prediction, [0.001, 0.999])]
    low, high = float(min(ends)), float(max(ends))
    pad = 0.03 * (high - low) or 1.0
    return low - pad, high + pad


def _density(ax, label: np.ndarray, prediction: np.ndarray, limits) -> None:
    from matplotlib.colors import ListedColormap, to_rgb

    shades = [(*to_rgb(LIGHT["s0"]), a) for a in np.linspace(0.2, 1.0, 32)]
    extent = (*limits, *limits)
    look = {"bins": "log", "cmap": ListedColormap(shades), "linewidths": 0}
    ax.hexbin(label, prediction, gridsize=42, extent=extent, mincnt=1, **look)


def _medians(label: np.ndarray, prediction: np.ndarray) -> list[tuple[float, float]]:
    """Mean label and median prediction in twelve label ranges of equal width."""
    edges = np.linspace(label.min(), label.max(), 13)
    part = np.clip(np.searchsorted(edges, label, side="right") - 1, 0, 11)
    groups = [part == k for k in range(12) if (part == k).sum() >= 3]
    return [(label[here].mean(), np.median(prediction[here])) for here in groups]


def _predicted(ax, label: np.ndarray, prediction: np.ndarray, limits) -> None:
    if len(label) > 1500:
        _density(ax, label, prediction, limits)
    else:
        ax.scatter(label, prediction, s=9, color=LIGHT["s0"], alpha=0.4, linewidths=0)
    ax.plot(limits, limits, label="identity", **DASHED | {"linewidth": 1.1})
    if middle := _medians(label, prediction):
        look = {"color": LIGHT["loss"], "marker": "o", "markersize": 3.5}
        x, y = zip(*middle, strict=True)
        ax.plot(x, y, linewidth=1.5, label="median prediction", **look)
    ax.set_xlim(*limits)
    ax.set_ylim(*limits)
    ax.set_aspect("equal")
    ax.grid(True, axis="both")


@style.styled
def predicted_true(
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], bins: TrainBins | None = None
) -> Any:
    """Predicted against true labels, one panel per name.

    Args:
      pairs: title of the panel -> `(label, prediction)`, each `[n]`.
      bins: label bins, which give the name and unit of the label.
    """
    real = {}
    for name, (label, prediction) in pairs.items():
        kept = np.isfinite(label) & np.isfinite(prediction)
        if kept.any():
            real[name] = (label[kept], prediction[kept])
    figure, axes, used = style.panels(list(real), alone=5.0, tall=2.35)
    columns, what = axes.shape[1], style.label_axis(bins)
    limits = _limits(list(real.values())) if real else (0.0, 1.0)
    for k, (name, ax) in enumerate(used.items()):
        label, prediction = real[name]
        _predicted(ax, label, prediction, limits)
        title = (name, 11) if columns == 1 else (style.wrapped(name), 9.5)
        ax.set_title(title[0], fontsize=title[1])
        if k % columns == 0:
            ax.set_ylabel(f"predicted {what}")
        if k + columns >= len(real):
            ax.set_xlabel(f"true {what}")
    style.legend(figure, axes[0, 0], 2)
    return figure
