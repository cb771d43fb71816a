"""The budget of a run that is divided among phases; no JAX.

A preset of several phases whose lengths add up to that of other methods' one stage sets
`config.phases`: the whole length, the paths of the parts, and their shares. A part that
has a length of its own already keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dirjax.cli import InputError


def divide(config: dict[str, Any]) -> None:
    """Sets `epochs` and `steps` of the parts that `config.phases` names.

    Args:
      config: plain values, changed in place. `phases` has `epochs` and `steps` (the
        whole; in steps where that is not 0), `parts` (paths of tables with the fields
        `epochs` and `steps`, None where they are to be set) and `shares` (one for each
        part, not negative, of sum 1). Without `phases` nothing happens.

    Raises:
      InputError: if shares do not fit.

    Example:
      >>> phases = {"epochs": 10.0, "steps": 0, "parts": ("a", "b")}
      >>> config = {"phases": phases | {"shares": (0.7, 0.3)}}
      >>> config |= {"a": {"epochs": None, "steps": None}, "b": {"epochs": 5.0}}
      >>> divide(config)
      >>> config["a"], config["b"]
      ({'epochs': 7.0, 'steps': 0}, {'epochs': 5.0})
    """
    phases = config.get("phases")
    if not phases:
        return
    parts, shares = phases["parts"], phases["shares"]
    _check(parts, shares)
    for path, share in zip(parts, shares, strict=True):
        part = _at(config, path)
        if part is None:
            continue
        steps = round(phases["steps"] * share)
        if part.get("epochs", 0) is None:
            part["epochs"] = round(phases["epochs"] * share, 6)
        if part.get("steps", 0) is None:
            part["steps"] = max(steps, 1) if phases["steps"] else 0


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
    """The table at a path, None if there is none."""
    found: Any = config
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
