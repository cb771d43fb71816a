"""VIR: features are distributions, smoothed over neighbouring labels.

A row's features are the means of normal distributions, whose variances are a layer of
their own. In training a sample enters the head:

    z = m' + sqrt(v') eps,  eps ~ N(0, 1)

where `(m', v')` are `(m, v)`, moved from the statistics of their label bin to those
smoothed over bins (probabilistic FDS). For the n rows of a bin

    mean of m: M = avg m_i           mean of v: V = avg v_i / n
    variance of m: S = avg(v_i - V + m_i^2 - M^2)
    m' = (m - M) f + M~,  v' = (v + V) f + V~,  f = sqrt(clip(S~ / S))

with `M~` and `S~` smoothed by the kernel and `V~` by its square. Evaluation uses `m`
alone. With the head and the term `evidential`, and weights on the evidence, it is VIR;
without smoothing and weights the paper calls it VAE.

"Variational Imbalanced Regression: Fair Uncertainty Quantification via Probabilistic
Smoothing", Wang and Wang, NeurIPS 2023. https://arxiv.org/abs/2306.06599

**Deviations** and readings:

- Only the AgeDB part of the code is public, and it is what is followed. Neither the
  reconstruction of images nor a KL term is here; the latter is commented out there.
- Variances are a linear layer of the features with a softplus, trained with the model;
  there they are a second output of the last block of a ResNet, divided by its 49
  places. They start at 1/49 of softplus(0), the same.
- Order and momentum are those of `fds` in clean mode: statistics are updated, then
  smoothed, so both sides are from one epoch; the public code lags by an epoch.
- Means and their variances are taken in evaluation mode after the epoch, the variances
  `v` as averages over the steps of the epoch, in which they changed.
- The kernel's square does not sum to 1, so smoothed values of `V` shrink, as there.
- Bins without rows are left out of the smoothing and not moved; columns with `S = 0`
  are not moved. Negative `v'` counts as 0.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.features import smoothing
from dirjax.features.moments import Moments
from dirjax.features.smoothing import Statistics
from dirjax.labels import specification, weights
from dirjax.objectives import base
from dirjax.ops.random import stream_key

_LEAST = 1e-6
# Where softplus is log(2) / 49.
_START = math.log(math.expm1(math.log(2) / 49))


def bin_statistics(
    count: jax.Array, mean: jax.Array, squares: jax.Array, variance: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Statistics of probabilistic features in each bin.

    Args:
      count: `[bins]` rows.
      mean: `[bins, dim]` means of `m`.
      squares: `[bins, dim]` sums of squared deviations of `m`.
      variance: `[bins, dim]` means of `v`.

    Returns:
      `[bins, 2 dim]` means `(M, V)`, and `[bins, 2 dim]` variances: `S`, and that of
      `v`, `2 S^2 / (n - 1)`, 0 for one row. All 0 in bins without rows.

    Example:
      >>> one = jnp.ones((1, 1))
      >>> means, variances = bin_statistics(2 * jnp.ones(1), one, 4 * one, 3 * one)
      >>> means.tolist(), variances.tolist()
      ([[1.0, 1.5]], [[3.5, 24.5]])
    """
    n = jnp.maximum(count, 1)[:, None]
    some = count[:, None] > 0
    spread = jnp.where(some, variance * (1 - 1 / n) + squares / n, 0)
    second = jnp.where(n > 1, 2 * jnp.square(spread) / jnp.maximum(n - 1, 1), 0)
    means = jnp.where(some, jnp.concatenate([mean, variance / n], axis=1), 0)
    return means, jnp.concatenate([spread, second], axis=1)


def smoothed(
    means: jax.Array,
    variances: jax.Array,
    valid: jax.Array | None = None,
    *,
    window: np.ndarray,
) -> tuple[jax.Array, jax.Array]:
    """Statistics smoothed over bins: of `m` by the window, of `v` by its square.

    Args:
      means: `[bins, 2 dim]`, see `bin_statistics`.
      variances: `[bins, 2 dim]`.
      valid: `[bins]` bool; others are left out. Default: all.
      window: `[size]` odd, host numpy, sum 1.

    Returns:
      Both, same shapes.
    """
    dim, square = means.shape[1] // 2, np.square(window)
    total = square.sum()

    def both(table):
        first = smoothing.smooth_rows(table[:, :dim], valid, window=window)
        second = smoothing.smooth_rows(table[:, dim:], valid, window=square / total)
        return jnp.concatenate([first, total * second], axis=1)

    return both(means), both(variances)


def calibrate(
    mean: jax.Array,
    variance: jax.Array,
    bins: jax.Array,
    *,
    statistics: Statistics,
    clip: tuple[float, float] = (0.1, 10.0),
) -> tuple[jax.Array, jax.Array]:
    """Moves probabilistic features to the smoothed statistics of their bins.

    Args:
      mean: `[..., dim]`.
      variance: same shape.
      bins: `[...]` int.
      statistics: rows are bins, columns twice `dim`; see `bin_statistics`.
      clip: lowest and highest ratio of variances.

    Returns:
      Both, same shape. No gradient flows to the statistics.

    Example:
      >>> s = smoothing.identity(1, 2)._replace(smoothed_mean=jnp.array([[1.0, 0.5]]))
      >>> one = jnp.ones((1, 1))
      >>> m, v = calibrate(one, one, jnp.array([0]), statistics=s)
      >>> m.tolist(), v.tolist()
      ([[2.0]], [[1.5]])
    """
    now = jax.lax.stop_gradient(statistics)
    dim = mean.shape[-1]
    spread, wanted = now.var[:, :dim], now.smoothed_var[:, :dim]
    moves = (spread > 0) & (jnp.sum(spread, axis=-1, keepdims=True) >= 1e-10)
    ratio = jnp.where(moves, wanted / jnp.where(moves, spread, 1), 1)
    scale = jnp.sqrt(jnp.clip(ratio, *clip))[bins]
    old, new = now.mean[bins], now.smoothed_mean[bins]
    first = (mean - old[..., :dim]) * scale + new[..., :dim]
    second = (variance + old[..., dim:]) * scale + new[..., dim:]
    here = moves[bins]
    return jnp.where(here, first, mean), jnp.where(here, second, variance)


def update(
    old: Statistics,
    moments: Moments,
    variance: jax.Array,
    *,
    window: np.ndarray,
    momentum: float = 0.9,
) -> Statistics:
    """Updates the statistics after an epoch.

    Args:
      old: those of the ending epoch, first `smoothing.identity(bins, 2 * dim)`.
      moments: of the features, by bin.
      variance: `[bins, dim]`, mean of `v` in each bin.
      window: see `smoothed`.
      momentum: share of the old statistics, from 0 and below 1; a bin first seen takes
        its first ones.
    """
    found = bin_statistics(moments.count, moments.mean, moments.m2, variance)
    present = moments.count > 0
    keep = jnp.where(old.tracked > 0, momentum, 0.0)[:, None]
    mean, var = (
        jnp.where(present[:, None], (1 - keep) * new + keep * before, before)
        for new, before in zip(found, (old.running_mean, old.running_var), strict=True)
    )
    tracked = old.tracked + moments.count
    seen = tracked > 0
    new_mean, new_var = smoothed(mean, var, seen, window=window)
    still = jnp.where(seen[:, None], var, 0)
    return Statistics(mean, var, mean, still, new_mean, new_var, tracked, old.epoch + 1)


def _variance(params: Any, features: jax.Array) -> jax.Array:
    raw = features @ params["kernel"]
    bias = params["bias"].reshape((1,) * (raw.ndim - 1) + (-1,))
    return jax.nn.softplus(raw + bias) + _LEAST


def sampled(
    mean: jax.Array,
    variance: jax.Array,
    eps: jax.Array,
    bins: jax.Array,
    *,
    statistics: Statistics | None = None,
    clip: tuple[float, float] = (0.1, 10.0),
) -> jax.Array:
    """Samples probabilistic features, moved if there are statistics of an epoch.

    Args:
      mean: `[..., dim]`.
      variance: same shape; negative ones count as 0 once moved.
      eps: same shape, standard normal.
      bins: `[...]` int.
      statistics: see `calibrate`; None to move nothing.
      clip: see `calibrate`.

    Returns:
      Same shape.

    Example:
      >>> one = jnp.ones((1, 1))
      >>> sampled(3 * one, 4 * one, -one, jnp.array([0])).tolist()
      [[1.0]]
    """
    m, v = mean, variance
    if statistics is not None:
        moved = calibrate(m, v, bins, statistics=statistics, clip=clip)
        m, v = (
            jnp.where(statistics.epoch > 0, new, old)
            for new, old in zip(moved, (m, v), strict=True)
        )
    return m + jnp.sqrt(jnp.maximum(v, _LEAST**2)) * eps


def _identity(num: int, dim: int) -> dict[str, Any]:
    """The state before the first epoch: statistics, and sums over an epoch's steps."""
    return {
        "statistics": smoothing.identity(num, 2 * dim),
        "rows": jnp.zeros(num),
        "variance": jnp.zeros((num, dim)),
    }


def _added(
    state: dict[str, Any], variance: jax.Array, bins: jax.Array, mask: jax.Array
) -> tuple[dict[str, Any], tuple[jax.Array, jax.Array]]:
    """The state with the rows of a batch, and their variance as `(sum, count)`."""
    rows, real = variance.reshape(-1, variance.shape[-1]), mask.reshape(-1)
    rows = jnp.where(real[:, None] > 0, rows, 0)
    where = {"segment_ids": bins.reshape(-1), "num_segments": len(state["rows"])}
    new = {
        **state,
        "rows": state["rows"] + jax.ops.segment_sum(real, **where),
        "variance": state["variance"] + jax.ops.segment_sum(rows, **where),
    }
    return new, (jnp.sum(jnp.mean(rows, axis=1)), jnp.sum(real))


def _after_epoch(
    state: dict[str, Any], moments: Moments, **options: Any
) -> dict[str, Any]:
    """The state with updated statistics, and sums at 0; options as of `update`."""
    mean = state["variance"] / jnp.maximum(state["rows"][:, None], 1)
    return {
        **state,
        "statistics": update(state["statistics"], moments, mean, **options),
        "rows": jnp.zeros_like(state["rows"]),
        "variance": jnp.zeros_like(state["variance"]),
    }


def _part(variables: base.Variables) -> base.Variables:
    """The variables of the inner objective."""
    return base.Variables(variables.params["inner"], variables.state["inner"])


def _collected(inner: base.Objective, moment: str, **options: Any) -> Any:
    """The update at a moment of `base.Collect`; options as of `update`."""
    below = getattr(inner.collect, moment)
    if below is None and moment == "start":
        return None

    def collect(variables, moments):
        own, rest = variables.state, _part(variables)
        rest = below(rest, moments) if below else rest
        if moment == "epoch":
            own = _after_epoch(own, moments, **options)
        params = {**variables.params, "inner": rest.params}
        return base.Variables(params, {**own, "inner": rest.state})

    return collect


def make(
    inner: base.Objective,
    *,
    smoothing: bool = True,
    kernel: str = "gaussian",
    size: int = 5,
    sigma: float = 2.0,
    momentum: float = 0.9,
    clip: tuple[float, float] = (0.1, 10.0),
) -> base.Objective:
    """Makes features probabilistic, and smooths their statistics over label bins.

    Args:
      inner: the objective that sees the head's outputs for sampled features.
      smoothing: whether features are moved to smoothed statistics.
      kernel: smoothing kernel over bins, see `weights.kernel_window`.
      size: taps of the kernel, odd, in bins.
      sigma: width of the kernel, in bins.
      momentum: see `update`.
      clip: see `calibrate`.

    Returns:
      An objective that trains the layer of variances, and whose state holds the
      statistics beside the state of `inner`. It logs `vir/variance`, the mean of `v`.

    Raises:
      ValueError: for an option out of range; at init, if `spec.feature_dim` is unknown.
    """
    window = weights.kernel_window(kernel, size, sigma, normalize="sum")
    if not (0 <= clip[0] <= clip[1] and 0 <= momentum < 1):
        raise ValueError(
            "vir needs clip as (low, high), low first, and a momentum from 0 to below "
            f"1, got {clip} and {momentum}."
        )

    def init(key, spec):
        dim = specification.feature_dim_of(spec, "vir")
        below = inner.init(key, spec)
        bias = jnp.full(dim, jnp.float32(_START))
        layer = {"kernel": jnp.zeros((dim, dim)), "bias": bias}
        return base.Variables(
            {"variance": layer, "inner": below.params},
            {**_identity(spec.bins.num, dim), "inner": below.state},
        )

    def loss(variables, view, batch, key):
        state, layer = variables.state, variables.params["variance"]
        moving = state["statistics"] if smoothing else None
        eps = jax.random.normal(stream_key(key, "vir"), view.features.shape)

        def head(features, frozen=False):
            own = jax.lax.stop_gradient(layer) if frozen else layer
            moved = {"statistics": moving, "clip": clip}
            v = _variance(own, features)
            z = sampled(features, v, eps, batch["bin"], **moved)
            return view.head(z, frozen=frozen)

        seen = dataclasses.replace(view, head=head, outputs=head(view.features))
        out = inner.loss(_part(variables), seen, batch, key)
        v = jax.lax.stop_gradient(_variance(layer, view.features))
        new, mean = _added(state, v, batch["bin"], batch["mask"])
        new = {**new, "inner": out.state}
        return out._replace(state=new, metrics=out.metrics | {"vir/variance": mean})

    options = {"window": window, "momentum": momentum}
    collect = (_collected(inner, m, **options) for m in base.Collect._fields)
    return inner._replace(
        init=init,
        loss=loss,
        collect=base.Collect(*collect),
        diagnostics=base.Diagnostics(
            inner.diagnostics.advise,
            lambda variables: inner.diagnostics.by_bin(_part(variables)),
        ),
        batch=lambda variables, batch, key: inner.batch(_part(variables), batch, key),
        rates=None if inner.rates is None else {"inner": inner.rates},
    )
