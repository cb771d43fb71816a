"""A column of text as codes of its different values.

A large table repeats few words, and numpy compares and sorts texts slowly.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from dirjax.data.formats import text_columns


@dataclasses.dataclass(frozen=True)
class Categories:
    """The texts `values[codes]`, empty where one is missing.

    Attributes:
      values: `[different]` str, sorted; some may not occur.
      codes: `[rows]` int.

    Example:
      >>> colors = Categories.of(np.array(["red", "", "red"]))
      >>> colors.values.tolist(), colors[1:].present().tolist()
      (['', 'red'], ['', 'red'])
      >>> np.asarray(colors[:1]).tolist()
      ['red']
    """

    values: np.ndarray
    codes: np.ndarray

    @classmethod
    def of(cls, texts: np.ndarray) -> Categories:
        """From texts, `[rows]` str."""
        return cls(*np.unique(texts, return_inverse=True))

    @classmethod
    def read(cls, column: Any) -> Categories:
        """From cells; see `text_columns.words`.

        Args:
          column: pyarrow strings, null for missing values.
        """
        different, codes = text_columns.coded_words(column)
        values, place = np.unique(different, return_inverse=True)
        return cls(values, place.astype(np.int32)[codes])

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> Categories:
        return Categories(self.values, self.codes[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy
        return np.asarray(self.values[self.codes], dtype)

    def counts(self) -> np.ndarray:
        """How often each of `values` occurs, `[different]` int."""
        return np.bincount(self.codes, minlength=len(self.values))

    def present(self) -> np.ndarray:
        """The values that occur."""
        return self.values[self.counts() > 0]

    def missing(self) -> np.ndarray:
        """Which texts are empty, `[rows]` bool."""
        return (self.values == "")[self.codes]
