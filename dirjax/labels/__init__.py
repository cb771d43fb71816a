"""Labels: bins, shots, groups, weights, relevance. Host numpy in float64, no JAX."""

from dirjax.labels.bins import (
    SHOTS,
    Bins,
    auto_width,
    histogram,
    numbers,
    shot_groups,
)
from dirjax.labels.groups import Groups
from dirjax.labels.scales import Scale
from dirjax.labels.specification import Spec, spec

__all__ = [
    "SHOTS",
    "Bins",
    "Groups",
    "Scale",
    "Spec",
    "auto_width",
    "histogram",
    "numbers",
    "shot_groups",
    "spec",
]
