"""Dense tasks under other label distributions: every pixel is corrected like a row.

Distributions of all pixels do not fit into memory, so predictions are corrected on the
device, in a further pass, and only sums of errors are kept. The law of residuals around
the predictions of a model of single values is fitted on a sample of validation pixels,
which the run keeps; there the corrected value is a function of the prediction alone,
which is tabulated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dirjax import correct
from dirjax.ops import densities

# Pixels that the law of residuals is fitted on.
SAMPLE = 20_000
# Places of the table of corrected values.
_PLACES = 4096


class Variant(NamedTuple):
    """One way to correct.

    Attributes:
      target: the label distribution that is wanted, see `correct.Prior.log_ratio`.
      tau: strength.
      decode: value of the corrected distribution.
    """

    target: Any
    tau: float
    decode: str


def make_corrected(
    model: correct.Correction, variants: Sequence[Variant]
) -> Callable[[Any], jax.Array]:
    """Makes `outputs -> predictions [variants, batch, height, width]`.

    Args:
      model: the correction.
      variants: at least one.

    Returns:
      A function of the outputs of `eval_step.make_respond`; where a variant changes
      nothing, the model's own predictions.
    """
    changes = np.array([model.changes(*variant) for variant in variants])
    changes = changes.reshape(-1, 1, 1, 1)
    of_all = _of_distributions if model.residuals is None else _of_values
    corrected = of_all(model, variants)

    def respond(outputs):
        return jnp.where(changes, corrected(outputs), outputs.prediction[None])

    return respond


def _of_distributions(
    model: correct.Correction, variants: Sequence[Variant]
) -> Callable[[Any], jax.Array]:
    edges = jnp.asarray(model.prior.edges, jnp.float32)
    ratios = np.stack([v.tau * model.prior.log_ratio(v.target) for v in variants])
    decodes = np.array([v.decode for v in variants])
    names = dict.fromkeys(decodes.tolist())
    order = np.concatenate([np.flatnonzero(decodes == how) for how in names])

    def corrected(outputs):
        parts = []
        for how in names:
            # One after another: each has an array of the size of the distributions.
            def one(ratio, how=how):
                after = densities.corrected(outputs.log_probs, ratio, 1.0, jnp)
                return densities.decode(after, edges, how, jnp)

            here = jnp.asarray(ratios[decodes == how], jnp.float32)
            parts.append(jax.lax.map(one, here))
        return jnp.concatenate(parts)[np.argsort(order)]

    return corrected


def _of_values(
    model: correct.Correction, variants: Sequence[Variant]
) -> Callable[[Any], jax.Array]:
    low, high = model.prior.edges[[0, -1]]
    places = np.linspace(low, high, _PLACES)
    tables = np.stack([model.apply(places, **v._asdict()) for v in variants])
    grid, tables = jnp.asarray(places, jnp.float32), jnp.asarray(tables, jnp.float32)
    return lambda outputs: jax.vmap(
        lambda table: jnp.interp(outputs.prediction, grid, table)
    )(tables)


def sample(
    maps: Sequence[tuple[np.ndarray, ...]], number: int = SAMPLE, seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Some pixels of maps.

    Args:
      maps: for each batch arrays of the same shape, the last one a mask, above 0 for
        pixels that count.
      number: how many to take, if there are as many.
      seed: of the draw.

    Returns:
      `[number]` of all arrays but the mask.
    """
    flat = [tuple(x[m > 0] for x in arrays) for *arrays, m in maps]
    found = tuple(np.concatenate(x) for x in zip(*flat, strict=True))
    size = len(found[0])
    if size <= number:
        return found
    chosen = np.random.default_rng(seed).choice(size, number, replace=False)
    return tuple(x[np.sort(chosen)] for x in found)
