"""Noise of a given norm on a model's inputs, in a given or in a random direction."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dirjax import checks

NORMS = ("sample", "pixel", "linf")


class Noise(NamedTuple):
    """A moved input.

    Attributes:
      inputs: `[batch, ...]`, the input plus the noise, clipped.
      noise: `[batch, ...]`, the noise before clipping, in units of the inputs.
    """

    inputs: jax.Array
    noise: jax.Array


def _channels(values: Any, like: jax.Array) -> jax.Array:
    """Broadcasts a number, or one per channel, against the inputs."""
    values = jnp.asarray(values, like.dtype)
    if values.ndim:
        values = values.reshape((1,) * (like.ndim - 1) + values.shape)
    return jnp.broadcast_to(values, like.shape)


def scaled(direction: jax.Array, norm: str, epsilon: float, unit: Any) -> jax.Array:
    """Noise of norm `epsilon` in a direction; 0 where the direction is 0.

    Args:
      direction: `[batch, ...]`.
      norm: the norm that equals `epsilon`: "sample" (L2 over all coordinates of a row),
        "pixel" (L2 over the last axis) or "linf" (each coordinate).
      epsilon: size of the noise, in `unit`.
      unit: input units per unit of `epsilon`, a number or `[channels]`; may be traced.
    """
    unit = _channels(unit, direction)
    direction = direction * unit
    if norm == "linf":
        return epsilon * jnp.sign(direction) * unit
    axes = (-1,) if norm == "pixel" else tuple(range(1, direction.ndim))
    # In two steps, since squares of small gradients underflow in float32.
    largest = jnp.max(jnp.abs(direction), axis=axes, keepdims=True)
    some = largest > 0
    direction = direction / jnp.where(some, largest, 1)
    length = jnp.sqrt(jnp.sum(direction**2, axis=axes, keepdims=True))
    return jnp.where(some, epsilon * direction / jnp.where(some, length, 1), 0) * unit


def move(inputs: jax.Array, noise: jax.Array, low: Any, high: Any) -> Noise:
    """The sum, clipped to a range; values already outside the range stay.

    Args:
      inputs: `[batch, ...]`.
      noise: same shape.
      low: smallest valid coordinate, a number or `[channels]`.
      high: largest valid coordinate, likewise.
    """
    lowest = jnp.minimum(_channels(low, inputs), inputs)
    highest = jnp.maximum(_channels(high, inputs), inputs)
    return Noise(jnp.clip(inputs + noise, lowest, highest), noise)


def random_noise(
    key: jax.Array,
    inputs: jax.Array,
    *,
    epsilon: float,
    norm: str = "sample",
    unit: Any = 1.0,
    low: Any = -math.inf,
    high: Any = math.inf,
    real: Any = 1,
) -> Noise:
    """Input noise in a Gaussian direction, the control of SSIR.

    Args:
      key: random key of the direction.
      inputs: `[batch, ...]` float32.
      epsilon: size of the noise, in `unit`.
      norm: see `scaled`; "linf" draws random signs.
      unit: see `scaled`.
      low: see `move`.
      high: see `move`.
      real: which coordinates may move, see `input_domain.real`.

    Returns:
      The moved inputs and the noise.

    Raises:
      ValueError: for an option out of range.

    Example:
      >>> moved = random_noise(jax.random.key(0), jnp.zeros((2, 5)), epsilon=0.5)
      >>> jnp.linalg.norm(moved.noise, axis=1).round(4).tolist()
      [0.5, 0.5]
    """
    checks.positive("epsilon", epsilon)
    checks.one_of("norm", norm, NORMS)
    direction = jax.random.normal(key, inputs.shape, inputs.dtype) * real
    moved = move(inputs, scaled(direction, norm, epsilon, unit), low, high)
    return jax.lax.stop_gradient(moved)


def lengths(moves: jax.Array) -> jax.Array:
    """L2 norm of each row."""
    return jnp.sqrt(jnp.sum(moves**2, axis=tuple(range(1, moves.ndim))))


def longest(inputs: jax.Array, norm: str) -> float:
    """The norm of noise whose coordinates have a root mean square of 1.

    Args:
      inputs: `[batch, ...]`; prepared inputs have deviations of about 1.
      norm: see `scaled`.

    Example:
      >>> x = jnp.zeros((2, 5, 5, 4))
      >>> [longest(x, norm) for norm in NORMS]
      [10.0, 2.0, 1.0]
    """
    checks.one_of("norm", norm, NORMS)
    if norm == "linf":
        return 1.0
    axes = inputs.shape[-1:] if norm == "pixel" else inputs.shape[1:]
    return math.sqrt(math.prod(axes))
