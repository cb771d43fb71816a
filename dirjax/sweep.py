"""`python -m dirjax.sweep --config configs/studies/NAME.py --workdir DIR`.

A study is a grid: config files x methods x values of fields x seeds. Each point is a
separate run in `DIR/DATASET/METHOD[/FIELD=VALUE...]/seed_N`; with `together` the seeds
of a point are trained in one program, as members. Finished runs are skipped,
killed runs resume, and runs in use elsewhere are left out, so repeating the command
does what is left; `--job K/N` does every N-th run, to divide a study among N machines
or cores. The last job to finish writes a report over all runs into `DIR/report`. A
method may start from the runs of another method, seed by seed (`starts`). With `tuning`
the grids are tried with seeds of their own in `DIR/tuning`, and the best point of each
data set and method on validation is run (`DIR/tuned.json`).

A study with the field `program` is not a grid: `run_study(study, workdir)` in the
module of that name does everything, and writes `DIR/result.json` when it is finished.
"""

from __future__ import annotations

import importlib
import itertools
import json
import pathlib
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from absl import flags

from dirjax import errors
from dirjax.cli import config_files, entry, status, usage
from dirjax.runtime import startup
from dirjax.sweeping import jobs, tuning
from dirjax.sweeping import study as study_lib
from dirjax.sweeping import units as units_lib
from dirjax.sweeping.jobs import Job
from dirjax.workdir import files, run_files


def _share(text: str) -> tuple[int, int]:
    """`K/N` -> `(K, N)`."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()) or not (
        1 <= int(number) <= int(count)
    ):
        raise errors.InputError(f"--job must be K/N with K from 1 to N, got {text!r}.")
    return int(number), int(count)


def _run_program(
    study: Mapping[str, Any], workdir: pathlib.Path, count: int, dry_run: bool
) -> None:
    """Calls the program of a study, which is a single job."""
    name = study["program"]
    try:
        module = importlib.import_module(name)
    except (ModuleNotFoundError, ValueError, TypeError, AttributeError) as error:
        raise errors.InputError(
            f"config.program must be the name of a module, {name!r} cannot be "
            f"imported: {error}."
        ) from error
    if not hasattr(module, "run_study"):
        raise errors.InputError(
            f"config.program must be a module with run_study(study, workdir), {name} "
            "has none."
        )
    if count > 1:
        raise errors.InputError(
            f"--job must be 1/1: the study is one program, {name}, and cannot be "
            "divided."
        )
    if dry_run:
        done = (workdir / run_files.RESULT).exists()
        print(f"{'done' if done else 'todo'}  {name}")
        return
    module.run_study(study, workdir)


TUNED = "tuned.json"


def _left(seconds: Sequence[float], runs: int) -> str:
    """How long `runs` more runs take, from the seconds of those that are done.

    Example:
      >>> _left([10.0, 14.0], 20)
      ', about 4 min left'
    """
    if not seconds:
        return ""
    left = runs * sum(seconds) / len(seconds)
    for unit, size in (("h", 3600), ("min", 60)):
        if left >= 1.5 * size:
            return f", about {left / size:.0f} {unit} left"
    return f", about {left:.0f} s left"


def _check_data(
    every: Iterable[tuple[Job, Mapping[str, Any]]], workdir: pathlib.Path
) -> None:
    """Checks that runs to do are on the same data as finished ones of their study.

    Data are read only where there are both.

    Raises:
      InputError: if a file has changed since.
    """
    from dirjax import data
    from dirjax.config import frozen

    on: dict[str, tuple[Mapping[str, Any], list[Job], list[Job]]] = {}
    for job, config in every:
        fields = config["data"]
        key = json.dumps(fields, sort_keys=True)
        _, finished, left = on.setdefault(key, (fields, [], []))
        (finished if units_lib.done(workdir, job, config) else left).append(job)
    for fields, finished, left in on.values():
        if finished and left:
            record = data.from_config(fields).record
            for job in finished:
                frozen.check_data(record, workdir / job.folder, fields)


def _train(
    units: Sequence[units_lib.Unit], workdir: pathlib.Path
) -> list[tuple[units_lib.Unit, str, Exception]]:
    """Does what is left of units; those that failed, with a sentence and why.

    Args:
      units: see `units_lib.units`.
      workdir: directory of the study.
    """
    import jax

    from dirjax.workdir.lock import InUse

    broken, seconds = [], []
    total = sum(map(len, units))
    every = list(itertools.chain(*units))
    left = sum(not units_lib.done(workdir, *one) for one in every)
    print(f"{left} of {total} runs to do; after the first, the time is told.")
    for number, unit in enumerate(units):
        first, _ = unit[0]
        if first.start and not (workdir / first.start / run_files.RESULT).exists():
            said = f"skipped: {first.folder} starts from {first.start}, which is not "
            print(f"{said}finished.", file=sys.stderr, flush=True)
            continue
        name = str(first.folder)
        if len(unit) > 1:
            name += f" to {unit[-1][0].folder.name}, in one program"
        # Another config in the folder is no failure of this one.
        todo = [one for one in unit if not units_lib.done(workdir, *one)]
        if todo:
            at = sum(map(len, units[: number + 1]))
            print(f"[{at}/{total}] {name}{_left(seconds, left)}", flush=True)
        start = time.monotonic()
        try:
            _train_unit(unit, todo, workdir)
        except InUse as error:
            if jax.process_count() > 1:
                raise  # The other processes do not know why.
            print(f"skipped: {error}", file=sys.stderr, flush=True)
        except (errors.Failed, errors.InputError) as error:
            alone = not any(units_lib.done(workdir, *one) for one in every)
            if alone and isinstance(error, errors.InputError):
                raise  # Most likely of all runs.
            broken.append((unit, f"{name}: {error}", error))
        else:
            seconds += [(time.monotonic() - start) / len(todo) for _ in todo]
        left -= len(todo)
    return broken


def _train_unit(
    unit: units_lib.Unit, todo: units_lib.Unit, workdir: pathlib.Path
) -> None:
    """Trains the runs of a unit; several are the members of a run, then taken apart.

    That run stays until they are finished, so that a killed study resumes.

    Args:
      unit: see `units_lib.units`.
      todo: those of its runs that are not finished.
      workdir: directory of the study.
    """
    from dirjax import train
    from dirjax.training.assemble import take_apart

    seeds = [config["seed"] for _, config in unit]
    name = f"{units_lib.TOGETHER}{seeds[0]}-{seeds[-1]}"
    together = workdir / unit[0][0].folder.parent / name
    if todo and len(unit) > 1:
        config = unit[0][1]
        model = {**config["model"], "members": len(unit)}
        train.train_and_evaluate({**config, "model": model}, together, show="nothing")
        take_apart(together, [(c, workdir / j.folder) for j, c in todo])
    for job, config in todo:
        folder = workdir / job.folder
        train.train_and_evaluate(
            config, folder, show="nothing", command=jobs.command(job, folder)
        )
    shutil.rmtree(together, ignore_errors=True)


def run(
    study: Mapping[str, Any],
    workdir: pathlib.Path,
    *,
    job: str = "1/1",
    dry_run: bool = False,
) -> None:
    """Runs this job's share of a study.

    Args:
      study: see `jobs.jobs`.
      workdir: directory of the study.
      job: "K/N": every N-th run, from the K-th.
      dry_run: print the runs without doing them.

    Raises:
      InputError: if the study is wrong; every config is built before the first run.
      Failed: at the end, if a run failed; the report is on the others.
    """
    number, count = _share(job)
    if study.get("program"):
        return _run_program(study, workdir, count, dry_run)
    from dirjax import data
    from dirjax.config import validation

    study_lib.check(study)
    if dry_run:
        for config, method in study["left_out"]:
            print(f"none  {jobs.name_of(config)}/{method} (config.left_out)")
    else:
        _one_process(study["together"])
    entry.interruptible()  # Runs clean up.

    base, methods = study["base"], study["methods"]
    known: list[tuple[Job, Mapping[str, Any]]] = []

    def built(every: Sequence[Job]) -> list[dict[str, Any]]:
        """The configs of runs, validated."""
        configs = [jobs.build(j) for j in every]
        said = f"one of the methods {', '.join(methods)}, or empty"
        errors.require_field(not base or base in methods, "base", said, base)
        for config in configs:
            validation.validate(config)
            data.locate(config["data"])
        return configs

    def done(every: Sequence[Job], tunes: bool = False) -> tuple[bool, list[str]]:
        """Does this job's share of runs.

        Returns:
          Whether all are finished or fail, or start from one that does, and what is
          wrong with those of this job that fail, but for points that are only tried.
        """
        pairs = list(zip(every, built(every), strict=True))
        known.extend(pairs)
        units = units_lib.units(pairs, workdir, study["together"])
        mine = units[number - 1 :: count]
        if dry_run:
            for j, c in itertools.chain(*mine):
                there = units_lib.done(workdir, j, c)
                print(f"{'done' if there else 'todo'}  {j.folder}")
            return all(units_lib.done(workdir, *one) for one in pairs), []
        _check_data(known, workdir)

        def fails(j: Job, config: Mapping[str, Any]) -> bool:
            return tunes and bool(tuning.failed(workdir / j.folder, config))

        broken, here = [], set()
        for unit, said, error in _train([u for u in mine if not fails(*u[0])], workdir):
            # A full disk, say, does not tell that the point is bad.
            if tunes and isinstance(error, (errors.Diverged, errors.InputError)):
                print(f"{said} Another point is taken.", file=sys.stderr)
                for j, config in unit:
                    tuning.fail(workdir / j.folder, config, said)
            else:
                broken.append(said)
                here.update(j.folder for j, _ in unit)
        whole = all(
            units_lib.done(workdir, *one)
            or fails(*one)
            or {one[0].folder, one[0].start} & here
            for one in pairs
        )
        return whole, broken

    chosen = {}
    if study["tuning"]:
        tried = list(tuning.jobs(study))
        # Before the first run, also what needs no tuning.
        tuned = {j.folder.parts[2] for j in tried}
        plain = [m for m in study["methods"] if m not in tuned]
        first = {**study, "seeds": study["seeds"][:1], "methods": plain}
        built(list(jobs.jobs(first)))
        if not dry_run:
            tuning.begin(workdir)
        whole, broken = done(tried, tunes=True)
        if broken:
            raise errors.Failed(_told(broken, "Repeat the command to try again."))
        if not whole:
            if not dry_run:
                print("Tuning goes on in other jobs. Repeat the command after them.")
            return
        found = tuning.best(known, study, workdir)
        chosen = {key: one.point for key, one in found.items()}
        if not dry_run:
            files.write_json(workdir / TUNED, tuning.record(found))
    every = [j.within(workdir) for j in jobs.jobs(study, chosen)]
    if not every:
        raise errors.InputError("config.left_out leaves no run. Shorten it.")
    whole, broken = done(every)
    finished = [j for j in every if (workdir / j.folder / run_files.RESULT).exists()]
    if dry_run:
        return
    what_now = f"On those that are finished: python -m dirjax.report {workdir}"
    if whole and finished:
        _report(study, finished, workdir)
        what_now = "The report is on the others. Repeat the command to try again."
    if broken:
        raise errors.Failed(_told(broken, what_now))
    if not whole:
        print("Runs are left to other jobs. Repeat the command after them.")


def _told(broken: Sequence[str], what_now: str) -> str:
    """A sentence on runs that failed, and one on what to do."""
    what = "run failed" if len(broken) == 1 else "runs failed"
    return f"{len(broken)} {what}: {'; '.join(broken)} {what_now}"


def _one_process(together: bool) -> None:
    """Refuses members of a study in several processes."""
    import jax

    if together and jax.process_count() > 1:
        raise errors.InputError(
            "config.together is for one process, since one writes the runs of all "
            f"seeds; there are {jax.process_count()}. Leave it out."
        )


def _report(
    study: Mapping[str, Any], every: Sequence[Job], workdir: pathlib.Path
) -> None:
    """Writes the report over all runs of a study, and what it asks for beside it."""
    from dirjax import report

    page = report.write_report(
        [workdir / j.folder for j in every],
        workdir / "report",
        base=study["base"],
        published=True,
    )
    print((workdir / "report" / "table.txt").read_text(encoding="utf-8"))
    print(f"Report: {page}")
    if study["noise"]:
        first = study["seeds"][0]
        _probe(workdir / j.folder for j in every if j.fields["seed"] == first)


def _probe(folders: Iterable[pathlib.Path]) -> None:
    """Measures predictions of finished runs under input noise."""
    from dirjax import noise

    for folder in folders:
        _, files = noise.probe(folder)
        print(f"Under noise: {', '.join(map(str, files))}")


_JOB = flags.DEFINE_string("job", "1/1", "K/N: do every N-th run, from the K-th.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print the runs without doing them.")


def help_text() -> str:
    """The text of `--help`."""
    from dirjax.config import choices

    return usage.text(
        "python -m dirjax.sweep --config configs/studies/NAME.py --workdir DIR "
        "[--config.FIELD=VALUE ...]",
        "Runs a study: data sets x methods x values of fields x seeds, each a run of "
        "its own. Finished runs are skipped and stopped ones resume, so repeating the "
        "command does what is left; the last job writes a report over all runs.",
        choices.studies(
            required=("config", "workdir"), flags=("job", "dry_run", "debug")
        ),
        (
            "python -m dirjax.sweep --config configs/studies/baselines.py:bikeshare "
            "--workdir runs/base",
            "python -m dirjax.sweep --config configs/studies/ssir.py --workdir "
            "runs/ssir --job 1/2 --dry_run",
        ),
    )


def main(argv: Sequence[str]) -> None:
    """Parses flags and runs."""
    if config_files.asks_for_help(argv):
        print(help_text())
        return
    study, workdir = config_files.parse(argv)
    startup.prepare()
    run(
        study.to_dict(),
        workdir,
        job=_JOB.value,
        dry_run=_DRY_RUN.value,
    )


if __name__ == "__main__":
    startup.quiet()
    sys.exit(status.run(main, sys.argv, debug="--debug" in sys.argv))
