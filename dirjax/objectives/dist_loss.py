"""Dist loss: sorted predictions should be distributed as the labels are.

    L = (1/n) sum_k |sort(p)_k - q((k - 1/2) / n)|

for the n predictions of a batch, where `q` are the quantiles of the training labels,
smoothed by a Gaussian kernel. Without smoothing it is the 1-Wasserstein distance of
predictions and labels. It is added to a loss that says which prediction is whose.

"Dist Loss: Enhancing Regression in Few-Shot Region through Distribution Distance
Constraint", Nie et al., ICLR 2025. https://arxiv.org/abs/2411.15216

**Deviations** and readings:

- Pseudo-labels are quantiles at the middle of n equal shares, for any n; the public
  code apportions a fixed batch size to a grid, which gives rare labels none in small
  batches, but for a rule for the tails.
- Sorting is exact, with the gradient of the order that it finds, which is that of the
  Wasserstein distance; the public code sorts softly, with strength 0.1.
- Labels are those of bins, at their means, and the density is confined to the range of
  the bins and of these means, which labels outside of the bins may move beyond. The
  bandwidth is in deviations of the labels, 0.5 as published.
- The public code multiplies the k-th sorted value by the weight of the k-th row, which
  is another one. Here batch weights do not enter.
- Published as the second stage of RRT with weights and L1 for both parts.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from dirjax import checks
from dirjax.objectives import base, l1
from dirjax.ops.numerics import masked_mean

_POINTS = 1024


def label_quantiles(
    values: np.ndarray,
    counts: np.ndarray,
    *,
    low: float,
    high: float,
    bandwidth: float,
) -> np.ndarray:
    """Quantiles of smoothed labels, at evenly spaced levels from 0 to 1.

    Args:
      values: `[bins]`, where labels are.
      counts: `[bins]` from 0, how many are there.
      low: the least label.
      high: the largest label.
      bandwidth: deviation of the kernel, in label units, above 0.

    Returns:
      `[1024]` float64, ascending.

    Example:
      >>> ends = {"low": 0.0, "high": 10.0, "bandwidth": 0.1}
      >>> found = label_quantiles(np.array([2, 8]), np.array([3, 1]), **ends)
      >>> found[[256, 1000]].round(1).tolist()
      [2.0, 8.1]
    """
    grid, below = np.linspace(low, high, 4 * _POINTS), np.zeros(4 * _POINTS)
    # Distribution functions: a density narrower than the grid would fall between.
    for value, count in zip(values, counts, strict=True):
        if count > 0:
            below += count * special.ndtr((grid - value) / bandwidth)
    below = (below - below[0]) / (below[-1] - below[0])
    return np.interp(np.linspace(0, 1, _POINTS), below, grid)


def dist_loss(
    predictions: jax.Array,
    quantiles: jax.Array,
    *,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Mean distance of sorted predictions from quantiles of the labels.

    Args:
      predictions: `[batch]`.
      quantiles: `[levels]` ascending, at evenly spaced levels from 0 to 1.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.

    Returns:
      Scalar, in label units; 0 without real rows.

    Raises:
      ValueError: if shapes do not fit.

    Example:
      >>> even = jnp.linspace(0.0, 4.0, 101)
      >>> float(dist_loss(jnp.array([3.0, 2.0]), even))
      0.5
    """
    checks.check_shapes(
        predictions=(predictions, "b"),
        quantiles=(quantiles, "q"),
        mask=(mask, "b"),
    )
    real = jnp.ones(len(predictions), bool) if mask is None else jnp.asarray(mask) > 0
    order = jnp.argsort(jnp.where(real, predictions, jnp.inf))
    ordered = jnp.where(real, predictions, 0)[order]
    count = jnp.sum(real)
    place = jnp.arange(len(predictions))
    level = (place + 0.5) / jnp.maximum(count, 1)
    levels = jnp.linspace(0.0, 1.0, len(quantiles))
    wanted = jnp.interp(level, levels, quantiles)
    there = (place < count).astype(ordered.dtype)
    return masked_mean(l1.l1_loss(ordered, wanted), there)


def make(*, bandwidth: float = 0.5) -> base.Objective:
    """The distribution part of Dist loss as a term beside a loss of the prediction.

    Args:
      bandwidth: of the kernel, in deviations of the training labels, above 0.

    Returns:
      An objective whose state holds `quantiles` of the training labels.

    Raises:
      ValueError: for a bandwidth not above 0; in a step, for labels of pixels.
    """
    checks.positive("bandwidth", bandwidth)

    def init(key, spec):
        del key
        # Labels beyond the bins count in the end bins, whose means they move.
        held = spec.centers[spec.counts > 0]
        low = min(float(spec.bins.edges[0]), float(held.min()))
        high = max(float(spec.bins.edges[-1]), float(held.max()))
        wide = max(bandwidth * spec.label_std, 1e-6 * (high - low))
        found = label_quantiles(
            spec.centers, spec.counts, low=low, high=high, bandwidth=wide
        )
        return base.Variables({}, {"quantiles": jnp.asarray(found, jnp.float32)})

    def loss(variables, view, batch, key):
        del key
        base.check_one_per_row("dist_loss", batch["label"])
        quantiles, mask = variables.state["quantiles"], batch["mask"]
        value = dist_loss(view.outputs.prediction, quantiles, mask=mask)
        return base.Outcome(value, variables.state, {})

    return base.Objective(init, loss)
