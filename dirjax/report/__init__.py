"""Reports on runs: tables, figures and one HTML page, without JAX.

    python -m dirjax.report RUN|STUDY... [--output DIR] [--base METHOD] [--split val]
        [--published]

A folder that is no run stands for all runs below it, such as a study of `dirjax.sweep`.

For one run, the report shows errors by shot, the label histogram, the error by label,
training curves and predictions. For several runs, it shows mean and spread over seeds,
differences from a base with 95 % intervals over seeds and test rows, what they say
about each shot, and figures that compare methods or show the error over a grid of
fields; each data set has its own section. Over three data sets or more, methods are
ranked, with the critical difference of their mean ranks.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import argparse
import dataclasses
import html
import pathlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.cli import arguments, status, usage
from dirjax.errors import InputError, local_path
from dirjax.report import formats, frontiers, page
from dirjax.report import published as published_numbers
from dirjax.report.figures import index, ranks, style
from dirjax.report.reading import find_runs, read_run
from dirjax.report.runs import Run
from dirjax.report.tables import METRICS, REPORTED, Table, table
from dirjax.report.targets import read_runs
from dirjax.workdir import files

__all__ = ["Run", "main", "read_run", "show", "table", "write_report"]

DEFAULT_BASE = "vanilla"


def _section(one: Table, output: pathlib.Path | None, prefix: str) -> page.Section:
    """Draws the figures of a data set, and writes them as PNG if there is a folder."""
    runs = one.runs
    notes = [
        note if len(runs) == 1 else f"{run.path}: {note}"
        for run in runs
        for note in run.notes
    ]
    if len(runs) > 1 and len(one.rows) > index.SHOWN:
        notes.append(
            f"the figures by label and by step show the first {index.SHOWN} of "
            f"{len(one.rows)} methods."
        )
    drawn = index.of_run(runs[0]) if len(runs) == 1 else index.of_methods(one)
    return page.Section(one, _pictures(drawn, output, prefix), tuple(notes))


def _pictures(
    figures: Iterable[style.Drawn], output: pathlib.Path | None, prefix: str = ""
) -> tuple[page.Picture, ...]:
    """Figures for the page, also written as PNG if there is a folder."""
    pictures = []
    for drawn in figures:
        name = prefix + drawn.name
        svg = style.svg(drawn.figure, name, drawn.alt)
        if output:
            (output / f"{name}.png").write_bytes(style.png(drawn.figure))
        pictures.append(page.Picture(name, svg, drawn.caption))
    return tuple(pictures)


def _tables(runs: Sequence[Run], base: str | None) -> list[Table]:
    metrics = [
        m
        for m in REPORTED
        if m in METRICS
        or m in published_numbers.metrics(runs)
        or (m != "mse" and any(r.value(m, "all") is not None for r in runs))
    ]
    plain = table(runs, metrics)
    names = {row.method for one in plain for row in one.rows}
    # If the base preset was run with several configs, none of them is the default base.
    if base is None and {DEFAULT_BASE} < names:
        base = DEFAULT_BASE
    return table(runs, metrics, base) if base else plain


def _write(
    runs: Sequence[Run], tables: Sequence[Table], output: pathlib.Path
) -> pathlib.Path:
    output.mkdir(parents=True, exist_ok=True)
    for ending, write in (
        ("txt", formats.to_text),
        ("csv", formats.to_csv),
        ("md", formats.to_markdown),
        ("tex", formats.to_latex),
    ):
        (output / f"table.{ending}").write_text(write(tables), encoding="utf-8")
    sections = []
    for one in tables:
        slug = re.sub(r"[^A-Za-z0-9]+", "_", one.dataset)
        prefix = f"{slug}-" if len(tables) > 1 else ""
        sections.append(_section(one, output, prefix))
    unfinished = [run for run in runs if run.result is None]
    document = page.render(
        sections, unfinished, overall=_pictures(ranks.figures(tables), output)
    )
    file = output / "report.html"
    files.half(file).write_text(document, encoding="utf-8")
    return files.half(file).replace(file)


def _read(run_dirs: Sequence[str | pathlib.Path]) -> list[Run]:
    found = (p for folder in run_dirs for p in find_runs(local_path("RUN", folder)))
    paths = {path.resolve(): path for path in found}
    return [run for path in paths.values() for run in read_runs(path)]


def write_report(
    run_dirs: Sequence[str | pathlib.Path],
    output: str | pathlib.Path,
    base: str | None = None,
    *,
    published: bool = False,
    split: str = "test",
) -> pathlib.Path:
    """Writes `report.html`, `table.{txt,csv,md,tex}` and the figures as PNG.

    Args:
      run_dirs: run directories, or folders of them; duplicates count once.
      output: directory to write to, created if missing.
      base: method that the others are compared with, seed by seed. Default: `vanilla`,
        if it is one of several methods; empty for none.
      published: whether to show published numbers for the same experiments.
      split: whose metrics are shown, "test" or "val".

    Returns:
      The path of `report.html`.

    Raises:
      InputError: if a directory is not a run and has none below it, no run is
        finished, or no run has the base method.
    """
    output = local_path("output", output)
    runs = [_of_split(run, split) for run in _read(run_dirs)]
    tables = _tables(runs, base)
    if published:
        tables = [published_numbers.attach(one) for one in tables]
    return _write(runs, tables, output)


def show(workdir: str | pathlib.Path) -> dict[str, Any]:
    """Writes the report of one finished run to `workdir/report` and prints its table.

    Args:
      workdir: the run directory.

    Returns:
      The content of `result.json`.

    Raises:
      InputError: if the directory is not a finished run.
    """
    workdir = pathlib.Path(workdir)
    runs = read_runs(workdir)
    tables = _tables(runs, None)
    path = _write(runs, tables, workdir / "report")
    print(f"\n{formats.to_text(tables)}\nReport: {path}")
    return dict(read_run(workdir).result or {})


def framed(document: str) -> str:
    """A complete HTML page as an element of a notebook, which it leaves alone.

    Example:
      >>> framed("<p>4 rows</p>").endswith('4 rows&lt;/p&gt;"></iframe>')
      True
    """
    style = "width: 100%; height: 40em; border: 0"
    return f'<iframe style="{style}" srcdoc="{html.escape(document)}"></iframe>'


def notebook(workdir: pathlib.Path) -> str:
    """The report of one finished run, for a notebook; nothing is written.

    Its metrics are those of the test split, or of the validation split without one.
    """
    tables = _tables([_tested(run) for run in read_runs(workdir)], None)
    sections = [
        _section(one, None, f"{number}-" if number else "")
        for number, one in enumerate(tables)
    ]
    return framed(page.render(sections, []))


def scores_text(
    workdir: str | pathlib.Path,
    result: dict[str, Any],
    rows: Mapping[str, Any],
) -> str:
    """The table of an evaluation, as text.

    Args:
      workdir: the run directory.
      result: content in the form of `result.json`; `split` names the entry that holds
        the metrics.
      rows: `label` and `prediction` of its rows, for the intervals; may lack them. Of
        several targets, those of each.
    """
    several = result.get("targets") or {}
    runs = []
    for run in read_runs(workdir):
        own, arrays = result, rows
        if several:
            name = (run.result or {})["target"]
            own = {**result, **several[name], "target": name}
            arrays = rows[name]
        known = {
            name: np.asarray(arrays[name], np.float64)
            for name in ("label", "prediction")
            if name in arrays
        }
        runs.append(dataclasses.replace(run, result=own, predictions=known))
    return formats.to_text(_tables(runs, None))


def frontier_text(result: dict[str, Any], split: str) -> str:
    """The table of a correction at several strengths, see `frontiers.text`."""
    return frontiers.text(result, split)


def _of_split(run: Run, split: str) -> Run:
    """The run with the metrics of a split; only the test set has predictions."""
    if split == run.split or run.result is None:
        return run
    return dataclasses.replace(
        run, result={**run.result, "split": split}, predictions={}
    )


def _tested(run: Run) -> Run:
    """The run, with the metrics of its validation split if it has no test split."""
    split = "test" if run.result is None or run.result.get("test") else "val"
    return _of_split(run, split)


def run_text(workdir: pathlib.Path) -> str:
    """The table of one finished run, as text; see `notebook`."""
    runs = [_tested(run) for run in read_runs(workdir)]
    return formats.to_text(_tables(runs, None))


def _main(argv: Sequence[str]) -> None:
    options = _parser().parse_args(argv)
    runs = [_of_split(run, options.split) for run in _read(options.runs)]
    tables = _tables(runs, options.base)
    if options.published:
        tables = [published_numbers.attach(one, explain=True) for one in tables]
    if options.output is None:
        inside = options.runs[0] if len(options.runs) == 1 else ""
        options.output = pathlib.Path(inside) / "report"
    try:
        path = _write(runs, tables, options.output)
    except OSError as error:
        raise InputError(
            f"cannot write to {options.output} ({error.strerror}). Pass another folder "
            "as --output."
        ) from error
    print(formats.to_text(tables))
    for one in tables:
        if len(one.runs) > 1 and options.split == "test":
            print(frontiers.by_method(one.by_method, one.base), end="\n\n")
    unfinished = [str(run.path) for run in runs if run.result is None]
    if unfinished:
        print(f"Unfinished runs, not in the table: {', '.join(unfinished)}\n")
    print(f"Report: {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dirjax.report",
        description="Tables, figures and one HTML page of a run, or of several to "
        "compare. At least one RUN is required.",
        epilog=usage.examples(
            (
                "python -m dirjax.report runs/bike",
                "python -m dirjax.report runs/a runs/b --base vanilla --output both",
            )
        ),
        formatter_class=arguments.Format,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        action=arguments.LocalPath,
        metavar="RUN",
        help="directory of a run or study",
    )
    parser.add_argument(
        "--output",
        action=arguments.LocalPath,
        metavar="DIR",
        help="default: RUN/report for one folder, ./report for several",
    )
    parser.add_argument(
        "--base",
        metavar="METHOD",
        help=f"compare with this method, seed by seed (default: {DEFAULT_BASE})",
    )
    parser.add_argument(
        "--split",
        default="test",
        choices=("test", "val"),
        help="split of the metrics: test (default), or val for model selection",
    )
    parser.add_argument(
        "--published",
        action="store_true",
        help="show published numbers for the same experiments, or why there are none",
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status, 2 for invalid input."""
    argv = sys.argv[1:] if argv is None else argv
    return status.run(_main, argv, debug="--debug" in argv)
