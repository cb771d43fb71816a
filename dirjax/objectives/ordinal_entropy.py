"""Ordinal entropy: spreads features of distant labels, gathers those of one label.

Directions only. With unit vectors `u_b` of the mean feature of each label in the batch,

    L_d = -mean_{a < b} w_ab ||u_a - u_b||,  w_ab = (|y_a - y_b| - min) / max
    L_t = mean_i ||z_i / ||z_i|| - u_{b(i)}||, over rows that are not at their centre
    L   = L_d + L_t

where min and max are of the label distances of all pairs.

"Improving Deep Regression with Ordinal Entropy", Zhang et al., ICLR 2023.
https://arxiv.org/abs/2301.08915

**Deviations** from the public code, which differs between tasks:

- Ages (the default here): rows of equal labels share a centre, the mean of unnormalised
  features, and both parts are used. Operator learning: each row is its own vector, with
  L_d alone (`of="features"`); the public code takes ten random rows, here all rows
  count.
- If all labels of a batch differ, L_t is an empty mean: NaN in the public code, 0 here.
- Distances below 1e-12 are set to 1e-6 there, and to 0 here. Rows within 1e-6 of their
  centre count as at it, since that is float32 rounding.
- In dense tasks the loss is computed per image on every fourth pixel of every fourth
  line (`stride`) and averaged over images, as there. The public code leaves pixels out
  by depth, here the mask does.
- Batch weights do not enter.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.features.prototypes import Prototypes, prototypes
from dirjax.objectives import base
from dirjax.ops import numerics

OF = ("prototypes", "features")
# Distances of unit vectors below this are float32 rounding.
_NEAR = 1e-6


def diversity_loss(vectors: jax.Array, labels: jax.Array, real: jax.Array) -> jax.Array:
    """`L_d`: negative mean distance of directions, weighted by label distance.

    Args:
      vectors: `[n, dim]` float, of any length.
      labels: `[n]` float, constants for gradients.
      real: `[n]` bool, which rows count.

    Returns:
      Scalar, at most 0; 0 if fewer than two count, or all label distances are equal.
    """
    units = numerics.unit(vectors)
    # Centring changes no distance, and products cancel less.
    some = real[:, None]
    center = jnp.sum(jnp.where(some, units, 0), axis=0) / jnp.maximum(jnp.sum(real), 1)
    units = jnp.where(some, units - jax.lax.stop_gradient(center)[None], 0)
    apart = numerics.distances(units, units)
    gaps = jax.lax.stop_gradient(jnp.abs(labels[:, None] - labels[None]))
    count = jnp.arange(len(labels))
    # The upper triangle: each pair once, and no row with itself.
    pairs = real[:, None] & real[None] & (count[:, None] < count[None])
    least = jnp.min(jnp.where(pairs, gaps, jnp.inf))
    most = jnp.max(jnp.where(pairs, gaps, 0))
    weights = jnp.where(pairs, (gaps - least) / jnp.where(most > 0, most, 1), 0)
    weights = jnp.where(most > 0, weights, 0)
    return -jnp.sum(weights * apart) / jnp.maximum(jnp.sum(pairs), 1)


def tightness_loss(
    features: jax.Array, found: Prototypes, mask: jax.Array
) -> jax.Array:
    """`L_t`: mean distance of directions from their prototype's direction.

    Args:
      features: `[batch, dim]` float.
      found: their prototypes.
      mask: `[batch]`, 1 for real rows and 0 for padding.

    Returns:
      Scalar; 0 if all rows are at their centre.
    """
    some = mask[:, None] > 0
    own = numerics.unit(found.mean)[jnp.minimum(found.slot, len(found.mean) - 1)]
    gap = jnp.where(some, numerics.unit(jnp.where(some, features, 0)) - own, 0)
    apart = numerics.norms(gap)
    return numerics.masked_mean(apart, (apart > _NEAR).astype(apart.dtype))


def ordinal_entropy_loss(
    features: jax.Array,
    labels: jax.Array,
    *,
    of: str = "prototypes",
    tightness: bool = True,
    mask: jax.Array | None = None,
    num_labels: int | None = None,
) -> jax.Array:
    """Spread of directions by label distance, and tightness around prototypes.

    Args:
      features: `[batch, dim]` float.
      labels: `[batch]`, float or bins; rows of equal labels have one prototype.
      of: "prototypes", or "features" to use single rows; these are their own centres,
        so there is no tightness.
      tightness: whether to add the tightness.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.
      num_labels: see `prototypes`.

    Returns:
      Scalar. Lengths of features matter only in the mean of rows with equal labels.

    Raises:
      ValueError: for an unknown option, or shapes that do not fit.

    Example:
      >>> z = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [3.0, 4.0]])
      >>> loss = ordinal_entropy_loss(z, jnp.array([10.0, 20.0, 40.0, 10.0]))
      >>> f"{loss:.4f}"
      '0.3685'
    """
    _check(of, 1)
    checks.check_shapes(
        features=(features, "b d"), labels=(labels, "b"), mask=(mask, "b")
    )
    if not len(features):
        return jnp.sum(features)
    mask = jnp.ones(len(features), features.dtype) if mask is None else mask
    found = prototypes(features, labels, mask=mask, num_labels=num_labels)
    if of == "features":
        real = mask > 0
        features = jnp.where(real[:, None], features, 0)
        return diversity_loss(features, jnp.where(real, labels, 0), real)
    loss = diversity_loss(found.mean, found.label, found.count > 0)
    return loss + tightness_loss(features, found, mask) if tightness else loss


def _check(of: str, stride: int) -> None:
    checks.one_of("of", of, OF)
    checks.whole("stride", stride)


def make(
    *, of: str = "prototypes", tightness: bool = True, stride: int = 4
) -> base.Objective:
    """Ordinal entropy as a term.

    Args:
      of: see `ordinal_entropy_loss`.
      tightness: see `ordinal_entropy_loss`.
      stride: stride between the pixels used in dense tasks.

    Returns:
      An objective without state.

    Raises:
      ValueError: for an option out of range.
    """
    _check(of, stride)
    loss = functools.partial(ordinal_entropy_loss, of=of, tightness=tightness)

    def term(view, batch):
        z, labels, mask = view.features, batch["label"], batch["mask"]
        if z.ndim == 2:
            return loss(z, labels, mask=mask)
        z, labels, mask = (x[:, ::stride, ::stride] for x in (z, labels, mask))
        rows = (x.reshape(len(x), -1) for x in (labels, mask))
        labels, mask = rows
        z = z.reshape(*labels.shape, -1)
        each = jax.vmap(lambda z, y, m: loss(z, y, mask=m))(z, labels, mask)
        return numerics.masked_mean(each, (mask.max(axis=1) > 0).astype(each.dtype))

    return base.term(term)
