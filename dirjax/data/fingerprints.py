"""Hashes of inputs: of each row, to find duplicates, and of all, to find changes."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from dirjax.data.formats.pictures import Pictures


def fingerprints(inputs: Any) -> np.ndarray:
    """A hash of each row of inputs; equal rows have equal hashes.

    Args:
      inputs: `[rows, ...]` array, a dict of such arrays, or `Pictures`.

    Returns:
      `[rows]` uint64; a pair of unequal rows collides with probability 2^-64.

    Example:
      >>> a, b, c = fingerprints(np.array([[1.0, 0.0], [1.0, -0.0], [0.0, 1.0]]))
      >>> bool(a == b), bool(a == c)
      (True, False)
    """
    if isinstance(inputs, Pictures):
        pieces = (inputs[i : i + 256] for i in range(0, len(inputs), 256))
        return np.concatenate([fingerprints(piece) for piece in pieces])
    arrays = list(inputs.values()) if isinstance(inputs, dict) else [inputs]
    rows = len(arrays[0])
    flat = []
    for array in arrays:
        if array.dtype.kind == "f":
            array = array + array.dtype.type(0)  # -0.0 becomes 0.0
        array = np.ascontiguousarray(array.reshape(rows, -1))
        if array.size:
            flat.append(array.view(np.uint8))
    data = flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
    digests = (hashlib.blake2b(row, digest_size=8).digest() for row in data)
    return np.frombuffer(b"".join(digests), np.uint64)


def of_file(content: bytes) -> int:
    """A hash of an encoded file, 64 bits.

    Example:
      >>> of_file(b"one") == of_file(b"two")
      False
    """
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def content(*arrays: np.ndarray) -> str:
    """A hash of whole arrays, with their shapes and types.

    Example:
      >>> content(np.array([1.0, 2.0])) == content(np.array([1.0, 3.0]))
      False
    """
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
