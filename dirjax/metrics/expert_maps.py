"""Metrics of groups and experts on maps, as sums per label bin.

Maps have too many pixels to keep logits and values of each, as `metrics.experts` takes
them. Of its metrics, `group_accuracy`, `group_distance`, `oracle_mae` and `oracle_rmse`
are sums over pixels and have the same meaning here; the likelihood, whose deviation is
that of the whole split, is left out.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from dirjax.labels import specification
from dirjax.metrics.regression import finite, shot_groups


class ExpertSums(NamedTuple):
    """Sums over pixels, `[num_bins]` each but the last.

    Attributes:
      hit: pixels whose predicted group is the true one.
      distance: `|predicted - true group|`.
      oracle_abs: absolute errors of the true group's expert, label units.
      oracle_sq: their squares.
      predicted: `[groups]`, pixels of each predicted group.
    """

    hit: Any
    distance: Any
    oracle_abs: Any
    oracle_sq: Any
    predicted: Any


def batch_sums(
    logits: jax.Array,
    values: jax.Array,
    labels: jax.Array,
    *,
    of_bin: ArrayLike | jax.Array,
    bins: jax.Array,
    mask: jax.Array,
) -> ExpertSums:
    """Sums of one batch of maps, pure and jit-able.

    Args:
      logits: `[..., groups]`, logits of the head.
      values: `[..., groups]`, of the experts, in label units.
      labels: `[...]`.
      of_bin: `[num_bins]` int, the group of each label bin.
      bins: `[...]` int, 0 to num_bins - 1.
      mask: `[...]`, above 0 for real entries.

    Returns:
      The sums, float32. `hit` and `distance` are NaN where a real pixel has a NaN among
      its logits, which is in no predicted group, `oracle_abs` and `oracle_sq` where the
      value of its group is NaN.

    Example:
      >>> found = batch_sums(jnp.array([[0.0, 1.0]]), jnp.array([[1.0, 5.0]]),
      ...                    jnp.array([2.0]), of_bin=[0, 1], bins=jnp.array([0]),
      ...                    mask=jnp.ones(1))
      >>> found.hit.tolist(), found.distance.tolist(), found.oracle_abs.tolist()
      ([0.0, 0.0], [1.0, 0.0], [1.0, 0.0])
    """
    num = logits.shape[-1]
    logits, values = (x.reshape(-1, num) for x in (logits, values))
    real = jnp.ravel(mask) > 0
    bins = jnp.where(real, jnp.ravel(bins), 0)
    groups = jnp.asarray(of_bin)[bins]
    best, unknown = jnp.argmax(logits, axis=1), jnp.isnan(logits).any(axis=1)
    distance = jnp.abs(best - groups).astype(jnp.float32)
    distance = jnp.where(unknown, jnp.nan, distance)
    own = jnp.take_along_axis(values, groups[:, None], axis=1)[:, 0]
    error = jnp.abs(own - jnp.ravel(labels))
    hit = jnp.where(jnp.isnan(distance), jnp.nan, distance == 0)

    def by_bin(x):
        x = jnp.where(real, x, 0.0)
        return jax.ops.segment_sum(x, bins, num_segments=len(jnp.asarray(of_bin)))

    counted = jnp.where(real & ~unknown, 1.0, 0.0)
    return ExpertSums(
        *map(by_bin, (hit, distance, error, error**2)),
        predicted=jax.ops.segment_sum(counted, best, num_segments=num),
    )


def finalize(
    sums: ExpertSums, count: ArrayLike, *, spec: specification.Spec
) -> dict[str, dict[str, float | None]]:
    """The metrics over all pixels and each shot group, ready for JSON.

    Args:
      sums: over the whole split.
      count: `[num_bins]` pixels, from `metrics.Sums`.
      spec: label specification with the shot group of each bin.

    Returns:
      `group_accuracy`, `group_distance`, `oracle_mae` and `oracle_rmse`, each `{"all",
      "many", "median", "few"}`. None for a group without pixels and for values that are
      not finite.
    """
    count = np.asarray(count, np.float64)
    names = ("group_accuracy", "group_distance", "oracle_mae", "oracle_rmse")
    found: dict[str, dict[str, float | None]] = {name: {} for name in names}
    for shot, chosen in shot_groups(spec.shots).items():
        keep = chosen & (count > 0)
        n = count[keep].sum()
        for name, total in zip(names, sums[:-1], strict=True):
            mean = np.asarray(total, np.float64)[keep].sum() / n if n else math.nan
            mean = math.sqrt(mean) if name == "oracle_rmse" and mean >= 0 else mean
            found[name][shot] = finite(mean)
    return found
