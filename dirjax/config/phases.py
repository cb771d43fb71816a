"""The length of a run, divided among phases; no JAX.

A preset of several phases whose lengths add up to that of other methods' one stage sets
`config.phases`. The length of the first part is then that of all of them together, and
each gets its share. A later part that has a length of its own keeps it.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from typing import Any

from dirjax.errors import InputError


def divide(config: dict[str, Any]) -> None:
    """Sets `epochs` and `steps` of the parts that `config.phases` names.

    Args:
      config: plain values, changed in place. `phases` has `parts`, paths of tables with
        the fields `epochs` and `steps` (what counts where it is not 0), and `shares`,
        one for each part, not negative, of sum 1. The first part has the whole; in
        the others both fields are None where they are to be set. Without `phases`
        nothing happens.

    Raises:
      InputError: if shares do not fit.

    Example:
      >>> config = {"phases": {"parts": ("a", "b"), "shares": (0.7, 0.3)}}
      >>> config |= {"a": {"epochs": 10.0, "steps": 0}}
      >>> config |= {"b": {"epochs": None, "steps": None}}
      >>> divide(config)
      >>> config["a"], config["b"]
      ({'epochs': 7.0, 'steps': 0}, {'epochs': 3.0, 'steps': 0})
    """
    phases = config.get("phases")
    if not phases:
        return
    paths, shares = phases["parts"], phases["shares"]
    _check(paths, shares)
    parts = [_at(config, path) for path in paths]
    whole = dict(parts[0])
    parts[0] |= {"epochs": None, "steps": None}
    for part, share in zip(parts, shares, strict=True):
        if part["epochs"] is None:
            part["epochs"] = round(whole["epochs"] * share, 6)
        if part["steps"] is None:
            steps = round(whole["steps"] * share)
            part["steps"] = max(steps, 1) if whole["steps"] else 0


def _check(parts: Any, shares: Any) -> None:
    good = isinstance(shares, (tuple, list)) and len(shares) == len(parts)
    good = good and all(isinstance(s, (int, float)) and s >= 0 for s in shares)
    if not (good and math.isclose(sum(shares), 1.0, abs_tol=1e-6)):
        raise InputError(
            f"config.phases.shares must be {len(parts)} numbers from 0 with the sum 1, "
            f"of {', '.join(parts)}, got {shares!r}. Make what one of them gains the "
            "loss of another."
        )


def _at(config: Mapping[str, Any], path: str) -> Any:
    """The table at a path."""
    return functools.reduce(operator.getitem, path.split("."), config)
