"""Pixels of label maps as rows, for terms that compare rows with one another.

Such terms cost the square of the number of rows, and a batch of depth maps has a
hundred thousand pixels. Each step draws some, evenly from all real pixels of the global
batch and without replacement: their features, predictions, labels and weights are the
rows that the term sees. Other terms beside it see all pixels.

**Deviations**: the sources of those terms have one label per row. What they would do
with maps is dirjax's own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base
from dirjax.ops.random import stream_key


def draw(key: jax.Array, mask: jax.Array, num: int) -> jax.Array:
    """Numbers of pixels, drawn evenly and without replacement.

    Images that fill up the batch change nothing: random numbers of JAX depend on their
    place alone (`jax_threefry_partitionable`, the default).

    Args:
      key: random key.
      mask: `[batch, height, width]`, above 0 for real pixels.
      num: how many, at least 1.

    Returns:
      `[min(num, pixels)]` int32, positions in the flattened maps. Only where fewer are
      real, pixels that are not fill it up.

    Example:
      >>> mask = jnp.array([[[0.0, 1.0], [1.0, 0.0]]])
      >>> sorted(draw(jax.random.key(0), mask, 2).tolist())
      [1, 2]
    """
    order = jax.random.uniform(key, mask.shape)
    order = jnp.where(mask > 0, order, -1.0).reshape(-1)
    return jax.lax.top_k(order, min(num, order.size))[1]


def of_maps(inner: base.Objective, num: int) -> base.Objective:
    """An objective that sees some pixels of label maps as its rows.

    Labels that are one per row pass unchanged.

    Args:
      inner: the objective; it must not run the encoder or the head itself.
      num: pixels of a global batch, at least 1.

    Raises:
      ValueError: for a number out of range; in a step, if features are not of the size
        of the label maps.
    """
    checks.whole("pixels", num, least=1)

    def loss(variables, view, batch, key):
        size = jnp.shape(batch["label"])
        if len(size) == 1:
            return inner.loss(variables, view, batch, key)
        if view.features.shape[:-1] != size:
            raise ValueError(
                "drawing pixels needs features of the size of the label maps, got "
                f"features {view.features.shape} for labels {size}."
            )
        at = draw(stream_key(key, "pixels"), batch["mask"], num)

        def rows(x: Any) -> Any:
            """The drawn pixels of maps; other arrays, such as edges, as they are."""
            shape = jnp.shape(x)
            if shape[: len(size)] != size:
                return x
            return x.reshape(-1, *shape[len(size) :])[at]

        def refuse(*args, **kwargs):
            raise ValueError(
                "a term on drawn pixels must not run the encoder or the head itself."
            )

        seen = dataclasses.replace(
            view,
            features=rows(view.features),
            outputs=jax.tree.map(rows, view.outputs),
            encode=refuse,
            head=refuse,
        )
        drawn = {name: rows(x) for name, x in batch.items() if name != "inputs"}
        return inner.loss(variables, seen, drawn, key)

    return inner._replace(loss=loss)
