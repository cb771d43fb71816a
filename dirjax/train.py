"""The training program: train, evaluate, keep the best, write the result. Start here.

The loop, always in this order: step, log, collect statistics at the end of an epoch,
evaluate the current state, save. The step number is the clock: batches, randomness and
schedules are functions of (seed, step), so a run resumes from its last saved state
alone.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dirjax import report
from dirjax.config import frozen, validation
from dirjax.errors import writing
from dirjax.runtime import sharding
from dirjax.runtime.interrupts import Interrupts
from dirjax.training import members, results
from dirjax.training import stage_program as programs_lib
from dirjax.training.batches import batches
from dirjax.training.build import Pieces, build, check_select
from dirjax.training.longer import longer_run
from dirjax.training.overview import overview
from dirjax.training.progress import Clock, Means, warn_once
from dirjax.training.stage_program import StageProgram, seeds, stage_program
from dirjax.training.train_step import TrainState
from dirjax.training.warm_start import warm_start
from dirjax.workdir import run_files, writers
from dirjax.workdir.checkpoints import Checkpoints, Damaged
from dirjax.workdir.lock import Lock


@dataclasses.dataclass(frozen=True)
class _Run:
    """What the functions of this module share about one run."""

    pieces: Pieces
    programs: Sequence[StageProgram]
    start: tuple[Any, Any] | None  # initial parameters
    checkpoints: Checkpoints
    workdir: pathlib.Path
    show: writers.Show
    command: str | None  # to name when it stops


def train_and_evaluate(
    config: Mapping[str, Any],
    workdir: pathlib.Path,
    *,
    show: writers.Show = "all",
    command: str | None = None,
    data: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Trains the model of a config, or resumes where an earlier call stopped.

    Args:
      config: plain values; the fields are those of `configs/common.py`.
      workdir: the run directory, created if missing.
      show: "all" is progress, the table and the report, "bar" a progress bar alone.
      command: the command line, for the report.
      data: where the data of the run is now, if it has moved since.

    Returns:
      The content of `result.json`.

    Raises:
      InputError: if the config or the data is wrong, or the directory is in use or
        cannot be written.
      Stopped: after SIGTERM or SIGINT, with the state saved.
      Failed: if a loss or gradient is not finite, or the disk is full.
    """
    validation.validate(config)
    writers.check(config["writers"] or ())
    first = jax.process_index() == 0
    verbose = first and show == "all"
    finished = frozen.finished(config, workdir)
    if finished is not None:
        if verbose:
            last = config["stages"][-1]
            print(
                f"{workdir} is finished after {finished['steps']:,} steps. A larger "
                f"--config.stage.{last}.steps goes on from there."
            )
            _show(workdir)
        return finished

    with Lock(workdir):
        pieces = build(frozen.moved(config, workdir, data))
        programs = [stage_program(pieces, stage) for stage in pieces.plan.stages]
        for program in programs:
            programs_lib.preflight(pieces, program)
        check_select(pieces)
        frozen.check_data(pieces.source.record, workdir, config["data"])
        longer = longer_run(pieces, workdir)
        # Fail before writing anything. Only a run at step 0 needs its warm start.
        begins = not (workdir / run_files.CHECKPOINTS).exists()
        start = warm_start(pieces) if begins else None
        if first:
            run_files.write_start(
                workdir,
                config=frozen.to_json(config),
                **results.start(pieces),
            )
        if verbose:
            print(overview(pieces, programs), *longer, sep="\n", flush=True)
        with Checkpoints(workdir / run_files.CHECKPOINTS) as checkpoints:
            run = _Run(pieces, programs, start, checkpoints, workdir, show, command)
            result = None
            while result is None:
                try:
                    result = _resume(run) | {"command": command}
                except Damaged as damage:
                    step = checkpoints.set_aside(damage.step)
                    if first:
                        where = f"resumes after step {step}" if step else "starts over"
                        print(
                            f"dirjax: the checkpoint at step {damage.step} cannot be "
                            f"read; the run {where}.",
                            file=sys.stderr,
                        )
        if first:
            run_files.write_result(workdir, result)
        if verbose:
            for sentence in results.remarks(pieces, result):
                print(sentence)
            _show(workdir)
    return result


def _show(workdir: pathlib.Path) -> None:
    with writing(workdir / "report"):
        report.show(workdir)


def _resume(run: _Run) -> dict[str, Any]:
    """Trains from the newest checkpoint to the end; the content of result.json."""
    config, plan = run.pieces.config, run.pieces.plan
    step = run.checkpoints.latest() or 0
    if step and run.show == "all" and jax.process_index() == 0:
        print(f"resuming from step {step:,} of {plan.stop:,}", flush=True)
    clock = Clock(writers.last_time(run.workdir / run_files.METRICS, step))
    writer = writers.make(
        run.workdir,
        config["writers"] or (),
        config=config,
        step=step,
        total=plan.stop,
        first=jax.process_index() == 0,
        show=run.show,
    )
    with writer, Interrupts() as interrupts:
        state: Any = None  # a TrainState: restored, or from the first stage
        if step:
            program = run.programs[plan.stage_at(step - 1).number]
            like = programs_lib.abstract_state(run.pieces, program)
            state = run.checkpoints.restore(step, like)
        for program in run.programs:
            if step < program.stage.stop:
                if step == program.stage.start:
                    state = _begin(run, program, state)
                step, state = _train_stage(
                    run, program, step, state, writer, clock, interrupts
                )
        run.checkpoints.wait()
        if interrupts.received:
            interrupts.stop_after(step, run.command)
    return _result(run, step, clock)


def _begin(run: _Run, program: StageProgram, state: Any) -> TrainState:
    """The first state of a stage, from the last or best state of the previous stage."""
    number = program.stage.number
    before = run.start
    if number == 0 and before is None:
        before = warm_start(run.pieces)  # the run was killed before its first save
    elif number:
        before = state.eval_model
        if program.stage.init_from == "best":
            run.checkpoints.wait()
            best = run.checkpoints.best(number - 1)
            if best:
                like = programs_lib.abstract_state(run.pieces, run.programs[number - 1])
                state = run.checkpoints.restore(best[0], like)
            before = members.best_model(state)
    return programs_lib.begin(run.pieces, program, before)


def _train_stage(
    run: _Run,
    program: StageProgram,
    step: int,
    state: TrainState,
    writer: writers.Many,
    clock: Clock,
    interrupts: Interrupts,
) -> tuple[int, TrainState]:
    """The loop from `step` to the end of a stage, which always saves.

    The best state stays in memory until the next save. A run killed before that save
    resumes from the previous one and reaches the same best state again.
    """
    pieces, stage = run.pieces, program.stage
    plan, evaluator, checkpoints = pieces.plan, pieces.evaluator, run.checkpoints
    placement = sharding.replicated(pieces.mesh)
    seed, train_steps = seeds(pieces), programs_lib.compiled_steps(pieces, program)
    collect = programs_lib.collecting(pieces, program, "epoch")
    copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree), out_shardings=placement)
    number = functools.cache(lambda n: jax.device_put(np.int32(n), placement))
    keep = programs_lib.keeping(pieces)
    best = members.newest(state) or checkpoints.best(stage.number)
    if plan.gives_up(best and best[0], step):
        return step, state  # The run was stopped between this and its result.
    unsaved: tuple[int, float, TrainState] | None = None
    means, warn = Means(), warn_once()
    clock.compiles()
    clock.start(step)
    rows = programs_lib.training_rows(pieces, program, state)
    for start, count, batch in batches(pieces, rows, step, stage.stop):
        with jax.transfer_guard("disallow"):
            state, new = train_steps(state, batch, number(count), seed)
        step = start + count
        means.add(new)
        logs, evaluates, saves = plan.logs(step), plan.evaluates(step), plan.saves(step)
        collects = collect is not None and plan.ends_epoch(step)
        stops = interrupts.received or checkpoints.preempted(start, step)
        if logs or evaluates or saves or stops:
            means.collect()
            clock.stop(step)
        if logs:
            learnt = means.take()
            rates = {
                "learning_rate": programs_lib.learning_rate(stage, step),
                "examples_per_second": clock.take() * plan.batch_size,
            }
            head = plan.log_head(stage, step, "train", clock.seconds())
            writer.write(head | learnt | rates)
            for sentence in programs_lib.advice(program, learnt):
                warn(sentence)
        if collect is not None and collects:
            state = collect(state)
        value = None
        if evaluates and pieces.select_split:
            found = evaluator.evaluate(*state.eval_model, pieces.select_split)
            head = plan.log_head(stage, step, pieces.select_split, clock.seconds())
            writer.write(head | writers.flatten(found.logged))
            value, *more = results.selected(found, step, **pieces.config["select"])
            if more:
                state, value = keep(state, (value, *more)), None
                best = members.newest(state)
            elif best is None or value < best[1]:
                best, unsaved = (step, value), (step, value, copy(state))
        ends = evaluates and plan.gives_up(best and best[0], step)
        if saves or stops or ends:
            if unsaved and unsaved[0] != step:
                checkpoints.save(
                    unsaved[0], unsaved[2], stage=stage.number, value=unsaved[1]
                )
            checkpoints.save(step, state, stage=stage.number, value=value)
            unsaved = None
        if stops:
            checkpoints.wait()
            interrupts.stop_after(step, run.command)
        if ends:
            break
        if evaluates or saves or collects:
            clock.start(step)
    return step, state


def _result(run: _Run, step: int, clock: Clock) -> dict[str, Any]:
    """Evaluates the best state of the last stage; the content of result.json."""
    pieces, last = run.pieces, run.programs[-1]
    best = run.checkpoints.best(last.stage.number)
    best_step = best[0] if best else step
    like = programs_lib.abstract_state(pieces, last)
    state = run.checkpoints.restore(best_step, like)
    model = members.best_model(state)
    first = jax.process_index() == 0
    scores, stored, more = results.evaluated(pieces, *model)
    if pieces.members > 1:
        more["members"] |= members.record(state, pieces.config["seed"])
    if first:
        results.write_predictions(pieces, run.workdir, stored)
    if pieces.config["eval"]["features"]:
        by_bin = programs_lib.by_bin(pieces, last, state)
        for features in results.features(pieces, *model):
            if first:
                run_files.write_features(run.workdir, features | by_bin, best_step)
    return results.result(
        pieces, scores, more, step=step, best_step=best_step, clock=clock
    )
