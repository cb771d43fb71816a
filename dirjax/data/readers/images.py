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
import functools
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import (
    column_types,
    faces,
    labelling,
    readers,
    row_checks,
    sources,
)
from dirjax.data.formats import levels, npz_files, row_keys, text_columns, text_files
from dirjax.data.formats.decoding import Reading
from dirjax.data.formats.pictures import Pictures
from dirjax.data.readers import _image_arrays, _image_tables, _new_tables
from dirjax.data.readers import table as table_lib
from dirjax.data.readers._image_arrays import MASK
from dirjax.data.readers._image_files import read_all, reading_of
from dirjax.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def hidden(path: pathlib.PurePath) -> bool:
    """Whether a part of a relative path begins with a dot, like what a Mac leaves.

    Example:
      >>> hidden(pathlib.PurePath("a/._0.png")), hidden(pathlib.PurePath("a/0.png"))
      (True, False)
    """
    return any(part.startswith(".") and part.strip(".") for part in path.parts)


def load(
    name: str,
    file: pathlib.Path,
    rules: labelling.Rules,
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
    short = {"row length": table.skipped} if table.skipped else {}
    rows = row_checks.Rows(
        table.number, table.file, rules.on_bad, short, first=table.first
    )
    rows.notes += [*table.notes, *listing.notes]
    y, part, weights, readings = table_lib.row_facts(
        table,
        rows,
        (rules.label,),
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
        row = rows.place(i)
        if benchmark or not listing.names[i]:
            return f"that of {row}"
        return f"{listing.names[i]} ({row})"

    pixels = read_all(
        range(len(rows.number)),
        listing.read,
        rows,
        place,
        reading_of(image_size, channels, fit, ground, pixel_range),
        memory=memory,
        progress="reading images",
    )
    labelled = labelling.label_rows(
        y, rows, rules, part=part, keys=lambda: row_keys.keys(table), weight=weights
    )
    source = from_arrays(
        name,
        pixels.array,
        labelled,
        mean_and_std,
        reading=pixels.reading,
        view=view_size,
    )
    # For the labels of new tables; without any, as from other readers of images.
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
        "kind": "dense" if labelled.label.ndim > 1 else "images",
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


def recorded(record: Mapping[str, Any]) -> Reading:
    """How the images of a run were read, from its data record.

    Raises:
      InputError: if the model takes arrays that no image file holds.
    """
    height, width, channels = record["shape"]
    if channels not in levels.COLOURS:
        raise InputError(
            f"image files have 1 or 3 channels, the model of --workdir takes "
            f"{channels}. Give an NPZ file like that of training."
        )
    scale = record["pixel_scale"]
    return Reading(
        (height, width),
        channels,
        record["fit"],
        record["ground"],
        levels.Scale.from_json(scale) if scale else levels.Scale({}),
    )


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
    """Reads images to predict: a folder, a table of them, or an NPZ file.

    Args:
      path: a folder of images, or a table of them as in `load`, or an NPZ file.
      record: data record of the run.
      input: column of paths or images; empty for "path".
      on_bad: "error" or "skip" for unreadable images.
      keep: columns of a table to repeat in the output.
      label: column or array of labels to read, too; then a folder must hold a table of
        its images, as in training.
      mask: array that tells which labels of pixels count; it may be missing.

    Raises:
      InputError: if there is no image, or an unusable one.
    """
    if path.is_file() and text_files.starts_with(path, npz_files.MAGIC):
        return new_of_npz(path, record, "x", on_bad, keep, label, mask)
    return _new_of_files(path, record, input or "path", on_bad, keep, label)


def _new_of_files(
    path: pathlib.Path,
    record: Mapping[str, Any],
    column: str,
    on_bad: str,
    keep: Sequence[str],
    label: str | None,
) -> Iterator[readers.Piece]:
    reading = recorded(record)
    value = None
    found = sorted(
        f
        for f in (path.rglob("*") if path.is_dir() and label is None else ())
        if f.suffix.lower() in SUFFIXES and not hidden(f.relative_to(path))
    )
    names: dict[str, Any]
    if found:
        if keep:
            raise InputError("--keep needs a table of paths, --input is a folder.")
        names = {"path": [str(f.relative_to(path)) for f in found]}
        number, read = np.arange(len(found)), lambda i: found[i].read_bytes()
        first = 1
    elif path.is_dir() and label is None and not _image_tables.parquet_below(path):
        raise InputError(
            f"{path} holds no image ({', '.join(SUFFIXES)}). Give another folder."
        )
    else:
        listing = _image_tables.read(
            path,
            column,
            on_bad=on_bad,
            missing=record.get("missing", ()),
            skip_with=readers.SKIP,
        )
        for name in keep:
            listing.table.require(name, "--keep")
        number, read = listing.table.number, listing.read
        if listing.encoded is None:
            names = {listing.column: listing.raw}
        else:
            names = {"index": number.tolist()}
            names |= {"path": listing.raw} if all(listing.raw) else {}
        cells = listing.table.cells
        first = listing.table.first
        names |= {n: text_columns.words(cells[n]).tolist() for n in keep}
        every = row_checks.Rows(
            number, path, on_bad, first=first, skip_with=readers.SKIP
        )
        value = _new_tables.new_labels(listing.table, every, label, record)
    size = 1024
    for start in range(0, len(number), size):
        some = {k: v[start : start + size] for k, v in names.items()}
        some_rows = number[start : start + size]
        rows = row_checks.Rows(
            some_rows, path, on_bad, first=first, skip_with=readers.SKIP
        )
        if value is not None:
            rows.good &= every.good[start : start + size]
        pixels = read_all(
            range(start, start + len(rows.number)),
            read,
            rows,
            functools.partial(_name_image, path, some, rows),
            reading,
        ).array
        labels = None if value is None else value[start : start + size][rows.good]
        yield readers.Piece(some, pixels[rows.good], rows.good, labels)


def _name_image(
    path: pathlib.Path, names: Mapping[str, Any], rows: row_checks.Rows, i: int
) -> str:
    """Names an image by its path, and by its row in a table."""
    first = next(iter(names))
    if path.is_dir() and first == "path":
        return str(path / names[first][i])
    if first == "index":
        return f"that of {rows.place(i)}"
    return f"{path.parent / names[first][i]} ({rows.place(i)})"


def new_of_npz(
    file: pathlib.Path,
    record: Mapping[str, Any],
    name: str,
    on_bad: str,
    keep: Sequence[str],
    label: str | None = None,
    mask: str = MASK,
) -> Iterator[readers.Piece]:
    """Reads images to predict from an array or concatenated image files.

    Args:
      file: an NPZ file.
      record: see `read_new`.
      name: name of the array.
      on_bad: see `read_new`.
      keep: must be empty.
      label: name of an array of labels to read, too.
      mask: see `read_new`.
    """
    npz_files.refuse_keep(keep)
    stored = npz_files.read(file)
    x = npz_files.require(stored, name, "inputs", file)
    image_file = npz_files.encoded(stored, name, file)
    if image_file is None:
        x = npz_files.check_inputs(x, name, file)
    count = len(x) if image_file is None else len(stored["offsets"]) - 1
    rows = row_checks.Rows(
        np.arange(count), file, on_bad, first=0, skip_with=readers.SKIP
    )
    if image_file is None:
        pixels = _like_training(x, name, record, rows)
        yield _piece(stored, pixels, rows, label, mask, record)
        return
    pixels = read_all(
        range(count),
        image_file,
        rows,
        lambda i: f"image {i} of {file}",
        recorded(record),
    ).array
    yield _piece(stored, pixels, rows, label, mask, record)


def _piece(
    stored: Mapping[str, np.ndarray],
    pixels: Any,
    rows: row_checks.Rows,
    label: str | None,
    mask: str,
    record: Mapping[str, Any],
) -> readers.Piece:
    """The usable rows of an NPZ file, with their labels if asked for."""
    if label and record["kind"] == "dense":
        value = _image_arrays.new_pixel_labels(stored, rows, label, mask, record)
    else:
        value = npz_files.new_labels(stored, rows, label, record)
    labels = None if value is None else value[rows.good]
    return readers.Piece({"index": rows.number}, pixels[rows.good], rows.good, labels)


def _like_training(
    x: np.ndarray, name: str, record: Mapping[str, Any], rows: row_checks.Rows
) -> np.ndarray:
    """Levels of an array of new images, by the rules in a run's record.

    Raises:
      InputError: if its images have another size, or one does not fit the scale.
    """
    shape = tuple(record["shape"])
    if x.ndim > 2:
        x, *_ = _image_arrays.channels_last(x, record["channels_first"], name, "")
    if x.shape[1:] != shape:
        order = ", which come first in the file" * record["channels_first"]
        raise InputError(
            f"images must be {list(shape)} (height, width, channels{order}) as in "
            f"training; {name!r} of {rows.file} has {list(x.shape[1:])}. Resize them, "
            "or give image files."
        )
    scale = record["pixel_scale"]
    known = levels.Scale.from_json(scale) if scale else levels.Scale({})
    return _image_arrays.to_levels(x, rows, known)[0]


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
