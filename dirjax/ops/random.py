"""Random streams by name."""

from __future__ import annotations

import zlib

import jax


def stream_key(key: jax.Array, name: str) -> jax.Array:
    """The key of a named random stream: a new stream changes no other."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
