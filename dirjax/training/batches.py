"""Training batches on the devices, a stretch of steps at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import jax

from dirjax import data
from dirjax.runtime import sharding
from dirjax.training.build import Pieces


def batches(
    pieces: Pieces, step: int, stop: int
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """The stretches of steps from `step` to `stop`.

    Args:
      pieces: of the run.
      step: the first step.
      stop: the step after the last.

    Yields:
      `(start, count, batches)`; arrays are `[chunk, batch, ...]`, global, of which the
      first `count` batches are to be used.
    """
    plan, config = pieces.plan, pieces.config
    stream = data.Stream(
        pieces.source.splits["train"],
        seed=config["seed"],
        batch_size=plan.batch_size,
        process=jax.process_index(),
        processes=jax.process_count(),
        reader=config["data"]["reader"],
    )

    def chunks() -> Iterator[tuple[int, int]]:
        return itertools.takewhile(lambda c: c[0] < stop, plan.chunks(step))

    # A stretch always has the full number of rows; those past its end are not looked
    # at, which spares a program for each length.
    full = ((start, plan.chunk_steps) for start, _ in chunks())
    for (start, count), batch in zip(chunks(), stream.read(full), strict=True):
        yield start, count, sharding.to_global(pieces.mesh, batch, axis=1)
