"""Images in arrays, of any type and number of channels, and a label for each pixel.

What `arrays` trains on and what `images` predicts share these functions, so both read
the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dirjax import labels
from dirjax.data import label_rules, row_checks, splits
from dirjax.data.formats import levels, npz_files
from dirjax.errors import InputError

# Name of the array that tells which labels of pixels count.
MASK = "mask"
# Usual numbers of channels: grey, RGB, RGB with alpha or infrared.
_USUAL = (1, 3, 4)


def channels_first(shape: Sequence[int]) -> bool | None:
    """Whether the channels of images come first; None if both is possible.

    Channels are fewer than the pixels of a side, or 1, 3 or 4.

    Args:
      shape: the three axes of an image.

    Example:
      >>> channels_first((3, 32, 32)), channels_first((24, 24, 12))
      (True, False)
      >>> channels_first((16, 16, 16)) is channels_first((3, 9, 3)) is None
      True
    """
    first, middle, last = shape
    could_first = first in _USUAL or first < min(middle, last)
    could_last = last in _USUAL or last < min(first, middle)
    if could_first and could_last and first != last:
        return first < last
    return could_first if could_first != could_last else None


def channels_last(
    x: np.ndarray, first: bool | None, what: str, field: str
) -> tuple[np.ndarray, bool, str]:
    """Images with their channels last.

    Args:
      x: `[rows, height, width]`, or with a further axis of channels.
      first: whether the channels come before height and width; None to find it.
      what: name of the array and file, for messages.
      field: the field that tells it, for messages.

    Returns:
      `[rows, height, width, channels]`, a view; whether the channels came first; and a
      note, empty if nothing had to be found but grey and RGB images.

    Raises:
      InputError: if it cannot be found.
    """
    if x.ndim == 3:
        return x[..., None], False, ""
    found = channels_first(x.shape[1:]) if first is None else first
    if found is None:
        raise InputError(
            f"the axis of the channels must be known, {what} has images of "
            f"{list(x.shape[1:])}. Set {field}=True if they come first, or False if "
            "they come last."
        )
    x = np.moveaxis(x, 1, -1) if found else x
    height, width, channels = x.shape[1:]
    if channels in (1, 3) and not found:
        return x, found, ""
    where, how = ("first" if found else "last"), ("found; " if first is None else "")
    return (
        x,
        found,
        f"{what} has images of {height} x {width} pixels and {channels} channels, "
        f"channels {where} ({how}{field})",
    )


def to_levels(
    x: np.ndarray, rows: row_checks.Rows, scale: levels.Scale | None
) -> tuple[np.ndarray, levels.Scale | None]:
    """Levels of images, see `formats.levels`.

    Args:
      x: `[rows, height, width, channels]` numbers; True and False are white and black.
      rows: the rows; those with pixels that are not finite or do not fit the scale are
        refused, and the range gets a note.
      scale: None to find the range.

    Returns:
      The levels, uint8 or float32, same shape; and the scale, None for uint8.
    """
    if x.dtype == bool:
        return x.astype(np.uint8) * np.uint8(levels.TOP), scale
    kind = levels.kind_of(x.dtype)
    if not kind:
        return np.ascontiguousarray(x), scale
    # Row by row, so that no copy of all pixels is made.
    low, high = (
        np.array([f(image, axis=(0, 1)) for image in x], np.float64)
        for f in (np.min, np.max)
    )
    finite = np.asarray(np.isfinite(low + high).all(axis=1))
    rows.refuse(
        "pixels not finite",
        ~finite,
        lambda i: f"pixels must be finite, {rows.place(i)} has NaN or infinite ones",
    )
    there, out = rows.good & finite, np.zeros(x.shape, np.float32)
    if not there.any():
        return out, scale
    least, most = low[there].min(axis=0), high[there].max(axis=0)
    if scale is None:
        scale = levels.Scale({kind: levels.range_of(kind, least, most)})
    if not scale.by_channel(kind):
        low, high = low.min(axis=1), high.max(axis=1)
    why = {
        i: scale.refuses(kind, low[i], high[i]) for i in np.flatnonzero(there).tolist()
    }
    rows.refuse(
        "pixels of another scale",
        np.isin(np.arange(len(x)), [i for i, w in why.items() if w]),
        lambda i: (
            f"images must be like those of training, {rows.place(i)} is not: {why[i]}"
        ),
    )
    found = float(least.min()), float(most.max())
    rows.notes.append(levels.note("images", kind, int(there.sum()), found, scale))
    for i in np.flatnonzero(rows.good) if kind in scale.ranges else ():
        out[i] = scale.levels(x[i], kind)
    return out, scale


def maps(array: np.ndarray, name: str, file: Any) -> np.ndarray:
    """Labels of pixels or their mask, `[rows, height, width]`.

    Args:
      array: the same, or with an axis of a single channel.
      name: its name in the file.
      file: the file.

    Raises:
      InputError: if it has another shape.
    """
    if array.ndim == 4:
        axis = next((a for a in (3, 1) if array.shape[a] == 1), None)
        array = array if axis is None else array.squeeze(axis)
    if array.ndim != 3:
        raise InputError(
            f"labels of pixels and their mask must be [rows, height, width], {name!r} "
            f"of {file} is {list(array.shape)}. Keep one of them."
        )
    return array


def pixel_labels(
    y: np.ndarray, mask: np.ndarray | None, rows: row_checks.Rows, label: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels for each pixel, and which of them count.

    Args:
      y: `[rows, height, width]` numbers; NaN is no label.
      mask: same shape, which labels count; None for all.
      rows: the rows; those without any label are refused.
      label: name of the labels, for messages.

    Returns:
      Labels `[rows, height, width]` float64; bool of the same shape, None if all count.

    Raises:
      InputError: if the shapes differ.
    """
    if mask is not None and mask.shape != y.shape:
        raise InputError(
            f"the mask must have the shape of the labels, {list(y.shape)}, it has "
            f"{list(mask.shape)} in {rows.file}. Give one entry for each label."
        )
    y = y.astype(np.float64)
    given = np.ones(y.shape, bool) if mask is None else mask.astype(bool)
    none = np.isnan(y) & given
    if none.any():
        rows.notes.append(
            f"{none.sum() / y.size:.1%} of the pixels have no label (NaN) and are left "
            "out like masked ones"
        )
    real = given & ~none
    rows.refuse(
        "no label",
        np.asarray(~real.any(axis=(1, 2))),
        lambda i: f"a row must have a label, {rows.place(i)} has none in {label!r}",
    )
    return y, None if real.all() else real


def new_pixel_labels(
    stored: Mapping[str, np.ndarray],
    rows: row_checks.Rows,
    label: str,
    mask: str,
    record: Mapping[str, Any],
) -> np.ndarray:
    """Labels for each pixel of new images, read as in training.

    Args:
      stored: the arrays of an NPZ file.
      rows: its rows; those without a valid label are refused.
      label: name of the array of labels.
      mask: name of the array that tells which count; it may be missing.
      record: data record of the run.

    Returns:
      `[rows, height, width]` float64, NaN where no label counts.

    Raises:
      InputError: if there are no such labels, or not one map for each row.
    """
    given = npz_files.require(dict(stored), label, "the label of the run", rows.file)
    y = maps(given, label, rows.file)
    if y.dtype.kind not in "biuf" or len(y) != len(rows.number):
        raise InputError(
            f"there must be a map of numbers for each of {len(rows.number)} images, "
            f"{label!r} of {rows.file} has type {y.dtype} and shape {list(y.shape)}. "
            "Convert it."
        )
    seen = maps(stored[mask], mask, rows.file) if mask in stored else None
    y, real = pixel_labels(y, seen, rows, label)
    label_rules.new_labels(y, rows, label, record, real)
    return y if real is None else np.where(real, y, np.nan)


def split_by_mean(
    y: np.ndarray,
    mask: np.ndarray | None,
    rows: row_checks.Rows,
    rules: label_rules.Rules,
) -> np.ndarray:
    """A split that is balanced over the mean label of each row.

    Args:
      y: `[rows, height, width]` finite where `mask` is.
      mask: see `pixel_labels`.
      rows: the rows; the split gets a note.
      rules: how to split.

    Returns:
      `[rows]` int8, position in `labelling.SPLITS`, -1 for rows that are not good.
    """
    part = np.full(len(y), -1, np.int8)
    real = np.ones(y.shape, bool) if mask is None else mask
    count = np.maximum(real.sum(axis=(1, 2)), 1)
    mean = np.where(real, y, 0).sum(axis=(1, 2)) / count
    good = rows.good & np.isfinite(mean)
    some: Any = mean[good]
    if len(some) and some.min() < some.max():
        bins = labels.Bins.covering(some, width=labels.auto_width(some))
        part[good] = splits.balanced_split(
            some,
            bins,
            denominator=rules.split_divisor,
            cap=rules.split_cap,
            seed=rules.seed,
            keys=rows.number[good],
        )
    else:  # Nothing to balance.
        order = np.random.default_rng(rules.seed).permutation(np.flatnonzero(good))
        part[good] = 0
        held = min(len(order) // rules.split_divisor, rules.split_cap)
        part[order[:held]], part[order[held : 2 * held]] = 1, 2
    rows.notes.append(
        f"the file has no split: 1 in {rules.split_divisor} rows of each bin of their "
        f"mean label, at most {rules.split_cap}, went to val, and as many to test"
    )
    return part
