"""The embedded digits: stroke thickness, slant, or a rotation with skewed density.

MNIST, LeCun et al. 1998; see embedded/NOTICE.md. Thickness and slant are measured on
each image and follow real handwriting. For `rotation_deg`, every digit is rotated by an
angle of 0 to 90 degrees: training angles have the density `exp(-skew * a / 90)`, angles
of val and test are uniform, so the imbalance is adjustable.
"""

from __future__ import annotations

import dataclasses
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from dirjax import labels
from dirjax.data import label_rules, labelling, row_checks, sources, splits
from dirjax.data.readers import images
from dirjax.errors import InputError

TITLES = {
    "thickness_px": "stroke thickness (px)",
    "slant_deg": "slant (degrees)",
    "rotation_deg": "rotation (degrees)",
}
_RANGE = 90.0


def skewed_angles(
    uniform: np.ndarray, skew: float, limit: float = _RANGE
) -> np.ndarray:
    """Angles with density proportional to `exp(-skew * angle / limit)`.

    Args:
      uniform: `[n]` draws from U(0, 1).
      skew: 0 is uniform; 5 makes the last tenth about 90 times rarer than the first.
      limit: largest angle, degrees.

    Returns:
      `[n]` degrees in 0..limit, by inverting the cumulative distribution.

    Example:
      >>> skewed_angles(np.array([0.5]), 0.0).tolist()
      [45.0]
    """
    if skew == 0:
        return limit * uniform
    return -limit / skew * np.log1p(-uniform * -np.expm1(-skew))


def rotate(images: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Rotates each image counter-clockwise about its centre, bilinear, zeros outside.

    Args:
      images: `[n, h, w]` uint8.
      degrees: `[n]`.

    Returns:
      `[n, h, w]` uint8.
    """
    n, h, w = images.shape
    cy, cx = (h - 1) / 2, (w - 1) / 2
    angle = np.deg2rad(degrees)[:, None, None]
    y, x = np.mgrid[0:h, 0:w] - np.array([cy, cx])[:, None, None]
    sy = np.cos(angle) * y + np.sin(angle) * x + cy
    sx = -np.sin(angle) * y + np.cos(angle) * x + cx
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1))).astype(np.float32)
    sy, sx = np.clip(sy + 1, 0, h + 0.999), np.clip(sx + 1, 0, w + 0.999)
    y0, x0 = sy.astype(np.int32), sx.astype(np.int32)
    fy, fx = (sy - y0).astype(np.float32), (sx - x0).astype(np.float32)
    row = np.arange(n)[:, None, None]
    y1, x1 = np.minimum(y0 + 1, h + 1), np.minimum(x0 + 1, w + 1)
    top = padded[row, y0, x0] * (1 - fx) + padded[row, y0, x1] * fx
    low = padded[row, y1, x0] * (1 - fx) + padded[row, y1, x1] * fx
    return np.round(top * (1 - fy) + low * fy).astype(np.uint8)


def read(
    file: pathlib.Path, *, label: str, skew: float, seed: int, bin_width: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads the digits and their labels.

    Args:
      file: the embedded npz file.
      label: "thickness_px", "slant_deg" or "rotation_deg".
      skew: skew of the training angles, for rotation_deg.
      seed: seed of the split and the angles.
      bin_width: bin width of the balanced split, for slant_deg.

    Returns:
      images `[n, h, w, 1]` uint8, labels `[n]` float64, split `[n]` int8
      (0 train, 1 val, 2 test).

    Raises:
      InputError: for an unknown label.
    """
    if label not in TITLES:
        raise InputError(
            f"data.label of mnist5k must be one of {', '.join(TITLES)}, got {label!r}."
        )
    try:
        with np.load(file, allow_pickle=False) as arrays:
            images = arrays["image"]
            measured = {k: arrays[k] for k in ("thickness_px", "slant_deg")}
            part = arrays["split_thickness"].astype(np.int8)
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{file} must be the npz file of the digits: {error}. Leave data.path out "
            "to use the one that comes with dirjax."
        ) from error
    if label == "rotation_deg":
        rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
        uniform = rng.random(len(images))
        part = np.repeat(np.array([0, 1, 2], np.int8), [4000, 500, 500])
        part = part[rng.permutation(len(part))]
        angles = np.where(part == 0, skewed_angles(uniform, skew), _RANGE * uniform)
        return rotate(images, angles)[..., None], angles, part
    y = measured[label].astype(np.float64)
    if label == "slant_deg":
        bins = labels.Bins.covering(y, width=bin_width)
        part = splits.balanced_split(y, bins, denominator=5, cap=10, seed=seed)
    return images[..., None], y, part


def load(
    name: str, file: pathlib.Path, rules: label_rules.Rules, *, skew: float
) -> sources.Source:
    """Loads the digits with one of their labels.

    Args:
      name: name of the data set.
      file: see `read`.
      rules: rules of the label and its bins.
      skew: skew of the training angles, for rotation_deg.

    Raises:
      InputError: see `read`.
    """
    sources.require_file(file)
    width = rules.bin_width or 1.0
    pixels, y, part = read(
        file, label=rules.label, skew=skew, seed=rules.seed, bin_width=width
    )
    rows = row_checks.Rows(np.arange(len(y)), file, first=0)
    labelled = labelling.label_rows(y, rows, rules, part=part)
    # In float32, as for the published results.
    train = pixels[labelled.train] / np.float32(255)
    scale = float(train.mean()), float(train.std())
    made = images.from_arrays(name, pixels, labelled, scale)
    return dataclasses.replace(made, label=TITLES[rules.label])


read_new = images.read_new


def check(data: Mapping[str, Any]) -> None:
    """Refuses flips for labels that a flip would change.

    Args:
      data: the fields of `config.data`.

    Raises:
      InputError: if images would be flipped.
    """
    flip = data["augment"]["flip"]
    if flip and data["label"] != "thickness_px":
        raise InputError(
            f"config.data.augment.flip must be False for {data['label']}, got True: "
            "a digit's mirror image has another label. Leave it out."
        )
