"""Reads images to predict, in files or arrays, by the rules of training."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import readers, row_checks
from dirjax.data.formats import levels, npz_files, text_columns, text_files
from dirjax.data.formats.decoding import SUFFIXES, Reading
from dirjax.data.readers import _image_arrays, _image_tables, _new_tables
from dirjax.data.readers._image_arrays import MASK
from dirjax.data.readers._image_files import read_all
from dirjax.errors import InputError


def hidden(path: pathlib.PurePath) -> bool:
    """Whether a part of a relative path begins with a dot, like what a Mac leaves.

    Example:
      >>> hidden(pathlib.PurePath("a/._0.png")), hidden(pathlib.PurePath("a/0.png"))
      (True, False)
    """
    return any(part.startswith(".") and part.strip(".") for part in path.parts)


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
        yield _piece(stored, pixels, rows, label, mask, record, name)
        return
    pixels = read_all(
        range(count),
        image_file,
        rows,
        lambda i: f"image {i} of {file}",
        recorded(record),
    ).array
    yield _piece(stored, pixels, rows, label, mask, record, name)


def _piece(
    stored: Mapping[str, np.ndarray],
    pixels: Any,
    rows: row_checks.Rows,
    label: str | None,
    mask: str,
    record: Mapping[str, Any],
    inputs: str,
) -> readers.Piece:
    """The usable rows of an NPZ file, with their labels if asked for."""
    if label and record["kind"] == "dense":
        value = _image_arrays.new_pixel_labels(stored, rows, label, mask, record)
    else:
        value = npz_files.new_labels(stored, rows, label, record, inputs)
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
