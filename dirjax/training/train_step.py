"""The training step: pure functions from state and batch to state and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dirjax.evals.view import make_view
from dirjax.models import Network
from dirjax.objectives.base import Batch, Objective, Variables
from dirjax.ops.random import stream_key

NEVER = 2**31 - 1


class TrainState(NamedTuple):
    """Everything that changes in training.

    Attributes:
      step: number of completed steps, int32 scalar.
      params: trained parameters, `{"model": ..., "objective": ...}`.
      model_state: running statistics of the model.
      objective_state: carried state of the objective.
      opt_state: state of the optimiser.
      average: moving average of the model's parameters, or `{}` without one.
      best: the best state of each member, see `members.Best`; `{}` for one network,
        whose best state is a checkpoint.
    """

    step: jax.Array
    params: Any
    model_state: Any
    objective_state: Any
    opt_state: Any
    average: Any
    best: Any

    @property
    def eval_params(self) -> Any:
        """The model parameters to evaluate: the moving average, if any."""
        return self.average or self.params["model"]

    @property
    def eval_model(self) -> tuple[Any, Any]:
        """Parameters to evaluate and running statistics."""
        return self.eval_params, self.model_state


class StepMetrics(NamedTuple):
    """Training metrics of a chunk of steps.

    Attributes:
      sums: name -> `(sum, count)`.
      first_bad: the first step with a loss or gradient that is not finite, or
        `NEVER`.
    """

    sums: dict[str, tuple[jax.Array, jax.Array]]
    first_bad: jax.Array


def _precision(highest: bool) -> contextlib.AbstractContextManager[None]:
    """Traces matrix products at full float32 precision, or at the default."""
    if highest:
        return jax.default_matmul_precision("highest")
    return contextlib.nullcontext()


def make_loss_fn(
    network: Network,
    objective: Objective,
    *,
    train_mode: bool,
    trainable: Any = None,
) -> Callable[[Any, TrainState, Batch, jax.Array], tuple[jax.Array, Any]]:
    """Makes the loss of a step as a function of the parameters.

    Args:
      network: the model.
      objective: the objective to minimise.
      train_mode: whether batch norm and dropout of the encoder are in training mode.
      trainable: tree of bools over the model's parameters, None for all; others
        get no gradient.

    Returns:
      `(params, state, batch, key) -> (loss, (outcome, model_state))`; `params` replace
      those of the state, and the batch's inputs are already prepared.
    """

    def loss_fn(params: Any, state: TrainState, batch: Batch, key: jax.Array):
        model = params["model"]
        if trainable is not None:
            model = jax.tree.map(
                lambda p, t: p if t else jax.lax.stop_gradient(p), model, trainable
            )
        held = Variables(params["objective"], state.objective_state)
        batch = objective.batch(held, batch, stream_key(key, "batch"))
        view, model_state = make_view(
            network,
            model,
            state.model_state,
            batch["inputs"],
            stream_key(key, "dropout"),
            train=train_mode,
            precise=objective.precise,
        )
        out = objective.loss(held, view, batch, stream_key(key, "objective"))
        return out.loss, (out, model_state)

    return loss_fn


def make_train_step(
    network: Network,
    objective: Objective,
    tx: optax.GradientTransformation,
    *,
    seed: Any,
    trainable: Any = None,
    train_mode: bool = True,
    average_decay: float = 0.0,
    start: int = 0,
    augment: Callable[[jax.Array, Batch], Batch] | None = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, StepMetrics]]:
    """Makes the pure training step.

    Args:
      network: the model.
      objective: the objective to minimise.
      tx: the optimiser, which already skips frozen parameters.
      seed: seed of the run, may be traced; the key of step `s` is a function of
        `(seed, s)`.
      trainable: tree of bools over the model's parameters, None for all; others
        get no gradient.
      train_mode: see `make_loss_fn`.
      average_decay: decay of the parameters' moving average; 0 keeps none.
      start: first step of the stage, where the average starts to warm up.
      augment: `(key, batch) -> batch`, applied to the raw batch, see
        `augment.build.from_config`; None for no augmentation.

    Returns:
      `(state, batch) -> (state, metrics)`.
    """

    loss_fn = make_loss_fn(
        network, objective, train_mode=train_mode, trainable=trainable
    )

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        if augment is not None:
            batch = augment(stream_key(key, "augment"), batch)
        inputs = network.prepare(batch["inputs"], state.model_state)
        batch = {**batch, "inputs": inputs}

        with _precision(objective.precise):
            gradient = objective.gradient(jax.grad(loss_fn, has_aux=True))
            grads, (out, model_state) = gradient(state.params, state, batch, key)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        average = state.average
        if average_decay:
            # A short warm-up, so that the average forgets the start of training.
            done = (state.step - start).astype(jnp.float32)
            decay = jnp.minimum(average_decay, (1 + done) / (10 + done))
            average = optax.incremental_update(params["model"], average, 1 - decay)
        norm = optax.tree.norm(grads)
        one = jnp.ones(())
        sums = {"loss": (out.loss, one), "grad_norm": (norm, one)} | out.metrics
        # An update that overflows would show in the loss only one step later, after a
        # save.
        good = jnp.isfinite(out.loss) & jnp.isfinite(norm)
        good &= jnp.isfinite(optax.tree.norm(updates))
        new = TrainState(
            state.step + 1,
            params,
            model_state,
            out.state,
            opt_state,
            average,
            state.best,
        )
        return new, StepMetrics(sums, jnp.where(good, NEVER, state.step))

    return step


def make_train_steps(
    step: Callable[[TrainState, Batch], tuple[TrainState, StepMetrics]], chunk: int
) -> Callable[[TrainState, Batch, Any], tuple[TrainState, StepMetrics]]:
    """Wraps a step into a loop on the device, which saves one dispatch per step.

    Args:
      step: from `make_train_step`.
      chunk: size of the leading axis of `batches`. With 1 there is no loop.

    Returns:
      `(state, batches, n) -> (state, metrics)` that trains on the first `n <= chunk`
      batches. `n` is traced, so a chunk of any length runs the same program and gives
      the same bits.
    """

    def at(batches, i):
        return jax.tree.map(lambda x: x[i], batches)

    if chunk == 1:
        return lambda state, batches, n: step(state, at(batches, 0))

    def steps(state, batches, n):
        shape = jax.eval_shape(step, state, at(batches, 0))[1].sums
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shape)

        def body(i, carry):
            state, metrics = carry
            state, new = step(state, at(batches, i))
            sums = jax.tree.map(jnp.add, metrics.sums, new.sums)
            first_bad = jnp.minimum(metrics.first_bad, new.first_bad)
            return state, StepMetrics(sums, first_bad)

        start = (state, StepMetrics(zeros, jnp.int32(NEVER)))
        return jax.lax.fori_loop(0, n, body, start)

    return steps
