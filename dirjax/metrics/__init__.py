"""Metrics: sums accumulated on devices and divided once, on the host."""

from dirjax.metrics.regression import (
    Sums,
    add,
    batch_sums,
    check_identity,
    finalize,
    finite,
    means,
    per_bin,
    rank_metrics,
    row_sums,
    sera,
    shot_groups,
    zeros,
)
from dirjax.metrics.utility import relevance_scores

__all__ = [
    "Sums",
    "add",
    "batch_sums",
    "check_identity",
    "finalize",
    "finite",
    "means",
    "per_bin",
    "rank_metrics",
    "relevance_scores",
    "row_sums",
    "sera",
    "shot_groups",
    "zeros",
]
