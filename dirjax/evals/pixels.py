"""Dense tasks under other label distributions: every pixel is corrected like a row.

Distributions of all pixels do not fit into memory, so predictions are corrected on the
device, in a further pass, and only sums of errors are kept. The law of residuals around
the predictions of a model of single values is fitted on a sample of validation pixels,
which the run keeps; there the corrected value is a function of the prediction alone,
which is tabulated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.evals.frontier import Chosen, Rows
from dirjax.ops import densities

# Pixels that the law of residuals is fitted on.
SAMPLE = 20_000
# Places of the table of corrected values.
_PLACES = 4096


def make_corrected(variants: Sequence[Chosen]) -> Callable[[Any], jax.Array]:
    """Makes `outputs -> predictions [variants, batch, height, width]`.

    Args:
      variants: ways to correct one model, at least one.

    Returns:
      A function of the outputs of `eval_step.make_respond`; where a variant changes
      nothing, the model's own predictions.
    """
    changes = np.array([v.changes for v in variants]).reshape(-1, 1, 1, 1)
    distributed = variants[0].model.residuals is None
    corrected = (_of_distributions if distributed else _of_values)(variants)

    def respond(outputs):
        return jnp.where(changes, corrected(outputs), outputs.prediction[None])

    return respond


def _of_distributions(variants: Sequence[Chosen]) -> Callable[[Any], jax.Array]:
    prior = variants[0].model.prior
    edges = jnp.asarray(prior.edges, jnp.float32)
    ratios = np.stack([v.tau * prior.log_ratio(v.target) for v in variants])
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


def _of_values(variants: Sequence[Chosen]) -> Callable[[Any], jax.Array]:
    low, high = variants[0].model.prior.edges[[0, -1]]
    places = np.linspace(low, high, _PLACES)
    rows = Rows(places, places, np.zeros(_PLACES, int))
    tables = np.stack([v.predict(rows) for v in variants])
    grid, tables = jnp.asarray(places, jnp.float32), jnp.asarray(tables, jnp.float32)
    return lambda outputs: jax.vmap(
        lambda table: jnp.interp(outputs.prediction, grid, table)
    )(tables)


def sample(
    prediction: np.ndarray, value: np.ndarray, mask: np.ndarray, number: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Some pixels of maps.

    Args:
      prediction: maps `[batch, height, width]`.
      value: labels, likewise.
      mask: likewise, above 0 for pixels that count.
      number: how many to take, if there are as many.
      seed: of the draw.

    Returns:
      Predictions and labels, `[number]` each.
    """
    found = prediction[mask > 0], value[mask > 0]
    size = len(found[0])
    if size <= number:
        return found
    chosen = np.random.default_rng(seed).choice(size, number, replace=False)
    return found[0][chosen], found[1][chosen]
