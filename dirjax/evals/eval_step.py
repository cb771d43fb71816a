"""Pure evaluation steps: predictions, sums per bin, feature moments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.features import moments as moments_lib
from dirjax.metrics import depth as depth_metrics
from dirjax.metrics import expert_maps, regression
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


class OfMaps(NamedTuple):
    """What is kept of maps, which have too many pixels to keep: sums per bin.

    Attributes:
      ratios: of relative errors.
      experts: of groups and experts; None without groups.
    """

    ratios: depth_metrics.Ratios
    experts: expert_maps.ExpertSums | None = None


class Evaluation(NamedTuple):
    """What is known of the rows of a batch.

    Attributes:
      sums: per bin, of the model.
      rows: what is kept of each row, or other sums where that is too much; see
        `make_eval_step`.
      members: per bin, of each member of the model, `[members, ...]`; None for a single
        network.
    """

    sums: regression.Sums
    rows: Any
    members: regression.Sums | None = None


def make_respond(
    network: Network, inverse: Inverse, members: int = 1
) -> Callable[[Any, Any, Any], Any]:
    """Makes `(params, model_state, raw inputs) -> outputs of the head`.

    Args:
      network: the model.
      inverse: the way back to the label's units, which only `prediction` takes. That
        of a distribution is decoded in these units: the mean under logarithms of labels
        is the mean of labels. The outputs of its head become `Distributed`.
      members: number of networks. With several, parameters and state have a leading
        axis, and the outputs are those of the mean of their distributions, see
        `together`.
    """
    both = make_respond_each(network, inverse, members)
    return lambda params, model_state, inputs: both(params, model_state, inputs)[0]


def make_respond_each(
    network: Network, inverse: Inverse, members: int = 1
) -> Callable[[Any, Any, Any], tuple[Any, jax.Array | None]]:
    """As `make_respond`, with the predictions of each member, `[members, ...]`.

    They are None for a single network.
    """
    # A model of single values has no bins; any would do.
    learnt = np.asarray(network.edges or (0.0, 1.0), np.float64)
    edges, how = np.asarray(inverse(learnt, np)), network.decode

    def distributed(outputs):
        """A distribution on the network's bins."""
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

    if members == 1:
        return lambda params, model_state, inputs: (
            respond(params, model_state, inputs),
            None,
        )

    def respond_together(params, model_state, inputs):
        each = jax.vmap(respond, in_axes=(0, 0, None))(params, model_state, inputs)
        return together(each, edges, how), each.prediction

    return respond_together


def together(outputs: Any, edges: np.ndarray, how: str) -> Any:
    """The outputs of several networks as those of one model.

    Args:
      outputs: `[members, batch, ...]`, from `make_respond`.
      edges: `[num + 1]`, of the bins of `Distributed`, in units of the file.
      how: the value of a distribution that is predicted, see `densities.decode`.

    Returns:
      Outputs `[batch, ...]`. Of `Distributed`, the mean of the distributions, with its
      own mean, median or mode; of single values and the outputs of groups, their mean.
    """
    if not isinstance(outputs, Distributed):
        return jax.tree.map(lambda x: jnp.mean(x, axis=0), outputs)
    number = outputs.prediction.shape[0]
    log_probs = jax.nn.logsumexp(outputs.log_probs, axis=0) - math.log(number)
    if how == "mean":
        return Distributed(jnp.mean(outputs.prediction, axis=0), log_probs)
    places = jnp.asarray(edges, jnp.float32)
    return Distributed(densities.decode(log_probs, places, how, jnp), log_probs)


class Measure(NamedTuple):
    """How errors are summed, see `regression.batch_sums`.

    Attributes:
      num_bins: number of label bins.
      shift: of labels in each bin, or a number.
      scale: of labels and errors.
      gm_epsilon: see `metrics`.
      dense: whether predictions are maps. They are upsampled bilinearly to larger
        labels, with corner pixels aligned.
      of_bin: group of each bin, `[num_bins]`; None without groups.
    """

    num_bins: int
    shift: Any
    scale: float
    gm_epsilon: float
    dense: bool = False
    of_bin: Any = None

    def sized(self, prediction: jax.Array, batch: Batch) -> jax.Array:
        """The prediction, or maps of several channels, in the size of the labels."""
        size = batch["value"].shape[1:]
        if not self.dense or prediction.shape[1:3] == size:
            return prediction
        return resize.bilinear(prediction, size, aligned=True)

    def sums(self, prediction: jax.Array, batch: Batch) -> regression.Sums:
        """Sums of errors per bin."""
        return regression.batch_sums(
            self.sized(prediction, batch),
            batch["value"],
            bins=batch["bin"],
            mask=batch["mask"],
            num_bins=self.num_bins,
            shift=self.shift,
            scale=self.scale,
            gm_epsilon=self.gm_epsilon,
        )

    def of_maps(self, outputs: Any, inverse: Inverse, batch: Batch) -> OfMaps:
        """What is kept of the maps of a batch."""
        ratios = self.ratios(outputs.prediction, batch)
        if self.of_bin is None or not hasattr(outputs, "logits"):
            return OfMaps(ratios)
        experts = expert_maps.batch_sums(
            self.sized(outputs.logits, batch),
            inverse(self.sized(outputs.values, batch), jnp),
            batch["value"],
            of_bin=self.of_bin,
            bins=batch["bin"],
            mask=batch["mask"],
        )
        return OfMaps(ratios, experts)

    def ratios(self, prediction: jax.Array, batch: Batch) -> depth_metrics.Ratios:
        """Sums of relative errors per bin."""
        return depth_metrics.batch_ratios(
            self.sized(prediction, batch),
            batch["value"],
            bins=batch["bin"],
            mask=batch["mask"],
            num_bins=self.num_bins,
        )


def make_eval_step(
    network: Network, inverse: Inverse, measure: Measure, members: int = 1
) -> Callable[[Any, Any, Batch], Evaluation]:
    """Makes `(params, model_state, batch) -> Evaluation`.

    Rows are all outputs of the head, `[batch, ...]` by name, and those of `Distributed`
    if it predicts a distribution; `prediction` and the sums are in file units, see
    `make_respond`. In dense tasks, which have too many predictions to keep, rows are
    replaced by `OfMaps`.
    """
    respond = make_respond_each(network, inverse, members)

    def step(params, model_state, batch):
        outputs, each = respond(params, model_state, batch["inputs"])
        prediction = outputs.prediction
        sums, of_members = measure.sums(prediction, batch), None
        if each is not None:
            of_members = jax.vmap(lambda one: measure.sums(one, batch))(each)
        if not measure.dense:
            return Evaluation(sums, outputs._asdict(), of_members)
        return Evaluation(sums, measure.of_maps(outputs, inverse, batch), of_members)

    return step


def make_maps_step(
    network: Network, inverse: Inverse, measure: Measure, members: int = 1
) -> Callable[[Any, Any, Batch], jax.Array]:
    """Makes `(params, model_state, batch) -> predictions` in the size of the labels."""
    respond = make_respond(network, inverse, members)

    def step(params, model_state, batch):
        outputs = respond(params, model_state, batch["inputs"])
        return measure.sized(outputs.prediction, batch)

    return step


def make_variants_step(
    network: Network,
    inverse: Inverse,
    measure: Measure,
    corrected: Callable[[Any], jax.Array],
    members: int = 1,
) -> Callable[[Any, Any, Batch], tuple[regression.Sums, depth_metrics.Ratios]]:
    """Makes `(params, model_state, batch) -> sums [variants, ...]` of corrected maps.

    Args:
      network: the model.
      inverse: see `make_respond`.
      measure: how errors are summed.
      corrected: from `pixels.make_corrected`.
      members: see `make_respond`.
    """
    respond = make_respond(network, inverse, members)

    def step(params, model_state, batch):
        outputs = respond(params, model_state, batch["inputs"])
        return jax.vmap(lambda p: (measure.sums(p, batch), measure.ratios(p, batch)))(
            corrected(outputs)
        )

    return step


def make_encode_step(network: Network) -> Callable[[Any, Any, Any], jax.Array]:
    """Makes `(params, model_state, raw inputs) -> features`, in evaluation mode."""

    def step(params, model_state, inputs):
        inputs = network.prepare(inputs, model_state)
        return network.encode(params, model_state, inputs, train=False)[0]

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
