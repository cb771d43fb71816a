"""Checks of arguments, with numpy only: what was expected, and what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def one_of(name: str, value: str, known: Sequence[str]) -> None:
    """Raises ValueError unless `value` is one of `known`."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}.")


def check_shapes(**arrays: tuple[Any, str] | None) -> None:
    """Checks ranks and that equal letters mean equal sizes.

    Args:
      **arrays: name -> `(array, "b d")`; None is skipped.

    Raises:
      ValueError: naming both shapes, if a rank or a shared size differs.

    Example:
      >>> check_shapes(features=(np.ones((2, 3)), "b d"), labels=(np.ones(2), "b"))
    """
    sizes: dict[str, tuple[int, str, tuple[int, ...]]] = {}
    for name, item in arrays.items():
        if item is None:
            continue
        array, letters = item
        shape, dims = np.shape(array), letters.split()
        if len(shape) != len(dims):
            raise ValueError(
                f"{name} must have {len(dims)} dimensions ({letters}), got shape "
                f"{shape}. Reshape it, for example with x.reshape(-1) for labels."
            )
        for size, letter in zip(shape, dims, strict=True):
            seen = sizes.setdefault(letter, (size, name, shape))
            if seen[0] != size:
                raise ValueError(
                    f"{name} with shape {shape} does not fit {seen[1]} with shape "
                    f"{seen[2]}: both must have the same size {letter!r}."
                )
