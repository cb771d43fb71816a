"""Arrays: an NPZ file with `x`, `y` and, optionally, `split` and `weight`.

`x` is `[rows]` or `[rows, columns]` numbers (a table; NaN is a missing value), or
`[rows, height, width]` or `[rows, height, width, channels]` uint8 (images). Image files
(JPEG, PNG and more) joined into one `[bytes]` uint8 are images, too, if `offsets`
`[rows + 1]` says where each begins and the last ends. `split` holds train, val and
test, or 0, 1 and 2. Pickled objects are never loaded.
"""

from __future__ import annotations

import math
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dirjax.cli import InputError
from dirjax.data import images, labelling, sources, tables

_UNREADABLE = (
    *(ValueError, KeyError, OSError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)


def read(file: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of an NPZ file.

    Raises:
      InputError: if it is none, is damaged, or holds pickled objects.
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
            why = "it is no NPZ file, or holds Python objects, which are never loaded"
        raise InputError(
            f"{file} must be an NPZ file of plain arrays: {why}. Save it with "
            "numpy.savez(FILE, x=..., y=...)."
        ) from error


def require(arrays: dict[str, np.ndarray], name: str, field: str, file: Any):
    """One array by name.

    Raises:
      InputError: with the names that there are.
    """
    if name not in arrays:
        raise InputError(
            f"{file} has no array {name!r} ({field}); it has {', '.join(arrays)}. Save "
            "it with numpy.savez(FILE, x=..., y=...)."
        )
    return arrays[name]


def check_inputs(x: np.ndarray, name: str, file: Any) -> np.ndarray:
    """Inputs as `[rows, columns]` float64 or `[rows, height, width, channels]` uint8.

    Raises:
      InputError: for another shape or type.
    """
    shape = list(x.shape)
    if x.ndim and not len(x):
        raise InputError(f"{name!r} of {file} has no rows. Give another file.")
    if x.ndim in (1, 2) and x.dtype.kind in "biuf":
        return x.reshape(len(x), -1).astype(np.float64)
    if x.ndim in (3, 4) and x.dtype == np.uint8:
        pixels = x[..., None] if x.ndim == 3 else x
        if pixels.shape[-1] in (1, 3) and pixels.size:
            return pixels
    raise InputError(
        f"{name!r} must hold numbers [rows, columns], or uint8 images [rows, height, "
        f"width] or [rows, height, width, 1 or 3], {file} has {x.dtype} {shape}. "
        "Convert it."
    )


def encoded(
    arrays: dict[str, np.ndarray], name: str, file: Any
) -> Callable[[int], bytes] | None:
    """Image files that are joined into one array.

    Args:
      arrays: of the file; `offsets` makes them image files.
      name: the array of bytes.
      file: for messages.

    Returns:
      `row -> content of its image file`, or None if there are no `offsets`.

    Raises:
      InputError: if bytes and offsets do not fit.
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
            f"joined image files must be uint8 [bytes] with offsets that rise from 0 "
            f"to their number, {file} has {name} {data.dtype} {list(data.shape)} and "
            f"offsets {offsets.dtype} {list(offsets.shape)}. Rename offsets if it is "
            "something else."
        )
    return lambda row: data[offsets[row] : offsets[row + 1]].tobytes()


def columns(x: np.ndarray) -> dict[str, np.ndarray]:
    """`[rows, n]` as named columns `x0`, `x1`, ..."""
    return {f"x{j}": x[:, j] for j in range(x.shape[1])}


def load(
    name: str,
    file: pathlib.Path,
    rules: labelling.Rules,
    *,
    inputs: str = "x",
    split: str = "split",
    weight: str | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    both: int = 0,
    scaling: str = "robust",
    quantiles: int = 0,
    size: int = 64,
    channels: int = 0,
    memory: float = math.inf,
    **form: Any,
) -> sources.Source:
    """Reads an NPZ file.

    Args:
      name: name of the data set.
      file: the file.
      rules: of the label, its bins and the split; `rules.label` is the array of labels.
      inputs: the array of inputs.
      split: the array that says train, val or test; without it a split is made.
      weight: the array of weights in the training loss, or None.
      numeric: columns (x0, x1, ...), see `tables.typed`, as the next two.
      categorical: as there.
      drop: as there.
      both: see `tables.load`.
      scaling: see `TablePreprocessor.fit`, as the next.
      quantiles: as there.
      size: of joined image files, see `images.load`.
      channels: likewise.
      memory: of joined image files, see `images.read_all`.
      **form: of images, see `images.from_arrays`.

    Returns:
      The source.

    Raises:
      InputError: naming array and row.
    """
    arrays = read(file)
    x = require(arrays, inputs, "data.input", file)
    image_file = encoded(arrays, inputs, file)
    fit = form.get("fit", "stretch")
    if image_file is None:
        x = check_inputs(x, inputs, file)
        for field, got, none in (
            ("fit", fit, "stretch"),
            ("view_size", form.get("view", 0), 0),
        ):
            if got != none:
                raise InputError(
                    f"data.{field} is for image files, and must be {none!r} where "
                    f"there are none, as in {file}, got {got!r}. Leave it out."
                )
    count = len(x) if image_file is None else len(arrays["offsets"]) - 1
    y = require(arrays, rules.label, "data.label", file)
    if weight:
        require(arrays, weight, "data.weight", file)
    if split != labelling.SPLIT:
        require(arrays, split, "data.split", file)
    facts = [n for n in (rules.label, split, weight) if n in arrays]
    if any(arrays[n].size != count for n in facts):
        first = inputs if image_file is None else "offsets"
        said = ", ".join(f"{n} {list(arrays[n].shape)}" for n in (first, *facts))
        raise InputError(
            f"arrays must have one entry for each row, {file} has {said}. Make them "
            "equally long."
        )
    for fact in (rules.label, *([weight] if weight else [])):
        if arrays[fact].dtype.kind not in "biuf":
            raise InputError(
                f"{'labels' if fact == rules.label else 'weights'} must be numbers, "
                f"{fact!r} of {file} has type {arrays[fact].dtype}. Convert them."
            )
    rows = labelling.Rows(np.arange(count), file, rules.on_bad, first=0)
    part = None
    if split in arrays:
        part = labelling.parts_of(rows, arrays[split].ravel(), split)
    found = None
    if image_file is not None:
        x = images.read_all(
            range(count),
            image_file,
            rows,
            lambda i: f"image {i} of {file}",
            size=(size, size),
            channels=channels,
            fit=fit,
            memory=memory,
            progress="reading images",
        )
    elif x.ndim == 2:
        found = tables.typed(
            columns(x), rows, numeric=numeric, categorical=categorical, drop=drop
        )
    labelled = labelling.label_rows(
        y.astype(np.float64).ravel(),
        rows,
        rules,
        part=part,
        weight=arrays[weight].astype(np.float64).ravel() if weight else None,
    )
    if found is None:
        return images.from_arrays(name, x, labelled, **form)
    return tables.from_features(
        name,
        found,
        labelled,
        named=tables.listed((*numeric, *categorical), list(found.values)),
        both=both,
        scaling=scaling,
        quantiles=quantiles,
    )
