"""Dotted paths: modules that users name, and fields of nested mappings."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any


def find(what: str, path: str, *needs: str) -> ModuleType:
    """Imports a module that a config names.

    Args:
      what: what the module is, for the message: "the method".
      path: the dotted path.
      *needs: names that the module must define.

    Raises:
      ValueError: if there is no such module, or it lacks a name. An error inside the
        module propagates unchanged.

    Example:
      >>> find("a module", "os.path", "join").__name__
      'posixpath'
    """
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"{what} {path!r} must be an importable module, {error.name} cannot be "
            "found. Check the name, install it, or run from the folder that holds it."
        ) from error
    lacks = [name for name in needs if not hasattr(module, name)]
    if lacks:
        raise ValueError(
            f"{what} {path!r} must be a module with {' and '.join(needs)}, it lacks "
            f"{' and '.join(lacks)}. Add it; docs/extending.md has examples."
        )
    return module


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`(path, value)` of each value of nested mappings.

    Example:
      >>> dict(leaves({"seed": 0, "data": {"path": "a.csv"}}))
      {'seed': 0, 'data.path': 'a.csv'}
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
