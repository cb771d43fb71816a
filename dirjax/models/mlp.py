"""MLP: encodes tables of numeric columns and categories into one feature vector.

Each numeric column enters directly and through a periodic or piecewise-linear
embedding; each category through a small embedding table; a plain SiLU network follows.

"On Embeddings for Numerical Features in Tabular Deep Learning", Gorishniy, Rubachev,
Babenko, NeurIPS 2022. https://arxiv.org/abs/2203.05556
"Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data",
Holzmueller, Grinsztajn, Steinwart, NeurIPS 2024. https://arxiv.org/abs/2407.04491

**Deviations.** The periodic form is `cos(2 pi f x + p)` with trained phases, as in the
second paper, and enters the first dense layer without a separate layer for each column.
Pieces are clipped on both sides; the raw column covers values beyond. A category not
seen in training becomes the mean of the known ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dirjax import checks

EMBEDDINGS = ("periodic", "piecewise", "none")


def periodic(x: jax.Array, frequencies: jax.Array, phases: jax.Array) -> jax.Array:
    """Waves of each column: `cos(2 pi f x + p)`.

    Args:
      x: `[batch, columns]` float, standardised.
      frequencies: `[columns, waves]`, periods per unit of `x`.
      phases: `[columns, waves]`, radians.

    Returns:
      `[batch, columns * waves]`, in [-1, 1].

    Example:
      >>> x, f = jnp.array([[0.0], [0.25]]), jnp.array([[1.0, 2.0]])
      >>> periodic(x, f, jnp.zeros((1, 2))).round(3).tolist()
      [[1.0, 1.0], [-0.0, -1.0]]
    """
    angles = 2 * math.pi * x[:, :, None] * frequencies[None] + phases[None]
    return jnp.cos(angles).reshape(x.shape[0], frequencies.size)


def piecewise(x: jax.Array, edges: Sequence[Sequence[float]]) -> jax.Array:
    """Piecewise-linear encoding: position of each column within each piece, in [0, 1].

    Args:
      x: `[batch, columns]` float.
      edges: knots of each column, ascending and distinct. A column with fewer than two
        knots has no piece.

    Returns:
      `[batch, pieces]`: columns in order, and within each its pieces in order.

    Raises:
      ValueError: if there is not one list of knots for each column, or if knots do
        not ascend.

    Example:
      >>> piecewise(jnp.array([[1.5], [9.0]]), [(0.0, 1.0, 3.0)]).tolist()
      [[1.0, 0.25], [1.0, 1.0]]
    """
    if len(edges) != x.shape[1]:
        raise ValueError(
            f"edges must hold one list of knots for each of {x.shape[1]} numeric "
            f"columns, got {len(edges)}. Set data.quantiles to fit them."
        )
    widths = [np.diff(np.asarray(knots, np.float32)) for knots in edges]
    for column, width in enumerate(widths):
        if (width <= 0).any():
            raise ValueError(
                f"edges of numeric column {column} must ascend, got "
                f"{tuple(edges[column])}. Sort them and drop repeated ones."
            )
    pieces = [
        (x[:, [j]] - np.asarray(edges[j], np.float32)[None, :-1]) / width[None]
        for j, width in enumerate(widths)
        if len(width)
    ]
    if not pieces:
        return jnp.zeros((x.shape[0], 0), x.dtype)
    return jnp.clip(jnp.concatenate(pieces, axis=1), 0.0, 1.0)


def category(codes: jax.Array, table: jax.Array) -> jax.Array:
    """Looks up rows of a table; code 0 or beyond the table gives the mean row.

    Args:
      codes: `[batch]` int; code `i + 1` is row `i`, 0 is unknown.
      table: `[known, dim]`.

    Returns:
      `[batch, dim]`.

    Example:
      >>> table = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> category(jnp.array([1, 2, 0]), table).tolist()
      [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]
    """
    known = (codes > 0) & (codes <= len(table))
    rows = table[jnp.where(known, codes - 1, 0)]
    # Unknown codes use the mean, without a gradient to the table.
    mean = jax.lax.stop_gradient(table.mean(axis=0))
    return jnp.where(known[:, None], rows, mean[None])


# More numeric columns than these are not embedded by default.
MOST_EMBEDDED = 256
# By default, the first layer has at most this many weights, or this many for each row.
WEIGHTS, WEIGHTS_OF_ROW = 1_200_000, 100
_WIDTHS = (256, 128, 64, 32, 16)


def make(
    *,
    numeric: int,
    cardinalities: tuple[int, ...] = (),
    rows: int = 0,
    width: int | None = None,
    embedding: str = "auto",
    embedding_dim: int = 16,
    category_dim: int = 16,
    **others: Any,
) -> MLP:
    """An MLP whose size follows rows and columns where it is not given.

    Args:
      numeric: see `MLP`.
      cardinalities: see `MLP`.
      rows: number of training rows; 0 if unknown.
      width: see `MLP`; None for 256, or the largest power of two from 16 on with which
        the first layer has at most 1.2 million weights or 100 for each row.
      embedding: see `MLP`; "auto" for "periodic" up to 256 numeric columns, and "none"
        for more.
      embedding_dim: see `MLP`.
      category_dim: see `MLP`.
      **others: further attributes of `MLP`.

    Example:
      >>> made = make(numeric=20_000, rows=300)
      >>> made.width, made.embedding
      (32, 'none')
    """
    if embedding == "auto":
        embedding = "periodic" if numeric <= MOST_EMBEDDED else "none"
    if width is None:
        waves = embedding_dim if embedding == "periodic" else 0
        codes = sum(min(category_dim, max(1, c - 1)) for c in cardinalities)
        inputs = numeric * (1 + waves) + codes
        most = max(WEIGHTS, WEIGHTS_OF_ROW * rows) / max(inputs, 1)
        width = next((w for w in _WIDTHS if w <= most), _WIDTHS[-1])
    return MLP(
        numeric=numeric,
        cardinalities=cardinalities,
        width=width,
        embedding=embedding,
        embedding_dim=embedding_dim,
        category_dim=category_dim,
        **others,
    )


class MLP(nn.Module):
    """Tables to features `[batch, width]`, float32.

    Parameters: `frequencies` and `phases` `[numeric, embedding_dim]`, `category_<i>`
    `[cardinality - 1, min(category_dim, cardinality - 1)]`, and the dense layers
    `hidden_<i>` with `kernel` and `bias`.

    Attributes:
      numeric: number of numeric columns.
      cardinalities: number of codes of each categorical column, code 0 included.
      width: width of each hidden layer and of the features.
      depth: number of hidden layers, at least 1.
      embedding: embedding of numeric columns: "periodic", "piecewise" (needs `edges`),
        "none".
      embedding_dim: waves of each column, for "periodic".
      frequency_scale: standard deviation of initial frequencies, in periods per unit of
        a standardised column. Larger values fit rougher functions.
      category_dim: largest embedding width of a category.
      dropout: rate after each hidden layer, in training.
      edges: for "piecewise", the knots of each numeric column.
      dtype: dtype of the layers' computation; embeddings and features are float32.
    """

    numeric: int
    cardinalities: tuple[int, ...] = ()
    width: int = 256
    depth: int = 3
    embedding: str = "periodic"
    embedding_dim: int = 16
    frequency_scale: float = 0.3
    category_dim: int = 16
    dropout: float = 0.1
    edges: tuple[tuple[float, ...], ...] | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: Mapping[str, jax.Array], *, train: bool) -> jax.Array:
        """Maps a table's rows to features.

        Args:
          inputs: `numeric` `[batch, numeric]` float32, standardised, and `categorical`
            `[batch, len(cardinalities)]` int32, code 0 for unknown. Tables without
            columns of a kind may omit the entry.
          train: whether dropout is on; it then needs the stream "dropout".

        Returns:
          `[batch, width]` float32.

        Raises:
          ValueError: if the columns do not fit the fields, or a field is invalid.
        """
        self._check(inputs)
        parts = []
        if self.numeric:
            parts += self._numbers(inputs["numeric"].astype(jnp.float32))
        for i, cardinality in enumerate(self.cardinalities):
            known = max(1, cardinality - 1)
            table = self.param(
                f"category_{i}",
                nn.initializers.normal(0.5),
                (known, min(self.category_dim, known)),
            )
            parts.append(category(inputs["categorical"][:, i], table))
        x = jnp.concatenate(parts, axis=1).astype(self.dtype)
        for i in range(self.depth):
            x = nn.Dense(self.width, dtype=self.dtype, name=f"hidden_{i}")(x)
            x = nn.Dropout(self.dropout, deterministic=not train)(nn.silu(x))
        return x.astype(jnp.float32)

    def _numbers(self, x: jax.Array) -> list[jax.Array]:
        """The columns and their embedding."""
        if self.embedding == "piecewise":
            return [x, piecewise(x, self.edges or ())]
        if self.embedding == "none":
            return [x]
        shape = (self.numeric, self.embedding_dim)
        start = nn.initializers.normal(self.frequency_scale)
        frequencies = self.param("frequencies", start, shape)
        circle = nn.initializers.uniform(2 * math.pi)
        return [x, periodic(x, frequencies, self.param("phases", circle, shape))]

    def _check(self, inputs: Mapping[str, jax.Array]) -> None:
        """Checks fields, and columns against them."""
        checks.one_of("model.encoder.embedding", self.embedding, EMBEDDINGS)
        if self.depth < 1:
            raise ValueError(
                f"model.encoder.depth must be at least 1, got {self.depth}. Features "
                "are the output of the last hidden layer."
            )
        if not self.numeric and not self.cardinalities:
            raise ValueError(
                "a table model needs at least one column, got no numeric and no "
                "categorical ones. Name them in data.numeric or data.categorical."
            )
        for name, columns in (
            ("numeric", self.numeric),
            ("categorical", len(self.cardinalities)),
        ):
            shape = jnp.shape(inputs[name]) if name in inputs else None
            if columns and (shape is None or len(shape) != 2 or shape[1] != columns):
                came = "no such entry" if shape is None else f"shape {shape}"
                raise ValueError(
                    f"inputs[{name!r}] must have shape [batch, {columns}], got {came}. "
                    "Transform the rows with the preprocessing of this model."
                )
