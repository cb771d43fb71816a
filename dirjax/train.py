"""The program: train, evaluate, keep the best, write the result. Read this first.

The loop, always in this order: step, log, refresh statistics at the end of an epoch,
evaluate the state as it is, save. The step number is the clock: batches, randomness
and schedules are functions of (seed, step), so a run resumes from its last state and
nothing else.
"""

from __future__ import annotations

import importlib.metadata
import json
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

import dirjax
from dirjax import config as config_lib
from dirjax import labels, metrics, report, validation
from dirjax import writers as writers_lib
from dirjax.checkpoint import Checkpoints, Damaged
from dirjax.cli import InputError, Interrupts, writing
from dirjax.lock import Lock, unusable
from dirjax.overview import overview
from dirjax.progress import Clock, Means
from dirjax.run import Run
from dirjax.step import TrainState


def train_and_evaluate(
    config: Mapping[str, Any],
    workdir: pathlib.Path,
    *,
    verbose: bool = True,
    command: str | None = None,
) -> dict[str, Any]:
    """Trains a model as the config says, or goes on where an earlier call stopped.

    Args:
      config: plain values; the fields are those of `configs/common.py`.
      workdir: directory of the run, made if missing.
      verbose: show progress, the table, and write the report.
      command: what was typed, for the report.

    Returns:
      The content of `result.json`.

    Raises:
      InputError: if the config or the data is wrong, or the directory is in use or
        cannot be written.
      Stopped: after SIGTERM or SIGINT, with the state saved.
      Failed: if a loss or gradient is not finite, or the disk is full.
    """
    validation.validate(config)
    writers_lib.check(config["writers"] or ())
    first = jax.process_index() == 0
    verbose = verbose and first
    if _is_finished(config, workdir):
        if verbose:
            print(f"{workdir} is finished.")
            _show(workdir)
        return json.loads((workdir / "result.json").read_text())

    with Lock(workdir):
        run = Run(config)
        config_lib.check_data(run.source.record, workdir, config["data"])
        if not (workdir / "checkpoints").exists():
            run.origin()  # What is wrong with it is said before anything is written.
        if first:
            writers_lib.write_json(workdir / "config.json", config_lib.to_json(config))
            writers_lib.write_json(workdir / "data.json", run.source.record)
            writers_lib.write_json(workdir / "bins.json", _bins(run))
        if verbose:
            print(overview(run), flush=True)
        with Checkpoints(workdir / "checkpoints") as checkpoints:
            result = None
            while result is None:
                try:
                    result = _go_on(run, checkpoints, workdir, command, verbose)
                except Damaged as damage:
                    step = checkpoints.set_aside(damage.step)
                    if first:
                        where = f"goes on after step {step}" if step else "begins anew"
                        print(
                            f"dirjax: the checkpoint of step {damage.step} cannot be "
                            f"read; the run {where}.",
                            file=sys.stderr,
                        )
        if first:
            writers_lib.write_json(workdir / "result.json", result)
        if verbose:
            _show(workdir)
    return result


def _go_on(
    run: Run,
    checkpoints: Checkpoints,
    workdir: pathlib.Path,
    command: str | None,
    verbose: bool,
) -> dict[str, Any]:
    """Trains from the newest checkpoint to the end; the content of result.json."""
    step = checkpoints.latest() or 0
    clock = Clock(writers_lib.last_time(workdir / "metrics.jsonl", step))
    writer = writers_lib.make(
        workdir,
        run.config["writers"] or (),
        config=run.config,
        step=step,
        total=run.plan.stop,
        first=jax.process_index() == 0,
        verbose=verbose,
    )
    with writer, Interrupts() as interrupts:
        _train(run, step, checkpoints, writer, clock, interrupts)
    return _result(run, checkpoints, clock, workdir, command)


def _show(workdir: pathlib.Path) -> None:
    with writing(workdir / "report"):
        report.show(workdir)


def _is_finished(config: Mapping[str, Any], workdir: pathlib.Path) -> bool:
    try:
        _check_workdir(config, workdir)
        return (workdir / "result.json").exists()
    except OSError as error:
        raise unusable(workdir, error) from error


def _check_workdir(config: Mapping[str, Any], workdir: pathlib.Path) -> None:
    """A directory belongs to one config."""
    if workdir.exists() and not workdir.is_dir():
        raise InputError(f"--workdir must be a directory, {workdir} is a file.")
    if (workdir / "config.json").exists():
        config_lib.check_same(config, workdir / "config.json")
    elif (workdir / "checkpoints").exists():
        raise InputError(
            f"{workdir} holds checkpoints but no config.json, so nobody knows of which "
            "run. Use another --workdir."
        )


def _result(
    run: Run,
    checkpoints: Checkpoints,
    clock: Clock,
    workdir: pathlib.Path,
    command: str | None,
) -> dict[str, Any]:
    """Evaluates the best state of the last stage; the content of result.json."""
    last = run.plan.stages[-1]
    best = checkpoints.best(last.number)
    best_step = best[0] if best else run.plan.stop
    state = checkpoints.restore(best_step, run.abstract(last))
    scores: dict[str, Any] = {"val": {}, "test": {}}
    for split in [s for s in scores if s in run.source.splits]:
        scores[split], predictions = run.evaluate(state, split)
        metrics.check_identity(scores[split])
        if jax.process_index() == 0 and split == "test":
            writers_lib.write_npz(workdir / "predictions.npz", predictions)
    if run.config["eval"]["features"]:
        split = next(s for s in ("test", "val", "train") if s in run.source.splits)
        for one in dict.fromkeys((split, "train")):
            features = run.features(state, one)
            if jax.process_index() == 0:
                writers_lib.write_features(workdir, features)
    rate = clock.rate()
    return {
        "schema": 1,
        "dirjax": dirjax.__version__,
        "dataset": run.source.name,
        "method": run.config["method"],
        "seed": run.config["seed"],
        "command": command,
        "steps": run.plan.stop,
        "best_step": best_step,
        "select": {**run.config["select"], "split": run.select_split},
        **scores,
        "skipped": dict(run.source.skipped),
        "train_seconds": round(clock.seconds(), 3),
        "examples_per_second": rate and round(rate * run.plan.batch_size, 1),
        "device": jax.devices()[0].platform,
        "processes": jax.process_count(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("jax", "flax", "optax", "orbax-checkpoint", "numpy")
        },
    }


def _train(
    run: Run,
    step: int,
    checkpoints: Checkpoints,
    writer: writers_lib.Many,
    clock: Clock,
    interrupts: Interrupts,
) -> None:
    """The loop, from `step` to the end of the plan. Ends with everything saved."""
    state: Any = None  # a TrainState, from here or from the first stage
    if step:
        state = checkpoints.restore(step, run.abstract(run.plan.stage_at(step - 1)))
    for stage in run.plan.stages:
        if step >= stage.stop:
            continue
        if step == stage.start:
            before = run.plan.stages[stage.number - 1] if stage.number else None
            if before and stage.init_from == "best":
                checkpoints.wait()
                found = checkpoints.best(before.number)
                if found:
                    state = checkpoints.restore(found[0], run.abstract(before))
            state = run.begin(stage, state)
        train_steps, refresh = run.compile(stage)
        best = checkpoints.best(stage.number)
        # The best state is kept in memory until the next save: a run that is killed
        # before goes on from the last save, and finds it again.
        unsaved: tuple[int, float, TrainState] | None = None
        means, warn = Means(), _warn_once()
        clock.compiles()
        clock.start(step)
        for start, count, batch in run.batches(step, stage.stop):
            with jax.transfer_guard("disallow"):
                state, new = train_steps(state, batch, run.number(count))
            step = start + count
            means.add(new)
            evaluates, saves = run.plan.evaluates(step), run.plan.saves(step)
            logs = run.plan.logs(step)
            stops = interrupts.received or checkpoints.preempted(start, step)
            if logs or evaluates or saves or stops:
                means.collect()
                clock.stop(step)
            if logs:
                record = run.record(stage, step, "train", clock.seconds())
                rates = {
                    "learning_rate": run.learning_rate(stage, step),
                    "examples_per_second": clock.take() * run.plan.batch_size,
                }
                learnt = means.take()
                writer.write(record | learnt | rates)
                for sentence in run.advice(stage, learnt):
                    warn(sentence)
            if refresh and run.plan.ends_epoch(step):
                state = refresh(state)
            value = None
            if evaluates and run.select_split:
                scores, _ = run.evaluate(state, run.select_split)
                record = run.record(stage, step, run.select_split, clock.seconds())
                writer.write(record | writers_lib.flatten(scores))
                value = run.value(scores, step)
                if best is None or value < best[1]:
                    best, unsaved = (step, value), (step, value, run.copy(state))
            if saves or stops:
                if unsaved and unsaved[0] != step:
                    checkpoints.save(
                        unsaved[0], unsaved[2], stage=stage.number, value=unsaved[1]
                    )
                checkpoints.save(step, state, stage=stage.number, value=value)
                unsaved = None
            if stops:
                checkpoints.wait()
                interrupts.stop(f"stopped after step {step}, which is saved")
            if evaluates or saves or (refresh and run.plan.ends_epoch(step)):
                clock.start(step)
    checkpoints.wait()
    if interrupts.received:
        interrupts.stop(f"stopped after step {step}, which is saved")


def _warn_once() -> Callable[[str], None]:
    """Prints sentences to stderr, the first of a kind and in the first process only."""
    said = set()

    def warn(sentence: str) -> None:
        # They may begin with a number that changes.
        kind = sentence.lstrip("0123456789.% ")
        if kind not in said and jax.process_index() == 0:
            print(f"dirjax: {sentence}", file=sys.stderr, flush=True)
        said.add(kind)

    return warn


def _bins(run: Run) -> dict[str, Any]:
    """What reports need to know of the labels, in units of the file."""
    spec, groups = run.spec, run.spec.groups
    bins: dict[str, Any] = {
        "label": run.source.label,
        "edges": run.source.edges.tolist(),
        "train_count": spec.counts.tolist(),
        "shots": [labels.SHOTS[s] for s in spec.shots],
    }
    if groups is not None:
        centers = np.exp(groups.centers) if run.source.log else groups.centers
        bins["groups"] = {
            "num": groups.num,
            "of_bin": groups.of_bin.tolist(),
            "train_count": groups.counts.tolist(),
            "centers": centers.tolist(),
        }
    return bins
