"""Norms, directions and distances of rows, safe for zero and equal rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp

# Stirling's series of log Gamma(w) - log Gamma(w + 1/2) in 1/w, odd powers.
_STIRLING = (
    1 / 8,
    -1 / 192,
    1 / 640,
    -17 / 14336,
    31 / 18432,
    -691 / 180224,
    5461 / 425984,
    -929569 / 15728640,
)


def norms(rows: jax.Array) -> jax.Array:
    """L2 norm of each row, with gradient 0 at 0.

    Args:
      rows: `[n, dim]` float.

    Returns:
      `[n]`.

    Example:
      >>> norms(jnp.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
      [5.0, 0.0]
    """
    squares = jnp.sum(rows**2, axis=-1)
    # The root has no slope at 0, so keep its argument away from 0.
    some = squares > 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, squares, 1)), 0)


def unit(rows: jax.Array) -> jax.Array:
    """Rows of length 1; those shorter than 1e-12 become 0 and get no gradient.

    Args:
      rows: `[n, dim]` float.

    Returns:
      `[n, dim]`.
    """
    squares = jnp.sum(rows**2, axis=1, keepdims=True)
    some = squares > 1e-24
    return jnp.where(some, rows * jax.lax.rsqrt(jnp.where(some, squares, 1.0)), 0.0)


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Matrix product at the highest precision."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


@jax.custom_jvp
def gram(rows: jax.Array) -> jax.Array:
    """Products of all rows with each other, at the highest precision.

    The gradient takes one product of matrices, that of `product(rows, rows.T)` two.

    Args:
      rows: `[n, dim]` float.

    Returns:
      `[n, n]`.

    Example:
      >>> gram(jnp.array([[1.0, 2.0], [0.0, 3.0]])).tolist()
      [[5.0, 6.0], [6.0, 9.0]]
    """
    return product(rows, rows.T)


@gram.defjvp
def _gram_slope(primals, tangents):
    (rows,), (change,) = primals, tangents
    half = product(change, rows.T)
    return gram(rows), half + half.T


def distances(a: jax.Array, b: jax.Array) -> jax.Array:
    """L2 distances between all rows, without an array of all differences.

    Distances within rounding of equal rows count as 0, with gradient 0.

    Args:
      a: `[n, dim]` float. Products cancel less if the mean of all rows is near 0.
      b: `[m, dim]`; the array `a` itself for distances among its rows, whose gradient
        is cheaper than that of equal arrays.

    Returns:
      `[n, m]`.

    Example:
      >>> distances(jnp.zeros((1, 2)), jnp.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
      [[5.0, 0.0]]
    """
    ends = jnp.sum(a**2, axis=1)[:, None] + jnp.sum(b**2, axis=1)[None]
    squares = ends - 2 * (gram(a) if b is a else product(a, b.T))
    apart = squares > 8 * jnp.finfo(a.dtype).eps * ends
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, squares, 1.0)), 0.0)


def gaps(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Absolute differences of all pairs, and how much of them may be rounding.

    Labels that are multiples of 0.3 are none in float32, so that neighbours may be a
    little more than 0.3 apart. Compare `gap <= window + rounding`, or `gap < window -
    rounding`.

    Args:
      values: `[n]`, each rounded twice at most; whole numbers count as float32.

    Returns:
      Both `[n, n]`.

    Example:
      >>> gap, rounding = gaps(jnp.float32([0.6, 0.9]) / jnp.float32(0.3))
      >>> bool(gap[0, 1] <= 1 + rounding[0, 1]), bool(rounding[0, 1] < 1e-5)
      (True, True)
    """
    values = jnp.asarray(values)
    values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    size = jnp.abs(values)
    rounding = 2 * jnp.finfo(values.dtype).eps * (size[:, None] + size[None])
    return jnp.abs(values[:, None] - values[None]), rounding


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean of `values` where `mask` is 1; 0 if the mask is empty.

    Args:
      values: any shape, float. Entries under a zero mask may be NaN.
      mask: same shape, 1 for real and 0 for padding.

    Returns:
      Scalar. Weights are part of `values`: the divisor is the number of real
      entries, never the sum of weights.

    Example:
      >>> float(masked_mean(jnp.array([1.0, 3.0, jnp.nan]), jnp.array([1.0, 1.0, 0.0])))
      2.0
    """
    total = jnp.sum(jnp.where(mask > 0, values, 0.0))
    return total / jnp.maximum(jnp.sum(mask), 1.0)


def log_gamma_step(x: jax.Array) -> jax.Array:
    """`log Gamma(x) - log Gamma(x + 1/2)` for `x > 0`, without cancellation.

    By Stirling's series from 8 on, and below by the recursion from there,

        f(x) = f(x + 8) + sum_{k < 8} log((x + k + 1/2) / (x + k))
        f(w) = -log(w) / 2 + sum_k (1 - 4^-k) B_2k / (k (2 k - 1) w^(2 k - 1))

    whose eight terms leave less than 1e-15. Slopes are as exact.

    Example:
      >>> f"{log_gamma_step(jnp.float32(1e6)):.4f}"  # -log(x) / 2
      '-6.9078'
    """
    below = x < 8
    far, near = jnp.where(below, x + 8, x), jnp.where(below, x, 1)
    square = jnp.square(1 / far)
    series = jnp.zeros_like(far)
    for factor in reversed(_STIRLING):
        series = series * square + factor
    steps = 1.0
    for k in range(8):
        steps = steps * ((near + k) / (near + k + 0.5))
    steps = jnp.where(below, jnp.log(steps), 0)
    return series / far - 0.5 * jnp.log(far) - steps
