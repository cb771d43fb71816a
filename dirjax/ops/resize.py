"""Resizes maps on the device, bilinear or nearest.

Bilinear weights follow torch's `interpolate`: pixels are aligned by their borders
(`aligned=False`, the first centre lies half a pixel inside), or by the centres of the
corner pixels (`aligned=True`). There is no antialiasing, so do not downsample.
`jax.image.resize` cannot align corners and computes its weights in float32; these are
computed on the host in float64.

**Deviations**: none known.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.ops.pixels import nearest


def nearest_maps(maps: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Resizes `[batch, h, w]` to the nearest pixels, `[batch, *size]`.

    Example:
      >>> nearest_maps(jnp.arange(8).reshape(1, 2, 4), (1, 2)).tolist()
      [[[5, 7]]]
    """
    rows, columns = (nearest(*n) for n in zip(maps.shape[1:3], size, strict=True))
    return maps[:, rows][:, :, columns]


def _weights(size: int, wanted: int, aligned: bool) -> np.ndarray:
    """`[wanted, size]` float32, two entries per row."""
    i = np.arange(wanted)
    if aligned:
        at = i * (size - 1) / max(wanted - 1, 1)
    else:
        at = np.clip((i + 0.5) * size / wanted - 0.5, 0, size - 1)
    low = np.minimum(at.astype(int), max(size - 2, 0))
    out = np.zeros((wanted, size))
    np.add.at(out, (i, low), 1 - (at - low))
    np.add.at(out, (i, np.minimum(low + 1, size - 1)), at - low)
    return out.astype(np.float32)


def bilinear(
    maps: jax.Array, size: tuple[int, int], *, aligned: bool = False
) -> jax.Array:
    """Upsamples maps.

    Args:
      maps: `[batch, h, w]` or `[batch, h, w, channels]` float.
      size: height and width of the result.
      aligned: align the centres of corner pixels instead of the borders.

    Returns:
      `[batch, *size]` or `[batch, *size, channels]`, same type.

    Raises:
      ValueError: for another rank.

    Example:
      >>> line = jnp.array([[[0.0, 1.0]]])
      >>> bilinear(line, (1, 4)).ravel().tolist()
      [0.0, 0.25, 0.75, 1.0]
      >>> bilinear(line, (1, 3), aligned=True).ravel().tolist()
      [0.0, 0.5, 1.0]
    """
    if maps.ndim not in (3, 4):
        raise ValueError(
            "bilinear expects maps [batch, h, w] or [batch, h, w, channels], got shape "
            f"{maps.shape}: add the missing axes."
        )
    rows, columns = (
        jnp.asarray(_weights(old, new, aligned), maps.dtype)
        for old, new in zip(maps.shape[1:3], size, strict=True)
    )
    if maps.shape[1] != size[0]:
        maps = jnp.einsum("bh...,ih->bi...", maps, rows, precision="highest")
    if maps.shape[2] != size[1]:
        maps = jnp.einsum("bhw...,jw->bhj...", maps, columns, precision="highest")
    return maps
