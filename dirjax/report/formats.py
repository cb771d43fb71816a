"""Laid-out tables written as text, CSV, Markdown and LaTeX.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Sequence

from dirjax.report import student
from dirjax.report.layout import EMPTY, Cell, blocks, footnote
from dirjax.report.runs import COLUMNS
from dirjax.report.tables import Spread, Table

CSV_COLUMNS = (
    *("dataset", "method", "seeds", "metric", "shot", "mean", "std", "size"),
    *("base", "pairs", "difference_mean", "difference_std"),
    *("difference_low", "difference_high", "examples"),
)


def _plain(cell: Cell) -> str:
    mean = f"{cell.mean} ± {cell.std}" if cell.std else cell.mean
    return f"{mean} {cell.interval}" if cell.interval else mean


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
        mean = f"{mean} ± {cell.std}" if cell.std else mean
        return f"{mean} {escape(cell.interval)}" if cell.interval else mean

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
        mean = rf"{mean} \pm {cell.std}" if cell.std else mean
        return rf"${mean}\ {cell.interval}$" if cell.interval else f"${mean}$"

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
    """All numbers in full precision, one row for each method, metric and shot.

    Published numbers have a mean and nothing else.
    """
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
                    ends = student.interval(*gap) or (None, None)
                    paired = (table.base, gap.size, gap.mean, gap.std, *ends)
                    writer.writerow([*name, *value, *paired, examples])
            for printed in table.published.get(row.method, ()):
                for metric, numbers in printed.values.items():
                    for shot, number in numbers.items():
                        name = (table.dataset, printed.name, None, metric, shot)
                        empty = [None] * (len(CSV_COLUMNS) - len(name) - 1)
                        writer.writerow([*name, number, *empty])
    return out.getvalue()
