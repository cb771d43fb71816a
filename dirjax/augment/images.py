"""Augments training images on the device, in one or two views per image.

A step flips and crops each image at random before the model prepares it, so padding has
a valid pixel value. Random draws are a function of the step's key, the row number in
the file and the index of the view: the same on one device or many, in any row order,
and after a resume. Evaluation, predictions and statistics of the training set use
unaugmented images.

Padding by 16 pixels of 224, random crops and flips are the published protocol of
"Delving into Deep Imbalanced Regression", Yang et al., ICML 2021.
https://arxiv.org/abs/2102.09554. Random resized crops and colour jitter are another
protocol; see `colours`.

With two views the batch has two rows for each image, with the same label, weight and
mask, as in "Rank-N-Contrast", Zha et al., NeurIPS 2023: objectives and batch norm see
both rows. https://arxiv.org/abs/2210.01189

**Deviations**:

- The views of an image are adjacent; public code puts all second views after all first
  ones. No loss depends on the order, and this way every row stays on its device.
- An image that occurs twice in a batch, at the turn of an epoch, gets equal draws.
- FDS statistics use unaugmented images; public code uses augmented ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.augment import colours
from dirjax.augment.options import augments, described
from dirjax.objectives.base import Batch
from dirjax.ops.random import stream_key

PADDINGS = {"zero": "constant", "edge": "edge"}


def random_flip(key: jax.Array, image: jax.Array) -> jax.Array:
    """Flips an image horizontally with probability 1/2.

    Args:
      key: random key.
      image: `[height, width, channels]`.

    Returns:
      Same shape and type.

    Example:
      >>> pair = jnp.array([[[1], [2]]])
      >>> [random_flip(jax.random.key(i), pair).ravel().tolist() for i in (1, 2)]
      [[2, 1], [1, 2]]
    """
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def random_crop(
    key: jax.Array, image: jax.Array, *, pixels: int, padding: str = "zero"
) -> jax.Array:
    """Pads an image on all sides and crops it to its size at a random position.

    All `(2 * pixels + 1) ** 2` positions are equally likely.

    Args:
      key: random key.
      image: `[height, width, channels]`.
      pixels: width of the padding, below height and width.
      padding: "zero", or "edge" to repeat border pixels.

    Returns:
      Same shape and type.

    Raises:
      ValueError: for an option out of range.

    Example:
      >>> random_crop(jax.random.key(0), jnp.ones((3, 3, 1)), pixels=1).shape
      (3, 3, 1)
    """
    checks.one_of("padding", padding, PADDINGS)
    height, width, _ = image.shape
    if not 0 <= pixels < min(height, width):
        raise ValueError(
            f"crop must be at least 0 and below the {height} x {width} "
            f"pixels of the image, got {pixels}. Try about a sixteenth of the image."
        )
    around = ((pixels, pixels), (pixels, pixels), (0, 0))
    wide = jnp.pad(image, around, mode=PADDINGS[padding])
    top, left = jax.random.randint(key, (2,), 0, 2 * pixels + 1)
    return jax.lax.dynamic_slice(wide, (top, left, 0), image.shape)


def augment(
    key: jax.Array,
    image: jax.Array,
    *,
    flip: bool = False,
    crop: int = 0,
    padding: str = "zero",
    zoom: float = 0.0,
    jitter: float = 0.0,
    hue: float = 0.0,
    jitter_share: float = 0.8,
    grey: float = 0.0,
    view: int = 0,
) -> jax.Array:
    """Augments one image.

    Args:
      key: random key.
      image: `[height, width, channels]` uint8.
      flip: see `random_flip`.
      crop: pixels of `random_crop`, 0 for none.
      padding: "zero" or "edge", the padding of the crop.
      zoom: smallest share of the area of `colours.random_box`, 0 for the whole image.
      jitter: strength of `colours.jitter`, 0 for none.
      hue: largest hue rotation as a share of the circle, 0 for none.
      jitter_share: share of images to jitter.
      grey: share of images to convert to grey.
      view: height and width that the model sees, and of the result with `zoom`; 0 is
        the size of the image.

    Returns:
      Same type; same shape, or `[view, view, channels]` with `zoom`.

    Raises:
      ValueError: see `random_crop`; also for colour changes of grey images.
    """
    if (jitter or hue or grey) and image.shape[-1] != 3:
        raise ValueError(
            "jitter, hue and grey must be 0 for images without colour, "
            f"got {image.shape[-1]} channels. Leave them out."
        )
    kind = image.dtype
    if crop:
        crop_key = stream_key(key, "crop")
        image = random_crop(crop_key, image, pixels=crop, padding=padding)
    if zoom:
        height, width, _ = image.shape
        box = colours.random_box(stream_key(key, "zoom"), height, width, zoom)
        size = (view, view) if view else (height, width)
        image = colours.resized_part(image.astype(jnp.float32), box, size)
    if flip:
        image = random_flip(stream_key(key, "flip"), image)
    if jitter or hue:
        image = colours.random_jitter(
            stream_key(key, "jitter"),
            image.astype(jnp.float32),
            strength=jitter,
            hue=hue,
            share=jitter_share,
        )
    if grey:
        key = stream_key(key, "grey")
        image = colours.random_grey(key, image.astype(jnp.float32), share=grey)
    if image.dtype != kind:
        image = jnp.round(image).astype(kind)
    return image


def augment_batch(
    key: jax.Array, batch: Batch, *, views: int = 1, **options: Any
) -> Batch:
    """Augments a batch of images, with one or more rows per image.

    Args:
      key: random key of the step.
      batch: as a stream yields it; `inputs` `[batch, height, width, channels]`, all
        others with leading axis batch.
      views: rows per image.
      **options: options of `augment`.

    Returns:
      A batch of `batch * views` rows, the views of an image adjacent. The first view
      equals that of a single-view batch.

    Example:
      >>> batch = {"inputs": jnp.ones((2, 4, 4, 1)), "index": jnp.array([5, 6])}
      >>> twice = augment_batch(jax.random.key(0), batch, views=2, crop=1)
      >>> twice["inputs"].shape, twice["index"].tolist()
      ((4, 4, 4, 1), [5, 5, 6, 6])
    """

    def row(image, index):
        own = jax.random.fold_in(key, index)

        def view(number):
            return augment(jax.random.fold_in(own, number), image, **options)

        return jax.vmap(view)(jnp.arange(views))

    images = jax.vmap(row)(batch["inputs"], batch["index"])
    rest = {k: v for k, v in batch.items() if k != "inputs"}
    repeated = jax.tree.map(lambda x: jnp.repeat(x, views, axis=0), rest)
    return repeated | {"inputs": images.reshape(-1, *images.shape[2:])}


def from_config(
    options: Mapping[str, Any],
    record: Mapping[str, Any],
    *,
    views: int = 1,
    stage: str = "main",
) -> Callable[[jax.Array, Batch], Batch] | None:
    """The augmentation of a stage.

    Args:
      options: the fields of `config.data.augment`.
      record: data record, see `sources.Source`.
      views: rows per image.
      stage: name of the stage, for messages.

    Returns:
      `(key, batch) -> batch`, or None without augmentation.

    Raises:
      ValueError: if the data or the number of views does not fit.
    """
    kind = record["kind"]
    if not augments(**options):
        if views == 1:
            return None
        one, hint = "where nothing is augmented", "Leave it out"
        if kind == "images":
            hint = "Set --config.data.augment.crop=2 or --config.data.augment.flip=True"
        else:
            one = f"for inputs of kind {kind!r}"
        raise ValueError(
            f"stage.{stage}.views (or data.views) must be 1 {one}, got {views}: the "
            f"views would be equal copies. {hint}."
        )
    if kind != "images":
        said = described(options, "=")
        raise ValueError(
            f"data.augment must be off for inputs of kind {kind!r}, got {said}: only "
            "images with one label each can be flipped, cropped or coloured. Leave it "
            "out."
        )
    options = {**options, "view": record.get("view", 0)}
    # Finds a crop that does not fit.
    try:
        jax.eval_shape(
            lambda image: augment(jax.random.key(0), image, **options),
            jax.ShapeDtypeStruct(tuple(record["shape"]), jnp.uint8),
        )
    except ValueError as error:  # It begins with the name of the option.
        raise ValueError(f"data.augment.{error}") from error
    return lambda key, batch: augment_batch(key, batch, views=views, **options)
