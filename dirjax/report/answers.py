"""Which method for which labels: one sentence for each shot, the rarest labels first.

A method is better or worse than the base if the interval of the difference, corrected
for the number of methods, excludes zero. Otherwise the sentence tells how many test
rows of the shot, or seeds, would make it exclude zero if difference and variances
stayed as they are. Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from dirjax.report import grids
from dirjax.report.runs import COLUMNS
from dirjax.report.spreads import Spread
from dirjax.report.tables import Table, form_of, lower_is_better, metric_name

_NAMED = 6  # methods named in one list
_FACTORS = np.geomspace(1.05, 1000.0, 120)


def _about(count: float) -> str:
    """Rounded up to two significant digits, 20 or less exactly."""
    unit = 10 ** max(math.floor(math.log10(count)) - 1, 0)
    return f"{math.ceil(count / unit) * unit:,}"


def needs(gap: Spread, split: str = "test") -> str:
    """How many rows or seeds would take an interval off zero.

    Args:
      gap: a difference.
      split: the name of its rows.

    Example:
      >>> needs(Spread(-1.0, None, 1, by_rows=0.5, rows=40))
      'needs about 84 test rows'
    """
    if gap.half() is None:
        return (
            "one seed says nothing" if not gap.rows else f"too few {split} rows to say"
        )
    enough = abs(gap.mean or 0.0)

    def factor(**more: bool) -> float | None:
        for f in _FACTORS:
            if (gap.half(**{k: float(f) for k in more}) or 0.0) < enough:
                return float(f)
        return None

    ways = []
    if gap.rows and (rows := factor(rows=True)):
        ways.append(f"{_about(rows * gap.rows)} {split} rows")
    if gap.std is not None and (seeds := factor(seeds=True)):
        ways.append(f"{_about(seeds * gap.size)} seeds")
    crossed = not ways and gap.rows and gap.std is not None
    if crossed and (both := factor(rows=True, seeds=True)):
        pair = _about(both * gap.rows), _about(both * gap.size)
        ways.append("{} {split} rows with {} seeds".format(*pair, split=split))
    if not ways:
        return "too small a difference to decide"
    return f"needs about {' or '.join(ways)}"


def _listed(kind: str, methods: Sequence[str]) -> str:
    more = len(methods) - _NAMED
    rest = [f"{more} more"] if more > 0 else []
    return f"{kind}: {', '.join([*methods[:_NAMED], *rest])}"


def answers(table: Table) -> Iterator[str]:
    """One sentence for each shot with a difference; none without a base."""
    metric = grids.metric_of(table)
    compared = [row for row in table.rows if row.difference is not None]
    gaps = [g for row in compared for g in (row.difference or {})[metric].values()]
    values = [v for row in table.rows for v in row.values[metric].values()]
    form = form_of(metric, values, gaps)
    good = -1 if lower_is_better(metric) else 1
    kinds = {good: "better", -good: "worse", 0: "undecided"}
    split = table.rows[0].runs[0].split
    for shot in reversed(COLUMNS):
        found: dict[str, list[tuple[float, str]]] = {k: [] for k in kinds.values()}
        for row in compared:
            gap = (row.difference or {})[metric][shot]
            if gap.mean is None:
                continue
            text = form(gap.mean, "+")
            if gap.sign == 0:
                text = f"{text}; {needs(gap, split)}"
            kind = kinds[gap.sign]
            found[kind].append((-good * gap.mean, f"{row.method} ({text})"))
        parts = [_listed(k, [t for _, t in sorted(v)]) for k, v in found.items() if v]
        if parts:
            count = table.rows[0].runs[0].value("count", shot)
            rows = "" if count is None else f" ({count:,.0f} {split} rows)"
            head = f"{shot}{rows}, {metric_name(metric)} against {table.base}"
            yield f"{head}: {'; '.join(parts)}."
