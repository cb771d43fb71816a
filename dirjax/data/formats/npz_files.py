"""NPZ files: arrays, tables, and concatenated image files."""

from __future__ import annotations

import pathlib
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import label_rules, row_checks
from dirjax.errors import InputError
from dirjax.labels import targets

# Magic bytes of a zip archive, and so of an NPZ file.
MAGIC = b"PK\x03\x04"
_UNREADABLE = (
    *(ValueError, KeyError, OSError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)


def read(file: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the arrays of an NPZ file.

    Raises:
      InputError: if it is not NPZ, is damaged, or holds pickled objects.
    """
    try:
        with file.open("rb") as stream:
            stored: Any = np.load(stream, allow_pickle=False)
            if not hasattr(stored, "files"):
                raise ValueError("it is a single array")
            found = {name: stored[name] for name in stored.files}
        if not all(isinstance(x, np.ndarray) for x in found.values()):
            raise ValueError("it is a zip file of something else")
        return found
    except _UNREADABLE as error:
        why = (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")
        if "allow_pickle" in why or "pickled" in why:
            why = "it is not NPZ, or holds Python objects, which are never loaded"
        raise InputError(
            f"{file} must be an NPZ file of plain arrays: {why}. Save it with "
            "numpy.savez(FILE, x=..., y=...)."
        ) from error


def require(arrays: dict[str, np.ndarray], name: str, field: str, file: Any):
    """One array by name.

    Raises:
      InputError: listing the existing names.
    """
    if name not in arrays:
        raise InputError(
            f"{file} has no array {name!r} ({field}); it has {', '.join(arrays)}. Save "
            "it with numpy.savez(FILE, x=..., y=...)."
        )
    return arrays[name]


def check_inputs(x: np.ndarray, name: str, file: Any) -> np.ndarray:
    """Inputs as a table, `[rows, columns]` float64, or as images, `x` itself.

    Raises:
      InputError: for another shape or type.
    """
    shape = list(x.shape)
    if x.ndim and not len(x):
        raise InputError(f"{name!r} of {file} has no rows. Give another file.")
    if x.ndim in (1, 2) and x.dtype.kind in "biuf":
        return x.reshape(len(x), -1).astype(np.float64)
    if x.ndim in (3, 4) and x.dtype.kind in "biuf" and x.size:
        return x
    raise InputError(
        f"{name!r} must hold numbers: a table [rows, columns], or images [rows, "
        "height, width] or [rows, height, width, channels] (or channels first); "
        f"{file} has {x.dtype} {shape}. Convert it."
    )


def encoded(
    arrays: dict[str, np.ndarray], name: str, file: Any
) -> Callable[[int], bytes] | None:
    """Image files that are concatenated into one array.

    Args:
      arrays: arrays of the file; `offsets` marks image files.
      name: the array of bytes.
      file: for messages.

    Returns:
      `row -> content of its image file`, or None if there are no `offsets`.

    Raises:
      InputError: if bytes and offsets do not match.
    """
    if "offsets" not in arrays:
        return None
    data, offsets = arrays[name], arrays["offsets"]
    good = (
        data.ndim == offsets.ndim == 1
        and data.dtype == np.uint8
        and offsets.dtype.kind in "iu"
        and len(offsets) > 1
        and offsets[0] == 0
        and offsets[-1] == len(data)
        and (np.diff(offsets.astype(np.int64)) >= 0).all()
    )
    if not good:
        raise InputError(
            "concatenated image files must be uint8 [bytes] with offsets that ascend "
            f"from 0 to the number of bytes, {file} has {name} {data.dtype} "
            f"{list(data.shape)} and offsets {offsets.dtype} {list(offsets.shape)}. "
            "Rename offsets if it is something else."
        )
    return lambda row: data[offsets[row] : offsets[row + 1]].tobytes()


def columns(x: np.ndarray) -> dict[str, np.ndarray]:
    """`[rows, n]` as named columns `x0`, `x1`, ..."""
    return {f"x{j}": x[:, j] for j in range(x.shape[1])}


def label_arrays(
    arrays: Mapping[str, np.ndarray], text: str, inputs: str, count: int, file: Any
) -> dict[str, np.ndarray]:
    """The arrays of the labels that `data.label` names.

    Args:
      arrays: from `read`.
      text: name of an array, or several, see `labels.targets.names`. Columns of an
        array NAME `[rows, targets]` are NAME0, NAME1, ..., and NAME is all of them.
      inputs: name of the inputs, whose columns are no labels.
      count: number of rows.
      file: their file.

    Raises:
      InputError: if there is no such array, or the name is unclear.

    Example:
      >>> y = np.zeros((5, 2))
      >>> {name: a.shape for name, a in label_arrays({"y": y}, "y", "x", 5, "").items()}
      {'y0': (5,), 'y1': (5,)}
    """
    whole = arrays.get(text)
    if whole is not None and whole.ndim == 2 and len(whole) == count < whole.size:
        names = tuple(f"{text}{i}" for i in range(whole.shape[1]))
    else:
        try:
            names = targets.names(text, arrays)
        except ValueError as error:
            raise InputError(str(error)) from error
    return {
        name: label_array(arrays, name, inputs, file, "data.label") for name in names
    }


def label_array(
    arrays: Mapping[str, np.ndarray],
    name: str,
    inputs: str,
    file: Any,
    field: str = "the label of the run",
) -> np.ndarray:
    """The array of one label, or the column of an array, see `label_arrays`.

    Args:
      arrays: see `label_arrays`.
      name: name of the label.
      inputs: see `label_arrays`.
      file: see `label_arrays`.
      field: what names the label, for messages.

    Raises:
      InputError: if there is no such array, or the name is unclear.
    """
    stem = name.rstrip("0123456789")
    whole, column = arrays.get(stem, np.zeros(0)), name.removeprefix(stem)
    number = whole.shape[1] if whole.ndim == 2 and stem != inputs else 1
    if number == 1 or column not in map(str, range(number)):
        return require(dict(arrays), name, field, file)
    if name in arrays:
        raise InputError(
            f"{file} has an array {name!r}, and so is a column of {stem!r} called. "
            "Rename the array."
        )
    return whole[:, int(column)]


def new_labels(
    arrays: Mapping[str, np.ndarray],
    rows: row_checks.Rows,
    label: str | None,
    record: Mapping[str, Any],
    inputs: str = "",
) -> np.ndarray | None:
    """The labels of new rows, `[rows]` float64; None if there are none to read.

    Args:
      arrays: from `read`.
      rows: the rows.
      label: name of the array.
      record: data record of the run.
      inputs: see `label_arrays`.

    Raises:
      InputError: if the array is missing, or does not fit the rows.
    """
    if label is None:
        return None
    count = len(rows.number)
    y = label_array(arrays, label, inputs, rows.file)
    if y.dtype.kind not in "biuf" or y.size != count:
        raise InputError(
            f"labels must be {count} numbers, one per row, {label!r} of "
            f"{rows.file} has type {y.dtype} and shape {list(y.shape)}. Convert them."
        )
    values = y.astype(np.float64).ravel()
    return label_rules.new_labels(values, rows, label, record)


def refuse_keep(keep: Sequence[str]) -> None:
    """Refuses `keep`, since an NPZ file has no columns to repeat.

    Raises:
      InputError: if `keep` is not empty.
    """
    if keep:
        raise InputError("--keep needs a table, --input is an NPZ file.")
