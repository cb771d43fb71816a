"""Grids: runs of a method that differ in one or two numeric config fields.

`find` detects them in a table, so a study of `objective.ssir.epsilon` and
`objective.ssir.lam`, or of any other fields, is reported from its runs alone.
Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dirjax.report.runs import finite
from dirjax.report.tables import Row, Spread, Table, varied_fields

# Names of fields that are unclear without their path.
_NAMES = {
    "groups.num": "number of groups",
    "data.bin_width": "width of label bins",
    "objective.terms.norm_order.weight": "beta",
    "stage.tune.objective.terms.norm_target.weight": "gamma",
}


class Point(NamedTuple):
    """Values of the grid's fields, in order, and the row of the table."""

    values: tuple[float, ...]
    row: Row


@dataclasses.dataclass(frozen=True)
class Grid:
    """Methods that vary the same fields.

    Attributes:
      fields: one or two config paths; the last has the most values.
      points: method -> its points, sorted by the values of the fields.
    """

    fields: tuple[str, ...]
    points: Mapping[str, tuple[Point, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Short names of the fields, or full paths if the short names coincide."""
        short = tuple(_NAMES.get(f, f.rsplit(".", 1)[-1]) for f in self.fields)
        return short if len(set(short)) == len(short) else self.fields

    def values(self, field: int) -> list[float]:
        """All values of a field, ascending."""
        return sorted({p.values[field] for ps in self.points.values() for p in ps})

    def has(self, metric: str) -> bool:
        """Whether any point has the metric."""
        rows = (point.row for points in self.points.values() for point in points)
        return any(row.values.get(metric, {}).get("all", Spread()).size for row in rows)


def _number(config: Any, field: str) -> float | None:
    for name in field.split("."):
        config = config.get(name) if isinstance(config, Mapping) else None
    return finite(config)


def _points(rows: Sequence[Row], fields: Sequence[str]) -> list[Point] | None:
    """The points of one method; None if they do not form a grid."""
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
    # Two fields that vary together span a line, not a grid.
    return None if len(fields) == 2 and max(sizes) == len(points) else points


def find(table: Table) -> list[Grid]:
    """The grids among the rows of a table.

    Args:
      table: rows of one data set.

    Returns:
      One grid per set of fields. Methods whose runs differ in no field, in more than
      two, or in one that is not a number, are in no grid.
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
    return [_ordered(fields, members) for fields, members in found.items()]


def _ordered(fields: tuple[str, ...], members: Mapping[str, list[Point]]) -> Grid:
    """The grid with its points sorted and the field with the most values last."""
    every = [point.values for points in members.values() for point in points]
    sizes = [len(set(column)) for column in zip(*every, strict=True)]
    order = sorted(range(len(fields)), key=lambda k: sizes[k])
    points = {
        method: tuple(
            sorted(
                (Point(tuple(p.values[k] for k in order), p.row) for p in points),
                key=lambda point: point.values,
            )
        )
        for method, points in members.items()
    }
    return Grid(tuple(fields[k] for k in order), points)


def metric_of(table: Table) -> str:
    """The error to plot: RMSE for depth, as in the literature, otherwise MAE."""
    return "rmse" if "delta1" in table.metrics else "mae"


def base_of(grid: Grid, table: Table, metric: str) -> Row | None:
    """The row of the base; None if it is a point of the grid or lacks the metric."""
    row = table.rows[0]
    inside = row.runs[0].method in grid.points
    known = table.base is not None and row.values[metric]["all"].size
    return row if known and not inside else None
