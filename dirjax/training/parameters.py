"""Parameters by path: patterns, and freezing."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import optax


def path_name(path: tuple[Any, ...]) -> str:
    """A key path of a tree as `encoder/block_0/kernel`."""
    return "/".join(str(getattr(k, "key", getattr(k, "name", k))) for k in path)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a path, or a parent of it, matches one of the patterns.

    Example:
      >>> matches("head/bias", ("head",)), matches("header", ("head",))
      (True, False)
    """
    return any(
        fnmatch.fnmatch(name, p) or fnmatch.fnmatch(name, f"{p}/*") for p in patterns
    )


def select(params: Any, patterns: Sequence[str]) -> Any:
    """A tree of bools: which parameters match a pattern or lie below a match.

    Args:
      params: parameter tree.
      patterns: paths, with shell wildcards: "head", "encoder/stage_3*".

    Returns:
      Tree of the same structure.

    Raises:
      ValueError: if a pattern matches nothing.

    Example:
      >>> select({"head": {"bias": 0}, "encoder": 0}, ("head",))
      {'encoder': False, 'head': {'bias': True}}
    """
    names = [path_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(params)]
    for pattern in patterns:
        if not any(matches(name, (pattern,)) for name in names):
            top = ", ".join(sorted({name.split("/")[0] for name in names}))
            raise ValueError(
                f"no parameter matches {pattern!r}. Use a path or shell pattern below "
                f"one of: {top}."
            )
    return jax.tree_util.tree_map_with_path(
        lambda path, _: matches(path_name(path), patterns), params
    )


def divide(
    tx: optax.GradientTransformation,
    params: Any,
    patterns: tuple[str, ...],
    rates: Any = None,
    own: Callable[[float], optax.GradientTransformation] = optax.sgd,
) -> tuple[optax.GradientTransformation, Any]:
    """Restricts an optimiser to the model parameters that match; freezes the rest.

    Args:
      tx: the optimiser.
      params: `{"model", "objective"}`; the objective's own parameters are always
        trained.
      patterns: see `select`; empty means all parameters.
      rates: see `base.Objective`; over `params["objective"]`.
      own: the optimiser of parameters with a rate of their own.

    Returns:
      The optimiser, and a tree of bools over `params["model"]` or None.
    """
    trainable = select(params["model"], patterns) if patterns else None
    names: dict[Any, optax.GradientTransformation] = {
        "train": tx,
        "freeze": optax.set_to_zero(),
    }

    def model(param: Any, trains: bool = True) -> str:
        del param
        return "train" if trains else "freeze"

    def objective(path: Any, param: Any) -> str:
        del param
        at = rates
        for key in path:
            if not isinstance(at, Mapping):
                break
            at = at.get(getattr(key, "key", None))
        if at is None:
            return "train"
        names.setdefault(f"rate {at}", own(at))
        return f"rate {at}"

    parts = (params["model"],) if trainable is None else (params["model"], trainable)
    labels = {
        "model": jax.tree.map(model, *parts),
        "objective": jax.tree_util.tree_map_with_path(objective, params["objective"]),
    }
    if {*jax.tree.leaves(labels)} == {"train"}:
        return tx, trainable
    return optax.partition(names, labels), trainable
