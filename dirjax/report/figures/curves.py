"""Training curves of one run by epoch: the loss and its terms, and the error.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.labels import SHOTS
from dirjax.report.figures import style
from dirjax.report.figures.style import DASHED, DASHES, LIGHT
from dirjax.report.runs import COLUMNS, Log, TrainBins, of_split

# Term of the training loss -> metric of the same error on validation data.
VALIDATION = {"l1": "mae", "focal_r": "mae", "mse": "mse"}
_TERMS = 5  # number of colours besides that of the validation error
_SMALL = 10  # terms smaller than the loss by this factor go to a second panel


def _mark_steps(ax, log: Log, best: int | None) -> None:
    """Marks the best step, and the starts of stages if there are several."""
    starts: dict[str, float] = {}
    for entry in log:
        starts.setdefault(str(entry.get("stage") or ""), float(entry["epoch"]))
    if len(starts) > 1:
        look = {"fontsize": 9, "va": "bottom", "color": LIGHT["muted"]}
        top = ax.get_xaxis_transform()
        for k, (stage, start) in enumerate(starts.items()):
            if k:
                ax.axvline(start, color=LIGHT["muted"], linewidth=1.0, linestyle=":")
            ax.text(start, 1.0, f" {style.plain(stage)}", transform=top, **look)
        ax.set_title(ax.get_title(loc="left"), pad=18)
    if best is not None:
        steps, epochs = ([float(e[c]) for e in log] for c in ("step", "epoch"))
        at = np.interp(best, steps, epochs)
        ax.axvline(at, label=f"best step: {best:,}", **DASHED)


def validation_metric(log: Log) -> str | None:
    """The logged validation metric of the loss's base term, or None."""
    terms = {name[5:] for entry in log for name in entry if name.startswith("loss/")}
    found = [metric for term, metric in VALIDATION.items() if term in terms]
    held = of_split(log, "val")
    return next((m for m in found if any(f"{m}/all" in e for e in held)), None)


def _size(values: np.ndarray) -> float:
    real = np.abs(values[np.isfinite(values)])
    return float(np.median(real)) if len(real) else 0.0


def _scale(ax, curves: Sequence[np.ndarray]) -> None:
    """Makes the y axis logarithmic if positive values span more than a factor of 30."""
    values = np.concatenate([v[np.isfinite(v)] for v in curves])
    if len(values) and 0 < values.min() < values.max() / 30:
        style.log_axis(ax)


# Name of a curve -> its x and values, and its line style.
_Panel = dict[str, tuple[tuple[np.ndarray, np.ndarray], Mapping[str, Any]]]


def _loss_panels(log: Log, metric: str | None) -> list[_Panel]:
    """The curves of `loss_curves`; small terms, if any, in a second panel."""
    train = of_split(log, "train")
    names = sorted({n for e in train for n in e if n.startswith("loss/")})
    total = style.series(train, "loss", "epoch")
    terms = {n[5:]: style.series(train, n, "epoch") for n in names}
    if len(terms) == 1 and np.array_equal(next(iter(terms.values())), total, True):
        terms = {}
    large: _Panel = {"training loss": (total, {"color": LIGHT["ink"]})}
    small: _Panel = {}
    for k, (name, curve) in enumerate(list(terms.items())[:_TERMS]):
        panel = small if _size(curve[1]) < _size(total[1]) / _SMALL else large
        look = style.look(k) | {"linestyle": DASHES[k + 1]}
        panel[f"{name} (unweighted)"] = (curve, look)
    if metric is not None:
        curve = style.series(of_split(log, "val"), f"{metric}/all", "epoch")
        look = {"color": LIGHT["few"], "marker": "o", "zorder": 3}
        large[f"validation {metric.upper()}"] = (curve, look)
    return [large, small] if small else [large]


@style.styled
def loss_curves(log: Log, best: int | None, metric: str | None = None) -> Any:
    """Training loss, its terms and the validation error of the base term, by epoch.

    Terms much smaller than the loss go to a second panel.

    Args:
      log: entries of `metrics.jsonl`.
      best: the tested step.
      metric: validation error to draw, in the unit of the loss; see
        `validation_metric`.
    """
    panels = _loss_panels(log, metric)
    figure, axes = style.figure(
        len(panels),
        height=3.6 + 1.6 * (len(panels) - 1),
        sharex=True,
        height_ratios=(2.0, 1.2)[: len(panels)],
    )
    for ax, curves in zip(axes[:, 0], panels, strict=True):
        for name, (curve, look) in curves.items():
            ax.plot(*curve, markersize=2.5, label=style.plain(name), **look)
        _scale(ax, [values for (_, values), _ in curves.values()])
        ax.set_ylabel("loss")
    top, *low = axes[:, 0]
    top.set_title("Training and validation loss" if metric else "Training loss")
    _mark_steps(top, log, best)
    for ax in low:
        ax.set_title("Small terms", fontsize=10)
        if best is not None:
            ax.axvline(top.lines[-1].get_xdata()[0], **DASHED)
    style.epoch_axis(axes[-1, 0], [log])
    style.legend(figure, [top, *low])
    return figure


@style.styled
def mae_curves(log: Log, best: int | None, bins: TrainBins | None = None) -> Any:
    """MAE by shot group on validation data and, as thin lines, training batches."""
    figure, axes = style.figure(height=3.6)
    ax = axes[0, 0]
    both = any("mae/all" in entry for entry in of_split(log, "train"))
    colours = (LIGHT["ink"], *(LIGHT[shot] for shot in SHOTS))
    for split, width, alpha in (("val", 1.8, 1.0), ("train", 0.9, 0.55)):
        weight = {"alpha": alpha, "linewidth": width, "zorder": 1 + width}
        for k, shot in enumerate(COLUMNS):
            curve = style.series(of_split(log, split), f"mae/{shot}", "epoch")
            if np.isfinite(curve[1]).any():
                look = {"color": colours[k], "linestyle": DASHES[k], **weight}
                ax.plot(*curve, label=f"{split} {shot}" if both else shot, **look)
    ax.set_title("MAE by shot" if both else "Validation MAE by shot")
    ax.set_ylabel(style.error_axis(bins, "MAE"))
    _mark_steps(ax, log, best)
    style.epoch_axis(ax, [log])
    style.legend(figure, ax, 3)
    return figure
