"""Tables as text, CSV, Markdown and LaTeX.

A table is first laid out in blocks of cells and then written. One method gives one
block with a row for each metric; several methods give a block for each metric, with
a row for each method and below it the paired differences to the base. Deviations:
none, this module is dirjax's own.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dirjax.report.records import COLUMNS
from dirjax.report.tables import NAMES, Row, Spread, Table, lower_is_better

EMPTY = "-"
CSV_COLUMNS = (
    *("dataset", "method", "seeds", "metric", "shot", "mean", "std", "size"),
    *("base", "pairs", "difference_mean", "difference_std", "examples"),
)


class Cell(NamedTuple):
    """One cell: a mean, its spread, and whether it is the best of its column."""

    mean: str
    std: str = ""
    best: bool = False


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


def _cell(value: Spread, decimals: int, best: bool = False, sign: str = "") -> Cell:
    if value.mean is None:
        return Cell(EMPTY)
    std = "" if value.std is None else f"{value.std:.{decimals}f}"
    return Cell(f"{value.mean:{sign}.{decimals}f}", std, best)


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
    rows.append((Cell("examples"), *_counts(row)))
    title = f"{table.dataset}, {row.method}, {_seeds(row)}: {row.runs[0].split} set{at}"
    return Block(title, ("", *COLUMNS), tuple(rows), rule=len(rows) - 1)


def _one_metric(table: Table, metric: str) -> Block | None:
    values = [[row.values[metric][shot] for shot in COLUMNS] for row in table.rows]
    if not any(value.size for line in values for value in line):
        return None
    digits = _shared_decimals(metric, (value for line in values for value in line))
    shown = [
        [None if v.mean is None else round(v.mean, digits) for v in line]
        for line in values
    ]
    choose = min if lower_is_better(metric) else max
    best = []
    for column in zip(*shown, strict=True):
        real = [value for value in column if value is not None]
        best.append(choose(real) if len(set(real)) > 1 else None)
    rows = []
    for row, line, means in zip(table.rows, values, shown, strict=True):
        cells = [
            _cell(value, digits, best=mean is not None and mean == top)
            for value, mean, top in zip(line, means, best, strict=True)
        ]
        rows.append((Cell(row.method), Cell(str(len(row.runs))), *cells))
    rule = len(rows)
    for row in table.rows:
        if row.difference is not None:
            cells = [
                _cell(row.difference[metric][shot], digits, sign="+")
                for shot in COLUMNS
            ]
            name = Cell(f"{row.method} minus {table.base}")
            rows.append((name, Cell(f"{row.pairs}"), *cells))
    better = "lower" if lower_is_better(metric) else "higher"
    title = f"{table.dataset}, test {metric_name(metric)}, {better} is better"
    header = (metric_name(metric), "seeds", *COLUMNS)
    return Block(title, header, tuple(rows), rule if rule < len(rows) else 0)


def blocks(table: Table) -> list[Block]:
    """Lays a table out.

    Args:
      table: one data set.

    Returns:
      One block with metrics as rows for a single method; else one block for each
      metric with methods as rows. Metrics that no run has are left out.
    """
    if len(table.rows) == 1:
        return [_one_method(table)]
    laid = (_one_metric(table, metric) for metric in table.metrics)
    return [block for block in laid if block is not None]


def footnote(table: Table) -> str:
    """What the numbers are, in one or two sentences; empty for a single run."""
    if len(table.rows) == 1:
        return ""
    text = "Values are mean ± sample standard deviation over seeds."
    counts = [cell.mean for cell in _counts(table.rows[0])]
    if counts[0] != EMPTY:
        named = ", ".join(f"{c} {s}" for c, s in zip(counts, COLUMNS, strict=True))
        text += f" Test examples: {named}."
    if any(row.difference is not None for row in table.rows):
        text += (
            f" Rows with 'minus {table.base}' are differences paired by seed, over the"
            " seeds counted in the second column; a negative one is a smaller error."
        )
    return text


def _plain(cell: Cell) -> str:
    return f"{cell.mean} ± {cell.std}" if cell.std else cell.mean


def to_text(tables: Sequence[Table]) -> str:
    """Aligned columns for the terminal."""
    parts = []
    for table in tables:
        for block in blocks(table):
            grid = [block.header, *(tuple(map(_plain, row)) for row in block.rows)]
            widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
            lines = []
            for number, row in enumerate(grid):
                rest = zip(row[1:], widths[1:], strict=True)
                cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in rest)]
                if number == 1 or (block.rule and number == block.rule + 1):
                    lines.append("-" * (sum(widths) + 2 * len(widths) - 2))
                lines.append("  ".join(cells).rstrip())
            parts.append("\n".join([block.title, *lines]))
        if footnote(table):
            parts.append(textwrap.fill(footnote(table), 88))
        parts += [textwrap.fill(f"Warning: {text}", 88) for text in table.warnings]
    return "\n\n".join(parts) + "\n"


def to_markdown(tables: Sequence[Table]) -> str:
    """Pipe tables; the best value of a column is bold."""

    def escape(text: str) -> str:
        return re.sub(r"([\\|*_`<\[\]])", r"\\\1", text)

    def write(cell: Cell) -> str:
        mean = f"**{cell.mean}**" if cell.best else escape(cell.mean)
        return f"{mean} ± {cell.std}" if cell.std else mean

    parts = []
    for table in tables:
        for block in blocks(table):
            lines = [
                "| " + " | ".join(map(escape, block.header)) + " |",
                "| --- |" + " ---: |" * (len(block.header) - 1),
                *("| " + " | ".join(map(write, row)) + " |" for row in block.rows),
            ]
            parts += [f"**{escape(block.title)}**", "\n".join(lines)]
        if footnote(table):
            parts.append(escape(footnote(table)))
        parts += [f"Warning: {escape(warning)}" for warning in table.warnings]
    return "\n\n".join(parts) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    **{character: "\\" + character for character in "&%$#_{}"},
}


def to_latex(tables: Sequence[Table]) -> str:
    r"""One booktabs `tabular` for each block; needs `\usepackage{booktabs}`."""

    def escape(text: str) -> str:
        return "".join(_LATEX.get(character, character) for character in text)

    def number(cell: Cell) -> str:
        if cell.mean == EMPTY:
            return "--"
        mean = rf"\mathbf{{{cell.mean}}}" if cell.best else cell.mean
        return rf"${mean} \pm {cell.std}$" if cell.std else f"${mean}$"

    parts = []
    for table in tables:
        for block in blocks(table):
            lines = [
                f"% {' '.join(block.title.split())}",
                rf"\begin{{tabular}}{{l{'r' * (len(block.header) - 1)}}}",
                r"\toprule",
                " & ".join(map(escape, block.header)) + r" \\",
                r"\midrule",
            ]
            for index, row in enumerate(block.rows):
                if block.rule and index == block.rule:
                    lines.append(r"\midrule")
                cells = [escape(row[0].mean), *map(number, row[1:])]
                lines.append(" & ".join(cells) + r" \\")
            parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]))
        notes = [footnote(table), *(f"Warning: {text}" for text in table.warnings)]
        parts += [f"% {' '.join(text.split())}" for text in notes if text]
    return "\n\n".join(parts) + "\n"


def to_csv(tables: Sequence[Table]) -> str:
    """All numbers in full precision, one row for each method, metric and shot."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in tables:
        for row in table.rows:
            seeds = " ".join(str(run.seed) for run in row.runs)
            for metric in table.metrics:
                for shot in COLUMNS:
                    value, gap = row.values[metric][shot], Spread(None, None, 0)
                    if row.difference is not None:
                        gap = row.difference[metric][shot]
                    examples = row.runs[0].value("count", shot)
                    name = (table.dataset, row.method, seeds, metric, shot)
                    paired = (table.base, gap.size, gap.mean, gap.std)
                    writer.writerow([*name, *value, *paired, examples])
    return out.getvalue()
