"""Figures of grids (see `report.grids`): a metric against one field.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax.report.figures import style
from dirjax.report.figures.style import DASHED, LIGHT, SERIES, Drawn
from dirjax.report.grids import Grid, Point, base_of, metric_of
from dirjax.report.runs import COLUMNS, TrainBins
from dirjax.report.tables import NAMES, Row, Table, lower_is_better


def _tick(value: float) -> str:
    """A number in its shorter form, 0.0005 or 5e-4."""
    plain = f"{value:g}"
    mantissa, _, exponent = f"{value:e}".partition("e")
    short = f"{float(mantissa):g}e{int(exponent)}"
    return short if len(short) < len(plain) else plain


def _x_axis(ax: Any, values: Sequence[float]) -> None:
    """Sets ticks at the values of the grid, without those whose labels would touch."""
    log = min(values) > 0 and max(values) > 10 * min(values)
    if log:
        ax.set_xscale("log")
    places = np.log(values) if log else np.asarray(values)
    names = [_tick(value) for value in values]
    whole = float(places[-1] - places[0])
    shown = [len(values) - 1]
    for k in reversed(range(len(values) - 1)):
        letters = max(len(names[k]), len(names[shown[-1]]))
        # Share of the panel's width that a label takes.
        if places[shown[-1]] - places[k] >= whole * (0.02 + 0.033 * letters):
            shown.append(k)
    shown.sort()
    ax.set_xticks([values[k] for k in shown], [names[k] for k in shown])
    ax.tick_params(axis="x", labelsize=8.5)
    ax.minorticks_off()


class _Line(NamedTuple):
    """Points along the last field, under a common name."""

    name: str
    points: tuple[Point, ...]


def _lines(grid: Grid, method: str) -> list[_Line]:
    """One line per value of the first of two fields."""
    lines = []
    for value in grid.values(0)[: len(SERIES)]:
        points = tuple(p for p in grid.points[method] if p.values[0] == value)
        lines.append(_Line(f"{grid.names[0]} = {value:g}", points))
    return lines


def _panels(grid: Grid) -> list[tuple[str, str, list[_Line]]]:
    """Title, shot and lines of each panel, for two panels per row."""
    methods = list(grid.points)[: len(SERIES)]
    if len(grid.fields) == 1:
        lines = [_Line(method, grid.points[method]) for method in methods]
        return [(shot, shot, lines) for shot in COLUMNS]
    if len(methods) == 1:
        return [(shot, shot, _lines(grid, methods[0])) for shot in COLUMNS]
    return [
        (f"{method}, {shot}", shot, _lines(grid, method))
        for method in methods
        for shot in ("all", "few")
    ]


def _draw_line(ax: Any, line: _Line, metric: str, shot: str, shift: float, k: int):
    spreads = [(p.values[-1], p.row.values[metric][shot]) for p in line.points]
    real = [(x, s.mean, s.std or 0.0) for x, s in spreads if s.mean is not None]
    if real:
        x, mean, std = (np.asarray(column) for column in zip(*real, strict=True))
        x = x * np.exp(shift) if ax.get_xscale() == "log" else x + shift
        thin = {"linewidth": 1.4, "elinewidth": 0.9, "capsize": 2}
        ax.errorbar(x, mean, yerr=std if std.any() else None, **style.look(k, 4) | thin)


def _panel(
    ax: Any, x: Sequence[float], lines: Sequence[_Line], metric: str, shot: str
) -> None:
    _x_axis(ax, x)
    width = np.log(x[-1] / x[0]) if ax.get_xscale() == "log" else x[-1] - x[0]
    for k, line in enumerate(lines):
        # Shifted sideways, so that whiskers do not overlap.
        shift = 0.012 * width * (k - (len(lines) - 1) / 2)
        _draw_line(ax, line, metric, shot, shift, k)


def _base_line(ax: Any, base: Row, metric: str, shot: str) -> None:
    value = base.values[metric][shot]
    if value.mean is not None:
        ax.axhline(value.mean, **DASHED)
        if value.std:
            ends = value.mean - value.std, value.mean + value.std
            look = {"color": LIGHT["back"], "alpha": 0.5, "linewidth": 0}
            ax.axhspan(*ends, zorder=0, **look)


def _keys(lines: Sequence[_Line], base: Row | None) -> dict[str, Any]:
    """Names and handles of the legend; a single line has no entry."""
    from matplotlib.lines import Line2D

    keys = {}
    for k, line in enumerate(lines if len(lines) > 1 else ()):
        keys[style.plain(line.name)] = Line2D([], [], **style.look(k, 4))
    if base is not None:
        keys[style.plain(base.method)] = Line2D([], [], **DASHED)
    return keys


def _split(table: Table) -> str:
    """The split of the errors, as a sentence begins with it."""
    return "Validation" if table.split == "val" else "Test"


@style.styled
def draw(grid: Grid, table: Table, metric: str, bins: TrainBins | None = None) -> Any:
    """A metric against a field, with a line per method or per value of the other field.

    Grids over one field or of one method have a panel for each shot group; several
    methods over two fields have a row each, with panels for all and few.

    Args:
      grid: a grid of `table`.
      table: table with the base, which is drawn as a horizontal line.
      metric: the metric to draw, such as `metric_of(table)`.
      bins: label bins, which give the unit of errors.
    """
    base, panels = base_of(grid, table, metric), _panels(grid)
    keys = _keys(panels[0][2], base)
    longest = max(map(len, keys), default=0)
    across = 4 if longest < 12 else 3 if longest < 19 else 2
    rows = len(panels) // 2
    height = 0.7 + 1.85 * rows + 0.2 * -(-len(keys) // across)
    figure, axes = style.figure(rows, 2, height=height, sharex=True)
    for ax, (title, shot, lines) in zip(axes.flat, panels, strict=True):
        _panel(ax, grid.values(-1), lines, metric, shot)
        if base is not None:
            _base_line(ax, base, metric, shot)
        ax.set_title(style.wrapped(title), fontsize=9.5)
        ax.locator_params(axis="y", nbins=5)
    for ax in axes[-1]:
        ax.set_xlabel(style.plain(grid.names[-1]))
    has_unit = bins is not None and metric in ("mae", "rmse")
    for ax in axes[:, 0]:
        ax.set_ylabel(
            style.error_axis(bins, NAMES[metric]) if has_unit else NAMES[metric]
        )
    what = "error" if lower_is_better(metric) else NAMES[metric]
    alone = f": {next(iter(grid.points))}" if len(grid.points) == 1 else ""
    style.headline(figure, f"{_split(table)} {what} against {grid.names[-1]}{alone}")
    if keys:
        below = {"loc": "outside lower center", "ncols": across}
        figure.legend(list(keys.values()), list(keys), **below)
    return figure


def figures(table: Table, found: Sequence[Grid], bins: Any) -> Iterator[Drawn]:
    """The figures of the grids of a table.

    Args:
      table: table with the base.
      found: the grids of the table.
      bins: label bins, which give the unit of errors, or None.

    Yields:
      Figures for each grid, numbered if there are several grids.
    """
    for k, grid in enumerate(found):
        for metric, kind in ((metric_of(table), ""), ("group_accuracy", "_groups")):
            if not grid.has(metric):
                continue
            base, methods = base_of(grid, table, metric), list(grid.points)
            said = ["Points: mean over seeds. Whiskers: one sample standard deviation."]
            if base is not None:
                said.append(
                    f"Dashed line and band: {base.method}, which has no such field."
                )
            if len(grid.fields) == 2 and len(grid.values(0)) > len(SERIES):
                said.append(
                    f"Only the first {len(SERIES)} values of {grid.names[0]} are shown."
                )
            if len(methods) > len(SERIES):
                said.append(
                    f"Only the first {len(SERIES)} of {len(methods)} methods are shown."
                )
            yield Drawn(
                draw(grid, table, metric, bins),
                f"grid{kind}" + (f"_{k + 1}" if len(found) > 1 else ""),
                " ".join(said),
                f"{_split(table)} {NAMES[metric]} of {', '.join(methods)} against "
                f"{' and '.join(reversed(grid.names))}.",
            )
