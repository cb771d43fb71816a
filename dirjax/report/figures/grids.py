"""Grids: runs of a method that differ in one or two numeric fields of the config.

`find` sees them in a table, so a study of `objective.ssir.epsilon` and
`objective.ssir.lam`, or of any other fields, needs nothing but its runs. Deviations:
none, this module is dirjax's own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax.report.figures import style as style_lib
from dirjax.report.figures.style import DASHES, LIGHT, MARKERS, SERIES
from dirjax.report.runs import COLUMNS, TrainBins
from dirjax.report.tables import (
    NAMES,
    Row,
    Spread,
    Table,
    lower_is_better,
    varied_fields,
)

# Fields whose last word alone says nothing.
_SAID = {
    "groups.num": "number of groups",
    "data.bin_width": "width of label bins",
    "objective.terms.norm_order.weight": "beta",
    "stage.tune.objective.terms.norm_target.weight": "gamma",
}
_NONE = Spread(None, None, 0)


class Point(NamedTuple):
    """Values of the fields, in their order, and the row of the table."""

    values: tuple[float, ...]
    row: Row


@dataclasses.dataclass(frozen=True)
class Grid:
    """Methods over the same fields.

    Attributes:
      fields: one or two paths; the last has the most values.
      points: method -> its points, rising by the fields.
    """

    fields: tuple[str, ...]
    points: Mapping[str, tuple[Point, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """The fields without the path, where that tells them apart."""
        short = tuple(_SAID.get(f, f.rsplit(".", 1)[-1]) for f in self.fields)
        return short if len(set(short)) == len(short) else self.fields

    def values(self, field: int) -> list[float]:
        """All values of a field, rising."""
        return sorted({p.values[field] for ps in self.points.values() for p in ps})


def _number(config: Any, field: str) -> float | None:
    for name in field.split("."):
        config = config.get(name) if isinstance(config, Mapping) else None
    real = isinstance(config, (int, float)) and not isinstance(config, bool)
    return float(config) if real and math.isfinite(config) else None


def _points(rows: Sequence[Row], fields: Sequence[str]) -> list[Point] | None:
    points = []
    for row in rows:
        values = [_number(row.runs[0].config, field) for field in fields]
        real = tuple(value for value in values if value is not None)
        if len(real) < len(values):
            return None
        points.append(Point(real, row))
    sizes = [
        len(set(column)) for column in zip(*(p.values for p in points), strict=True)
    ]
    # Two fields that move together are one knob, and no grid.
    if len(fields) == 2 and max(sizes) == len(points):
        return None
    return points


def find(table: Table) -> list[Grid]:
    """The grids among the rows of a table.

    Args:
      table: rows of one data set.

    Returns:
      One grid for each set of fields; methods whose runs differ in no field, in
      more than two, or in one that is no number, are in none.
    """
    methods: dict[str, list[Row]] = {}
    for row in table.rows:
        methods.setdefault(row.runs[0].method, []).append(row)
    found: dict[tuple[str, ...], dict[str, list[Point]]] = {}
    for method, rows in methods.items():
        fields = tuple(varied_fields([run for row in rows for run in row.runs]))
        if len(rows) < 2 or not 1 <= len(fields) <= 2:
            continue
        points = _points(rows, fields)
        if points is not None:
            found.setdefault(fields, {})[method] = points
    grids = []
    for fields, members in found.items():
        every = [point.values for points in members.values() for point in points]
        sizes = [len(set(column)) for column in zip(*every, strict=True)]
        order = sorted(range(len(fields)), key=lambda k: sizes[k])
        ordered = {
            method: tuple(
                sorted(
                    (Point(tuple(p.values[k] for k in order), p.row) for p in points),
                    key=lambda point: point.values,
                )
            )
            for method, points in members.items()
        }
        grids.append(Grid(tuple(fields[k] for k in order), ordered))
    return grids


def _spans_decades(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) > 10 * min(values)


def _tick(value: float) -> str:
    """The shorter of 0.0005 and 5e-4."""
    plain = f"{value:g}"
    mantissa, _, exponent = f"{value:e}".partition("e")
    short = f"{float(mantissa):g}e{int(exponent)}"
    return short if len(short) < len(plain) else plain


def _x_axis(ax: Any, values: Sequence[float]) -> None:
    """Ticks at the values of the grid, as far as they do not touch."""
    log = _spans_decades(values)
    if log:
        ax.set_xscale("log")
    places = np.log(values) if log else np.asarray(values)
    names = [_tick(value) for value in values]
    whole = float(places[-1] - places[0])
    shown: list[int] = []
    for k in reversed(range(len(values))):
        letters = max(len(names[k]), len(names[shown[-1]])) if shown else 0
        # The part of a panel that a name takes.
        if not shown or places[shown[-1]] - places[k] >= whole * (
            0.02 + 0.033 * letters
        ):
            shown.append(k)
    shown.sort()
    ax.set_xticks([values[k] for k in shown], [names[k] for k in shown])
    ax.tick_params(axis="x", labelsize=8.5)
    ax.minorticks_off()


def _line(
    ax: Any, points: Sequence[Point], metric: str, shot: str, shift: float, k: int
) -> bool:
    """One line over the last field; returns whether there was anything to draw."""
    spreads = [(p.values[-1], p.row.values[metric][shot]) for p in points]
    real = [(x, s.mean, s.std or 0.0) for x, s in spreads if s.mean is not None]
    if not real:
        return False
    x, mean, std = (np.asarray(column) for column in zip(*real, strict=True))
    ax.errorbar(
        x * np.exp(shift) if ax.get_xscale() == "log" else x + shift,
        mean,
        yerr=std if std.any() else None,
        color=SERIES[k],
        linestyle=DASHES[k],
        marker=MARKERS[k],
        markersize=4,
        linewidth=1.4,
        elinewidth=0.9,
        capsize=2,
    )
    return True


class _Line(NamedTuple):
    """Points over the last field, and what they have in common."""

    name: str
    points: tuple[Point, ...]


def _lines(grid: Grid, method: str) -> list[_Line]:
    """A line for each value of the first of two fields."""
    return [
        _Line(
            f"{grid.names[0]} = {value:g}",
            tuple(p for p in grid.points[method] if p.values[0] == value),
        )
        for value in grid.values(0)[: len(SERIES)]
    ]


def _panels(grid: Grid) -> list[tuple[str, str, list[_Line]]]:
    """Title, shot and lines of each panel, two in a row."""
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


def _panel(
    ax: Any,
    grid: Grid,
    lines: Sequence[_Line],
    metric: str,
    shot: str,
    base: Row | None,
) -> None:
    x = grid.values(-1)
    _x_axis(ax, x)
    width = np.log(x[-1] / x[0]) if ax.get_xscale() == "log" else x[-1] - x[0]
    for k, line in enumerate(lines):
        # Beside each other, so that the whiskers of one do not hide another's.
        shift = 0.012 * width * (k - (len(lines) - 1) / 2)
        _line(ax, line.points, metric, shot, shift, k)
    if base is not None and (value := base.values[metric][shot]).mean is not None:
        style = {"color": LIGHT["ink"], "linewidth": 1.0}
        ax.axhline(value.mean, linestyle=(0, (4, 2)), **style)
        if value.std:
            low, high = value.mean - value.std, value.mean + value.std
            ax.axhspan(low, high, color=LIGHT["back"], alpha=0.5, linewidth=0, zorder=0)


def _keys(lines: Sequence[_Line], base: Row | None) -> tuple[list[Any], list[str]]:
    """Handles and names of the legend; one line alone needs none."""
    from matplotlib.lines import Line2D

    handles, names = [], []
    for k, line in enumerate(lines if len(lines) > 1 else ()):
        look = {"linestyle": DASHES[k], "marker": MARKERS[k], "markersize": 4}
        handles.append(Line2D([], [], color=SERIES[k], **look))
        names.append(style_lib.plain(line.name))
    if base is not None:
        style = {"color": LIGHT["ink"], "linewidth": 1.0, "linestyle": (0, (4, 2))}
        handles.append(Line2D([], [], **style))
        names.append(style_lib.plain(base.method))
    return handles, names


def metric_of(table: Table) -> str:
    """The error that is drawn: RMSE for depth, as in papers, else MAE."""
    return "rmse" if "delta1" in table.metrics else "mae"


def has(grid: Grid, metric: str) -> bool:
    """Whether any point has the metric."""
    rows = (point.row for points in grid.points.values() for point in points)
    return any(row.values.get(metric, {}).get("all", _NONE).size for row in rows)


def base_of(grid: Grid, table: Table, metric: str) -> Row | None:
    """The base's row, unless it is a point of the grid or lacks the metric."""
    row = table.rows[0]
    inside = row.runs[0].method in grid.points
    known = table.base is not None and row.values[metric]["all"].size
    return row if known and not inside else None


@style_lib.styled
def draw(grid: Grid, table: Table, metric: str, bins: TrainBins | None = None) -> Any:
    """A metric against a field: a line for each method, or value of the other field.

    Over one field, and for one method, there is a panel for each shot group; several
    methods over two fields have a row each, with the panels all and few.

    Args:
      grid: as found in `table`.
      table: has the base, a horizontal line.
      metric: what is drawn, such as `metric_of(table)`.
      bins: names the unit of an error.
    """
    base, panels = base_of(grid, table, metric), _panels(grid)
    handles, names = _keys(panels[0][2], base)
    longest = max(map(len, names), default=0)
    across = 4 if longest < 12 else 3 if longest < 19 else 2
    below = -(-len(names) // across)
    rows = len(panels) // 2
    figure, axes = style_lib.figure(
        rows, 2, height=0.7 + 1.85 * rows + 0.2 * below, sharex=True
    )
    what = NAMES[metric]
    if bins is not None and metric in ("mae", "rmse"):
        what = style_lib.error_axis(bins, what)
    for ax, (title, shot, lines) in zip(axes.flat, panels, strict=True):
        _panel(ax, grid, lines, metric, shot, base)
        ax.set_title(style_lib.wrapped(title), fontsize=9.5)
        ax.locator_params(axis="y", nbins=5)
    for ax in axes[-1]:
        ax.set_xlabel(style_lib.plain(grid.names[-1]))
    for ax in axes[:, 0]:
        ax.set_ylabel(what)
    split = "Validation" if table.rows[0].runs[0].split == "val" else "Test"
    said = "error" if lower_is_better(metric) else NAMES[metric]
    alone = f": {next(iter(grid.points))}" if len(grid.points) == 1 else ""
    style_lib.headline(figure, f"{split} {said} against {grid.names[-1]}{alone}")
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=across)
    return figure
