"""Tables of runs: mean and spread over seeds, paired differences from a base.

`table` groups runs by data set and method. Runs of one method whose configs differ in
more than the seed get separate rows, named by the differing fields. Differences from
the base are paired by seed, over the seeds that both have, and by test row; see
`spreads`. Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dirjax import digits
from dirjax.errors import InputError
from dirjax.labels import SHOTS
from dirjax.report.runs import COLUMNS, Run
from dirjax.report.spreads import OTHER_DATA, Redrawn, Spread, redraw, spread

METRICS = ("mae", "gm", "rmse", "pearson")
# All metrics of a report, in order. Those not in METRICS are shown if a run has them:
# metrics of depth and of label groups, and `bmae`, which the first runs lack.
REPORTED = ("mae", "bmae", "gm", "rmse", "pearson", "mse")
REPORTED += ("delta1", "delta2", "delta3", "abs_rel", "log10")
REPORTED += ("group_accuracy", "group_distance", "oracle_mae")
NAMES = {
    "mae": "MAE",
    "gm": "GM",
    "mse": "MSE",
    "rmse": "RMSE",
    "bmae": "balanced MAE",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "abs_rel": "AbsRel",
    "group_accuracy": "group accuracy",
    "group_distance": "group distance",
    "oracle_mae": "oracle MAE",
    "oracle_rmse": "oracle RMSE",
    "nll": "NLL",
    "nll_bound": "NLL bound",
}
# Correlations and accuracies, for which higher is better, unlike errors.
_BOUNDED = ("pearson", "spearman", "delta1", "delta2", "delta3", "group_accuracy")


# metric -> column of `COLUMNS` -> spread over seeds
Values = Mapping[str, Mapping[str, Spread]]


@dataclasses.dataclass(frozen=True)
class Row:
    """One method on one data set.

    Attributes:
      method: preset, with the fields that distinguish it from other runs of the same
        preset: `"ssir [radius=0.5]"`.
      runs: its runs, ordered by seed.
      values: spreads of its metrics over seeds and test rows.
      difference: spreads of `method - base`, paired by seed and row, or None.
      pairs: number of seeds that method and base have in common.
    """

    method: str
    runs: tuple[Run, ...]
    values: Values
    difference: Values | None = None
    pairs: int = 0


@dataclasses.dataclass(frozen=True)
class Printed:
    """A published row that is shown next to one of ours.

    Attributes:
      name: method as named in the paper, and abbreviated source.
      source: full source.
      values: metric -> column of `COLUMNS` -> number as printed.
    """

    name: str
    source: str
    values: Mapping[str, Mapping[str, str]]


@dataclasses.dataclass(frozen=True)
class Table:
    """All methods on one data set.

    Attributes:
      dataset: its name.
      metrics: names of the metrics, in order.
      rows: one per method, the base first.
      base: method that the others are compared with, or None.
      warnings: sentences to read before using the numbers.
      published: method of a row -> published rows; see `published.attach`.
      notes: further sentences below the numbers.
      draws: number of draws of test rows behind the intervals; 0 without rows.
      no_rows: why intervals do not cover test rows; empty if they do.
    """

    dataset: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    base: str | None
    warnings: tuple[str, ...]
    published: Mapping[str, tuple[Printed, ...]] = dataclasses.field(
        default_factory=dict
    )
    notes: tuple[str, ...] = ()
    draws: int = 0
    no_rows: str = ""

    @property
    def runs(self) -> list[Run]:
        """The runs of all rows."""
        return [run for row in self.rows for run in row.runs]

    @property
    def split(self) -> str:
        """The split that the metrics are computed on."""
        return self.rows[0].runs[0].split

    @property
    def by_method(self) -> dict[str, tuple[Run, ...]]:
        """Method of each row -> its runs."""
        return {row.method: row.runs for row in self.rows}


def metric_name(metric: str) -> str:
    """Display name of a metric: `"mae" -> "MAE"`."""
    return NAMES.get(metric, metric)


def lower_is_better(metric: str) -> bool:
    """Whether smaller values of the metric are better."""
    return metric not in _BOUNDED


def form_of(
    metric: str, values: Sequence[Spread], gaps: Sequence[Spread] = ()
) -> digits.Form:
    """How the numbers of a metric are written.

    Args:
      metric: its name; correlations and accuracies have three decimals.
      values: all values that stand in a table or a column.
      gaps: the differences in the same table.
    """
    if not lower_is_better(metric):
        return digits.Form(3)
    means = [v.mean for v in values if v.mean is not None]
    spreads = [v.std for v in values if v.std is not None]
    return digits.form(means, spreads + [g.mean for g in gaps if g.mean is not None])


def identity_gap(run: Run, metric: str = "mae") -> float | None:
    """Relative gap between `all` and its value computed from the shot groups.

    `mae_all = sum_s w_s mae_s`, where `w_s` is the share of test examples in shot group
    s; the same holds for `mse` and for the logarithm of `gm`.

    Args:
      run: a finished run.
      metric: `mae`, `mse` or `gm`.

    Returns:
      `|all - sum| / max(|all|, tiny)`, or None if a number is missing.
    """
    count = {shot: run.value("count", shot) or 0.0 for shot in SHOTS}
    total, overall = sum(count.values()), run.value(metric, "all")
    if not total or overall is None:
        return None
    there, back = (math.log, math.exp) if metric == "gm" else (float, float)
    together = 0.0
    for shot in SHOTS:
        value = run.value(metric, shot)
        if not count[shot]:
            continue
        if value is None or (metric == "gm" and value <= 0):
            return None
        together += count[shot] / total * there(value)
    return abs(overall - back(together)) / max(abs(overall), 1e-12)


def _run_warnings(run: Run) -> list[str]:
    warnings = []
    for metric in ("mae", "gm", "mse"):
        gap = identity_gap(run, metric)
        if gap is not None and gap > 1e-3:
            warnings.append(
                f"{run.path}: {NAMES[metric]} of all {run.split} rows and of the shot "
                f"groups disagree by {100 * gap:.2g}%. Check the evaluation before "
                "using this row."
            )
    if not (run.result or {}).get(run.split):
        warnings.append(f"{run.path}: its data have no {run.split} split.")
    elif run.value("mae", "all") is None:
        warnings.append(
            f"{run.path}: the {run.split} MAE is missing or not finite, as after "
            "diverged training. The mean excludes this seed."
        )
    elif identity_gap(run) is None:
        warnings.append(
            f"{run.path}: result.json lacks counts or errors by shot, so the overall "
            "error cannot be checked against the errors by shot."
        )
    return warnings


# Fields that do not affect the results of a run; the seed is handled separately.
_NO_VARIANT = {"seed", "workdir", "command", "method", "writers", "data.path"}
_NO_VARIANT |= {"log.every", "checkpoint.every"}
_MEMBERS = "model.members"


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif prefix + name not in _NO_VARIANT:
            flat[prefix + name] = json.dumps(value)
    return flat


def _fields(run: Run) -> dict[str, str]:
    """Config fields of a run; a start from the run of the same seed has no seed."""
    flat = _flat(run.config)
    if "init_from" in flat:
        flat["init_from"] = flat["init_from"].replace(f'/seed_{run.seed}"', '/seed_N"')
    return flat


def varied_fields(runs: Sequence[Run]) -> list[str]:
    """Paths of the config fields, other than the seed, in which runs differ; sorted."""
    flats = [_fields(run) for run in runs]
    if not all(flats):
        return []
    seeds = [str(run.seed) for run in runs]
    return [
        key
        for key in sorted(set().union(*flats))
        if len({flat.get(key) for flat in flats}) > 1
        and [flat.get(key) for flat in flats] != seeds
    ]


def _variants(runs: Sequence[Run]) -> list[str]:
    """Row name of each run: the method and the fields that distinguish its config.

    Several networks are named in any case: beside one they are no equal match.
    """
    varied = varied_fields(runs)
    names = []
    for run in runs:
        flat = _fields(run)
        several = flat.get(_MEMBERS, "1") != "1" and _MEMBERS not in varied
        parts = [
            f"{key.rsplit('.', 1)[-1]}={flat.get(key, 'unset')}"
            for key in (*varied, *([_MEMBERS] if several else ()))
        ]
        names.append(f"{run.method} [{', '.join(parts)}]" if parts else run.method)
    return names


def _group(runs: Sequence[Run]) -> tuple[dict[str, tuple[Run, ...]], list[str]]:
    """Runs by row name, and warnings about duplicate seeds."""
    by_method: dict[str, list[Run]] = {}
    for run in runs:
        by_method.setdefault(run.method, []).append(run)
    groups: dict[str, dict[int, Run]] = {}
    warnings = []
    for members in by_method.values():
        for name, run in zip(_variants(members), members, strict=True):
            seeds = groups.setdefault(name, {})
            if run.seed in seeds:
                warnings.append(
                    f"{name} has seed {run.seed} twice; {seeds[run.seed].path} is "
                    f"used and {run.path} is not."
                )
            seeds.setdefault(run.seed, run)
    return {n: tuple(s[k] for k in sorted(s)) for n, s in groups.items()}, warnings


def _spread(
    runs: Sequence[Run],
    base: Sequence[Run],
    metric: str,
    column: int,
    drawn: Redrawn | None,
    tests: int,
) -> Spread:
    """Spread of a metric over runs or, with a base, of the differences by seed."""
    shot, others = COLUMNS[column], {run.seed: run for run in base}
    runs = [run for run in runs if not base or run.seed in others]
    values = [run.value(metric, shot) for run in runs]
    if base:
        theirs = [others[run.seed].value(metric, shot) for run in runs]
        pairs = zip(values, theirs, strict=True)
        values = [None if None in (a, b) else a - b for a, b in pairs]  # pyright: ignore
    if drawn is None or metric not in drawn.values:
        return spread(values, tests=tests)
    table, place = drawn.values[metric][:, :, column], drawn.place
    redrawn = table[:, [place[str(run.path)] for run in runs]]
    if base:
        redrawn = redrawn - table[:, [place[str(others[r.seed].path)] for r in runs]]
    return spread(values, redrawn, drawn.rows[column], tests)


def _table(
    dataset: str, runs: Sequence[Run], metrics: tuple[str, ...], base: str | None
) -> Table:
    groups, warnings = _group(runs)
    for run in runs:
        warnings += _run_warnings(run)
    counts = {tuple(run.value("count", shot) for shot in COLUMNS) for run in runs}
    if len(counts) > 1:
        warnings.append(
            f"the runs have different numbers of {runs[0].split} rows by shot, so "
            "their errors by shot are not comparable."
        )
    if base is not None and base not in groups:
        same = [name for name in groups if name.startswith(f"{base} [")]
        if same:
            raise InputError(
                f"{base} has several configs on {dataset}. Choose one of them as "
                f"--base: {'; '.join(same)}."
            )
        warnings.append(f"there are no differences: no run of {base} on {dataset}.")
        base = None
    drawn = redraw([run for members in groups.values() for run in members])
    rows = drawn if isinstance(drawn, Redrawn) else None
    if isinstance(drawn, str) and drawn.startswith(OTHER_DATA):
        warnings.append(
            f"{drawn}, so differences may be those of the data, not of the methods."
        )

    def values(members: Sequence[Run], others: Sequence[Run] = ()) -> Values:
        tests = len(groups) - 1 if others else 1
        return {
            metric: {
                shot: _spread(members, others, metric, column, rows, tests)
                for column, shot in enumerate(COLUMNS)
            }
            for metric in metrics
        }

    against = groups.get(base or "", ())
    laid = []
    for name in sorted(groups, key=lambda name: name != base):
        row = Row(name, groups[name], values(groups[name]))
        if against and name != base:
            pairs = len({r.seed for r in groups[name]} & {r.seed for r in against})
            if not pairs:
                warnings.append(
                    f"{name} has no seed in common with {base}, so there is no "
                    "difference."
                )
            gaps = values(groups[name], against)
            row = dataclasses.replace(row, difference=gaps, pairs=pairs)
        laid.append(row)
    return Table(
        dataset,
        metrics,
        tuple(laid),
        base,
        tuple(warnings),
        draws=0 if rows is None else rows.draws,
        no_rows=drawn if isinstance(drawn, str) else "",
    )


def table(
    runs: Sequence[Run],
    metrics: Sequence[str] = METRICS,
    base: str | None = None,
) -> list[Table]:
    """One table per data set.

    Args:
      runs: runs from `read_run`; unfinished ones are skipped.
      metrics: names of metrics in `result.json`.
      base: method that the others are compared with, seed by seed.

    Returns:
      Tables in the order in which the data sets first appear.

    Raises:
      InputError: if no run is finished, or no data set has the base.
    """
    by_dataset: dict[str, list[Run]] = {}
    for run in runs:
        if run.result is not None:
            by_dataset.setdefault(run.dataset, []).append(run)
    if not by_dataset:
        raise InputError(
            f"none of the {len(runs)} runs is finished: result.json is missing. Repeat "
            "the training command to resume."
        )
    names = sorted(set().union(*(_group(group)[0] for group in by_dataset.values())))
    methods = {run.method for group in by_dataset.values() for run in group}
    if base is not None and base not in names and base not in methods:
        raise InputError(
            f"there is no finished run of the base {base!r}. Choose one of "
            f"{', '.join(names)}."
        )
    return [_table(d, g, tuple(metrics), base) for d, g in by_dataset.items()]
