"""Tables as text, CSV, Markdown and LaTeX, from one layout of blocks.

A single method gives one block with a row per metric. Several methods give one block
per metric, with a row per method, followed by the paired differences from the base. A
grid of one or two fields gives a block with a row per point. Published rows follow the
row that they belong to. Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dirjax.report import grids, norm_order
from dirjax.report.runs import COLUMNS
from dirjax.report.tables import (
    Row,
    Spread,
    Table,
    decimals,
    lower_is_better,
    metric_name,
    spread,
)

EMPTY = "-"
CSV_COLUMNS = (
    *("dataset", "method", "seeds", "metric", "shot", "mean", "std", "size"),
    *("base", "pairs", "difference_mean", "difference_std"),
    *("difference_low", "difference_high", "examples"),
)


class Cell(NamedTuple):
    """One cell: mean, spread or interval, and whether it is the best of its column."""

    mean: str
    std: str = ""
    best: bool = False
    interval: str = ""


@dataclasses.dataclass(frozen=True)
class Block:
    """One table as it is written.

    Attributes:
      title: one line.
      header: names of the columns.
      rows: rows of cells; the first cell of a row is its name.
      rule: number of rows above a horizontal line; 0 for no line.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    rule: int = 0


def _cell(value: Spread, digits: int, best: bool = False) -> Cell:
    if value.mean is None:
        return Cell(EMPTY)
    std = "" if value.std is None else f"{value.std:.{digits}f}"
    return Cell(f"{value.mean:.{digits}f}", std, best)


def _cells(metric: str, lines: Sequence[Sequence[Spread]], digits: int) -> list[list]:
    """Cells of rows of values; marks the best of each column after rounding."""
    choose = min if lower_is_better(metric) else max
    tops = []
    for column in zip(*lines, strict=True):
        shown = {round(v.mean, digits) for v in column if v.mean is not None}
        tops.append(choose(shown) if len(shown) > 1 else None)
    return [
        [
            _cell(v, digits, v.mean is not None and round(v.mean, digits) == top)
            for v, top in zip(line, tops, strict=True)
        ]
        for line in lines
    ]


def _difference(value: Spread, digits: int) -> Cell:
    if value.mean is None:
        return Cell(EMPTY)
    ends = ", ".join(f"{end:+.{digits}f}" for end in value.interval() or ())
    return Cell(f"{value.mean:+.{digits}f}", interval=f"[{ends}]" if ends else "")


def _published(
    row: Row, table: Table, metric: str, prefix: str, *before: Cell
) -> list[tuple[Cell, ...]]:
    """Published rows that belong to `row`; the cells `before` precede the numbers."""
    rows = []
    for printed in table.published.get(row.method, ()):
        if numbers := printed.values.get(metric):
            cells = (Cell(numbers.get(shot, EMPTY)) for shot in COLUMNS)
            rows.append((Cell(prefix + printed.name), *before, *cells))
    return rows


def _counts(row: Row) -> list[Cell]:
    counts = [row.runs[0].value("count", shot) for shot in COLUMNS]
    return [Cell(EMPTY if c is None else f"{c:.0f}") for c in counts]


def _one_method(table: Table) -> Block:
    (row,) = table.rows
    rows = []
    for metric in table.metrics:
        name, values = metric_name(metric), list(row.values[metric].values())
        if any(value.size for value in values):
            digits = decimals(metric, values)
            rows.append((Cell(name), *(_cell(value, digits) for value in values)))
            rows += _published(row, table, metric, f"{name}: ")
    rows.append((Cell("examples"), *_counts(row)))
    steps = {run.best_step for run in row.runs} - {None}
    at = f" at step {steps.pop()}" if len(steps) == 1 else ""
    count = len(row.runs)
    seeds = (
        f"mean ± std over {count} seeds" if count > 1 else f"seed {row.runs[0].seed}"
    )
    title = f"{table.dataset}, {row.method}, {seeds}: {table.split} set{at}"
    return Block(title, ("", *COLUMNS), tuple(rows), rule=len(rows) - 1)


def _one_metric(table: Table, metric: str) -> Block | None:
    name = metric_name(metric)
    lines = [list(row.values[metric].values()) for row in table.rows]
    every = [value for line in lines for value in line]
    if not any(value.size for value in every):
        return None
    digits = decimals(metric, every)
    rows = []
    for row, cells in zip(table.rows, _cells(metric, lines, digits), strict=True):
        rows.append((Cell(row.method), Cell(f"{len(row.runs)}"), *cells))
        rows += _published(row, table, metric, "", Cell(EMPTY))
    rule = len(rows)
    for row in table.rows:
        gaps = list(row.difference[metric].values()) if row.difference else []
        if any(gap.size for gap in gaps):
            cells = [_difference(gap, digits) for gap in gaps]
            minus = Cell(f"{row.method} minus {table.base}")
            rows.append((minus, Cell(f"{row.pairs}"), *cells))
    better = "lower" if lower_is_better(metric) else "higher"
    title = f"{table.dataset}, {table.split} {name}, {better} is better"
    header = (name, "seeds", *COLUMNS)
    return Block(title, header, tuple(rows), rule if rule < len(rows) else 0)


def _grid(table: Table, grid: grids.Grid, method: str) -> Block | None:
    """Fields and errors of each point, as in a published parameter study."""
    points, header = grid.points[method], []
    rows = [
        [*(Cell(f"{v:g}") for v in point.values), Cell(f"{len(point.row.runs)}")]
        for point in points
    ]
    for metric in ("rmse", "delta1") if "delta1" in table.metrics else ("mae", "gm"):
        lines = [list(point.row.values[metric].values()) for point in points]
        lines = [[Spread(v.mean, None, v.size) for v in line] for line in lines]
        every = [value for line in lines for value in line]
        if any(value.size for value in every):
            header += [f"{metric_name(metric)} {shot}" for shot in COLUMNS]
            cells = _cells(metric, lines, decimals(metric, every))
            rows = [[*row, *more] for row, more in zip(rows, cells, strict=True)]
    if not header:
        return None
    by = " and ".join(grid.names)
    title = f"{table.dataset}, {method} by {by}, mean over seeds"
    return Block(title, (*grid.names, "seeds", *header), tuple(map(tuple, rows)))


def _accuracies(table: Table, grid: grids.Grid) -> Block:
    """Group accuracy in per cent: one row per method, one column per field value."""
    metric, places = "group_accuracy", grid.values(0)
    lines = []
    for points in grid.points.values():
        found = {p.values[0]: p.row.values[metric]["all"] for p in points}
        values = [found.get(place, Spread()) for place in places]
        lines.append([_percent(value) for value in values])
    cells = _cells(metric, lines, 1)
    rows = tuple((Cell(m), *c) for m, c in zip(grid.points, cells, strict=True))
    what = f"{table.split} {metric_name(metric)} in %"
    title = f"{table.dataset}, {what} by {grid.names[0]}, higher is better"
    return Block(title, (grid.names[0], *(f"{place:g}" for place in places)), rows)


def _percent(value: Spread) -> Spread:
    mean, std = (None if part is None else 100 * part for part in value[:2])
    return Spread(mean, std, value.size)


def _orders(table: Table) -> Block | None:
    """Rank correlation of feature norm and label, for runs that stored norms."""
    rows = tuple(
        (
            Cell(f"{method}, {split}"),
            Cell(f"{len(columns[0])}"),
            *(_cell(spread(column), 3) for column in columns),
        )
        for (method, split), columns in norm_order.orders(table.by_method).items()
    )
    title = f"{table.dataset}, order of feature norms by label bin"
    return Block(title, ("Spearman", "seeds", *COLUMNS), rows) if rows else None


def blocks(table: Table) -> list[Block]:
    """Lays out a table.

    Args:
      table: one data set.

    Returns:
      For a single method, one block with metrics as rows; otherwise one block per
      metric with methods as rows, and one per method of a grid. Metrics that no run has
      are omitted. If runs stored norms, the last block is their order.
    """
    if len(table.rows) == 1:
        laid: list[Block | None] = [_one_method(table)]
    else:
        laid = [_one_metric(table, metric) for metric in table.metrics]
        for grid in grids.find(table):
            laid += [_grid(table, grid, method) for method in grid.points]
            if len(grid.fields) == 1 and grid.has("group_accuracy"):
                laid.append(_accuracies(table, grid))
    laid.append(_orders(table))
    return [block for block in laid if block is not None]


def footnote(table: Table) -> str:
    """Explains the numbers in a few sentences; empty for most single runs."""
    said = []
    if len(table.rows) > 1:
        said.append("Values are mean ± sample standard deviation over seeds.")
        counts = [cell.mean for cell in _counts(table.rows[0])]
        if counts[0] != EMPTY:
            named = ", ".join(f"{c} {s}" for c, s in zip(counts, COLUMNS, strict=True))
            said.append(f"Test examples: {named}.")
    if any(row.difference is not None for row in table.rows):
        said.append(
            f"Rows with 'minus {table.base}' are differences paired by seed; the second"
            " column counts the pairs. Negative differences are smaller errors. In "
            "brackets: 95 % interval of the mean difference by Student's t, not "
            "corrected for multiple comparisons; undefined for a single pair."
        )
    oracle = (row.values.get("oracle_mae", {}).get("all") for row in table.rows)
    if any(value and value.size for value in oracle):
        said.append(
            "The oracle is the expert of the true group, which is unknown in practice: "
            "it is a diagnostic only."
        )
    sources = {p.source for rows in table.published.values() for p in rows}
    if sources:
        said.append(
            "Rows with 'published' are copied from papers, mostly single runs; training"
            " and selection may differ from ours. Sources: "
            f"{'; '.join(sorted(sources))}."
        )
    return " ".join([*said, *table.notes])


def _document(
    tables: Sequence[Table],
    block: Callable[[Block], str],
    note: Callable[[str], str],
) -> str:
    """Blocks, footnote and warnings of each table, separated by empty lines."""
    parts = []
    for table in tables:
        parts += map(block, blocks(table))
        warnings = (f"Warning: {text}" for text in table.warnings)
        parts += [note(text) for text in (footnote(table), *warnings) if text]
    return "\n\n".join(parts) + "\n"


def to_text(tables: Sequence[Table]) -> str:
    """Aligned columns for the terminal."""

    def write(cell: Cell) -> str:
        mean = f"{cell.mean} ± {cell.std}" if cell.std else cell.mean
        return f"{mean} {cell.interval}" if cell.interval else mean

    def aligned(block: Block) -> str:
        grid = [block.header, *(tuple(map(write, row)) for row in block.rows)]
        widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
        lines = [block.title]
        for number, row in enumerate(grid):
            if number == 1 or (block.rule and number == block.rule + 1):
                lines.append("-" * (sum(widths) + 2 * len(widths) - 2))
            rest = zip(row[1:], widths[1:], strict=True)
            cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in rest)]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    return _document(tables, aligned, lambda text: textwrap.fill(text, 88))


def to_markdown(tables: Sequence[Table]) -> str:
    """Pipe tables; the best value of a column is bold."""

    def escape(text: str) -> str:
        return re.sub(r"([\\|*_`<\[\]])", r"\\\1", text)

    def write(cell: Cell) -> str:
        mean = f"**{cell.mean}**" if cell.best else escape(cell.mean)
        mean = f"{mean} ± {cell.std}" if cell.std else mean
        return f"{mean} {escape(cell.interval)}" if cell.interval else mean

    def piped(block: Block) -> str:
        return "\n".join(
            [
                f"**{escape(block.title)}**\n",
                "| " + " | ".join(map(escape, block.header)) + " |",
                "| --- |" + " ---: |" * (len(block.header) - 1),
                *("| " + " | ".join(map(write, row)) + " |" for row in block.rows),
            ]
        )

    return _document(tables, piped, escape)


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        **{character: "\\" + character for character in "&%$#_{}"},
    }
)


def to_latex(tables: Sequence[Table]) -> str:
    r"""One booktabs `tabular` per block; needs `\usepackage{booktabs}`."""

    def comment(text: str) -> str:
        return f"% {' '.join(text.split())}"

    def write(cell: Cell) -> str:
        if cell.mean == EMPTY:
            return "--"
        mean = rf"\mathbf{{{cell.mean}}}" if cell.best else cell.mean
        mean = rf"{mean} \pm {cell.std}" if cell.std else mean
        return rf"${mean}\ {cell.interval}$" if cell.interval else f"${mean}$"

    def tabular(block: Block) -> str:
        lines = [
            comment(block.title),
            rf"\begin{{tabular}}{{l{'r' * (len(block.header) - 1)}}}",
            r"\toprule",
            " & ".join(name.translate(_LATEX) for name in block.header) + r" \\",
            r"\midrule",
        ]
        for index, (name, *cells) in enumerate(block.rows):
            if block.rule and index == block.rule:
                lines.append(r"\midrule")
            row = [name.mean.translate(_LATEX), *map(write, cells)]
            lines.append(" & ".join(row) + r" \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])

    return _document(tables, tabular, comment)


def to_csv(tables: Sequence[Table]) -> str:
    """All numbers in full precision, one row per method, metric and shot.

    Published numbers have a mean only.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in tables:
        for row in table.rows:
            seeds = " ".join(str(run.seed) for run in row.runs)
            for metric in table.metrics:
                for shot, value in row.values[metric].items():
                    gap = row.difference[metric][shot] if row.difference else Spread()
                    ends = gap.interval() or (None, None)
                    name = (table.dataset, row.method, seeds, metric, shot)
                    paired = (table.base, gap.size, gap.mean, gap.std, *ends)
                    examples = row.runs[0].value("count", shot)
                    writer.writerow([*name, *value, *paired, examples])
            for printed in table.published.get(row.method, ()):
                for metric, numbers in printed.values.items():
                    for shot, number in numbers.items():
                        name = (table.dataset, printed.name, None, metric, shot)
                        empty = [None] * (len(CSV_COLUMNS) - len(name) - 1)
                        writer.writerow([*name, number, *empty])
    return out.getvalue()
