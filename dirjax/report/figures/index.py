"""The figures of a report, for one run or for several methods on a data set.

Names, captions and alternative texts are set here or in the module of the figure.
Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dirjax.digits import short
from dirjax.report import grids as grids_lib
from dirjax.report.figures import (
    balance,
    coverage,
    curves,
    frontier,
    grids,
    groups,
    methods,
    norms,
    one_run,
    style,
)
from dirjax.report.figures.style import Drawn
from dirjax.report.runs import COLUMNS, Run, TrainBins, of_split, same_bins
from dirjax.report.tables import NAMES, Row, Table

SHOWN = len(style.SERIES)  # largest number of methods in a figure, one per colour
_WHISKERS = " Whiskers: 95 % interval over the rows of the bin, without those of one."


def _histogram(bins: TrainBins) -> Drawn:
    return Drawn(
        one_run.label_histogram(bins),
        "histogram",
        "Training examples in each label bin, coloured by shot group.",
        f"Histogram of {int(bins.count.sum())} training labels in "
        f"{len(bins.count)} bins of {bins.label}, coloured by shot group.",
    )


def of_run(run: Run) -> Iterator[Drawn]:
    """Figures of one run.

    Args:
      run: a finished run.

    Yields:
      Figures for which the run has data.
    """
    bins, errors = run.bins, run.bin_errors()
    if bins is not None:
        yield _histogram(bins)
    if bins is not None and errors is not None:
        values = ((shot, run.value("mae", shot)) for shot in COLUMNS)
        shots = (f"{s} {'unknown' if v is None else short(v)}" for s, v in values)
        squares = run.bin_errors(2)
        yield Drawn(
            one_run.error_by_label(bins, *errors, squares and squares[1]),
            "error_by_label",
            "Mean absolute error of the test rows in each bin; larger marks mean more "
            f"rows.{_WHISKERS if squares else ''} Grey: training examples. Below: test "
            "rows.",
            f"Test error against {bins.label}. MAE by shot: {', '.join(shots)}.",
        )
    if any("loss" in entry for entry in of_split(run.log, "train")):
        metric = None if run.rescales_label else curves.validation_metric(run.log)
        held_out = (
            f" The validation {metric.upper()} has no weights and no focal factor."
            if metric
            else ""
        )
        yield Drawn(
            curves.loss_curves(run.log, run.best_step, metric),
            "loss",
            f"Loss on training batches. The best step was tested.{held_out}",
            "Training loss and its terms, and the validation error, by epoch.",
        )
    if any("mae/all" in entry for entry in run.log):
        yield Drawn(
            curves.mae_curves(run.log, run.best_step, bins),
            "mae",
            "Mean absolute error by shot group on the validation set. Thin lines: "
            "training batches, if logged.",
            "Validation MAE by shot group, by epoch.",
        )
    if "label" in run.predictions:
        pair = run.predictions["label"], run.predictions["prediction"]
        yield Drawn(
            one_run.predicted_true({"Predictions on the test set": pair}, bins),
            "predictions",
            "Test examples; darker where they are denser. Medians are taken over twelve"
            " equal label ranges: where they are flatter than the identity, predictions"
            " shrink towards the middle.",
            f"Predicted against true labels of {len(pair[0])} test examples.",
        )
    yield from coverage.figures(run)
    yield from frontier.figures({run.method: [run]})
    yield from groups.figures({run.method: [run]})
    yield from balance.figures({run.method: [run]})
    yield from norms.figures({run.method: [run]})


def of_methods(one: Table) -> Iterator[Drawn]:
    """Figures of several runs on one data set.

    Args:
      one: the table of the runs.

    Yields:
      Figures for which any run has data.
    """
    bins = next((run.bins for run in one.runs if run.bins is not None), None)
    if bins is not None:
        yield _histogram(bins)
    found = grids_lib.find(one)
    in_grid = {p.row.method for g in found for ps in g.points.values() for p in ps}
    beside = [row for row in one.rows if row.method not in in_grid]
    if len(beside) > 1 or not in_grid:
        yield from _bars(beside, bins, bool(in_grid))
    yield from grids.figures(one, found, bins)
    if bins is not None:
        yield from _by_label(one, bins)
    yield from frontier.figures(one.by_method)
    yield from groups.figures(one.by_method)
    few = dict(list(one.by_method.items())[:SHOWN])
    logs = {method: [run.log for run in runs] for method, runs in few.items()}
    if any("mae/all" in e for group in logs.values() for log in group for e in log):
        yield Drawn(
            methods.mae_by_method(logs, bins),
            "mae",
            "Validation MAE over all examples. Line: mean over seeds; band: range.",
            "Validation MAE of each method, by epoch.",
        )
    pairs = {}
    for method, runs in few.items():
        if stored := [r.predictions for r in runs if "label" in r.predictions]:
            pairs[method] = (stored[0]["label"], stored[0]["prediction"])
    if pairs:
        yield Drawn(
            one_run.predicted_true(pairs, bins),
            "predictions",
            "Predicted against true labels of the test set, for the first seed.",
            "Predicted against true labels, one panel per method.",
        )
    yield from balance.figures(few)
    yield from norms.figures(few)


def _has_groups(rows: Sequence[Row]) -> bool:
    return any("group" in run.predictions for row in rows for run in row.runs)


def _bars(
    rows: Sequence[Row], bins: TrainBins | None, in_grid: bool
) -> Iterator[Drawn]:
    """MAE by shot, and bMAE, which papers on group prediction report."""
    for metric, name in (("mae", "shots"), ("bmae", "shots_bmae")):
        values = {
            row.method: {
                shot: [v for r in row.runs if (v := r.value(metric, shot)) is not None]
                for shot in COLUMNS
            }
            for row in rows
        }
        known = any(any(columns.values()) for columns in values.values())
        if metric == "bmae" and not (_has_groups(rows) and known):
            continue
        said, split = NAMES[metric], rows[0].runs[0].split
        caption = [
            "Bars: mean over seeds. Whiskers: one sample standard deviation. Dots: "
            "seeds."
        ]
        if metric == "bmae":
            caption.insert(0, f"{said}: mean over label bins of the MAE in the bin.")
        if in_grid:
            caption.append("Points of a grid are not shown.")
        yield Drawn(
            methods.shot_bars(
                values,
                style.error_axis(bins, f"{split} {said}"),
                f"{'Error' if metric == 'mae' else said} by shot",
            ),
            name,
            " ".join(caption),
            f"The {split} {said} of each method by shot group.",
        )


def _by_label(one: Table, bins: TrainBins) -> Iterator[Drawn]:
    """Errors by label, for runs with these bins and the same test examples."""
    same: dict[str, dict[int, np.ndarray]] = {}
    count = None
    for method, runs in one.by_method.items():
        for run in runs:
            errors = run.bin_errors()
            if errors is None or not same_bins(run, bins):
                continue
            count = errors[0] if count is None else count
            seeds = same.setdefault(method, {})
            if np.array_equal(errors[0], count):
                seeds[run.seed] = errors[1]
    if count is None:
        return
    few = {m: seeds for m, seeds in list(same.items())[:SHOWN] if seeds}
    absolute = {m: np.stack(list(seeds.values())) for m, seeds in few.items()}
    squares = {}
    for method in few:
        stored = [
            r.bin_errors(2) for r in one.by_method[method] if r.seed in few[method]
        ]
        if all(stored):
            squares[method] = np.stack([s[1] for s in stored if s is not None])
    yield Drawn(
        methods.error_by_method(bins, count, absolute, squares),
        "error_by_label",
        "Test error by label, mean over seeds; bins are merged to at most thirty. "
        "Whiskers: 95 % interval over seeds and the test rows of the bin. Grey: "
        "training examples. Below: test rows.",
        "Test error of each method against the label.",
    )
    if one.base in few and len(few) > 1 and _has_groups(one.rows):
        yield Drawn(
            methods.error_panels(bins, count, absolute),
            "error_panels",
            "Test error of each label bin, mean over seeds. The vertical axes differ.",
            f"Test error of each label bin, one panel per method, {one.base} first.",
        )
    base, gains = same.get(one.base or "", {}), {}
    for method, seeds in few.items():
        common = sorted(seeds.keys() & base.keys())
        if method != one.base and common:
            gains[method] = np.stack([base[s] - seeds[s] for s in common])
    if gains:
        yield Drawn(
            methods.gain_by_label(bins, count, gains, str(one.base)),
            "gain_by_label",
            f"Error of {one.base} minus error of the method, paired by seed; positive "
            "where the method is better. Whiskers: one standard deviation over seeds.",
            f"Reduction of the test error relative to {one.base}, against the label.",
        )
