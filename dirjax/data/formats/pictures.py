"""Images that are decoded on access, for data sets that do not fit into memory.

`Pictures` replaces the array `[rows, height, width, channels]` of smaller sets. Its
values depend only on the row, so streams over it are the same pure functions of seed
and step, and can start anywhere.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np


@functools.cache
def threads() -> concurrent.futures.ThreadPoolExecutor:
    """The decoding threads; Pillow releases the GIL."""
    limited = hasattr(os, "sched_getaffinity")  # Not on macOS.
    cores = len(os.sched_getaffinity(0)) if limited else os.cpu_count()
    return concurrent.futures.ThreadPoolExecutor(cores)


class Pictures:
    """Rows of images, decoded on each access.

    Args:
      decode: index of an image -> `[height, width, channels]`.
      number: `[rows]` int, the image of each row.
      shape: shape of each image.
      dtype: uint8 or float32, the type of all rows.
      digests: `[images]` uint64, a hash of each image's file, to notice a change.

    Attributes:
      shape: `(rows, height, width, channels)`.
      dtype: as given.

    Example:
      >>> flat = Pictures(lambda i: np.full((1, 1, 1), i, np.uint8), np.arange(9),
      ...                 (1, 1, 1))
      >>> flat.subset(np.array([5, 7, 8]))[np.array([[2], [0]])].ravel().tolist()
      [8, 5]
    """

    def __init__(
        self,
        decode: Callable[[int], np.ndarray],
        number: np.ndarray,
        shape: tuple[int, int, int],
        dtype: np.dtype = np.dtype(np.uint8),  # noqa: B008 (it is immutable)
        digests: np.ndarray | None = None,
    ):
        self._decode, self._number, self.dtype = decode, number, dtype
        self._digests = digests
        self.shape = (len(number), *shape)

    @property
    def digests(self) -> np.ndarray | None:
        """Hashes of the rows' files, see the class."""
        return None if self._digests is None else self._digests[self._number]

    def __len__(self) -> int:
        return len(self._number)

    def subset(self, rows: np.ndarray) -> Pictures:
        """Some of the rows, still encoded."""
        number, shape = self._number[rows], self.shape[1:]
        return Pictures(self._decode, number, shape, self.dtype, self._digests)

    def one(self, row: Any) -> np.ndarray:
        """The image of a row, decoded in this thread."""
        return self._decode(int(self._number[row]))

    def __getitem__(self, rows: Any) -> np.ndarray:
        """The images of rows, decoded in threads, in order.

        Args:
          rows: an index into an array `[rows]`.

        Returns:
          `[..., height, width, channels]`; leading axes are those of `rows`.
        """
        place = np.arange(len(self))[rows]
        out = np.empty((place.size, *self.shape[1:]), self.dtype)
        for k, image in enumerate(threads().map(self.one, place.ravel().tolist())):
            out[k] = image
        return out.reshape(*place.shape, *self.shape[1:])
