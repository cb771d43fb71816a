"""Convolution and max-pooling whose lowering follows the platform and the shape.

XLA compiles a convolution well on GPU and TPU. On CPU it has two weak spots, both of
which occur in every step of a residual network on small images:

- kernel 1x1: equivalent to a matrix product, but runs at a third (weight gradient) to
  nine tenths (forward) of its speed;
- kernel larger than 1x1 with an output of 2x2 or 1x1: forward and input gradient
  fall to 2 GFLOP/s, a hundred times below the neighbouring shapes.

`lowering` names the form for a shape, `conv2d` computes it, `Conv` is the layer.

    lowering   when (CPU only)            what
    "dot"      kernel 1x1, no padding     strided slice, one matrix product
    "gemm"     output at most 2x2         one matrix product per output position, with
                                          the part of the kernel that meets the input
    "xla"      everything else            `lax.conv_general_dilated`

All forms are plain differentiable code (no custom rules), so `vmap`, `jvp`, `vjp`
and repeated gradients work, and the gradients inherit the form.

**Platform.** It is read from `jax.default_backend()` while tracing, unless the caller
names one. A wrong guess (a function traced for one platform and exported to another)
costs time, never correctness: every form runs on every platform.
`lax.platform_dependent` would choose at lowering, but it makes both forms residuals of
the backward pass and hides the choice from a trace.

**Deviations** from `flax.linen.Conv`: no dilation, groups or masks, and only
symmetric zero padding, as in the published models.
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

Pair = tuple[int, int]

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_SMALL_OUTPUT = 3  # largest output side for "gemm"; XLA's cliff begins at 2
_MANY_ROWS = 2048  # from here on a weight gradient runs faster in two halves


# U(-1/sqrt(n), 1/sqrt(n)) for n inputs: PyTorch's default for convolutions.
uniform_fan_in = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def output_size(
    input_hw: tuple[Any, Any], kernel: Pair, strides: Pair, padding: Pair
) -> tuple[Any, Any]:
    """Height and width after a convolution or a pooling.

    Args:
      input_hw: height and width in pixels.
      kernel: height and width of the kernel.
      strides: step in each direction.
      padding: zeros added at both ends of each direction.

    Returns:
      Output height and width, `(size + 2 * padding - kernel) // stride + 1`.

    Example:
      >>> output_size((64, 64), (7, 7), (2, 2), (3, 3))
      (32, 32)
    """
    height, width = (
        (size + 2 * pad - window) // stride + 1
        for size, window, stride, pad in zip(
            input_hw, kernel, strides, padding, strict=True
        )
    )
    return height, width


def lowering(
    platform: str,
    kernel: Pair,
    strides: Pair,
    padding: Pair,
    input_hw: tuple[Any, Any],
) -> str:
    """Names the fastest form of a convolution.

    Args:
      platform: `"cpu"`, or any other name, which always gets `"xla"`.
      kernel: height and width of the kernel.
      strides: step in each direction.
      padding: zeros added at both ends of each direction.
      input_hw: height and width of the input in pixels.

    Returns:
      `"dot"`, `"gemm"` or `"xla"`; see the table in the module docstring.

    Example:
      >>> lowering("cpu", (1, 1), (2, 2), (0, 0), (16, 16))
      'dot'
      >>> lowering("cpu", (3, 3), (1, 1), (1, 1), (2, 2))
      'gemm'
      >>> lowering("cpu", (3, 3), (1, 1), (1, 1), (8, 8))
      'xla'
      >>> lowering("gpu", (1, 1), (1, 1), (0, 0), (8, 8))
      'xla'
    """
    if platform != "cpu":
        return "xla"
    if kernel == (1, 1) and padding == (0, 0):
        return "dot"
    sizes = (*input_hw, *output_size(input_hw, kernel, strides, padding))
    if not all(isinstance(size, int) for size in sizes):
        return "xla"  # symbolic sizes in an export
    meets = all(2 * p < k for k, p in zip(kernel, padding, strict=True))
    return "gemm" if meets and max(sizes[2:]) <= _SMALL_OUTPUT else "xla"


def _matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`x @ kernel`, split into two halves of the rows if there are many.

    The halves speed up the weight gradient, a product that contracts the rows: as one
    product over thousands of rows it runs at 20 to 80 GFLOP/s on CPU, as a batch of two
    at 120 to 290. Forward pass and input gradient are not affected.
    """
    *outer, channels = x.shape
    if not all(isinstance(size, int) for size in outer):
        return jnp.tensordot(x, kernel, axes=1)
    rows = math.prod(outer)
    if rows < _MANY_ROWS or rows % 2:
        return jnp.tensordot(x, kernel, axes=1)
    halves = x.reshape(2, rows // 2, channels)
    kernels = jnp.broadcast_to(kernel[None], (2, *kernel.shape))
    return jnp.matmul(halves, kernels).reshape(*outer, kernel.shape[-1])


def _span(index: int, size: int, window: int, stride: int, pad: int):
    """Slices of the input and the kernel that overlap at one output index."""
    start = index * stride - pad
    low, high = max(0, start), min(size, start + window)
    return slice(low, high), slice(low - start, high - start)


def _positions(x, kernel, strides, padding):
    """One matrix product per output position."""
    height, width = output_size(x.shape[1:3], kernel.shape[:2], strides, padding)

    def at(i: int, j: int) -> jax.Array:
        rows, k_rows = _span(i, x.shape[1], kernel.shape[0], strides[0], padding[0])
        columns, k_columns = _span(
            j, x.shape[2], kernel.shape[1], strides[1], padding[1]
        )
        return jnp.tensordot(x[:, rows, columns], kernel[k_rows, k_columns], axes=3)

    rows = [jnp.stack([at(i, j) for j in range(width)], 1) for i in range(height)]
    return jnp.stack(rows, 1)


def conv2d(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: Pair = (1, 1),
    padding: Pair = (0, 0),
    lowering: str = "xla",
) -> jax.Array:
    """Two-dimensional cross-correlation, `y[o] = sum_k x[o * stride + k - pad] w[k]`.

    Args:
      x: `[batch, height, width, channels]`.
      kernel: `[kernel_height, kernel_width, channels, features]`, same dtype.
      strides: step in each direction.
      padding: zeros added at both ends of each direction.
      lowering: `"xla"`, `"dot"` (1x1 without padding) or `"gemm"` (each output
        position must meet the input: padding below half the kernel).

    Returns:
      `[batch, output_height, output_width, features]` in the dtype of `x`.

    Raises:
      ValueError: for a wrong rank, mismatched channels, or a form that cannot compute
        this shape.

    Example:
      >>> conv2d(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 5))).shape
      (1, 2, 2, 5)
    """
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[-1] != kernel.shape[2]:
        raise ValueError(
            "conv2d expects x [batch, height, width, channels] and a kernel [height, "
            f"width, channels, features], got {x.shape} and {kernel.shape}: give "
            "both four axes and the same number of channels."
        )
    window = (kernel.shape[0], kernel.shape[1])
    if lowering == "xla":
        return lax.conv_general_dilated(
            x,
            kernel,
            strides,
            [(pad, pad) for pad in padding],
            dimension_numbers=_DIMENSIONS,
        )
    if lowering == "dot" and window == (1, 1) and padding == (0, 0):
        if strides != (1, 1):
            x = x[:, :: strides[0], :: strides[1]]
        return _matmul(x, kernel[0, 0])
    if lowering == "gemm" and all(
        2 * p < k for k, p in zip(window, padding, strict=True)
    ):
        return _positions(x, kernel, strides, padding)
    raise ValueError(
        f"conv2d cannot compute kernel {window}, padding {padding} as {lowering!r}: "
        'use lowering="xla", which takes every shape.'
    )


def max_pool(
    x: jax.Array, *, window: int = 3, stride: int = 2, padding: int = 1
) -> jax.Array:
    """Maximum over square windows, first along rows and then along columns.

    Two passes of elementwise maxima of strided slices. The gradient is elementwise,
    too, and about three times faster on CPU than the select-and-scatter of
    `nn.max_pool`.

    **Ties.** Values equal to the maximum share its gradient (each `maximum` of two
    equal values passes half to either side), whereas `nn.max_pool` and PyTorch give all
    of it to the first. The sum is the same. After a ReLU most ties are zeros, whose
    gradient the ReLU stops anyway.

    Args:
      x: `[batch, height, width, channels]`, floating point.
      window: side of the window.
      stride: step in both directions.
      padding: cells of minus infinity added at each end, less than `window`.

    Returns:
      `[batch, output_height, output_width, channels]`.

    Raises:
      ValueError: if `x` does not have four axes or the padding reaches the window.

    Example:
      >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0].tolist()
      [[5.0, 7.0], [13.0, 15.0]]
    """
    if x.ndim != 4 or padding >= window:
        raise ValueError(
            "max_pool expects [batch, height, width, channels] and a padding below "
            f"the window, got shape {x.shape}, padding {padding}, window {window}: "
            "reshape the input or lower the padding."
        )
    for axis in (1, 2):
        size = (x.shape[axis] + 2 * padding - window) // stride + 1
        widths = [(0, 0)] * 4
        widths[axis] = (padding, padding)
        padded = jnp.pad(x, widths, constant_values=-jnp.inf)
        reach = stride * (size - 1) + 1
        x = lax.slice_in_dim(padded, 0, reach, stride, axis)
        for start in range(1, window):
            step = lax.slice_in_dim(padded, start, start + reach, stride, axis)
            x = jnp.maximum(x, step)
    return x


class Conv(nn.Module):
    """Convolution layer, `[batch, h, w, c] -> [batch, h', w', features]`.

    Parameters are those of `nn.Conv`: `kernel` `[kh, kw, c, features]` and, with
    `use_bias`, `bias` `[features]`, both float32.

    Attributes:
      features: number of output channels.
      kernel_size: height and width of the kernel.
      strides: step in each direction.
      padding: zeros at both ends of each direction; default `kernel // 2`, as in
        the PyTorch models.
      use_bias: adds a bias.
      dtype: dtype of the computation.
      kernel_init: initialiser of the kernel; default normal with standard deviation
        `sqrt(2 / (kh * kw * features))`, not truncated.
      bias_init: initialiser of the bias.
      platform: platform of the lowering; default: the default backend.

    Example:
      >>> layer, x = Conv(8, (3, 3), strides=(2, 2)), jnp.ones((1, 6, 6, 3))
      >>> y, _ = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
      >>> y.shape
      (1, 3, 3, 8)
    """

    features: int
    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Pair | None = None
    use_bias: bool = False
    dtype: Any = jnp.float32
    kernel_init: Any = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
    bias_init: Any = nn.initializers.zeros
    platform: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies the layer to `[batch, height, width, channels]`."""
        kernel = self.param(
            "kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features)
        )
        padding = self.padding
        if padding is None:
            padding = (self.kernel_size[0] // 2, self.kernel_size[1] // 2)
        form = lowering(
            self.platform or jax.default_backend(),
            self.kernel_size,
            self.strides,
            padding,
            (x.shape[1], x.shape[2]),
        )
        y = conv2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            strides=self.strides,
            padding=padding,
            lowering=form,
        )
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,))
            y = y + bias.astype(self.dtype)[None, None, None]
        return y


def output_layer(
    features: jax.Array,
    num: int,
    *,
    kernel: int = 1,
    linear_init: Any = uniform_fan_in,
    bias_init: Any = nn.initializers.zeros,
    name: str | None = None,
) -> jax.Array:
    """The last layer of a head: linear over the last axis, or a convolution of maps.

    A call inside a compact module adds the layer to it.

    Args:
      features: `[..., dim]`; `[batch, height, width, dim]` for a kernel above 1.
      num: number of outputs.
      kernel: side of the convolution, odd, with zero padding; 1 for a linear layer.
      linear_init: initialiser of the kernel of a linear layer.
      bias_init: initialiser of the bias.
      name: of the layer; by default `linear` or `conv`.

    Returns:
      `[..., num]`.

    Raises:
      ValueError: for a kernel that is not odd, or above 1 for features that are not
        maps.
    """
    if kernel < 1 or kernel % 2 != 1:
        raise ValueError(
            f"model.head_options.kernel must be odd and above 0, got {kernel}."
        )
    if kernel == 1:
        return nn.Dense(
            num,
            kernel_init=linear_init,
            bias_init=bias_init,
            name=name or "linear",
        )(features)
    if features.ndim != 4:
        raise ValueError(
            "model.head_options.kernel must be 1 for features without height and "
            f"width, got {kernel} for features {features.shape}."
        )
    return Conv(
        num,
        (kernel, kernel),
        use_bias=True,
        kernel_init=uniform_fan_in,
        bias_init=bias_init,
        name=name or "conv",
    )(features)
