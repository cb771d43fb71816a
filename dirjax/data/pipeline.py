"""The tf.data reader: the batches of `stream`, gathered by TensorFlow and prefetched.

This module and `registered` alone import TensorFlow, and are imported on demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

# The accelerators are JAX's: TensorFlow would take all of their memory.
tf.config.set_visible_devices([], "GPU")


def dataset(table: Mapping[str, Any], rows: Iterable[np.ndarray]) -> tf.data.Dataset:
    """A `tf.data.Dataset` of batches.

    Args:
      table: tree of arrays with leading axis rows, see `stream.stored`.
      rows: arrays `[..., batch]` of row numbers, one for each element.

    Returns:
      These rows of all arrays, in the order of `rows`.
    """
    # Constants live in this closure once; from_tensor_slices would copy per element.
    table = tf.nest.map_structure(tf.constant, table)

    def look_up(row):
        return tf.nest.map_structure(lambda x: tf.gather(x, row), table)

    options = tf.data.Options()
    options.deterministic = True
    options.autotune.ram_budget = 2**30
    spec = tf.TensorSpec((None, None), tf.int64)
    return (
        tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=spec)
        .map(look_up, num_parallel_calls=2, deterministic=True)
        .prefetch(2)
        .with_options(options)
    )


def read(
    table: Mapping[str, Any], rows: Iterable[np.ndarray]
) -> Iterator[dict[str, Any]]:
    """Yields the batches of `dataset` as numpy arrays."""
    batches: Any = dataset(table, rows).as_numpy_iterator()
    yield from batches
