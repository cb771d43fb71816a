"""Tables and figure of the SSIR toy experiment, from its `result.json`.

Deviations: figure 2a of the paper shows two curves without spread. Spread, a control
arm and a panel for the error on the rare component are added.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.report.figures import style
from dirjax.report.figures.style import LIGHT

NAMES = {
    "supervised": "supervised T1 + T2",
    "pretext": "self-supervised T1, supervised T2",
    "second_phase": "supervised T2 (control)",
}
PARTS = {
    "test_mse": "all test rows",
    "test_mse_common": "common component",
    "test_mse_rare": "rare component",
}


def _values(result: Mapping[str, Any], arm: str, part: str) -> np.ndarray:
    """`[seeds, ratios]` float64; NaN if training diverged."""
    return np.asarray(result["arms"][arm][part], np.float64)


def _mean_std(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sample standard deviation (0 for one row) over the first axis."""
    one = len(values) == 1
    std = np.zeros(values.shape[1:]) if one else values.std(axis=0, ddof=1)
    return values.mean(axis=0), std


def _cells(values: np.ndarray) -> list[str]:
    """`[seeds, ratios]` -> "mean ± std" for each ratio."""
    pairs = zip(*_mean_std(values), strict=True)
    return [f"{mean:.4g} ± {std:.2g}" for mean, std in pairs]


def _grid(title: str, names: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    """Formats columns of cells under their names as lines of text."""
    widths = [max(map(len, (name, *c))) for name, c in zip(names, columns, strict=True)]
    lines = [title]
    for row in (names, *zip(*columns, strict=True)):
        cells = zip(row, widths, strict=True)
        lines.append("  ".join(cell.rjust(width) for cell, width in cells).rstrip())
    return "\n".join(lines)


def table_text(result: Mapping[str, Any]) -> str:
    """Errors by ratio and arm, paired differences, and effects of the first phase.

    Args:
      result: content of `result.json`.

    Returns:
      Lines of text that end with a newline.
    """
    ratios = [f"{r:g}" for r in result["ratios"]]
    count = len(result["seeds"])
    blocks = []
    for part, said in PARTS.items():
        columns = [_cells(_values(result, arm, part)) for arm in NAMES]
        title = f"Test MSE, {said}: mean ± std over {count} seeds"
        blocks.append(_grid(title, ["R", *NAMES.values()], [ratios, *columns]))
    names, columns = ["R"], [ratios]
    for base in ("supervised", "second_phase"):
        gain = _values(result, base, "test_mse") - _values(
            result, "pretext", "test_mse"
        )
        names += [f"over {NAMES[base]}", "seeds"]
        columns += [_cells(gain), [f"{n}/{count}" for n in (gain > 0).sum(axis=0)]]
    title = "Gain of the self-supervised arm in test MSE, paired by seed"
    blocks.append(_grid(title, names, columns))
    phase = result["first_phase"]
    columns = [_cells(np.asarray(values, np.float64)) for values in phase.values()]
    names = [name.replace("_", " ") for name in phase]
    title = "First phase: pretext loss and standard deviation of the outputs"
    blocks.append(_grid(title, ["R", *names], [ratios, *columns]))
    gap = np.asarray(result["label_gap"], np.float64).min()
    variance = np.asarray(result["label_variance"], np.float64).mean()
    blocks.append(
        f"Variance of the test labels: {variance:.4g}. Smallest difference between "
        f"labels of different components: {gap:.4g}."
    )
    return "\n\n".join(blocks) + "\n"


def table_csv(result: Mapping[str, Any]) -> str:
    """One line per part of the test set, arm and ratio: mean, std, seeds."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["part", "arm", "ratio", "mean", "std", "seeds"])
    for part in (*PARTS, "train_mse"):
        for arm in NAMES:
            values = _values(result, arm, part)
            for ratio, mean, std in zip(
                result["ratios"], *_mean_std(values), strict=True
            ):
                numbers = [f"{mean:.6g}", f"{std:.6g}", len(values)]
                writer.writerow([part, arm, f"{ratio:g}", *numbers])
    return out.getvalue()


@style.styled
def error_by_ratio(
    ratios: Sequence[float], panels: Mapping[str, Mapping[str, np.ndarray]]
) -> Any:
    """Test error against the imbalance ratio: mean and spread over seeds.

    Args:
      ratios: common rows per rare row, ascending.
      panels: title of the panel -> name of the curve -> `[seeds, ratios]` errors.

    Returns:
      A figure with one row per panel.
    """
    from matplotlib.ticker import FixedLocator, NullLocator

    height = 0.9 + 2.3 * len(panels)
    figure, axes = style.figure(len(panels), height=height, sharex=True)
    for ax, (title, curves) in zip(axes[:, 0], panels.items(), strict=True):
        for k, (name, values) in enumerate(curves.items()):
            mean, std = _mean_std(np.asarray(values, np.float64))
            look, shade = style.look(k, 4), {"alpha": 0.15, "linewidth": 0}
            low, high = mean - std, mean + std
            ax.fill_between(ratios, low, high, color=look["color"], **shade)
            ax.plot(ratios, mean, label=style.plain(name), **look)
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(FixedLocator(list(ratios)))
        ax.xaxis.set_minor_locator(NullLocator())
        style.numbers(ax)
        ax.set_ylim(bottom=0)
        ax.set_title(style.plain(title), fontsize=10, color=LIGHT["ink"])
        ax.set_ylabel("test MSE")
    axes[-1, 0].set_xlabel("R, common rows per rare row")
    style.headline(figure, "Error and imbalance")
    style.legend(figure, axes[0, 0], columns=2)
    return figure
