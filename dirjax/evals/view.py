"""The view of the model that objectives get."""

from __future__ import annotations

from typing import Any

import jax

from dirjax.models import Network
from dirjax.objectives.base import View


def make_view(
    network: Network,
    params: Any,
    model_state: Any,
    inputs: Any,
    key: jax.Array,
    *,
    train: bool,
    precise: bool = False,
) -> tuple[View, Any]:
    """The model at `params` for one batch, and its updated running statistics."""

    def at(frozen):
        return jax.lax.stop_gradient(params) if frozen else params

    def run(inputs, mode=None, frozen=False):
        mode = train if mode is None else mode
        return network.encode(
            at(frozen), model_state, inputs, train=mode, key=key, precise=precise
        )

    def encode(inputs, *, train=None, frozen=False):
        return run(inputs, train, frozen)[0]

    def head(features, *, frozen=False):
        return network.head(at(frozen), features)

    features, new_state = run(inputs)
    view = View(features, head(features), encode, head, network.domain)
    return view, new_state
