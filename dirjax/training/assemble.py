"""One run of finished runs of a method, each a member; and a run of each member."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.config import frozen
from dirjax.training import members as members_lib
from dirjax.training import results
from dirjax.training import stage_program as programs_lib
from dirjax.training.build import Pieces, build
from dirjax.training.members import Best
from dirjax.training.train_step import TrainState
from dirjax.workdir import run_files
from dirjax.workdir.checkpoints import Checkpoints


def assemble(
    runs: Sequence[pathlib.Path], workdir: pathlib.Path, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Writes a run with members, trained to its end but without a result.

    Its parameters are those that training with `model.members` would have found, since
    each member is the run of its seed. `train.train_and_evaluate` with the returned
    config evaluates it.

    Args:
      runs: finished runs that differ in their seeds only, which are consecutive.
      workdir: the new run directory, replaced if there is one.
      fields: fields of `config.prior` of the new run.

    Returns:
      Its config, plain values.

    Raises:
      InputError: if the data have changed since.
      ValueError: if the seeds are not consecutive.
    """
    configs = [run_files.read_config(run) for run in runs]
    first = configs[0]["seed"]
    if [c["seed"] for c in configs] != list(range(first, first + len(runs))):
        raise ValueError(
            "members must have consecutive seeds, got "
            f"{', '.join(str(c['seed']) for c in configs)}."
        )
    alone = build(configs[0])
    frozen.check_data(alone.source.record, runs[0], configs[0]["data"])
    program = programs_lib.stage_program(alone, alone.plan.stages[-1])
    like, states, values = programs_lib.abstract_state(alone, program), [], []
    for run in runs:
        with Checkpoints.of_run(run) as checkpoints:
            step = checkpoints.choose("best")
            states.append(jax.device_get(checkpoints.restore(step, like)))
            best = checkpoints.best()
            values.append(best[1] if best else np.inf)
    stop = alone.plan.stop
    steps = jnp.asarray([s.step for s in states], jnp.int32)
    state = jax.tree.map(lambda *x: np.stack(x), *states)._replace(step=jnp.int32(stop))
    if alone.select_split is not None:
        value = jnp.asarray(values, jnp.float32)
        params, model_state = state.eval_model
        state = state._replace(best=Best(params, model_state, value, steps))
    config = {
        **configs[0],
        "model": {**configs[0]["model"], "members": len(runs)},
        "prior": {**configs[0]["prior"], **fields},
    }
    _start(workdir, config, alone)
    with Checkpoints(workdir / run_files.CHECKPOINTS) as checkpoints:
        checkpoints.save(stop, state, stage=program.stage.number)
    return config


def _start(workdir: pathlib.Path, config: Mapping[str, Any], pieces: Pieces) -> None:
    """Writes what a run has before its first step."""
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    run_files.write_start(
        workdir,
        config=frozen.to_json(config),
        **results.start(pieces),
    )


def take_apart(
    run: pathlib.Path, folders: Sequence[tuple[Mapping[str, Any], pathlib.Path]]
) -> None:
    """Writes members of a finished run as runs, trained to their end.

    `train.train_and_evaluate` evaluates each. They have no log of training, since that
    of their run is about all members.

    Args:
      run: a finished run with members.
      folders: config of each run, with a seed of a member and otherwise that of `run`,
        and its directory, replaced if there is one.

    Raises:
      ValueError: if no member has the seed of a config.
    """
    config = run_files.read_config(run)
    pieces = build(config)
    program = programs_lib.stage_program(pieces, pieces.plan.stages[-1])
    like = programs_lib.abstract_state(pieces, program)
    with Checkpoints.of_run(run) as checkpoints:
        stop = checkpoints.choose("last")
        state = jax.device_get(checkpoints.restore(stop, like))
    best = state.best
    members = members_lib.seeds(config["seed"], pieces.members)
    for own, folder in folders:
        if own["seed"] not in members:
            raise ValueError(
                f"{run} has members with the seeds {members}, none with {own['seed']}."
            )
        at = members.index(own["seed"])
        last = _member(state._replace(step=(), best={}), at)._replace(step=state.step)
        half = folder.with_name(f".{folder.name}")
        _start(half, own, pieces)
        with Checkpoints(half / run_files.CHECKPOINTS) as checkpoints:
            _save(checkpoints, last, _member(best, at), program.stage.number)
        shutil.rmtree(folder, ignore_errors=True)
        half.rename(folder)


def _member(tree: Any, at: int) -> Any:
    """One member of a tree with a leading axis for them."""
    return jax.tree.map(lambda x: x[at], tree)


def _save(checkpoints: Checkpoints, last: TrainState, best: Any, stage: int) -> None:
    """Saves the last state of a network and its best one, if it was evaluated."""
    stop = int(last.step)
    step, value = (int(best.step), float(best.value)) if best else (0, np.inf)
    if 0 < step < stop:
        found = last._replace(
            step=best.step,
            params={**last.params, "model": best.params},
            model_state=best.model_state,
            average=best.params if last.average else {},
        )
        checkpoints.save(step, found, stage=stage, value=value)
    checkpoints.save(stop, last, stage=stage, value=value if step == stop else None)
