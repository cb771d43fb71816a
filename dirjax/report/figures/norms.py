"""Figures of feature norms and errors by label, as read by `report.norm_order`.

"Enhancing Deep Imbalanced Regression via Frobenius Norm Regularization", anonymous
authors, ICLR 2026 submission (Fig. 2). https://openreview.net/forum?id=6XpSwo3ZCe

Deviations: the figure was not available; its content follows the reviews and the export
of the author's public code, which takes the test norms from the training set. Here
training and test data are measured separately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.labels import SHOTS
from dirjax.report import norm_order
from dirjax.report.figures import style
from dirjax.report.figures.style import DASHED, LIGHT, SERIES, Drawn
from dirjax.report.norm_order import Lines
from dirjax.report.runs import Run, TrainBins, same_bins

_LOOKS: dict[str, dict[str, Any]] = {
    "training": {"color": SERIES[0], "marker": "o", "markersize": 3.5},
    "test": {"color": SERIES[1], "marker": "^", "markersize": 3, "linewidth": 0.8},
    "before fine-tuning": {"color": LIGHT["muted"], "linestyle": ":"},
    "line": DASHED | {"linewidth": 1.2},
    "target": {"color": SERIES[3], "marker": "x", "markersize": 5, "linestyle": ""},
}


def _shade(ax: Any, bins: TrainBins) -> None:
    """Colours the background by shot group."""
    starts = np.flatnonzero(np.diff(bins.shot, prepend=-1))
    stops = np.append(starts[1:], len(bins.shot))
    look = {"alpha": 0.13, "linewidth": 0, "zorder": 0}
    for start, stop in zip(starts, stops, strict=True):
        colour = LIGHT[SHOTS[bins.shot[start]]]
        ax.axvspan(bins.edges[start], bins.edges[stop], color=colour, **look)


@style.styled
def by_label(
    values: Mapping[str, Lines],
    bins: TrainBins,
    title: str,
    axis: str,
    log: bool = False,
) -> Any:
    """Lines against the label, one panel per method.

    Args:
      values: method -> name of a line -> `[num]`, NaN where undefined.
      bins: label bins; the background shows their shots and counts.
      title: title of the figure.
      axis: text of the y axis.
      log: whether the y axis is logarithmic.
    """
    titles, tall = (values, 2.0) if len(values) > 1 else ([""], 2.6)
    figure, axes = style.rows(titles, 1.1, tall)
    for ax, lines in zip(axes, values.values(), strict=True):
        _shade(ax, bins)
        style.behind(ax, bins)
        for line, value in lines.items():
            real = np.isfinite(value)
            look = _LOOKS.get(line, _LOOKS["test"])
            ax.plot(bins.centers[real], value[real], label=line, **look)
        if log:
            style.log_axis(ax)
        else:
            ax.set_ylim(bottom=0)
        ax.set_ylabel(axis)
    most = max(axes, key=lambda ax: len(ax.get_lines()))
    for shot in SHOTS:
        most.fill_between([], [], color=LIGHT[shot], alpha=0.3, label=shot)
    axes[-1].set_xlabel(style.label_axis(bins))
    style.headline(figure, title)
    style.legend(figure, most, 3)
    return figure


def _means(
    groups: Mapping[str, Sequence[Run]], bins: TrainBins, of: Callable[[Run], Lines]
) -> dict[str, Lines]:
    """Means over the seeds of each method, for runs with the same bins and lines."""
    found = {}
    for method, runs in groups.items():
        seeds = [lines for run in runs if same_bins(run, bins) and (lines := of(run))]
        seeds = [lines for lines in seeds if lines.keys() == seeds[0].keys()]
        if seeds:
            found[method] = {
                name: np.mean([seed[name] for seed in seeds], axis=0)
                for name in seeds[0]
            }
    return found


def figures(groups: Mapping[str, Sequence[Run]]) -> Iterator[Drawn]:
    """The figures of norms and errors by label, if any run has norms.

    Args:
      groups: method -> its runs; each method gets a panel.

    Yields:
      Norms and errors by label.
    """
    every = [run for rs in groups.values() for run in rs if norm_order.norms(run)]
    bins = next((run.bins for run in every if run.bins is not None), None)
    if bins is None:
        return
    over = " Means over seeds." if any(len(r) > 1 for r in groups.values()) else ""
    shown = "Background colour: shot group; grey: training examples." + over
    lengths = {norm_order.which(run) for run in every}
    length = "norm of the mean feature" if "norm_prototype" in lengths else "mean norm"
    if len(lengths) > 1:
        length = "norm of the mean feature, or mean norm if the method uses it,"
    values = _means(groups, bins, norm_order.norms)
    aims = (
        " Before fine-tuning: training norms to which the line was fitted."
        if any("target" in lines for lines in values.values())
        else ""
    )
    yield Drawn(
        by_label(values, bins, "Feature norms by label", "norm"),
        "norms_by_label",
        f"L2 {length} of each label bin, training and test data measured separately; "
        f"mean features of bins with few examples tend to be longer.{aims} {shown}",
        "Feature norms of each label bin, one panel per method.",
    )
    off = _means(groups, bins, norm_order.errors)
    log = style.use_log(np.concatenate([v for ls in off.values() for v in ls.values()]))
    yield Drawn(
        by_label(off, bins, "Error by label", style.error_axis(bins, "MAE"), log),
        "label_errors",
        "Mean absolute error of each label bin, on training data in evaluation mode "
        f"and on test data. {shown}",
        "Training and test error of each label bin, one panel per method.",
    )
