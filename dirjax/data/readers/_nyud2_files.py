"""The files of NYUD2-DIR, before decoding: lists, rooms, tested pixels."""

from __future__ import annotations

import csv
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax.data import label_rules, labelling, row_checks, splits
from dirjax.data.formats import decoding, npz_files
from dirjax.errors import InputError

TREE = (
    "nyu2_train.csv, nyu2_test.csv, nyu2_train/SCENE_out/N.jpg and N.png, "
    "nyu2_test/N_colors.png and N_depth.png, test_balanced_mask.npy and "
    "nyu2_train_FDS_subset.csv"
)
_WHERE = (
    "nyud2-dir/download_nyud2.py of github.com/YyzHarry/imbalanced-regression fetches "
    "it, and the last two are in that repository"
)
# The published files of tested pixels, and of rows for statistics.
MASK, SUBSET = "test_balanced_mask.npy", "nyu2_train_FDS_subset.csv"
# Values of `test_mask` that are not files.
DRAWN, ALL = "drawn", "all"
# Bits of depth images -> their Pillow modes, and the metres of one step.
_MODES = {8: ("L",), 16: ("I;16", "I;16B", "I")}
_METRES = {8: 10.0 / 255.0, 16: 0.001}
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


def size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"


def _scaled(image: Any, size: int, filter_: Any) -> Any:
    """Scales the shorter side to `size`, unless it has that size already."""
    width, height = image.size
    if min(width, height) == size:
        return image
    longer = int(size * max(width, height) / min(width, height))
    wanted = (size, longer) if width < height else (longer, size)
    return image.resize(wanted, filter_)


def metres(codes: np.ndarray, bits: int) -> np.ndarray:
    """Depth in metres, float32, of the codes of depth images; see `codes_of`.

    Example:
      >>> metres(np.array([0, 2500]), 16).tolist()
      [0.0, 2.5]
    """
    return (codes * _METRES[bits]).astype(np.float32)


def codes_of(depth: np.ndarray, bits: int) -> np.ndarray:
    """The codes that `metres` was given, uint8 or uint16.

    Example:
      >>> every = np.arange(256)
      >>> bool((codes_of(metres(every, 8), 8) == every).all())
      True
    """
    exact = np.rint(depth.astype(np.float64) / _METRES[bits])
    return exact.astype(np.uint8 if bits == 8 else np.uint16)


def check_pair(opened: Any, depth: Any, bits: int) -> None:
    """Checks that an opened depth image fits its image.

    Raises:
      decoding.Unreadable: if it does not.
    """
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


def pair(
    picture: bytes, depth: Any, size: int, bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """One image and its codes, scaled: bilinear and nearest pixel, respectively.

    Args:
      picture: the image file.
      depth: the opened depth image.
      size: shorter side after scaling.
      bits: of a pixel of the depth image.

    Raises:
      decoding.Unreadable: if one is unreadable, or they do not match.
    """
    from PIL import Image

    opened = decoding.opened(picture).convert("RGB")
    check_pair(opened, depth, bits)
    made = np.asarray(_scaled(opened, size, Image.Resampling.BILINEAR))
    codes = np.asarray(_scaled(depth, size, Image.Resampling.NEAREST))
    if bits == 16:
        if codes.min() < 0 or codes.max() > np.iinfo(np.uint16).max:
            raise decoding.Unreadable("the depth map has more than 16 bits per pixel")
        codes = codes.astype(np.uint16)
    return made, codes


def of_npz(
    file: pathlib.Path, rules: label_rules.Rules, size: int, val_share: float
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
        return pair(content(row), Image.fromarray(depth[row]), size, 8)

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


def of_folder(
    folder: pathlib.Path, rules: label_rules.Rules, size: int, val_share: float
) -> tuple[Pairs, Pairs]:
    """Opens the lists of the benchmark."""
    listed = [
        _listed(folder, name, rules, size, bits)
        for name, bits in (("nyu2_train.csv", 8), ("nyu2_test.csv", 16))
    ]
    train, test = listed
    divide(train, test, [room(name) for name in train.names], rules, val_share)
    return train, test


def divide(
    train: Pairs,
    test: Pairs,
    rooms: Sequence[str],
    rules: label_rules.Rules,
    val_share: float,
) -> None:
    """Sets the split of each row, in place: some rooms of `train` are for validation.

    Raises:
      InputError: for a share that is out of range, or leaves no room.
    """
    try:
        train.part[:] = splits.hold_out(rooms, val_share, seed=rules.seed)
    except ValueError as error:
        raise InputError(f"data.depth.val_share: {error}") from error
    test.part[:] = 2
    for pairs in (train, test):
        pairs.part[~pairs.rows.good] = -1
    labelling.thin(train.part, rules)


def _listed(
    folder: pathlib.Path, name: str, rules: label_rules.Rules, size: int, bits: int
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
        return pair(picture, decoding.opened(depth), size, bits)

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


def chosen(
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
    return noted(found, len(listed), notes, file.name)


def noted(
    found: np.ndarray, listed: int, notes: list[str], file: str = SUBSET
) -> np.ndarray | None:
    """The rows found of those that a table lists, None for none; notes what is missing.

    Example:
      >>> notes = []
      >>> noted(np.array([4, 2]), 3, notes).tolist(), notes[0][:38]
      ([4, 2], 'feature statistics use 2 of the 3 rows')
    """
    if len(found) < listed:
        notes.append(
            f"feature statistics use {len(found)} of the {listed} rows in {file}; the "
            "others are not training rows of this run"
        )
    return found if len(found) else None
