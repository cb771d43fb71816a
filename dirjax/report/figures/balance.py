"""Figures of feature balance: variance of features within label bins, by method.

The variance, defined in `features.balance`, is read from `features.npz` of each run. It
is shown raw, as in the source, and relative to the variance over all test examples,
which does not depend on the scale of features. Deviations: Figs. 6 and 7 of the source
show the raw variance of one run each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.features.balance import by_shot
from dirjax.report.figures import style
from dirjax.report.figures.style import LIGHT, SERIES, Drawn
from dirjax.report.runs import COLUMNS, Run, TrainBins, same_bins

_FORMS = ("variance in bin", "relative to all bins")
# Raw and relative variance, each `[seeds, bins]`, NaN where undefined.
_Pair = tuple[np.ndarray, np.ndarray]


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
                    style.whiskers(ax, x, seeds.mean(), seeds.std(ddof=1))
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
    """Variance within each bin, one row of panels per method.

    Args:
      values: method -> raw and relative variance, each `[seeds, num]`.
      bins: label bins.
    """
    shape, height = (len(values), 2), 1.1 + 1.35 * len(values)
    figure, axes = style.figure(*shape, height=height, sharex=True, sharey="col")
    for row, (name, pair) in zip(axes, values.items(), strict=True):
        for ax, seeds in zip(row, pair, strict=True):
            style.shot_stairs(ax, np.nan_to_num(seeds.mean(axis=0)), bins)
        row[0].set_title(style.wrapped(name), fontsize=10)
    look = {"ha": "right", "fontsize": 9, "color": LIGHT["muted"]}
    look |= {"xycoords": "axes fraction", "textcoords": "offset points"}
    for column, form in zip(axes.T, _FORMS, strict=True):
        column[0].annotate(form, (1.0, 1.0), (0, 4), **look)
        column[-1].set_xlabel(style.label_axis(bins))
    style.headline(figure, "Feature variance within each label bin")
    style.legend(figure, axes[0, 0], 3)
    return figure


def _pairs(groups: Mapping[str, Sequence[Run]], first: Run) -> dict[str, _Pair]:
    """Variances by method, of the runs with the split and bins of the first run."""
    found = {}
    for method, runs in groups.items():
        same: dict[int, Run] = {}
        for run in runs:
            split = run.features.get("split")
            if split == first.features["split"] and same_bins(run, first.bins):
                same.setdefault(run.seed, run)
        if same:
            raw = np.stack([r.features["variance_mean"] for r in same.values()])
            total = np.stack([r.features["total_mean"] for r in same.values()])
            found[method] = (raw, raw / np.where(total > 0, total, np.nan)[:, None])
    return found


def figures(groups: Mapping[str, Sequence[Run]]) -> Iterator[Drawn]:
    """The figures of feature balance, if any run has `features.npz`.

    Args:
      groups: method -> its runs; at most one method per colour.

    Yields:
      Variances by shot and by label.
    """
    every = [run for runs in groups.values() for run in runs]
    first = next((r for r in every if r.features and r.bins is not None), None)
    if first is None or first.bins is None:
        return
    pairs = _pairs(groups, first)
    over = "" if {len(raw) for raw, _ in pairs.values()} == {1} else ", mean over seeds"
    what = (
        f"of the features of {first.features['split']} examples within a label bin, "
        f"mean over features{over}; smaller is more balanced. {_FORMS[1]}: divided by "
        "the variance over all examples, which makes it independent of the scale of "
        "features. Bins with fewer than two examples are omitted."
    )
    yield Drawn(
        variance_by_shot(pairs, first.bins),
        "balance_by_shot",
        f"Variance {what} Values of shot groups are means over bins.",
        "Feature variance within label bins of each method by shot group.",
    )
    yield Drawn(
        variance_by_label(pairs, first.bins),
        "balance_by_label",
        f"Variance {what}",
        "Feature variance within each label bin, one row per method.",
    )
