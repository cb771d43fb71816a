"""Makes a stopped or finished run longer: what may grow, and what then happens."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from dirjax.config.plan import plan as make_plan
from dirjax.config.stages import Stage
from dirjax.errors import InputError
from dirjax.training.build import Pieces
from dirjax.training.stage_program import learning_rate
from dirjax.workdir import run_files


def longer_run(pieces: Pieces, workdir: pathlib.Path) -> Sequence[str]:
    """Checks that a run can go on with other lengths of its stages.

    Args:
      pieces: data, model and plan of the config as it is now.
      workdir: the run directory, with the config of the run so far.

    Returns:
      A sentence on what happens to the learning rate, if a length has changed since the
      last saved step.

    Raises:
      InputError: if a stage is shorter than before, or other stages build on it.
    """
    if not (workdir / run_files.CONFIG).exists():
        return ()
    old = make_plan(run_files.read_config(workdir), pieces.plan.size)
    step = run_files.last_step(workdir)
    for was, now in zip(old.stages, pieces.plan.stages, strict=True):
        if now.steps < was.steps:
            raise InputError(
                f"stage.{now.name}.steps may only grow in a run that has begun: it was "
                f"{was.steps:,}, got {now.steps:,}. Use another --workdir for a "
                "shorter run."
            )
        if now.steps > was.steps and step > was.stop:
            last = pieces.plan.stages[-1].name
            raise InputError(
                f"stage.{now.name}.steps cannot change from {was.steps:,} to "
                f"{now.steps:,}: the run is at step {step:,}, and stage {last} builds "
                f"on the end of {now.name}. Make the last stage longer, "
                f"--config.stage.{last}.steps=N, or use another --workdir."
            )
    if not step or old.stop == pieces.plan.stop:
        return ()
    number = old.stage_at(step - 1).number
    rates = _rates(old.stages[number], pieces.plan.stages[number], step)
    return [f"going on to step {pieces.plan.stop:,}, not {old.stop:,}: {rates}"]


def _rates(was: Stage, now: Stage, step: int) -> str:
    """What happens to the learning rate after `step`."""
    name = now.schedule["name"]
    if now.steps == was.steps or step >= now.stop:
        return "the learning rate of the stages to come is that of their new length"
    before, after = learning_rate(was, step), learning_rate(now, step + 1)
    if before == after:
        return f"the learning rate goes on at {after:.2g} ({name} schedule)"
    return (
        f"the learning rate goes from {before:.2g} to {after:.2g} and then follows the "
        f"{name} schedule of {now.steps:,} steps"
    )
