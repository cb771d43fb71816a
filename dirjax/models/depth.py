"""An encoder-decoder with skips: maps images to features for each depth pixel.

"U-Net: Convolutional Networks for Biomedical Image Segmentation", Ronneberger et al.,
MICCAI 2015, https://arxiv.org/abs/1505.04597: going down, height and width halve and
channels double; going up, each level takes the upsampled level below it and its own
features. Initialisation and batch norm are those of `resnet`.

**Deviations**: strided convolutions instead of max-pools; padded, so that no border is
lost; upsampling by repetition instead of transposed convolutions; batch norm; one
convolution per level on the way up; by default, the features have half the height and
width of the image, like the depth maps of indoor benchmarks.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dirjax.models import conv, resnet


def enlarge(x: jax.Array, height: int, width: int) -> jax.Array:
    """Repeats each pixel 2x2, truncated at the right and bottom.

    Args:
      x: `[batch, h, w, channels]`.
      height: height of the result, at most 2 h.
      width: width of the result, at most 2 w.

    Returns:
      `[batch, height, width, channels]`.

    Example:
      >>> enlarge(jnp.arange(2.0).reshape(1, 1, 2, 1), 2, 3)[0, :, :, 0].tolist()
      [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    """
    batch, h, w, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, h, 2, w, 2, channels))
    return x.reshape(batch, 2 * h, 2 * w, channels)[:, :height, :width]


class SmallUNet(nn.Module):
    """Maps images to features for each pixel, or at half their height and width.

    Attributes:
      width: channels of the first level, which are the features; each further level
        has twice as many.
      levels: number of levels, at least 1; below the first, height and width halve.
      stride: of the first level: with 2, the features have half the height and width
        of the images, rounded up; with 1, theirs.
      dtype: dtype of the computation; parameters, batch-norm statistics and the
        returned features are always float32.
      platform: see `conv.Conv`.
      axis_name: see `resnet.batch_norm`.

    Example:
      >>> images = jnp.ones((2, 16, 24, 3))
      >>> run = lambda key: SmallUNet(width=4).init_with_output(
      ...     key, images, train=False)
      >>> features, variables = jax.eval_shape(run, jax.random.key(0))
      >>> features.shape, sorted(variables)
      ((2, 8, 12, 4), ['batch_stats', 'params'])
    """

    width: int = 16
    levels: int = 3
    stride: int = 2
    dtype: Any = jnp.float32
    platform: str | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        """Encodes images.

        Args:
          inputs: `[batch, height, width, channels]`, normalised.
          train: batch norm uses the batch and updates `batch_stats`, instead of
            using `batch_stats`.

        Returns:
          `[batch, height / stride, width / stride, width of the first level]` float32.

        Raises:
          ValueError: if the inputs are not images.
        """
        if inputs.ndim != 4:
            raise ValueError(
                "SmallUNet expects images [batch, height, width, channels], got shape "
                f"{inputs.shape}: add the missing axes or choose another encoder."
            )
        layer = functools.partial(conv.Conv, dtype=self.dtype, platform=self.platform)
        norm = resnet.batch_norm(train, self.dtype, self.axis_name)

        def convolve(x: jax.Array, features: int, stride: int, name: str) -> jax.Array:
            x = layer(features, (3, 3), (stride, stride), name=f"{name}_conv")(x)
            return nn.relu(norm(name=f"{name}_norm")(x))

        x, skips = inputs, []
        for level in range(1, self.levels + 1):
            features = self.width * 2 ** (level - 1)
            stride = self.stride if level == 1 else 2
            x = convolve(x, features, stride, f"down{level}")
            x = convolve(x, features, 1, f"level{level}")
            skips.append(x)
        skips.pop()
        for level in range(self.levels - 1, 0, -1):
            skip = skips.pop()
            x = jnp.concatenate([enlarge(x, *skip.shape[1:3]), skip], axis=-1)
            x = convolve(x, self.width * 2 ** (level - 1), 1, f"up{level}")
        return x.astype(jnp.float32)
