"""Random resized crops and colour jitter for training images, on the device.

The augmentation of the second protocol of AgeDB (Rank-N-Contrast, Zha et al., NeurIPS
2023, https://arxiv.org/abs/2210.01189; BSAM), by the definitions of torchvision's
RandomResizedCrop, ColorJitter and RandomGrayscale. All functions are pure and take one
image and a key; `augment.images` combines them.

**Deviations** from torchvision on Pillow images: values stay floating-point between
operations and are rounded once at the end, whereas Pillow rounds after each (and
rotates hues in 256 steps); grey is 0.299 R + 0.587 G + 0.114 B, unrounded.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from dirjax.ops.random import stream_key

_ASPECTS = (3 / 4, 4 / 3)
_TRIES = 10
_GREY = (0.299, 0.587, 0.114)


def random_box(
    key: jax.Array, height: int, width: int, smallest: float
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """A random crop box: `(top, left, height, width)`, int32 scalars.

    Area and log aspect ratio are uniform. Takes the first of ten draws that fits into
    the image, otherwise the largest central box of an allowed ratio.

    Args:
      key: random key.
      height: height of the image.
      width: width of the image.
      smallest: smallest share of the area, in (0, 1]; the largest is 1.

    Example:
      >>> box = random_box(jax.random.key(0), 20, 20, 0.2)
      >>> [int(x) for x in box]
      [2, 4, 10, 11]
    """
    area_key, aspect_key, *place_keys = (
        stream_key(key, name) for name in ("area", "aspect", "top", "left")
    )
    share = jax.random.uniform(area_key, (_TRIES,), minval=smallest, maxval=1.0)
    low, high = (math.log(a) for a in _ASPECTS)
    aspect = jnp.exp(jax.random.uniform(aspect_key, (_TRIES,), minval=low, maxval=high))
    area = share * (height * width)
    wide = jnp.round(jnp.sqrt(area * aspect)).astype(jnp.int32)
    tall = jnp.round(jnp.sqrt(area / aspect)).astype(jnp.int32)
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = jnp.argmax(fits)
    # None fits, which happens only for elongated images.
    ratio = min(max(width / height, _ASPECTS[0]), _ASPECTS[1])
    whole = (
        min(height, round(width / ratio)),
        min(width, round(height * ratio)),
    )
    h = jnp.where(fits.any(), tall[first], whole[0])
    w = jnp.where(fits.any(), wide[first], whole[1])
    places = []
    for place_key, room in zip(place_keys, (height - h, width - w), strict=True):
        drawn = jax.random.randint(place_key, (), 0, room + 1)
        places.append(jnp.where(fits.any(), drawn, room // 2))
    return places[0], places[1], h, w


def _taps(start: jax.Array, length: jax.Array, out: int, size: int) -> jax.Array:
    """`[out, size]` weights that resize `length` pixels from `start` to `out`.

    A triangle filter as wide as a pixel of the coarser grid, truncated at the ends of
    the crop and scaled to sum 1: bilinear with antialiasing, as in Pillow.
    """
    scale = length / out
    reach = jnp.maximum(scale, 1.0)
    center = (jnp.arange(out) + 0.5) * scale
    pixel = jnp.arange(size) - start
    inside = (pixel >= 0) & (pixel < length)
    apart = jnp.abs(pixel[None] + 0.5 - center[:, None]) / reach
    weight = jnp.where(inside[None], jnp.maximum(1.0 - apart, 0.0), 0.0)
    return weight / weight.sum(axis=1, keepdims=True)


def resized_part(
    image: jax.Array,
    box: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    size: tuple[int, int],
) -> jax.Array:
    """Crops and resizes an image, bilinear with antialiasing.

    Args:
      image: `[height, width, channels]` float.
      box: `(top, left, height, width)`, may be traced.
      size: height and width of the result.

    Returns:
      `[*size, channels]` float32.
    """
    top, left, height, width = box
    rows = _taps(top, height, size[0], image.shape[0])
    columns = _taps(left, width, size[1], image.shape[1])
    precise = jax.lax.Precision.HIGHEST
    part = jnp.einsum("oh,hwc->owc", rows, image, precision=precise)
    return jnp.einsum("pw,owc->opc", columns, part, precision=precise)


def greys(image: jax.Array) -> jax.Array:
    """`[height, width, 1]` brightness of `[height, width, 3]`."""
    return jnp.einsum(
        "hwc,c->hw", image, jnp.array(_GREY), precision=jax.lax.Precision.HIGHEST
    )[..., None]


def _blend(image: jax.Array, other: jax.Array, factor: jax.Array) -> jax.Array:
    """Interpolates from `other` (0) to the image (1) and beyond, within 0..255."""
    return jnp.clip(other + factor * (image - other), 0.0, 255.0)


def turn_hue(image: jax.Array, turn: jax.Array) -> jax.Array:
    """Rotates the hue; saturation and value (HSV) stay.

    Args:
      image: `[height, width, 3]` float, 0..255.
      turn: rotation as a share of the circle, -0.5 to 0.5.

    Returns:
      Same shape.
    """
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    value = image.max(axis=-1)
    chroma = value - image.min(axis=-1)
    safe = jnp.where(chroma > 0, chroma, 1.0)
    sixth = jnp.where(
        value == red,
        (green - blue) / safe,
        jnp.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixth = jnp.mod(sixth + 6 * turn, 6.0)

    def channel(n: int) -> jax.Array:
        k = jnp.mod(n + sixth, 6.0)
        return value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0.0, 1.0)

    return jnp.stack([channel(5), channel(3), channel(1)], axis=-1)


def jitter(key: jax.Array, image: jax.Array, *, strength: float, hue: float):
    """Changes brightness, contrast, saturation and hue at random, in random order.

    The first three blend with black, the mean grey and the grey image, with factors
    uniform in `1 - strength` to `1 + strength`.

    Args:
      key: random key.
      image: `[height, width, 3]` float, 0..255.
      strength: 0 to 1.
      hue: largest hue rotation as a share of the circle, 0 to 0.5.

    Returns:
      Same shape.
    """
    factors = jax.random.uniform(
        stream_key(key, "factors"), (3,), minval=1 - strength, maxval=1 + strength
    )
    turn = jax.random.uniform(stream_key(key, "hue"), (), minval=-hue, maxval=hue)
    changes = (
        lambda x: _blend(x, jnp.zeros_like(x), factors[0]),
        lambda x: _blend(x, jnp.full_like(x, greys(x).mean()), factors[1]),
        lambda x: _blend(x, jnp.broadcast_to(greys(x), x.shape), factors[2]),
        lambda x: turn_hue(x, turn),
    )
    order = jax.random.permutation(stream_key(key, "order"), len(changes))
    for place in range(len(changes)):
        image = jax.lax.switch(order[place], changes, image)
    return image


def random_jitter(
    key: jax.Array, image: jax.Array, *, strength: float, hue: float, share: float
) -> jax.Array:
    """Applies `jitter` with probability `share`."""
    changed = jitter(stream_key(key, "jitter"), image, strength=strength, hue=hue)
    return jnp.where(
        jax.random.bernoulli(stream_key(key, "share"), share), changed, image
    )


def random_grey(key: jax.Array, image: jax.Array, *, share: float) -> jax.Array:
    """Converts `[height, width, 3]` to grey with probability `share`."""
    return jnp.where(jax.random.bernoulli(key, share), greys(image), image)
