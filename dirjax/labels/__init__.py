"""Labels: bins, shots, groups, support, weights. Host numpy in float64, no JAX."""

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
from dirjax.labels.support import Support

__all__ = [
    "SHOTS",
    "Bins",
    "Groups",
    "Scale",
    "Spec",
    "Support",
    "auto_width",
    "histogram",
    "numbers",
    "shot_groups",
    "spec",
]
