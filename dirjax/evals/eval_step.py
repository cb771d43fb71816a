"""Pure evaluation steps: predictions, sums per bin, feature moments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.features import moments as moments_lib
from dirjax.metrics import depth as depth_metrics
from dirjax.metrics import regression
from dirjax.models import Network
from dirjax.objectives.base import Batch
from dirjax.ops import densities, resize

# From the scale on which a label is learnt to its units, see `labels.Scale.inverse`.
Inverse = Callable[[Any, Any], Any]


class Distributed(NamedTuple):
    """What is kept of a head that predicts a distribution.

    Attributes:
      prediction: `[batch]`, or `[batch, height, width]`, in units of the file.
      log_probs: `[batch, num]`, or `[batch, height, width, num]`: log probability of
        each bin of the run's support.
    """

    prediction: jax.Array
    log_probs: jax.Array


def make_respond(network: Network, inverse: Inverse) -> Callable[[Any, Any, Any], Any]:
    """Makes `(params, model_state, raw inputs) -> outputs of the head`.

    Args:
      network: the model.
      inverse: the way back to the label's units, which only `prediction` takes. That
        of a distribution is decoded in these units: the mean under logarithms of labels
        is the mean of labels. The outputs of its head become `Distributed`.
    """

    def distributed(outputs):
        """A distribution on the network's bins."""
        learnt = np.asarray(network.edges, np.float64)
        edges, how = np.asarray(inverse(learnt, np)), network.decode
        log_probs = outputs.log_probs(learnt)
        # Quantiles go the way of labels; so does everything without a scale.
        exact = how == "median" and not outputs.binned
        if exact or np.array_equal(edges, learnt):
            prediction = inverse(outputs.prediction, jnp)
        else:
            places = jnp.asarray(edges, jnp.float32)
            prediction = densities.decode(log_probs, places, how, jnp)
        return Distributed(prediction, log_probs)

    def respond(params, model_state, inputs):
        inputs = network.prepare(inputs, model_state)
        features, _ = network.encode(params, model_state, inputs, train=False)
        outputs = network.head(params, features)
        if network.edges is not None:
            return distributed(outputs)
        return outputs._replace(prediction=inverse(outputs.prediction, jnp))

    return respond


def make_eval_step(
    network: Network,
    *,
    num_bins: int,
    shift: Any,
    scale: float,
    gm_epsilon: float,
    inverse: Inverse,
    dense: bool = False,
) -> Callable[[Any, Any, Batch], tuple[regression.Sums, Any]]:
    """Makes `(params, model_state, batch) -> (sums per bin, rows)`.

    Rows are all outputs of the head, `[batch, ...]` by name, and those of `Distributed`
    if it predicts a distribution; `prediction` and the sums are in file units, see
    `make_respond`. In dense tasks, which have too many
    predictions to keep, rows are replaced by `depth_metrics.Ratios`; predictions are
    upsampled bilinearly to larger labels, with corner pixels aligned.
    """
    respond = make_respond(network, inverse)

    def step(params, model_state, batch):
        outputs = respond(params, model_state, batch["inputs"])
        prediction = outputs.prediction
        if dense and prediction.shape != batch["value"].shape:
            size = batch["value"].shape[1:]
            prediction = resize.bilinear(prediction, size, aligned=True)
        sums = regression.batch_sums(
            prediction,
            batch["value"],
            bins=batch["bin"],
            mask=batch["mask"],
            num_bins=num_bins,
            shift=shift,
            scale=scale,
            gm_epsilon=gm_epsilon,
        )
        if dense:
            ratios = depth_metrics.batch_ratios(
                prediction,
                batch["value"],
                bins=batch["bin"],
                mask=batch["mask"],
                num_bins=num_bins,
            )
            return sums, ratios
        return sums, outputs._asdict()

    return step


def make_moments_step(
    network: Network, *, num_bins: int
) -> Callable[[moments_lib.Moments, Any, Any, Batch], moments_lib.Moments]:
    """Makes `(moments, params, model_state, batch) -> moments`, which adds a batch.

    Features are computed in evaluation mode. If label maps are larger than feature
    maps, each feature takes the nearest label.
    """

    def step(moments, params, model_state, batch):
        inputs = network.prepare(batch["inputs"], model_state)
        features, _ = network.encode(params, model_state, inputs, train=False)
        bins, mask = batch["bin"], batch["mask"]
        if bins.shape != features.shape[:-1]:
            size = (features.shape[1], features.shape[2])
            bins, mask = (resize.nearest_maps(x, size) for x in (bins, mask))
        new = moments_lib.from_batch(
            features.reshape(-1, features.shape[-1]),
            bins.reshape(-1),
            mask.reshape(-1),
            num_bins=num_bins,
        )
        return moments_lib.merge(moments, new)

    return step
