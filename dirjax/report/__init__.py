"""Reports on runs: tables, figures and one HTML page, without JAX.

    python -m dirjax.report RUN... [--output DIR] [--base METHOD]

One run gives its errors by shot, label histogram, error by label, curves and
predictions. Several runs give mean and spread over seeds, differences to a base
paired by seed, and figures that compare methods; each data set has its own section.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dirjax import cli
from dirjax.report import balance, canvas, comparison, formats, page, plots
from dirjax.report.records import COLUMNS, Run, read_run
from dirjax.report.tables import DENSE_METRICS, METRICS, Table, table

__all__ = ["Run", "main", "read_run", "show", "table", "write_report"]

DEFAULT_BASE = "vanilla"
_SHOWN = 6  # methods in one figure: as many as there are colours

# What a figure function returns, its name, its caption and its description.
_Drawn = tuple[Any, str, str, str]


def _sentence(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _by_shot(run: Run) -> str:
    numbers = (f"{shot} {_sentence(run.value('mae', shot))}" for shot in COLUMNS)
    return ", ".join(numbers)


def _run_figures(run: Run) -> Iterator[_Drawn]:
    bins, errors = run.bins, run.bin_errors()
    if bins is not None:
        yield (
            plots.label_histogram(bins),
            "histogram",
            "Training examples in each label bin. The colour is the shot group.",
            f"Histogram of {int(bins.count.sum())} training labels in "
            f"{len(bins.count)} bins of {bins.label}, coloured by shot group.",
        )
    if bins is not None and errors is not None:
        yield (
            plots.error_by_label(bins, *errors),
            "error_by_label",
            "Mean absolute error of the test examples in each bin; larger marks stand "
            "for more test examples. Grey: training examples.",
            f"Test error against {bins.label}. MAE by shot: {_by_shot(run)}.",
        )
    if any(entry.get("split") == "train" and "loss" in entry for entry in run.log):
        yield (
            plots.loss_curves(run.log, run.best_step),
            "loss",
            "Loss on training batches. The best step is the one that was tested.",
            "Training loss and its terms against the step.",
        )
    if any("mae/all" in entry for entry in run.log):
        yield (
            plots.mae_curves(run.log, run.best_step, bins),
            "mae",
            "Mean absolute error by shot group on the validation set; thin lines, if "
            "any, are training batches.",
            "Validation MAE by shot group against the step.",
        )
    if "label" in run.predictions:
        label, prediction = run.predictions["label"], run.predictions["prediction"]
        yield (
            plots.predicted_true(
                {"Predictions on the test set": (label, prediction)}, bins
            ),
            "predictions",
            "Test examples; stronger colour where there are more. The median is over "
            "twelve equal ranges of the label: where it is flatter than the identity, "
            "predictions shrink to the middle.",
            f"Predicted against true labels of {len(label)} test examples.",
        )
    yield from balance.figures({run.method: [run]})


def _method_figures(one: Table) -> Iterator[_Drawn]:
    runs = [run for row in one.rows for run in row.runs]
    bins = next((run.bins for run in runs if run.bins is not None), None)
    if bins is not None:
        yield next(_run_figures(next(run for run in runs if run.bins is not None)))
    values = {
        row.method: {
            shot: [v for r in row.runs if (v := r.value("mae", shot)) is not None]
            for shot in COLUMNS
        }
        for row in one.rows
    }
    axis = canvas.error_axis(bins) if bins is not None else "test MAE (label units)"
    yield (
        comparison.shot_bars(values, axis),
        "shots",
        "Bars: mean over seeds. Whiskers: one sample standard deviation. Dots: seeds.",
        "Test MAE of each method by shot group.",
    )
    few = one.rows[:_SHOWN]
    if bins is not None:
        yield from _by_label(one, bins)
    logs = {row.method: [run.log for run in row.runs] for row in few}
    if any("mae/all" in e for group in logs.values() for log in group for e in log):
        yield (
            comparison.mae_by_method(logs, bins),
            "mae",
            "Validation MAE over all examples. Line: mean over seeds; band: range.",
            "Validation MAE of each method against the step.",
        )
    pairs = {}
    for row in few:
        found = next((r for r in row.runs if "label" in r.predictions), None)
        if found is not None:
            stored = found.predictions
            pairs[row.method] = (stored["label"], stored["prediction"])
    if pairs:
        yield (
            plots.predicted_true(pairs, bins),
            "predictions",
            "Predicted against true labels of the test set, for the first seed.",
            "Predicted against true labels, a panel for each method.",
        )
    yield from balance.figures({row.method: row.runs for row in few})


def _by_label(one: Table, bins: Any) -> Iterator[_Drawn]:
    same = {}
    for row in one.rows:
        for run in row.runs:
            errors = run.bin_errors()
            if (
                errors is not None
                and run.bins is not None
                and np.array_equal(run.bins.edges, bins.edges)
            ):
                same.setdefault(row.method, {})[run.seed] = errors
    if not same:
        return
    count = next(iter(next(iter(same.values())).values()))[0]
    same = {
        method: {s: a for s, (c, a) in seeds.items() if np.array_equal(c, count)}
        for method, seeds in same.items()
    }
    few = {m: seeds for m, seeds in list(same.items())[:_SHOWN] if seeds}
    yield (
        comparison.error_by_method(
            bins, count, {m: np.stack(list(s.values())) for m, s in few.items()}
        ),
        "error_by_label",
        "Test error by label, mean over seeds; bins are joined to at most thirty. "
        "Grey: training examples.",
        "Test error of each method against the label.",
    )
    gains = {}
    for method, seeds in few.items():
        common = sorted(seeds.keys() & same.get(one.base or "", {}).keys())
        if method != one.base and common:
            gains[method] = np.stack([same[one.base][s] - seeds[s] for s in common])
    if gains:
        yield (
            comparison.gain_by_label(bins, count, gains, str(one.base)),
            "gain_by_label",
            f"Error of {one.base} minus error of the method, paired by seed. Above "
            "zero the method is better. Whiskers: one standard deviation over seeds.",
            f"Gain in test error over {one.base} against the label.",
        )


def _section(one: Table, output: pathlib.Path, prefix: str) -> page.Section:
    runs = [run for row in one.rows for run in row.runs]
    notes = [
        note if len(runs) == 1 else f"{run.path}: {note}"
        for run in runs
        for note in run.notes
    ]
    if len(runs) > 1 and len(one.rows) > _SHOWN:
        notes.append(
            f"the figures by label and by step show the first {_SHOWN} of "
            f"{len(one.rows)} methods."
        )
    drawn = _run_figures(runs[0]) if len(runs) == 1 else _method_figures(one)
    pictures = []
    for figure, name, caption, alt in drawn:
        svg = canvas.svg(figure, f"{prefix}{name}", alt)
        (output / f"{prefix}{name}.png").write_bytes(canvas.png(figure))
        pictures.append(page.Picture(prefix + name, svg, caption))
    return page.Section(one, tuple(pictures), tuple(notes))


def _tables(runs: Sequence[Run], base: str | None) -> list[Table]:
    dense = [
        m for m in DENSE_METRICS if any(r.value(m, "all") is not None for r in runs)
    ]
    plain = table(runs, (*METRICS, *dense))
    names = {row.method for one in plain for row in one.rows}
    # Where one preset stands for several configs nobody knows which is the base.
    if base is None and {DEFAULT_BASE} < names:
        base = DEFAULT_BASE
    return plain if base is None else table(runs, (*METRICS, *dense), base)


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
    html = page.render(sections, [run for run in runs if run.result is None])
    temporary = output / f".report.html.{os.getpid()}"
    temporary.write_text(html, encoding="utf-8")
    return temporary.replace(output / "report.html")


def _read(run_dirs: Sequence[str | pathlib.Path]) -> list[Run]:
    paths = {pathlib.Path(path).resolve(): pathlib.Path(path) for path in run_dirs}
    return [read_run(path) for path in paths.values()]


def write_report(
    run_dirs: Sequence[str | pathlib.Path],
    output: str | pathlib.Path,
    base: str | None = None,
) -> pathlib.Path:
    """Writes `report.html`, `table.{txt,csv,md,tex}` and the figures as PNG.

    Args:
      run_dirs: run folders; a folder named twice counts once.
      output: folder to write to, made if missing.
      base: method that others are compared to, seed by seed. Default: `vanilla`, if
        it is among several methods.

    Returns:
      The path of `report.html`.

    Raises:
      cli.InputError: if a folder is no run, no run is finished, or no run has the
        base.
    """
    runs = _read(run_dirs)
    return _write(runs, _tables(runs, base), pathlib.Path(output))


def show(workdir: str | pathlib.Path) -> dict[str, Any]:
    """Writes the report of one finished run to `workdir/report` and prints its table.

    Args:
      workdir: the run folder.

    Returns:
      The content of `result.json`.

    Raises:
      cli.InputError: if the folder is no finished run.
    """
    workdir = pathlib.Path(workdir)
    run = read_run(workdir)
    tables = _tables([run], None)
    path = _write([run], tables, workdir / "report")
    print(f"\n{formats.to_text(tables)}\nReport: {path}")
    return dict(run.result or {})


def scores_text(workdir: str | pathlib.Path, result: dict[str, Any]) -> str:
    """The table of an evaluation.

    Args:
      workdir: the run folder.
      result: as `result.json`, where `split` names the entry with the metrics.
    """
    run = read_run(pathlib.Path(workdir))
    return formats.to_text(_tables([dataclasses.replace(run, result=result)], None))


def _main(argv: Sequence[str]) -> None:
    options = _parser().parse_args(argv)
    runs = _read(options.runs)
    tables = _tables(runs, options.base)
    if options.output is None:
        inside = runs[0].path if len(runs) == 1 else pathlib.Path()
        options.output = inside / "report"
    try:
        path = _write(runs, tables, options.output)
    except OSError as error:
        raise cli.InputError(
            f"cannot write to {options.output} ({error.strerror}): pass another folder "
            "as --output."
        ) from error
    print(formats.to_text(tables))
    unfinished = [str(run.path) for run in runs if run.result is None]
    if unfinished:
        print(f"Unfinished, not in the table: {', '.join(unfinished)}\n")
    print(f"Report: {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dirjax.report", description="Tables and figures over runs."
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a --workdir")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        metavar="DIR",
        help="default: RUN/report for one run, ./report for several",
    )
    parser.add_argument(
        "--base",
        metavar="METHOD",
        help=f"differences are to this method, by seed (default: {DEFAULT_BASE})",
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status, 2 for a wrong input."""
    argv = sys.argv[1:] if argv is None else argv
    return cli.run(_main, argv, debug="--debug" in argv)
