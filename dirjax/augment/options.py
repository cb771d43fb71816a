"""Describes augmentation options; no JAX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def augments(
    *,
    flip: bool = False,
    crop: int = 0,
    zoom: float = 0.0,
    jitter: float = 0.0,
    hue: float = 0.0,
    jitter_share: float = 0.8,
    grey: float = 0.0,
    **others: Any,
) -> bool:
    """Whether `augment` with these options changes anything."""
    del others
    coloured = max(jitter, hue) * jitter_share > 0
    return flip or crop > 0 or zoom > 0 or coloured or grey > 0


def described(options: Mapping[str, Any], sign: str = " ") -> str:
    """Active options: `crop 2, flip True`, or with another sign `crop=2`."""
    shown = dict(options)
    if not shown.get("jitter") and not shown.get("hue"):
        shown.pop("jitter_share", None)
    return ", ".join(f"{name}{sign}{value}" for name, value in shown.items() if value)
