"""A residual encoder, a decoder and multi-scale feature fusion, for depth.

"Revisiting Single Image Depth Estimation: Toward Higher Resolution Maps With Accurate
Object Boundaries", Hu et al., WACV 2019, https://arxiv.org/abs/1803.08673. Four maps of
the encoder (E) take two paths: the last one through a decoder (D) of four
up-projections (Laina et al., 3DV 2016, https://arxiv.org/abs/1606.00373), and each of
them through one up-projection to full size, concatenated (MFF). The refinement (R)
takes both and consists of three 5x5 convolutions, the last of which is the head
(`heads.Dense` with kernel 5). The head's inputs are the features, 128 per pixel with a
ResNet-50, as for feature smoothing in "Delving into Deep Imbalanced Regression", Yang
et al., ICML 2021, https://arxiv.org/abs/2102.09554.

An up-projection upsamples its input (bilinear, corners not aligned) and is residual:
5x5 and 3x3 convolutions on one branch, a 5x5 convolution on the other, batch norm after
each.

**Deviations**: none known in the computation. The large convolutions of the two
branches of an up-projection share their input and are merged into one with twice the
channels. Widths and kernel are attributes, so that a smaller model has the same parts,
and it may downsample images first (`shrink`). Biased running variances, see `resnet`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dirjax.models import conv, resnet
from dirjax.ops import resize


def _shared(module: Any) -> dict[str, Any]:
    """Attributes that a module hands to those within it."""
    return {name: getattr(module, name) for name in ("dtype", "platform", "axis_name")}


class UpProjection(nn.Module):
    """`[batch, h, w, c] -> [batch, *size, features]`, see the module.

    Attributes:
      features: channels of the result.
      kernel: side of the two large kernels, odd.
      dtype: dtype of the computation.
      platform: see `conv.Conv`.
      axis_name: see `resnet.batch_norm`.
    """

    features: int
    kernel: int = 5
    dtype: Any = jnp.float32
    platform: str | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, size: tuple[int, int], *, train: bool
    ) -> jax.Array:
        """Upsamples to `size`; `train` is the mode of batch norm."""
        x = resize.bilinear(x, size)
        step = functools.partial(_Step, **_shared(self))
        both = step(2 * self.features, self.kernel, name="first")(x, train=train)
        y, skip = jnp.split(both, 2, axis=-1)
        y = step(self.features, 3, name="second")(nn.relu(y), train=train)
        return nn.relu(y + skip)


class _Step(nn.Module):
    """Convolution and batch norm."""

    features: int
    kernel: int
    dtype: Any
    platform: str | None
    axis_name: str | None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = conv.Conv(
            self.features,
            (self.kernel, self.kernel),
            kernel_init=conv.uniform_fan_in,
            dtype=self.dtype,
            platform=self.platform,
            name="conv",
        )(x)
        norm = resnet.batch_norm(train, self.dtype, self.axis_name)
        return norm(name="norm")(x)


class FusedDepth(nn.Module):
    """Maps images to features at half their height and width, rounded up.

    With `shrink`, that is half of the downsampled size.

    Attributes:
      stage_sizes: blocks of the residual encoder, four stages; see `resnet.ResNet`.
      bottleneck: see `resnet.ResNet`.
      width: channels of its first stage (times 4 with bottlenecks).
      decoder: channels at the end of the decoder; they double at each earlier stage, up
        to 16 times at its start.
      fused: channels of each of the four scales.
      kernel: side of the large kernels, odd.
      shrink: side of the pixel squares to average first.
      dtype: dtype of the computation; parameters, batch-norm statistics and the
        returned features are always float32.
      platform: see `conv.Conv`.
      axis_name: see `resnet.batch_norm`.

    Example:
      >>> images = jnp.ones((2, 28, 38, 3))
      >>> model = FusedDepth(stage_sizes=(1, 1, 1, 1), width=4, decoder=4, fused=2)
      >>> run = lambda key: model.init_with_output(key, images, train=False)
      >>> features, variables = jax.eval_shape(run, jax.random.key(0))
      >>> features.shape, sorted(variables["params"])
      ((2, 14, 19, 12), ['decoder', 'fusion', 'refine', 'resnet'])
    """

    stage_sizes: Sequence[int] = (3, 4, 6, 3)
    bottleneck: bool = False
    width: int = 64
    decoder: int = 64
    fused: int = 16
    kernel: int = 5
    shrink: int = 1
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
          `[batch, height / 2, width / 2, decoder + 4 * fused]` float32.

        Raises:
          ValueError: if the inputs are not images, or the encoder does not have four
            stages.
        """
        if len(self.stage_sizes) != 4:
            raise ValueError(
                "FusedDepth needs an encoder of four stages, got stage_sizes "
                f"{tuple(self.stage_sizes)}."
            )
        if self.shrink > 1 and inputs.ndim == 4:
            square = (self.shrink, self.shrink)
            inputs = nn.avg_pool(inputs, square, square)
        how = _shared(self)
        blocks = resnet.ResNet(
            stage_sizes=self.stage_sizes,
            bottleneck=self.bottleneck,
            width=self.width,
            name="resnet",
            **how,
        ).maps(inputs, train=train)
        size = (-(-inputs.shape[1] // 2), -(-inputs.shape[2] // 2))
        shape = {"kernel": self.kernel, **how}
        down = _Decoder(self.decoder, **shape, name="decoder")(
            blocks, size, train=train
        )
        beside = _Fusion(self.fused, **shape, name="fusion")(blocks, size, train=train)
        x = jnp.concatenate([down, beside], axis=-1)
        x = _Refinement(**shape, name="refine")(x, train=train)
        return x.astype(jnp.float32)


class _Decoder(nn.Module):
    """Upsamples the last map step by step to the sizes of the earlier ones."""

    features: int
    kernel: int
    dtype: Any
    platform: str | None
    axis_name: str | None

    @nn.compact
    def __call__(
        self, blocks: Sequence[jax.Array], size: tuple[int, int], *, train: bool
    ) -> jax.Array:
        how = _shared(self)
        first = _Step(16 * self.features, 1, name="start", **how)
        x = nn.relu(first(blocks[-1], train=train))
        sizes = [(b.shape[1], b.shape[2]) for b in reversed(blocks[:-1])] + [size]
        for number, wanted in enumerate(sizes, 1):
            features = self.features * 2 ** (4 - number)
            up = UpProjection(features, self.kernel, name=f"up{number}", **how)
            x = up(x, wanted, train=train)
        return x


class _Fusion(nn.Module):
    """All maps, upsampled to full size and concatenated, and one convolution."""

    features: int
    kernel: int
    dtype: Any
    platform: str | None
    axis_name: str | None

    @nn.compact
    def __call__(
        self, blocks: Sequence[jax.Array], size: tuple[int, int], *, train: bool
    ) -> jax.Array:
        how = _shared(self)
        scales = [
            UpProjection(self.features, self.kernel, name=f"up{number}", **how)(
                block, size, train=train
            )
            for number, block in enumerate(blocks, 1)
        ]
        x = jnp.concatenate(scales, axis=-1)
        step = _Step(x.shape[-1], self.kernel, name="end", **how)
        return nn.relu(step(x, train=train))


class _Refinement(nn.Module):
    """Two convolutions; the third is the head."""

    kernel: int
    dtype: Any
    platform: str | None
    axis_name: str | None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for name in ("first", "second"):
            step = _Step(x.shape[-1], self.kernel, name=name, **_shared(self))
            x = nn.relu(step(x, train=train))
        return x


def fused_depth50(**kwargs: Any) -> FusedDepth:
    """The model of the depth benchmark on a ResNet-50: 128 features per pixel.

    Args:
      **kwargs: further attributes of `FusedDepth`.

    Returns:
      The encoder.

    Example:
      >>> fused_depth50().stage_sizes
      (3, 4, 6, 3)
    """
    return FusedDepth(stage_sizes=(3, 4, 6, 3), bottleneck=True, **kwargs)
