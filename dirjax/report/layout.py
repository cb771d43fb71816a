"""Tables laid out in blocks of cells, before they are written.

One method gives one block with a row for each metric; several methods give a block
for each metric, with a row for each method and below it the paired differences to
the base. A grid of one or two fields gives a block with a row for each point.
Published numbers stand below the row that they belong to. Deviations: none, this
module is dirjax's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dirjax.report import student
from dirjax.report.figures import grids, norms
from dirjax.report.runs import COLUMNS
from dirjax.report.tables import NAMES, Row, Spread, Table, lower_is_better, spread

EMPTY = "-"


class Cell(NamedTuple):
    """One cell: a mean, its spread or interval, and whether it is the column's best."""

    mean: str
    std: str = ""
    best: bool = False
    interval: str = ""


@dataclasses.dataclass(frozen=True)
class Block:
    """Cells to be written in a grid.

    Attributes:
      title: one line.
      header: names of the columns.
      rows: rows of cells, the first cell is the name of the row.
      rule: number of rows above the line between values and differences; 0 for no
        line.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    rule: int = 0


def metric_name(metric: str) -> str:
    """How a metric is written: `"mae" -> "MAE"`."""
    return NAMES.get(metric, metric)


def decimals(metric: str, largest: float) -> int:
    """How many decimals are shown: two for errors of tens and hundreds.

    Args:
      metric: its name; correlations and accuracies have three.
      largest: largest value of the column.
    """
    if not lower_is_better(metric) or not largest:
        return 3
    return sum(largest < limit for limit in (1e4, 1e3, 10, 1, 0.1))


def _shared_decimals(metric: str, spreads: Iterable[Spread]) -> int:
    means = (abs(s.mean) for s in spreads if s.mean is not None)
    return decimals(metric, max(means, default=0.0))


def _cell(value: Spread, decimals: int, best: bool = False) -> Cell:
    if value.mean is None:
        return Cell(EMPTY)
    std = "" if value.std is None else f"{value.std:.{decimals}f}"
    return Cell(f"{value.mean:.{decimals}f}", std, best)


def _difference(value: Spread, decimals: int) -> Cell:
    if value.mean is None:
        return Cell(EMPTY)
    ends = student.interval(*value)
    low_high = ", ".join(f"{end:+.{decimals}f}" for end in ends or ())
    return Cell(
        f"{value.mean:+.{decimals}f}", interval=f"[{low_high}]" if low_high else ""
    )


def _printed(
    row: Row, table: Table, metric: str, before: int
) -> list[tuple[Cell, ...]]:
    """Published rows beside `row`; `before` empty cells stand before the numbers."""
    rows = []
    for printed in table.published.get(row.method, ()):
        numbers = printed.values.get(metric, {})
        if numbers:
            cells = (Cell(numbers.get(shot, EMPTY)) for shot in COLUMNS)
            name = printed.name
            if not before:
                name = f"{metric_name(metric)}: {name}"
            rows.append((Cell(name), *[Cell(EMPTY)] * before, *cells))
    return rows


def _counts(row: Row) -> tuple[Cell, ...]:
    counts = [row.runs[0].value("count", shot) for shot in COLUMNS]
    return tuple(Cell(EMPTY if c is None else f"{c:.0f}") for c in counts)


def _seeds(row: Row) -> str:
    seeds = [run.seed for run in row.runs]
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"mean ± std over {len(seeds)} seeds"


def _one_method(table: Table) -> Block:
    row = table.rows[0]
    steps = {run.best_step for run in row.runs} - {None}
    at = f" at step {steps.pop()}" if len(steps) == 1 else ""
    rows = []
    for metric in table.metrics:
        values = [row.values[metric][shot] for shot in COLUMNS]
        if any(value.size for value in values):
            digits = _shared_decimals(metric, values)
            cells = (_cell(value, digits) for value in values)
            rows.append((Cell(metric_name(metric)), *cells))
            rows += _printed(row, table, metric, 0)
    rows.append((Cell("examples"), *_counts(row)))
    title = f"{table.dataset}, {row.method}, {_seeds(row)}: {row.runs[0].split} set{at}"
    return Block(title, ("", *COLUMNS), tuple(rows), rule=len(rows) - 1)


def _best(metric: str, column: Sequence[Spread], digits: int) -> list[bool]:
    """Which values of a column are its best, as they are written."""
    shown = [None if v.mean is None else round(v.mean, digits) for v in column]
    real = {value for value in shown if value is not None}
    choose = min if lower_is_better(metric) else max
    top = choose(real) if len(real) > 1 else None
    return [value is not None and value == top for value in shown]


def _one_metric(table: Table, metric: str) -> Block | None:
    values = [[row.values[metric][shot] for shot in COLUMNS] for row in table.rows]
    if not any(value.size for line in values for value in line):
        return None
    digits = _shared_decimals(metric, (value for line in values for value in line))
    columns = [_best(metric, column, digits) for column in zip(*values, strict=True)]
    rows = []
    for row, line, tops in zip(
        table.rows, values, zip(*columns, strict=True), strict=True
    ):
        cells = [_cell(v, digits, top) for v, top in zip(line, tops, strict=True)]
        rows.append((Cell(row.method), Cell(str(len(row.runs))), *cells))
        rows += _printed(row, table, metric, 1)
    rule = len(rows)
    for row in table.rows:
        gaps = [row.difference[metric][s] for s in COLUMNS] if row.difference else []
        if any(gap.size for gap in gaps):
            cells = [_difference(gap, digits) for gap in gaps]
            name = Cell(f"{row.method} minus {table.base}")
            rows.append((name, Cell(f"{row.pairs}"), *cells))
    better = "lower" if lower_is_better(metric) else "higher"
    what = f"{table.rows[0].runs[0].split} {metric_name(metric)}"
    title = f"{table.dataset}, {what}, {better} is better"
    header = (metric_name(metric), "seeds", *COLUMNS)
    return Block(title, header, tuple(rows), rule if rule < len(rows) else 0)


def _grid(table: Table, grid: grids.Grid, method: str) -> Block | None:
    """Fields and errors of each point, as papers print a parameter study."""
    points = grid.points[method]
    dense = "delta1" in table.metrics
    wanted = ("rmse", "delta1") if dense else ("mae", "gm")
    columns, header = [], []
    for metric in wanted:
        lines = [[p.row.values[metric][shot] for p in points] for shot in COLUMNS]
        if not any(value.size for line in lines for value in line):
            continue
        digits = _shared_decimals(metric, (v for line in lines for v in line))
        header += [f"{metric_name(metric)} {shot}" for shot in COLUMNS]
        for line in lines:
            tops = _best(metric, line, digits)
            cells = zip(line, tops, strict=True)
            columns.append(
                [_cell(Spread(v[0], None, v[2]), digits, t) for v, t in cells]
            )
    if not columns:
        return None
    rows = tuple(
        (
            *(Cell(f"{value:g}") for value in point.values),
            Cell(str(len(point.row.runs))),
            *cells,
        )
        for point, cells in zip(points, zip(*columns, strict=True), strict=True)
    )
    names = grid.names
    title = f"{table.dataset}, {method} by {' and '.join(names)}, mean over seeds"
    return Block(title, (*names, "seeds", *header), rows)


def _percent(value: Spread) -> Spread:
    mean, std = (None if part is None else 100 * part for part in value[:2])
    return Spread(mean, std, value.size)


def _accuracies(table: Table, grid: grids.Grid) -> Block:
    """Group accuracy in per cent: a row for each method, a column for each value."""
    metric, places = "group_accuracy", grid.values(0)
    lines = []
    for points in grid.points.values():
        found = {p.values[0]: _percent(p.row.values[metric]["all"]) for p in points}
        lines.append([found.get(value, Spread(None, None, 0)) for value in places])
    columns = [_best(metric, column, 1) for column in zip(*lines, strict=True)]
    rows = tuple(
        (Cell(method), *(_cell(v, 1, top) for v, top in zip(line, tops, strict=True)))
        for method, line, tops in zip(
            grid.points, lines, zip(*columns, strict=True), strict=True
        )
    )
    what = f"{table.rows[0].runs[0].split} {metric_name(metric)} in %"
    title = f"{table.dataset}, {what} by {grid.names[0]}, higher is better"
    return Block(title, (grid.names[0], *(f"{value:g}" for value in places)), rows)


def _orders(table: Table) -> Block | None:
    """Rank correlation of feature norm and label, of runs that stored norms."""
    found = norms.orders({row.method: row.runs for row in table.rows})
    rows = tuple(
        (
            Cell(f"{method}, {split}"),
            Cell(str(len(columns[0]))),
            *(_cell(spread(column), 3) for column in columns),
        )
        for (method, split), columns in found.items()
    )
    title = f"{table.dataset}, order of feature norms by label bin"
    return Block(title, ("Spearman", "seeds", *COLUMNS), rows) if rows else None


def blocks(table: Table) -> list[Block]:
    """Lays a table out.

    Args:
      table: one data set.

    Returns:
      One block with metrics as rows for a single method; else one block for each
      metric with methods as rows, and one for each method of a grid. Metrics that no
      run has are left out. Last, if runs stored norms, how these are ordered.
    """
    if len(table.rows) == 1:
        laid = [_one_method(table), _orders(table)]
        return [block for block in laid if block is not None]
    laid = [_one_metric(table, metric) for metric in table.metrics]
    for grid in grids.find(table):
        laid += [_grid(table, grid, method) for method in grid.points]
        if len(grid.fields) == 1 and grids.has(grid, "group_accuracy"):
            laid.append(_accuracies(table, grid))
    laid.append(_orders(table))
    return [block for block in laid if block is not None]


def footnote(table: Table) -> str:
    """What the numbers are, in a few sentences; empty for most single runs."""
    text = ""
    if len(table.rows) > 1:
        text = "Values are mean ± sample standard deviation over seeds."
        counts = [cell.mean for cell in _counts(table.rows[0])]
        if counts[0] != EMPTY:
            named = ", ".join(f"{c} {s}" for c, s in zip(counts, COLUMNS, strict=True))
            text += f" Test examples: {named}."
    if any(row.difference is not None for row in table.rows):
        text += (
            f" Rows with 'minus {table.base}' are differences paired by seed, over the"
            " seeds counted in the second column; a negative one is a smaller error."
            " In brackets: 95 % interval of the mean difference by Student's t, not "
            "corrected for the number of comparisons; one pair has none."
        )
    oracle = (row.values.get("oracle_mae", {}).get("all") for row in table.rows)
    if any(value and value.size for value in oracle):
        text += (
            " The oracle is the expert of the true group, which is not known in use: a "
            "diagnostic."
        )
    sources = {p.source for rows in table.published.values() for p in rows}
    if sources:
        text += (
            " Rows with 'published' are copied, mostly single runs; training and "
            f"selection may differ from ours. Sources: {'; '.join(sorted(sources))}."
        )
    return " ".join([text, *table.notes]).strip()
