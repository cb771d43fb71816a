"""The evidential head: a normal-inverse-gamma distribution over mean and variance.

Of a label it predicts Student's t distribution with `2 alpha` degrees of freedom, at
`center`, with the squared scale `beta (1 + nu) / (nu alpha)`.

Sources: see the terms that train it, `dirjax/objectives/evidential.py`.

**Deviations**: in probabilities of bins and quantiles there are at most 200 degrees of
freedom; a normal distribution is no further away than 0.4 % of a scale.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.models.distribution_heads import FLOOR, DistributionHead
from dirjax.models.distributions import Distribution
from dirjax.ops import densities, numerics

FORMS = ("amortised", "conjugate")
_MOST = 200.0
# Nearer to the middle probabilities are measured from there, further out from the end.
_NEAR = 1.5
_TERMS = 64
# The slope of VIR's softplus, and its prior: the smallest evidence and alpha.
_SLOPE, _EVIDENCE, _ALPHA = 0.1, 2.0, 0.3


class _Evidential(NamedTuple):
    prediction: jax.Array
    center: jax.Array
    nu: jax.Array
    alpha: jax.Array
    beta: jax.Array


class EvidentialOutputs(_Evidential, Distribution):
    """A normal-inverse-gamma distribution, and Student's t of the label.

    Attributes:
      prediction: `[...]`, the centre.
      center: `[...]`.
      nu: `[...]` above 0, how many labels the centre is worth.
      alpha: `[...]` above 0.
      beta: `[...]` above 0, in squared units of the learnt label.
    """

    __slots__ = ()
    conjugate = False

    @property
    def scale(self) -> jax.Array:
        """Scale of the t distribution, `[...]`."""
        return jnp.sqrt(self.beta * (1 + self.nu) / (self.nu * self.alpha))

    @property
    def _degrees(self) -> jax.Array:
        return jnp.minimum(2 * self.alpha, _MOST)

    def log_probs(self, edges: Any) -> jax.Array:
        """Log probability of each bin, `[..., num]`; without a gradient."""
        center, scale = self.center[..., None], self.scale[..., None]
        inner = densities.along(jnp.asarray(edges, jnp.float32)[1:-1], center, jnp)
        border = jnp.clip((inner - center) / scale, -1e9, 1e9)
        width = jnp.clip((inner[..., 1:] - inner[..., :-1]) / scale, 0, 1e9)
        parts = jax.lax.stop_gradient((border, width, self._degrees[..., None]))
        found = _log_masses(*parts)
        return densities.normalised(found, jnp)

    def log_prob(self, label: jax.Array) -> jax.Array:
        """Log density `[...]`."""
        omega = 2 * self.beta * (1 + self.nu)
        error = self.nu * jnp.square(label - self.center)
        slope = 0.5 * jnp.log(math.pi / self.nu) + 0.5 * jnp.log(omega)
        far = (self.alpha + 0.5) * jnp.log1p(error / omega)
        return -(slope + far + numerics.log_gamma_step(self.alpha))

    def quantile(self, level: Any) -> jax.Array:
        """Quantiles `[...]`, by bisection; infinite at 0 and 1."""
        level = jnp.broadcast_to(jnp.asarray(level, jnp.float32), self.center.shape)
        beyond = jnp.minimum(level, 1 - level)
        degrees, wanted = self._degrees, jnp.log(jnp.maximum(beyond, 1e-30))

        def halve(_, ends):
            low, high = ends
            middle = (low + high) / 2
            z = jnp.sinh(middle)
            near = jnp.log(0.5 - _half_mass(jnp.minimum(z, _NEAR), degrees))
            above = jnp.where(z < _NEAR, near, _log_tail(jnp.maximum(z, 1e-3), degrees))
            further = above > wanted
            return jnp.where(further, middle, low), jnp.where(further, high, middle)

        ends = (jnp.zeros_like(level), jnp.full_like(level, 40.0))
        z = jnp.sinh(jax.lax.fori_loop(0, 40, halve, ends)[0])
        z = jnp.where(beyond > 0, jnp.where(beyond == 0.5, 0, z), jnp.inf)
        return self.center + self.scale * jnp.where(level < 0.5, -z, z)

    def mean(self) -> jax.Array:
        """The centre, `[...]`, which is median and mode, too."""
        return self.center

    median = mode = mean


class ConjugateOutputs(EvidentialOutputs):
    """The same, with `alpha = alpha0 + nu / 2`: evidence that may have weights."""

    __slots__ = ()
    conjugate = True


def _half_mass(z: jax.Array, degrees: jax.Array) -> jax.Array:
    """Probability of 0 to `z >= 0` under Student's t."""
    square = jnp.square(z)
    half = jnp.full_like(z, 0.5)
    a = jnp.broadcast_to(degrees / 2, z.shape)
    return 0.5 * jax.scipy.special.betainc(half, a, square / (degrees + square))


def _log_tail(z: jax.Array, degrees: jax.Array) -> jax.Array:
    """Log of the probability beyond `z > 0` under Student's t."""
    a = jnp.broadcast_to(degrees / 2, z.shape)
    logs = -jnp.log1p(jnp.square(z) / degrees)  # of x
    x = jnp.exp(logs)
    # The incomplete beta function, and far out the logarithm of its series.
    far = a * logs < -20
    small = jnp.where(far, x, 0.1)

    def add(k, sums):
        term = sums[0] * small * (a + 0.5 + k) / (a + 1 + k)
        return term, sums[1] + term

    ones = jnp.ones_like(x)
    total = jax.lax.fori_loop(0, _TERMS, add, (ones, ones))[1]
    log_beta = numerics.log_gamma_step(a) + 0.5 * math.log(math.pi)
    series = a * logs + 0.5 * jnp.log1p(-small) - jnp.log(a) - log_beta
    series = series + jnp.log(total)
    some = jax.scipy.special.betainc(a, jnp.full_like(a, 0.5), jnp.where(far, 0.5, x))
    return math.log(0.5) + jnp.where(far, series, jnp.log(some))


def _log_masses(border: jax.Array, width: jax.Array, degrees: jax.Array) -> jax.Array:
    """Log probability between standard borders and outside.

    Args:
      border: `[..., n]`, ascending.
      width: `[..., n - 1]`, their distances.
      degrees: `[..., 1]`.

    Returns:
      `[..., n + 1]`.
    """
    ends, inf = [(0, 0)] * (border.ndim - 1), jnp.inf
    away = jnp.abs(border)
    half = _half_mass(away, degrees)
    tail = _log_tail(jnp.maximum(away, 1e-3), degrees)
    around = [*ends, (1, 1)]
    half = jnp.pad(half, around, constant_values=0.5)
    tail = jnp.pad(tail, around, constant_values=-inf)
    away = jnp.pad(away, around, constant_values=inf)
    low = jnp.pad(border, [*ends, (1, 0)], constant_values=-inf)
    high = jnp.pad(border, [*ends, (0, 1)], constant_values=inf)
    width = jnp.pad(width, around, constant_values=inf)[..., : low.shape[-1]]

    def sides(x, right):
        """Of the border nearer to 0, and of the other."""
        first, second = x[..., :-1], x[..., 1:]
        return jnp.where(right, first, second), jnp.where(right, second, first)

    right = low >= 0
    near, far = sides(away, right)
    half_near, half_far = sides(half, right)
    tail_near, tail_far = sides(tail, right)
    across = half[..., :-1] + half[..., 1:]
    mass = jnp.where(far <= _NEAR, half_far, 0.5 - jnp.exp(tail_far)) - half_near
    mass = jnp.where((low < 0) & (high > 0), across, mass)
    outside = (near > _NEAR) & ((low >= 0) | (high <= 0))
    some = jnp.isfinite(tail_near)
    fall = jnp.where(some, tail_far, -1.0) - jnp.where(some, tail_near, 0.0)
    out = tail_near + jnp.log(-jnp.expm1(jnp.minimum(fall, -1e-30)))
    found = jnp.where(outside, out, jnp.log(jnp.maximum(mass, 1e-37)))
    finite = jnp.isfinite(width)
    m = jnp.where(finite, (near + far) / 2, 0.0)
    m = jnp.where((low < 0) & (high > 0), jnp.where(finite, (low + high) / 2, 0), m)
    bend = degrees + m * m
    slope = (degrees + 1) * m / bend
    narrow = finite & (width * jnp.maximum(1, jnp.abs(slope)) < 0.05)
    h = jnp.where(narrow, width, 1.0)
    curve = slope**2 - (degrees + 1) * (degrees - m * m) / bend**2
    logs = -0.5 * (degrees + 1) * jnp.log1p(m * m / degrees)
    logs = (
        logs - numerics.log_gamma_step(degrees / 2) - 0.5 * jnp.log(math.pi * degrees)
    )
    series = logs + jnp.log(h) + jnp.log1p(jnp.where(narrow, curve * h * h / 24, 0.0))
    return jnp.where(narrow, series, found)


class Evidential(DistributionHead):
    """Centre, evidence and scale of a normal-inverse-gamma distribution.

    The centre is `shift + scale * (w.z + b)`. Amortised (deep evidential regression):
    `nu`, `alpha - 1` and `beta` are each a softplus. Conjugate (VIR): `nu` is the
    evidence `n = 2 + softplus`, `alpha = 0.3 + n / 2`, and `beta` a softplus, both with
    slope 0.1. In both `beta` is in units of `scale` squared.

    Attributes:
      form: "amortised" or "conjugate".
    """

    form: str = "amortised"

    @nn.compact
    def __call__(self, features: jax.Array) -> EvidentialOutputs:
        """Maps features `[..., dim]` to the parameters of distributions `[...]`.

        Raises:
          ValueError: if a field is invalid.
        """
        checks.one_of("model.head_options.form", self.form, FORMS)
        conjugate = self.form == "conjugate"
        raw = self._raw(features, 3 if conjugate else 4)
        center = self.shift + self.scale * raw[..., 0]
        if conjugate:
            plus = jax.nn.softplus(_SLOPE * raw[..., 1:]) / _SLOPE
            nu, beta = _EVIDENCE + plus[..., 0], plus[..., 1]
            alpha, made = _ALPHA + nu / 2, ConjugateOutputs
        else:
            nu, alpha, beta = jnp.moveaxis(jax.nn.softplus(raw[..., 1:]), -1, 0)
            nu, alpha, made = nu + FLOOR, alpha + 1, EvidentialOutputs
        beta = self.scale**2 * (beta + FLOOR**2)
        return self._finished(made(center, center, nu, alpha, beta))
