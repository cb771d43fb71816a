"""Arrays and data frames as rows of numbers, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def _refuse_unknown(name: Any, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(
            f"X must be finite, row {row} has {values[row]} in {name}. Fill such "
            "values, or leave those rows out: a synthetic one would be invented."
        )


def _columns(X: Any) -> tuple[list[Any], list[Any]]:
    """Names and columns of an array or a data frame."""
    if hasattr(X, "columns") and hasattr(X, "iloc"):
        names = list(X.columns)
        return names, [X.iloc[:, j] for j in range(len(names))]
    array = np.asarray(X)
    if array.ndim != 2:
        raise ValueError(
            f"X must have two axes, rows and columns, got shape {array.shape}."
        )
    return list(range(array.shape[1])), list(array.T)


def _is_number(column: Any) -> bool:
    kind = np.asarray(column[:0]).dtype.kind
    return kind in "iuf" and not hasattr(getattr(column, "dtype", None), "categories")


class Columns:
    """The columns of a table: which are numbers, and how to make rows of that kind.

    Args:
      X: `[n, columns]` array, or a pandas data frame. Columns of a frame that do not
        hold numbers are categories.
      categorical: names or positions of further categories.

    Attributes:
      numeric: `[n, d]` float64.
      codes: `[n, m]` int64.

    Raises:
      ValueError: for an unknown column, text in a numeric one, or missing numbers.
    """

    def __init__(self, X: Any, categorical: Sequence[Any] = ()):
        self._like = X
        names, columns = _columns(X)
        for name in categorical:
            if name not in names:
                raise ValueError(
                    f"categorical must name columns of X, {name!r} is none of {names}."
                )
        frame = hasattr(X, "columns")
        self._names, self._values, numeric, codes = names, {}, [], []
        for name, column in zip(names, columns, strict=True):
            if name in categorical or (frame and not _is_number(column)):
                self._values[name], place = _coded(column)
                codes.append(place)
                continue
            try:
                values = np.asarray(column, np.float64)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"column {name!r} of X must hold numbers: {error}. Name it in "
                    "categorical."
                ) from error
            _refuse_unknown(name, values)
            numeric.append(values)
        rows = len(columns[0]) if columns else 0
        self.numeric = _stacked(numeric, rows, np.float64)
        self.codes = _stacked(codes, rows, np.int64)

    def restore(self, numeric: np.ndarray, codes: np.ndarray) -> Any:
        """Rows as `X` holds them: an array of its dtype, or a frame with its columns.

        Numbers of columns that hold whole numbers are rounded.
        """
        parts, j, k = {}, 0, 0
        for name in self._names:
            if name in self._values:
                parts[name] = self._values[name][codes[:, k]]
                k += 1
            else:
                parts[name] = numeric[:, j]
                j += 1
        if not hasattr(self._like, "columns"):
            dtype = np.asarray(self._like).dtype
            dtype = np.dtype(np.float64) if dtype.kind in "iub" else dtype
            return np.stack([np.asarray(x, dtype) for x in parts.values()], axis=1)
        columns = {}
        for name, values in parts.items():
            dtype = self._like[name].dtype
            whole = name not in self._values and np.dtype(dtype).kind in "iu"
            columns[name] = np.round(values) if whole else values
        made = type(self._like)(columns, columns=self._names)
        return made.astype({name: self._like[name].dtype for name in self._names})


def _coded(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values of a category as they are, missing ones included, and their codes."""
    values = np.asarray(column, object)
    known: dict[Any, int] = {}
    # NaN differs from itself, so all that do are one value.
    keys = (None if v != v else v for v in values.tolist())
    codes = np.array([known.setdefault(key, len(known)) for key in keys], np.int64)
    first = np.unique(codes, return_index=True)[1]
    return values[first], codes


def _stacked(columns: list[np.ndarray], rows: int, dtype: Any) -> np.ndarray:
    return np.stack(columns, axis=1) if columns else np.empty((rows, 0), dtype)


def labels_of(y: ArrayLike, rows: int) -> np.ndarray:
    """Labels `[n]` as float64.

    Raises:
      ValueError: if there is not one finite label for each row.
    """
    label = np.asarray(y, np.float64)
    if label.shape != (rows,) or not rows or not np.isfinite(label).all():
        raise ValueError(
            f"y must hold one finite label for each of the {rows} rows of X, got shape "
            f"{label.shape}. Leave out rows without a label."
        )
    return label
