"""Reads arrays: an NPZ file with `x`, `y` and, optionally, `split` and `weight`.

`x` is `[rows]` or `[rows, columns]` numbers (a table; NaN is a missing value), or
`[rows, height, width]` or `[rows, height, width, channels]` uint8 (images). Image files
(JPEG, PNG and more) concatenated into one `[bytes]` uint8 are images, too, if `offsets`
`[rows + 1]` holds the start of each and the end of the last. `split` holds train, val
and test, or 0, 1 and 2. Pickled objects are never loaded.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import labelling, readers, sources
from dirjax.data.formats import npz_files, table_files
from dirjax.data.formats.npz_files import check_inputs, columns, encoded, read, require
from dirjax.data.readers import images, table
from dirjax.errors import InputError


def load(
    name: str,
    file: pathlib.Path,
    rules: labelling.Rules,
    *,
    input: str = "",
    split: str = "split",
    weight: str | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    both: int = 0,
    scaling: str = "robust",
    quantiles: int = 0,
    image_size: int = 64,
    channels: int = 0,
    memory: float = math.inf,
    fit: str = "stretch",
    ground: str = "white",
    pixel_range: tuple[float, float] | None = None,
    view_size: int = 0,
    mean_and_std: tuple[float, float] | None = None,
) -> sources.Source:
    """Reads an NPZ file.

    Args:
      name: name of the data set.
      file: the file.
      rules: rules of the label, its bins and the split; `rules.label` names the array.
      input: name of the array of inputs; empty for "x".
      split: name of the array of splits; without it, a split is made.
      weight: name of the array of training weights, or None.
      numeric: columns (x0, x1, ...), see `table.typed`.
      categorical: see `table.typed`.
      drop: see `table.typed`.
      both: see `table.load`.
      scaling: see `TablePreprocessor.fit`.
      quantiles: see `TablePreprocessor.fit`.
      image_size: for concatenated image files, see `images.load`.
      channels: see `images.load`.
      memory: for concatenated image files, see `images.read_all`.
      fit: for concatenated image files, see `decoding`.
      ground: for concatenated image files, see `decoding`.
      pixel_range: for images, see `images.load`.
      view_size: see `images.from_arrays`.
      mean_and_std: see `images.from_arrays`.

    Returns:
      The source.

    Raises:
      InputError: naming array and row.
    """
    sources.require_file(file)
    inputs = input or "x"
    arrays = read(file)
    x = require(arrays, inputs, "data.input", file)
    image_file = encoded(arrays, inputs, file)
    if image_file is None:
        x = check_inputs(x, inputs, file)
        for field, got, none in (
            ("fit", fit, "stretch"),
            ("view_size", view_size, 0),
        ):
            if got != none:
                raise InputError(
                    f"data.{field} is for image files; without any, as in {file}, it "
                    f"must be {none!r}, got {got!r}. Leave it out."
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
            f"arrays must have one entry per row, {file} has {said}. Make them equally "
            "long."
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
    found, reading = None, None
    if image_file is not None:
        x, reading = images.read_all(
            range(count),
            image_file,
            rows,
            lambda i: f"image {i} of {file}",
            images.reading_of(image_size, channels, fit, ground, pixel_range),
            memory=memory,
            progress="reading images",
        )
    elif x.ndim == 2:
        found = table.typed(
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
        return images.from_arrays(
            name, x, labelled, mean_and_std, reading=reading, view=view_size
        )
    return table.from_features(
        name,
        found,
        labelled,
        named=table.listed((*numeric, *categorical), list(found.values)),
        both=both,
        scaling=scaling,
        quantiles=quantiles,
    )


def read_new(
    path: pathlib.Path,
    record: Mapping[str, Any],
    *,
    input: str = "",
    on_bad: str = "error",
    keep: Sequence[str] = (),
) -> Iterator[readers.Piece]:
    """Reads rows to predict from an NPZ file like that of training, or other files.

    Args:
      path: an NPZ file; or what `table.read_new` or `images.read_new` takes.
      record: data record of the run.
      input: name of the array of inputs; empty for "x".
      on_bad: "error" or "skip" for unusable rows.
      keep: columns of a table to repeat in the output.

    Raises:
      InputError: if the input does not fit the model, or a row is invalid.
    """
    reader = images if record["kind"] == "images" else table
    if path.is_file() and table_files.starts_with(path, npz_files.MAGIC):
        return reader.new_of_npz(path, record, input or "x", on_bad, keep)
    return reader.read_new(path, record, on_bad=on_bad, keep=keep)
