"""Curves of one run: the loss and its terms by epoch, the error by step.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.report.figures import style
from dirjax.report.figures.style import DASHES, LIGHT, SERIES
from dirjax.report.runs import SHOTS, TrainBins

# Term of the training loss -> metric that is the same error on validation data.
VALIDATION = {"l1": "mae", "focal_r": "mae", "mse": "mse"}
_TERMS = 5  # as many as there are colours beside that of the validation error
_SMALL = 10  # a term that is so many times smaller than the loss has its own panel
_BEST: dict[str, Any] = {
    "color": LIGHT["ink"],
    "linewidth": 1.0,
    "linestyle": (0, (4, 2)),
}


def _mark_steps(
    ax, log: Sequence[Mapping[str, Any]], best: int | None, clock: str = "step"
) -> None:
    """Marks the best step, and where stages start if there are several.

    `clock` is the field of the log that `ax` has as its horizontal axis.
    """
    starts: dict[str, float] = {}
    for entry in log:
        stage = str(entry.get("stage") or "")
        starts.setdefault(stage, float(entry[clock]))
    transform = ax.get_xaxis_transform()
    if len(starts) > 1:
        for k, (stage, start) in enumerate(starts.items()):
            if k:
                ax.axvline(start, color=LIGHT["muted"], linewidth=1.0, linestyle=":")
            ax.text(
                start,
                1.0,
                f" {style.plain(stage)}",
                transform=transform,
                va="bottom",
                fontsize=9,
                color=LIGHT["muted"],
            )
        ax.set_title(ax.get_title(loc="left"), pad=18)
    if best is not None:
        steps = [float(entry["step"]) for entry in log]
        ax.axvline(
            np.interp(best, steps, [float(entry[clock]) for entry in log]),
            label=f"best step: {best:,}",
            **_BEST,
        )


def validation_metric(log: Sequence[Mapping[str, Any]]) -> str | None:
    """The error of the base term on validation data that the log has, or None."""
    terms = {name[5:] for entry in log for name in entry if name.startswith("loss/")}
    found = [metric for term, metric in VALIDATION.items() if term in terms]
    for metric in found:
        if any(f"{metric}/all" in e for e in log if e.get("split") == "val"):
            return metric
    return None


def _size(values: np.ndarray) -> float:
    real = np.abs(values[np.isfinite(values)])
    return float(np.median(real)) if len(real) else 0.0


def _scale(ax, curves: Sequence[np.ndarray]) -> None:
    """A logarithmic axis where values span too much for a linear one."""
    values = np.concatenate([v[np.isfinite(v)] for v in curves])
    if len(values) and 0 < values.min() < values.max() / 30:
        style.log_axis(ax)


@style.styled
def loss_curves(
    log: Sequence[Mapping[str, Any]], best: int | None, metric: str | None = None
) -> Any:
    """Training loss, its terms and the validation error of the base term, by epoch.

    Terms much smaller than the loss have a second panel.

    Args:
      log: lines of `metrics.jsonl`.
      best: step that was tested.
      metric: validation error to draw, in the unit of the loss; see
        `validation_metric`.
    """
    clock = "epoch" if all("epoch" in entry for entry in log) else "step"
    train = [entry for entry in log if entry.get("split") == "train"]
    names = sorted({n for e in train for n in e if n.startswith("loss/")})
    total = style.series(train, "loss", clock=clock)
    terms = {n[5:]: style.series(train, n, clock=clock) for n in names}
    if len(terms) == 1 and np.array_equal(next(iter(terms.values())), total, True):
        terms = {}
    size = _size(total[1])
    large, small = {}, {}
    for k, (name, curve) in enumerate(list(terms.items())[:_TERMS]):
        panel = small if _size(curve[1]) < size / _SMALL else large
        panel[f"{name} (unweighted)"] = (curve, SERIES[k], DASHES[k + 1])
    large = {"training loss": (total, LIGHT["ink"], DASHES[0]), **large}
    if metric is not None:
        held_out = [entry for entry in log if entry.get("split") == "val"]
        curve = style.series(held_out, f"{metric}/all", clock=clock)
        large[f"validation {metric.upper()}"] = (curve, LIGHT["few"], "-")
    panels = [large, small] if small else [large]
    tall = 3.6 + 1.6 * (len(panels) - 1)
    ratios = (2.0, 1.2)[: len(panels)]
    figure, axes = style.figure(
        len(panels), height=tall, sharex=True, height_ratios=ratios
    )
    for ax, curves in zip(axes[:, 0], panels, strict=True):
        for name, ((x, values), colour, dash) in curves.items():
            held = name.startswith("validation")
            ax.plot(
                x,
                values,
                color=colour,
                linestyle=dash,
                marker="o" if held else None,
                markersize=2.5,
                label=style.plain(name),
                zorder=3 if held else 2,
            )
        _scale(ax, [values for (_, values), _, _ in curves.values()])
        ax.set_ylabel("loss")
    top, low = axes[0, 0], axes[-1, 0]
    top.set_title("Training and validation loss" if metric else "Training loss")
    _mark_steps(top, log, best, clock)
    if small:
        low.set_title("Small terms", fontsize=10)
        if best is not None:
            low.axvline(top.lines[-1].get_xdata()[0], **_BEST)
    if clock == "step":
        style.step_axis(low)
    else:
        low.set_xlabel("epoch")
    style.legend(figure, [top, low] if small else [top])
    return figure


@style.styled
def mae_curves(
    log: Sequence[Mapping[str, Any]], best: int | None, bins: TrainBins | None = None
) -> Any:
    """MAE by shot group on validation (lines) and training batches (thin)."""
    figure, axes = style.figure(height=3.6)
    ax = axes[0, 0]
    both = any("mae/all" in e for e in log if e.get("split") == "train")
    for split, width, alpha in (("val", 1.8, 1.0), ("train", 0.9, 0.55)):
        lines = [entry for entry in log if entry.get("split") == split]
        for k, shot in enumerate(("all", *SHOTS)):
            steps, values = style.series(lines, f"mae/{shot}")
            if np.isfinite(values).any():
                colour = LIGHT["ink"] if shot == "all" else LIGHT[shot]
                ax.plot(
                    steps,
                    values,
                    color=colour,
                    linestyle=DASHES[k],
                    alpha=alpha,
                    linewidth=width,
                    zorder=1 + width,
                    label=f"{split} {shot}" if both else shot,
                )
    ax.set_title("MAE by shot" if both else "Validation MAE by shot")
    ax.set_ylabel(style.error_axis(bins, "MAE") if bins else "MAE (label units)")
    _mark_steps(ax, log, best)
    style.step_axis(ax)
    style.legend(figure, ax, 3)
    return figure
