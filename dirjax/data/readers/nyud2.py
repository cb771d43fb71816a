"""NYUD2-DIR: depth of indoor images, in the benchmark's layout or as one NPZ.

The benchmark's folder holds

    nyu2_train.csv               image,depth without a header, 50,688 rows
    nyu2_test.csv                654 rows
    nyu2_train/<scene>_out/      <n>.jpg, and <n>.png of 8 bits: value / 255 * 10 metres
    nyu2_test/                   <n>_colors.png, and <n>_depth.png of 16 bits:
                                 millimetres
    test_balanced_mask.npy       [654, 228, 304], the pixels that are tested
    nyu2_train_FDS_subset.csv    rows of nyu2_train.csv for statistics of features

and the first component of paths in the tables is dropped. The NPZ holds the 1,449
labelled pairs of NYU Depth V2: `jpeg`, the files concatenated; `offsets`, where each
starts; `depth` `[n, h, w]` uint8, value / 255 * 10 metres; `split`, 0 train or 2 test.

Source: Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021,
https://arxiv.org/abs/2102.09554; data of Silberman et al., ECCV 2012.

**Deviations**: some rooms of the training rows are held out for validation
(`val_share`); in public code the test split selects the epoch (val_share 0 and
`select.split="test"`). A room is a scene name without its last letter, or, in the NPZ,
a run of training rows between test rows: there, rows of a scene are contiguous and on
one side of the split.
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax.data import labelling, row_checks, sources, splits
from dirjax.data.formats import decoding, npz_files
from dirjax.data.readers import _depth_maps
from dirjax.data.readers import _depth_maps as depth_maps
from dirjax.data.readers._depth_maps import Maps
from dirjax.errors import InputError, require_field

TREE = (
    "nyu2_train.csv, nyu2_test.csv, nyu2_train/SCENE_out/N.jpg and N.png, "
    "nyu2_test/N_colors.png and N_depth.png, test_balanced_mask.npy and "
    "nyu2_train_FDS_subset.csv"
)
_WHERE = (
    "nyud2-dir/download_nyud2.py of github.com/YyzHarry/imbalanced-regression fetches "
    "it, and the last two are in that repository"
)
# Values of `test_mask` that are not files.
DRAWN, ALL = "drawn", "all"
# Bits of depth images -> their Pillow modes.
_MODES = {8: ("L",), 16: ("I;16", "I;16B", "I")}
_FIRST = 10  # missing files to name


class Pairs(NamedTuple):
    """Images and depth maps of one list.

    Attributes:
      rows: rows of the list.
      part: `[rows]` int8, position in `labelling.SPLITS`, -1 for unused rows.
      read: row -> image `[h, w, 3]` uint8 and codes `[h, w]`, scaled; may raise
        `decoding.Unreadable` and OSError.
      place: row -> its name in messages.
      tested: `[n]` rows listed as test, used or not.
      names: path of each image, if there are paths.
    """

    rows: row_checks.Rows
    part: np.ndarray
    read: Callable[[int], tuple[np.ndarray, np.ndarray]]
    place: Callable[[int], str]
    tested: np.ndarray
    names: Sequence[str] = ()


def source(
    name: str,
    path: pathlib.Path,
    rules: labelling.Rules,
    *,
    inputs: str = "",
    size: int = 240,
    crop: tuple[int, int] = (228, 304),
    maps: tuple[int, int] = (114, 152),
    val_share: float = 0.05,
    test_mask: str = "test_balanced_mask.npy",
    statistics: str = "nyu2_train_FDS_subset.csv",
) -> sources.Source:
    """Reads the folder or the NPZ.

    Args:
      name: name of the data set.
      path: the folder; or the NPZ itself.
      rules: rules of the label "depth" and its bins.
      inputs: name of an NPZ in the folder, or empty for the benchmark's layout.
      size: shorter side of images after scaling, in pixels.
      crop: height and width of the centre crop.
      maps: height and width of label maps in training.
      val_share: share of the training rows to hold out, by room; 0 for none.
      test_mask: file in the folder with the tested pixels; or "drawn" for a balanced
        mask drawn with `rules.seed`; or "all".
      statistics: file in the folder with the rows for feature statistics; empty for all
        training rows.

    Returns:
      The source.

    Raises:
      InputError: naming file and row.
    """
    if rules.label != "depth" or rules.label_scale != "linear":
        raise InputError(
            f"{name} needs the label 'depth' on a linear scale, got {rules.label!r} "
            f"and data.label_scale={rules.label_scale}. Leave both out."
        )
    file = path / inputs if inputs and path.is_dir() else path
    packed = file.suffix == ".npz"
    lists = (
        (_of_npz(file, rules, size, val_share),)
        if packed
        else _of_folder(path, rules, size, val_share)
    )
    folder = path if path.is_dir() else path.parent
    read: dict[str, Maps] = {}
    notes, chosen = [], None
    skipped: dict[str, int] = {}
    for pairs in lists:
        for position in np.unique(pairs.part[pairs.part >= 0]):
            split = labelling.SPLITS[position]
            read[split], kept = _decoded(pairs, position, split)
            if split == "test" and test_mask != DRAWN:
                shape = (len(pairs.tested), *crop)
                mask = np.ones(shape, bool)
                if test_mask != ALL:
                    mask = read_mask(folder / test_mask, shape)
                mask = mask[np.isin(pairs.tested, kept)]
                read[split] = dataclasses.replace(read[split], mask=mask)
            if split == "train" and statistics and not packed:
                names = [pairs.names[int(i)] for i in kept]
                chosen = _chosen(folder / statistics, names, notes)
        for why, count in pairs.rows.skipped.items():
            skipped[why] = skipped.get(why, 0) + count
    if "train" not in read:
        raise InputError(f"no training row is left of {path}. Fix the files.")
    if skipped:
        said = ", ".join(f"{n} {why}" for why, n in skipped.items())
        notes.append(f"rows left out: {said}")
    return depth_maps.source(
        name,
        read,
        rules,
        crop=crop,
        size=maps,
        statistics=chosen,
        skipped=skipped,
        notes=tuple(notes),
    )


def load(
    name: str,
    path: pathlib.Path,
    rules: labelling.Rules,
    *,
    input: str = "",
    image_size: int = 240,
    depth: Mapping[str, Any] | None = None,
) -> sources.Source:
    """Reads the folder or the NPZ.

    Args:
      name: name of the data set.
      path: see `source`.
      rules: see `source`.
      input: name of an NPZ in the folder, or empty for the benchmark's layout.
      image_size: shorter side of images after scaling, in pixels.
      depth: `crop`, `maps`, `val_share`, `test_mask` and `statistics` of `source`.

    Returns:
      The source.

    Raises:
      InputError: naming file and row.
    """
    return source(name, path, rules, inputs=input, size=image_size, **(depth or {}))


def _decoded(pairs: Pairs, position: int, split: str) -> tuple[Maps, np.ndarray]:
    """Images and depth of one split, and their rows in the list."""
    wanted = np.flatnonzero(pairs.part == position)
    found = decoding.in_threads(
        wanted.tolist(), pairs.read, progress=f"reading {split} pairs"
    )
    pictures: np.ndarray | None = None
    codes: np.ndarray | None = None
    broken: dict[int, str] = {}
    for at, (row, pair) in enumerate(zip(wanted.tolist(), found, strict=True)):
        if isinstance(pair, decoding.Unreadable):
            broken[row] = str(pair)
            continue
        if pictures is None or codes is None:
            pictures, codes = (_many(x, len(wanted)) for x in pair)
        if pair[1].shape != codes.shape[1:]:
            broken[row] = (
                f"it is {_size(pair[1])} after scaling, but those before it are "
                f"{_size(codes[0])}"
            )
            continue
        pictures[at], codes[at] = pair
    pairs.rows.refuse(
        "unreadable image",
        np.isin(np.arange(len(pairs.part)), list(broken)),
        lambda i: (
            f"images and depth maps must match, {pairs.place(i)} does not: {broken[i]}"
        ),
    )
    good = ~np.isin(wanted, list(broken))
    if pictures is None or codes is None:
        raise InputError(f"no row of {pairs.rows.file} is left. Fix the files.")
    if broken:
        pictures, codes = pictures[good], codes[good]
    kept = wanted[good]
    return Maps(pictures, codes, pairs.rows.number[kept]), kept


def _many(like: np.ndarray, count: int) -> np.ndarray:
    try:
        return np.zeros((count, *like.shape), like.dtype)
    except MemoryError as error:
        raise InputError(
            f"{count:,} images of {_size(like)} do not fit into memory. Set "
            "data.limit, or a smaller data.image_size and data.depth.crop."
        ) from error


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"


def _scaled(image: Any, size: int, filter_: Any) -> Any:
    """Scales the shorter side to `size`, unless it has that size already."""
    width, height = image.size
    if min(width, height) == size:
        return image
    longer = int(size * max(width, height) / min(width, height))
    wanted = (size, longer) if width < height else (longer, size)
    return image.resize(wanted, filter_)


def _pair(
    picture: bytes, depth: Any, size: int, bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """One image and its codes, scaled: bilinear and nearest pixel, respectively.

    Raises:
      decoding.Unreadable: if one is unreadable, or they do not match.
    """
    from PIL import Image

    opened = decoding.opened(picture).convert("RGB")
    if depth.size != opened.size:
        raise decoding.Unreadable(
            f"the depth map is {depth.width} x {depth.height} but the image "
            f"{opened.width} x {opened.height}"
        )
    if depth.mode not in _MODES[bits]:
        raise decoding.Unreadable(
            f"the depth map must be grey with {bits} bits per pixel, its Pillow mode "
            f"is {depth.mode!r}"
        )
    made = np.asarray(_scaled(opened, size, Image.Resampling.BILINEAR))
    codes = np.asarray(_scaled(depth, size, Image.Resampling.NEAREST))
    if bits == 16:
        if codes.min() < 0 or codes.max() > np.iinfo(np.uint16).max:
            raise decoding.Unreadable("the depth map has more than 16 bits per pixel")
        codes = codes.astype(np.uint16)
    return made, codes


def _of_npz(
    file: pathlib.Path, rules: labelling.Rules, size: int, val_share: float
) -> Pairs:
    """Opens the NPZ of labelled pairs."""
    from PIL import Image

    if not file.is_file():
        raise InputError(
            f"{file} does not exist. It is the NPZ of 1,449 labelled pairs; set "
            "data.path to its folder, or to the NPZ itself."
        )
    found = npz_files.read(file)
    for one in ("jpeg", "offsets", "depth", "split"):
        npz_files.require(found, one, "NYU Depth V2 as an NPZ", file)
    content: Any = npz_files.encoded(found, "jpeg", file)
    depth, count = found["depth"], len(found["offsets"]) - 1
    fits = depth.ndim == 3 and depth.dtype == np.uint8
    if not fits or len(depth) != count or found["split"].shape != (count,):
        raise InputError(
            f"'depth' must be uint8 [rows, height, width] and 'split' [rows], for "
            f"{count} images; {file} has {depth.dtype} {list(depth.shape)} and "
            f"{list(found['split'].shape)}. Convert it."
        )
    rows = row_checks.Rows(np.arange(count), file, rules.on_bad, first=0)
    part = labelling.parts_of(rows, found["split"], "split")
    train, tested = part == 0, np.flatnonzero(part == 2)
    if not (part == 1).any():
        # A run of training rows ends at a test row.
        stretch = np.cumsum(np.diff(part != 0, prepend=False) & train)
        part[train] = splits.hold_out(stretch[train], val_share, seed=rules.seed)
    labelling.thin(part, rules)

    def read(row: int) -> tuple[np.ndarray, np.ndarray]:
        return _pair(content(row), Image.fromarray(depth[row]), size, 8)

    return Pairs(rows, part, read, lambda row: f"pair {row} of {file}", tested)


def paths_of(file: pathlib.Path, folder: pathlib.Path) -> list[tuple[str, str]]:
    """Paths of images and depth maps, without their first component."""
    if not file.is_file():
        raise InputError(
            f"{folder} has no {file.name}; it must hold {TREE}. {_WHERE}. For the "
            "1,449 labelled pairs in one NPZ use the option small."
        )
    try:
        lines = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} must be a CSV of UTF-8 text: {error}.") from error
    pairs = []
    for number, cells in enumerate(lines, 1):
        if len(cells) != 2 or not all("/" in cell for cell in cells):
            raise InputError(
                f"{file} must have two columns without a header, image and depth map, "
                f"like data/nyu2_train/a_0001_out/1.jpg; row {number} is "
                f"{','.join(cells)!r}. Use the benchmark's file."
            )
        pairs.append(tuple(cell.strip().split("/", 1)[1] for cell in cells))
    if not pairs:
        raise InputError(f"{file} is empty. Use the benchmark's file.")
    return pairs


def room(path: str) -> str:
    """The room of a training image: its scene without the letter of the part.

    Example:
      >>> room("nyu2_train/living_room_0004b_out/64.jpg")
      'living_room_0004'
    """
    scene = pathlib.PurePosixPath(path).parent.name.removesuffix("_out")
    return re.sub(r"(\d)[a-z]+$", r"\1", scene)


def _of_folder(
    folder: pathlib.Path, rules: labelling.Rules, size: int, val_share: float
) -> tuple[Pairs, Pairs]:
    """Opens the lists of the benchmark."""
    listed = [
        _listed(folder, name, rules, size, bits)
        for name, bits in (("nyu2_train.csv", 8), ("nyu2_test.csv", 16))
    ]
    train, test = listed
    rooms = [room(name) for name in train.names]
    try:
        train.part[:] = splits.hold_out(rooms, val_share, seed=rules.seed)
    except ValueError as error:
        raise InputError(f"data.depth.val_share: {error}") from error
    test.part[:] = 2
    for pairs in listed:
        pairs.part[~pairs.rows.good] = -1
    labelling.thin(train.part, rules)
    return train, test


def _listed(
    folder: pathlib.Path, name: str, rules: labelling.Rules, size: int, bits: int
) -> Pairs:
    """Opens one list; refuses rows with missing files."""
    file = folder / name
    paths = paths_of(file, folder)
    rows = row_checks.Rows(np.arange(len(paths)), file, rules.on_bad, first=1)
    missing = [[p for p in pair if not (folder / p).is_file()] for pair in paths]
    lost = [p for pair in missing for p in pair]
    rows.refuse(
        "missing file",
        np.array([bool(m) for m in missing]),
        lambda i: (
            f"{len(lost)} files that {file} lists are missing in {folder}, from "
            f"{rows.place(i)} on: "
            f"{', '.join(lost[:_FIRST])}{', ...' if len(lost) > _FIRST else ''}"
        ),
    )

    def read(row: int) -> tuple[np.ndarray, np.ndarray]:
        picture, depth = ((folder / p).read_bytes() for p in paths[row])
        return _pair(picture, decoding.opened(depth), size, bits)

    part = np.zeros(len(paths), np.int8)
    names = [picture for picture, _ in paths]
    tested = np.arange(len(paths)) if bits == 16 else np.zeros(0, int)

    def place(row: int) -> str:
        return f"{names[row]} ({rows.place(row)})"

    return Pairs(rows, part, read, place, tested, names)


def read_mask(file: pathlib.Path, shape: tuple[int, ...]) -> np.ndarray:
    """Reads which pixels are tested, bool of the given shape.

    Raises:
      InputError: if the file is invalid or has another shape.
    """
    try:
        with file.open("rb") as stream:
            mask = np.load(stream, allow_pickle=False)
        if not isinstance(mask, np.ndarray):
            raise ValueError("it holds more than one array")
    except (OSError, ValueError, EOFError) as error:
        why = str(error).splitlines()[0].rstrip(". ") if str(error) else "it is empty"
        raise InputError(
            f"the mask of tested pixels cannot be read ({why}). It is "
            "test_balanced_mask.npy of github.com/YyzHarry/imbalanced-regression "
            f"(nyud2-dir/data), and belongs to {file}; "
            f"--config.data.depth.test_mask={DRAWN} draws another one, which does not "
            "reproduce published numbers."
        ) from error
    binary = mask.dtype.kind in "bui" and mask.size and set(np.unique(mask)) <= {0, 1}
    if mask.shape != shape or not binary:
        raise InputError(
            f"the mask of tested pixels must be {list(shape)} (test rows, height, "
            f"width) of 0 and 1, {file} has {mask.dtype} {list(mask.shape)}. Use the "
            "benchmark's file and the default data.depth.crop."
        )
    return mask.astype(bool)


def _chosen(
    file: pathlib.Path, names: Sequence[str], notes: list[str]
) -> np.ndarray | None:
    """Training rows that a table lists, for feature statistics."""
    if not file.is_file():
        raise InputError(
            f"{file} does not exist. It is in nyud2-dir/data of "
            "github.com/YyzHarry/imbalanced-regression; an empty "
            "data.depth.statistics uses all training rows, which takes longer."
        )
    listed = [picture for picture, _ in paths_of(file, file.parent)]
    at = {name: row for row, name in enumerate(names)}
    found = np.array([at[name] for name in listed if name in at], int)
    if len(found) < len(listed):
        notes.append(
            f"feature statistics use {len(found)} of the {len(listed)} rows in "
            f"{file.name}; the others are not training rows of this run"
        )
    return found if len(found) else None


read_new = _depth_maps.read_new


def check(data: Mapping[str, Any]) -> None:
    """Checks the fields for depth maps.

    Args:
      data: the fields of `config.data`.

    Raises:
      InputError: naming the first invalid field.
    """
    fields, changes = data["depth"], data["augment_dense"]
    share = fields["val_share"]
    for field in ("crop", "maps"):
        pair = fields[field]
        ok = len(pair) == 2 and all(isinstance(n, int) and n > 1 for n in pair)
        require_field(ok, f"data.depth.{field}", "(height, width) in pixels", pair)
    require_field(0 <= share < 1, "data.depth.val_share", "in [0, 1)", share)
    stated = data["label_range"] is not None and data["bin_width"] is not None
    require_field(stated, "data.label_range", "set together with data.bin_width", None)
    flip = changes["flip"]
    require_field(
        isinstance(flip, bool), "data.augment_dense.flip", "True or False", flip
    )
    for field, most in (("rotate", 45), ("lighting", 1), ("jitter", 0.99)):
        value = changes[field]
        ok = isinstance(value, (int, float)) and 0 <= value <= most
        require_field(ok, f"data.augment_dense.{field}", f"from 0 to {most}", value)
    ok = changes["border"] in ("hidden", "zero")
    said = "'hidden' or 'zero'"
    require_field(ok, "data.augment_dense.border", said, changes["border"])
