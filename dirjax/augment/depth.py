"""Augments images together with their depth maps, on the device.

A batch of `Split.wide` holds bytes: whole images and depth codes. Each row is flipped
with probability 1/2, rotated about its centre and cropped to the centre; depth follows
at the size of the model's maps. Then the image's colours change, it is standardised,
and codes become metres, bins and a mask. Random draws are a function of the step's key
and the row number in the file.

The order is that of the depth benchmark of Yang et al., "Delving into Deep Imbalanced
Regression", ICML 2021, https://arxiv.org/abs/2102.09554, after Hu et al., "Revisiting
Single Image Depth Estimation", WACV 2019, https://arxiv.org/abs/1803.08673: flip,
rotation by up to 5 degrees, crop, lighting, and brightness, contrast and saturation,
without clipping. Lighting along the principal components of ImageNet follows Krizhevsky
et al., NeurIPS 2012.

**Deviations** from the public code, which rotates images and depth with splines of
order 2: here images are bilinear and depth takes the nearest pixel, so no depth is
invented between near and far. Pixels from outside the image are black, as there, and
have no depth (`border="hidden"`); the public code gives them depth 0 (`border="zero"`,
counted in the first bin). Images are not rounded after rotation. The public code
applies the last three in random order; since none of them changes the grey values that
the others use, except for a common factor or shift, the order does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.data.sources import Source
from dirjax.objectives.base import Batch
from dirjax.ops.pixels import center, nearest
from dirjax.ops.random import stream_key

BORDERS = ("hidden", "zero")
# Of ImageNet's pixels in 0..1: standard deviations along the principal components, and
# these components as columns.
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
GREY = (0.299, 0.587, 0.114)


def places(
    angle: jax.Array, size: tuple[int, int], rows: np.ndarray, columns: np.ndarray
) -> tuple[jax.Array, jax.Array]:
    """Source positions of the pixels of a rotated image.

    Args:
      angle: in radians, counter-clockwise about the centre of the image.
      size: height and width of the image.
      rows: `[h]` rows of the rotated image.
      columns: `[w]` columns likewise.

    Returns:
      Rows and columns before the rotation, `[h, w]` float each.
    """
    middle = [(n - 1) / 2 for n in size]
    down = jnp.asarray(rows - middle[0], jnp.float32)[:, None]
    right = jnp.asarray(columns - middle[1], jnp.float32)[None]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return (
        cos * down + sin * right + middle[0],
        cos * right - sin * down + middle[1],
    )


def _bilinear_at(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Samples an image bilinearly, `[h, w, channels]`; 0 outside."""
    height, width, _ = image.shape
    top, left = jnp.floor(rows), jnp.floor(columns)
    total = jnp.zeros((), image.dtype)
    for i in (0, 1):
        for j in (0, 1):
            y, x = top + i, left + j
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            share = (1 - jnp.abs(rows - y)) * (1 - jnp.abs(columns - x))
            at = (jnp.clip(v, 0, n - 1) for v, n in ((y, height), (x, width)))
            y, x = (v.astype(jnp.int32) for v in at)
            total = total + jnp.where(inside, share, 0.0)[..., None] * image[y, x]
    return total


def turned_crop(
    angle: jax.Array,
    image: jax.Array,
    codes: jax.Array,
    *,
    crop: tuple[int, int],
    maps: tuple[int, int],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Rotates image and depth about the centre and takes the centre crop.

    Args:
      angle: see `places`.
      image: `[height, width, channels]` float.
      codes: `[height, width]`.
      crop: height and width of the cropped image.
      maps: height and width of its depth, sampled at the nearest pixels.

    Returns:
      `[*crop, channels]`, `[*maps]` codes and `[*maps]` bool, whether a pixel was
      inside the image.
    """
    size = (image.shape[0], image.shape[1])
    spans = [np.arange(s.start, s.stop) for s in center(size, crop)]
    cut = _bilinear_at(image, *places(angle, size, *spans))
    kept = [a[nearest(len(a), n)] for a, n in zip(spans, maps, strict=True)]
    y, x = (jnp.round(v).astype(jnp.int32) for v in places(angle, size, *kept))
    inside = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
    y, x = (jnp.clip(v, 0, n - 1) for v, n in zip((y, x), size, strict=True))
    return cut, jnp.where(inside, codes[y, x], 0), inside


def lighting(key: jax.Array, image: jax.Array, *, std: float) -> jax.Array:
    """Adds a random colour along the principal components of ImageNet.

    Args:
      key: for the draw.
      image: `[height, width, 3]` in 0..1.
      std: standard deviation of the draw, relative to that of a component.

    Returns:
      Same shape; may leave 0..1.
    """
    drawn = std * jax.random.normal(key, (3,))
    vectors = jnp.asarray(EIGENVECTORS, jnp.float32)
    added = jnp.sum(vectors * (drawn * jnp.asarray(EIGENVALUES))[None], axis=1)
    return image + added[None, None]


def jitter(key: jax.Array, image: jax.Array, *, most: float) -> jax.Array:
    """Changes brightness, contrast and saturation at random.

    Each moves the image by a share from U(-most, most) towards black, the mean of its
    grey values, or its grey values; negative shares move away from them.

    Args:
      key: random key.
      image: `[height, width, 3]` in 0..1.
      most: largest share, below 1.

    Returns:
      Same shape; may leave 0..1.
    """
    black, flat, grey = jax.random.uniform(key, (3,), minval=-most, maxval=most)
    image = (1 - black) * image
    weights = jnp.asarray(GREY, jnp.float32)[None, None]
    greys = jnp.sum(image * weights, axis=2, keepdims=True)
    image = (1 - grey) * image + grey * greys
    return (1 - flat) * image + flat * jnp.mean(greys)


def augment_one(
    key: jax.Array,
    image: jax.Array,
    codes: jax.Array,
    *,
    crop: tuple[int, int],
    maps: tuple[int, int],
    flip: bool = False,
    rotate: float = 0.0,
    light: float = 0.0,
    colours: float = 0.0,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Augments one image with its depth.

    Args:
      key: random key.
      image: `[height, width, 3]` uint8.
      codes: `[height, width]` integers.
      crop: see `turned_crop`.
      maps: see `turned_crop`.
      flip: whether to flip with probability 1/2.
      rotate: largest angle in degrees, either way.
      light: see `lighting`, 0 for none.
      colours: see `jitter`, 0 for none.

    Returns:
      `[*crop, 3]` float32 in 0..1 or slightly beyond, `[*maps]` codes, and `[*maps]`
      bool, which of them were inside.
    """
    if flip:
        mirror = jax.random.bernoulli(stream_key(key, "flip"))
        image = jnp.where(mirror, image[:, ::-1], image)
        codes = jnp.where(mirror, codes[:, ::-1], codes)
    if rotate:
        most = np.deg2rad(rotate)
        angle = jax.random.uniform(stream_key(key, "rotate"), minval=-most, maxval=most)
        image, codes, inside = turned_crop(
            angle, image.astype(jnp.float32), codes, crop=crop, maps=maps
        )
    else:
        rows, columns = center((image.shape[0], image.shape[1]), crop)
        image, codes = image[rows, columns], codes[rows, columns]
        kept = [nearest(*n) for n in zip(crop, maps, strict=True)]
        codes = codes[kept[0]][:, kept[1]]
        inside = jnp.ones(maps, bool)
    image = image.astype(jnp.float32) / 255.0
    if light:
        image = lighting(stream_key(key, "lighting"), image, std=light)
    if colours:
        image = jitter(stream_key(key, "jitter"), image, most=colours)
    return image, codes, inside


def augment_batch(
    key: jax.Array,
    batch: Batch,
    *,
    metres: np.ndarray,
    bins: np.ndarray,
    mean: Sequence[float],
    std: Sequence[float],
    border: str = "hidden",
    **options: Any,
) -> Batch:
    """Makes a batch for the model from whole images and codes.

    Args:
      key: random key of the step.
      batch: `inputs` `[batch, height, width, 3]` uint8, `codes` `[batch, height,
        width]`, `weight` and `index` `[batch]`.
      metres: label of each code; code 0 has no depth.
      bins: bin of each code.
      mean: mean of each channel, to subtract.
      std: deviation of each channel, to divide by.
      border: pixels from outside the image are "hidden", or "zero" to count as depth 0.
      **options: options of `augment_one`.

    Returns:
      `inputs` `[batch, *crop, 3]` float32; `label`, `bin`, `weight` and `mask`
      `[batch, *maps]`; `index`.
    """

    def row(image, codes, index):
        return augment_one(jax.random.fold_in(key, index), image, codes, **options)

    images, codes, inside = jax.vmap(row)(
        batch["inputs"], batch["codes"], batch["index"]
    )
    known = (codes > 0) & inside
    if border == "zero":
        known = known | ~inside
    codes = codes.astype(jnp.int32)
    shift, scale = (jnp.asarray(x, jnp.float32)[None, None, None] for x in (mean, std))
    weight = batch["weight"][:, None, None]
    return {
        "inputs": (images - shift) / scale,
        "label": jnp.asarray(metres)[codes],
        "bin": jnp.asarray(bins)[codes],
        "weight": jnp.broadcast_to(weight, codes.shape),
        "mask": known.astype(jnp.float32),
        "index": batch["index"],
    }


def from_config(
    changes: Mapping[str, Any], source: Source
) -> Callable[[jax.Array, Batch], Batch]:
    """The augmentation of training batches with depth maps.

    Args:
      changes: the fields of `config.data.augment_dense`.
      source: the data, with `Split.wide`.

    Returns:
      `(key, batch) -> batch`.
    """
    train: Any = source.splits["train"]
    settings = {
        "crop": train.inputs.shape[1:3],
        "maps": train.label.shape[1:],
        "metres": train.label.table,
        "bins": train.bin.table,
        "mean": source.record["input_mean"],
        "std": source.record["input_std"],
        "flip": changes["flip"],
        "rotate": changes["rotate"],
        "light": changes["lighting"],
        "colours": changes["jitter"],
        "border": changes["border"],
    }
    return lambda key, batch: augment_batch(key, batch, **settings)
