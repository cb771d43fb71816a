"""Reads images: a folder and a table of paths and labels.

Any size and mode that Pillow reads (PNG, JPEG and more): 16-bit grey is scaled to 8
bits, transparency is composited on black, camera orientation is applied, and Pillow
resizes all images to one square size, bilinear with antialiasing: the pixels are those
of the public benchmarks. See `decoding`.

Each image is decoded once before a run starts, so unreadable ones are reported early.
Data sets of up to `memory` GiB stay decoded in memory; larger ones are decoded again on
each access (`pictures.Pictures`), to the same pixels.
"""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import faces, labelling, readers, sources
from dirjax.data.formats import npz_files, table_files
from dirjax.data.formats.decoding import Unreadable, decode, in_threads
from dirjax.data.formats.pictures import Pictures
from dirjax.data.readers import table as table_lib
from dirjax.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def decode_all(
    names: Sequence[Any],
    read: Callable[[Any], bytes],
    *,
    size: tuple[int, int],
    channels: int,
    fit: str = "stretch",
    progress: str = "",
) -> Iterable[np.ndarray | Unreadable]:
    """Decodes images in threads, in order.

    Args:
      names: arguments of `read`.
      read: returns the content of a file; may raise OSError.
      size: see `decode`.
      channels: see `decode`.
      fit: see `decode`.
      progress: title of a progress bar; empty for none.

    Yields:
      An array for each, or the reason why there is none.
    """
    yield from in_threads(
        names, lambda name: decode(read(name), size, channels, fit), progress=progress
    )


def stack(
    found: Iterable[np.ndarray | Unreadable],
    count: int,
    size: tuple[int, int],
    channels: int,
) -> tuple[np.ndarray, dict[int, str]]:
    """Stacks images into one array.

    Args:
      found: from `decode_all`.
      count: number of images.
      size: `(height, width)`.
      channels: 1, 3, or 0 for 3 if any image has colour, otherwise 1.

    Returns:
      `[count, height, width, channels]` uint8, and position -> reason why there is no
      image.

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
            if image.shape[-1] > out.shape[-1]:  # The first colour image.
                out = np.repeat(out, 3, axis=-1)
            out[i] = image
    except MemoryError as error:
        raise InputError(
            f"{count:,} images of {size[0]} x {size[1]} pixels do not fit into memory. "
            "Set a smaller data.image_size."
        ) from error
    return out, broken


def _check_all(
    found: Iterable[np.ndarray | Unreadable], channels: int
) -> tuple[int, dict[int, str]]:
    """Decodes images without keeping them: common channels, and unreadable ones."""
    broken = {}
    for i, image in enumerate(found):
        if isinstance(image, Unreadable):
            broken[i] = str(image)
        else:
            channels = max(channels, image.shape[-1])
    return channels or 1, broken


def read_all(
    names: Sequence[Any],
    read: Callable[[Any], bytes],
    rows: labelling.Rows,
    place: Callable[[int], str],
    *,
    size: tuple[int, int],
    channels: int,
    fit: str = "stretch",
    memory: float = math.inf,
    progress: str = "",
) -> np.ndarray | Pictures:
    """Reads images into one array and refuses rows with unreadable images.

    Args:
      names: arguments of `read`, one for each row.
      read: see `decode_all`.
      rows: the rows.
      place: name of a row's image, for messages.
      size: see `stack`.
      channels: see `stack`.
      fit: see `decode`.
      memory: largest size of an array in GiB; beyond it, images are decoded on access.
      progress: see `decode_all`.

    Returns:
      `[rows, height, width, channels]` uint8, zeros for missing images; or `Pictures`
      that decode on access.

    Raises:
      InputError: naming the image, unless bad rows are skipped.
    """
    found = decode_all(
        names, read, size=size, channels=channels, fit=fit, progress=progress
    )
    pixels: np.ndarray | Pictures
    if len(names) * math.prod(size) * (channels or 3) <= memory * 2**30:
        pixels, broken = stack(found, len(names), size, channels)
    else:
        known, broken = _check_all(found, channels)

        def again(i: int) -> np.ndarray:
            try:
                return decode(read(names[i]), size, known, fit)
            except (Unreadable, OSError) as error:
                raise InputError(
                    f"images must not change during a run, {place(i)} was readable "
                    f"before and is not now: {error}. Restore it and run the same "
                    "command again."
                ) from error

        pixels = Pictures(again, np.arange(len(names)), (*size, known))
    rows.refuse(
        "unreadable image",
        np.isin(np.arange(len(names)), list(broken)),
        lambda i: f"images must be readable, {place(i)} is not: {broken[i]}",
    )
    return pixels


def hidden(path: pathlib.PurePath) -> bool:
    """Whether a part of a relative path begins with a dot, like what a Mac leaves.

    Example:
      >>> hidden(pathlib.PurePath("a/._0.png")), hidden(pathlib.PurePath("a/0.png"))
      (True, False)
    """
    return any(part.startswith(".") and part.strip(".") for part in path.parts)


def on_disk(folder: pathlib.Path, names: Sequence[str]) -> list[str]:
    """Paths with backslashes for separators, as Windows writes them, as they are here.

    Args:
      folder: what paths are relative to.
      names: paths of a table; one that exists as it stands stays so.
    """
    found = list(names)
    for i, name in enumerate(names):
        if "\\" in name and not (folder / name).exists():
            found[i] = name.replace("\\", "/")
    return found


def find_table(path: pathlib.Path) -> pathlib.Path:
    """Finds the table of an image data set: the file itself, or the one in a folder.

    Names that begin with a dot are skipped.

    Raises:
      InputError: if there is no table, or more than one.
    """
    if path.is_file():
        return path
    found = sorted(
        f
        for f in path.iterdir()
        if f.name.lower().endswith((".csv", ".tsv", ".csv.gz", ".parquet"))
        and not f.name.startswith(".")
    )
    if len(found) != 1:
        names = ", ".join(f.name for f in found) or "none"
        raise InputError(
            f"{path} must hold one table of paths and labels, it has {names}. Set "
            "data.path to the table itself."
        )
    return found[0]


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
    view_size: int = 0,
    mean_and_std: tuple[float, float] | None = None,
) -> sources.Source:
    """Reads the images listed in a table.

    Args:
      name: name of the data set; those of `faces.KNOWN` have their own table and folder
        layout.
      file: table with a label and a column of paths relative to its folder; or a folder
        that holds such a table.
      rules: rules of the label, its bins and the split.
      split: column of the split (train, val, test); without it, a split is made.
      weight: column of training weights, or None.
      input: column of paths; empty for "path".
      missing: see `table_files.blocks`.
      image_size: height and width to resize to.
      channels: 1, 3, or 0 for 3 if any image has colour, otherwise 1.
      memory: see `read_all`.
      fit: see `from_arrays`.
      view_size: see `from_arrays`.
      mean_and_std: see `from_arrays`.

    Returns:
      The source.

    Raises:
      InputError: naming row and file, if an image, path or label is invalid.
    """
    paths = input or "path"
    benchmark = faces.KNOWN.get(name)
    file = benchmark.find(file) if benchmark else find_table(file)
    table = table_files.read(file, on_bad=rules.on_bad, missing=missing)
    if benchmark:
        benchmark.check_columns(table, paths, rules.label, split)
    table.require(paths, "data.input")
    short = {"row length": table.skipped} if table.skipped else {}
    rows = labelling.Rows(table.number, file, rules.on_bad, short)
    y, part, weights = table_lib.row_facts(
        table, rows, rules, split=split, weight=weight
    )
    names = on_disk(file.parent, table_files.words(table.cells[paths]).tolist())
    rows.refuse(
        "no path",
        np.array([not n for n in names]),
        lambda i: f"{rows.place(i)} has no {paths!r}",
    )

    if benchmark:
        benchmark.check_labels(y, rows)
        names = benchmark.resolve(file.parent, names, rows)
        name = benchmark.identify(name, file, rows)

    def place(i: int) -> str:
        row = rows.place(i)
        return f"that of {row}" if benchmark else f"{names[i]} ({row})"

    pixels = read_all(
        names,
        lambda name: (file.parent / name).read_bytes(),
        rows,
        place,
        size=(image_size, image_size),
        channels=channels,
        fit=fit,
        memory=memory,
        progress="reading images",
    )
    labelled = labelling.label_rows(
        y, rows, rules, part=part, keys=lambda: table_files.keys(table), weight=weights
    )
    return from_arrays(name, pixels, labelled, mean_and_std, fit=fit, view=view_size)


def _mean_and_std(pixels: Any, rows: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of all pixels of some rows, in 0..1, without copying them."""
    count = np.zeros(256, np.int64)
    for start in range(0, len(rows), 256):
        block = pixels[rows[start : start + 256]]
        count += np.bincount(block.ravel(), minlength=256)
    share, value = count / count.sum(), np.arange(256) / 255
    mean = float(share @ value)
    return mean, float(np.sqrt(share @ (value - mean) ** 2)) or 1.0


def from_arrays(
    name: str,
    pixels: np.ndarray | Pictures,
    labelled: labelling.Labelled,
    mean_and_std: tuple[float, float] | None = None,
    *,
    fit: str = "stretch",
    view: int = 0,
) -> sources.Source:
    """Makes a source of images.

    Args:
      name: name of the data set.
      pixels: `[rows, height, width, channels]` uint8.
      labelled: the rows.
      mean_and_std: of training pixels in 0..1. Default: computed exactly.
      fit: how images were made square, for `read_new`.
      view: side of the centre crop that the model sees, in pixels; 0 for the whole
        image.
    """
    train = np.flatnonzero(labelled.train)
    mean, std = mean_and_std or _mean_and_std(pixels, train)
    record: dict[str, Any] = {
        "kind": "dense" if labelled.label.ndim > 1 else "images",
        "shape": list(pixels.shape[1:]),
        "input_mean": mean,
        "input_std": std,
        "encoder": {},
    }
    # Only if they change something, since older runs lack these entries.
    record |= {"fit": fit} if fit != "stretch" else {}
    record |= {"view": view} if view else {}
    return sources.assemble(name, pixels, labelled, record=record)


def read_new(
    path: pathlib.Path,
    record: Mapping[str, Any],
    *,
    input: str = "",
    on_bad: str = "error",
    keep: Sequence[str] = (),
) -> Iterator[readers.Piece]:
    """Reads images to predict: a folder, a table of paths, or an NPZ file.

    Args:
      path: the folder or file.
      record: data record of the run.
      input: column of paths; empty for "path".
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
    height, width, channels = record["shape"]
    if path.is_dir():
        if keep:
            raise InputError("--keep needs a table of paths, --input is a folder.")
        found = sorted(
            f
            for f in path.rglob("*")
            if f.suffix.lower() in SUFFIXES and not hidden(f.relative_to(path))
        )
        if not found:
            raise InputError(
                f"{path} holds no image ({', '.join(SUFFIXES)}). Give another folder."
            )
        names: dict[str, Any] = {"path": [str(f.relative_to(path)) for f in found]}
        root, number = path, np.arange(len(found))
    else:
        table = table_files.read(path, on_bad=on_bad, skip_with=readers.SKIP)
        for name in (column, *keep):
            table.require(name, "--keep" if name in keep else "data.input")
        names = {n: table_files.words(table.cells[n]).tolist() for n in (column, *keep)}
        root, number = path.parent, table.number
    first = next(iter(names))
    size = 1024
    for start in range(0, len(names[first]), size):
        some = {k: v[start : start + size] for k, v in names.items()}
        paths = on_disk(root, some[first])
        rows = labelling.Rows(
            number[start : start + size], path, on_bad, skip_with=readers.SKIP
        )
        pixels = read_all(
            paths,
            lambda name: (root / name).read_bytes(),
            rows,
            functools.partial(_name_image, root, paths, rows),
            size=(height, width),
            channels=channels,
            fit=record.get("fit", "stretch"),
        )
        yield readers.Piece(some, pixels[rows.good], rows.good)


def _name_image(
    root: pathlib.Path, paths: Sequence[str], rows: labelling.Rows, i: int
) -> str:
    """Names an image by its path, and by its row in a table."""
    row = "" if root == rows.file else f" ({rows.place(i)})"
    return f"{root / paths[i]}{row}"


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
        shape = tuple(record["shape"])
        if x.shape[1:] != shape:
            raise InputError(
                f"images must be {list(shape)}, as in training; {name!r} of {file} has "
                f"{list(x.shape[1:])}. Resize them, or give image files."
            )
        good = np.ones(len(x), bool)
        yield readers.Piece({"index": np.arange(len(x))}, x, good)
        return
    count = len(stored["offsets"]) - 1
    *size, channels = record["shape"]
    rows = labelling.Rows(
        np.arange(count), file, on_bad, first=0, skip_with=readers.SKIP
    )
    pixels = read_all(
        range(count),
        image_file,
        rows,
        lambda i: f"image {i} of {file}",
        size=(size[0], size[1]),
        channels=channels,
        fit=record.get("fit", "stretch"),
    )
    yield readers.Piece({"index": np.arange(count)}, pixels[rows.good], rows.good)


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
    colour = "grey" if channels == 1 else "RGB"
    return [f"Inputs: images, {height} x {width} pixels, {colour}"]
