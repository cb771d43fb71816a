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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax.data import faces, labelling, readers, sources
from dirjax.data.formats import levels, npz_files, table_files
from dirjax.data.formats.decoding import (
    ALPHA,
    Picture,
    Reading,
    Unreadable,
    decode,
    in_threads,
)
from dirjax.data.formats.pictures import Pictures
from dirjax.data.readers import _image_arrays, _image_tables
from dirjax.data.readers import table as table_lib
from dirjax.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


class Pixels(NamedTuple):
    """Images of a data set.

    Attributes:
      array: `[rows, height, width, channels]` uint8 or float32 levels (see
        `formats.levels`), zeros for missing images; or `Pictures` that decode on
        access.
      reading: how image files became these pixels, and will become others like them.
    """

    array: np.ndarray | Pictures
    reading: Reading


def decode_all(
    names: Sequence[Any],
    read: Callable[[Any], bytes],
    reading: Reading,
    progress: str = "",
) -> Iterable[Picture | Unreadable]:
    """Decodes images in threads, in order.

    Args:
      names: arguments of `read`.
      read: returns the content of a file; may raise OSError.
      reading: see `decode`.
      progress: title of a progress bar; empty for none.

    Yields:
      A picture for each, or the reason why there is none.
    """
    yield from in_threads(
        names, lambda name: decode(read(name), reading), progress=progress
    )


@dataclasses.dataclass
class _Seen:
    """What the images of a data set have.

    Attributes:
      channels: of the image with most of them.
      kind: `[rows]` str, see `levels.kind_of`.
      low: `[rows]` smallest pixels, see `Picture`.
      high: `[rows]` largest pixels.
      transparent: number of images with transparent pixels.
      frames: number of images with further pages or frames.
      broken: position -> reason why there is no image.
    """

    channels: int
    kind: np.ndarray
    low: np.ndarray
    high: np.ndarray
    transparent: int = 0
    frames: int = 0
    broken: dict[int, str] = dataclasses.field(default_factory=dict)

    def add(self, i: int, picture: Picture) -> None:
        """Adds the image of a row."""
        self.channels = max(self.channels, picture.pixels.shape[-1])
        self.kind[i], self.low[i], self.high[i] = picture[1:4]
        self.transparent += picture.transparent
        self.frames += picture.frames > 1

    def scale(self, given: levels.Scale | None) -> levels.Scale | None:
        """The given scale, or the one of these images; None if all have 8 bits."""
        kinds = sorted({*self.kind.tolist()} - {""})
        if given or not kinds:
            return given
        return levels.Scale(
            {
                kind: levels.find_range(
                    kind,
                    float(self.low[self.kind == kind].min()),
                    float(self.high[self.kind == kind].max()),
                )
                for kind in kinds
            }
        )

    def notes(self, reading: Reading) -> Iterator[str]:
        """Sentences on what was found, for the person who trains."""
        for kind in sorted({*self.kind.tolist()} - {""}):
            assert reading.scale
            here, ends = self.kind == kind, reading.scale.ranges[kind]
            found = float(self.low[here].min()), float(self.high[here].max())
            yield levels.note("images", kind, int(here.sum()), found, reading.scale)
            cut = int(((self.low < ends[0]) | (self.high > ends[1]))[here].sum())
            if cut:
                yield f"{cut:,} of them have pixels outside, which are cut to its ends"
        if self.transparent:
            yield f"{self.transparent:,} images are transparent in part: " + (
                "their alpha channel is the picture (data.ground)"
                if reading.ground == ALPHA
                else f"they are laid on {reading.ground} (data.ground; alpha takes the "
                "alpha channel as the picture)"
            )
        if self.frames:
            yield f"{self.frames:,} images have several pages; the first is read"


def _collect(
    found: Iterable[Picture | Unreadable],
    count: int,
    reading: Reading,
    memory: float,
) -> tuple[np.ndarray | None, _Seen]:
    """Stacks images, as long as they fit into `memory` GiB, and notes what they have.

    Returns:
      `[count, height, width, channels]`, pixels as in `Picture`; None if they do not
      fit.

    Raises:
      InputError: if they do not fit into the memory there is.
    """
    size = math.prod(reading.size) * (reading.channels or 3) * count
    kind, (low, high) = np.full(count, "", "<U8"), np.zeros((2, count))
    seen = _Seen(reading.channels, kind, low, high)
    out: np.ndarray | None = None
    try:
        if size <= memory * 2**30:
            out = np.zeros((count, *reading.size, reading.channels or 1), np.uint8)
        for i, picture in enumerate(found):
            if isinstance(picture, Unreadable):
                seen.broken[i] = str(picture)
                continue
            seen.add(i, picture)
            if out is None:
                continue
            if out.dtype == np.uint8 and picture.kind:  # The first of more bits.
                out = out.astype(np.float32) if 4 * size <= memory * 2**30 else None
                if out is None:
                    continue
            if picture.pixels.shape[-1] > out.shape[-1]:  # The first colour image.
                out = np.repeat(out, 3, axis=-1)
            out[i] = picture.pixels
    except MemoryError as error:
        raise InputError(
            f"{count:,} images of {reading.size[0]} x {reading.size[1]} pixels do not "
            "fit into memory. Set a smaller data.image_size."
        ) from error
    seen.channels = seen.channels or 1
    return out, seen


def read_all(
    names: Sequence[Any],
    read: Callable[[Any], bytes],
    rows: labelling.Rows,
    place: Callable[[int], str],
    reading: Reading,
    *,
    memory: float = math.inf,
    progress: str = "",
) -> Pixels:
    """Reads images into one array and refuses rows with unreadable images.

    Args:
      names: arguments of `read`, one for each row.
      read: see `decode_all`.
      rows: the rows; they get notes on depth and transparency.
      place: name of a row's image, for messages.
      reading: how to read them. Without channels, there are 3 if any image has colour;
        without a scale, that of these images is found, see `formats.levels`.
      memory: largest size of an array in GiB; beyond it, images are decoded on access.
      progress: see `decode_all`.

    Returns:
      The pixels, and the reading with what was found.

    Raises:
      InputError: naming the image, unless bad rows are skipped.
    """
    found = decode_all(names, read, reading, progress)
    array, seen = _collect(found, len(names), reading, memory)
    known = dataclasses.replace(
        reading, channels=seen.channels, scale=seen.scale(reading.scale)
    )
    pixels: np.ndarray | Pictures
    if array is None:

        def again(i: int) -> np.ndarray:
            try:
                return decode(read(names[i]), known).pixels
            except (Unreadable, OSError) as error:
                raise InputError(
                    f"images must not change during a run, {place(i)} was readable "
                    f"before and is not now: {error}. Restore it and run the same "
                    "command again."
                ) from error

        deep = bool((seen.kind != "").any())
        shape = (*known.size, known.channels)
        dtype = np.dtype(np.float32 if deep else np.uint8)
        pixels = Pictures(again, np.arange(len(names)), shape, dtype)
    else:
        pixels = array
        if known.scale and not reading.scale:
            for i in np.flatnonzero(seen.kind != "").tolist():
                pixels[i] = known.scale.levels(pixels[i], str(seen.kind[i]))
    rows.notes += seen.notes(known)
    rows.refuse(
        "unreadable image",
        np.isin(np.arange(len(names)), list(seen.broken)),
        lambda i: f"images must be readable, {place(i)} is not: {seen.broken[i]}",
    )
    return Pixels(pixels, known)


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
    rows = labelling.Rows(
        table.number, table.file, rules.on_bad, short, first=listing.first
    )
    rows.notes += listing.notes
    y, part, weights = table_lib.row_facts(
        table, rows, rules, split=split, weight=weight
    )
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
        y, rows, rules, part=part, keys=lambda: table_files.keys(table), weight=weights
    )
    return from_arrays(
        name,
        pixels.array,
        labelled,
        mean_and_std,
        reading=pixels.reading,
        view=view_size,
    )


def reading_of(
    size: int,
    channels: int,
    fit: str,
    ground: str,
    pixel_range: tuple[float, float] | None,
) -> Reading:
    """The reading for a square size and a range, given or None; see `Reading`."""
    scale = levels.Scale.given(pixel_range) if pixel_range else None
    return Reading((size, size), channels, fit, ground, scale)


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
            "transparent, set data.ground (alpha: the alpha channel is the picture)."
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
) -> Iterator[readers.Piece]:
    """Reads images to predict: a folder, a table of them, or an NPZ file.

    Args:
      path: a folder of images, or a table of them as in `load`, or an NPZ file.
      record: data record of the run.
      input: column of paths or images; empty for "path".
      on_bad: "error" or "skip" for unreadable images.
      keep: columns of a table to repeat in the output.

    Raises:
      InputError: if there is no image, or an unusable one.
    """
    if path.is_file() and table_files.starts_with(path, npz_files.MAGIC):
        return new_of_npz(path, record, "x", on_bad, keep)
    return _new_of_files(path, record, input or "path", on_bad, keep)


def _new_of_files(
    path: pathlib.Path,
    record: Mapping[str, Any],
    column: str,
    on_bad: str,
    keep: Sequence[str],
) -> Iterator[readers.Piece]:
    reading = recorded(record)
    found = sorted(
        f
        for f in (path.rglob("*") if path.is_dir() else ())
        if f.suffix.lower() in SUFFIXES and not hidden(f.relative_to(path))
    )
    names: dict[str, Any]
    if found:
        if keep:
            raise InputError("--keep needs a table of paths, --input is a folder.")
        names = {"path": [str(f.relative_to(path)) for f in found]}
        number, read = np.arange(len(found)), lambda i: found[i].read_bytes()
        first = 1
    elif path.is_dir() and not _image_tables.parquet_below(path):
        raise InputError(
            f"{path} holds no image ({', '.join(SUFFIXES)}). Give another folder."
        )
    else:
        listing = _image_tables.read(
            path, column, on_bad=on_bad, skip_with=readers.SKIP
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
        first = listing.first
        names |= {n: table_files.words(cells[n]).tolist() for n in keep}
    size = 1024
    for start in range(0, len(number), size):
        some = {k: v[start : start + size] for k, v in names.items()}
        some_rows = number[start : start + size]
        rows = labelling.Rows(
            some_rows, path, on_bad, first=first, skip_with=readers.SKIP
        )
        pixels = read_all(
            range(start, start + len(rows.number)),
            read,
            rows,
            functools.partial(_name_image, path, some, rows),
            reading,
        ).array
        yield readers.Piece(some, pixels[rows.good], rows.good)


def _name_image(
    path: pathlib.Path, names: Mapping[str, Any], rows: labelling.Rows, i: int
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
) -> Iterator[readers.Piece]:
    """Reads images to predict from an array or concatenated image files.

    Args:
      file: an NPZ file.
      record: see `read_new`.
      name: name of the array.
      on_bad: see `read_new`.
      keep: must be empty.
    """
    npz_files.refuse_keep(keep)
    stored = npz_files.read(file)
    x = npz_files.require(stored, name, "inputs", file)
    image_file = npz_files.encoded(stored, name, file)
    if image_file is None:
        x = npz_files.check_inputs(x, name, file)
    count = len(x) if image_file is None else len(stored["offsets"]) - 1
    rows = labelling.Rows(
        np.arange(count), file, on_bad, first=0, skip_with=readers.SKIP
    )
    if image_file is None:
        pixels = _like_training(x, name, record, rows)
        yield readers.Piece({"index": rows.number}, pixels[rows.good], rows.good)
        return
    pixels = read_all(
        range(count),
        image_file,
        rows,
        lambda i: f"image {i} of {file}",
        recorded(record),
    ).array
    yield readers.Piece({"index": np.arange(count)}, pixels[rows.good], rows.good)


def _like_training(
    x: np.ndarray, name: str, record: Mapping[str, Any], rows: labelling.Rows
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
