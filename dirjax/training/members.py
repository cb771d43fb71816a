"""Members: networks that are trained together, in one program.

With `model.members = k`, parameters, running statistics and the states of objective and
optimiser have a leading axis `[k]`. Member m is the run of the seed `seed + m`: its
initial parameters, order of rows, dropout and augmentation, and its best state are
those of that run. The model predicts the mean of its members' distributions
(`evals.eval_step.together`).

Source: Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation
using Deep Ensembles", NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.training.train_step import StepMetrics, TrainState

# Where the members are in a state; the step number is that of all.
AXES: Any = TrainState(
    *[cast(Any, None if n == "step" else 0) for n in TrainState._fields]
)


class Best(NamedTuple):
    """The best state of each member so far in a stage.

    Attributes:
      params: model parameters to evaluate, `[k, ...]`.
      model_state: running statistics, `[k, ...]`.
      value: selection metric `[k]`, float32; infinite before the first evaluation.
      step: `[k]`, int32.
    """

    params: Any
    model_state: Any
    value: jax.Array
    step: jax.Array


def seeds(seed: int, number: int) -> tuple[int, ...]:
    """The seed of each member."""
    return tuple(range(seed, seed + number))


def train_step(
    make: Callable[[Any], Callable[[TrainState, Any], tuple[TrainState, StepMetrics]]],
    seed: jax.Array,
) -> Callable[[TrainState, Any], tuple[TrainState, StepMetrics]]:
    """The training step of all members.

    Args:
      make: the step of the network with a seed.
      seed: the seed of each member, `[k]`.

    Returns:
      `(state, batch) -> (state, metrics)` with a batch `[k, rows, ...]`; metrics are
      those of all members.
    """
    each = jax.vmap(
        lambda s, state, batch: make(s)(state, batch),
        in_axes=(0, AXES, 0),
        out_axes=(AXES, 0),
    )

    def step(state: TrainState, batch: Any) -> tuple[TrainState, StepMetrics]:
        state, metrics = each(seed, state, batch)
        sums = jax.tree.map(lambda x: jnp.sum(x, axis=0), metrics.sums)
        return state, StepMetrics(sums, jnp.min(metrics.first_bad))

    return step


def no_best(params: Any, model_state: Any) -> Best:
    """The best state of one member before the first evaluation."""
    copy = jax.tree.map(jnp.copy, (params, model_state))
    return Best(*copy, value=jnp.float32(jnp.inf), step=jnp.int32(0))


def keep_best(state: TrainState, values: jax.Array) -> TrainState:
    """Keeps the members that are better than before; pure.

    Args:
      state: the evaluated state.
      values: selection metric of each member, `[k]`; smaller is better.
    """
    better = values < state.best.value

    def choose(new, old):
        shape = (len(better),) + (1,) * (new.ndim - 1)
        return jnp.where(better.reshape(shape), new, old)

    before = (state.best.params, state.best.model_state)
    params, model_state = jax.tree.map(choose, state.eval_model, before)
    value = jnp.where(better, values, state.best.value)
    step = jnp.where(better, state.step, state.best.step)
    return state._replace(best=Best(params, model_state, value, step))


def newest(state: TrainState) -> tuple[int, float] | None:
    """The last step at which a member was best, and the mean of their best values.

    None before the first evaluation of a stage.
    """
    if not state.best:
        return None
    step, value = jax.device_get((state.best.step, state.best.value))
    return (int(step.max()), float(value.mean())) if np.isfinite(value).all() else None


def best_model(state: TrainState) -> tuple[Any, Any]:
    """Parameters and running statistics of the best state of each member.

    Those of the state itself, if there is a single network, whose best state is a
    checkpoint, or if nothing was evaluated.
    """
    if newest(state) is None:
        return state.eval_model
    return state.best.params, state.best.model_state


def record(state: TrainState, seed: int) -> dict[str, Any]:
    """What `result.json` tells about the members beside their metrics.

    Args:
      state: the last state.
      seed: seed of the first member.

    Returns:
      `seeds` and `best_steps`, a list each.
    """
    number = len(jax.tree.leaves(state.params)[0])
    steps = state.best.step if state.best else jnp.full(number, state.step)
    return {
        "seeds": list(seeds(seed, number)),
        "best_steps": jax.device_get(steps).tolist(),
    }
