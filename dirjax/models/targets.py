"""Models of several targets: one encoder, and a head for each target.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from dirjax.models import Network
from dirjax.ops.random import stream_key


def key(number: int) -> str:
    """The entry of a target in the parameters of heads, and of objectives."""
    return f"target_{number}"


def together(networks: Sequence[Network]) -> Network:
    """One network for all targets, from those of each alone.

    Args:
      networks: with the same encoder, each with the head of its target.

    Returns:
      A network whose parameters "head" have an entry for each target (`key`), and whose
      `head` returns a dict of outputs with the same entries.
    """
    first = networks[0]

    def init(rng: jax.Array, inputs: Any) -> tuple[Any, Any]:
        params, state = first.init(rng, inputs)
        heads = {key(0): params["head"]}
        for number, network in enumerate(networks[1:], 1):
            own, _ = network.init(stream_key(rng, key(number)), inputs)
            heads[key(number)] = own["head"]
        return {**params, "head": heads}, state

    each = [alone(network, number) for number, network in enumerate(networks)]

    def head(params: Any, features: jax.Array) -> dict[str, Any]:
        return {key(n): one.head(params, features) for n, one in enumerate(each)}

    return first._replace(init=init, head=head)


def alone(network: Network, number: int) -> Network:
    """The network of one target, on the parameters of all of them.

    Args:
      network: with the head of the target.
      number: of the target.
    """

    def head(params: Any, features: jax.Array) -> Any:
        return network.head({**params, "head": params["head"][key(number)]}, features)

    return network._replace(head=head)
