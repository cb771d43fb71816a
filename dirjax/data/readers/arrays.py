"""Reads arrays: an NPZ file with `x`, `y` and, optionally, `split` and `weight`.

`x` is `[rows]` or `[rows, columns]` numbers (a table; NaN is a missing value), or
images: `[rows, height, width]`, `[rows, height, width, channels]` or `[rows, channels,
height, width]` numbers of any type, uint8 from 0 to 255 and others by their range (see
`formats.levels`). Image files (JPEG, PNG and more) concatenated into one `[bytes]`
uint8 are images, too, if `offsets` `[rows + 1]` holds the start of each and the end of
the last. `split` holds train, val and test, or 0, 1 and 2. Pickled objects are never
loaded.

`y` may hold several labels for each row, `[rows, targets]`, NaN for none: the labels
`y0`, `y1`, ... of one model. `y` of images may hold a label for each pixel, `[rows,
height, width]`, NaN for none; `mask` of the same shape tells which of them count.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import (
    feature_columns,
    label_rules,
    labelling,
    readers,
    row_checks,
    sources,
    targets,
)
from dirjax.data.formats import npz_files, text_files
from dirjax.data.formats.decoding import Reading
from dirjax.data.formats.npz_files import check_inputs, columns, encoded, read, require
from dirjax.data.formats.pictures import Pictures
from dirjax.data.readers import (
    _image_arrays,
    _image_files,
    _new_images,
    _new_tables,
    _typed_tables,
    images,
    table,
)
from dirjax.data.readers._image_arrays import MASK
from dirjax.errors import InputError

TARGETS = "columns"


def load(
    name: str,
    file: pathlib.Path,
    rules: label_rules.Rules,
    *,
    input: str = "",
    split: str = "split",
    weight: str | None = None,
    mask: str = MASK,
    channels_first: bool | None = None,
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
      mask: name of the array that tells which labels of pixels count; it may be
        missing.
      channels_first: whether the channels of images come before height and width; None
        to find it from the shape.
      numeric: columns (x0, x1, ...), see `feature_columns.typed`.
      categorical: see `feature_columns.typed`.
      drop: see `feature_columns.typed`.
      both: see `table.load`.
      scaling: see `TablePreprocessor.fit`.
      quantiles: see `TablePreprocessor.fit`.
      image_size: for concatenated image files, see `images.load`.
      channels: see `images.load`.
      memory: for concatenated image files, see `_image_files.read_all`.
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
        _refuse_of_files(file, fit=fit, ground=ground, view_size=view_size)
    count = len(x) if image_file is None else len(arrays["offsets"]) - 1
    named = npz_files.label_arrays(arrays, rules.label, inputs, count, file)
    if len(named) == 1:
        targets.check_single(rules)
    y = next(iter(named.values()))
    if weight:
        require(arrays, weight, "data.weight", file)
    if split != labelling.SPLIT:
        require(arrays, split, "data.split", file)
    if mask != MASK:
        require(arrays, mask, "data.mask", file)
    pictured = image_file is not None or x.ndim > 2
    dense = pictured and y.ndim > 2 and y.size > len(y) == count
    facts = named | {n: arrays[n] for n in (split, weight) if n in arrays}
    single = [n for n in facts if not (dense and n in named)]
    if any(facts[n].size != count for n in single):
        first = inputs if image_file is None else "offsets"
        more = "; labels of pixels are [rows, height, width]" if pictured else ""
        raise _other_lengths(file, {first: arrays[first]} | facts, more)
    for fact in (*named, *([weight] if weight else [])):
        what = "labels" if fact in named else "weights"
        _refuse_text(what, fact, facts[fact], file)
    rows = row_checks.Rows(np.arange(count), file, rules.on_bad, first=0)
    part = None
    if split in arrays:
        part = labelling.parts_of(rows, arrays[split].ravel(), split)
    weights = arrays[weight].astype(np.float64).ravel() if weight else None
    if pictured:
        how = _image_files.reading_of(image_size, channels, fit, ground, pixel_range)
        x, reading, first = _pictures(
            x,
            image_file,
            rows,
            how,
            memory=memory,
            channels_first=channels_first,
            name=inputs,
        )
        if dense:
            y = _image_arrays.maps(y, rules.label, file)
            seen = None
            if mask in arrays:
                seen = _image_arrays.maps(arrays[mask], mask, file)
            labelled = _labelled_pixels(y, seen, rows, rules, part, weights)
        else:
            labelled = _labelled(named, rows, rules, part, weights)
        return images.from_arrays(
            name,
            x,
            labelled,
            mean_and_std,
            reading=reading,
            channels_first=first,
            view=view_size,
        )
    found = feature_columns.typed(
        columns(x), rows, numeric=numeric, categorical=categorical, drop=drop
    )
    labelled = _labelled(named, rows, rules, part, weights)
    return _typed_tables.from_features(
        name,
        found,
        labelled,
        named=feature_columns.listed((*numeric, *categorical), list(found.values)),
        both=both,
        scaling=scaling,
        quantiles=quantiles,
    )


def _refuse_of_files(file: pathlib.Path, **given: Any) -> None:
    """Refuses fields about image files, where there are none."""
    for field, none in (("fit", "stretch"), ("ground", "white"), ("view_size", 0)):
        if given[field] != none:
            raise InputError(
                f"data.{field} is for image files; without any, as in {file}, it "
                f"must be {none!r}, got {given[field]!r}. Leave it out."
            )


def _other_lengths(
    file: pathlib.Path, arrays: Mapping[str, np.ndarray], more: str
) -> InputError:
    """The error for arrays of which one has not an entry for each row."""
    said = ", ".join(f"{n} {list(a.shape)}" for n, a in arrays.items())
    return InputError(
        f"arrays must have one entry per row, {file} has {said}{more}. Make them "
        "equally long."
    )


def _refuse_text(what: str, name: str, array: np.ndarray, file: pathlib.Path) -> None:
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"{what} must be numbers, {name!r} of {file} has type {array.dtype}. "
            "Convert them."
        )


def _pictures(
    x: np.ndarray,
    image_file: Callable[[int], bytes] | None,
    rows: row_checks.Rows,
    how: Reading,
    *,
    memory: float,
    channels_first: bool | None,
    name: str,
) -> tuple[np.ndarray | Pictures, Reading, bool]:
    """The levels of images, how they were read, and whether channels came first.

    Args:
      x: the array of pixels, if there is one.
      image_file: gives the content of the file of a row, if there are files.
      rows: the rows.
      how: how files are to be read; its scale is that of pixels, too.
      memory: see `_image_files.read_all`.
      channels_first: see `load`.
      name: of the array, for messages.
    """
    file = rows.file
    if image_file is not None:
        pixels, reading = _image_files.read_all(
            range(len(rows.number)),
            image_file,
            rows,
            lambda i: f"image {i} of {file}",
            how,
            memory=memory,
            progress="reading images",
        )
        return pixels, reading, False
    x, first, said = _image_arrays.channels_last(
        x, channels_first, f"{name!r} of {file}", "data.channels_first"
    )
    rows.notes += [said] if said else []
    x, scale = _image_arrays.to_levels(x, rows, how.scale)
    return x, Reading((x.shape[1], x.shape[2]), x.shape[3], scale=scale), first


def _labelled(
    named: Mapping[str, np.ndarray],
    rows: row_checks.Rows,
    rules: label_rules.Rules,
    part: np.ndarray | None,
    weights: np.ndarray | None,
) -> labelling.Labelled:
    """Rows with one label each, or several."""
    each = [a.astype(np.float64).ravel() for a in named.values()]
    y = each[0] if len(each) == 1 else np.stack(each, axis=1)
    return targets.label_rows(y, rows, rules, tuple(named), part=part, weight=weights)


def _labelled_pixels(
    y: np.ndarray,
    mask: np.ndarray | None,
    rows: row_checks.Rows,
    rules: label_rules.Rules,
    part: np.ndarray | None,
    weights: np.ndarray | None,
) -> labelling.Labelled:
    """Rows with a label for each pixel, of which a mask may leave some out."""
    y, real = _image_arrays.pixel_labels(y, mask, rows, rules.label)
    if part is None:
        part = _image_arrays.split_by_mean(y, real, rows, rules)
    return labelling.label_rows(y, rows, rules, part=part, weight=weights, mask=real)


def read_new(
    path: pathlib.Path,
    record: Mapping[str, Any],
    *,
    input: str = "",
    on_bad: str = "error",
    keep: Sequence[str] = (),
    label: str | None = None,
    mask: str = MASK,
) -> Iterator[readers.Piece]:
    """Reads rows to predict from an NPZ file like that of training, or other files.

    Args:
      path: an NPZ file; or what `table.read_new` or `images.read_new` takes.
      record: data record of the run.
      input: name of the array of inputs; empty for "x".
      on_bad: "error" or "skip" for unusable rows.
      keep: columns of a table to repeat in the output.
      label: array or column of labels to read, too.
      mask: see `load`.

    Raises:
      InputError: if the input does not fit the model, or a row is invalid.
    """
    reader = table if record["kind"] == "table" else images
    if path.is_file() and text_files.starts_with(path, npz_files.MAGIC):
        name = input or "x"
        if reader is images:
            return _new_images.new_of_npz(path, record, name, on_bad, keep, label, mask)
        return _new_tables.new_of_npz(path, record, name, on_bad, keep, label)
    return reader.read_new(path, record, on_bad=on_bad, keep=keep, label=label)
