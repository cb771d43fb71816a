"""Figures of feature norms and errors by label, and how norms are ordered.

What is drawn is `features.npz` and `features_train.npz` of each run (see
`dirjax.evaluate`), of any method: the norms of training and test data, each measured on
its own, and for runs of the Frobenius method the norm line and the targets.

"Enhancing Deep Imbalanced Regression via Frobenius Norm Regularization", anonymous
authors, ICLR 2026 submission (Fig. 2). https://openreview.net/forum?id=6XpSwo3ZCe

Deviations: the figure could not be read; its content is that of reviews and of what
the author's public code exports, which fills its test norms from the training set.
Norms are those that the run was trained on, else of prototypes (mean features). A
prototype of few examples is longer than that of many, in test data above all. Order is
Spearman's correlation of norms and labels, bin by bin, a number that no source has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.metrics.ranks import spearman
from dirjax.report.figures import style
from dirjax.report.figures.style import LIGHT, SERIES
from dirjax.report.runs import COLUMNS, SHOTS, Run, TrainBins

# Of a config's term -> array of the file.
_READINGS = {"prototype": "norm_prototype", "mean_of_norms": "norm"}
_TERMS = ("norm_target", "norm_order")
# Name of a line -> its values by bin.
_Lines = Mapping[str, np.ndarray]
_LOOKS: dict[str, dict[str, Any]] = {
    "training": {"color": SERIES[0], "marker": "o", "markersize": 3.5},
    "test": {"color": SERIES[1], "marker": "^", "markersize": 3, "linewidth": 0.8},
    "before fine-tuning": {"color": LIGHT["muted"], "linestyle": ":"},
    "line": {"color": LIGHT["ink"], "linestyle": (0, (4, 2)), "linewidth": 1.2},
    "target": {"color": SERIES[3], "marker": "x", "markersize": 5, "linestyle": ""},
}


def _objectives(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The terms of each objective of a config."""
    for part in (*(config.get("stage") or {}).values(), config):
        yield (part.get("objective") or {}).get("terms") or {}


def which(run: Run) -> str:
    """The array of the file with the norms that the run's method is about."""
    found = (
        terms[name].get("reading")
        for name in _TERMS
        for terms in _objectives(run.config)
        if name in terms
    )
    return _READINGS[next(found, "prototype")]


def _splits(run: Run) -> dict[str, Mapping[str, np.ndarray]]:
    """Features of the training and of the other split, of files that have norms."""
    stored = (run.train_features, run.features)
    return {str(f["split"]): f for f in stored if "norm_prototype" in f}


def norms(run: Run) -> dict[str, np.ndarray]:
    """Norms by label.

    Returns:
      `[bins]` each, NaN where there is none: of "training" and "test" data (or "val"),
      and of runs with targets "before fine-tuning", the "line" and the "target", where
      there are training examples. Empty without files.
    """
    splits = _splits(run)
    found = {_said(split): f[which(run)] for split, f in splits.items()}
    first = next((f for f in splits.values() if "norm_target" in f), None)
    if first is not None and run.bins is not None:
        some = np.where(run.bins.count > 0, 1.0, np.nan)
        found["before fine-tuning"] = first["norm_measured"] * some
        found["line"] = first["norm_line"]
        found["target"] = first["norm_target"] * some
    return found


def errors(run: Run) -> dict[str, np.ndarray]:
    """Mean absolute error by label, of "training" and "test" data, as `norms`."""
    return {_said(split): f["error"] for split, f in _splits(run).items()}


def _said(split: str) -> str:
    return "training" if split == "train" else split


def order(run: Run) -> dict[str, dict[str, float | None]]:
    """How far norms rise with the label: Spearman's correlation over label bins.

    Returns:
      "training" and "test" (or "val") -> all bins and those of each shot group; None
      for fewer than two bins.
    """
    bins, found = run.bins, {}
    if bins is None:
        return {}
    for split, stored in _splits(run).items():
        norm = stored[which(run)]
        real = np.isfinite(norm)
        groups = {"all": real} | {
            s: real & (bins.shot == k) for k, s in enumerate(SHOTS)
        }
        found[_said(split)] = {
            shot: spearman(norm[here], np.flatnonzero(here))
            for shot, here in groups.items()
        }
    return found


def _shade(ax: Any, bins: TrainBins) -> None:
    """Colours the background by shot group."""
    starts = np.flatnonzero(np.diff(bins.shot, prepend=-1))
    stops = np.append(starts[1:], len(bins.shot))
    for start, stop in zip(starts, stops, strict=True):
        ax.axvspan(
            bins.edges[start],
            bins.edges[stop],
            color=LIGHT[SHOTS[bins.shot[start]]],
            alpha=0.13,
            linewidth=0,
            zorder=0,
        )


@style.styled
def by_label(
    values: Mapping[str, _Lines],
    bins: TrainBins,
    title: str,
    axis: str,
    log: bool = False,
) -> Any:
    """Lines against the label, a panel for each method.

    Args:
      values: method -> lines as of `norms` or `errors`.
      bins: their shots colour the background, and their counts stand behind.
      title: of the figure.
      axis: of what is drawn.
      log: logarithmic, above 0.
    """
    height = 1.1 + (2.6 if len(values) == 1 else 2.0) * len(values)
    figure, axes = style.figure(len(values), height=height, sharex=True)
    middle = (bins.edges[:-1] + bins.edges[1:]) / 2
    for ax, (name, lines) in zip(axes[:, 0], values.items(), strict=True):
        _shade(ax, bins)
        style.behind(ax, bins)
        for line, value in lines.items():
            real = np.isfinite(value)
            look = _LOOKS.get(line, _LOOKS["test"])
            ax.plot(middle[real], value[real], label=line, **look)
        if log:
            style.log_axis(ax)
        else:
            ax.set_ylim(bottom=0)
        ax.set_ylabel(axis)
        if len(values) > 1:
            ax.set_title(style.plain(name), fontsize=10)
    most = max(axes[:, 0], key=lambda ax: len(ax.get_lines()))
    for shot in SHOTS:
        most.fill_between([], [], color=LIGHT[shot], alpha=0.3, label=shot)
    axes[-1, 0].set_xlabel(style.label_axis(bins))
    style.headline(figure, title)
    style.legend(figure, most, 3)
    return figure


def _means(
    groups: Mapping[str, Sequence[Run]],
    bins: TrainBins,
    of: Callable[[Run], _Lines],
) -> dict[str, _Lines]:
    """Means over the seeds of each method, of runs with the same bins and lines."""
    found = {}
    for method, runs in groups.items():
        seeds: list[_Lines] = []
        for run in runs:
            if run.bins is None or not np.array_equal(run.bins.edges, bins.edges):
                continue
            lines = of(run)
            if lines and (not seeds or lines.keys() == seeds[0].keys()):
                seeds.append(lines)
        if seeds:
            found[method] = {
                name: np.mean([seed[name] for seed in seeds], axis=0)
                for name in seeds[0]
            }
    return found


def figures(groups: Mapping[str, Sequence[Run]]) -> Iterator[tuple[Any, str, str, str]]:
    """The figures of runs with norms by label, none without.

    Args:
      groups: method -> its runs, few enough for a panel each.

    Yields:
      A figure, its name, its caption and its description.
    """
    every = [run for runs in groups.values() for run in runs if norms(run)]
    bins = next((run.bins for run in every if run.bins is not None), None)
    if bins is None:
        return
    over = " Means over seeds." if any(len(r) > 1 for r in groups.values()) else ""
    shown = "The background is the shot group; grey: training examples." + over
    lengths = {which(run) for run in every}
    said = "norm of the mean feature" if "norm_prototype" in lengths else "mean norm"
    if len(lengths) > 1:
        said = "norm of the mean feature, or mean norm where the method has that,"
    values = _means(groups, bins, norms)
    aims = (
        " Before fine-tuning: of training data, from which line and targets were made."
        if any("target" in lines for lines in values.values())
        else ""
    )
    yield (
        by_label(values, bins, "Feature norms by label", "norm"),
        "norms_by_label",
        f"L2 {said} of each label bin, training and test data measured separately; "
        f"bins with few examples have longer mean features.{aims} {shown}",
        "Feature norms of each label bin, a panel for each method.",
    )
    off = _means(groups, bins, errors)
    each = np.concatenate([v for lines in off.values() for v in lines.values()])
    axis = style.error_axis(bins, "MAE")
    yield (
        by_label(off, bins, "Error by label", axis, style.use_log(each)),
        "label_errors",
        "Mean absolute error of each label bin, on training data in evaluation mode "
        f"and on test data. {shown}",
        "Training and test error of each label bin, a panel for each method.",
    )


def orders(
    groups: Mapping[str, Sequence[Run]],
) -> dict[tuple[str, str], list[list[float | None]]]:
    """The numbers of `order` by method and split.

    Returns:
      (method, split) -> for each of `COLUMNS` a value for each run that has one.
    """
    found: dict[tuple[str, str], list[list[float | None]]] = {}
    for method, runs in groups.items():
        for run in runs:
            for split, by_shot in order(run).items():
                columns = found.setdefault((method, split), [[] for _ in COLUMNS])
                for column, shot in zip(columns, COLUMNS, strict=True):
                    column.append(by_shot[shot])
    return found
