"""Figures of predictions under input noise, as computed by `dirjax.noise`.

Each function takes arrays and returns a matplotlib figure. Deviations: none, this
module is dirjax's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dirjax import digits
from dirjax.report.figures import style
from dirjax.report.figures.style import DASHED, LIGHT, MARKERS, SERIES

# Kind of noise -> name in legends.
_KINDS = {"controlled": "controlled noise", "random": "random noise of the same norm"}


@style.styled
def gaps(arrays: Mapping[str, np.ndarray], label: str) -> Any:
    """Distribution of prediction gaps by size of the noise, compared with a label bin.

    Args:
      arrays: as in `noise.npz`.
      label: name of the label.
    """
    figure, axes = style.figure(height=3.9)
    ax = axes[0, 0]
    rows, width = len(arrays["clean"]), float(arrays["width"])
    found = {k: np.abs(arrays[k] - arrays["clean"]).astype(np.float64) for k in _KINDS}
    # Gaps of 0 cannot be drawn on a logarithmic axis.
    positive = np.concatenate([v[v > 0] for v in found.values()])
    least = positive.min() if len(positive) else width
    sizes = arrays["epsilon"]
    for k, (kind, name) in enumerate(_KINDS.items()):
        x = np.arange(len(sizes)) + 0.26 * k - 0.13
        low, first, middle, third, high = np.quantile(
            np.maximum(found[kind], least), (0.05, 0.25, 0.5, 0.75, 0.95), axis=1
        )
        ax.vlines(x, low, high, color=SERIES[k], linewidth=1.2)
        ax.vlines(x, first, third, color=SERIES[k], linewidth=7, alpha=0.45)
        ax.plot(x, middle, MARKERS[k], color=SERIES[k], markersize=4.5, label=name)
    ax.axhline(width, label=f"one bin: {digits.short(width)}", **DASHED)
    ax.set_yscale("log")
    style.numbers(ax)
    ax.set_xticks(range(len(sizes)), [f"{size:g}" for size in sizes])
    ax.set_xlabel(f"size of the noise ({_size(arrays)})")
    ax.set_ylabel(style.plain(f"gap in {label}"))
    ax.set_title(f"Prediction gaps of {rows} {arrays['split']} rows under noise")
    style.legend(figure, ax, 2)
    return figure


def _size(arrays: Mapping[str, np.ndarray]) -> str:
    return style.plain(f"norm {arrays['norm']}, {arrays['units']} inputs")


def _picture(ax, image: np.ndarray) -> None:
    """Pixels in 0..1, `[height, width, channels]`; unless RGB, the channels' mean."""
    image = np.clip(image, 0, 1)
    image = image if image.shape[-1] == 3 else image.mean(axis=-1)
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    _bare(ax)


def _bare(ax) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


@style.styled
def samples(
    arrays: Mapping[str, np.ndarray],
    shown: int,
    label: str,
    images: np.ndarray | None = None,
) -> Any:
    """Changes of the predictions for a few rows, compared with a label bin.

    Args:
      arrays: as in `noise.npz`; its first `samples` rows are drawn.
      shown: index of the noise size to draw.
      label: name of the label.
      images: `[samples, height, width, channels]`, pixels in 0..1.
    """
    count, width = int(arrays["samples"]), float(arrays["width"])
    clean = arrays["clean"][:count]
    moves = {k: arrays[k][shown, :count] - clean for k in _KINDS}
    wide = 1.15 * max(width, *(np.abs(move).max() for move in moves.values()))
    columns, ratios = (1, (1,)) if images is None else (2, (1, 6))
    height = 1.5 + 0.62 * count
    figure, axes = style.figure(count, columns, height=height, width_ratios=ratios)
    bin_look = {"color": LIGHT["back"], "linewidth": 0, "label": "within one bin"}
    clean_look = {"color": LIGHT["muted"], "label": "clean prediction"}
    small = {"fontsize": 9, "fontweight": "normal", "pad": 2}
    for i, (*left, ax) in enumerate(axes):
        if images is not None:
            _picture(left[0], images[i])
        ax.axvspan(-width, width, **bin_look)
        ax.axvline(0, linewidth=1.0, **clean_look)
        for k, (kind, name) in enumerate(_KINDS.items()):
            at = moves[kind][i], 0.3 - 0.6 * k
            ax.plot(*at, MARKERS[k], color=SERIES[k], markersize=6, label=name)
        ax.set_xlim(-wide, wide)
        ax.set_ylim(-1, 1)
        ax.set_yticks([])
        ax.tick_params(axis="x", labelbottom=i == count - 1, length=0)
        change, true = moves["controlled"][i], float(arrays["label"][i])
        form = digits.form([clean[i], true], [change])
        said = f"{form(clean[i])}, change {form(change, '+')} (label {form(true)})"
        ax.set_title(said, **small)
    axes[-1, -1].set_xlabel(style.plain(f"change of the predicted {label}"))
    size = arrays["epsilon"][shown]
    style.headline(figure, f"Predictions under noise of size {size:g}")
    style.legend(figure, axes[0, -1], 2)
    return figure


@style.styled
def pictures(
    images: np.ndarray,
    moved: np.ndarray,
    noise: np.ndarray,
    arrays: Mapping[str, np.ndarray],
    label: str,
) -> Any:
    """Images under controlled noise of each size, and the noise itself, amplified.

    Args:
      images: `[n, height, width, channels]`, pixels in 0..1.
      moved: `[n, sizes, height, width, channels]`, images with noise; clipped to 0..1.
      noise: same shape and units; drawn around grey.
      arrays: as in `noise.npz`; its first `n` rows correspond to `images`.
      label: name of the label.
    """
    sizes, (count, height, width) = arrays["epsilon"], images.shape[:3]
    tall = (0.24 + 4.6 / (1 + len(sizes)) * height / width) * 2 * count
    figure, axes = style.figure(2 * count, 1 + len(sizes), height=0.9 + tall)
    for ax in axes.flat:
        _bare(ax)
    small = {"fontsize": 7.5, "labelpad": 2, "color": LIGHT["ink"]}
    for i in range(count):
        first, second = axes[2 * i], axes[2 * i + 1]
        clean = arrays["clean"][i]
        _picture(first[0], images[i])
        form = digits.form([clean], arrays["controlled"][:, i] - clean)
        first[0].set_xlabel(form(clean), **small)
        for k in range(len(sizes)):
            _picture(first[k + 1], moved[i, k])
            change = arrays["controlled"][k, i] - clean
            first[k + 1].set_xlabel(form(change, "+"), **small)
            factor = 0.5 / max(float(np.abs(noise[i, k]).max()), 1e-30)
            _picture(second[k + 1], 0.5 + factor * noise[i, k])
            second[k + 1].set_xlabel(f"x {factor:.2g}", **small)
    for ax, name in zip(axes[0], ("clean", *(f"{e:g}" for e in sizes)), strict=True):
        ax.set_title(name, fontsize=9, loc="center")
    style.headline(figure, "Images under controlled noise")
    figure.supxlabel(
        style.plain(
            f"Columns: size of the noise ({_size(arrays)}).\n"
            f"Below images: predicted {label} and its change.\n"
            "Second rows: noise times the factor below, around grey."
        ),
        fontsize=8.5,
        color=LIGHT["muted"],
    )
    return figure
