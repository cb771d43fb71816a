"""One parallel path: global arrays over a mesh of all devices, state replicated."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def make_mesh() -> Mesh:
    """A mesh of all devices of all processes with a single axis "data"."""
    # In order of processes, so that rows of a global array keep their order.
    devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Sharding with the whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Sharding that splits the given axis into equal blocks, one per device."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))


def to_global(mesh: Mesh, batch: Any, *, axis: int = 0) -> Any:
    """Host rows of this process -> global arrays.

    Args:
      mesh: from `make_mesh`.
      batch: tree of numpy arrays, this process's rows along `axis`.
      axis: the batch axis.
    """
    sharding = over_batch(mesh, axis)
    if jax.process_count() == 1:
        return jax.device_put(batch, sharding)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(sharding, x), batch
    )


def to_host(tree: Any) -> Any:
    """Global arrays, sharded or not -> numpy arrays, whole on every process."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    from jax.experimental import multihost_utils

    return jax.tree.map(
        lambda x: (
            np.asarray(x)
            if x.is_fully_replicated
            else multihost_utils.process_allgather(x, tiled=True)
        ),
        tree,
    )


def check_batch(name: str, size: int) -> None:
    """Checks that a global batch divides evenly among the devices.

    Raises:
      ValueError: if it does not.
    """
    devices = jax.device_count()
    if size % devices:
        raise ValueError(
            f"{name} must be a multiple of the {devices} devices, got {size}. Use "
            f"{-(-size // devices) * devices}."
        )


def everywhere(here: bool) -> bool:
    """Whether `here` holds in all processes; all of them must call this."""
    if jax.process_count() == 1:
        return here
    from jax.experimental import multihost_utils

    return bool(np.all(multihost_utils.process_allgather(np.array(here))))
