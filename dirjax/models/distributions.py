"""What heads return that predict a distribution over the label.

Each kind is a NamedTuple of arrays with `prediction`, one value of the distribution,
and pure functions of it as methods. Everything is float32 and on the scale that the
model learns, and all leading axes are kept: `[batch]`, or `[batch, height, width]` for
a distribution per pixel.

Sources: see the terms that train them, `dirjax/objectives/{histogram,gaussian,
quantile}.py`.

**Deviations**: distributions have no end, so that every bin has some probability:
beyond its outermost levels the quantile head's density falls exponentially.
"""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.ops import densities

_LOG_ROOT = 0.5 * np.log(2 * np.pi)


class Distribution(abc.ABC):
    """A distribution over the label for each row or pixel, `[...]`.

    Attributes:
      binned: whether it is given by probabilities of bins alone.
    """

    __slots__ = ()
    binned = False

    @abc.abstractmethod
    def log_probs(self, edges: Any) -> jax.Array:
        """Log probability of each bin, `[..., num]`; the end bins take what is outside.

        Args:
          edges: `[num + 1]`, increasing.
        """

    @abc.abstractmethod
    def log_prob(self, label: jax.Array) -> jax.Array:
        """Log density `[...]` at labels `[...]`, per unit of the learnt label."""

    @abc.abstractmethod
    def quantile(self, level: Any) -> jax.Array:
        """Quantiles `[...]` for a level from 0 to 1, or one for each row, `[...]`."""

    @abc.abstractmethod
    def mean(self) -> jax.Array:
        """Means `[...]`."""

    @abc.abstractmethod
    def mode(self) -> jax.Array:
        """Where the densities are highest, `[...]`."""

    def median(self) -> jax.Array:
        """Medians `[...]`."""
        return self.quantile(0.5)

    def decoded(self, how: str) -> jax.Array:
        """Mean, median or mode, see `densities.decode`."""
        decodes = {"mean": self.mean, "median": self.median, "mode": self.mode}
        return decodes[how]()

    def corrected(self, edges: Any, log_ratio: Any, tau: Any) -> jax.Array:
        """`log_probs` under another label distribution, see `densities.corrected`.

        Args:
          edges: `[num + 1]`.
          log_ratio: `[num]`, log of target over training probability of each bin.
          tau: strength, 0 for no change.
        """
        return densities.corrected(self.log_probs(edges), log_ratio, tau, jnp)


class Binned(Distribution):
    """Probabilities of bins of one's own, with a constant density in each.

    Attributes:
      edges: `[bins + 1]`; the density is 0 outside.
    """

    __slots__ = ()
    binned = True
    edges: Any

    @abc.abstractmethod
    def own_log_probs(self) -> jax.Array:
        """Log probability of each of its own bins, `[..., bins]`."""

    def log_probs(self, edges: Any) -> jax.Array:
        """Log probability of each bin, `[..., num]`.

        For other edges than its own each probability is divided among bins in
        proportion to their widths within; a bin that has no part of any is -inf. This
        takes an array `[..., bins, num]`.
        """
        known = isinstance(self.edges, np.ndarray) and isinstance(edges, np.ndarray)
        if known and np.array_equal(self.edges, np.asarray(edges, np.float32)):
            return self.own_log_probs()
        own, inner = jnp.asarray(self.edges), jnp.asarray(edges, jnp.float32)[1:-1]
        # How much of each own bin lies below each of the new borders.
        below = (inner[None] - own[:-1, None]) / (own[1:] - own[:-1])[:, None]
        below = jnp.pad(jnp.clip(below, 0, 1), ((0, 0), (1, 0)))
        below = jnp.pad(below, ((0, 0), (0, 1)), constant_values=1.0)
        part = below[:, 1:] - below[:, :-1]
        rows = self.own_log_probs()[..., None]
        part = part.reshape((1,) * (rows.ndim - 2) + part.shape)
        return jax.nn.logsumexp(rows, axis=-2, b=part)

    def log_prob(self, label: jax.Array) -> jax.Array:
        """Log density `[...]`; a label outside takes that of the end bin."""
        return densities.log_density(
            self.own_log_probs(), jnp.asarray(self.edges), label, jnp
        )

    def quantile(self, level: Any) -> jax.Array:
        """Quantiles `[...]`."""
        return densities.quantile(
            self.own_log_probs(), jnp.asarray(self.edges), level, jnp
        )

    def mean(self) -> jax.Array:
        """Means `[...]`."""
        return densities.mean(self.own_log_probs(), jnp.asarray(self.edges), jnp)

    def mode(self) -> jax.Array:
        """Middles `[...]` of the bins of the highest density; without a gradient."""
        return densities.mode(self.own_log_probs(), jnp.asarray(self.edges), jnp)


class _Histogram(NamedTuple):
    prediction: jax.Array
    logits: jax.Array
    edges: Any


class HistogramOutputs(_Histogram, Binned):
    """Probabilities of bins: a softmax.

    Attributes:
      prediction: `[...]`.
      logits: `[..., bins]`.
      edges: `[bins + 1]`; the density is 0 outside.
    """

    __slots__ = ()

    def own_log_probs(self) -> jax.Array:
        """Log probability of each of its own bins, `[..., bins]`."""
        return jax.nn.log_softmax(self.logits)


class _Gaussian(NamedTuple):
    prediction: jax.Array
    center: jax.Array
    deviation: jax.Array


class GaussianOutputs(_Gaussian, Distribution):
    """A normal distribution.

    Attributes:
      prediction: `[...]`, the centre.
      center: `[...]`.
      deviation: `[...]`, above 0.
    """

    __slots__ = ()

    def log_probs(self, edges: Any) -> jax.Array:
        """Log probability of each bin, `[..., num]`, accurate in far bins, too."""
        center, deviation = self.center[..., None], self.deviation[..., None]
        inner = densities.along(jnp.asarray(edges, jnp.float32)[1:-1], center, jnp)
        # Squares must not overflow.
        border = jnp.clip((inner - center) / deviation, -1e9, 1e9)
        ends, inf = [(0, 0)] * (border.ndim - 1), jnp.inf
        low = jnp.pad(border, [*ends, (1, 0)], constant_values=-inf)
        high = jnp.pad(border, [*ends, (0, 1)], constant_values=inf)
        # Not the differences of borders, which are rounded far from 0.
        width = jnp.clip((inner[..., 1:] - inner[..., :-1]) / deviation, 0, 1e9)
        width = jnp.pad(width, [*ends, (1, 1)], constant_values=inf)
        width = width[..., : low.shape[-1]]  # There may be one bin.
        return densities.normalised(_log_mass(low, high, width), jnp)

    def log_prob(self, label: jax.Array) -> jax.Array:
        """Log density `[...]`."""
        z = (label - self.center) / self.deviation
        return -0.5 * z**2 - jnp.log(self.deviation) - _LOG_ROOT

    def quantile(self, level: Any) -> jax.Array:
        """Quantiles `[...]`."""
        z = jax.scipy.special.ndtri(jnp.asarray(level, jnp.float32))
        return self.center + self.deviation * z

    def mean(self) -> jax.Array:
        """The centre, `[...]`, which is median and mode, too."""
        return self.center

    median = mode = mean


def _log_mass(low: jax.Array, high: jax.Array, width: jax.Array) -> jax.Array:
    """Log probability that a standard normal number is between, elementwise.

    Args:
      low: any shape, or -inf.
      high: same shape, or inf.
      width: their distance, inf if one of them is.

    Differences of two distribution functions cancel where both are near 1, so intervals
    above 0 are mirrored, and those that are narrow for their place have two terms of a
    series.
    """
    mirrored = low + high > 0
    a, b = jnp.where(mirrored, -high, low), jnp.where(mirrored, -low, high)
    finite = jnp.isfinite(width)
    middle = jnp.where(finite, (a + b) / 2, 0.0)
    narrow = finite & (width * jnp.maximum(1, -middle) < 0.05)
    h = jnp.where(narrow, width, 1.0)
    m = jnp.where(narrow, middle, 0.0)
    series = -0.5 * m**2 - _LOG_ROOT + jnp.log(h) + jnp.log1p((m**2 - 1) * h**2 / 24)
    lower = jnp.where(narrow, -1.0, a)
    upper = jnp.where(narrow, 1.0, b)
    top = jax.scipy.special.log_ndtr(upper)
    some = jnp.isfinite(lower)
    lower = jnp.where(some, lower, -1.0)
    fall = jnp.where(some, jax.scipy.special.log_ndtr(lower) - top, -1.0)
    # Far out both are large; there their difference has a form of its own.
    far = some & (upper < -20)
    x, y = jnp.where(far, lower, -2.0), jnp.where(far, upper, -2.0)
    apart = jnp.where(far, width, 1.0) * (y + x) / 2 - jnp.log(x / y)
    apart = apart + jnp.log1p(-1 / (x * x)) - jnp.log1p(-1 / (y * y))
    fall = jnp.where(far, apart, fall)
    rest = jnp.where(some, jnp.log(-jnp.expm1(fall)), 0.0)
    return jnp.where(narrow, series, top + rest)


class _Quantile(NamedTuple):
    prediction: jax.Array
    values: jax.Array


class QuantileOutputs(_Quantile, Distribution):
    """Quantiles at levels k / (levels + 1), with a constant density between two.

    Below the first and above the last, where `1 / (levels + 1)` is left each, the
    density falls exponentially from that of the neighbouring interval.

    Attributes:
      prediction: `[...]`.
      values: `[..., levels]`, not descending.
    """

    __slots__ = ()

    @property
    def levels(self) -> jax.Array:
        """`[levels]`."""
        number = self.values.shape[-1]
        return jnp.arange(1, number + 1, dtype=jnp.float32) / (number + 1)

    def _widths(self) -> jax.Array:
        """Widths of the intervals, `[..., levels - 1]`, above 0."""
        width = self.values[..., 1:] - self.values[..., :-1]
        return jnp.maximum(width, 1e-6 * jnp.abs(self.values[..., 1:]) + 1e-30)

    def log_probs(self, edges: Any) -> jax.Array:
        """Log probability of each bin, `[..., num]`; takes `[..., num, levels]`."""
        values, width = self.values, self._widths()
        inner = densities.along(jnp.asarray(edges, jnp.float32)[1:-1], values, jnp)
        share = 1.0 / (values.shape[-1] + 1)
        # How much of each interval lies below each border.
        below = (inner[..., None] - values[..., None, :-1]) / width[..., None, :]
        ends = [(0, 0)] * (below.ndim - 2)
        below = jnp.pad(jnp.clip(below, 0, 1), [*ends, (1, 0), (0, 0)])
        below = jnp.pad(below, [*ends, (0, 1), (0, 0)], constant_values=1.0)
        # Differences before the sum, where little is lost in narrow bins.
        between = share * jnp.sum(below[..., 1:, :] - below[..., :-1, :], axis=-1)
        some = between > 0
        found = jnp.where(some, jnp.log(jnp.where(some, between, 1.0)), -jnp.inf)
        # Distances to the borders from the ends of the values, in units of the tails.
        left = (values[..., :1] - inner) / width[..., :1]
        right = (inner - values[..., -1:]) / width[..., -1:]
        for tail in (_log_tail(left), _log_tail(right[..., ::-1])[..., ::-1]):
            found = jnp.logaddexp(found, jnp.log(share) + tail)
        return densities.normalised(found, jnp)

    def _interval(self, label: jax.Array) -> jax.Array:
        """The interval of each label, `[..., 1]`; the nearest one outside."""
        above = jnp.sum(self.values <= label[..., None], axis=-1, keepdims=True)
        return jnp.clip(above - 1, 0, self.values.shape[-1] - 2)

    def log_prob(self, label: jax.Array) -> jax.Array:
        """Log density `[...]`."""
        width = self._widths()
        here = jnp.take_along_axis(width, self._interval(label), axis=-1)[..., 0]
        first, last = self.values[..., 0], self.values[..., -1]
        beyond = jnp.maximum(first - label, 0) + jnp.maximum(label - last, 0)
        inside = -jnp.log(here * (self.values.shape[-1] + 1))
        return inside - beyond / here

    def quantile(self, level: Any) -> jax.Array:
        """Quantiles `[...]`; infinite at 0 and 1."""
        number, width = self.values.shape[-1], self._widths()
        shape = self.values.shape[:-1]
        level = jnp.broadcast_to(jnp.asarray(level, jnp.float32), shape)
        place = level * (number + 1) - 1
        at = jnp.clip(jnp.floor(place), 0, number - 2).astype(jnp.int32)[..., None]
        low = jnp.take_along_axis(self.values, at, axis=-1)[..., 0]
        high = jnp.take_along_axis(self.values, at + 1, axis=-1)[..., 0]
        inside = low + jnp.clip(place - at[..., 0], 0, 1) * (high - low)
        left = jnp.log(jnp.minimum(level * (number + 1), 1))
        right = jnp.log(jnp.minimum((1 - level) * (number + 1), 1))
        return inside + width[..., 0] * left - width[..., -1] * right

    def mean(self) -> jax.Array:
        """Means `[...]`."""
        number, width = self.values.shape[-1], self._widths()
        between = jnp.sum((self.values[..., 1:] + self.values[..., :-1]) / 2, axis=-1)
        first = self.values[..., 0] - width[..., 0]
        last = self.values[..., -1] + width[..., -1]
        return (between + first + last) / (number + 1)

    def mode(self) -> jax.Array:
        """Middles `[...]` of the narrowest intervals."""
        width = self.values[..., 1:] - self.values[..., :-1]
        at = jnp.argmin(width, axis=-1)[..., None]
        low, high = (jnp.take_along_axis(self.values, at + k, axis=-1) for k in (0, 1))
        return ((low + high) / 2)[..., 0]


def _log_tail(distance: jax.Array) -> jax.Array:
    """Log of the part of an exponential tail in each bin, `[..., num]`.

    Args:
      distance: `[..., num - 1]` from the start of the tail out to the inner borders,
        descending; negative ones are inside.
    """
    ends = [(0, 0)] * (distance.ndim - 1)
    reach = jnp.maximum(distance, 0)
    near = jnp.pad(reach, [*ends, (0, 1)])
    far = jnp.pad(reach, [*ends, (1, 0)], constant_values=jnp.inf)
    gap = far - near
    some = gap > 0
    # From `near` outwards, less from `far` outwards.
    part = jnp.log(-jnp.expm1(-jnp.where(some, gap, 1.0)))
    return jnp.where(some, part - near, -jnp.inf)
