"""SRL: centroids of labels cover the sphere, evenly and in order.

With unit features, the centroid `c_k` of each label bin in the batch, and the stored
centroid of the last epoch for other bins (the *surrogate* S),

    L_env  = 1 - mean_p max_k <p, S_k>             p: random points on the sphere, fixed
    L_homo = sum_k ||S_{k+1} - S_k||^2 / (y_{k+1} - y_k)         over neighbouring bins
    L_con  = -mean_i log softmax_k(<z_i, S_k> / t)_{bin i}             S constant here
    L = L_con + envelope L_env + homogeneity L_homo

"Improve Representation for Imbalanced Regression through Geometric Constraints", Dong
et al., CVPR 2025, surrogate-driven representation learning.
https://arxiv.org/abs/2503.00876

**Deviations** and readings:

- `L_homo` is the paper's (Eq. 6). The public code uses cosines of neighbours, with a
  sign that differs between its folders; only one of them agrees with the paper.
- Label distances are in bins. Bins never seen are left out, and their neighbours are
  neighbours of each other; in the code they are zero vectors at first.
- The temperature in `L_con` is the code's; the paper has none, and a sum for the mean.
- Stored centroids are mean features of the training set, in evaluation mode, of the
  last epochs with momentum, all of unit length. In the first epoch the loss is 0.
- There is no projector: the loss sees the features that the regressor reads.
- Weights: the paper's are 0.1 and 0.1 for AgeDB-DIR, and the public scripts have three
  other sets; this is unresolved.
- Batch weights do not enter.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.labels import specification
from dirjax.objectives import base
from dirjax.ops.numerics import masked_mean, product, unit

_LOWEST = -1e30


def surrogate(
    features: jax.Array,
    bins: jax.Array,
    stored: jax.Array,
    known: jax.Array,
    *,
    mask: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Centroids of the batch, and stored ones of bins that are not in it.

    Args:
      features: `[batch, dim]` of unit length.
      bins: `[batch]` int.
      stored: `[num_bins, dim]` of unit length, constants for gradients.
      known: `[num_bins]` bool, which of them exist.
      mask: `[batch]`, 1 for real rows and 0 for padding.

    Returns:
      Centroids of unit length `[num_bins, dim]`, and which exist, `[num_bins]` bool.
    """
    num = len(stored)
    bins = jnp.where(mask > 0, bins, num)
    total = jax.ops.segment_sum(features, bins, num_segments=num + 1)[:num]
    here = jax.ops.segment_sum(mask, bins, num_segments=num + 1)[:num] > 0
    fixed = jax.lax.stop_gradient(stored)
    return jnp.where(here[:, None], unit(total), fixed), here | known


def envelope_loss(centroids: jax.Array, there: jax.Array, points: jax.Array):
    """`L_env`: how far the points are from their nearest centroid, from 0 to 2.

    Example:
      >>> s = jnp.array([[1.0, 0.0], [0.5**0.5, 0.5**0.5], [0.0, 1.0]])
      >>> p = jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
      >>> float(envelope_loss(s, jnp.ones(3, bool), p))
      0.5
    """
    near = jnp.where(there[None], product(points, centroids.T), _LOWEST)
    return jnp.where(jnp.any(there), 1 - jnp.mean(jnp.max(near, axis=1)), 0)


def homogeneity_loss(centroids: jax.Array, there: jax.Array):
    """`L_homo`: squared steps from bin to bin, over their distances.

    Example:
      >>> s = jnp.array([[1.0, 0.0], [0.5**0.5, 0.5**0.5], [0.0, 1.0]])
      >>> f"{homogeneity_loss(s, jnp.ones(3, bool)):.4f}"
      '1.1716'
    """
    # Those that exist come first, in their order.
    order = jnp.argsort(~there, stable=True)
    steps = centroids[order][1:] - centroids[order][:-1]
    gaps = jnp.maximum(order[1:] - order[:-1], 1)
    both = there[order][1:]
    return jnp.sum(jnp.where(both, jnp.sum(steps**2, axis=1) / gaps, 0))


def contrast_loss(
    features: jax.Array,
    bins: jax.Array,
    centroids: jax.Array,
    there: jax.Array,
    *,
    temperature: float,
    mask: jax.Array,
):
    """`L_con`: cross-entropy of each row's bin by similarity to constant centroids."""
    logits = product(features, jax.lax.stop_gradient(centroids).T) / temperature
    logs = jax.nn.log_softmax(jnp.where(there[None], logits, _LOWEST))
    own = jnp.take_along_axis(logs, bins[:, None], axis=1)[:, 0]
    return -masked_mean(own, mask)


def make(
    *,
    envelope: float = 0.1,
    homogeneity: float = 0.1,
    temperature: float = 0.1,
    points: int = 1000,
    momentum: float = 0.9,
) -> base.Objective:
    """The three constraints as a term beside a loss of the prediction.

    Args:
      envelope: factor of `L_env`, from 0.
      homogeneity: factor of `L_homo`, from 0.
      temperature: divides cosines in `L_con`, above 0.
      points: number of random points.
      momentum: share of the old centroids at the end of an epoch, 0 to 1.

    Returns:
      An objective whose state holds the `points` `[points, dim]` and the centroids of
      bins, `stored` `[num_bins, dim]` and `known` `[num_bins]`.

    Raises:
      ValueError: for an option out of range; at init, if `spec.feature_dim` is unknown;
        in a step, for labels of pixels.
    """
    checks.positive("envelope", envelope, zero=True)
    checks.positive("homogeneity", homogeneity, zero=True)
    checks.positive("temperature", temperature)
    checks.whole("points", points)
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be from 0 to 1, got {momentum!r}.")

    def init(key, spec):
        num, dim = spec.bins.num, specification.feature_dim_of(spec, "srl")
        drawn = unit(jax.random.normal(key, (int(points), dim)))
        state = {"stored": jnp.zeros((num, dim)), "known": jnp.zeros(num)}
        return base.Variables({}, {"points": drawn, **state})

    def loss(variables, view, batch, key):
        del key
        base.check_one_per_row("srl", batch["label"])
        state, mask, bins = variables.state, batch["mask"], batch["bin"]
        units = unit(jnp.where(mask[:, None] > 0, view.features, 0))
        known = state["known"] > 0
        found, there = surrogate(units, bins, state["stored"], known, mask=mask)
        parts = {
            "srl/contrast": contrast_loss(
                units, bins, found, there, temperature=temperature, mask=mask
            ),
            "srl/envelope": envelope_loss(found, there, state["points"]),
            "srl/homogeneity": homogeneity_loss(found, there),
        }
        factors = (1.0, envelope, homogeneity)
        total = sum(f * x for f, x in zip(factors, parts.values(), strict=True))
        # Nothing to compare with before the first centroids.
        total = jnp.where(jnp.any(known), total, 0.0)
        return base.Outcome(
            total, state, {k: (v, jnp.ones(())) for k, v in parts.items()}
        )

    def refresh(variables: base.Variables, moments: Any) -> base.Variables:
        state = variables.state
        new, some = unit(moments.mean), moments.count > 0
        kept = jnp.where(state["known"] > 0, momentum, 0.0)[:, None]
        blended = unit(kept * state["stored"] + (1 - kept) * new)
        stored = jnp.where(some[:, None], blended, state["stored"])
        known = jnp.maximum(state["known"], some.astype(stored.dtype))
        return variables._replace(state={**state, "stored": stored, "known": known})

    return base.Objective(init, loss, collect=base.Collect(epoch=refresh))
