"""Objectives under `jax.pmap`.

dirjax trains with `jax.jit` over global arrays, where a loss sees the global batch
anyway. In a program that uses `jax.pmap`, each device sees its rows only: a loss over
pairs would miss pairs, and a mean over real rows would weigh devices instead of rows.
`pmap_loss` gathers what the objective sees. See docs/parallel.md.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from dirjax.objectives import base


def pmap_loss(objective: base.Objective, axis_name: str = "data") -> base.Objective:
    """The objective for the rows of one device, with the value for the global batch.

    Features and batch are gathered over the axis, in the order of devices, and the head
    runs on all rows of them on each device; further passes of the encoder (SSIR) do,
    too. Where an objective makes batches of its own (Mixup), these are made of the
    global batch on each device, which keeps its part of them. Loss, state and metrics
    are then those of `jax.jit` on the global batch, on every device. The gradient is
    that of `jax.jit` after `jax.lax.pmean` over the axis, as usual; where an objective
    takes it elsewhere (BSAM), `gradient` has the mean already. Encoders with batch norm
    need the same `axis_name`, which is a field of theirs.

    Args:
      objective: any objective of dirjax.
      axis_name: axis of `jax.pmap`; keys must be the same on all devices, and every
        device has as many rows.

    Returns:
      An objective whose `loss`, `batch` and `gradient` must run under `jax.pmap`; the
      rest is as it was.

    Example:
      >>> from dirjax import objectives
      >>> spread = pmap_loss(objectives.from_config({"mse": {}}))
      >>> spread.init(jax.random.key(0), None).state
      {'mse': {}}
    """

    def gather(tree: Any) -> Any:
        return jax.tree.map(
            lambda x: jax.lax.all_gather(x, axis_name, tiled=True), tree
        )

    def loss(
        variables: base.Variables, view: base.View, batch: base.Batch, key: jax.Array
    ) -> base.Outcome:
        features = gather(view.features)
        outputs = view.head(features)
        whole = dataclasses.replace(view, features=features, outputs=outputs)
        return objective.loss(variables, whole, gather(dict(batch)), key)

    def gradient(plain: base.Gradient) -> base.Gradient:
        def averaged(params: Any, *rest: Any) -> Any:
            slope, found = plain(params, *rest)
            return jax.lax.pmean(slope, axis_name), found

        return objective.gradient(averaged)

    defaults = base.Objective._field_defaults
    elsewhere = objective.gradient is not defaults["gradient"]
    spread = objective._replace(
        loss=loss, gradient=gradient if elsewhere else objective.gradient
    )
    if objective.batch is defaults["batch"]:
        return spread

    def batch(variables: base.Variables, rows: base.Batch, key: jax.Array) -> Any:
        made = objective.batch(variables, gather(dict(rows)), key)
        devices, own = jax.lax.axis_size(axis_name), jax.lax.axis_index(axis_name)

        def part(x: jax.Array) -> jax.Array:
            size = len(x) // devices
            return jax.lax.dynamic_slice_in_dim(x, own * size, size)

        return jax.tree.map(part, made)

    return spread._replace(batch=batch)
