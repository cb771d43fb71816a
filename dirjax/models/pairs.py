"""Pairs: combines two vectors into one feature vector, for the similarity of two texts.

The map of a pair (u, v) to (u, v, |u - v|, u * v) is that of the STS-B-DIR benchmark:
Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021,
https://arxiv.org/abs/2102.09554, after "GLUE", Wang et al., ICLR 2019,
https://arxiv.org/abs/1804.07461.

**Deviations**: in the benchmark one linear layer follows; `PairMLP`, for frozen
embeddings, adds an MLP in between. Each part of the map is optional; without the first
two the result does not depend on the order of the pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dirjax.models import mlp

PARTS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "first": lambda u, v: u,
    "second": lambda u, v: v,
    "difference": lambda u, v: jnp.abs(u - v),
    "product": lambda u, v: u * v,
}


def pair_features(
    first: jax.Array, second: jax.Array, parts: Sequence[str] = tuple(PARTS)
) -> jax.Array:
    """Concatenates features of a pair of vectors.

    Args:
      first: u, `[batch, dim]` float.
      second: v, same shape.
      parts: some of "first" (u), "second" (v), "difference" (|u - v|) and "product" (u
        * v).

    Returns:
      `[batch, len(parts) * dim]`.

    Raises:
      ValueError: if the shapes differ, or there is no part, or an unknown one.

    Example:
      >>> u, v = jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 0.0]])
      >>> pair_features(u, v).tolist()
      [[1.0, 2.0, 3.0, 0.0, 2.0, 2.0, 3.0, 0.0]]
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(
            "both vectors of a pair must have the same shape [batch, dim], got "
            f"{first.shape} and {second.shape}."
        )
    if not parts or set(parts) - set(PARTS):
        raise ValueError(
            f"model.encoder.parts must name some of {', '.join(PARTS)}, got {parts!r}."
        )
    return jnp.concatenate([PARTS[part](first, second) for part in parts], axis=1)


class PairMLP(nn.Module):
    """Encodes pairs of embeddings into features `[batch, width]`, float32.

    Parameters: those of `mlp.MLP`, below `mlp`.

    Attributes:
      parts: see `pair_features`.
      width: see `mlp.MLP`.
      depth: see `mlp.MLP`.
      dropout: see `mlp.MLP`.
      dtype: see `mlp.MLP`.
    """

    parts: tuple[str, ...] = tuple(PARTS)
    width: int = 256
    depth: int = 2
    dropout: float = 0.5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        """Maps pairs to features.

        Args:
          inputs: `[batch, 2, dim]` float32, standardised.
          train: whether dropout is on; it then needs the stream "dropout".

        Returns:
          `[batch, width]` float32.

        Raises:
          ValueError: if the inputs are not pairs, or a field is invalid.
        """
        if inputs.ndim != 3 or inputs.shape[1] != 2:
            raise ValueError(
                f"pairs must have shape [batch, 2, dim], got {inputs.shape}. Stack the "
                "two embeddings of each row."
            )
        x = pair_features(inputs[:, 0], inputs[:, 1], self.parts)
        encoder = mlp.MLP(
            numeric=x.shape[1],
            width=self.width,
            depth=self.depth,
            embedding="none",
            dropout=self.dropout,
            dtype=self.dtype,
            name="mlp",
        )
        return encoder({"numeric": x}, train=train)
