"""Images: a folder and a table of paths and labels, decoded once into memory.

Any size and mode that Pillow reads (PNG, JPEG and more): 16-bit grey is scaled to 8
bits, transparency is put on black, camera orientation is applied, and all are resized
to one square size (bilinear with antialiasing, the aspect ratio is not kept, as in the
public benchmarks).
"""

from __future__ import annotations

import concurrent.futures
import io
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from dirjax.cli import InputError
from dirjax.data import files, sources, tables

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_MAX_PIXELS = 1 << 27  # of one file, before it is resized


class Unreadable(ValueError):
    """A file is no image; the message says why."""


def opened(data: bytes) -> Any:
    """A `PIL.Image.Image` whose pixels are read, upright.

    Raises:
      Unreadable: if it cannot be decoded, or is huge.
    """
    from PIL import Image, ImageOps

    if not data:
        raise Unreadable("it is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own warning of large images
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > _MAX_PIXELS:
                raise Unreadable(
                    f"it has {image.width} x {image.height} pixels, more than "
                    f"{_MAX_PIXELS:,}"
                )
            image = ImageOps.exif_transpose(image)
            image.load()
    except Unreadable:
        raise
    except Image.DecompressionBombError as error:
        raise Unreadable(f"it has more than {_MAX_PIXELS:,} pixels") from error
    except Exception as error:  # Pillow's plugins raise all kinds
        why = (str(error) or type(error).__name__).rstrip(". ")
        why = "it is no image that Pillow knows" if "identify" in why else why
        raise Unreadable(why) from error
    return image


def decode(data: bytes, size: tuple[int, int], channels: int) -> np.ndarray:
    """One image as an array.

    Args:
      data: the content of an image file.
      size: `(height, width)` wanted.
      channels: 1 for grey, 3 for RGB, 0 for 1 or 3 as the image has it.

    Returns:
      `[height, width, channels]` uint8.

    Raises:
      Unreadable: as `opened`.
    """
    from PIL import Image

    image = opened(data)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, np.float64)
        if image.mode.startswith("I"):
            values = values / 257.0  # 65535 -> 255
        image = Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))
    grey = image.mode in ("1", "L", "LA", "La")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(ground, image).convert("RGB")
    image = image.convert("L" if channels == 1 or (not channels and grey) else "RGB")
    height, width = size
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def decode_all(
    names: Sequence[Any],
    read: Callable[[Any], bytes],
    *,
    size: tuple[int, int],
    channels: int,
    progress: str = "",
) -> Iterable[np.ndarray | Unreadable]:
    """Decodes in threads, in order.

    Args:
      names: what `read` takes.
      read: gives the content of a file; may raise OSError.
      size: see `decode`.
      channels: see `decode`.
      progress: what to call a progress bar; none if empty.

    Yields:
      An array for each, or why there is none.
    """

    yield from in_threads(
        names, lambda name: decode(read(name), size, channels), progress=progress
    )


def in_threads(
    names: Sequence[Any], make: Callable[[Any], Any], *, progress: str = ""
) -> Iterable[Any]:
    """What `make` gives for each name, in order, or why there is nothing.

    Args:
      names: what `make` takes.
      make: may raise OSError and `Unreadable`.
      progress: what to call a progress bar; none if empty.

    Yields:
      What it gives, or `Unreadable`.
    """

    def one(name):
        try:
            return make(name)
        except Unreadable as error:
            return error
        except OSError as error:
            return Unreadable(error.strerror or str(error))

    import sys

    from tqdm import tqdm

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        # In pieces, or results would pile up before they are taken.
        step = 1024
        bar = tqdm(
            total=len(names),
            desc=progress,
            unit="image",
            disable=not progress or not sys.stderr.isatty(),
        )
        with bar:
            for start in range(0, len(names), step):
                for out in pool.map(one, names[start : start + step]):
                    bar.update()
                    yield out


def stack(
    found: Iterable[np.ndarray | Unreadable],
    count: int,
    size: tuple[int, int],
    channels: int,
) -> tuple[np.ndarray, dict[int, str]]:
    """Images as one array.

    Args:
      found: from `decode_all`.
      count: how many there are.
      size: `(height, width)`.
      channels: 1, 3, or 0 for 3 if any image has colours and 1 if none has.

    Returns:
      `[count, height, width, channels]` uint8, and position -> why there is no image.

    Raises:
      InputError: if they do not fit into memory.
    """
    try:
        out = np.zeros((count, *size, channels or 1), np.uint8)
        broken = {}
        for i, image in enumerate(found):
            if isinstance(image, Unreadable):
                broken[i] = str(image)
                continue
            if image.shape[-1] > out.shape[-1]:  # The first one with colours.
                out = np.repeat(out, 3, axis=-1)
            out[i] = image
    except MemoryError as error:
        raise InputError(
            f"{count:,} images of {size[0]} x {size[1]} pixels do not fit into memory. "
            "Set a smaller data.image_size."
        ) from error
    return out, broken


def read_all(
    names: Sequence[Any],
    read: Callable[[Any], bytes],
    rows: sources.Rows,
    place: Callable[[int], str],
    *,
    size: tuple[int, int],
    channels: int,
    progress: str = "",
) -> np.ndarray:
    """Images as one array; rows whose image cannot be read are refused.

    Args:
      names: what `read` takes, one for each row.
      read: see `decode_all`.
      rows: the rows.
      place: what to call the image of a row.
      size: see `stack`, as the next.
      channels: as there.
      progress: see `decode_all`.

    Returns:
      `[rows, height, width, channels]` uint8, zeros where there is no image.

    Raises:
      InputError: naming the image, unless bad rows are skipped.
    """
    found = decode_all(names, read, size=size, channels=channels, progress=progress)
    pixels, broken = stack(found, len(names), size, channels)
    rows.refuse(
        "unreadable image",
        np.isin(np.arange(len(names)), list(broken)),
        lambda i: f"images must be readable, {place(i)} is not: {broken[i]}",
    )
    return pixels


def find_table(path: pathlib.Path) -> pathlib.Path:
    """The table of an image data set: the file itself, or the one in a folder.

    Raises:
      InputError: if there is none, or more than one.
    """
    if path.is_file():
        return path
    found = sorted(
        f
        for f in path.iterdir()
        if f.name.lower().endswith((".csv", ".tsv", ".csv.gz", ".parquet"))
    )
    if len(found) != 1:
        names = ", ".join(f.name for f in found) or "none"
        raise InputError(
            f"{path} must hold one table of paths and labels, it has {names}. Give the "
            "table itself as data.path."
        )
    return found[0]


def load(
    name: str,
    file: pathlib.Path,
    rules: sources.Rules,
    *,
    split: str = "split",
    weight: str | None = None,
    paths: str = "path",
    missing: Sequence[str] = (),
    size: int = 64,
    channels: int = 0,
) -> sources.Source:
    """Reads images that a table names.

    Args:
      name: name of the data set.
      file: table with a column of paths, relative to its folder, and a label; or a
        folder that holds such a table.
      rules: of the label, its bins and the split.
      split: column that says train, val or test; without it a split is made.
      weight: column of weights in the training loss, or None.
      paths: column of paths.
      missing: see `files.blocks`.
      size: height and width to resize to.
      channels: 1, 3, or 0 for 3 if any image has colours and 1 if none has.

    Returns:
      The source.

    Raises:
      InputError: naming row and file, if an image, a path or a label is wrong.
    """
    file = find_table(file)
    table = files.read(file, on_bad=rules.on_bad, missing=missing)
    table.require(paths, "data.input")
    short = {"row length": table.skipped} if table.skipped else {}
    rows = sources.Rows(table.number, file, rules.on_bad, short)
    y, part, weights = tables.row_facts(table, rows, rules, split=split, weight=weight)
    names = files.words(table.cells[paths]).tolist()
    rows.refuse(
        "no path",
        np.array([not n for n in names]),
        lambda i: f"{rows.place(i)} has no {paths!r} in it",
    )
    pixels = read_all(
        names,
        lambda name: (file.parent / name).read_bytes(),
        rows,
        lambda i: f"{names[i]} ({rows.place(i)})",
        size=(size, size),
        channels=channels,
        progress="reading images",
    )
    labelled = sources.label_rows(
        y, rows, rules, part=part, keys=lambda: files.keys(table), weight=weights
    )
    return from_arrays(name, pixels, labelled)


def _mean_and_std(pixels: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """Of all pixels of some rows, in 0..1, without a copy of them."""
    count = np.zeros(256, np.int64)
    for i in rows:
        count += np.bincount(pixels[i].ravel(), minlength=256)
    share, value = count / count.sum(), np.arange(256) / 255
    mean = float(share @ value)
    return mean, float(np.sqrt(share @ (value - mean) ** 2)) or 1.0


def from_arrays(
    name: str,
    pixels: np.ndarray,
    labelled: sources.Labelled,
    mean_and_std: tuple[float, float] | None = None,
) -> sources.Source:
    """A source of images in memory.

    Args:
      name: name of the data set.
      pixels: `[rows, height, width, channels]` uint8.
      labelled: the rows.
      mean_and_std: of training pixels in 0..1. Default: exact ones.
    """
    train = np.flatnonzero(labelled.train)
    mean, std = mean_and_std or _mean_and_std(pixels, train)
    return sources.assemble(
        name,
        pixels,
        labelled,
        record={
            "kind": "dense" if labelled.label.ndim > 1 else "images",
            "shape": list(pixels.shape[1:]),
            "input_mean": mean,
            "input_std": std,
            "encoder": {},
        },
    )
