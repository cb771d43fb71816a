"""Features moved to statistics of their label bin that are smoothed over bins.

What FDS computes, as functions of arrays; `objectives.fds` says where it is from, how
`mode="clean"` and `mode="official"` differ, and applies it in training.

**Deviations**: those of `objectives.fds`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dirjax import checks
from dirjax.features import moments as moments_lib


class Statistics(NamedTuple):
    """The state of FDS. Rows are label bins, from `first_bin` to `last_bin`.

    Attributes:
      running_mean: `[rows, dim]` running mean of features, with momentum over epochs.
      running_var: `[rows, dim]` running variance.
      mean: `[rows, dim]` means the calibration moves from, m1.
      var: `[rows, dim]` their variances, v1.
      smoothed_mean: `[rows, dim]` means it moves to, m2.
      smoothed_var: `[rows, dim]` their variances, v2.
      tracked: `[rows]` examples counted over all epochs.
      epoch: int32 scalar, the current epoch.
    """

    running_mean: jax.Array
    running_var: jax.Array
    mean: jax.Array
    var: jax.Array
    smoothed_mean: jax.Array
    smoothed_var: jax.Array
    tracked: jax.Array
    epoch: jax.Array


def identity(num_rows: int, dim: int) -> Statistics:
    """Statistics before the first epoch: means 0, variances 1, nothing moves.

    Args:
      num_rows: number of label bins.
      dim: width of the features.

    Returns:
      Statistics in the default float type.

    Example:
      >>> identity(3, 2).smoothed_var.shape
      (3, 2)
    """
    zero, one = jnp.zeros((num_rows, dim)), jnp.ones((num_rows, dim))
    none, epoch = jnp.zeros(num_rows), jnp.zeros((), jnp.int32)
    return Statistics(zero, one, zero, one, zero, one, none, epoch)


def _scale(
    statistics: Statistics, clip: tuple[float, float], whole_rows: bool
) -> tuple[jax.Array, jax.Array]:
    """Which entries move, and by what scale; both `[rows, dim]`."""
    var, smoothed_var = statistics.var, statistics.smoothed_var
    some = jnp.sum(var, axis=-1, keepdims=True) >= 1e-10
    moves = some & (var > 0) & (smoothed_var >= 0)
    if whole_rows:
        moves = moves & moves.all(axis=-1, keepdims=True)
    ratio = jnp.where(moves, smoothed_var / jnp.where(moves, var, 1), 1)
    return moves, jnp.sqrt(jnp.clip(ratio, *clip))


def calibrate(
    features: jax.Array,
    rows: jax.Array,
    *,
    statistics: Statistics,
    clip: tuple[float, float] = (0.1, 10.0),
    whole_rows: bool = False,
) -> jax.Array:
    """Moves features from the statistics of their row to the smoothed ones.

    Args:
      features: `[batch, dim]` float; dense tasks `[batch, height, width, dim]`.
      rows: `[batch]` int (dense `[batch, height, width]`), row of each example.
      statistics: `mean`, `var`, `smoothed_mean` and `smoothed_var` are used. Entries of
        variance 0, and rows whose variances sum to less than 1e-10, do not move.
      clip: lowest and highest ratio of the two variances.
      whole_rows: a row does not move if one of its entries does not.

    Returns:
      Same shape as `features`. Gradients flow to `features` only.

    Raises:
      ValueError: if shapes do not fit.

    Example:
      >>> one = jnp.ones((1, 1))
      >>> s = identity(1, 1)._replace(mean=one, var=4 * one, smoothed_mean=2 * one)
      >>> calibrate(jnp.array([[3.0]]), jnp.array([0]), statistics=s).tolist()
      [[3.0]]
    """
    letters = "b h w" if jnp.ndim(rows) == 3 else "b"
    checks.check_shapes(
        features=(features, f"{letters} dim"),
        rows=(rows, letters),
        mean=(statistics.mean, "rows dim"),
    )
    now = jax.lax.stop_gradient(statistics)
    moves, scale = _scale(now, clip, whole_rows)
    moved = (features - now.mean[rows]) * scale[rows] + now.smoothed_mean[rows]
    return jnp.where(moves[rows], moved, features)


def smooth_rows(
    values: jax.Array, valid: jax.Array | None = None, *, window: np.ndarray
) -> jax.Array:
    """Smooths a table over its rows, mirrored at both ends without repeating them.

    Args:
      values: `[rows, dim]` float.
      valid: `[rows]` bool; other rows are left out and the window is rescaled to sum 1
        over the rest. Default: all rows, with the window unchanged.
      window: `[size]` odd and symmetric, host numpy, sum 1.

    Returns:
      `[rows, dim]`; 0 where the window holds no valid row.

    Raises:
      ValueError: if `values` and `valid` do not fit.

    Example:
      >>> third = np.full(3, 1 / 3)
      >>> smooth_rows(jnp.array([[0.0], [3.0], [6.0]]), window=third).ravel().tolist()
      [2.0, 3.0, 4.0]
    """
    checks.check_shapes(
        values=(values, "rows dim"),
        valid=(valid, "rows"),
    )
    padded = np.pad(np.arange(values.shape[0]), window.size // 2, mode="reflect")
    reach = np.lib.stride_tricks.sliding_window_view(padded, window.size)
    taps = jnp.asarray(window, values.dtype)

    def convolve(table):
        return jnp.einsum("rtd,t->rd", table[reach], taps, precision="highest")

    if valid is None:
        return convolve(values)
    column = valid[:, None]
    total = convolve(jnp.where(column, values, 0))
    share = convolve(column.astype(values.dtype))
    return jnp.where(share > 0, total / jnp.where(share > 0, share, 1), 0)


def _fill(values: jax.Array, empty: jax.Array) -> jax.Array:
    """Fills empty rows with the mean of their neighbours, sequentially and in place."""
    last = values.shape[0] - 1
    if last == 0:
        return values

    def body(row, table):
        left = jnp.where(row == 0, 1, row - 1)
        right = jnp.where(row == last, last - 1, row + 1)
        between = (table[left] + table[right]) / 2
        return table.at[row].set(jnp.where(empty[row], between, table[row]))

    return jax.lax.fori_loop(0, last + 1, body, values)


def to_rows(bins: jax.Array, num_rows: int, first_bin: int = 0) -> jax.Array:
    """The row of each bin; bins outside the rows share the end rows.

    Example:
      >>> to_rows(jnp.array([0, 3, 9]), 4, first_bin=2).tolist()
      [0, 1, 3]
    """
    return jnp.clip(bins - first_bin, 0, num_rows - 1)


def smooth(
    features: jax.Array,
    bins: jax.Array,
    statistics: Statistics,
    *,
    start_smooth: int = 1,
    clip: tuple[float, float] = (0.1, 10.0),
    whole_rows: bool = False,
    first_bin: int = 0,
) -> jax.Array:
    """Features as the head sees them in training: calibrated from `start_smooth` on.

    Args:
      features: `[batch, dim]` float; dense tasks `[batch, height, width, dim]`.
      bins: `[batch]` int (dense `[batch, height, width]`), the label bin of each.
      statistics: from `identity` and `update`.
      start_smooth: first epoch with calibration; before it nothing moves.
      clip: see `calibrate`.
      whole_rows: see `calibrate`.
      first_bin: the bin of row 0; bins before it share that row.

    Returns:
      Same shape as `features`.

    Raises:
      ValueError: if shapes do not fit.

    Example:
      >>> smooth(jnp.ones((2, 3)), jnp.array([0, 1]), identity(2, 3)).shape
      (2, 3)
    """
    rows = to_rows(bins, statistics.tracked.shape[0], first_bin)
    moved = calibrate(
        features, rows, statistics=statistics, clip=clip, whole_rows=whole_rows
    )
    return jnp.where(statistics.epoch >= start_smooth, moved, features)


def _running(
    old: Statistics,
    moments: moments_lib.Moments,
    *,
    official: bool,
    feedback: bool,
    momentum: float | None,
    start_update: int,
    start_smooth: int,
    clip: tuple[float, float],
    fill_empty: bool,
    whole_rows: bool,
    first_bin: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """New running mean and variance, and counts."""
    num, bins = old.tracked.shape[0], moments.count.shape[0]
    if num < bins:
        rows = to_rows(jnp.arange(bins), num, first_bin)
        moments = moments_lib.pool(moments, rows, num_rows=num)
    count, mean = moments.count, moments.mean
    var = moments_lib.variance(moments)
    if feedback:
        moves, scale = _scale(old, clip, whole_rows)
        moves = moves & (old.epoch >= start_smooth)
        moved = calibrate(
            mean, jnp.arange(num), statistics=old, clip=clip, whole_rows=whole_rows
        )
        mean = jnp.where(old.epoch >= start_smooth, moved, mean)
        var = jnp.where(moves, var * scale**2, var)
    active = old.epoch >= start_update
    present = (count > 0) & active
    tracked = jnp.where(present, old.tracked + count, old.tracked)
    if momentum is None:
        keep = 1 - count / jnp.maximum(tracked, 1)
    else:
        keep = jnp.full_like(tracked, momentum)
    fresh = old.epoch == start_update if official else old.tracked == 0
    keep = jnp.where(fresh, 0, keep)[:, None]
    new = [
        jnp.where(present[:, None], (1 - keep) * value + keep * running, running)
        for value, running in ((mean, old.running_mean), (var, old.running_var))
    ]
    if fill_empty:
        empty = ~present & active
        new = [_fill(running, empty) for running in new]
    return new[0], new[1], tracked


def update(
    statistics: Statistics,
    moments: moments_lib.Moments,
    *,
    window: np.ndarray,
    mode: str = "clean",
    momentum: float | None = 0.9,
    start_update: int = 0,
    start_smooth: int = 1,
    clip: tuple[float, float] = (0.1, 10.0),
    fill_empty: bool = False,
    feedback: bool | None = None,
    alias: bool = True,
    whole_rows: bool = False,
    first_bin: int = 0,
) -> Statistics:
    """Updates the statistics after an epoch.

    Args:
      statistics: statistics of the ending epoch, initially from `identity`.
      moments: moments of raw features over the training set, by label bin.
      window: `[size]` taps over rows, from `labels.weights.kernel_window` with
        `normalize="sum"`.
      mode: "clean" or "official", see the module.
      momentum: share of the old statistics; None for the mean over all epochs.
      start_update: first epoch at whose end statistics are collected.
      start_smooth: first epoch with calibration.
      clip: lowest and highest ratio of variances.
      fill_empty: official mode: fill bins without examples from their neighbours.
      feedback: collect statistics of calibrated features. Default: in official mode.
      alias: official mode: move from the current running statistics.
      whole_rows: see `calibrate`.
      first_bin: the bin of row 0.

    Returns:
      Statistics for the next epoch, same shapes.

    Example:
      >>> x, bins = jnp.array([[1.0], [3.0]]), jnp.array([0, 0])
      >>> moments = moments_lib.from_batch(x, bins, jnp.ones(2), num_bins=2)
      >>> now = update(identity(2, 1), moments, window=np.ones(1))
      >>> now.mean.tolist(), int(now.epoch)
      ([[2.0], [0.0]], 1)
    """
    official = mode == "official"
    old = statistics
    run_mean, run_var, tracked = _running(
        old,
        moments,
        official=official,
        feedback=official if feedback is None else feedback,
        momentum=momentum,
        start_update=start_update,
        start_smooth=start_smooth,
        clip=clip,
        fill_empty=fill_empty,
        whole_rows=whole_rows,
        first_bin=first_bin,
    )
    if official:
        ready = old.epoch > start_update
        mean, var = old.running_mean, old.running_var
        smoothed = [smooth_rows(x, window=window) for x in (mean, var)]
        if alias:
            mean, var = run_mean, run_var
    else:
        ready = old.epoch >= start_update
        seen = tracked > 0
        varies = seen & (jnp.sum(run_var, axis=-1) >= 1e-10)
        smoothed = [
            smooth_rows(run_mean, seen, window=window),
            smooth_rows(run_var, varies, window=window),
        ]
        # Features of an unseen bin do not move if its variance is 0.
        mean, var = run_mean, jnp.where(seen[:, None], run_var, 0)
    return Statistics(
        running_mean=run_mean,
        running_var=run_var,
        mean=jnp.where(ready, mean, old.mean),
        var=jnp.where(ready, var, old.var),
        smoothed_mean=jnp.where(ready, smoothed[0], old.smoothed_mean),
        smoothed_var=jnp.where(ready, smoothed[1], old.smoothed_var),
        tracked=tracked,
        epoch=old.epoch + 1,
    )
