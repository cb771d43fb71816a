"""RankSim: neighbours in label space should be neighbours in feature space.

For each row, the other rows are ranked by label distance and by cosine similarity of
features, and the two rankings should agree:

    L = sum_i (1/m) sum_j (rk(S_i)_j - rk(-|y_i - y|)_j)^2,  S = cosines of all rows

where `rk` gives 1/m to the largest entry and 1 to the smallest. Of each label in the
batch one row takes part, drawn at random.

A rank is piecewise constant, so its gradient is that of a linear interpolation
(blackbox differentiation, Vlastelica et al., ICLR 2020): for an incoming gradient h,

    dL/ds = -(rk(s) - rk(s + lambda h)) / lambda

The weight of the term, published as gamma, is part of h. It decides how far ranks may
move, not how long the gradient is: gamma 100 instead of 1 made it two to five times as
long in a small example, and gamma 1e-6 made it 0.

"RankSim: Ranking Similarity Regularization for Deep Imbalanced Regression", Gong et
al., ICML 2022. https://arxiv.org/abs/2205.15236 A patent application covers training of
this kind, US 2023/0214651: https://patents.justia.com/patent/20230214651

**Deviations**:

- Equal entries: as in the public code on a CPU, whose sort is stable there, the later
  row gets the better rank. On a GPU its order of equal entries is not determined.
- The row of each label is drawn by the key of the step; there by Python's generator.
- Ranks of features are those of similarities in the precision of the features. In the
  public code they are float32 in any case, which shows in the last digits.
- Rows shorter than 1e-12 have cosine 0 with all rows and get no gradient.
- Batch weights do not enter.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base
from dirjax.ops import sorting
from dirjax.ops.numerics import gram, unit

# Below all similarities, and below them after any step of the interpolation.
_LAST = -3e38


def _ranks(values: jax.Array, there: jax.Array) -> jax.Array:
    """Ranks of `[..., n]` values where `there` is, from 1/m; beyond 1 elsewhere."""
    there = jnp.broadcast_to(there, values.shape)
    order = sorting.ascending(jnp.where(there, values, _LAST))
    # Counted from the last, so that of equal values the last is first.
    rank = values.shape[-1] - sorting.places(order)
    some = jnp.sum(there, axis=-1, keepdims=True)
    return rank.astype(values.dtype) / jnp.maximum(some, 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def normalised_ranks(
    values: jax.Array, there: jax.Array, interpolation: float
) -> jax.Array:
    """Descending ranks over the last axis, with the gradient of an interpolation.

    Args:
      values: `[..., n]` float.
      there: `[n]` bool, which entries are ranked.
      interpolation: lambda, above 0: how far back the gradient looks.

    Returns:
      `[..., n]`, 1/m for the largest of the m entries that are there, 1 for the
      smallest; of equal entries the last has the smallest rank. Above 1 for others.

    Example:
      >>> there = jnp.ones(3, bool)
      >>> (3 * normalised_ranks(jnp.array([-1.0, 0.0, -1.0]), there, 2.0)).tolist()
      [3.0, 1.0, 2.0]
    """
    return _ranks(values, there)


def _forward(values, there, interpolation):
    del interpolation
    ranks = _ranks(values, there)
    return ranks, (values, there, ranks)


def _backward(interpolation, kept, slope):
    values, there, ranks = kept
    moved = _ranks(values + interpolation * slope, there)
    # As in the public code, which guards against a division by 0.
    back = -(ranks - moved) / (interpolation + 1e-8)
    return jnp.where(jnp.broadcast_to(there, back.shape), back, 0), None


normalised_ranks.defvjp(_forward, _backward)


def one_per_label(
    labels: jax.Array, *, key: jax.Array, mask: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Draws one row of each label.

    Args:
      labels: `[batch]`.
      key: of the draw.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.

    Returns:
      An order of the rows `[batch]`, by label if labels repeat, else as they are; and
      which of the rows in this order are drawn, `[batch]` bool.

    Example:
      >>> order, drawn = one_per_label(jnp.array([7, 2, 7]), key=jax.random.key(0))
      >>> int(order[0]), drawn.tolist()
      (1, [True, True, False])
    """
    size, labels = len(labels), jnp.asarray(labels)
    real = jnp.ones(size, bool) if mask is None else jnp.asarray(mask) > 0
    draw = jax.random.uniform(key, (size,))
    order = jnp.lexsort((draw, labels, ~real))
    ordered, there = labels[order], real[order]
    first = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    drawn = there & first
    repeats = jnp.any(there & ~first)
    order = jnp.where(repeats, order, jnp.arange(size, dtype=order.dtype))
    return order, jnp.where(repeats, drawn, real)


def ranksim_loss(
    features: jax.Array,
    labels: jax.Array,
    *,
    interpolation: float = 2.0,
    key: jax.Array | None = None,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Disagreement of the rankings by label and by feature, summed over rows.

    Multiply the loss by its weight before it is differentiated, as
    `jax.grad(lambda z: 100 * ranksim_loss(z, y))` does: see the top of the module.

    Args:
      features: `[batch, dim]` float.
      labels: `[batch]` float.
      interpolation: see `normalised_ranks`.
      key: draws one row of each label. Default: all rows take part.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.

    Returns:
      Scalar, a sum over rows of the mean squared difference of ranks in (0, 1].

    Raises:
      ValueError: for an interpolation not above 0, or shapes that do not fit.

    Example:
      >>> z = jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 1.0]])
      >>> float(ranksim_loss(z, jnp.array([10.0, 30.0, 20.0, 50.0])))
      0.1875
    """
    checks.check_shapes(
        features=(features, "b d"),
        labels=(labels, "b"),
        mask=(mask, "b"),
    )
    checks.positive("interpolation", interpolation)
    there = jnp.ones(len(labels), bool) if mask is None else mask > 0
    features = jnp.where(there[:, None], features, 0)
    labels = jnp.where(there, labels, 0)
    if key is not None:
        order, there = one_per_label(labels, key=key, mask=there)
        features = jnp.where(there[:, None], features[order], 0)
        labels = labels[order]
    units = unit(features)
    near = -jnp.abs(labels[:, None] - labels[None]).astype(features.dtype)
    wanted = _ranks(jax.lax.stop_gradient(near), there)
    found: Any = normalised_ranks(gram(units), there, interpolation)
    pairs = there[:, None] & there[None]
    squares = jnp.where(pairs, jnp.square(found - wanted), 0)
    return jnp.sum(squares) / jnp.maximum(jnp.sum(there), 1)


def make(*, interpolation: float = 2.0) -> base.Objective:
    """RankSim as a term beside a loss of the prediction.

    Published weights: 100 for ages, 3e-4 for text similarity, with interpolation 2.

    Args:
      interpolation: see `normalised_ranks`.

    Returns:
      An objective without parameters or state.

    Raises:
      ValueError: for an interpolation not above 0; in a step, for labels of pixels.
    """
    checks.positive("interpolation", interpolation)

    def loss(variables, view, batch, key):
        base.check_one_per_row("ranksim", batch["label"])
        value = ranksim_loss(
            view.features,
            batch["label"],
            interpolation=interpolation,
            key=key,
            mask=batch["mask"],
        )
        return base.Outcome(value, variables.state, {})

    def init(key: jax.Array, spec: Any) -> base.Variables:
        del key, spec
        return base.Variables({}, {})

    return base.Objective(init, loss)
