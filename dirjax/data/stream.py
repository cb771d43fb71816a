"""Step-indexed streams: batch `s` is a pure function of `(seed, s)`.

Position `p = step * batch_size + row` of the stream is example `p % n` of the
permutation of epoch `p // n`, which comes from a stateless counter-based generator
keyed by seed and epoch. So a stream starts at any step, needs no checkpoint, is the
same for any number of processes, and gives equal batches through numpy
(`reader="array"`, no import cost) or tf.data (`reader="tf"`). Batches never shrink at
the end of an epoch: the last batch of an epoch is filled from the next.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dirjax.data import partners, sources


@functools.lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """The order of examples in one epoch.

    Args:
      seed: seed of the run.
      epoch: 0, 1, 2, ...
      size: number of examples.

    Returns:
      `[size]` int64, read-only.

    Example:
      >>> sorted(permutation(0, 3, 4).tolist())
      [0, 1, 2, 3]
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = rng.permutation(size)
    order.flags.writeable = False
    return order


def drawn(seed: int, epoch: int, weights: np.ndarray) -> np.ndarray:
    """The examples of one epoch, drawn in proportion to weights.

    The draws are spread evenly over the cumulative weights, so an example is there
    `size * share` times, rounded up or down; with equal weights that is once.

    Args:
      seed: seed of the run.
      epoch: 0, 1, 2, ...
      weights: `[size]` from 0, one above 0.

    Returns:
      `[size]` int64.

    Example:
      >>> np.bincount(drawn(0, 3, np.array([2.0, 1.0, 1.0]))).tolist()
      [1, 1, 1]
      >>> sorted(drawn(0, 0, np.array([3.0, 0.0, 0.0, 1.0])).tolist())
      [0, 0, 0, 3]
    """
    size = len(weights)
    rng = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    at = (rng.permutation(size) + rng.random()) * (weights.sum() / size)
    # The last example with a weight, should rounding reach beyond the end.
    last = np.flatnonzero(weights)[-1]
    return np.minimum(np.searchsorted(np.cumsum(weights), at, side="right"), last)


def bag(seed: int, weights: np.ndarray) -> np.ndarray:
    """How often each example is in the bag of a seed: drawn with replacement, once.

    Args:
      seed: seed of a network.
      weights: `[size]` from 0, in proportion to which examples are drawn.

    Returns:
      `[size]` float64, with sum `size`; weights for `drawn`.

    Example:
      >>> bag(0, np.ones(8)).sum()
      np.float64(8.0)
    """
    size = len(weights)
    rng = np.random.Generator(np.random.Philox(key=[seed, 0], counter=[0, 0, 0, 2]))
    return rng.multinomial(size, weights / weights.sum()).astype(np.float64)


def indices(
    *,
    seed: int,
    step: int,
    steps: int,
    batch_size: int,
    size: int,
    order: Callable[[int, int, int], np.ndarray] = permutation,
) -> np.ndarray:
    """The examples of the global batches `step .. step + steps - 1`.

    Args:
      seed: seed of the run.
      step: the first step.
      steps: number of steps.
      batch_size: rows of a batch.
      size: number of examples.
      order: `(seed, epoch, size) -> [size]`, the examples of an epoch in order.

    Returns:
      `[steps, batch_size]` int64 positions in the training split.

    Raises:
      ValueError: if a size is not positive.

    Example:
      >>> indices(seed=0, step=1, steps=1, batch_size=2, size=4).shape
      (1, 2)
    """
    if min(batch_size, size, steps) <= 0 or step < 0:
        raise ValueError(
            "batch_size, size and steps must be positive and step not negative, got "
            f"{batch_size}, {size}, {steps} and {step}."
        )
    position = step * batch_size + np.arange(steps * batch_size)
    epoch, place = np.divmod(position, size)
    out = np.empty(len(position), np.int64)
    for e in range(int(epoch[0]), int(epoch[-1]) + 1):
        here = epoch == e
        out[here] = order(seed, e, size)[place[here]]
    return out.reshape(steps, batch_size)


def block(rows: np.ndarray, process: int, processes: int) -> np.ndarray:
    """The block of the last axis for process `process` of `processes`.

    Raises:
      ValueError: if the batch does not divide.
    """
    size, rest = divmod(rows.shape[-1], processes)
    if rest:
        raise ValueError(
            f"a global batch must divide evenly among {processes} processes, got "
            f"{rows.shape[-1]} rows. Use a multiple for --config.data.batch_size."
        )
    return rows[..., process * size : (process + 1) * size]


def stored(split: sources.Split) -> dict[str, Any]:
    """The arrays that batches are gathered from, with leading axis rows."""
    arrays = {
        "inputs": split.inputs,
        "label": split.label,
        "bin": split.bin,
        "weight": split.weight,
        "index": split.index,
    }
    return arrays if split.mask is None else arrays | {"mask": split.mask}


def trained(split: sources.Split) -> dict[str, Any]:
    """The arrays of training batches: those of `stored`, or `Split.wide`."""
    if split.wide is None:
        return stored(split)
    return split.wide | {"weight": split.weight, "index": split.index}


def gather(arrays: dict[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """Gathers the given rows; leading axes are those of `rows`."""

    def take(x):
        return {k: take(v) for k, v in x.items()} if isinstance(x, dict) else x[rows]

    return _complete(take(arrays))


def _complete(batch: dict[str, Any]) -> dict[str, Any]:
    """Broadcasts weight and mask of a batch to the shape of its labels, float32."""
    if "label" not in batch:  # Labels are made on the device.
        return batch
    shape, weight = batch["label"].shape, batch["weight"]
    weight = weight.reshape(weight.shape + (1,) * (len(shape) - weight.ndim))
    mask = batch.get("mask", np.True_)
    return batch | {
        "weight": np.broadcast_to(weight, shape),
        "mask": np.broadcast_to(mask, shape).astype(np.float32),
    }


class Stream:
    """Training batches of one process, read by global step.

    Args:
      split: the training split.
      seed: seed of the run.
      batch_size: rows of the global batch.
      members: networks that read together, the m-th one in the order of the seed
        `seed + m`; batches of several have a further axis, `[steps, members, rows]`.
      process: number of this process.
      processes: number of processes.
      reader: "array" gathers with numpy; "tf" reads through tf.data with
        prefetching. Both give the same batches.
      weights: `[rows]` from 0, in proportion to which rows are drawn, see `drawn`; None
        for each row once an epoch.
      bandwidth: of `partners.Partners`; each row of a batch is then followed by its
        partner, in batches of `2 * batch_size` rows. None for rows alone.
      bags: whether each network has only the rows of its own bag, drawn by `weights`.
    """

    def __init__(
        self,
        split: sources.Split,
        *,
        seed: int,
        batch_size: int,
        members: int = 1,
        process: int = 0,
        processes: int = 1,
        reader: str = "array",
        weights: np.ndarray | None = None,
        bandwidth: float | None = None,
        bags: bool = False,
    ):
        if reader not in ("array", "tf"):
            raise ValueError(f"data.reader must be 'array' or 'tf', got {reader!r}.")
        self._split = split
        self._seeds = range(seed, seed + members)
        self._batch_size = batch_size
        self._part = (process, processes)
        self._reader = reader
        # Of each network the epoch that it reads, and at its end the next one.
        kept = functools.lru_cache(maxsize=2 * len(self._seeds))
        self._order = kept(permutation)
        if bags or weights is not None:
            every = np.ones(len(split.label)) if weights is None else weights
            own = functools.lru_cache(maxsize=len(self._seeds))(
                lambda seed: bag(seed, every) if bags else every
            )
            self._order = kept(lambda seed, epoch, size: drawn(seed, epoch, own(seed)))
        self._partners = None
        if bandwidth is not None:
            self._partners = partners.Partners(split.label, bandwidth)

    def rows(self, step: int, steps: int) -> np.ndarray:
        """`[steps, rows / processes]` rows of the split for these steps."""
        of_each = [self._rows_of(seed, step, steps) for seed in self._seeds]
        rows = of_each[0] if len(of_each) == 1 else np.stack(of_each, axis=1)
        return block(rows, *self._part)

    def _rows_of(self, seed: int, step: int, steps: int) -> np.ndarray:
        """`[steps, batch]` rows in the order of a seed, each before its partner."""
        rows = indices(
            seed=seed,
            step=step,
            steps=steps,
            batch_size=self._batch_size,
            size=len(self._split.label),
            order=self._order,
        )
        if self._partners is None:
            return rows
        draw = self._partners.draw
        with_them = [draw(r, seed=seed, step=step + s) for s, r in enumerate(rows)]
        return np.stack([rows, np.stack(with_them)], axis=-1).reshape(steps, -1)

    def read(self, chunks: Iterator[tuple[int, int]]) -> Iterator[dict[str, Any]]:
        """Yields one batch of `[steps, rows, ...]` arrays for each `(step, steps)`.

        `label`, `bin`, `weight` and `mask` have the same shape, `[steps, rows]` or, in
        dense tasks, `[steps, rows, height, width]`. For a split with `wide`, the batch
        has those arrays instead, and weights per row.
        """
        arrays = trained(self._split)
        if self._reader == "array":
            for step, steps in chunks:
                yield gather(arrays, self.rows(step, steps))
        else:
            from dirjax.data import pipeline

            rows = (self.rows(step, steps) for step, steps in chunks)
            yield from map(_complete, pipeline.read(arrays, rows))


def eval_batches(
    split: sources.Split, *, batch_size: int, process: int = 0, processes: int = 1
) -> Iterator[dict[str, Any]]:
    """All rows of a split in order, the last batch padded; padding has mask 0.

    Batches have `value`, the label in file units, instead of `label`, which the model
    learns.

    Args:
      split: the rows to read.
      batch_size: rows of the global batch.
      process: number of this process.
      processes: number of processes.

    Yields:
      Batches of `batch_size / processes` rows. Padding repeats row 0.
    """
    size, arrays = len(split.label), stored(split)
    for start in range(0, size, batch_size):
        place = start + np.arange(batch_size)
        place = block(place, process, processes)
        real = place < size
        rows = np.where(real, place, 0)
        batch = gather(arrays, rows)
        del batch["label"]
        batch["value"] = split.value[rows]
        batch["mask"][~real] = 0.0
        yield batch
