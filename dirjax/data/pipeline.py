"""The tf.data reader: TensorFlow gathers and prefetches the batches of `stream`.

Images that are not in memory are decoded in parallel, ahead of the training step, by
the same function as elsewhere: Pillow gives the pixels of the public benchmarks, and
its JPEG decoding with antialiased resizing takes half the time of TensorFlow's. Batches
keep the order of the rows, as uint8.

Only this module and the reader `tfds` import TensorFlow, and both are imported on
demand.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import weakref
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from dirjax.data.formats.pictures import Pictures
from dirjax.errors import InputError

# Accelerators are for JAX: TensorFlow would take all of their memory.
tf.config.set_visible_devices([], "GPU")


class _Hand:
    """Python's side of a pipeline that runs in TensorFlow's threads.

    Attributes:
      failed: exceptions from images, of which TensorFlow keeps only the text.
      stopped: whether the consumer has stopped reading.
    """

    def __init__(self):
        self.failed: list[InputError] = []
        self.stopped = False

    def rows(self, rows: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The rows, until the consumer stops."""
        return itertools.takewhile(lambda _: not self.stopped, rows)

    def decoder(self, pictures: Pictures) -> Any:
        """`rows -> images` in TensorFlow."""

        def decode(rows: np.ndarray) -> np.ndarray:
            if self.stopped:
                return np.empty((*rows.shape, *pictures.shape[1:]), pictures.dtype)
            try:
                return pictures[rows]
            except InputError as error:
                self.failed.append(error)
                raise

        return lambda rows: tf.numpy_function(decode, [rows], pictures.dtype)


_PARALLEL, _PREFETCHED = 2, 2
# Batches in flight, and the end.
_AHEAD = 2 * (_PARALLEL + _PREFETCHED) + 1


def dataset(
    table: Mapping[str, Any],
    rows: Iterable[np.ndarray],
    hand: _Hand,
) -> tf.data.Dataset:
    """A `tf.data.Dataset` of batches.

    Args:
      table: tree of arrays with leading axis rows, see `stream.stored`.
      rows: arrays `[..., batch]` of row numbers, one for each element.
      hand: stops the pipeline and collects errors.

    Returns:
      A dataset of these rows of all arrays, in the order of `rows`.
    """
    encoded = {k: x for k, x in table.items() if isinstance(x, Pictures)}
    decoders = {name: hand.decoder(x) for name, x in encoded.items()}
    # The closure holds constants once; from_tensor_slices would copy per element.
    table = {
        name: tf.nest.map_structure(tf.constant, x)
        for name, x in table.items()
        if name not in decoders
    }

    def look_up(row):
        found = tf.nest.map_structure(lambda x: tf.gather(x, row), table)
        return found | {name: decode(row) for name, decode in decoders.items()}

    options = tf.data.Options()
    options.deterministic = True
    options.autotune.ram_budget = 2**30
    # With members there is one axis more.
    unknown: Any = None
    spec = tf.TensorSpec(unknown, tf.int64)
    return (
        tf.data.Dataset.from_generator(lambda: hand.rows(rows), output_signature=spec)
        .map(look_up, num_parallel_calls=_PARALLEL, deterministic=True)
        .prefetch(_PREFETCHED)
        .with_options(options)
    )


def read(
    table: Mapping[str, Any], rows: Iterable[np.ndarray]
) -> Iterator[dict[str, Any]]:
    """Yields the batches of `dataset` as numpy arrays.

    Raises:
      InputError: if an image can no longer be decoded.
    """
    batches = _read(table, rows)
    alive = weakref.ref(batches)

    def close() -> None:
        if found := alive():
            found.close()

    # Before the interpreter shuts down, since TensorFlow's threads do not wait for
    # that.
    atexit.register(close)
    return batches


def _read(
    table: Mapping[str, Any], rows: Iterable[np.ndarray]
) -> Generator[dict[str, Any], None, None]:
    hand = _Hand()
    batches: Any = dataset(table, rows, hand).as_numpy_iterator()
    try:
        yield from batches
    except tf.errors.OpError:
        if hand.failed:
            raise hand.failed[0] from None
        raise
    finally:
        # TensorFlow destroys an iterator while holding the GIL and would deadlock with
        # one of its threads that waits for the GIL, so none may be in Python by then.
        # At most this many batches are in flight.
        hand.stopped = True
        for _ in range(_AHEAD):
            with contextlib.suppress(tf.errors.OpError):
                if next(batches, None) is None:
                    break
