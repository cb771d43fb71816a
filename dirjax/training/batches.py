"""Training batches on the devices, one chunk of steps at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from dirjax import data
from dirjax.runtime import sharding
from dirjax.training.build import Pieces, of_bins


def batches(
    pieces: Pieces, train: data.Split, step: int, stop: int
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yields the chunks of steps from `step` to `stop`.

    Args:
      pieces: the run's data and model.
      train: the rows to train on.
      step: the first step.
      stop: the step after the last, in the same stage.

    Yields:
      `(start, count, batches)`; arrays are global, `[chunk, batch, ...]`, with members
      `[chunk, members, batch, ...]`, and only the first `count` batches are valid.
    """
    plan, config = pieces.plan, pieces.config
    stage = plan.stage_at(step)
    spec = pieces.spec if pieces.targets else pieces.learnt(stage)
    table, partners = of_bins(stage, spec), pieces.objective(stage).partners
    stream = data.Stream(
        train,
        seed=config["seed"],
        members=pieces.members,
        batch_size=plan.batch_size,
        process=jax.process_index(),
        processes=jax.process_count(),
        reader=config["data"]["reader"],
        weights=None if table is None else table[np.asarray(train.bin)],
        bags=stage.bags,
        bandwidth=None if partners is None else partners(spec),
    )

    def chunks() -> Iterator[tuple[int, int]]:
        return itertools.takewhile(lambda c: c[0] < stop, plan.chunks(step))

    # Every chunk has the full number of batches; the step ignores those past `count`.
    # So one compiled program serves every length.
    full = ((start, plan.chunk_steps) for start, _ in chunks())
    for (start, count), batch in zip(chunks(), stream.read(full), strict=True):
        axis = 1 if pieces.members == 1 else 2
        yield start, count, sharding.to_global(pieces.mesh, batch, axis=axis)
