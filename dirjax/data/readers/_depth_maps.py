"""Images with depth maps: codes in host memory, bins, crops, masks.

A depth map is stored as in its file, with 8 or 16 bits per pixel, and converted to
metres on access (`Coded`). All splits use the centre crop. Training labels have the
size of the model's maps, for example half of the crop (nearest pixels); labels of val
and test have the full crop size, and predictions are upsampled to it. Training reads
uncropped images, `Split.wide`, which `augment.depth` flips, rotates and crops on the
device.

Bins, shots and weights come from all training pixels of the full-size crop.

Source: Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021,
https://arxiv.org/abs/2102.09554, its depth benchmark.

**Deviations**: a pixel of value 0 has no depth and is masked; the public code has none
in its files, but creates some by rotation (`augment.depth`, border). Depth is
downsampled to the nearest pixel; the public code names no filter and so gets Pillow's
default: nearest before version 7, later bicubic, which mixes near and far.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dirjax import labels
from dirjax.data import label_rules, labelling, readers, sources, splits
from dirjax.data.formats.coded import Coded
from dirjax.errors import InputError
from dirjax.ops.pixels import center, nearest

# ImageNet statistics of pretrained encoders, by channel.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Metres per 8-bit and 16-bit code, in single precision as published.
METRES = {
    np.dtype(np.uint8): np.arange(256, dtype=np.float32) / np.float32(255) * 10,
    np.dtype(np.uint16): np.arange(65536, dtype=np.float32) / np.float32(1000),
}


@dataclasses.dataclass(frozen=True)
class Maps:
    """Images and depth of one split.

    Attributes:
      images: `[n, height, width, 3]` uint8.
      codes: `[n, height, width]` uint8 or uint16.
      number: `[n]` int, row numbers in the file.
      mask: `[n, *crop]` bool, pixels to test; None for all pixels with depth.
    """

    images: np.ndarray
    codes: np.ndarray
    number: np.ndarray
    mask: np.ndarray | None = None


def thinned(codes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`[n, *size]` of `[n, h, w]`: the nearest pixels.

    Example:
      >>> thinned(np.arange(8).reshape(1, 2, 4), (1, 2)).tolist()
      [[[5, 7]]]
    """
    height, width = codes.shape[1:]
    if height % size[0] == width % size[1] == 0:
        down, right = height // size[0], width // size[1]
        # A view, since there are many training maps.
        return codes[:, down // 2 :: down, right // 2 :: right]
    rows, columns = nearest(height, size[0]), nearest(width, size[1])
    return codes[:, rows][:, :, columns]


def count_codes(codes: np.ndarray) -> np.ndarray:
    """Pixels per code, `[256]` or `[65536]` int64, without copying the maps."""
    size = np.iinfo(codes.dtype).max + 1
    count = np.zeros(size, np.int64)
    for one in codes:
        count += np.bincount(one.ravel(), minlength=size)
    return count


def make_spec(codes: np.ndarray, rules: label_rules.Rules) -> labels.Spec:
    """Bins, counts and shots of training maps.

    Args:
      codes: `[n, height, width]` of the crop; code 0 means no depth.
      rules: rules of the bins, with range and width.

    Raises:
      InputError: if the bins are invalid, or there is no depth.
    """
    assert rules.label_range
    assert rules.bin_width
    metres = METRES[codes.dtype]
    count = count_codes(codes)
    count[0] = 0
    if np.count_nonzero(count) < 2:
        raise InputError("training maps must have at least two distinct depths.")
    try:
        bins = labels.Bins.covering(
            metres[count > 0],
            width=rules.bin_width,
            label_range=rules.label_range,
            dtype=np.dtype(rules.bin_dtype),
        )
        counts = np.bincount(bins.index(metres), count, bins.num).astype(np.int64)
        shots = labels.shot_groups(counts, rules.many, rules.few, rules.shot_lists)
    except ValueError as error:
        raise InputError(f"the training depths cannot be binned: {error}") from error
    share, exact = count / count.sum(), metres.astype(np.float64)
    mean = float(share @ exact)
    std = float(np.sqrt(share @ (exact - mean) ** 2))
    return labels.Spec(bins, counts, shots, mean, std, int(count.sum()))


def _split(
    maps: Maps,
    crop: tuple[int, int],
    bins: labels.Bins,
    size: tuple[int, int] | None = None,
) -> sources.Split:
    """One split without its test mask; with `size` the training split."""
    rows, columns = center(maps.codes.shape[1:], crop)
    codes, metres = maps.codes[:, rows, columns], METRES[maps.codes.dtype]
    codes = thinned(codes, size) if size else codes
    value = Coded(codes, metres)
    return sources.Split(
        inputs=maps.images[:, rows, columns],
        label=value,
        value=value,
        bin=Coded(codes, bins.index(metres)),
        weight=np.ones(len(codes), np.float32),
        index=maps.number.astype(np.int32),
        mask=Coded(codes, np.arange(len(metres)) > 0),
        wide={"inputs": maps.images, "codes": maps.codes} if size else None,
    )


def _tested(split: sources.Split, given: np.ndarray | None, seed: int) -> sources.Split:
    """A split with its mask: the given one, or one balanced over bins."""
    seen = np.asarray(split.mask)
    if given is None:
        bins = np.asarray(split.bin)
        given = splits.balanced_mask(bins, seen, seed=seed)
    return dataclasses.replace(split, mask=given & seen)


def _said(name: str, split: sources.Split, spec: labels.Spec) -> str:
    """A note on the tested pixels."""
    count = np.bincount(split.real(split.bin), minlength=spec.bins.num)
    least, most = count[count > 0].min(), count.max()
    if least == most:
        return f"{name}: {most:,} pixels of each of {np.sum(count > 0)} bins"
    return (
        f"{name}: {least:,} to {most:,} pixels of each of {np.sum(count > 0)} bins, "
        "not balanced like the benchmark"
    )


def source(
    name: str,
    maps: Mapping[str, Maps],
    rules: label_rules.Rules,
    *,
    crop: tuple[int, int],
    size: tuple[int, int],
    statistics: np.ndarray | None = None,
    skipped: Mapping[str, int] | None = None,
    notes: tuple[str, ...] = (),
) -> sources.Source:
    """Makes a source of images with depth maps.

    Args:
      name: name of the data set.
      maps: maps of "train", and of "val" and "test" if they exist. Without a mask, val
        and test get a balanced one: from each bin as many pixels as the rarest bin has,
        drawn with `rules.seed`.
      rules: rules of the label and its bins.
      crop: height and width of the centre crop.
      size: height and width of label maps in training.
      statistics: training rows for feature statistics; None for all.
      skipped: number of rows left out, by reason.
      notes: notes to print at the start of a run.

    Returns:
      The source.

    Raises:
      InputError: if the crop does not fit, or there is no depth.
    """
    height, width = maps["train"].codes.shape[1:]
    if crop[0] > height or crop[1] > width:
        raise InputError(
            f"data.depth.crop must fit into the images, which are {height} x {width} "
            f"(height x width) after data.image_size, got {crop}. Use a smaller crop."
        )
    if size[0] > crop[0] or size[1] > crop[1]:
        raise InputError(
            f"data.depth.maps must be at most the crop {crop}, got {size}. Set it to "
            "the size of the model's maps."
        )
    rows, columns = center((height, width), crop)
    spec = make_spec(maps["train"].codes[:, rows, columns], rules)
    cut = {}
    for split in [s for s in labelling.SPLITS if s in maps]:
        training = size if split == "train" else None
        cut[split] = _split(maps[split], crop, spec.bins, training)
        if not training:
            cut[split] = _tested(cut[split], maps[split].mask, rules.seed)
    few, all_rows = None, maps["train"]
    if statistics is not None:
        chosen = (all_rows.images, all_rows.codes, all_rows.number)
        chosen = Maps(*(x[statistics] for x in chosen))
        few = _split(chosen, crop, spec.bins, size)
    return sources.Source(
        name=name,
        label=rules.title,
        splits=cut,
        spec=spec,
        scale=labels.Scale(),
        record={
            "label": rules.label,
            "scale": labels.Scale().to_json(),
            "label_mean": spec.label_mean,
            "label_std": spec.label_std,
            "kind": "dense",
            "shape": [*crop, 3],
            "input_mean": IMAGENET_MEAN,
            "input_std": IMAGENET_STD,
            "encoder": {},
        },
        notes=(*notes, *(_said(n, cut[n], spec) for n in cut if n != "train")),
        skipped=dict(skipped or {}),
        statistics=few,
    )


def read_new(
    path: pathlib.Path, record: Mapping[str, Any], **options: Any
) -> Iterator[readers.Piece]:
    """Refuses new rows: how to crop images other than the benchmark's is unknown.

    Raises:
      InputError: always.
    """
    del path, record, options
    raise InputError(
        "predict reads no images for the model of --workdir, whose benchmark fixes "
        "their size and crop. In Python, dirjax.evals.predictor.Predictor(workdir)"
        "(images) predicts images that have both."
    )
