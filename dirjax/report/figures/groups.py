"""Figures of methods that first predict the group of a label.

Sizes of true and predicted groups, how far predictions are off by group, and squared
errors during training. What is drawn is `predictions.npz`, `bins.json` and
`metrics.jsonl` of each run.

"Leveraging Group Classification with Descending Soft Labeling for Deep Imbalanced
Regression", Pu et al., AAAI 2025 (Figs. 2 to 5). https://arxiv.org/abs/2412.12327

Deviations: all are means over seeds. The paper's Fig. 5 may mean the distance of groups
or the difference of their sizes; here are both. Epochs of Fig. 3 are counted from the
start of the stage that has the error, so a contrast before it does not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.report.figures import style as style_lib
from dirjax.report.figures.style import DASHES, LIGHT, MARKERS, SERIES
from dirjax.report.runs import Run, TrainGroups

# Squared error in the log of the training batches: of the true group's expert, or of
# the one head of a method without groups.
_TRAIN = ("group/mse", "loss/mse")
_Curve = tuple[np.ndarray, np.ndarray]


def cut(run: Run) -> TrainGroups | None:
    """The groups that a run predicts; None if it predicts none."""
    if run.bins is None or "group" not in run.predictions:
        return None
    return run.bins.groups


def sizes(run: Run) -> np.ndarray | None:
    """Test rows in each group, `[2, num]`: true, and predicted.

    None without groups. A row whose prediction is no number is in no predicted group.
    """
    groups = cut(run)
    if groups is None:
        return None
    num = len(groups.count)
    found = (run.predictions[name] for name in ("group", "group_prediction"))
    return np.stack(
        [np.bincount(g[g >= 0].astype(int), minlength=num)[:num] for g in found]
    ).astype(np.float64)


def gaps(run: Run) -> np.ndarray | None:
    """How far predicted groups are off, `[2, num]`, by true group.

    First the mean of `|predicted - true group|` over the test rows of the group, NaN
    without any; then the absolute difference of the numbers of rows in `sizes`.
    """
    count = sizes(run)
    if count is None:
        return None
    true, predicted = run.predictions["group"], run.predictions["group_prediction"]
    real = predicted >= 0
    off = np.abs(predicted - true)[real]
    of = true[real].astype(int)
    total = np.bincount(of, weights=off, minlength=count.shape[1])
    rows = np.bincount(of, minlength=count.shape[1])
    mean = np.divide(total, rows, out=np.full(len(total), np.nan), where=rows > 0)
    return np.stack([mean, np.abs(count[1] - count[0])])


def squared_errors(log: Sequence[Mapping[str, Any]]) -> dict[str, _Curve]:
    """Squared errors by epoch of the stage: those that the log has.

    Returns:
      "train", "val", and "oracle", the validation error of the true group's expert:
      epochs and values. Empty if the training batches have none.
    """
    train = [entry for entry in log if entry.get("split") == "train"]
    name = next((n for n in _TRAIN if any(n in entry for entry in train)), None)
    if name is None or not all("epoch" in entry for entry in log):
        return {}
    stages = {entry.get("stage") for entry in train if name in entry}
    first = min(entry["epoch"] for entry in train if name in entry)
    before = (e["epoch"] for e in train if e.get("stage") not in stages)
    start = max((epoch for epoch in before if epoch < first), default=0.0)
    held = [e for e in log if e.get("split") == "val" and e.get("stage") in stages]
    found = {}
    for key, lines, metric in (
        ("train", train, name),
        ("val", held, "mse/all"),
        ("oracle", held, "oracle_rmse/all"),
    ):
        x, y = style_lib.series(lines, metric, clock="epoch")
        if np.isfinite(y).any():
            found[key] = (x - start, y**2 if key == "oracle" else y)
    return found


def of_one_cut(rows: Mapping[str, Sequence[Run]]) -> dict[str, list[Run]]:
    """Methods whose labels are cut into the same groups, at most as many as colours.

    Of several cuts that of most methods; of those with equally many the middle one by
    number of groups.
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
    """True groups filled, predicted ones as a line; `[2, num]`."""
    edges = np.arange(count.shape[1] + 1) - 0.5
    style_lib.stairs(ax, count[0], edges, least, color=LIGHT["back"], label="true")
    ax.stairs(
        np.maximum(count[1], least),
        edges,
        baseline=None,
        color=LIGHT["s0"],
        linewidth=1.6,
        label="predicted",
    )
    never = np.flatnonzero((count[1] == 0) & (count[0] > 0))
    if len(never):
        ax.plot(
            never,
            np.full(len(never), 1.25 * least),
            "x",
            color=LIGHT["loss"],
            markersize=5,
            label="never predicted",
        )


@style_lib.styled
def sizes_by_group(counts: Mapping[str, np.ndarray]) -> Any:
    """Test rows by true and predicted group, a panel for each method.

    Args:
      counts: method -> `[2, num]` as of `sizes`, mean over seeds.
    """
    columns = 1 if len(counts) == 1 else 2
    rows = math.ceil(len(counts) / columns)
    names = [style_lib.wrapped(name) for name in counts]
    lines = max(name.count("\n") for name in names)
    height = 3.6 if columns == 1 else 0.9 + (1.75 + 0.15 * lines) * rows
    figure, axes = style_lib.figure(
        rows, columns, height=height, sharex=True, sharey=True
    )
    every = np.stack(list(counts.values()))
    least = 0.5 * min(every[every > 0].min(initial=1.0), 1.0)
    for k, ax in enumerate(axes.flat):
        if k >= len(counts):
            ax.set_visible(False)
            continue
        _panel_of_sizes(ax, list(counts.values())[k], least)
        ax.set_title(names[k], fontsize=9.5)
        ax.set_ylim(least, 1.6 * every.max())
        style_lib.log_axis(ax)
        if k + columns >= len(counts):
            _group_axis(ax, every.shape[-1], "group")
            ax.tick_params(labelbottom=True)
    for ax in axes[:, 0]:
        ax.set_ylabel("test rows")
    style_lib.headline(figure, "Sizes of true and predicted groups")
    # The panel with all kinds of marks.
    most = max(axes.flat, key=lambda ax: len(ax.get_legend_handles_labels()[0]))
    style_lib.legend(figure, most, 3)
    return figure


@style_lib.styled
def gaps_by_group(
    values: Mapping[str, np.ndarray], groups: TrainGroups, looks: Mapping[str, int]
) -> Any:
    """How far predicted groups are off: a line for each method.

    Args:
      values: method -> `[2, num]` as of `gaps`, mean over seeds.
      groups: their training counts stand behind.
      looks: method -> which colour, dash and mark.
    """
    figure, axes = style_lib.figure(2, height=5.2, sharex=True)
    said = ("mean |predicted - true group|", "|predicted - true number of test rows|")
    units = ("groups", "test rows")
    for part, ax in enumerate(axes[:, 0]):
        style_lib.behind(ax, groups, "group")
        for name, value in values.items():
            k = looks[name]
            ax.plot(
                np.arange(len(groups.count)),
                value[part],
                color=SERIES[k],
                linestyle=DASHES[k],
                marker=MARKERS[k],
                markersize=3.5,
                linewidth=1.4,
                label=style_lib.plain(name),
            )
        ax.set_ylim(bottom=0)
        ax.set_title(said[part], fontsize=10)
        ax.set_ylabel(units[part])
    _group_axis(axes[1, 0], len(groups.count), "true group")
    style_lib.headline(figure, "How far predicted groups are off")
    style_lib.legend(figure, axes[0, 0])
    return figure


@style_lib.styled
def errors_by_epoch(
    curves: Mapping[str, Sequence[Mapping[str, _Curve]]],
    looks: Mapping[str, int],
    unit: str = "",
) -> Any:
    """Squared errors on training batches and on validation data, log scale.

    Args:
      curves: method -> those of `squared_errors` of each seed.
      looks: method -> which colour and dash.
      unit: of the label.
    """
    figure, axes = style_lib.figure(1, 2, height=3.7, sharex=True, sharey=True)
    titles = {"train": "Training batches", "val": "Validation"}
    oracle = False
    for ax, (part, title) in zip(axes[0], titles.items(), strict=True):
        for name, seeds in curves.items():
            k = looks[name]
            found = [seed[part] for seed in seeds if part in seed]
            if found:
                x, mean, low, high = style_lib.over_seeds(found)
                ax.fill_between(x, low, high, color=SERIES[k], alpha=0.15, linewidth=0)
                style = {"color": SERIES[k], "linestyle": DASHES[k]}
                ax.plot(x, mean, label=style_lib.plain(name), **style)
            found = [seed["oracle"] for seed in seeds if "oracle" in seed]
            if found and part == "val":
                oracle = True
                x, mean, *_ = style_lib.over_seeds(found)
                ax.plot(x, mean, color=SERIES[k], linewidth=0.9, linestyle=":")
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("epoch of the stage")
    if oracle:
        look = {"color": LIGHT["muted"], "linewidth": 0.9, "linestyle": ":"}
        axes[0, 0].plot([], [], label="expert of the true group", **look)
    style_lib.log_axis(axes[0, 0])
    squared = f" ({unit} squared)" if unit else " (label units squared)"
    axes[0, 0].set_ylabel(style_lib.plain("MSE" + squared))
    style_lib.headline(figure, "Squared errors during training")
    style_lib.legend(figure, axes[0, 0])
    return figure


def _curves(
    rows: Mapping[str, Sequence[Run]], grouped: Mapping[str, Sequence[Run]]
) -> dict[str, list[dict[str, _Curve]]]:
    """Of methods with groups, and of those without whose loss is the squared error."""
    found = {}
    for method, runs in rows.items():
        if method not in grouped and any(map(cut, runs)):
            continue  # Its labels are cut otherwise.
        seeds = [squared_errors(run.log) for run in runs if not run.learns_logarithm]
        seeds = [seed for seed in seeds if "val" in seed]
        if seeds:
            found[method] = seeds
    return dict(list(found.items())[: len(SERIES)])


def _mean(of: Callable[[Run], np.ndarray | None], runs: Sequence[Run]) -> np.ndarray:
    found = [values for run in runs if (values := of(run)) is not None]
    return np.mean(found, axis=0)


def _looks(shown: Iterable[str], rows: Mapping[str, Any]) -> dict[str, int]:
    """The same for a method in all figures, unless there are too many methods."""
    every = list(rows) if len(rows) <= len(SERIES) else list(shown)
    return {name: every.index(name) for name in shown}


def figures(
    rows: Mapping[str, Sequence[Run]],
) -> Iterator[tuple[Any, str, str, str]]:
    """The figures of runs that predict groups, none without any.

    Args:
      rows: method -> its runs; those without groups stand in the last figure if their
        loss is the squared error.

    Yields:
      A figure, its name, its caption and its description.
    """
    grouped = of_one_cut(rows)
    if not grouped:
        return
    first = next(iter(grouped.values()))[0]
    bins, groups = first.bins, cut(first)
    assert bins is not None, "it has been chosen so"
    assert groups is not None, "it has been chosen so"
    over = ", mean over seeds" if any(len(r) > 1 for r in grouped.values()) else ""
    said = f"{len(groups.count)} groups, numbered by rising {bins.label}{over}."
    yield (
        sizes_by_group({name: _mean(sizes, runs) for name, runs in grouped.items()}),
        "groups",
        f"Test rows by true and by predicted group: {said}",
        "Numbers of test rows in each true and each predicted group, logarithmic.",
    )
    yield (
        gaps_by_group(
            {name: _mean(gaps, runs) for name, runs in grouped.items()},
            groups,
            _looks(grouped, rows),
        ),
        "group_gaps",
        "Above: how many groups the prediction is off, by true group. Below: how many "
        "more or fewer test rows are predicted to be in the group than are. Grey: "
        f"training examples. {said}",
        "Distance of predicted from true groups, and difference of their sizes.",
    )
    curves = _curves(rows, grouped)
    if curves.keys() & grouped.keys():
        yield (
            errors_by_epoch(curves, _looks(curves, rows), bins.unit),
            "group_mse",
            "Mean squared error. Methods with groups: on training batches of the true "
            "group's expert, on validation data of the predicted group's; dotted: of "
            "the true group's, a diagnostic that no prediction can reach. Others: of "
            "their one head. Line: mean over seeds; band: range.",
            "Squared errors on training batches and validation data by epoch.",
        )
