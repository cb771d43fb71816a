"""Depth metrics: ratios of prediction and label, in addition to `metrics`.

They are sums per label bin, too. Eigen et al., "Depth Map Prediction from a Single
Image", NeurIPS 2014, https://arxiv.org/abs/1406.2283; by shot group as Yang et al.,
"Delving into Deep Imbalanced Regression", ICML 2021, https://arxiv.org/abs/2102.09554.

**Deviations** from the public benchmark code: an empty group is None; predictions below
1 mm count as 1 mm in ratios, which the public code would make negative or infinite. As
there, pixels are pooled over images, not averaged by image.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from dirjax.labels import specification
from dirjax.metrics.regression import finite, shot_groups


class Ratios(NamedTuple):
    """Sums over the pixels of each bin, `[num_bins]`; NaN for labels not above 0.

    Attributes:
      delta1: pixels whose prediction is off by a factor of at most 1.25.
      delta2: the same for 1.25^2.
      delta3: the same for 1.25^3.
      abs_rel: absolute errors divided by the label.
      log10: absolute differences of logarithms to base 10.
    """

    delta1: Any
    delta2: Any
    delta3: Any
    abs_rel: Any
    log10: Any


def batch_ratios(
    predictions: jax.Array,
    labels: jax.Array,
    *,
    bins: jax.Array,
    mask: jax.Array,
    num_bins: int,
    least: ArrayLike | jax.Array = 1e-3,
) -> Ratios:
    """Sums of one batch of depth maps, pure and jit-able, like `batch_sums`.

    Args:
      predictions: any shape, `[batch, height, width]`, in label units.
      labels: same shape, above 0.
      bins: same shape, int, 0 to num_bins - 1.
      mask: same shape, above 0 for real entries.
      num_bins: static.
      least: lower bound of predictions in ratios and logarithms, label units.

    Returns:
      The sums, float32.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> found = batch_ratios(jnp.array([1.0, 3.0]), jnp.array([1.25, 2.0]),
      ...                      bins=jnp.array([0, 2]), mask=jnp.ones(2), num_bins=3)
      >>> found.delta1.tolist(), found.delta2.tolist()
      ([1.0, 0.0, 0.0], [1.0, 0.0, 1.0])
    """
    shapes = [jnp.shape(x) for x in (predictions, labels, bins, mask)]
    if len(set(shapes)) > 1:
        raise ValueError(
            "predictions, labels, bins and mask must have the same shape, got "
            f"{', '.join(map(str, shapes))}."
        )
    real = jnp.ravel(mask) > 0
    bins = jnp.where(real, jnp.ravel(bins), 0)
    p = jnp.where(real, jnp.ravel(predictions).astype(jnp.float32), 1.0)
    y = jnp.where(real, jnp.ravel(labels).astype(jnp.float32), 1.0)
    y = jnp.where(y > 0, y, jnp.nan)
    positive = jnp.maximum(p, jnp.asarray(least, jnp.float32))
    ratio = jnp.maximum(positive / y, y / positive)
    known = jnp.where(jnp.isnan(ratio), jnp.nan, 1.0)
    within = [jnp.where(ratio <= 1.25**k, known, 0 * known) for k in (1, 2, 3)]
    rows = Ratios(
        delta1=within[0],
        delta2=within[1],
        delta3=within[2],
        abs_rel=jnp.abs(p - y) / y,
        log10=jnp.abs(jnp.log10(positive) - jnp.log10(y)),
    )
    return jax.tree.map(
        lambda x: jax.ops.segment_sum(
            jnp.where(real, x, 0.0), bins, num_segments=num_bins
        ),
        rows,
    )


def finalize(
    sums: Ratios, count: ArrayLike, *, spec: specification.Spec
) -> dict[str, dict[str, Any]]:
    """Depth metrics over all pixels and each shot group, ready for JSON.

    Args:
      sums: sums over the whole set, `[num_bins]` each.
      count: `[num_bins]` pixels, from `metrics.Sums`.
      spec: label specification with the shot group of each bin.

    Returns:
      `{metric: {"all", "many", "median", "few"}}` with `delta1`, `delta2`, `delta3`
      (shares of pixels, best is 1), `abs_rel` and `log10` (means, best is 0). None for
      a group without pixels and for non-finite values.

    Example:
      >>> from dirjax import labels
      >>> spec = labels.spec([1, 2], bin_width=1)
      >>> sums = Ratios(*np.array([[1, 0], [1, 1], [1, 1], [0.2, 0.5], [0.1, 0.2]]))
      >>> finalize(sums, [1, 1], spec=spec)["delta1"]
      {'all': 0.5, 'many': None, 'median': None, 'few': 0.5}
    """
    count = np.asarray(count, np.float64)
    result: dict[str, dict[str, Any]] = {name: {} for name in sums._fields}
    for group, chosen in shot_groups(spec.shots).items():
        keep = chosen & (count > 0)
        n = count[keep].sum()
        for name, values in sums._asdict().items():
            total = np.asarray(values, np.float64)[keep].sum()
            result[name][group] = finite(total / n) if n else None
    return result
