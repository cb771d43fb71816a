"""Error of one model under corrections for other label distributions, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dirjax import digits
from dirjax.labels import SHOTS
from dirjax.report import spreads
from dirjax.report.runs import COLUMNS, Run


def text(found: Mapping[str, Any], split: str, metric: str = "mae") -> str:
    """A table with a line for each strength of the correction.

    Args:
      found: content in the form of `result.json`, with `prior` and `frontier`.
      split: "val" or "test".
      metric: one of the metrics of its points.
    """
    points, chosen = found["frontier"]["points"], found["prior"]
    rows = [[p[split][metric][shot] for shot in COLUMNS] for p in points]
    form = digits.form([v for row in rows for v in row if v is not None])
    target, name = found["frontier"]["target"], metric.upper()
    lines = [
        f"{split} {name}, corrected for {target} labels (tau 0: as trained)",
        f"{'tau':>6}  {'decode':<8}" + "".join(f"{c:>12}" for c in COLUMNS),
    ]
    for point, row in zip(points, rows, strict=True):
        cells = ("-" if v is None else form(v) for v in row)
        mark = " *" if _is(point, chosen, target) else ""
        lines.append(
            f"{point['tau']:>6g}  {point['decode']:<8}"
            + "".join(f"{cell:>12}" for cell in cells)
            + mark
        )
    if any(line.endswith(" *") for line in lines):
        lines.append("* the correction that is used")
    return "\n".join(lines)


def _is(point: Mapping[str, Any], chosen: Mapping[str, Any], target: str) -> bool:
    return (
        chosen["target"] == target
        and point["tau"] == chosen["tau"]
        and point["decode"] == chosen["decode"]
    )


def curve(
    points: Sequence[Mapping[str, Any]],
    decode: str,
    split: str,
    columns: Sequence[str],
    metric: str = "mae",
) -> list[tuple[float, ...]]:
    """Tau and the errors of two or more shots along a frontier, tau ascending.

    Args:
      points: of the frontier.
      decode: which value of the distributions.
      split: "val" or "test".
      columns: shots.
      metric: one of the metrics of the points.

    Returns:
      A tuple for each tau; none where a shot has no rows.
    """
    own = [p for p in points if p["decode"] == decode and split in p]
    rows = [(p["tau"], *(p[split][metric][c] for c in columns)) for p in own]
    return sorted(row for row in rows if None not in row)


def is_balanced(run: Run) -> bool:
    """Whether a run has a frontier of its predictions for balanced labels."""
    record = run.result or {}
    found = record.get("frontier")
    if not found or found["target"] != "uniform":
        return False
    return any(p["decode"] == record["prior"]["decode"] for p in found["points"])


def by_method(
    runs: Mapping[str, Sequence[Run]], base: str | None, shot: str = "all"
) -> str:
    """A table of methods, as trained and with tau chosen on validation.

    Tau has the smallest validation MAE of the shot, mean over seeds; test errors are
    means over seeds. Differences from the base as trained are paired by seed, with 95 %
    intervals by Student's t; they are left out for fewer than two common seeds.

    Args:
      runs: finished runs by method; those without a frontier are left out.
      base: method that the others are compared with, or None.
      shot: which validation error chooses tau: "all" or a shot.

    Returns:
      Text, empty if no run has a frontier.
    """
    known = {
        method: [r for r in found if is_balanced(r)] for method, found in runs.items()
    }
    known = {method: found for method, found in known.items() if found}
    if not known:
        return ""
    plain = {m: {r.seed: _at(r, 0.0) for r in found} for m, found in known.items()}
    split = next(iter(known.values()))[0].split
    names = ("all", *SHOTS)
    values = [v for found in plain.values() for p in found.values() for v in p.values()]
    form = digits.form([v for v in values if v is not None])
    head = f"{'method':<24}{'tau':>6}" + "".join(f"{name:>10}" for name in names)
    rows = [
        f"{split} MAE, corrected for uniform labels; tau by validation MAE ({shot})",
        head + (f"   minus {base}: all, {SHOTS[-1]}" if base else ""),
    ]
    for method, found in known.items():
        for tau in dict.fromkeys((0.0, _best_tau(found, shot))):
            here = {run.seed: _at(run, tau) for run in found}
            means = [_mean([p[name] for p in here.values()]) for name in names]
            cells = "".join(f"{'-' if v is None else form(v):>10}" for v in means)
            line = f"{method:<24}{tau:>6g}{cells}"
            if base in plain and (method, tau) != (base, 0.0):
                line += _gaps(here, plain[base], form)
            rows.append(line)
    return "\n".join(rows)


def _at(run: Run, tau: float) -> dict[str, float | None]:
    """Test MAE of a run by shot, at a strength, decoded as the run decodes."""
    record = run.result or {}
    return next(
        p[run.split]["mae"]
        for p in record["frontier"]["points"]
        if p["tau"] == tau and p["decode"] == record["prior"]["decode"]
    )


def _best_tau(runs: Sequence[Run], shot: str) -> float:
    errors: dict[float, list[float]] = {}
    for run in runs:
        record = run.result or {}
        for point in record["frontier"]["points"]:
            value = point.get("val", {}).get("mae", {}).get(shot)
            if point["decode"] == record["prior"]["decode"] and value is not None:
                errors.setdefault(point["tau"], []).append(value)
    means = {tau: sum(v) / len(v) for tau, v in errors.items()}
    return min(means, key=lambda tau: (means[tau], tau), default=0.0)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _gaps(
    here: Mapping[int, Mapping[str, float | None]],
    base: Mapping[int, Mapping[str, float | None]],
    form: digits.Form,
) -> str:
    """`  -0.12 [-0.40, +0.16], ...`: differences paired by seed."""
    parts = []
    for name in ("all", SHOTS[-1]):
        pairs = [(here[s][name], base[s][name]) for s in here if s in base]
        gap = spreads.spread(
            [a - b for a, b in pairs if a is not None and b is not None]
        )
        ends = gap.interval()
        if gap.mean is not None and ends is not None:
            low, high = (form(end, "+") for end in ends)
            parts.append(f"{form(gap.mean, '+')} [{low}, {high}]")
    return "   " + ", ".join(parts) if parts else ""
