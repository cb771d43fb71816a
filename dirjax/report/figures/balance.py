"""Figures of feature balance: variance of features within label bins, by method.

What is drawn is `features.npz` of each run; see `dirjax.balance` for the number, and
for its two forms: raw, which is that of the source, and relative to the variance over
all test examples, which does not depend on the scale of features. Deviations: Figs. 6
and 7 of the source are of one run each, and raw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.features.balance import by_shot
from dirjax.report.figures import style
from dirjax.report.figures.style import LIGHT, SERIES
from dirjax.report.runs import COLUMNS, Run, TrainBins

_FORMS = ("variance in bin", "relative to all bins")
# raw and relative, each `[seeds, bins]`, NaN where a bin has no variance.
_Pair = tuple[np.ndarray, np.ndarray]


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over seeds of `[seeds, bins]`, NaN in bins where a seed has none."""
    return values.mean(axis=0)


@style.styled
def variance_by_shot(values: Mapping[str, _Pair], bins: TrainBins) -> Any:
    """Variance within bins by shot group: mean over bins and seeds, spread over seeds.

    Args:
      values: method -> raw and relative variance, each `[seeds, num]`.
      bins: label bins.
    """
    figure, axes = style.figure(2, height=4.6, sharex=True)
    width = 0.8 / len(values)
    for form, ax in enumerate(axes[:, 0]):
        for k, (name, pair) in enumerate(values.items()):
            shots = [by_shot(seed, bins.shot) for seed in pair[form]]
            for column, shot in enumerate(COLUMNS):
                seeds = np.asarray([s[shot] for s in shots if s[shot] is not None])
                if not len(seeds):
                    continue
                x = column + (k - (len(values) - 1) / 2) * width
                ax.bar(x, seeds.mean(), 0.9 * width, color=SERIES[k])
                if len(seeds) > 1:
                    ax.errorbar(
                        x,
                        seeds.mean(),
                        seeds.std(ddof=1),
                        fmt="none",
                        ecolor=LIGHT["ink"],
                        elinewidth=1.1,
                        capsize=2.5,
                    )
                    places = np.full(len(seeds), x)
                    ax.scatter(places, seeds, s=7, zorder=3, color=LIGHT["ink"], lw=0)
            ax.bar(np.nan, np.nan, color=SERIES[k], label=style.plain(name))
        ax.set_ylim(bottom=0)
        ax.set_ylabel(_FORMS[form])
    axes[1, 0].set_xticks(range(len(COLUMNS)), COLUMNS)
    axes[1, 0].tick_params(axis="x", length=0)
    style.headline(figure, "Feature variance within label bins")
    style.legend(figure, axes[0, 0])
    return figure


@style.styled
def variance_by_label(values: Mapping[str, _Pair], bins: TrainBins) -> Any:
    """Variance within each bin, a row of panels for each method.

    Args:
      values: see `variance_by_shot`.
      bins: label bins.
    """
    lines = [style.wrapped(name) for name in values]
    height = 1.1 + 1.35 * len(values)
    figure, axes = style.figure(
        len(values), 2, height=height, sharex=True, sharey="col"
    )
    for row, (title, pair) in enumerate(zip(lines, values.values(), strict=True)):
        for form, ax in enumerate(axes[row]):
            style.shot_stairs(ax, np.nan_to_num(_mean(pair[form])), bins)
        axes[row, 0].set_title(title, fontsize=10)
    for form, name in enumerate(_FORMS):
        axes[0, form].annotate(
            name,
            (1.0, 1.0),
            (0, 4),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color=LIGHT["muted"],
        )
        axes[-1, form].set_xlabel(style.label_axis(bins))
    style.headline(figure, "Feature variance within each label bin")
    style.legend(figure, axes[0, 0], 3)
    return figure


def _pairs(groups: Mapping[str, Sequence[Run]]) -> tuple[dict[str, _Pair], Run | None]:
    """The variances of runs with the same split and bins, and the first such run."""
    first, found = None, {}
    for method, runs in groups.items():
        same: dict[int, Run] = {}
        for run in runs:
            if not run.features or run.bins is None:
                continue
            first = first or run
            assert first.bins is not None, "it has been chosen so"
            if run.features["split"] == first.features["split"] and np.array_equal(
                run.bins.edges, first.bins.edges
            ):
                same.setdefault(run.seed, run)
        if same:
            raw = np.stack([r.features["variance_mean"] for r in same.values()])
            total = np.stack([r.features["total_mean"] for r in same.values()])
            scale = np.where(total > 0, total, np.nan)[:, None]
            found[method] = (raw, raw / scale)
    return found, first


def figures(groups: Mapping[str, Sequence[Run]]) -> Iterator[tuple[Any, str, str, str]]:
    """The figures of runs with `features.npz`, none without.

    Args:
      groups: method -> its runs, at most as many methods as there are colours.

    Yields:
      A figure, its name, its caption and its description.
    """
    pairs, first = _pairs(groups)
    if first is None or first.bins is None:
        return
    split = str(first.features["split"])
    seeds = {len(raw) for raw, _ in pairs.values()}
    over = "" if seeds == {1} else ", mean over seeds"
    what = (
        f"of the features of {split} examples within a label bin, mean over "
        f"features{over}; smaller is more balanced. `{_FORMS[1]}`: the same over the "
        "variance of all examples, which does not depend on the scale of features. "
        "Bins with fewer than two examples are left out."
    ).replace("`", "")
    yield (
        variance_by_shot(pairs, first.bins),
        "balance_by_shot",
        f"Variance {what} A group is the mean of its bins.",
        "Feature variance within label bins of each method by shot group.",
    )
    yield (
        variance_by_label(pairs, first.bins),
        "balance_by_label",
        f"Variance {what}",
        "Feature variance within each label bin, a row for each method.",
    )
