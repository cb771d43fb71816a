"""BiLSTM: encodes pairs of sentences into one feature vector, for their similarity.

Both sentences pass through the same bidirectional LSTM, max-pooling over words gives a
vector per sentence, and `pairs.pair_features` combines the two. This is the encoder of
STS-B-DIR: Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021,
https://arxiv.org/abs/2102.09554 (YyzHarry/imbalanced-regression, `sts-b-dir`), after
"GLUE", Wang et al., ICLR 2019, https://arxiv.org/abs/1804.07461.

**Deviations**: a gate has one bias, not the sum of two; dropout before the maximum
works the same with different random numbers. A sentence without words has a vector of
zeros.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dirjax.models import pairs


def look_up(codes: jax.Array, table: jax.Array) -> dict[str, jax.Array]:
    """Looks up word vectors by code.

    Args:
      codes: `[batch, 2, words]` int, 0 after the last word of a sentence.
      table: `[codes, dim]` float32; row 0 is zero.

    Returns:
      The inputs of `BiLSTM`: `words` `[batch, 2, words, dim]` and `length` `[batch,
        2]`.

    Example:
      >>> table = jnp.array([[0.0], [1.0], [2.0]])
      >>> found = look_up(jnp.array([[[2, 1], [1, 0]]]), table)
      >>> found["words"][0, :, :, 0].tolist(), found["length"].tolist()
      ([[2.0, 1.0], [1.0, 0.0]], [[2, 1]])
    """
    return {"words": table[codes], "length": jnp.sum(codes != 0, axis=2)}


def masked_max(x: jax.Array, length: jax.Array) -> jax.Array:
    """Maximum of each feature over the words of a sentence.

    Args:
      x: `[sentences, words, dim]` float.
      length: `[sentences]` int, number of real words.

    Returns:
      `[sentences, dim]`, zeros for a sentence without words.

    Example:
      >>> x = jnp.array([[[-1.0], [-2.0], [9.0]], [[5.0], [5.0], [5.0]]])
      >>> masked_max(x, jnp.array([2, 0])).tolist()
      [[-1.0], [0.0]]
    """
    real = (jnp.arange(x.shape[1])[None] < length[:, None])[..., None]
    largest = jnp.max(jnp.where(real, x, -jnp.inf), axis=1)
    return jnp.where((length > 0)[:, None], largest, 0.0)


def _uniform(width: int) -> nn.initializers.Initializer:
    """U(-1/sqrt(width), 1/sqrt(width)) for all weights, as in the public code."""
    bound = 1.0 / math.sqrt(width)

    def draw(key, shape, dtype=jnp.float32, out_sharding=None):
        del out_sharding
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw


class BiLSTM(nn.Module):
    """Pairs of sentences to features `[batch, len(parts) * 2 * width]`, float32.

    Parameters: `forward_<i>` and `backward_<i>`, the cells of layer i.

    Attributes:
      width: width of each direction.
      depth: number of layers, at least 1.
      dropout: rate on word vectors and on the outputs of the last layer.
      parts: see `pairs.pair_features`.
      dtype: dtype of the layers' computation.
    """

    width: int = 1500
    depth: int = 2
    dropout: float = 0.2
    parts: tuple[str, ...] = tuple(pairs.PARTS)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: Mapping[str, jax.Array], *, train: bool) -> jax.Array:
        """Encodes pairs.

        Args:
          inputs: `words` `[batch, 2, words, dim]` float32, and `length` `[batch, 2]`
            int; see `look_up`.
          train: whether dropout is on; it then needs the stream "dropout".

        Returns:
          `[batch, len(parts) * 2 * width]` float32.

        Raises:
          ValueError: if the inputs are not pairs of sentences, or a field is invalid.
        """
        shape = jnp.shape(inputs["words"]) if "words" in inputs else ()
        if len(shape) != 4 or shape[1] != 2:
            raise ValueError(
                "pairs of sentences must have words [batch, 2, words, dim], got shape "
                f"{shape}. Look their codes up in a table of vectors."
            )
        if self.depth < 1:
            raise ValueError(
                f"model.encoder.depth must be at least 1, got {self.depth}."
            )
        drop = nn.Dropout(self.dropout, deterministic=not train)
        # Both sentences at once, stacked along the batch.
        x = drop(inputs["words"].reshape(-1, *shape[2:])).astype(self.dtype)
        length = inputs["length"].reshape(-1)
        for layer in range(self.depth):
            both: list[Any] = [
                self._direction(f"{name}_{layer}", back)(x, seq_lengths=length)
                for name, back in (("forward", False), ("backward", True))
            ]
            x = jnp.concatenate(both, axis=2)
        vectors = masked_max(drop(x.astype(jnp.float32)), length)
        u, v = vectors.reshape(-1, 2, 2 * self.width).swapaxes(0, 1)
        return pairs.pair_features(u, v, self.parts)

    def _direction(self, name: str, back: bool) -> nn.RNN:
        """One direction of a layer; outputs are in word order."""
        start = _uniform(self.width)
        cell = nn.OptimizedLSTMCell(
            self.width,
            kernel_init=start,
            recurrent_kernel_init=start,
            bias_init=start,
            dtype=self.dtype,
            name=name,
        )
        return nn.RNN(cell, reverse=back, keep_order=back)
