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
from itertools import repeat
from typing import NamedTuple

from dirjax import digits
from dirjax.report import grids, norm_order
from dirjax.report.answers import answers
from dirjax.report.runs import COLUMNS
from dirjax.report.spreads import Spread, spread
from dirjax.report.tables import Row, Table, form_of, lower_is_better, metric_name

EMPTY = "-"
CSV_COLUMNS = (
    *("dataset", "method", "seeds", "metric", "shot", "mean", "std", "size"),
    *("base", "pairs", "difference_mean", "difference_std"),
    *("difference_low", "difference_high", "examples", "low", "high"),
)


class Cell(NamedTuple):
    """One cell: mean, spread or interval, and whether it is bold."""

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

    @property
    def names(self) -> int:
        """Number of columns before those of the shots; 0 without such columns."""
        sets = sum(name.split()[-1:] == ["few"] for name in self.header)
        return len(self.header) - len(COLUMNS) * sets if sets else 0


def _cell(value: Spread, form: digits.Form, std: float | None, best=False) -> Cell:
    if value.mean is None:
        return Cell(EMPTY)
    return Cell(form(value.mean), "" if std is None else form(std), best)


def _cells(metric: str, rows: Sequence[Row], form: digits.Form) -> list[list[Cell]]:
    """Values of rows; bold where the interval of the difference says better."""
    good = -1 if lower_is_better(metric) else 1
    lines = []
    for row in rows:
        gaps = row.difference[metric] if row.difference else {}
        line = row.values[metric].items()
        better = {s for s, gap in gaps.items() if gap.sign == good}
        lines.append([_cell(v, form, v.std, s in better) for s, v in line])
    return lines


def _difference(value: Spread, form: digits.Form) -> Cell:
    if value.mean is None:
        return Cell(EMPTY)
    ends = ", ".join(form(end, "+") for end in value.interval() or ())
    interval = f"[{ends}]" if ends else ""
    return Cell(form(value.mean, "+"), best=value.sign != 0, interval=interval)


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
    return [Cell(EMPTY if c is None else f"{c:,.0f}") for c in counts]


def _one_method(table: Table) -> Block:
    (row,) = table.rows
    rows = []
    for metric in table.metrics:
        name, values = metric_name(metric), list(row.values[metric].values())
        if any(value.size for value in values):
            halves = [value.half() for value in values]
            form = form_of(metric, values)
            cells = (_cell(*one) for one in zip(values, repeat(form), halves))
            rows.append((Cell(name), *cells))
            rows += _published(row, table, metric, f"{name}: ")
    rows.append((Cell("examples"), *_counts(row)))
    steps = {run.best_step for run in row.runs} - {None}
    at = f" at step {steps.pop()}" if len(steps) == 1 else ""
    count = len(row.runs)
    seeds = f"mean over {count} seeds" if count > 1 else f"seed {row.runs[0].seed}"
    title = f"{table.dataset}, {row.method}, {seeds}: {table.split} set{at}"
    return Block(title, ("", *COLUMNS), tuple(rows), rule=len(rows) - 1)


def _one_metric(table: Table, metric: str) -> Block | None:
    name = metric_name(metric)
    every = [value for row in table.rows for value in row.values[metric].values()]
    if not any(value.size for value in every):
        return None
    gaps = [
        (r, list(r.difference[metric].values())) for r in table.rows if r.difference
    ]
    form = form_of(metric, every, [gap for _, some in gaps for gap in some])
    rows = [(Cell(f"{table.split} rows"), Cell(""), *_counts(table.rows[0]))]
    for row, cells in zip(table.rows, _cells(metric, table.rows, form), strict=True):
        rows.append((Cell(row.method), Cell(f"{len(row.runs)}"), *cells))
        rows += _published(row, table, metric, "", Cell(EMPTY))
    rule = len(rows)
    for row, some in gaps:
        if any(gap.size for gap in some):
            cells = [_difference(gap, form) for gap in some]
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
        every = [v for point in points for v in point.row.values[metric].values()]
        if any(value.size for value in every):
            header += [f"{metric_name(metric)} {shot}" for shot in COLUMNS]
            means = [value._replace(std=None) for value in every]
            cells = _cells(metric, [p.row for p in points], form_of(metric, means))
            more = [[cell._replace(std="") for cell in line] for line in cells]
            rows = [[*row, *line] for row, line in zip(rows, more, strict=True)]
    if not header:
        return None
    by = " and ".join(grid.names)
    title = f"{table.dataset}, {method} by {by}, mean over seeds"
    return Block(title, (*grid.names, "seeds", *header), tuple(map(tuple, rows)))


def _accuracies(table: Table, grid: grids.Grid) -> Block:
    """Group accuracy in per cent: one row per method, one column per field value."""
    metric, places = "group_accuracy", grid.values(0)
    rows = []
    for method, points in grid.points.items():
        found = {p.values[0]: p.row for p in points}
        cells = [
            _percent(found[v].values[metric]["all"]) if v in found else Cell(EMPTY)
            for v in places
        ]
        rows.append((Cell(method), *cells))
    what = f"{table.split} {metric_name(metric)} in %"
    title = f"{table.dataset}, {what} by {grid.names[0]}, higher is better"
    header = (grid.names[0], *(f"{place:g}" for place in places))
    return Block(title, header, tuple(rows))


def _percent(value: Spread) -> Cell:
    mean, std = (None if part is None else 100 * part for part in value[:2])
    return _cell(Spread(mean), digits.Form(1), std)


def _orders(table: Table) -> Block | None:
    """Rank correlation of feature norm and label, for runs that stored norms."""
    rows = tuple(
        (
            Cell(f"{method}, {split}"),
            Cell(f"{len(columns[0])}"),
            *(_cell(s, digits.Form(3), s.std) for s in map(spread, columns)),
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


def _over(table: Table) -> str:
    """What intervals cover, and how they are computed."""
    seeds = any(len(row.runs) > 1 for row in table.rows)
    if not table.draws:
        return "seeds by Student's t"
    paired = " and the same for all runs" * (len(table.runs) > 1)
    return (
        f"{'seeds and ' * seeds}{table.split} rows "
        f"({'hierarchical ' * seeds}bootstrap, "
        f"{table.draws:,} draws, rows within each shot{paired}, as Student's t)"
    )


def footnote(table: Table) -> str:
    """Explains the numbers in a few sentences; empty for most single runs."""
    gaps = [row for row in table.rows if row.difference is not None]
    said, one = [], len(table.rows) == 1
    if one and any(v.half() for v in table.rows[0].values[table.metrics[0]].values()):
        said.append(f"±: half the 95 % interval over {_over(table)}.")
    if not one:
        said.append("Values are mean ± sample standard deviation over seeds.")
    if gaps:
        corrected = ", corrected for {} methods (Bonferroni), not for shots and metrics"
        corrected = corrected.format(len(gaps)) if len(gaps) > 1 else ""
        said.append(
            f"Rows with 'minus {table.base}' are differences paired by seed; the second"
            " column counts the pairs. Negative differences are smaller errors. In "
            f"brackets: 95 % interval over {_over(table)}{corrected}. "
            "Bold: the interval excludes zero; values that are bold are better."
        )
    if table.no_rows and (gaps or one):
        said.append(
            f"No interval covers the choice of {table.split} rows: {table.no_rows}."
        )
    elif not one and any(len(row.runs) == 1 for row in table.rows):
        said.append("One seed does not tell what another seed would give.")
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
    """Blocks, answers, footnote and warnings of each table, between empty lines."""
    parts = []
    for table in tables:
        parts += map(block, blocks(table))
        parts += map(note, answers(table))
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

    def math(text: str) -> str:
        text = re.sub(r"(?<=\d),(?=\d)", "{,}", text)
        return re.sub(r"e(-?\d+)", r" \\cdot 10^{\1}", text)

    def write(cell: Cell) -> str:
        if cell.mean in (EMPTY, ""):
            return cell.mean and "--"
        mean, std = math(cell.mean), math(cell.std)
        mean = rf"\mathbf{{{mean}}}" if cell.best else mean
        mean = rf"{mean} \pm {std}" if std else mean
        return rf"${mean}\ {math(cell.interval)}$" if cell.interval else f"${mean}$"

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
                    own = value.interval() or (None, None)
                    writer.writerow([*name, *value[:3], *paired, examples, *own])
            for printed in table.published.get(row.method, ()):
                for metric, numbers in printed.values.items():
                    for shot, number in numbers.items():
                        name = (table.dataset, printed.name, None, metric, shot)
                        empty = [None] * (len(CSV_COLUMNS) - len(name) - 1)
                        writer.writerow([*name, number, *empty])
    return out.getvalue()
