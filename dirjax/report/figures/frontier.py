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

# Shots of the horizontal axis, of which the first with rows is drawn, and the other.
COMMON, RARE = ("many", "median"), "few"
# Method -> `[points, 3]`: tau and both errors, mean over seeds.
_Curves = Mapping[str, np.ndarray]


def _curve(runs: Sequence[Run], common: str) -> np.ndarray | None:
    """Tau and errors of a method, mean over its seeds; None where a run has none."""
    found = []
    for run in runs:
        record = run.result or {}
        if not frontiers.is_balanced(run) or not record.get("prior"):
            return None
        decode = record["prior"]["decode"]
        points = record["frontier"]["points"]
        curve = frontiers.curve(points, decode, run.split, (common, RARE))
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
    found: dict[str, np.ndarray] = {}
    common = ""
    for common in COMMON:
        of_each = {m: _curve(runs, common) for m, runs in by_method.items()}
        if found := {m: c for m, c in of_each.items() if c is not None}:
            break
    if not found:
        return
    # Where there are more methods than colours, those with the smallest error on rare
    # labels at any strength.
    ranked = sorted(found, key=lambda method: found[method][:, 2].min())
    left = ranked[len(style.SERIES) :]
    found = {m: c for m, c in found.items() if m not in left}
    missing = [m for m in by_method if m not in found and m not in left]
    run = next(run for runs in by_method.values() for run in runs)
    more = ""
    if left:
        more += f" With larger errors, not drawn: {', '.join(left)}."
    if missing:
        more += f" Without a curve for balanced labels: {', '.join(missing)}."
    said = "; ".join(
        f"{method} from {curve[0, 1]:.4g} and {curve[0, 2]:.4g} at tau 0 to "
        f"{curve[-1, 1]:.4g} and {curve[-1, 2]:.4g} at tau {curve[-1, 0]:g}"
        for method, curve in found.items()
    )
    yield Drawn(
        curves(found, run.bins, common=common, split=run.split),
        "frontier",
        "Each curve is one trained model (mean over seeds), corrected for balanced "
        "labels after training with strengths tau from 0, as trained (the large mark), "
        f"to 1. Lower and further left is better.{more}",
        f"Error on {common}-shot against error on {RARE}-shot labels: {said}.",
    )


@style.styled
def curves(
    found: _Curves,
    bins: TrainBins | None,
    *,
    common: str = COMMON[0],
    split: str = "test",
) -> Any:
    """Error on few-shot over error on common labels, along tau.

    Args:
      found: method -> `[points, 3]`, tau and both errors.
      bins: label bins, for the names of the axes.
      common: shot of the common labels.
      split: of the rows.
    """
    figure, axes = style.figure(height=4.2)
    ax = axes[0, 0]
    for k, (method, curve) in enumerate(found.items()):
        _, x, y = curve.T
        look = style.look(k)
        ax.plot(x, y, label=style.plain(method), linewidth=1.5, **look)
        ax.scatter(x[1:], y[1:], s=12, color=look["color"], zorder=3)
        ax.scatter(x[:1], y[:1], s=60, color=look["color"], zorder=4)
        if len(found) == 1:
            for tau, *at in curve[:: max(1, len(curve) // 4)]:
                ax.annotate(
                    f"τ={tau:g}",
                    at,
                    (6, 4),
                    textcoords="offset points",
                    fontsize=9,
                    color=LIGHT["ink"],
                )
    ax.set_title("One model, many label distributions")
    ax.set_xlabel(style.error_axis(bins, f"{split} MAE, {common}-shot labels"))
    ax.set_ylabel(style.error_axis(bins, f"{split} MAE, {RARE}-shot labels"))
    if len(found) > 1:
        style.legend(figure, ax)
    return figure
