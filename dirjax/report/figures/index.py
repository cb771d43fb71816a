"""Which figures a report has: of one run, and of several methods on a data set.

Each is drawn, named, captioned and described here; how it is drawn is in `plots`,
`curves`, `comparison` and `grids`. Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dirjax.report.figures import (
    balance,
    curves,
    grids,
    groups,
    methods,
    norms,
    one_run,
    style,
)
from dirjax.report.runs import COLUMNS, Run
from dirjax.report.tables import NAMES, Row, Table

SHOWN = 6  # methods in one figure: as many as there are colours

# What a figure function returns, its name, its caption and its description.
Drawn = tuple[Any, str, str, str]


def _sentence(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _by_shot(run: Run) -> str:
    numbers = (f"{shot} {_sentence(run.value('mae', shot))}" for shot in COLUMNS)
    return ", ".join(numbers)


def of_run(run: Run) -> Iterator[Drawn]:
    """Figures of one run.

    Args:
      run: a finished run.

    Yields:
      Figure, name, caption and description.
    """
    bins, errors = run.bins, run.bin_errors()
    if bins is not None:
        yield (
            one_run.label_histogram(bins),
            "histogram",
            "Training examples in each label bin. The colour is the shot group.",
            f"Histogram of {int(bins.count.sum())} training labels in "
            f"{len(bins.count)} bins of {bins.label}, coloured by shot group.",
        )
    if bins is not None and errors is not None:
        yield (
            one_run.error_by_label(bins, *errors),
            "error_by_label",
            "Mean absolute error of the test examples in each bin; larger marks stand "
            "for more test examples. Grey: training examples.",
            f"Test error against {bins.label}. MAE by shot: {_by_shot(run)}.",
        )
    if any(entry.get("split") == "train" and "loss" in entry for entry in run.log):
        metric = None if run.learns_logarithm else curves.validation_metric(run.log)
        held_out = (
            f" The validation {metric.upper()} is neither weighted nor focal."
            if metric
            else ""
        )
        yield (
            curves.loss_curves(run.log, run.best_step, metric),
            "loss",
            "Loss on training batches. The best step is the one that was tested."
            + held_out,
            "Training loss and its terms, and the validation error, by epoch.",
        )
    if any("mae/all" in entry for entry in run.log):
        yield (
            curves.mae_curves(run.log, run.best_step, bins),
            "mae",
            "Mean absolute error by shot group on the validation set; thin lines, if "
            "any, are training batches.",
            "Validation MAE by shot group against the step.",
        )
    if "label" in run.predictions:
        label, prediction = run.predictions["label"], run.predictions["prediction"]
        yield (
            one_run.predicted_true(
                {"Predictions on the test set": (label, prediction)}, bins
            ),
            "predictions",
            "Test examples; stronger colour where there are more. The median is over "
            "twelve equal ranges of the label: where it is flatter than the identity, "
            "predictions shrink to the middle.",
            f"Predicted against true labels of {len(label)} test examples.",
        )
    yield from groups.figures({run.method: [run]})
    yield from balance.figures({run.method: [run]})
    yield from norms.figures({run.method: [run]})


def of_methods(one: Table) -> Iterator[Drawn]:
    """Figures of several runs on one data set, as `of_run`."""
    runs = [run for row in one.rows for run in row.runs]
    bins = next((run.bins for run in runs if run.bins is not None), None)
    if bins is not None:
        yield next(of_run(next(run for run in runs if run.bins is not None)))
    found = grids.find(one)
    in_grid = {p.row.method for g in found for ps in g.points.values() for p in ps}
    beside = [row for row in one.rows if row.method not in in_grid]
    if len(beside) > 1 or not in_grid:
        yield from _bars(beside, bins, bool(in_grid))
    yield from _grids(one, found, bins)
    few = one.rows[:SHOWN]
    if bins is not None:
        yield from _by_label(one, bins)
    yield from groups.figures({row.method: row.runs for row in one.rows})
    logs = {row.method: [run.log for run in row.runs] for row in few}
    if any("mae/all" in e for group in logs.values() for log in group for e in log):
        yield (
            methods.mae_by_method(logs, bins),
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
            one_run.predicted_true(pairs, bins),
            "predictions",
            "Predicted against true labels of the test set, for the first seed.",
            "Predicted against true labels, a panel for each method.",
        )
    yield from balance.figures({row.method: row.runs for row in few})
    yield from norms.figures({row.method: row.runs for row in few})


def _bars(rows: Sequence[Row], bins: Any, in_grid: bool) -> Iterator[Drawn]:
    """MAE by shot; of methods with groups, as their papers have it, bMAE, too."""
    for metric, name in (("mae", "shots"), ("bmae", "shots_bmae")):
        values = {
            row.method: {
                shot: [v for r in row.runs if (v := r.value(metric, shot)) is not None]
                for shot in COLUMNS
            }
            for row in rows
        }
        if metric == "bmae" and not (
            _has_groups(rows) and any(any(v.values()) for v in values.values())
        ):
            continue
        said = NAMES[metric]
        what = f"{rows[0].runs[0].split} {said}"
        caption = (
            "Bars: mean over seeds. Whiskers: one sample standard deviation. Dots: "
            "seeds."
        )
        if metric == "bmae":
            caption = f"{said}: mean over label bins of the MAE in the bin. {caption}"
        yield (
            methods.shot_bars(
                values,
                style.error_axis(bins, what) if bins else f"{what} (label units)",
                "Test error by shot" if metric == "mae" else f"Test {said} by shot",
            ),
            name,
            caption + (" Without the points of a grid." if in_grid else ""),
            f"Test {said} of each method by shot group.",
        )


def _has_groups(rows: Sequence[Row]) -> bool:
    return any("group" in run.predictions for row in rows for run in row.runs)


def _by_label(one: Table, bins: Any) -> Iterator[Drawn]:
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
    few = {m: seeds for m, seeds in list(same.items())[:SHOWN] if seeds}
    yield (
        methods.error_by_method(
            bins, count, {m: np.stack(list(s.values())) for m, s in few.items()}
        ),
        "error_by_label",
        "Test error by label, mean over seeds; bins are joined to at most thirty. "
        "Grey: training examples.",
        "Test error of each method against the label.",
    )
    if one.base in few and len(few) > 1 and _has_groups(one.rows):
        yield (
            methods.error_panels(
                bins, count, {m: np.stack(list(s.values())) for m, s in few.items()}
            ),
            "error_panels",
            "Test error of each label bin, mean over seeds. The vertical axes differ.",
            f"Test error of each label bin, {one.base} first, a panel for each method.",
        )
    gains = {}
    for method, seeds in few.items():
        common = sorted(seeds.keys() & same.get(one.base or "", {}).keys())
        if method != one.base and common:
            gains[method] = np.stack([same[one.base][s] - seeds[s] for s in common])
    if gains:
        yield (
            methods.gain_by_label(bins, count, gains, str(one.base)),
            "gain_by_label",
            f"Error of {one.base} minus error of the method, paired by seed. Above "
            "zero the method is better. Whiskers: one standard deviation over seeds.",
            f"Gain in test error over {one.base} against the label.",
        )


def _grids(one: Table, found: list[grids.Grid], bins: Any) -> Iterator[Drawn]:
    for k, grid in enumerate(found):
        for metric, kind in ((grids.metric_of(one), ""), ("group_accuracy", "_groups")):
            if not grids.has(grid, metric):
                continue
            base = grids.base_of(grid, one, metric)
            caption = (
                "Points: mean over seeds. Whiskers: one sample standard deviation."
            )
            if base is not None:
                caption += (
                    f" Dashed, with a band: {base.method}, which has no such field."
                )
            if len(grid.fields) == 2 and len(grid.values(0)) > SHOWN:
                caption += f" The first {SHOWN} values of {grid.names[0]}."
            if len(grid.points) > SHOWN:
                caption += f" The first {SHOWN} of {len(grid.points)} methods."
            yield (
                grids.draw(grid, one, metric, bins),
                f"grid{kind}" + (f"_{k + 1}" if len(found) > 1 else ""),
                caption,
                f"Test {NAMES[metric]} of {', '.join(grid.points)} against "
                f"{' and '.join(reversed(grid.names))}.",
            )
