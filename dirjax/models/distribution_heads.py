"""Heads that predict a distribution over the label, of each row or of each pixel.

They act on the last axis of the features: `[batch, dim]`, and in dense tasks
`[batch, height, width, dim]`. There a distribution takes `num` numbers a pixel: 16
images of 112 x 152 pixels on 100 bins take 109 MB in float32, and training several
times that. Fewer bins (`config.support`) or smaller batches take less.

**Deviations**: none, the layers are linear. At the start, with outputs of zero, the
Gaussian and the quantiles are those of a normal distribution with the training labels'
mean and deviation, and the histogram is uniform over its bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dirjax import checks
from dirjax.models import conv
from dirjax.models.distributions import (
    GaussianOutputs,
    HistogramOutputs,
    QuantileOutputs,
)
from dirjax.ops import densities

# The smallest deviation of a Gaussian, and the smallest step from one quantile to the
# next relative to its first value, so that logarithms and densities stay finite.
FLOOR = 1e-3
_LOG2 = math.log(2.0)
# Where softplus is 1.
ONE = math.log(math.e - 1)


class DistributionHead(nn.Module):
    """What the heads have in common.

    Attributes:
      shift: see `heads.Linear`.
      scale: see `heads.Linear`.
      decode: what the prediction is: "median", which has the least absolute error,
        "mean", which has the least squared error, or "mode", which has no gradient in a
        histogram.
      kernel: side of a convolution over feature maps, odd; 1 for a linear layer.
    """

    shift: float = 0.0
    scale: float = 1.0
    decode: str = "median"
    kernel: int = 1

    def _raw(self, features: jax.Array, num: int) -> jax.Array:
        """A linear layer over the last axis, `[..., num]`."""
        checks.one_of("model.head_options.decode", self.decode, densities.DECODES)
        return conv.output_layer(features, num, kernel=self.kernel)

    def _finished(self, outputs: Any) -> Any:
        """The outputs with the prediction that `decode` names."""
        return outputs._replace(prediction=outputs.decoded(self.decode))


def checked_edges(head: str, edges: Sequence[float]) -> np.ndarray:
    """Edges of bins as float32.

    Args:
      head: the name of the head, for messages.
      edges: at least two.

    Raises:
      ValueError: if there are too few, or bins that float32 cannot tell apart.
    """
    if len(edges) < 2:
        raise ValueError(
            f"the head {head!r} needs the edges of its bins, at least two, got {edges}."
        )
    found = np.asarray(edges, np.float32)
    if (np.diff(found) <= 0).any():
        raise ValueError(
            f"the bins of the head {head!r} must be wider than the spacing of float32 "
            "numbers at the labels. Use wider bins, or another offset of the labels."
        )
    return found


class Histogram(DistributionHead):
    """Probabilities of bins: a softmax.

    Attributes:
      shift: not used; bins are in label units.
      scale: not used, for the same reason.
      edges: of the bins, in label units, at least two.
    """

    edges: tuple[float, ...] = ()

    @nn.compact
    def __call__(self, features: jax.Array) -> HistogramOutputs:
        """Maps features `[..., dim]` to logits `[..., bins]` and predictions `[...]`.

        Raises:
          ValueError: if a field is invalid.
        """
        edges = checked_edges("histogram", self.edges)
        logits = self._raw(features, len(edges) - 1)
        return self._finished(HistogramOutputs(logits[..., 0], logits, edges))


class Gaussian(DistributionHead):
    """A normal distribution: `shift + scale * (w.z + b)` and its deviation.

    The deviation is `scale * (FLOOR + softplus(v.z + c))`, where `softplus(0)` is moved
    to 1.
    """

    @nn.compact
    def __call__(self, features: jax.Array) -> GaussianOutputs:
        """Maps features `[..., dim]` to centres, deviations and predictions `[...]`.

        Raises:
          ValueError: if a field is invalid.
        """
        raw = self._raw(features, 2)
        center = self.shift + self.scale * raw[..., 0]
        deviation = self.scale * (FLOOR + jax.nn.softplus(raw[..., 1] + ONE))
        return self._finished(GaussianOutputs(center, center, deviation))


class Quantile(DistributionHead):
    """Quantiles at evenly spaced levels, which cannot cross.

    The middle one is `shift + scale * (w.z + b)`. From there each step, up and down, is
    that of a standard normal distribution, times `scale`, times a factor that is
    positive: `FLOOR + softplus(v.z + c) / log 2`.

    Attributes:
      levels: number of levels: k / (levels + 1) for k from 1 to levels. Odd numbers
        have the median among them.
    """

    levels: int = 19

    @nn.compact
    def __call__(self, features: jax.Array) -> QuantileOutputs:
        """Maps features `[..., dim]` to values `[..., levels]` and predictions `[...]`.

        Raises:
          ValueError: if a field is invalid.
        """
        checks.whole("model.head_options.levels", self.levels, least=3)
        num, middle = int(self.levels), int(self.levels) // 2
        normal = [NormalDist().inv_cdf(k / (num + 1)) for k in range(1, num + 1)]
        raw = self._raw(features, num)
        first = densities.along(np.diff(np.asarray(normal, np.float32)), raw)
        steps = first * (FLOOR + jax.nn.softplus(raw[..., 1:]) / _LOG2)
        up = jnp.cumsum(steps[..., middle:], axis=-1)
        down = jnp.cumsum(steps[..., :middle][..., ::-1], axis=-1)[..., ::-1]
        at = raw[..., :1] + np.float32(normal[middle])
        values = jnp.concatenate([at - down, at, at + up], axis=-1)
        values = self.shift + self.scale * values
        return self._finished(QuantileOutputs(values[..., 0], values))
