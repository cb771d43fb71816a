"""Objectives: one file per method, found by its name; `base` holds what they are.

`from_config` builds the objective of a config.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

from dirjax import dotted
from dirjax.objectives import _drawn_pixels, base

# Fields that any term may have beside the arguments of its `make`.
_OF_ALL = ("weight", "module", "pixels")


def module(name: str) -> Any:
    """The module of a method: `dirjax.objectives.<name>`, or a dotted path.

    Raises:
      ValueError: if there is no such module.
    """
    if "." in name:
        return dotted.find("the method", name, "make")
    known = {m.name for m in pkgutil.iter_modules(__path__)}
    if name not in known or name.startswith("_"):
        raise ValueError(
            f"there is no objective {name!r}. Use the name of a file in "
            "dirjax/objectives, or set its field module to the dotted path of your own."
        )
    return dotted.find("the method", f"{__name__}.{name}", "make")


def from_config(
    terms: Mapping[str, Mapping[str, Any]],
    wrappers: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> base.Objective:
    """Builds the objective of a config: wrappers nested around weighted terms.

    Args:
      terms: method name -> keyword arguments of its `make`, and `weight`. `module`, the
        dotted path of a module of your own, allows any name. `pixels` is how many
        pixels of label maps a term sees as rows in each step; terms that compare rows
        need it there.
      wrappers: names, outermost first.
      settings: wrapper name -> keyword arguments of its `make`, and `module` likewise.

    Returns:
      One objective.

    Raises:
      ValueError: for a name without a module.

    Example:
      >>> import jax
      >>> from_config({"l1": {"weight": 0.5}}).init(jax.random.key(0), None).state
      {'l1': {}}
    """
    weights = {name: kwargs.get("weight", 1.0) for name, kwargs in terms.items()}
    parts = {name: _made(name, kwargs) for name, kwargs in terms.items()}
    objective = base.weighted_sum(parts, weights)
    for name in reversed(tuple(wrappers)):
        objective = _made(name, (settings or {}).get(name, {}), objective)
    return objective


def _made(
    name: str, fields: Mapping[str, Any], *inner: base.Objective
) -> base.Objective:
    """A term, or a wrapper around an objective."""
    options = {k: v for k, v in fields.items() if k not in _OF_ALL}
    made = module(fields.get("module", name)).make(*inner, **options)
    if not isinstance(made, base.Objective):
        raise ValueError(
            f"make of {name!r} must return an Objective, as base.term and base.wrap "
            f"do, got {type(made).__name__}."
        )
    pixels = fields.get("pixels")
    return made if pixels is None else _drawn_pixels.of_maps(made, pixels)
