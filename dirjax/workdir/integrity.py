"""Manifests of checkpoints, to verify them when they are read.

Orbax detects damage to most of its files, but not to the one with the arrays: there a
flipped bit silently changes a number.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.errors import InputError


def make(state: Any, best: Mapping[str, Any] | None) -> dict[str, Any]:
    """The manifest of a state.

    Args:
      state: tree of arrays on the host.
      best: stage, step and value of the best state so far.
    """
    manifest = {"best": best, "arrays": _shapes(state), "checksum": checksum(state)}
    return {**manifest, "self": _own_checksum(manifest)}


def is_whole(manifest: Mapping[str, Any]) -> bool:
    """Whether the manifest is as `make` made it."""
    rest = {name: value for name, value in manifest.items() if name != "self"}
    return manifest.get("self") == _own_checksum(rest)


def check_shapes(step: int, manifest: Mapping[str, Any], like: Any) -> None:
    """Compares the arrays that were saved with those that a run wants.

    Raises:
      InputError: naming what differs.
    """
    saved, wanted = manifest["arrays"], _shapes(like)
    paths = sorted(p for p in {*saved, *wanted} if saved.get(p) != wanted.get(p))
    if paths:
        said = "; ".join(f"{p} {saved.get(p)} -> {wanted.get(p)}" for p in paths[:5])
        raise InputError(
            f"the checkpoint at step {step} has different arrays from this run "
            f"({said}{', ...' if len(paths) > 5 else ''}): another version of the code "
            "wrote it. Use that version, or another --workdir."
        )


def checksum(state: Any) -> int:
    """One number for the bytes of all arrays, which are on the host."""
    total = 0
    for leaf in _arrays(state).values():
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = np.asarray(jax.random.key_data(leaf))
        total = zlib.crc32(np.ravel(leaf).view(np.uint8).data, total)
    return total


def _arrays(tree: Any) -> dict[str, Any]:
    """Path -> array in the order of paths, whatever the containers are."""
    leaves = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    return dict(sorted(leaves.items()))


def _shapes(tree: Any) -> dict[str, str]:
    """`{"params/w": "float32[3]"}` of a tree of arrays."""
    return {path: f"{x.dtype}{list(x.shape)}" for path, x in _arrays(tree).items()}


def _own_checksum(manifest: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(manifest, sort_keys=True).encode())
