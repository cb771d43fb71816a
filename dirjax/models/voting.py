"""A head of experts that each say how sure they are, fused by that (UVOTE).

Each expert predicts a Laplace distribution; the fused one is that of the surest expert,
or has the experts' means under weights of inverse variance.

Sources: see the term that trains it, `dirjax/objectives/uvote.py`.

**Deviations**: scales are a softplus with a floor; the public code limits logarithms of
scales to -5 to 5 label units, and trains their layers at a tenth of the rate.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.models.distribution_heads import FLOOR, ONE, DistributionHead
from dirjax.models.distributions import Distribution
from dirjax.ops import densities

FUSES = ("surest", "weighted")


class _Vote(NamedTuple):
    prediction: jax.Array
    center: jax.Array
    scale: jax.Array
    centers: jax.Array
    scales: jax.Array


class VoteOutputs(_Vote, Distribution):
    """A Laplace distribution, fused from those of experts.

    Attributes:
      prediction: `[...]`, the centre.
      center: `[...]`.
      scale: `[...]` above 0, the mean absolute deviation.
      centers: `[..., experts]`.
      scales: `[..., experts]` above 0.
    """

    __slots__ = ()

    def log_probs(self, edges: Any) -> jax.Array:
        """Log probability of each bin, `[..., num]`, accurate in far bins, too."""
        center, scale = self.center[..., None], self.scale[..., None]
        inner = densities.along(jnp.asarray(edges, jnp.float32)[1:-1], center, jnp)
        border = jnp.clip((inner - center) / scale, -1e9, 1e9)
        width = jnp.clip((inner[..., 1:] - inner[..., :-1]) / scale, 0, 1e9)
        ends, inf = [(0, 0)] * (border.ndim - 1), jnp.inf
        low = jnp.pad(border, [*ends, (1, 0)], constant_values=-inf)
        high = jnp.pad(border, [*ends, (0, 1)], constant_values=inf)
        width = jnp.pad(width, [*ends, (1, 1)], constant_values=inf)
        width = width[..., : low.shape[-1]]
        across = (low < 0) & (high > 0)
        near = jnp.where(across, 0.0, jnp.minimum(jnp.abs(low), jnp.abs(high)))
        # The part of the exponential tail that begins at the nearer border.
        inside = jnp.maximum(jnp.where(across, 1.0, width), 1e-30)
        outside = jnp.log(-jnp.expm1(-inside)) - near
        below = jnp.where(across, low, -1.0)
        above = jnp.where(across, high, 1.0)
        both = jnp.log(-jnp.expm1(below) - jnp.expm1(-above))
        return densities.normalised(jnp.where(across, both, outside), jnp)

    def log_prob(self, label: jax.Array) -> jax.Array:
        """Log density `[...]`."""
        return -jnp.abs(label - self.center) / self.scale - jnp.log(2 * self.scale)

    def quantile(self, level: Any) -> jax.Array:
        """Quantiles `[...]`; infinite at 0 and 1."""
        level = jnp.asarray(level, jnp.float32)
        z = -jnp.log(2 * jnp.minimum(level, 1 - level))
        return self.center + self.scale * jnp.where(level < 0.5, -z, z)

    def mean(self) -> jax.Array:
        """The centre, `[...]`, which is median and mode, too."""
        return self.center

    median = mode = mean


def fused(centers: jax.Array, scales: jax.Array, how: str) -> VoteOutputs:
    """Fuses the distributions of experts.

    Args:
      centers: `[..., experts]`.
      scales: same shape, above 0.
      how: "surest": the expert with the smallest scale; "weighted": means of centres
        and of scales, with weights `1 / scale^2`.

    Example:
      >>> centers, scales = jnp.array([[1.0, 4.0]]), jnp.array([[2.0, 1.0]])
      >>> [float(fused(centers, scales, how).center[0]) for how in FUSES]
      [4.0, 3.4000000953674316]
    """
    checks.one_of("model.head_options.fuse", how, FUSES)
    if how == "surest":
        at = jnp.argmin(scales, axis=-1)[..., None]
        center, scale = (
            jnp.take_along_axis(x, at, axis=-1)[..., 0] for x in (centers, scales)
        )
    else:
        # Relative to the smallest scale, so that none overflows.
        least = jnp.min(scales, axis=-1, keepdims=True)
        weight = jnp.square(least / scales)
        weight = weight / jnp.sum(weight, axis=-1, keepdims=True)
        center, scale = (jnp.sum(weight * x, axis=-1) for x in (centers, scales))
    return VoteOutputs(center, center, scale, centers, scales)


class Vote(DistributionHead):
    """Experts with `shift + scale * (w_m.z + b_m)` and `scale * softplus`.

    Attributes:
      experts: number of experts, at least 1.
      fuse: "surest" or "weighted", see `fused`.
    """

    experts: int = 3
    fuse: str = "surest"

    @nn.compact
    def __call__(self, features: jax.Array) -> VoteOutputs:
        """Maps features `[..., dim]` to fused distributions `[...]`.

        Raises:
          ValueError: if a field is invalid.
        """
        checks.whole("model.head_options.experts", self.experts)
        raw = self._raw(features, 2 * self.experts)
        centers = self.shift + self.scale * raw[..., : self.experts]
        scales = FLOOR + jax.nn.softplus(raw[..., self.experts :] + ONE)
        return self._finished(fused(centers, self.scale * scales, self.fuse))
