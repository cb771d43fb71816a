"""Drawing for the report: colours, style, shared axes and marks, SVG and PNG.

A drawing function takes arrays and returns a matplotlib figure; matplotlib is imported
on the first call. Figures are drawn once, in the colours of the light page. `svg`
replaces each colour by a CSS variable, so that the page can recolour it in dark mode;
`png` keeps the light colours on white. Marks differ in shape or line style as well
as in colour. Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import functools
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax import digits
from dirjax.labels import SHOTS
from dirjax.report.runs import TrainBins, TrainGroups

COLOURS = {
    "ink": ("#1f2933", "#e8eaed"),
    "muted": ("#5b6772", "#a9b3bd"),
    "grid": ("#e1e5ea", "#363d45"),
    "back": ("#dbe1e7", "#39414a"),
    "many": ("#1b6ca8", "#6db3f2"),
    "median": ("#c07f00", "#f0bd4f"),
    "few": ("#b3325f", "#f58ab0"),
    "gain": ("#12806a", "#52cdb0"),
    "loss": ("#c4501b", "#f59a6c"),
    "s0": ("#3566c9", "#8ab0ff"),
    "s1": ("#b0651a", "#eba45f"),
    "s2": ("#1d8a63", "#5fd0a4"),
    "s3": ("#8d4bb8", "#cfa0f0"),
    "s4": ("#70701a", "#cfcf63"),
    "s5": ("#c23b4b", "#ff8f99"),
}
LIGHT = {name: pair[0] for name, pair in COLOURS.items()}
SERIES = tuple(LIGHT[f"s{k}"] for k in range(6))
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), "--", ":")
MARKERS = ("o", "s", "^", "D", "v", "P")
# Style of reference lines.
DASHED: dict[str, Any] = {
    "color": LIGHT["ink"],
    "linewidth": 1.0,
    "linestyle": (0, (4, 2)),
}
_STYLE: dict[Any, Any] = {
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": LIGHT["ink"],
    "axes.labelcolor": LIGHT["ink"],
    "axes.edgecolor": LIGHT["muted"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.8,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.labelcolor": LIGHT["ink"],
    "ytick.labelcolor": LIGHT["ink"],
    "text.color": LIGHT["ink"],
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.4,
    "lines.linewidth": 1.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "dirjax",
}
_WIDTH = 5.0


class Drawn(NamedTuple):
    """A figure of the report.

    Attributes:
      figure: a matplotlib figure.
      name: name of the PNG file, without extension.
      caption: one or two sentences below the figure.
      alt: text for screen readers.
    """

    figure: Any
    name: str
    caption: str
    alt: str


def styled(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a drawing function to use the style of the report."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs):
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return wrapper


def figure(rows: int = 1, columns: int = 1, *, height: float = 3.5, **kwargs):
    """A figure of the page's width, with the height in inches, and its grid of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **kwargs)
    numbers(*axes.flat)
    return figure, axes


def panels(names: Sequence[str], alone: float, tall: float, **kwargs):
    """A figure with a panel for each name, two per row, or a single panel.

    Args:
      names: titles of the panels.
      alone: height of the figure with a single panel, in inches.
      tall: height of a row of panels in inches, for titles of one line.
      **kwargs: passed to `subplots`.

    Returns:
      The figure, its grid of axes, and the axes in use by name.
    """
    columns = 2 if len(names) > 1 else 1
    rows = max(math.ceil(len(names) / columns), 1)
    lines = max((wrapped(name).count("\n") for name in names), default=0)
    height = alone if columns == 1 else 0.9 + (tall + 0.15 * lines) * rows
    made, axes = figure(rows, columns, height=height, **kwargs)
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    return made, axes, dict(zip(names, axes.flat, strict=False))


def rows(names: Iterable[str], head: float, tall: float, **kwargs):
    """A figure with one column of panels; returns the figure and its axes.

    Args:
      names: titles of the panels.
      head: height of everything but the panels, in inches.
      tall: height of a panel, in inches.
      **kwargs: passed to `subplots`.
    """
    names = list(names)
    height = head + tall * len(names)
    made, axes = figure(len(names), height=height, sharex=True, **kwargs)
    for ax, name in zip(axes[:, 0], names, strict=True):
        ax.set_title(plain(name), fontsize=10)
    return made, axes[:, 0]


def legend(figure, axes: Any, columns: int | None = None) -> None:
    """Adds a legend for one or several axes below the figure, and makes room for it."""
    handles, names = [], []
    for ax in axes if isinstance(axes, list) else [axes]:
        more = ax.get_legend_handles_labels()
        handles, names = handles + more[0], names + more[1]
    if not handles:
        return
    longest = max(map(len, names))
    columns = columns or (3 if longest < 16 else 2 if longest < 26 else 1)
    rows = -(-len(handles) // columns)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.2 * (rows - 1))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def headline(figure, text: str) -> None:
    """The title of a figure with several axes."""
    style = {"fontsize": 11, "fontweight": "bold", "color": LIGHT["ink"]}
    figure.suptitle(plain(text), x=0.01, ha="left", **style)


def plain(text: str) -> str:
    """Escapes text so that matplotlib does not parse it as a formula."""
    return text.replace("$", r"\$")


def wrapped(name: str) -> str:
    """Wraps a long name at about 20 characters, after `_` or a comma."""
    lines = [""]
    for part in re.findall(r"[^_, ]*[_, ]*", name):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > 20:
            lines.append("")
        lines[-1] += part
    return plain("\n".join(lines))


def label_axis(bins: TrainBins | None) -> str:
    """Text of the label axis, with the unit."""
    if bins is None:
        return "label"
    return plain(f"{bins.label} ({bins.unit})" if bins.unit else bins.label)


def error_axis(bins: TrainBins | None, what: str = "test MAE") -> str:
    """Text of an error axis, in the unit of the label."""
    unit = "label units" if bins is None else bins.unit or bins.label
    return plain(f"{what} ({unit})")


def use_log(count: np.ndarray) -> bool:
    """Whether positive counts span more than a factor of 50 and need a log axis."""
    real = count[count > 0]
    return bool(len(real)) and real.max() > 50 * real.min()


def numbers(*axes: Any) -> None:
    """Writes the tick labels of axes as the tables write numbers.

    On a horizontal axis, labels that would touch are left out, every second or third.
    """
    from matplotlib.ticker import Formatter

    class Ticks(Formatter):
        def __call__(self, x, pos=None):
            del pos
            return digits.plain(x)

        def format_ticks(self, values):
            axis: Any = self.axis
            if axis.get_scale() == "log":
                return [digits.plain(value) for value in values]
            names = digits.ticks(values)
            if axis.axis_name == "x" and names:
                wide = axis.axes.get_window_extent().width / axis.axes.figure.dpi
                every = math.ceil(len(names) * 0.09 * len(max(names, key=len)) / wide)
                # Those at multiples of the wider step, so that 0 is among them.
                first = values[0] / (values[1] - values[0]) if every > 1 else 0
                shift = round(first)
                names = ["" if (k + shift) % every else n for k, n in enumerate(names)]
            return names

    for ax in axes:
        ax.xaxis.set_major_formatter(Ticks())
        ax.yaxis.set_major_formatter(Ticks())


def count_axis(ax, bins: TrainBins | TrainGroups) -> float:
    """Scales a count axis; returns the baseline of bars."""
    if not use_log(bins.count):
        ax.set_ylim(0, 1.06 * max(bins.count.max(), 1))
        return 0.0
    ax.set_yscale("log")
    ax.set_ylim(0.7, 1.6 * bins.count.max())
    numbers(ax)
    return 0.7


def log_axis(ax) -> None:
    """Makes the y axis logarithmic, with ticks at 1, 2 and 5 of each decade.

    Call it after drawing the data. Above a range of 200, only powers of 10 have ticks.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_yscale("log")
    low, high = ax.get_ylim()
    subs = (1.0, 2.0, 5.0) if high < 200 * low else (1.0,)
    ax.yaxis.set_major_locator(LogLocator(subs=subs))
    numbers(ax)
    ax.yaxis.set_minor_formatter(NullFormatter())


def epoch_axis(ax, logs: Iterable[Sequence[Mapping[str, Any]]]) -> None:
    """The same axis of epochs for all curves of these logs."""
    ax.set_xlabel("epoch")
    last = max((entry["epoch"] for log in logs for entry in log[-1:]), default=0)
    ax.set_xlim(0, last or 1)


def above_counts(bins: TrainBins, height: float):
    """A figure with training counts behind one axis, and a low one below it."""
    made, axes = figure(2, height=height, sharex=True, height_ratios=(3.2, 1.0))
    behind(axes[0, 0], bins)
    return made, axes[:, 0]


def half_interval(
    error: np.ndarray, count: np.ndarray, squares: np.ndarray | None
) -> np.ndarray:
    """Half the 95 % interval of the mean error in bins, over their test rows.

    Args:
      error: `[num]` mean errors.
      count: `[num]` rows.
      squares: `[num]` sums of squared errors; None if they are unknown.

    Returns:
      `[num]`, NaN for fewer than two rows: 1.96 standard errors.
    """
    if squares is None:
        return np.full(len(count), np.nan)
    deviation = np.maximum(squares - count * error**2, 0.0)
    freedom = np.where(count > 1, count - 1, np.nan)
    return 1.96 * np.sqrt(deviation / freedom / np.maximum(count, 1.0))


def counts(ax, edges: np.ndarray, count: np.ndarray, text: str) -> None:
    """Draws the numbers of test rows in bins, below the errors of these bins."""
    stairs(ax, count.astype(float), edges, 0.0, color=LIGHT["muted"])
    ax.set_ylim(0, 1.1 * max(count.max(initial=0), 1))
    ax.locator_params(axis="y", nbins=3, integer=True)
    ax.set_ylabel("test rows")
    ax.set_xlabel(text)


def stairs(ax, values: np.ndarray, edges: np.ndarray, base: float, **kwargs) -> None:
    """Filled steps; bins at or below `base` are not drawn."""
    shown = np.where(values > base, values, np.nan)
    ax.stairs(shown, edges, baseline=base, fill=True, linewidth=0, **kwargs)


def shot_stairs(ax, values: np.ndarray, bins: TrainBins) -> None:
    """Filled steps of `[num]` values from 0, in the colours of the shot groups."""
    for code, shot in enumerate(SHOTS):
        here = np.where(bins.shot == code, values, 0.0)
        stairs(ax, here, bins.edges, 0.0, color=LIGHT[shot], label=shot)
    ax.set_xlim(bins.edges[0], bins.edges[-1])
    ax.set_ylim(bottom=0)
    ax.locator_params(axis="y", nbins=5)


def behind(ax, bins: TrainBins | TrainGroups, what: str = "bin") -> None:
    """Draws the training counts in grey behind `ax`, with an axis on the right."""
    behind = ax.twinx()
    numbers(behind)
    base = count_axis(behind, bins)
    stairs(behind, bins.count.astype(float), bins.edges, base, color=LIGHT["back"])
    behind.grid(False)
    behind.spines["right"].set_visible(True)
    behind.set_ylabel(f"training examples per {what}", color=LIGHT["muted"])
    behind.tick_params(axis="y", labelcolor=LIGHT["muted"])
    ax.set_zorder(behind.get_zorder() + 1)
    ax.patch.set_visible(False)
    ax.set_xlim(bins.edges[0], bins.edges[-1])


def look(k: int, markersize: float | None = None) -> dict[str, Any]:
    """Colour and dash of the k-th method, and its mark if `markersize` is given."""
    line = {"color": SERIES[k], "linestyle": DASHES[k]}
    return line | (
        {"marker": MARKERS[k], "markersize": markersize} if markersize else {}
    )


def whiskers(ax, x, y, std, *, axis: str = "y", **kwargs) -> None:
    """Error bars of one sample standard deviation on each side of the means."""
    look = {"fmt": "none", "ecolor": LIGHT["ink"], "elinewidth": 1.1, "capsize": 2.5}
    ax.errorbar(x, y, **{f"{axis}err": std}, **look | kwargs)


def series(log: Iterable[Mapping[str, Any]], name: str, clock: str = "step"):
    """Steps (or epochs) and values of one metric, averaged in blocks if over 300."""
    found = [(e[clock], e[name]) for e in log if name in e]
    numbers = [(s, np.nan if v is None else float(v)) for s, v in found]
    array = np.asarray(numbers, np.float64).reshape(-1, 2)
    if len(array) > 300:
        blocks = np.array_split(array, 300)
        array = np.asarray([block.mean(axis=0) for block in blocks])
    return array[:, 0], array[:, 1]


def over_seeds(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and range of several curves.

    Args:
      curves: x and values of each curve.

    Returns:
      x in ascending order, and the mean, smallest and largest value at each x.

    Example:
      >>> one, other = np.array([[0.0, 1.0], [4.0, 5.0]]), np.array([[1.0], [7.0]])
      >>> [part.tolist() for part in over_seeds([tuple(one), tuple(other)])]
      [[0.0, 1.0], [4.0, 6.0], [4.0, 5.0], [4.0, 7.0]]
    """
    at: dict[float, list[float]] = {}
    for curve in curves:
        for x, value in zip(*curve, strict=True):
            at.setdefault(float(x), []).append(float(value))
    places = sorted(at)
    mean, low, high = (
        np.asarray([of(at[x]) for x in places]) for of in (np.mean, min, max)
    )
    return np.asarray(places), mean, low, high


def band(ax, curves, look: Mapping[str, Any], name: str, alpha: float) -> None:
    """Draws the mean of several curves as a line and their range as a band."""
    x, mean, low, high = over_seeds(curves)
    if len(x):
        ax.fill_between(x, low, high, color=look["color"], alpha=alpha, linewidth=0)
        ax.plot(x, mean, label=plain(name), **look)


@styled
def svg(figure: Any, name: str, alt: str) -> str:
    """The figure as SVG for a page that defines `--<colour>` variables.

    Args:
      figure: as returned by a drawing function.
      name: prefix of all ids; unique on the page.
      alt: text for screen readers.

    Returns:
      One `<svg>` element without width and height.
    """
    from xml.sax.saxutils import quoteattr

    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    figure.set_layout_engine("none")  # The layout is final: drawing again is cheap.
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, (light, _) in COLOURS.items():
        text = text.replace(light, f"var(--{colour})")
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None, "matplotlib writes a viewBox"
    head = f'<svg {box.group()} role="img" aria-label={quoteattr(alt)}>'
    return head + text[text.index(">") + 1 :]


@styled
def png(figure: Any) -> bytes:
    """The figure as PNG, in light colours on white, 900 pixels wide."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=180, facecolor="white")
    return out.getvalue()
