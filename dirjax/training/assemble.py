"""Makes one run of finished runs of the same method: each becomes a member."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dirjax.config import frozen
from dirjax.training import results
from dirjax.training import stage_program as programs_lib
from dirjax.training.build import build
from dirjax.training.members import Best
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
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    run_files.write_start(
        workdir,
        config=frozen.to_json(config),
        data=alone.source.record,
        bins=results.bins(alone.source, alone.spec),
    )
    with Checkpoints(workdir / run_files.CHECKPOINTS) as checkpoints:
        checkpoints.save(stop, state, stage=program.stage.number)
    return config
