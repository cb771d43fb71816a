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

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import label_rules, labelling, sources
from dirjax.data.formats import decoding
from dirjax.data.readers import _depth_maps
from dirjax.data.readers import _nyud2_files as files
from dirjax.data.readers._depth_maps import Maps
from dirjax.errors import InputError, require_field


def check_label(name: str, rules: label_rules.Rules) -> None:
    """Checks that the label is depth in metres.

    Raises:
      InputError: for another one.
    """
    if rules.label != "depth" or rules.label_scale != "linear":
        raise InputError(
            f"{name} needs the label 'depth' on a linear scale, got {rules.label!r} "
            f"and data.label_scale={rules.label_scale}. Leave both out."
        )


def source(
    name: str,
    path: pathlib.Path,
    rules: label_rules.Rules,
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
    check_label(name, rules)
    file = path / inputs if inputs and path.is_dir() else path
    packed = file.suffix == ".npz"
    lists = (
        (files.of_npz(file, rules, size, val_share),)
        if packed
        else files.of_folder(path, rules, size, val_share)
    )
    folder = path if path.is_dir() else path.parent

    def tested(shape: tuple[int, ...]) -> np.ndarray:
        return files.read_mask(folder / test_mask, shape)

    def chosen(rows: np.ndarray, notes: list[str]) -> np.ndarray | None:
        names = [lists[0].names[int(i)] for i in rows]
        return files.chosen(folder / statistics, names, notes)

    return of_lists(
        name,
        lists,
        rules,
        crop=crop,
        maps=maps,
        tested={files.DRAWN: None, files.ALL: _all}.get(test_mask, tested),
        chosen=chosen if statistics and not packed else None,
        where=str(path),
    )


def _all(shape: tuple[int, ...]) -> np.ndarray:
    return np.ones(shape, bool)


def of_lists(
    name: str,
    lists: Sequence[files.Pairs],
    rules: label_rules.Rules,
    *,
    crop: tuple[int, int],
    maps: tuple[int, int],
    tested: Callable[[tuple[int, ...]], np.ndarray] | None,
    chosen: Callable[[np.ndarray, list[str]], np.ndarray | None] | None,
    where: str,
) -> sources.Source:
    """A source of lists of pairs, wherever they were read.

    Args:
      name: see `source`.
      lists: of pairs; that of training rows comes first.
      rules: see `source`.
      crop: see `source`.
      maps: see `source`.
      tested: shape `(tested rows, *crop)` -> the tested pixels; None for a balanced
        mask that is drawn.
      chosen: training rows in the list, and notes to add to -> positions among them of
        those for feature statistics, or None for all; None for all.
      where: the data, for messages.

    Raises:
      InputError: naming the row.
    """
    read: dict[str, Maps] = {}
    notes, few = [], None
    skipped: dict[str, int] = {}
    for pairs in lists:
        for position in np.unique(pairs.part[pairs.part >= 0]):
            split = labelling.SPLITS[position]
            read[split], kept = _decoded(pairs, position, split)
            if split == "test" and tested:
                mask = tested((len(pairs.tested), *crop))
                mask = mask[np.isin(pairs.tested, kept)]
                read[split] = dataclasses.replace(read[split], mask=mask)
            if split == "train" and chosen:
                few = chosen(kept, notes)
        for why, count in pairs.rows.skipped.items():
            skipped[why] = skipped.get(why, 0) + count
    if "train" not in read:
        raise InputError(f"no training row is left of {where}. Fix the files.")
    if skipped:
        said = ", ".join(f"{n} {why}" for why, n in skipped.items())
        notes.append(f"rows left out: {said}")
    return _depth_maps.source(
        name,
        read,
        rules,
        crop=crop,
        size=maps,
        statistics=few,
        skipped=skipped,
        notes=tuple(notes),
    )


def load(
    name: str,
    path: pathlib.Path,
    rules: label_rules.Rules,
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


def _decoded(pairs: files.Pairs, position: int, split: str) -> tuple[Maps, np.ndarray]:
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
                f"it is {files.size(pair[1])} after scaling, but those before it are "
                f"{files.size(codes[0])}"
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
            f"{count:,} images of {files.size(like)} do not fit into memory. Set "
            "data.limit, or a smaller data.image_size and data.depth.crop."
        ) from error


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
