"""The step: pure functions from state and batch to state and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dirjax import depth_metrics, resize, stages
from dirjax import metrics as metrics_lib
from dirjax import moments as moments_lib
from dirjax.models import Network
from dirjax.objectives.base import Batch, Objective, Variables, View, stream_key

NEVER = 2**31 - 1


class TrainState(NamedTuple):
    """Everything that changes in training.

    Attributes:
      step: steps done, int32 scalar.
      params: `{"model": ..., "objective": ...}`, trained.
      model_state: running statistics of the model.
      objective_state: carried state of the objective.
      opt_state: state of the optimiser.
      average: moving average of the model's parameters, or `{}` without one.
    """

    step: jax.Array
    params: Any
    model_state: Any
    objective_state: Any
    opt_state: Any
    average: Any

    @property
    def eval_params(self) -> Any:
        """The model parameters to evaluate: the average, where there is one."""
        return self.average or self.params["model"]


class Report(NamedTuple):
    """What a stretch of steps has to say.

    Attributes:
      sums: name -> `(sum, count)`.
      first_bad: the first step with a loss or gradient that is not finite, or
        `NEVER`.
    """

    sums: dict[str, tuple[jax.Array, jax.Array]]
    first_bad: jax.Array


def make_view(
    network: Network,
    params: Any,
    model_state: Any,
    inputs: Any,
    key: jax.Array,
    *,
    train: bool,
    precise: bool = False,
) -> tuple[View, Any]:
    """The model at `params` for one batch, and its updated running statistics."""

    def at(frozen):
        return jax.lax.stop_gradient(params) if frozen else params

    def run(inputs, mode=None, frozen=False):
        mode = train if mode is None else mode
        return network.encode(
            at(frozen), model_state, inputs, train=mode, key=key, precise=precise
        )

    def encode(inputs, *, train=None, frozen=False):
        return run(inputs, train, frozen)[0]

    def head(features, *, frozen=False):
        return network.head(at(frozen), features)

    features, new_state = run(inputs)
    view = View(features, head(features), encode, head, network.domain)
    return view, new_state


def _precision(highest: bool) -> contextlib.AbstractContextManager[None]:
    """Products of what is traced inside in float32 proper, or as usual."""
    if highest:
        return jax.default_matmul_precision("highest")
    return contextlib.nullcontext()


def make_train_step(
    network: Network,
    objective: Objective,
    tx: optax.GradientTransformation,
    *,
    seed: int,
    trainable: Any = None,
    train_mode: bool = True,
    average_decay: float = 0.0,
    start: int = 0,
    augment: Callable[[jax.Array, Batch], Batch] | None = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, Report]]:
    """Makes the pure training step.

    Args:
      network: the model.
      objective: what is minimised.
      tx: the optimiser, which already leaves frozen parameters alone.
      seed: of the run; the key of step `s` is a function of `(seed, s)`.
      trainable: tree of bools over the model's parameters, None for all; others
        get no gradient.
      train_mode: batch norm and dropout of the encoder.
      average_decay: of the moving average of the parameters; 0 keeps none.
      start: first step of the stage; the average warms up from there.
      augment: `(key, batch) -> batch`, what is done to a batch as it comes, see
        `augment.from_config`; None for nothing.

    Returns:
      `(state, batch) -> (state, report)`.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Report]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        if augment is not None:
            batch = augment(stream_key(key, "augment"), batch)
        inputs = network.prepare(batch["inputs"], state.model_state)
        batch = {**batch, "inputs": inputs}

        def loss_fn(params: Any):
            model = params["model"]
            if trainable is not None:
                model = jax.tree.map(
                    lambda p, t: p if t else jax.lax.stop_gradient(p), model, trainable
                )
            view, model_state = make_view(
                network,
                model,
                state.model_state,
                inputs,
                stream_key(key, "dropout"),
                train=train_mode,
                precise=objective.precise,
            )
            out = objective.loss(
                Variables(params["objective"], state.objective_state),
                view,
                batch,
                stream_key(key, "objective"),
            )
            return out.loss, (out, model_state)

        with _precision(objective.precise):
            grads, (out, model_state) = jax.grad(loss_fn, has_aux=True)(state.params)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        average = state.average
        if average_decay:
            # A short warm-up, so that the start of training is forgotten.
            done = (state.step - start).astype(jnp.float32)
            decay = jnp.minimum(average_decay, (1 + done) / (10 + done))
            average = optax.incremental_update(params["model"], average, 1 - decay)
        norm = optax.tree.norm(grads)
        one = jnp.ones(())
        sums = {"loss": (out.loss, one), "grad_norm": (norm, one)} | out.metrics
        # An update that overflows would show one step later, when it is saved.
        good = jnp.isfinite(out.loss) & jnp.isfinite(norm)
        good &= jnp.isfinite(optax.tree.norm(updates))
        new = TrainState(
            state.step + 1, params, model_state, out.state, opt_state, average
        )
        return new, Report(sums, jnp.where(good, NEVER, state.step))

    return step


def make_train_steps(
    step: Callable[[TrainState, Batch], tuple[TrainState, Report]], chunk: int
) -> Callable[[TrainState, Batch, Any], tuple[TrainState, Report]]:
    """Wraps a step into a loop on the device, which saves a dispatch a step.

    Args:
      step: from `make_train_step`.
      chunk: rows of the leading axis of the batches. With 1 there is no loop.

    Returns:
      `(state, batches, n) -> (state, report)` that does the first `n <= chunk` of
      the `chunk` batches. `n` is traced, so a stretch of any length runs the same
      program and gives the same bits.
    """

    def at(batches, i):
        return jax.tree.map(lambda x: x[i], batches)

    if chunk == 1:
        return lambda state, batches, n: step(state, at(batches, 0))

    def steps(state, batches, n):
        shape = jax.eval_shape(step, state, at(batches, 0))[1].sums
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shape)

        def body(i, carry):
            state, report = carry
            state, new = step(state, at(batches, i))
            sums = jax.tree.map(jnp.add, report.sums, new.sums)
            return state, Report(sums, jnp.minimum(report.first_bad, new.first_bad))

        start = (state, Report(zeros, jnp.int32(NEVER)))
        return jax.lax.fori_loop(0, n, body, start)

    return steps


def make_respond(network: Network, *, log: bool) -> Callable[[Any, Any, Any], Any]:
    """Makes `(params, model_state, raw inputs) -> outputs of the head`.

    Args:
      network: the model.
      log: whether it has learnt the logarithm of the label, which is undone in
        `prediction`, and nowhere else.
    """

    def respond(params, model_state, inputs):
        inputs = network.prepare(inputs, model_state)
        features, _ = network.encode(params, model_state, inputs, train=False)
        outputs = network.head(params, features)
        if log:
            outputs = outputs._replace(prediction=jnp.exp(outputs.prediction))
        return outputs

    return respond


def make_predict(
    network: Network, *, log: bool
) -> Callable[[Any, Any, Any], jax.Array]:
    """Makes `(params, model_state, raw inputs) -> predictions [batch]`.

    Args:
      network: the model.
      log: see `make_respond`.
    """
    respond = make_respond(network, log=log)
    return lambda *arguments: respond(*arguments).prediction


def make_eval_step(
    network: Network,
    *,
    num_bins: int,
    shift: Any,
    scale: float,
    gm_epsilon: float,
    log: bool = False,
    dense: bool = False,
) -> Callable[[Any, Any, Batch], tuple[metrics_lib.Sums, Any]]:
    """Makes `(params, model_state, batch) -> (sums per bin, rows)`.

    Rows are all that the head gives, `[batch, ...]` by name, with `prediction` and the
    sums in units of the file; see `make_respond`. In dense tasks, whose predictions
    are too many to be kept, the second are `depth_metrics.Ratios`; predictions are
    enlarged to larger labels, bilinear with the corner pixels in place.
    """
    respond = make_respond(network, log=log)

    def step(params, model_state, batch):
        outputs = respond(params, model_state, batch["inputs"])
        prediction = outputs.prediction
        if dense and prediction.shape != batch["label"].shape:
            size = batch["label"].shape[1:]
            prediction = resize.bilinear(prediction, size, aligned=True)
        sums = metrics_lib.batch_sums(
            prediction,
            batch["label"],
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
                batch["label"],
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
    """Makes `(moments, params, model_state, batch) -> moments`, a batch further.

    Features are those of the given parameters in evaluation mode. Of maps of labels
    that are larger than those of features the nearest pixels count.
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


def freeze(
    tx: optax.GradientTransformation, params: Any, patterns: tuple[str, ...]
) -> tuple[optax.GradientTransformation, Any]:
    """Restricts an optimiser to the model parameters that match.

    Args:
      tx: the optimiser.
      params: `{"model", "objective"}`; the objective's own parameters are always
        trained.
      patterns: see `stages.select`; empty means everything.

    Returns:
      The optimiser, and a tree of bools over `params["model"]` or None.
    """
    if not patterns:
        return tx, None
    trainable = stages.select(params["model"], patterns)
    labels = jax.tree.map(lambda t: "train" if t else "freeze", trainable)
    rest = jax.tree.map(lambda _: "train", params["objective"])
    tx = optax.partition(
        {"train": tx, "freeze": optax.set_to_zero()},
        {"model": labels, "objective": rest},
    )
    return tx, trainable
