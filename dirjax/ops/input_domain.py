"""Input domains: which coordinates of a model's inputs may move, and how far.

Methods that perturb inputs access every kind of input through this module: images move
in all pixels within the valid range, tables in their numeric columns, embeddings
anywhere, and sentences in their word vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

# Coordinates, and a function that puts them back into the inputs.
Parts = tuple[jax.Array, Callable[[jax.Array], Any]]


def coordinates(inputs: Any, columns: int | None = None) -> Parts:
    """The movable part of prepared inputs.

    Args:
      inputs: an array `[batch, ...]`, or a table with an entry `numeric`
        `[batch, n]`, or sentences with an entry `words` `[batch, 2, words, dim]`.
      columns: for a table, the number of leading numeric columns. Default: all.

    Returns:
      The coordinates `[batch, ...]`, and `coordinates -> inputs`.

    Raises:
      ValueError: if there is nothing to move.

    Example:
      >>> x, join = coordinates({"numeric": jnp.ones((2, 3))}, columns=2)
      >>> x.shape, join(0 * x)["numeric"].tolist()[0]
      ((2, 2), [0.0, 0.0, 1.0])
    """
    table = isinstance(inputs, Mapping)
    if table and "words" in inputs:
        return inputs["words"], lambda moved: {**inputs, "words": moved}
    array = inputs.get("numeric") if table else inputs
    if array is None or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            "inputs must have movable coordinates, a float array or numeric columns, "
            "got none. Methods that move inputs do not apply to tables of categories "
            "only."
        )
    if not table:
        return array, lambda moved: moved
    count = array.shape[1] if columns is None else columns
    if not count:
        raise ValueError(
            "moving a table's inputs needs a numeric column, this table has none. Use "
            "a method that does not move inputs."
        )

    def join(moved):
        numeric = jnp.concatenate([moved, array[:, count:]], axis=1)
        return {**inputs, "numeric": numeric}

    return array[:, :count], join


def real(inputs: Any) -> Any:
    """Which coordinates are real, not padding.

    Args:
      inputs: prepared.

    Returns:
      1, or for sentences `[batch, 2, words, 1]` bool, False after the last word.

    Example:
      >>> some = {"words": jnp.zeros((1, 2, 3, 4)), "length": jnp.array([[2, 0]])}
      >>> real(some)[0, :, :, 0].tolist()
      [[True, True, False], [False, False, False]]
    """
    if not isinstance(inputs, Mapping) or "words" not in inputs:
        return 1
    place = jnp.arange(inputs["words"].shape[2])
    return (place[None, None] < inputs["length"][..., None])[..., None]


class Domain(NamedTuple):
    """The domain of prepared inputs.

    Attributes:
      low: smallest value of a coordinate, a number or one per channel.
      high: largest value.
      unit: prepared units between pixel values 0 and 1, a number or one per channel;
        None if inputs are not images.
      columns: for a table, how many numeric columns may move; None for all.
      moves: whether anything may move.
    """

    low: Any = -math.inf
    high: Any = math.inf
    unit: Any = None
    columns: int | None = None
    moves: bool = True

    def split(self, inputs: Any) -> Parts:
        """See `coordinates`.

        Raises:
          ValueError: if nothing may move.
        """
        if not self.moves:
            raise ValueError(
                "a stage that trains the head on features has no inputs to move. Use a "
                "method that does not move inputs."
            )
        return coordinates(inputs, self.columns)


FREE = Domain()
NOTHING = Domain(moves=False)


def of_pixels(mean: Any, std: Any) -> Domain:
    """The domain of images prepared as `(pixel - mean) / std`, pixels in 0..1.

    Args:
      mean: a number, or a sequence with one for each channel.
      std: a number, or a sequence with one for each channel.

    Example:
      >>> of_pixels(0.5, 0.5)[:3]
      (-1.0, 1.0, 2.0)
    """
    if not isinstance(mean, (list, tuple)):
        return Domain((0 - mean) / std, (1 - mean) / std, 1 / std)
    pairs = list(zip(mean, std, strict=True))
    low, high = (tuple((end - m) / s for m, s in pairs) for end in (0, 1))
    return Domain(low, high, tuple(1 / s for _, s in pairs))


def of_table(columns: int | None, limit: float = 0.0) -> Domain:
    """The domain of tables whose first `columns` numeric columns are measurements.

    Args:
      columns: number of measurements; indicators of missing values follow them. None
        for all, and for embeddings, which are one array.
      limit: bound of the smooth clip of the preprocessing, 0 for none.
    """
    return Domain(-limit or -math.inf, limit or math.inf, None, columns)
