"""Arrays and data frames as rows of numbers, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# Squares of larger numbers, and their sums, may overflow.
_LARGEST = 1e100
# Whole numbers up to this are numbers of float64.
_WHOLE = 2**53
# Rows from which on a column whose values all differ is taken for a name of each row.
_NAMES = 20


def _refuse_unknown(name: Any, values: np.ndarray, whole: bool) -> None:
    """Raises a ValueError for missing numbers, and those too large to work with."""
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(
            f"X must be finite, row {row} has {values[row]} in {name}. Fill such "
            "values, or leave those rows out: a synthetic one would be invented."
        )
    largest = _WHOLE if whole else _LARGEST
    if (np.abs(values) > largest).any():
        row = int(np.argmax(np.abs(values)))
        remedy = "Name it in categorical if it is a code" if whole else "Divide it"
        raise ValueError(
            f"{'whole numbers' * whole or 'numbers'} of X must be within "
            f"{largest:.0e}, row {row} has {values[row]:g} in {name}. {remedy}, or "
            "leave it out: larger ones lose digits or overflow."
        )


def _frame(X: Any) -> Any:
    """A table of pyarrow or polars as a data frame; anything else as it is."""
    if hasattr(X, "iloc") or not hasattr(X, "to_pandas"):
        return X
    try:
        return X.to_pandas()
    except ImportError as error:
        raise ValueError(
            f"X is a {type(X).__name__}, which becomes a data frame of pandas, and "
            "there is no pandas. Install it (pip install pandas), or give an array."
        ) from error


def _columns(X: Any) -> tuple[list[Any], list[Any]]:
    """Names and columns of an array or a data frame."""
    if hasattr(X, "toarray"):
        raise ValueError(
            f"X must be an array or a data frame, got a sparse {type(X).__name__}. "
            "Give X.toarray()."
        )
    if hasattr(X, "columns") and hasattr(X, "iloc"):
        names = list(X.columns)
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(
                f"columns of X must have names of their own, {twice[0]!r} names "
                f"{twice.count(twice[0])}. Rename them."
            )
        columns = [X.iloc[:, j] for j in range(len(names))]
        for name, column in zip(names, columns, strict=True):
            if hasattr(column.dtype, "fill_value"):
                raise ValueError(
                    f"columns of X must not be sparse, {name!r} is. Give it dense: "
                    "column.sparse.to_dense()."
                )
    else:
        array = np.asarray(X)
        if array.ndim != 2:
            raise ValueError(
                f"X must have two axes, rows and columns, got shape {array.shape}."
            )
        names, columns = list(range(array.shape[1])), list(array.T)
    if not columns:
        raise ValueError("X must have at least one column, it has none.")
    return names, columns


def _kind(column: Any) -> str:
    """The kind of a column's type, as numpy calls it; of pandas' types, too."""
    if hasattr(column.dtype, "categories"):
        return "O"
    return column.dtype.kind


def _numbers(column: Any) -> np.ndarray:
    """A column as float64; what pandas holds as missing is NaN."""
    if isinstance(column, np.ndarray) or not hasattr(column, "to_numpy"):
        return np.asarray(column, np.float64)
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))


class Columns:
    """The columns of a table: which are numbers, and how to make rows of that kind.

    Args:
      X: `[n, columns]` array, or a pandas data frame, or a table of pyarrow or polars,
        which is taken as one. Columns of a frame that do not hold numbers are
        categories.
      categorical: names or positions of further categories.

    Attributes:
      numeric: `[n, d]` float64.
      codes: `[n, m]` int64.

    Raises:
      ValueError: for an unknown column, text in a numeric one, missing or huge numbers,
        or a category whose values all differ.
    """

    def __init__(self, X: Any, categorical: Sequence[Any] = ()):
        self._like = X = _frame(X)
        names, columns = _columns(X)
        if isinstance(categorical, str):
            categorical = (categorical,)
        for name in categorical:
            if name not in names:
                raise ValueError(
                    f"categorical must name columns of X, {name!r} is none of {names}."
                )
        frame = hasattr(X, "columns")
        self._names, self._values, numeric, codes = names, {}, [], []
        for name, column in zip(names, columns, strict=True):
            kind = _kind(column)
            if name in categorical or (frame and kind not in "iuf"):
                self._values[name], place = _coded(name, column)
                codes.append(place)
                continue
            try:
                values = _numbers(column)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"column {name!r} of X must hold numbers: {error}. Name it in "
                    "categorical."
                ) from error
            _refuse_unknown(name, values, kind in "iu")
            numeric.append(values)
        rows = len(columns[0])
        self.numeric = _stacked(numeric, rows, np.float64)
        self.codes = _stacked(codes, rows, np.int64)

    def restore(self, numeric: np.ndarray, codes: np.ndarray) -> Any:
        """Rows as `X` holds them: an array of its dtype, or a frame with its columns.

        Numbers of columns that hold whole numbers are rounded, and all stay within
        what the type of their column holds.
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
            return np.stack([_fitted(x, dtype) for x in parts.values()], axis=1)
        columns = {
            name: values
            if name in self._values
            else _fitted(values, self._like[name].dtype, cast=False)
            for name, values in parts.items()
        }
        made = type(self._like)(columns, columns=self._names)
        return made.astype({name: self._like[name].dtype for name in self._names})


def _fitted(values: np.ndarray, dtype: Any, *, cast: bool = True) -> np.ndarray:
    """Values that a type holds; those of other kinds than numbers as they are."""
    dtype = getattr(dtype, "numpy_dtype", dtype)  # of pandas' types
    if dtype.kind in "iu":
        held = np.iinfo(dtype)
        # The largest int64 is no float64, and the next one would overflow.
        values = np.clip(
            np.round(values), max(held.min, -_WHOLE), min(held.max, _WHOLE)
        )
    elif dtype.kind == "f":
        held = np.finfo(dtype)
        values = np.clip(values, float(held.min), float(held.max))
    return np.asarray(values, dtype) if cast else values


def _missing(value: Any) -> bool:
    """Whether a value is none: it differs from itself, or does not say (pandas.NA)."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):
        return True


def _coded(name: Any, column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values of a category as they are, missing ones included, and their codes."""
    values = np.asarray(column, object)
    known: dict[Any, int] = {}
    keys = (None if _missing(v) else v for v in values.tolist())
    try:
        codes = np.array([known.setdefault(key, len(known)) for key in keys], np.int64)
    except TypeError as error:
        raise ValueError(
            f"column {name!r} of X must hold numbers or categories: {error}. Leave it "
            "out."
        ) from error
    if len(known) == len(values) >= _NAMES:
        raise ValueError(
            f"column {name!r} of X has another value in each of its {len(values):,} "
            "rows, so that it names rows and no category is shared. Leave it out, or "
            "make it a number if it is a time or a size."
        )
    first = np.unique(codes, return_index=True)[1]
    return values[first], codes


def _stacked(columns: list[np.ndarray], rows: int, dtype: Any) -> np.ndarray:
    return np.stack(columns, axis=1) if columns else np.empty((rows, 0), dtype)


def labels_of(y: ArrayLike, rows: int) -> np.ndarray:
    """Labels `[n]` as float64.

    Raises:
      ValueError: if there is not one finite label for each row.
    """
    try:
        label = _numbers(_frame(y))
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must hold numbers: {error}.") from error
    if label.shape != (rows,) or not rows:
        raise ValueError(
            f"y must hold one label for each of the {rows} rows of X, one at least, "
            f"got shape {label.shape}."
        )
    wrong = ~(np.abs(label) <= _LARGEST)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"y must be finite and within {_LARGEST:.0e}, row {row} has {label[row]}. "
            "Leave out rows without a label."
        )
    return label
