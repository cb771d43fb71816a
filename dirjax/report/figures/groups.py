"""Figures of methods that first predict the group of a label.

They show sizes of true and predicted groups, group errors, and squared errors during
training, from `predictions.npz`, `bins.json` and `metrics.jsonl` of each run.

"Leveraging Group Classification with Descending Soft Labeling for Deep Imbalanced
Regression", Pu et al., AAAI 2025 (Figs. 2 to 5). https://arxiv.org/abs/2412.12327

Deviations: all figures show means over seeds. The paper's Fig. 5 may mean the distance
between groups or the difference of their sizes; both are shown. Epochs of Fig. 3 are
counted from the start of the stage that logs the error, after any contrastive stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.report.figures import style
from dirjax.report.figures.style import LIGHT, SERIES, Drawn
from dirjax.report.runs import Log, Run, TrainGroups, of_split, ratio

# Logged squared error on training batches: of the true group's expert, or of the
# single head of a method without groups.
_TRAIN = ("group/mse", "loss/mse")
_Curve = tuple[np.ndarray, np.ndarray]
# Method -> its runs.
_Runs = Mapping[str, Sequence[Run]]


def cut(run: Run) -> TrainGroups | None:
    """The groups that a run predicts, or None."""
    known = "group" in run.predictions or "predicted" in run.predictions
    return run.bins.groups if run.bins is not None and known else None


def _counted(run: Run, num: int) -> tuple[np.ndarray, ...]:
    """By group: rows, predicted rows, rows with a prediction, and their distances."""
    found = run.predictions
    if "predicted" in found and run.bins is not None and run.bins.groups is not None:
        of_bin = run.bins.groups.of_bin
        rows, off = (
            np.bincount(of_bin, weights=found[name], minlength=num)
            for name in ("count", "distance")
        )
        return rows, found["predicted"], rows, off
    true, predicted = found["group"], found["group_prediction"]
    real = predicted >= 0
    of, off = true[real].astype(int), np.abs(predicted - true)[real]
    return (
        np.bincount(true[true >= 0].astype(int), minlength=num)[:num],
        np.bincount(predicted[real].astype(int), minlength=num)[:num],
        np.bincount(of, minlength=num),
        np.bincount(of, weights=off, minlength=num),
    )


def sizes(run: Run) -> np.ndarray | None:
    """Test rows or pixels in each group, `[2, num]`: true and predicted; or None.

    It is None without groups. Rows whose prediction is NaN are in no predicted group.
    """
    groups = cut(run)
    if groups is None:
        return None
    counts = _counted(run, len(groups.count))[:2]
    return np.stack(counts).astype(np.float64)


def gaps(run: Run) -> np.ndarray | None:
    """Errors of predicted groups, `[2, num]`, by true group; None without groups.

    The first row is the mean of `|predicted - true group|` over the test rows of the
    group, NaN if there are none; the second is the absolute difference of `sizes`.
    """
    groups = cut(run)
    if groups is None:
        return None
    true, predicted, rows, off = _counted(run, len(groups.count))
    return np.stack([ratio(off, rows), np.abs(predicted - true)])


def squared_errors(log: Log) -> dict[str, _Curve]:
    """Logged squared errors by epoch of their stage.

    Returns:
      Epochs and values of "train", "val" and "oracle" (validation error of the true
      group's expert), as far as logged; empty if training batches log none.
    """
    train = of_split(log, "train")
    name = next((n for n in _TRAIN if any(n in entry for entry in train)), None)
    if name is None:
        return {}
    stages = {entry.get("stage") for entry in train if name in entry}
    first = min(entry["epoch"] for entry in train if name in entry)
    before = (e["epoch"] for e in train if e.get("stage") not in stages)
    start = max((epoch for epoch in before if epoch < first), default=0.0)
    held = [entry for entry in of_split(log, "val") if entry.get("stage") in stages]
    found = {}
    for key, lines, metric in (
        ("train", train, name),
        ("val", held, "mse/all"),
        ("oracle", held, "oracle_rmse/all"),
    ):
        x, y = style.series(lines, metric, "epoch")
        if np.isfinite(y).any():
            found[key] = (x - start, y**2 if key == "oracle" else y)
    return found


def of_one_cut(rows: _Runs) -> dict[str, list[Run]]:
    """Runs by method that share one division of the labels into groups.

    Takes the division that most methods share; ties go to the middle one by number of
    groups. Returns at most one method per colour.
    """
    cuts: dict[tuple[int, bytes], dict[str, list[Run]]] = {}
    for method, runs in rows.items():
        for run in runs:
            if (groups := cut(run)) is not None:
                key = len(groups.count), groups.of_bin.tobytes()
                cuts.setdefault(key, {}).setdefault(method, []).append(run)
    if not cuts:
        return {}
    most = max(map(len, cuts.values()))
    best = [cuts[key] for key in sorted(cuts) if len(cuts[key]) == most]
    return dict(list(best[len(best) // 2].items())[: len(SERIES)])


def _group_axis(ax: Any, num: int, name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlim(-0.5, num - 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    ax.set_xlabel(name)


def _panel_of_sizes(ax: Any, count: np.ndarray, least: float) -> None:
    """Draws `count` `[2, num]`: true groups filled, predicted groups as a line."""
    edges = np.arange(count.shape[1] + 1) - 0.5
    style.stairs(ax, count[0], edges, least, color=LIGHT["back"], label="true")
    look = {"color": LIGHT["s0"], "linewidth": 1.6, "label": "predicted"}
    ax.stairs(np.maximum(count[1], least), edges, baseline=None, **look)
    never = np.flatnonzero((count[1] == 0) & (count[0] > 0))
    if len(never):
        look = {"color": LIGHT["loss"], "markersize": 5, "label": "never predicted"}
        ax.plot(never, np.full(len(never), 1.25 * least), "x", **look)


@style.styled
def sizes_by_group(counts: Mapping[str, np.ndarray]) -> Any:
    """Test rows by true and predicted group, one panel per method.

    Args:
      counts: method -> `[2, num]` from `sizes`, mean over seeds.
    """
    figure, axes, used = style.panels(
        list(counts), alone=3.6, tall=1.75, sharex=True, sharey=True
    )
    every = np.stack(list(counts.values()))
    least = 0.5 * min(every[every > 0].min(initial=1.0), 1.0)
    for k, (name, ax) in enumerate(used.items()):
        _panel_of_sizes(ax, counts[name], least)
        ax.set_title(style.wrapped(name), fontsize=9.5)
        ax.set_ylim(least, 1.6 * every.max())
        style.log_axis(ax)
        if k + axes.shape[1] >= len(counts):
            _group_axis(ax, every.shape[-1], "group")
            ax.tick_params(labelbottom=True)
    for ax in axes[:, 0]:
        ax.set_ylabel("test rows")
    style.headline(figure, "Sizes of true and predicted groups")
    # The legend comes from the panel with the most kinds of marks.
    most = max(axes.flat, key=lambda ax: len(ax.get_legend_handles_labels()[0]))
    style.legend(figure, most, 3)
    return figure


@style.styled
def gaps_by_group(
    values: Mapping[str, np.ndarray], groups: TrainGroups, looks: Mapping[str, int]
) -> Any:
    """Errors of predicted groups, one line per method.

    Args:
      values: method -> `[2, num]` from `gaps`, mean over seeds.
      groups: training counts to draw in the background.
      looks: method -> index of its colour, dash and mark.
    """
    figure, axes = style.figure(2, height=5.2, sharex=True)
    titles = ("mean |predicted - true group|", "|predicted - true number of test rows|")
    x = np.arange(len(groups.count))
    for part, ax in enumerate(axes[:, 0]):
        style.behind(ax, groups, "group")
        for name, value in values.items():
            look = style.look(looks[name], 3.5) | {"linewidth": 1.4}
            ax.plot(x, value[part], label=style.plain(name), **look)
        ax.set_ylim(bottom=0)
        ax.set_title(titles[part], fontsize=10)
        ax.set_ylabel(("groups", "test rows")[part])
    _group_axis(axes[1, 0], len(groups.count), "true group")
    style.headline(figure, "Errors of predicted groups")
    style.legend(figure, axes[0, 0])
    return figure


@style.styled
def errors_by_epoch(
    curves: Mapping[str, Sequence[Mapping[str, _Curve]]],
    looks: Mapping[str, int],
    unit: str = "",
) -> Any:
    """Squared errors on training batches and validation data, on a log scale.

    Args:
      curves: method -> `squared_errors` of each seed.
      looks: method -> index of its colour and dash.
      unit: unit of the label.
    """
    figure, axes = style.figure(1, 2, height=3.7, sharex=True, sharey=True)
    dotted = {"linewidth": 0.9, "linestyle": ":"}
    titles = {"train": "Training batches", "val": "Validation"}
    for ax, (part, title) in zip(axes[0], titles.items(), strict=True):
        for name, seeds in curves.items():
            look = style.look(looks[name])
            found = [seed[part] for seed in seeds if part in seed]
            style.band(ax, found, look, name, 0.15)
            found = [seed["oracle"] for seed in seeds if "oracle" in seed]
            if found and part == "val":
                x, mean, *_ = style.over_seeds(found)
                ax.plot(x, mean, **look | dotted)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("epoch of the stage")
    left = axes[0, 0]
    if any("oracle" in seed for seeds in curves.values() for seed in seeds):
        look = {"color": LIGHT["muted"], "label": "expert of the true group"}
        left.plot([], [], **look | dotted)
    style.log_axis(left)
    left.set_ylabel(style.plain(f"MSE ({unit or 'label units'} squared)"))
    style.headline(figure, "Squared errors during training")
    style.legend(figure, left)
    return figure


def _curves(rows: _Runs, grouped: _Runs) -> dict[str, list[dict[str, _Curve]]]:
    """Squared errors of methods with groups, and of others that minimise them."""
    found = {}
    for method, runs in rows.items():
        if method not in grouped and any(map(cut, runs)):
            continue  # Its labels are divided into other groups.
        seeds = [squared_errors(run.log) for run in runs if not run.rescales_label]
        if seeds := [seed for seed in seeds if "val" in seed]:
            found[method] = seeds
    return dict(list(found.items())[: len(SERIES)])


def _means(
    of: Callable[[Run], np.ndarray | None], rows: _Runs
) -> dict[str, np.ndarray]:
    return {
        name: np.mean([v for run in runs if (v := of(run)) is not None], axis=0)
        for name, runs in rows.items()
    }


def _looks(shown: Iterable[str], rows: Mapping[str, Any]) -> dict[str, int]:
    """Index of a method's look, equal in all figures unless there are too many."""
    every = list(rows) if len(rows) <= len(SERIES) else list(shown)
    return {name: every.index(name) for name in shown}


def figures(rows: _Runs) -> Iterator[Drawn]:
    """The figures of group predictions, if any run has groups.

    Args:
      rows: method -> its runs; methods without groups appear in the last figure if
        their loss is the squared error.

    Yields:
      Sizes, errors of groups, and squared errors.
    """
    grouped = of_one_cut(rows)
    if not grouped:
        return
    first = next(iter(grouped.values()))[0]
    bins, groups = first.bins, cut(first)
    assert bins is not None, "of_one_cut selects runs with groups"
    assert groups is not None, "of_one_cut selects runs with groups"
    over = ", mean over seeds" if any(len(r) > 1 for r in grouped.values()) else ""
    said = f"{len(groups.count)} groups in order of {bins.label}{over}."
    yield Drawn(
        sizes_by_group(_means(sizes, grouped)),
        "groups",
        f"Test rows (pixels of maps) by true and by predicted group: {said}",
        "Numbers of test rows in each true and predicted group, on a log scale.",
    )
    yield Drawn(
        gaps_by_group(_means(gaps, grouped), groups, _looks(grouped, rows)),
        "group_gaps",
        "Above: mean distance of the predicted from the true group. Below: absolute "
        "difference between the predicted and true numbers of test rows in the group. "
        f"Grey: training examples. {said}",
        "Distance of predicted from true groups, and difference of their sizes.",
    )
    curves = _curves(rows, grouped)
    if curves.keys() & grouped.keys():
        yield Drawn(
            errors_by_epoch(curves, _looks(curves, rows), bins.unit),
            "group_mse",
            "Mean squared error. For methods with groups, training batches use the "
            "expert of the true group, validation data that of the predicted group; "
            "dotted: that of the true group, a diagnostic only. Other methods have one "
            "head. Line: mean over seeds; band: range.",
            "Squared errors on training batches and validation data, by epoch.",
        )
