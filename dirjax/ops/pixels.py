"""Pixel selection for resizing and cropping; numpy only."""

from __future__ import annotations

import numpy as np


def nearest(size: int, wanted: int) -> np.ndarray:
    """Nearest pixels to resize a line of `size` to `wanted`, as in Pillow.

    Returns:
      `[wanted]` int.

    Example:
      >>> nearest(4, 2).tolist(), nearest(2, 4).tolist()
      ([1, 3], [0, 0, 1, 1])
    """
    return ((np.arange(wanted) + 0.5) * size / wanted).astype(int)


def center(size: tuple[int, int], crop: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the centre crop.

    Example:
      >>> center((240, 320), (228, 304))
      (slice(6, 234, None), slice(8, 312, None))
    """
    starts = [round((whole - part) / 2) for whole, part in zip(size, crop, strict=True)]
    rows, columns = (slice(a, a + n) for a, n in zip(starts, crop, strict=True))
    return rows, columns
