"""Residual networks as encoders: map images to features.

"Deep Residual Learning for Image Recognition", He et al., CVPR 2016.
https://arxiv.org/abs/1512.03385. Layout, padding and strides as in the PyTorch models
behind the published results of deep imbalanced regression: the stride of a bottleneck
sits on its 3x3 convolution, padding is `kernel // 2` on both sides. Initialisation as
in the public code of "Delving into Deep Imbalanced Regression" (Yang et al., ICML
2021): kernels normal with standard deviation `sqrt(2 / (k * k * features))`, not
truncated; batch norm with scale 1 and bias 0, including the last one of a block.

**Deviations**: running variances use the biased batch variance; PyTorch stores the
unbiased one. Ties in the max-pool share their gradient (see `conv.max_pool`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dirjax.models import conv

STEMS = ("imagenet", "small")


class Block(nn.Module):
    """One residual block, `[batch, h, w, c] -> [batch, h', w', features]`.

    Attributes:
      width: channels of the inner convolutions.
      stride: 1, or 2 to halve height and width.
      bottleneck: 1x1, 3x3, 1x1 with four times `width` at the end, instead of two
        3x3 convolutions.
      dtype: dtype of the computation.
      platform: see `conv.Conv`.
      axis_name: see `batch_norm`.
    """

    width: int
    stride: int = 1
    bottleneck: bool = False
    dtype: Any = jnp.float32
    platform: str | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Applies the block; `train` is the mode of batch norm."""
        norm = batch_norm(train, self.dtype, self.axis_name)
        layer = functools.partial(conv.Conv, dtype=self.dtype, platform=self.platform)
        strides = (self.stride, self.stride)
        features = self.width * (4 if self.bottleneck else 1)
        if self.bottleneck:
            plan = (
                (self.width, (1, 1), (1, 1)),
                (self.width, (3, 3), strides),
                (features, (1, 1), (1, 1)),
            )
        else:
            plan = ((self.width, (3, 3), strides), (features, (3, 3), (1, 1)))
        y = x
        for i, (channels, kernel_size, step) in enumerate(plan, 1):
            y = layer(channels, kernel_size, step, name=f"conv{i}")(y)
            y = norm(name=f"norm{i}")(y)
            if i < len(plan):
                y = nn.relu(y)
        if self.stride != 1 or x.shape[-1] != features:
            x = layer(features, (1, 1), strides, name="conv_skip")(x)
            x = norm(name="norm_skip")(x)
        return nn.relu(x + y)


def batch_norm(train: bool, dtype: Any, axis_name: str | None = None) -> Any:
    """Batch norm with the constants of the PyTorch models, statistics in float32.

    Args:
      train: whether it uses the statistics of the batch.
      dtype: dtype of the computation.
      axis_name: axis of `jax.pmap` over which the batch is spread. Under `jax.jit`,
        as in training here, None: the batch is the global one.
    """
    return functools.partial(
        nn.BatchNorm,
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        dtype=dtype,
        axis_name=axis_name,
    )


class ResNet(nn.Module):
    """Residual network up to global average pooling.

    Attributes:
      stage_sizes: blocks in each stage; from the second stage on, the first block
        halves height and width and doubles the channels.
      bottleneck: bottleneck blocks instead of basic ones.
      stem: `"imagenet"` (7x7 convolution with stride 2, then 3x3 max-pool with
        stride 2) or `"small"` (3x3 convolution with stride 1).
      width: channels of the stem and of the first stage.
      dtype: dtype of the computation; parameters, batch-norm statistics and the
        returned features are always float32.
      platform: see `conv.Conv`.
      axis_name: see `batch_norm`.

    Example:
      >>> images = jnp.ones((2, 8, 8, 1))
      >>> run = lambda key: small_resnet(width=4).init_with_output(
      ...     key, images, train=False)
      >>> features, variables = jax.eval_shape(run, jax.random.key(0))
      >>> features.shape, sorted(variables)
      ((2, 16), ['batch_stats', 'params'])
    """

    stage_sizes: Sequence[int]
    bottleneck: bool = False
    stem: str = "imagenet"
    width: int = 64
    dtype: Any = jnp.float32
    platform: str | None = None
    axis_name: str | None = None

    @property
    def dim(self) -> int:
        """Number of features."""
        last = self.width * 2 ** (len(self.stage_sizes) - 1)
        return last * (4 if self.bottleneck else 1)

    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        """Encodes images.

        Args:
          inputs: `[batch, height, width, channels]`, normalised.
          train: batch norm uses the batch and updates `batch_stats`, instead of
            using `batch_stats`.

        Returns:
          `[batch, dim]` float32.

        Raises:
          ValueError: if the inputs are not images or the stem is unknown.
        """
        last = self.maps(inputs, train=train)[-1]
        return jnp.mean(last, axis=(1, 2), dtype=jnp.float32)

    @nn.compact
    def maps(self, inputs: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Outputs of each stage, `[batch, h, w, channels]`; see `__call__`."""
        if inputs.ndim != 4:
            raise ValueError(
                "ResNet expects images [batch, height, width, channels], got shape "
                f"{inputs.shape}: add the missing axes or choose another encoder."
            )
        if self.stem not in STEMS:
            raise ValueError(
                f"ResNet expects a stem among {STEMS}, got {self.stem!r}: use "
                '"small" for images below about 64 pixels.'
            )
        large = self.stem == "imagenet"
        size, step = ((7, 7), (2, 2)) if large else ((3, 3), (1, 1))
        x = conv.Conv(
            self.width,
            size,
            step,
            dtype=self.dtype,
            platform=self.platform,
            name="stem_conv",
        )(inputs)
        norm = batch_norm(train, self.dtype, self.axis_name)
        x = nn.relu(norm(name="stem_norm")(x))
        if large:
            x = conv.max_pool(x)
        found = []
        for stage, blocks in enumerate(self.stage_sizes):
            for block in range(blocks):
                x = Block(
                    width=self.width * 2**stage,
                    stride=2 if stage and not block else 1,
                    bottleneck=self.bottleneck,
                    dtype=self.dtype,
                    platform=self.platform,
                    axis_name=self.axis_name,
                    name=f"stage{stage + 1}_block{block + 1}",
                )(x, train=train)
            found.append(x)
        return tuple(found)


def resnet18(**kwargs: Any) -> ResNet:
    """ResNet-18: 512 features, 11,176,512 parameters on RGB images.

    Args:
      **kwargs: further attributes of `ResNet`.

    Returns:
      The encoder.

    Example:
      >>> resnet18().dim
      512
    """
    return ResNet(stage_sizes=(2, 2, 2, 2), **kwargs)


def resnet34(**kwargs: Any) -> ResNet:
    """ResNet-34: 512 features, 21,284,672 parameters on RGB images.

    Args:
      **kwargs: further attributes of `ResNet`.

    Returns:
      The encoder.

    Example:
      >>> resnet34().dim
      512
    """
    return ResNet(stage_sizes=(3, 4, 6, 3), **kwargs)


def resnet50(**kwargs: Any) -> ResNet:
    """ResNet-50: 2048 features, 23,508,032 parameters on RGB images.

    Args:
      **kwargs: further attributes of `ResNet`.

    Returns:
      The encoder.

    Example:
      >>> resnet50().dim
      2048
    """
    return ResNet(stage_sizes=(3, 4, 6, 3), bottleneck=True, **kwargs)


def small_resnet(
    *, width: int = 16, stage_sizes: Sequence[int] = (2, 2, 2), **kwargs: Any
) -> ResNet:
    """A ResNet for digits: three stages of basic blocks after a 3x3 stem.

    Args:
      width: channels of the first stage; the features are four times as many.
      stage_sizes: blocks in each stage.
      **kwargs: further attributes of `ResNet`.

    Returns:
      The encoder.

    Example:
      >>> small_resnet().dim
      64
    """
    kwargs = {"stem": "small"} | kwargs
    return ResNet(stage_sizes=tuple(stage_sizes), width=width, **kwargs)
