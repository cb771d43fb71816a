"""Generates scenes: small images of rooms with boxes, and the depth of each pixel.

A dense task without files. The camera looks along a corridor that ends at a wall; boxes
stand on the floor. The image shows distance by several cues: distant things are small,
stand higher in the image, and fade into haze. Surfaces have random colours, so a single
pixel does not reveal its depth.

In training the distance of the wall is skewed, so near pixels are common and far ones
rare; in val and test it is uniform, so that each bin has enough pixels. Some pixels
have no depth, as with a sensor: patches, edges of boxes, and everything beyond 10 m. As
in NYUD2-DIR (Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021,
https://arxiv.org/abs/2102.09554), depth is in metres, 0.7 to 10, at half the image
resolution, and equally many pixels of each bin are tested.

**Deviations** from NYUD2-DIR: there is a validation split, balanced like the test
split; depth maps of test and training have the same size; the images are generated.
"""

from __future__ import annotations

import pathlib

import numpy as np

from dirjax import labels
from dirjax.data import label_rules, labelling, row_checks, sources, splits
from dirjax.data.readers import digits, images
from dirjax.errors import InputError

# Of config.data.path; see `readers`.
PATH = "none"

ROWS = (400, 100, 200)  # rows of train, val, test
SIZE = (32, 48)  # height and width of an image
NEAR, FAR = 0.7, 10.0
_EYE = 1.4  # height of the camera above the floor
_HAZE = 5.0  # metres over which two thirds of a colour fade


def draw(
    rng: np.random.Generator, size: tuple[int, int], skew: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws one scene.

    Args:
      rng: source of all randomness.
      size: height and width in pixels.
      skew: skew of the wall's distance, see `digits.skewed_angles`.

    Returns:
      Image `[h, w, 3]` uint8, depth `[h, w]` in metres, seen `[h, w]` bool: where the
      sensor measures depth.
    """
    height, width = size
    focal = 0.8 * width
    row = np.arange(height)[:, None] + 0.5 - 0.45 * height  # below the horizon
    column = np.arange(width)[None] + 0.5 - width * rng.uniform(0.35, 0.65)

    def ray(length: float, pixels: np.ndarray) -> np.ndarray:
        """Depth at which a ray meets a plane beside the camera."""
        with np.errstate(divide="ignore"):
            met = length * focal / pixels
        return np.broadcast_to(np.where(pixels > 0, met, np.inf), size)

    wall = 1.0 + float(digits.skewed_angles(rng.random(1), skew, FAR + 1.0)[0])
    half = rng.uniform(1.0, 4.0)
    surfaces = np.stack(
        [
            np.full(size, wall),
            ray(_EYE, row),
            ray(rng.uniform(0.8, 1.6), -row),
            ray(half, column),
            ray(half, -column),
        ]
    )
    nearest = surfaces.argmin(axis=0)
    depth = surfaces.min(axis=0)
    shade = np.array([0.9, 0.7, 1.0, 0.8, 0.8])[:, None]
    colour = (rng.uniform(0.4, 1.0, (5, 3)) * shade)[nearest]
    seen = np.ones(size, bool)
    far_first = np.sort(rng.uniform(NEAR, wall, 3))[::-1]
    for away in far_first:
        pixel = focal / away  # size of a metre in pixels
        left = rng.uniform(column.min(), column.max())
        right = left + rng.uniform(0.2, 0.7) * pixel
        top, floor = (_EYE - rng.uniform(0.5, 1.8)) * pixel, _EYE * pixel
        box = (row > top) & (row < floor) & (column > left) & (column < right)
        edge = box & (column < left + 1)
        depth = np.where(box, away, depth)
        colour = np.where(box[..., None], rng.uniform(0.3, 1.0, 3), colour)
        seen = (seen | box) & ~edge
    y, x = rng.integers(0, height - 3), rng.integers(0, width - 4)
    seen[y : y + 4, x : x + 5] = False
    seen &= depth <= FAR
    clear = np.exp(-depth / _HAZE)[..., None]
    light = colour * clear + np.array([0.55, 0.6, 0.7]) * (1 - clear)
    light += rng.normal(0, 0.02, light.shape)
    return np.round(255 * np.clip(light, 0, 1)).astype(np.uint8), depth, seen


def load(
    name: str, path: pathlib.Path | None, rules: label_rules.Rules, *, skew: float
) -> sources.Source:
    """Generates scenes with depth; `rules.seed` determines them.

    Args:
      name: name of the data set.
      path: None, since scenes are generated.
      rules: rules of the label "depth" and its bins.
      skew: skew of the training distances, see `digits.skewed_angles`.

    Returns:
      The source; labels are `[rows, 16, 24]`.

    Raises:
      InputError: for another label.
    """
    del path
    if rules.label != "depth":
        raise InputError(
            f"data.label of {name} must be 'depth', got {rules.label!r}. Leave it out."
        )
    count, (height, width) = sum(ROWS), SIZE
    part = np.repeat(np.arange(3, dtype=np.int8), ROWS)
    pixels = np.zeros((count, height, width, 3), np.uint8)
    depth = np.zeros((count, height // 2, width // 2))
    mask = np.zeros(depth.shape, bool)
    for i in range(count):
        rng = np.random.Generator(np.random.Philox(key=[rules.seed, i]))
        pixels[i], there, seen = draw(rng, SIZE, 0.0 if part[i] else skew)
        # One pixel of four, since a mean across an edge is not the depth of any
        # surface.
        depth[i], mask[i] = there[::2, ::2], seen[::2, ::2]
    bins = labels.Bins.covering(
        depth[mask], width=rules.bin_width or 0.1, label_range=rules.label_range
    )
    index = bins.index(depth)
    for position in (1, 2):
        here = part == position
        mask[here] = splits.balanced_mask(index[here], mask[here], seed=rules.seed)
    rows = row_checks.Rows(np.arange(count), name, first=0)
    labelled = labelling.label_rows(depth, rows, rules, part=part, mask=mask)
    made = images.from_arrays(name, pixels, labelled)
    return made


read_new = images.read_new
