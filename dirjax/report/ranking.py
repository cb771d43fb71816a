"""Which method is better over several data sets, by the critical difference of ranks.

On each data set the methods are ranked by their error, 1 for the smallest; ties share
their mean rank. Two methods differ if their mean ranks over data sets are further apart
than the critical difference of Nemenyi's test at 5 %, `q sqrt(k (k + 1) / (6 N))` for k
methods on N data sets (Demsar, JMLR 2006). Friedman's test, in the form of Iman and
Davenport, says whether there is any difference at all. Both count data sets, not rows
or seeds: a few data sets bear out little, whatever the intervals on each of them.

Deviations: none known; the quantile q is that of the studentized range, not a table's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dirjax.report.tables import Table, lower_is_better

FEWEST = 3  # methods, and data sets, of a ranking
LEVEL = 0.05


class Ranks(NamedTuple):
    """Mean ranks of k methods over N data sets, best first.

    Attributes:
      mean: method -> mean rank, 1 to k.
      datasets: the data sets.
      critical: difference of mean ranks beyond which two methods differ.
      p_value: of Friedman's test that all methods rank alike.
      left_out: methods that some of the data sets lack.
    """

    mean: Mapping[str, float]
    datasets: tuple[str, ...]
    critical: float
    p_value: float
    left_out: tuple[str, ...] = ()


def critical_difference(methods: int, datasets: int) -> float:
    """Smallest difference of mean ranks that is significant at 5 %.

    Example:
      >>> round(critical_difference(5, 30), 3)  # q is 2.728 in Demsar's table 5
      1.114
    """
    from scipy import stats

    q = stats.studentized_range.ppf(1 - LEVEL, methods, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(methods * (methods + 1) / (6 * datasets)))


def mean_ranks(errors: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean rank of each method, and the p-value of Friedman's test.

    Args:
      errors: `[datasets, methods]`, smaller is better.

    Returns:
      `[methods]`, and the probability of ranks as far apart if all methods are alike.

    Example:
      >>> mean_ranks(np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 9.0]]))[0].tolist()
      [1.25, 1.75, 3.0]
    """
    from scipy import stats

    num, k = errors.shape
    ranks = stats.rankdata(errors, axis=1)
    mean = ranks.mean(axis=0)
    between = num * ((mean - (k + 1) / 2) ** 2).sum()
    within = ((ranks - (k + 1) / 2) ** 2).sum() - between
    if within <= 1e-12:
        # The data sets agree, the only such order of all; or everything is tied.
        _, tied = np.unique(ranks[0], return_counts=True)
        orders = math.factorial(k) / math.prod(map(math.factorial, tied.tolist()))
        return mean, float(orders ** (1 - num))
    ratio = (num - 1) * between / within
    return mean, float(stats.f.sf(ratio, k - 1, (k - 1) * (num - 1)))


def of_tables(
    tables: Sequence[Table], metric: str = "mae", shot: str = "all"
) -> Ranks | None:
    """Ranks of the methods that all tables have.

    Args:
      tables: one per data set; several targets of one data set do not count, since
        they are not independent.
      metric: what to rank by; the mean over seeds of a method.
      shot: column of the metric.

    Returns:
      The ranks, or None for fewer than three data sets or methods in common.
    """
    found: dict[str, dict[str, float]] = {}
    for one in tables:
        if any((run.result or {}).get("target") for run in one.runs):
            continue
        values = {row.method: row.values[metric][shot].mean for row in one.rows}
        known = {name: v for name, v in values.items() if v is not None}
        if known:
            found[one.dataset] = known
    if len(found) < FEWEST:
        return None
    every = list(dict.fromkeys(name for known in found.values() for name in known))
    names = [n for n in every if all(n in known for known in found.values())]
    if len(names) < FEWEST:
        return None
    sign = 1.0 if lower_is_better(metric) else -1.0
    errors = np.array([[sign * known[n] for n in names] for known in found.values()])
    mean, p_value = mean_ranks(errors)
    order = np.argsort(mean, kind="stable")
    return Ranks(
        {names[i]: float(mean[i]) for i in order},
        tuple(found),
        critical_difference(len(names), len(found)),
        p_value,
        tuple(n for n in every if n not in names),
    )
