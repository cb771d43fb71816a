"""The programs of a stage: objective, initial state, compiled steps."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dirjax import data, models, optimizers
from dirjax.augment import build as augment_build
from dirjax.config.stages import Stage
from dirjax.data import resampled
from dirjax.errors import InputError
from dirjax.objectives import base
from dirjax.ops.random import stream_key
from dirjax.runtime import sharding
from dirjax.training import members as members_lib
from dirjax.training import parameters, train_step
from dirjax.training.build import Pieces, init_model
from dirjax.training.train_step import TrainState

# Deviation of labels below which gradients of their losses, in squared units at most,
# come near the 1e-8 of Adam.
_SMALL = 1e-2


@dataclasses.dataclass(frozen=True)
class StageProgram:
    """A stage as functions; nothing is compiled yet.

    Attributes:
      stage: the stage.
      network: the model, of which a stage on features trains the head.
      objective: what it minimises.
      tx: its optimiser, which skips frozen parameters.
      trainable: tree of bools over the model's parameters; None for all.
      augment: `(key, batch) -> batch`, or None.
    """

    stage: Stage
    network: models.Network
    objective: base.Objective
    tx: optax.GradientTransformation
    trainable: Any
    augment: Callable[[jax.Array, Any], Any] | None


def stage_program(pieces: Pieces, stage: Stage) -> StageProgram:
    """Builds the objective, optimiser and augmentation of a stage.

    Raises:
      InputError: naming the field that is wrong.
    """
    objective = pieces.objective(stage)
    shapes = pieces.shapes[0]
    try:
        variables = jax.eval_shape(
            lambda key: objective.init(key, pieces.learnt(stage)), jax.random.key(0)
        )
    except ValueError as error:
        raise InputError(f"the objective of stage {stage.name!r}: {error}") from error
    if objective.partners is not None and stage.views > 1:
        raise InputError(
            f"stage.{stage.name}.views must be 1 where rows are mixed with partners, "
            f"got {stage.views}. Leave it out."
        )
    rate = optimizers.schedule(**stage.schedule)
    small = _small(pieces)
    tx = optimizers.make(learning_rate=rate, small=small, **stage.optimizer)
    tree = {"model": shapes, "objective": variables.params}
    try:
        tx, trainable = parameters.divide(
            tx,
            tree,
            stage.trainable,
            objective.rates,
            functools.partial(_own_tx, stage, small),
        )
    except ValueError as error:
        raise InputError(f"stage.{stage.name}.trainable: {error}") from error
    try:
        parameters.select(shapes, stage.reinit)
    except ValueError as error:
        raise InputError(f"stage.{stage.name}.reinit: {error}") from error
    network = pieces.network
    if stage.resample:
        _check_of_features(pieces, stage, trainable)
        of_features = models.of_features(network)
        return StageProgram(stage, of_features, objective, tx, trainable, None)
    try:
        changed = augment_build.from_config(
            pieces.config["data"], pieces.source, views=stage.views, stage=stage.name
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    return StageProgram(stage, network, objective, tx, trainable, changed)


def _check_of_features(pieces: Pieces, stage: Stage, trainable: Any) -> None:
    """Checks that a stage on resampled features leaves the encoder as it is.

    Raises:
      InputError: if it does not.
    """
    moves = trainable is None or any(jax.tree.leaves(trainable["encoder"]))
    if moves or stage.encoder_mode != "eval":
        raise InputError(
            f"stage.{stage.name}.resample trains the head on features, so it needs "
            f"stage.{stage.name}.trainable=('head',) and "
            f"stage.{stage.name}.encoder_mode=eval. See the preset rrt_smogn."
        )
    if pieces.members > 1:
        raise InputError(
            f"stage.{stage.name}.resample is for one network, model.members is "
            f"{pieces.members}. Leave it out, and put runs of several seeds together."
        )


def example_rows(pieces: Pieces, stage: Stage) -> data.Split:
    """Rows like those that a stage trains on, before there are features."""
    if not stage.resample:
        return pieces.source.training
    rows = pieces.expected[stage.name]
    shape = (len(rows.label), pieces.spec.feature_dim)
    return dataclasses.replace(rows, inputs=np.zeros(shape, np.float32))


def training_rows(
    pieces: Pieces, program: StageProgram, state: TrainState
) -> data.Split:
    """The rows that a stage trains on.

    Args:
      pieces: the run's data and model.
      program: the stage's program.
      state: any state of the stage, whose encoder makes the features if it trains on
        resampled ones.
    """
    if not program.stage.resample:
        return pieces.source.training
    features = pieces.evaluator.encode(
        state.params["model"], state.model_state, "train"
    )
    where = f"stage.{program.stage.name}.resample"
    return resampled.of_features(
        program.stage.resample, features, pieces.source, where=where
    )


def _small(pieces: Pieces) -> bool:
    """Whether labels are small; several targets are learnt in their deviations."""
    return not pieces.targets and pieces.spec.label_std < _SMALL


def _own_tx(stage: Stage, small: bool, rate: float) -> optax.GradientTransformation:
    """The optimiser of a stage at a constant rate and without decay."""
    options = {**stage.optimizer, "weight_decay": 0.0}
    return optimizers.make(learning_rate=rate, small=small, **options)


def preflight(pieces: Pieces, program: StageProgram) -> None:
    """Traces the loss of a stage, to catch options that do not fit the data.

    Raises:
      InputError: naming the stage.
    """
    stage, network = program.stage, program.network
    rows = data.stored(example_rows(pieces, stage))
    # A batch of one row may be too small for a loss over pairs.
    few = min(2, pieces.plan.batch_size)
    few = few if program.objective.partners is None else 2 * few
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((few, *x.shape[1:]), x.dtype), rows
    )
    row_labels = jax.ShapeDtypeStruct(batch["label"].shape, np.float32)
    batch |= {"weight": row_labels, "mask": row_labels}
    loss_fn = train_step.make_loss_fn(
        network, program.objective, train_mode=stage.encoder_mode == "train"
    )

    def loss(state: TrainState, batch: Any) -> Any:
        inputs = network.prepare(batch["inputs"], state.model_state)
        batch = {**batch, "inputs": inputs}
        return loss_fn(state.params, state, batch, jax.random.key(0))

    try:
        state = jax.eval_shape(
            functools.partial(_init_network, pieces, program), None, 0
        )
        jax.eval_shape(loss, state, batch)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"the objective of stage {stage.name!r}: {error}") from error


def random_model(pieces: Pieces, stage: Stage, seed: Any) -> tuple[Any, Any]:
    """Random parameters and running statistics of one network for a stage; pure."""
    key = stream_key(_stage_key(stage, seed), "model")
    return init_model(pieces.network, pieces.source, key)


def _stage_key(stage: Stage, seed: Any) -> jax.Array:
    return stream_key(jax.random.key(seed), f"stage/{stage.name}")


def seeds(pieces: Pieces) -> jax.Array:
    """The seed of the run, or `[k]` of its members, on all devices; uint32.

    An argument of the programs below: runs that differ in their seeds share programs.
    """
    return jax.device_put(_host_seeds(pieces), sharding.replicated(pieces.mesh))


def _host_seeds(pieces: Pieces) -> np.ndarray:
    """`seeds` on the host: a process can make them alone."""
    first = pieces.config["seed"]
    each = members_lib.seeds(first, pieces.members) if pieces.members > 1 else first
    return (np.asarray(each, np.int64) % 2**32).astype(np.uint32)


def init_state(
    pieces: Pieces, program: StageProgram, before: tuple[Any, Any] | None, seed: Any
) -> TrainState:
    """The state at the start of a stage; pure.

    Args:
      pieces: the run's data and model.
      program: the stage's program.
      before: initial parameters and running statistics, of all members; None for
        random ones.
      seed: see `seeds`.

    Raises:
      ValueError: if those in `before` do not fit.
    """
    make = functools.partial(_init_network, pieces, program)
    if pieces.members == 1:
        return make(before, seed)
    return jax.vmap(make, out_axes=members_lib.AXES)(before, seed)


def _init_network(
    pieces: Pieces, program: StageProgram, before: tuple[Any, Any] | None, seed: Any
) -> TrainState:
    """`init_state` of one network, with its seed, which may be traced."""
    stage = program.stage
    params, model_state = random_model(pieces, stage, seed)
    if before is not None:
        anew = parameters.select(params, stage.reinit)
        params = jax.tree.map(
            lambda new, old, a: new if a else old, params, before[0], anew
        )
        model_state = before[1]
    key = stream_key(_stage_key(stage, seed), "objective")
    variables = program.objective.init(key, pieces.learnt(stage))
    # Arrays that objectives create on the host become device arrays of the state.
    variables = jax.tree.map(jnp.asarray, variables)
    tree = {"model": params, "objective": variables.params}
    averages = pieces.config["train"]["average_decay"] > 0
    chooses = pieces.members > 1 and pieces.select_split is not None
    return TrainState(
        step=jnp.int32(stage.start),
        params=tree,
        model_state=model_state,
        objective_state=variables.state,
        opt_state=program.tx.init(tree),
        average=jax.tree.map(jnp.copy, params) if averages else {},
        best=members_lib.no_best(params, model_state) if chooses else {},
    )


def abstract_state(pieces: Pieces, program: StageProgram) -> TrainState:
    """Shapes and shardings of a stage's state, as a target for restoring."""
    start = functools.partial(init_state, pieces, program, None)
    shapes = jax.eval_shape(start, _host_seeds(pieces))
    placement = sharding.replicated(pieces.mesh)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placement), shapes
    )


def begin(
    pieces: Pieces, program: StageProgram, before: tuple[Any, Any] | None
) -> TrainState:
    """The state at the start of a stage, on all devices, with collected statistics.

    Args:
      pieces: the run's data and model.
      program: the stage's program.
      before: see `init_state`.

    Raises:
      InputError: if those in `before` do not fit.
    """
    placement = sharding.replicated(pieces.mesh)
    make = jax.jit(
        functools.partial(init_state, pieces, program), out_shardings=placement
    )
    try:
        state = make(before, seeds(pieces))
    except ValueError as error:
        name = program.stage.name
        raise InputError(f"stage {name!r} cannot start: {error}") from error
    collect = collecting(pieces, program, "start")
    return collect(state) if collect else state


def compiled_steps(
    pieces: Pieces, program: StageProgram
) -> Callable[[TrainState, Any, Any, Any], tuple[TrainState, train_step.StepMetrics]]:
    """`(state, batches, n, seed) -> (state, metrics)` for a chunk of steps.

    Donates the state. See `train_step.make_train_steps` and `seeds`.
    """
    stage = program.stage
    make = functools.partial(
        train_step.make_train_step,
        program.network,
        program.objective,
        program.tx,
        trainable=program.trainable,
        train_mode=stage.encoder_mode == "train",
        average_decay=pieces.config["train"]["average_decay"],
        start=stage.start,
        augment=program.augment,
    )

    def steps(state: TrainState, batches: Any, n: Any, seed: Any):
        if pieces.members == 1:
            step = make(seed=seed)
        else:
            step = members_lib.train_step(lambda s: make(seed=s), seed)
        loop = train_step.make_train_steps(step, pieces.plan.chunk_steps)
        return loop(state, batches, n)

    return jax.jit(
        steps,
        donate_argnums=0,
        out_shardings=sharding.replicated(pieces.mesh),
    )


def collecting(
    pieces: Pieces, program: StageProgram, moment: str
) -> Callable[[TrainState], TrainState] | None:
    """Makes the pass over the training set in which an objective collects statistics.

    Args:
      pieces: the run's data and model.
      program: the stage's program.
      moment: "start" (of the stage) or "epoch" (its end).

    Returns:
      `state -> state`, which donates its argument; None if nothing is collected.
    """
    update_variables = getattr(program.objective.collect, moment)
    if update_variables is None:
        return None

    def update(state: TrainState, total: Any) -> TrainState:
        variables = base.Variables(state.params["objective"], state.objective_state)
        new = update_variables(variables, total)
        return state._replace(
            params={**state.params, "objective": new.params},
            objective_state=new.state,
        )

    if pieces.members > 1:
        axes = members_lib.AXES
        update = jax.vmap(update, in_axes=(axes, 0), out_axes=axes)
    compiled = jax.jit(
        update, donate_argnums=0, out_shardings=sharding.replicated(pieces.mesh)
    )

    def collected(state: TrainState) -> TrainState:
        total = pieces.evaluator.moments(
            state.params["model"], state.model_state, "statistics"
        )
        return compiled(state, total)

    return collected


def by_bin(pieces: Pieces, program: StageProgram, state: TrainState) -> dict[str, Any]:
    """Per-bin arrays of a stage's objective, on the host; of the first member."""
    held = base.Variables(state.params["objective"], state.objective_state)
    if pieces.members > 1:
        held = jax.tree.map(lambda x: x[0], held)
    return sharding.to_host(program.objective.diagnostics.by_bin(held))


def keeping(pieces: Pieces) -> Callable[[TrainState, Any], TrainState]:
    """`members.keep_best`, compiled. Donates the state."""
    placement = sharding.replicated(pieces.mesh)
    keep = jax.jit(members_lib.keep_best, donate_argnums=0, out_shardings=placement)
    return lambda state, values: keep(
        state, jax.device_put(np.asarray(values, np.float32), placement)
    )


def learning_rate(stage: Stage, step: int) -> float:
    """The learning rate used by the step that ended at `step`."""
    rate: Any = optimizers.schedule(**stage.schedule)
    return float(rate((step - 1 - stage.start) // stage.optimizer["accumulate"]))


def advice(program: StageProgram, means: Any) -> Sequence[str]:
    """Advice of a stage's objective on the logged means."""
    return program.objective.diagnostics.advise(means)
