"""Maps kept as small integers: what a map file holds, and what its codes stand for.

Depth comes as 8 or 16 bits a pixel. A map of labels in float32 with the bin of each
pixel takes eight times as much memory, and a training set of 50,000 maps would not fit
where its codes do. `Coded` looks like the array of what codes stand for, and makes the
rows that are read.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Coded:
    """`table[codes]`, made when it is read.

    Args:
      codes: `[rows, height, width]` uint8 or uint16.
      table: `[256]` or `[65536]`, what each code stands for.

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
                "codes must be uint8 or uint16 with an entry in the table for each, "
                f"got {codes.dtype} and {len(table)} entries."
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
