"""Maps stored as integer codes with a table of their values.

Depth files have 8 or 16 bits per pixel. Float32 labels with the bin of each pixel take
eight times as much memory, so a training set of 50,000 maps would not fit, but its
codes do. `Coded` looks like the array of values, and decodes rows on access.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Coded:
    """`table[codes]`, evaluated on access.

    Args:
      codes: `[rows, height, width]` uint8 or uint16.
      table: `[256]` or `[65536]`, the value of each code.

    Example:
      >>> maps = Coded(np.array([[[0, 2]]], np.uint8), np.arange(256) / 2)
      >>> maps.shape, maps[0].tolist(), np.asarray(maps).dtype
      ((1, 1, 2), [[0.0, 1.0]], dtype('float64'))
    """

    def __init__(self, codes: np.ndarray, table: np.ndarray):
        if (
            codes.dtype not in (np.uint8, np.uint16)
            or len(table) <= np.iinfo(codes.dtype).max
        ):
            raise ValueError(
                "codes must be uint8 or uint16 with a table entry for each, got "
                f"{codes.dtype} and {len(table)} entries."
            )
        self.codes = codes
        self.table = table
        self.shape = codes.shape
        self.dtype = table.dtype
        self.ndim = codes.ndim

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.table[self.codes[rows]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy
        return np.asarray(self.table[self.codes], dtype)
