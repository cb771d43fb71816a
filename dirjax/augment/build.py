"""Builds the augmentation of a stage from the fields of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from dirjax.augment import depth, images
from dirjax.data.sources import Source
from dirjax.objectives.base import Batch


def from_config(
    data: Mapping[str, Any], source: Source, *, views: int, stage: str
) -> Callable[[jax.Array, Batch], Batch] | None:
    """The augmentation of a stage's training batches.

    Args:
      data: the fields of `config.data`.
      source: the data.
      views: rows per image.
      stage: name of the stage, for messages.

    Returns:
      `(key, batch) -> batch`, or None without augmentation.

    Raises:
      ValueError: if the data or the number of views does not fit.
    """
    whole = images.from_config(data["augment"], source.record, views=views, stage=stage)
    if source.splits["train"].wide is None:
        return whole
    return depth.from_config(data["augment_dense"], source)
