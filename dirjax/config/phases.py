"""Divides the length of a run among phases; no JAX.

A preset sets `config.phases` if its phases together take as long as the single stage of
other methods. The length given for the first part is then the total, and each part gets
its share. A later part with a length of its own keeps it.
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
        the fields `epochs` and `steps` (which takes precedence if not 0), and `shares`,
        one for each part, non-negative, summing to 1. The first part holds the total;
        in the others both fields are None if they are to be set. Without `phases`
        nothing changes.

    Raises:
      InputError: if the shares are invalid.

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
            f"config.phases.shares must be {len(parts)} non-negative numbers of sum 1, "
            f"for {', '.join(parts)}, got {shares!r}. When you raise one share, lower "
            "another."
        )


def _at(config: Mapping[str, Any], path: str) -> Any:
    """The table at a path."""
    return functools.reduce(operator.getitem, path.split("."), config)
