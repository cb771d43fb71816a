"""The frontier of a model: error on common against error on rare labels.

A finished model is corrected for balanced labels with several strengths
(docs/any-prior.md); each gives a point, and all of them a curve on which the user may
choose. Methods that change training give other curves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.report import frontiers
from dirjax.report.figures import style
from dirjax.report.figures.style import LIGHT, Drawn
from dirjax.report.runs import Run, TrainBins

COMMON, RARE = "many", "few"
# Method -> `[points, 3]`: tau and both errors, mean over seeds.
_Curves = Mapping[str, np.ndarray]


def _curve(runs: Sequence[Run]) -> np.ndarray | None:
    """Tau and errors of a method, mean over its seeds; None where a run has none."""
    found = []
    for run in runs:
        record = run.result or {}
        if not frontiers.is_balanced(run) or not record.get("prior"):
            return None
        decode = record["prior"]["decode"]
        points = record["frontier"]["points"]
        curve = frontiers.curve(points, decode, run.split, (COMMON, RARE))
        if len(curve) < 2:
            return None
        found.append(np.array(curve))
    same = found and len({curve.shape for curve in found}) == 1
    return np.mean(found, axis=0) if same else None


def figures(by_method: Mapping[str, Sequence[Run]]) -> Iterator[Drawn]:
    """The figure of frontiers, if any run has one.

    Args:
      by_method: finished runs by method.
    """
    found = {m: c for m, runs in by_method.items() if (c := _curve(runs)) is not None}
    found = dict(list(found.items())[: len(style.SERIES)])
    if not found:
        return
    bins = next((run.bins for runs in by_method.values() for run in runs), None)
    said = "; ".join(
        f"{method} from {curve[0, 1]:.4g} and {curve[0, 2]:.4g} at tau 0 to "
        f"{curve[-1, 1]:.4g} and {curve[-1, 2]:.4g} at tau {curve[-1, 0]:g}"
        for method, curve in found.items()
    )
    yield Drawn(
        curves(found, bins),
        "frontier",
        "Each curve is one trained model (mean over seeds), corrected for balanced "
        "labels after training with strengths tau from 0, as trained (the large mark), "
        "to 1. Lower and further left is better.",
        f"Error on {COMMON}-shot against error on {RARE}-shot labels: {said}.",
    )


@style.styled
def curves(found: _Curves, bins: TrainBins | None) -> Any:
    """Error on few-shot over error on many-shot labels, along tau.

    Args:
      found: method -> `[points, 3]`, tau and both errors.
      bins: label bins, for the names of the axes.
    """
    figure, axes = style.figure(height=4.2)
    ax = axes[0, 0]
    for k, (method, curve) in enumerate(found.items()):
        _, common, rare = curve.T
        look = style.look(k)
        ax.plot(common, rare, label=style.plain(method), linewidth=1.5, **look)
        ax.scatter(common[1:], rare[1:], s=12, color=look["color"], zorder=3)
        ax.scatter(common[:1], rare[:1], s=60, color=look["color"], zorder=4)
        if len(found) == 1:
            for t, x, y in curve[:: max(1, len(curve) // 4)]:
                ax.annotate(
                    f"τ={t:g}",
                    (x, y),
                    (6, 4),
                    textcoords="offset points",
                    fontsize=9,
                    color=LIGHT["ink"],
                )
    ax.set_title("One model, many label distributions")
    ax.set_xlabel(style.error_axis(bins, f"test MAE, {COMMON}-shot labels"))
    ax.set_ylabel(style.error_axis(bins, f"test MAE, {RARE}-shot labels"))
    if len(found) > 1:
        style.legend(figure, ax)
    return figure
