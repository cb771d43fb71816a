"""Error of one model under corrections for other label distributions, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dirjax import digits
from dirjax.report.runs import COLUMNS


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
