"""Mixup: training rows are blends of two rows, in inputs and in labels.

    x = s x_i + (1 - s) x_j,  y = s y_i + (1 - s) y_j,  s ~ Beta(alpha, alpha)

Row j, the partner of row i, is any training row; in `c_mixup` it is near in label.

"mixup: Beyond Empirical Risk Minimization", Zhang et al., ICLR 2018.
https://arxiv.org/abs/1710.09412

It is a wrapper that changes the batch before the model sees it, so batch norm, further
passes and all terms see blends alone. A blend belongs to the bin of its own label.

**Deviations** and readings:

- The share `s` is drawn for each row (`share="row"`); the public code of C-Mixup draws
  one for the batch of a table (`"batch"`) and one for each row of images.
- Categories of a table cannot be blended: each code is that of row i with probability
  `s`, otherwise that of row j. So in expectation its embedding is the blend of both.
  Numeric columns are blended, with the indicators of missing values among them.
- Sentences are not blended, since their words do not correspond.
- Inputs are blended as prepared (standardised), labels on the scale that is learnt, and
  so are weights of rows. A pixel needs both labels.
- Blending features in place of inputs ("manifold") is left out: before a linear head
  it would only average the errors of two rows.
- Partners come from the whole training set, not from the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base
from dirjax.ops.random import stream_key

# Rows come in pairs.
FEWEST_ROWS = 2
SHARES = ("row", "batch")


def blend(first: jax.Array, second: jax.Array, share: jax.Array) -> jax.Array:
    """`share * first + (1 - share) * second`, by row.

    Args:
      first: `[rows, ...]`.
      second: same shape.
      share: `[rows]`, from 0 to 1.

    Example:
      >>> blend(jnp.array([4.0]), jnp.array([8.0]), jnp.array([0.75])).tolist()
      [5.0]
    """
    share = share.reshape(-1, *(1,) * (first.ndim - 1))
    return share * first + (1 - share) * second


def _of_inputs(inputs: Any, share: jax.Array, key: jax.Array) -> Any:
    """Blends of adjacent rows of prepared inputs."""
    if isinstance(inputs, Mapping) and "words" in inputs:
        raise ValueError(
            "mixup blends numbers, images and tables; the words of two sentences do "
            "not correspond. Use a method without it, or embeddings of sentences."
        )

    def leaf(path: Any, x: jax.Array) -> jax.Array:
        if jnp.issubdtype(x.dtype, jnp.floating):
            return blend(x[0::2], x[1::2], share)
        own = stream_key(key, jax.tree_util.keystr(path))
        rows, size = len(share), math.prod(x.shape[1:])
        # Row by row, so that padding changes nothing.
        keys = jax.vmap(jax.random.fold_in, (None, 0))(own, jnp.arange(rows))
        draws = jax.vmap(lambda k: jax.random.uniform(k, (size,)))(keys)
        first = (draws < share[:, None]).reshape(-1, *x.shape[1:])
        return jnp.where(first, x[0::2], x[1::2])

    return jax.tree_util.tree_map_with_path(leaf, inputs)


def mixed(
    batch: base.Batch,
    edges: jax.Array,
    key: jax.Array,
    *,
    alpha: float,
    share: str = "row",
) -> dict[str, Any]:
    """A batch of blends from a batch in which each row is before its partner.

    Args:
      batch: `[2 * rows, ...]`, with prepared inputs.
      edges: `[bins + 1]` of the label bins.
      key: random key.
      alpha: of the Beta distribution, above 0.
      share: "row" or "batch", what has a share of its own.

    Returns:
      A batch of `rows` rows; masked unless both rows are real.

    Raises:
      ValueError: for an odd number of rows, or for sentences.
    """
    rows, odd = divmod(len(batch["weight"]), 2)
    if odd:
        raise ValueError(
            "mixup needs rows in pairs, so at least 2 rows, got "
            f"{len(batch['weight'])}. The stream of a run makes them."
        )
    keys = jax.vmap(jax.random.fold_in, (None, 0))(
        stream_key(key, "share"),
        jnp.arange(rows) if share == "row" else jnp.zeros(rows, int),
    )
    s = jax.vmap(lambda k: jax.random.beta(k, alpha, alpha))(keys).astype(jnp.float32)
    label = blend(batch["label"][0::2], batch["label"][1::2], s)
    within = jnp.asarray(edges)[1:-1]
    out = {k: v[0::2] for k, v in batch.items() if k != "inputs"}
    return out | {
        "inputs": _of_inputs(batch["inputs"], s, key),
        "label": label,
        "bin": jnp.searchsorted(within, label, side="right").astype(jnp.int32),
        "weight": blend(batch["weight"][0::2], batch["weight"][1::2], s),
        "mask": batch["mask"][0::2] * batch["mask"][1::2],
    }


def around(
    inner: base.Objective,
    partners: Callable[[Any], float],
    *,
    alpha: float,
    share: str,
    check: Callable[[Any], None] = lambda labels: None,
) -> base.Objective:
    """A wrapper that blends rows with partners of some bandwidth.

    Args:
      inner: the objective that sees blends.
      partners: see `base.Objective`.
      alpha: see `mixed`.
      share: see `mixed`.
      check: raises an error for labels that do not fit.
    """
    checks.positive("alpha", alpha)
    checks.one_of("share", share, SHARES)
    if inner.partners is not None:
        raise ValueError("rows can be mixed once, got two wrappers that mix.")

    def init(spec):
        return {"edges": jnp.asarray(spec.bins.edges, jnp.float32)}

    def loss(own, inside, view, batch, key):
        del own, key
        return inside(view, batch)

    wrapped = base.wrap(inner, init=init, loss=loss)

    def batch(variables, batch, key):
        check(batch["label"])
        blends = mixed(batch, variables.state["edges"], key, alpha=alpha, share=share)
        return wrapped.batch(variables, blends, key)

    return wrapped._replace(batch=batch, partners=partners)


def make(
    inner: base.Objective, *, alpha: float = 2.0, share: str = "row"
) -> base.Objective:
    """Blends each row of a batch with any training row before the model sees it.

    Args:
      inner: the objective that sees blends.
      alpha: of the Beta distribution of shares, above 0; below 1 most blends are near
        one of the two rows.
      share: see `mixed`.

    Returns:
      An objective whose state holds `edges` of the label bins beside that of `inner`,
      and whose batches have two rows for each blend.

    Raises:
      ValueError: for an option out of range, or if `inner` mixes rows already.

    Example:
      >>> from dirjax.objectives import l1
      >>> make(l1.make()).partners(None)
      inf
    """
    return around(inner, lambda spec: math.inf, alpha=alpha, share=share)
