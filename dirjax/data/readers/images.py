"""Reads images: a folder and a table of paths and labels.

Any size, mode and depth that Pillow reads (PNG, JPEG, TIFF and more): pixels of more
than 8 bits are scaled by the range of the data set, transparent ones get a ground,
camera orientation is applied, and Pillow resizes all images to one square size,
bilinear with antialiasing: the pixels are those of the public benchmarks. See
`decoding` and `levels`.

Each image is decoded once before a run starts, so unreadable ones are reported early.
Data sets of up to `memory` GiB stay decoded in memory; larger ones are decoded again on
each access (`pictures.Pictures`), to the same pixels.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import (
    column_types,
    faces,
    label_rules,
    labelling,
    sources,
    targets,
)
from dirjax.data.formats import levels, row_keys
from dirjax.data.formats.decoding import Reading
from dirjax.data.formats.pictures import Pictures
from dirjax.data.readers import _image_tables, _new_images
from dirjax.data.readers import table as table_lib
from dirjax.data.readers._image_files import read_all, reading_of
from dirjax.errors import InputError

TARGETS = "names"


def load(
    name: str,
    file: pathlib.Path,
    rules: label_rules.Rules,
    *,
    split: str = "split",
    weight: str | None = None,
    input: str = "",
    missing: Sequence[str] = (),
    decimal: str | None = None,
    thousands: str | None = None,
    image_size: int = 64,
    channels: int = 0,
    memory: float = math.inf,
    fit: str = "stretch",
    ground: str = "white",
    pixel_range: tuple[float, float] | None = None,
    view_size: int = 0,
    mean_and_std: tuple[float, float] | None = None,
) -> sources.Source:
    """Reads the images listed in a table.

    Args:
      name: name of the data set; those of `faces.KNOWN` have their own table and folder
        layout.
      file: table with a label and a column of paths relative to its folder, or of the
        images themselves; or a folder that holds such a table, see `_image_tables`.
      rules: rules of the label, its bins and the split.
      split: column of the split (train, val, test); without it, and unless folders or
        names of files tell it, a split is made.
      weight: column of training weights, or None.
      input: column of paths or images; empty for "path". If missing, `file_name` or the
        only column of images.
      missing: see `table_files.blocks`.
      decimal: see `column_types.Wishes`.
      thousands: see `column_types.Wishes`.
      image_size: height and width to resize to.
      channels: 1, 3, or 0 for 3 if any image has colour, otherwise 1.
      memory: see `read_all`.
      fit: see `decoding`.
      ground: see `decoding`.
      pixel_range: the range of pixels of more than 8 bits, or None to find it, see
        `formats.levels`.
      view_size: see `from_arrays`.
      mean_and_std: see `from_arrays`.

    Returns:
      The source.

    Raises:
      InputError: naming row and file, if an image, path or label is invalid.
    """
    benchmark = faces.KNOWN.get(name)
    file = benchmark.find(file) if benchmark else file
    wanted = input or "path"
    listing = _image_tables.read(
        file, wanted, split, on_bad=rules.on_bad, missing=missing
    )
    table = listing.table
    if benchmark:
        benchmark.check_columns(table, wanted, rules.label, split)
    rows = table_lib.rows_of(table, table.file, rules.on_bad)
    rows.notes += listing.notes
    names = targets.names_of(rules, table.cells)
    y, part, weights, readings = table_lib.row_facts(
        table,
        rows,
        names,
        split=split,
        weight=weight,
        wishes=column_types.Wishes(decimal, thousands),
        hint=column_types.decimal_mark(table.cells, table.delimiter),
    )
    table_lib.tell_notations(readings, rows)
    rows.refuse(
        "no path",
        listing.missing(),
        lambda i: f"{rows.place(i)} has no {listing.column!r}",
    )
    if benchmark:
        benchmark.check_labels(y, rows)
        listing.names = benchmark.resolve(listing.root, listing.names, rows)
        name = benchmark.identify(name, table.file, rows)

    def place(i: int) -> str:
        row, path = rows.place(i), "" if benchmark else listing.names[i]
        return f"{path} ({row})" if path else f"that of {row}"

    pixels = read_all(
        range(len(rows.number)),
        listing.read,
        rows,
        place,
        reading_of(image_size, channels, fit, ground, pixel_range),
        memory=memory,
        progress="reading images",
    )
    labelled = targets.label_rows(
        y,
        rows,
        rules,
        names,
        part=part,
        keys=lambda: row_keys.keys(table),
        weight=weights,
    )
    source = from_arrays(
        name,
        pixels.array,
        labelled,
        mean_and_std,
        reading=pixels.reading,
        view=view_size,
    )
    return _with_readings(source, readings, missing)


def _with_readings(
    source: sources.Source,
    readings: Mapping[str, column_types.ColumnReading],
    missing: Sequence[str],
) -> sources.Source:
    """Records how labels were read, where that is not plain, for new tables."""
    kept = {"readings": column_types.to_json(readings), "missing": list(missing)}
    kept = {name: value for name, value in kept.items() if value}
    return dataclasses.replace(source, record=source.record | kept)


def _blocks(pixels: Any, rows: np.ndarray) -> Iterator[np.ndarray]:
    """The pixels of some rows, without copying all of them."""
    for start in range(0, len(rows), 256):
        yield pixels[rows[start : start + 256]]


def _mean_and_std(pixels: Any, rows: np.ndarray, by_channel: bool) -> tuple[Any, Any]:
    """Mean and deviation of pixels of some rows, in 0..1: of all, or by channel."""
    if pixels.dtype == np.uint8 and not by_channel:
        count = np.zeros(256, np.int64)
        for block in _blocks(pixels, rows):
            count += np.bincount(block.ravel(), minlength=256)
        share, value = count / count.sum(), np.arange(256) / 255
        mean = float(share @ value)
        return mean, float(np.sqrt(share @ (value - mean) ** 2)) or 1.0
    axes = (0, 1, 2) if by_channel else None

    def mean_of(function: Callable[[np.ndarray], np.ndarray]) -> Any:
        total = sum(function(b / 255.0).sum(axis=axes) for b in _blocks(pixels, rows))
        share = len(rows) * math.prod(pixels.shape[1:-1])
        return total / (share * pixels.shape[-1] if axes is None else share)

    mean = mean_of(lambda x: x.astype(np.float64))
    std = np.sqrt(mean_of(lambda x: (x.astype(np.float64) - mean) ** 2))
    std = np.where(std > 0, std, 1.0)
    if axes is None:
        return float(mean), float(std)
    return tuple(mean.tolist()), tuple(std.tolist())


def _refuse_constant(pixels: Any, labelled: labelling.Labelled) -> None:
    """Refuses training images that are all equal: there is nothing to learn from."""
    train = np.flatnonzero(labelled.train)
    first = pixels[train[:1]]
    if all((block == first).all() for block in _blocks(pixels, train)):
        raise InputError(
            f"images must differ, all {len(train):,} training images of "
            f"{labelled.rows.file} are equal once read. Check the files; if they are "
            "transparent, try --config.data.ground=black, or "
            "--config.data.ground=alpha if the alpha channel is the picture."
        )


def from_arrays(
    name: str,
    pixels: np.ndarray | Pictures,
    labelled: labelling.Labelled,
    mean_and_std: tuple[Any, Any] | None = None,
    *,
    reading: Reading | None = None,
    channels_first: bool = False,
    view: int = 0,
) -> sources.Source:
    """Makes a source of images.

    Args:
      name: name of the data set.
      pixels: `[rows, height, width, channels]` levels, uint8 or float32.
      labelled: the rows.
      mean_and_std: of training pixels in 0..1, numbers or one per channel. Default:
        computed exactly.
      reading: how image files became these pixels, for `read_new`. Default: that of
        files of 8 bits.
      channels_first: whether arrays of new images have the channels before height and
        width, for `read_new`.
      view: side of the centre crop that the model sees, in pixels; 0 for the whole
        image.

    Raises:
      InputError: if all training images are equal.
    """
    height, width, channels = pixels.shape[1:]
    reading = reading or Reading((height, width), channels)
    if reading.scale and reading.scale.window and pixels.dtype == np.uint8:
        raise InputError(
            "data.pixel_range is for images of more than 8 bits, all of "
            f"{labelled.rows.file} have 8. Leave it out."
        )
    _refuse_constant(pixels, labelled)
    train = np.flatnonzero(labelled.train)
    scale = reading.scale
    apart = channels not in levels.COLOURS or (
        scale is not None and any(map(scale.by_channel, scale.ranges))
    )
    mean, std = mean_and_std or _mean_and_std(pixels, train, apart)
    record: dict[str, Any] = {
        "kind": "dense" if labelled.label.ndim > 2 else "images",
        "shape": list(pixels.shape[1:]),
        "input_mean": mean,
        "input_std": std,
        "encoder": {},
        "fit": reading.fit,
        "ground": reading.ground,
        "pixel_scale": scale and scale.to_json(),
        "channels_first": channels_first,
        "view": view,
    }
    return sources.assemble(name, pixels, labelled, record=record)


read_new = _new_images.read_new


def describe_inputs(
    source: sources.Source, dropped: Sequence[str] = ()
) -> dict[str, Any]:
    """The shape of images, see `data.describe.facts`."""
    del dropped
    return {"kind": "images", "shape": list(source.record["shape"])}


def inputs_text(inputs: Mapping[str, Any], rows: int) -> list[str]:
    """The same as one line of text."""
    del rows
    height, width, channels = inputs["shape"]
    colour = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    return [f"Inputs: images, {height} x {width} pixels, {colour}"]
