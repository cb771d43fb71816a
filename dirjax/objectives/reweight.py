"""Re-weighting by label frequency: INV and SQINV.

Each example is weighted by the inverse of the number of training examples in its bin
(INV), or of its square root (SQINV), scaled to mean 1 over the training set.

The baselines of "Delving into Deep Imbalanced Regression", Yang et al., ICML 2021.
https://arxiv.org/abs/2102.09554

**Deviations**: none in the weights of training examples. The published code clips
counts to 5..1000 for ages, and not for text similarity and depth; here `clip` controls
this. Labels outside the bins get the weight of the end bins (`labels.Bins.index`).
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from dirjax import labels
from dirjax.labels import weights
from dirjax.objectives import base


def make(
    inner: base.Objective,
    *,
    scheme: str = "inverse",
    clip: tuple[float, float] | None = (5.0, 1000.0),
    kernel: str | None = None,
    size: int = 5,
    sigma: float = 2.0,
    padding: str = "zero",
    truncate: bool = False,
    first_bin: int = 0,
) -> base.Objective:
    """Multiplies `batch["weight"]` by the weight of the example's bin.

    Args:
      inner: the objective that sees the new weights.
      scheme: `"inverse"` (INV), `"sqrt_inverse"` (SQINV) or `"none"`.
      clip: counts are clipped to this range before they are inverted; None for no
        clipping. Only for `"inverse"`: square roots are never clipped.
      kernel: None, or the kernel that smooths the counts. See `lds`.
      size: taps of the kernel, odd, in bins.
      sigma: width of the kernel, in bins.
      padding: values beyond the end bins, see `weights.smooth`.
      truncate: round smoothed counts of `"inverse"` down to integers, as the
        published code does.
      first_bin: see `weights.bin_density`.

    Returns:
      An objective whose state holds `table`, the weight of each bin `[num_bins]`
      float32, beside the state of `inner`.

    Raises:
      ValueError: at init, for an unknown scheme, kernel or padding.

    Example:
      >>> from dirjax import labels
      >>> from dirjax.objectives import l1
      >>> spec = labels.spec([0.0, 1.0, 1.0, 1.0, 1.0], bin_width=1.0)
      >>> objective = make(l1.make(), scheme="sqrt_inverse")
      >>> variables = objective.init(None, spec)
      >>> variables.state["table"].tolist()
      [1.6666666269302368, 0.8333333134651184]
    """

    def weighting(spec):
        return weights.bin_weights(
            spec.counts,
            scheme,
            clip=clip,
            kernel=kernel,
            size=size,
            sigma=sigma,
            padding=padding,
            truncate=truncate,
            first_bin=first_bin,
        )

    return by_bin(inner, weighting)


def by_bin(
    inner: base.Objective, weighting: Callable[[labels.Spec], np.ndarray]
) -> base.Objective:
    """Multiplies `batch["weight"]` by a weight of the example's bin.

    Args:
      inner: the objective that sees the new weights.
      weighting: `spec -> [num]`, the weight of each label bin.
    """

    def init(spec):
        return {"table": jnp.asarray(weighting(spec), jnp.float32)}

    def loss(own, inside, view, batch, key):
        weight = batch["weight"] * own["table"][batch["bin"]]
        return inside(view, {**batch, "weight": weight})

    return base.wrap(inner, init=init, loss=loss, weighting=weighting)
