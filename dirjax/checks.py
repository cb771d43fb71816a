"""Argument checks, with numpy only; messages say what was expected and what came."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np


def one_of(name: str, value: Any, known: Iterable[Any]) -> None:
    """Raises an error unless a value is one of the known ones.

    Args:
      name: the name of the value, for the message.
      value: the value given.
      known: the valid values.

    Raises:
      ValueError: naming the valid values.

    Example:
      >>> one_of("norm", "l2", ("l1", "l2"))
    """
    names = list(known)
    if value not in names:
        raise ValueError(f"{name} must be one of {', '.join(names)}, got {value!r}.")


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for an unknown name: the closest known one, and all of them.

    Args:
      kind: what the name is of, for the message.
      name: the name given.
      known: the valid names.

    Example:
      >>> unknown("method", "ldss", ("lds", "fds"))
      "unknown method 'ldss'. Did you mean 'lds'? Known: fds, lds."
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {kind} {name!r}.{hint} Known: {', '.join(names)}."


def positive(name: str, value: float, *, zero: bool = False) -> None:
    """Raises an error unless a value is finite and above 0; `zero` allows 0.

    Raises:
      ValueError: naming the value.

    Example:
      >>> positive("lam", 0, zero=True)
    """
    try:
        wrong = not math.isfinite(value) or value < 0 or (value == 0 and not zero)
    except TypeError:  # no number
        wrong = True
    if wrong:
        least = "from 0" if zero else "above 0"
        raise ValueError(f"{name} must be a number {least}, got {value!r}.")


def whole(name: str, value: Any, *, least: int = 1) -> None:
    """Raises an error unless a value is a whole number of at least `least`.

    Raises:
      ValueError: naming the value.

    Example:
      >>> whole("n_steps", 2)
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or value % 1 != 0 or value < least:
        raise ValueError(f"{name} must be a whole number from {least}, got {value!r}.")


def check_shapes(**arrays: tuple[Any, str]) -> None:
    """Checks ranks and that equal letters mean equal sizes.

    Args:
      **arrays: name -> `(array, "b d")`; arrays that are None are skipped.

    Raises:
      ValueError: naming the shapes, if a rank or a shared size differs.

    Example:
      >>> check_shapes(features=(np.ones((2, 3)), "b d"), labels=(np.ones(2), "b"))
    """
    sizes: dict[str, tuple[int, str, tuple[int, ...]]] = {}
    for name, (array, letters) in arrays.items():
        if array is None:
            continue
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


def check_elementwise(predictions: Any, labels: Any) -> None:
    """Checks predictions and labels of an elementwise loss.

    Args:
      predictions: `[batch]`, `[batch, labels]` or `[batch, height, width]`.
      labels: same shape.

    Raises:
      ValueError: naming both shapes, if they differ or have an unsupported rank.

    Example:
      >>> check_elementwise(np.ones((4, 2)), np.zeros((4, 2)))
    """
    letters = {2: "b k", 3: "b h w"}.get(np.ndim(labels), "b")
    check_shapes(predictions=(predictions, letters), labels=(labels, letters))
