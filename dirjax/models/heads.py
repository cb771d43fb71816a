"""Heads: from features to predictions in label units."""

from __future__ import annotations

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class Outputs(NamedTuple):
    """What every head returns.

    Attributes:
      prediction: `[batch]` float32, in label units; of the head `dense`
        `[batch, height, width]`.
    """

    prediction: jax.Array


def uniform_fan_in(key, shape, dtype=jnp.float32):
    """U(-1/sqrt(n), 1/sqrt(n)) for n inputs: the linear layers of the public code."""
    bound = 1.0 / math.sqrt(shape[0])
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class Linear(nn.Module):
    """One value a row: `shift + scale * (w.z + b)`.

    The affine map is fixed. With the mean and standard deviation of the training
    labels the layer itself learns standardised labels, while predictions, losses and
    metrics are all in label units.

    Attributes:
      shift: added to the scaled output, label units.
      scale: label units of one unit of output.
    """

    shift: float = 0.0
    scale: float = 1.0

    @nn.compact
    def __call__(self, features: jax.Array) -> Outputs:
        """Maps `[batch, dim]` features to predictions `[batch]`."""
        return Outputs(_affine(self, features, "[batch, dim]"))


class Dense(nn.Module):
    """One value a pixel: the map of `Linear` at each of them, a 1x1 convolution.

    Attributes:
      shift: see `Linear`.
      scale: see `Linear`.
    """

    shift: float = 0.0
    scale: float = 1.0

    @nn.compact
    def __call__(self, features: jax.Array) -> Outputs:
        """Maps `[batch, h, w, dim]` features to predictions `[batch, h, w]`."""
        return Outputs(_affine(self, features, "[batch, height, width, dim]"))


def _affine(head: Linear | Dense, features: jax.Array, shape: str) -> jax.Array:
    """The layer of both heads, over the last axis."""
    if features.ndim != len(shape.split()):
        better = "linear" if features.ndim == 2 else "dense"
        raise ValueError(
            f"this head takes features {shape}, the encoder gives {features.shape}. "
            f"Use model.head={better!r}."
        )
    raw = nn.Dense(1, kernel_init=uniform_fan_in, name="linear")(features)
    return head.shift + head.scale * raw[..., 0]


HEADS = {"linear": Linear, "dense": Dense}
