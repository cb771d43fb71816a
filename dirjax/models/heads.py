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
      prediction: `[batch]` float32, in label units.
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
        raw = nn.Dense(1, kernel_init=uniform_fan_in, name="linear")(features)
        return Outputs(self.shift + self.scale * raw[:, 0])


HEADS = {"linear": Linear}
