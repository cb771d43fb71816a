"""Tables of runs: mean and spread over seeds, paired differences from a base.

`table` groups runs by data set and method. Runs of one method whose configs differ in
more than the seed get separate rows, named by the differing fields. Differences from
the base are paired by seed, over the seeds that both have.

Spread is the sample standard deviation (divisor n - 1). Deviations: none, this
module is dirjax's own.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax.errors import InputError
from dirjax.labels import SHOTS
from dirjax.report.runs import COLUMNS, Run

METRICS = ("mae", "gm", "rmse", "pearson")
# Metrics that only some runs have.
DENSE_METRICS = ("delta1", "delta2", "delta3", "abs_rel", "log10")
GROUP_METRICS = ("group_accuracy", "group_distance", "oracle_mae")
NAMES = {
    "mae": "MAE",
    "gm": "GM",
    "mse": "MSE",
    "rmse": "RMSE",
    "bmae": "bMAE",
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


class Spread(NamedTuple):
    """Mean and sample standard deviation of `size` values; None if undefined."""

    mean: float | None = None
    std: float | None = None
    size: int = 0

    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean by Student's t; None for fewer than two values.

        Example:
          >>> low, high = Spread(0.0, 1.0, 5).interval()
          >>> round(high, 3), low == -high
          (1.242, True)
        """
        if self.mean is None or self.std is None:
            return None
        # As `scipy.stats.t.ppf`, but `scipy.stats` takes a second to import.
        from scipy import special

        quantile = float(special.stdtrit(self.size - 1, 0.975))
        half = quantile * self.std / math.sqrt(self.size)
        return self.mean - half, self.mean + half


# metric -> column of `COLUMNS` -> spread over seeds
Values = Mapping[str, Mapping[str, Spread]]


@dataclasses.dataclass(frozen=True)
class Row:
    """One method on one data set.

    Attributes:
      method: preset, with the fields that distinguish it from other runs of the same
        preset: `"ssir [radius=0.5]"`.
      runs: its runs, ordered by seed.
      values: spreads of its metrics over seeds.
      difference: spreads of `method - base`, paired by seed, or None.
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


def decimals(metric: str, values: Sequence[Spread]) -> int:
    """Number of decimals in a column of a table.

    Args:
      metric: name of the metric; correlations and accuracies have three decimals.
      values: values of the column; errors between 10 and 1,000 have two decimals.
    """
    largest = max((abs(v.mean) for v in values if v.mean is not None), default=0.0)
    if not lower_is_better(metric) or not largest:
        return 3
    return sum(largest < limit for limit in (1e4, 1e3, 10, 1, 0.1))


def spread(values: Sequence[float | None]) -> Spread:
    """Mean and sample standard deviation of the values that are not None.

    Example:
      >>> spread([1.0, 3.0, None])
      Spread(mean=2.0, std=1.4142135623730951, size=2)
    """
    real = [value for value in values if value is not None]
    if not real:
        return Spread()
    std = float(np.std(real, ddof=1)) if len(real) > 1 else None
    return Spread(float(np.mean(real)), std, len(real))


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
                f"{run.path}: {NAMES[metric]} of all test examples and of the shot "
                f"groups disagree by {100 * gap:.2g}%. Check the evaluation before "
                "using this row."
            )
    if run.value("mae", "all") is None:
        warnings.append(
            f"{run.path}: the test MAE is missing or not finite, as after diverged "
            "training. The mean excludes this seed."
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


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif prefix + name not in _NO_VARIANT:
            flat[prefix + name] = json.dumps(value)
    return flat


def varied_fields(runs: Sequence[Run]) -> list[str]:
    """Paths of the config fields, other than the seed, in which runs differ; sorted."""
    flats = [_flat(run.config) for run in runs]
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
    """Row name of each run: the method and the fields that distinguish its config."""
    varied = varied_fields(runs)
    names = []
    for run in runs:
        flat = _flat(run.config)
        parts = [f"{key.rsplit('.', 1)[-1]}={flat.get(key, 'unset')}" for key in varied]
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


def _difference(
    runs: Sequence[Run], base: Sequence[Run], metric: str, shot: str
) -> Spread:
    ours = {run.seed: run.value(metric, shot) for run in runs}
    theirs = {run.seed: run.value(metric, shot) for run in base}
    pairs = ((ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys()))
    return spread([a - b for a, b in pairs if a is not None and b is not None])


def _values(metrics: Sequence[str], of: Callable[[str, str], Spread]) -> Values:
    return {metric: {shot: of(metric, shot) for shot in COLUMNS} for metric in metrics}


def _row(
    method: str, runs: tuple[Run, ...], metrics: Sequence[str], base: Sequence[Run]
) -> Row:
    values = _values(metrics, lambda m, s: spread([r.value(m, s) for r in runs]))
    if not base or runs is base:
        return Row(method, runs, values)
    gaps = _values(metrics, lambda m, s: _difference(runs, base, m, s))
    seeds = {run.seed for run in runs} & {run.seed for run in base}
    return Row(method, runs, values, gaps, len(seeds))


def _table(
    dataset: str, runs: Sequence[Run], metrics: tuple[str, ...], base: str | None
) -> Table:
    groups, warnings = _group(runs)
    for run in runs:
        warnings += _run_warnings(run)
    counts = {tuple(run.value("count", shot) for shot in COLUMNS) for run in runs}
    if len(counts) > 1:
        warnings.append(
            "the runs have different numbers of test examples by shot, so their errors "
            "by shot are not comparable."
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
    rows = tuple(
        _row(name, groups[name], metrics, groups.get(base or "", ()))
        for name in sorted(groups, key=lambda name: name != base)
    )
    return Table(dataset, metrics, rows, base, tuple(warnings))


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
