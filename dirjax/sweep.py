"""`python -m dirjax.sweep --config configs/studies/NAME.py --workdir DIR`.

A study is a grid: config files x methods x values of fields x seeds. Each point is a
separate run in `DIR/DATASET/METHOD[/FIELD=VALUE...]/seed_N`. Finished runs are skipped,
killed runs resume, and runs in use elsewhere are left out, so repeating the command
does what is left; `--job K/N` does every N-th run, to divide a study among N machines
or cores. The last job to finish writes a report over all runs into `DIR/report`. A
method may start from the runs of another method, seed by seed (`starts`).

A study with the field `program` is not a grid: `run_study(study, workdir)` in the
module of that name does everything, and writes `DIR/result.json` when it is finished.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import pathlib
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from dirjax import errors
from dirjax.cli import config_files, entry, status, usage
from dirjax.runtime import startup


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of a study.

    Attributes:
      file: config file of the data set.
      argument: the part of `--config` after the colon.
      fields: field path -> value, set after the config is made.
      folder: run directory, relative to the study's.
      start: directory of the run for the warm start, likewise.
    """

    file: str
    argument: str
    fields: Mapping[str, Any]
    folder: pathlib.PurePath
    start: pathlib.PurePath | None = None

    def within(self, workdir: pathlib.Path) -> Job:
        """The job with its warm start set, for a study in `workdir`."""
        if self.start is None:
            return self
        init_from = {"init_from": str(workdir / self.start)}
        return dataclasses.replace(self, fields={**self.fields, **init_from})


def jobs(study: Mapping[str, Any]) -> Iterator[Job]:
    """All runs of a study; the seed varies slowest.

    Args:
      study: `configs`, `methods`, `seeds`, `options`, `data` (fields of `config.data`;
        None means as in the config), `fields` (pairs of path and value; both are set
        in every run), `method_fields` (method, path and value, set in the
        runs of that method), `arguments` (method, and its argument after the colon),
        `starts` (method, and the method whose run of the same seed and point it starts
        from) and `grid` (pairs of path and values); see `configs/studies/common.py`.
    """
    grid = [[(k, v) for v in values] for k, values in study["grid"]]
    arguments, starts = dict(study["arguments"]), dict(study["starts"])
    given = {f"data.{k}": v for k, v in study["data"].items() if v is not None}
    for seed, file, method, *point in itertools.product(
        study["seeds"], study["configs"], study["methods"], *grid
    ):
        parts = [f"{k}={v}" for k, v in point]
        name = pathlib.Path(file).stem
        folder = pathlib.PurePath(name, method, *parts, f"seed_{seed}")
        start = starts.get(method)
        if start is not None:
            start = pathlib.PurePath(name, start, *parts, f"seed_{seed}")
        argument = ",".join([arguments.get(method, method), *study["options"]])
        own = {path: value for m, path, value in study["method_fields"] if m == method}
        if method in arguments:
            own["method"] = method
        fields = {**given, **dict(study["fields"]), **own, **dict(point), "seed": seed}
        yield Job(file, argument, fields, folder, start)


def build(job: Job) -> dict[str, Any]:
    """The config of a job, as plain values.

    Raises:
      InputError: if the file, the method or a field does not exist.
    """
    from dirjax.config import frozen

    config = config_files.load(job.file, job.argument)
    config.lock()
    for field, value in job.fields.items():
        try:
            config.update_from_flattened_dict({field: value})
        except (KeyError, AttributeError, TypeError) as error:
            raise errors.InputError(
                f"the study sets {field}={value!r}, which does not fit {job.file}: "
                f"{error}."
            ) from error
    return frozen.plain(config)


def command(job: Job, folder: pathlib.Path) -> str:
    """The command line that does one run alone."""
    fields = [f"--config.{k}={v}" for k, v in job.fields.items()]
    config = f"{job.file}:{job.argument}"
    arguments = ["--config", config, "--workdir", str(folder), *fields]
    return shlex.join(["python", "-m", "dirjax.main", *arguments])


def _share(text: str) -> tuple[int, int]:
    """`K/N` -> `(K, N)`."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdigit() and count.isdigit()) or not (
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
        done = (workdir / "result.json").exists()
        print(f"{'done' if done else 'todo'}  {name}")
        return
    module.run_study(study, workdir)


# Lists of pairs and triples: field -> what an item holds, and one as it is typed.
_ITEMS = {
    "grid": (("field", "values"), "('data.bin_width',(5.0,10.0))"),
    "fields": (("field", "value"), "('train.patience',10)"),
    "arguments": (("method", "argument"), "('small','lds,smoke')"),
    "starts": (("method", "method that it starts from"), "('tune','vanilla')"),
    "method_fields": (("method", "field", "value"), "('lds','data.many',20)"),
}


def _check_lists(study: Mapping[str, Any]) -> None:
    """Checks what the lists of a study hold, since they can be typed.

    Raises:
      InputError: for an empty list, or an item of another form.
    """
    for name, example in (("configs", "csv.py"), ("methods", "lds"), ("seeds", "0,1")):
        said = f"a list, as in --config.{name}={example}"
        errors.require_field(bool(study[name]), name, said, study[name])
    for name, (what, typed) in _ITEMS.items():
        for item in study[name]:
            if not isinstance(item, (tuple, list)) or len(item) != len(what):
                raise errors.InputError(
                    f"config.{name} must be a list of ({', '.join(what)}), got "
                    f'{item!r} in it. Type it as "--config.{name}=({typed},)".'
                )


def _done(workdir: pathlib.Path, job: Job) -> bool:
    return (workdir / job.folder / "result.json").exists()


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


def run(
    study: Mapping[str, Any],
    workdir: pathlib.Path,
    *,
    job: str = "1/1",
    dry_run: bool = False,
) -> None:
    """Runs this job's share of a study.

    Args:
      study: see `jobs`.
      workdir: directory of the study.
      job: "K/N": every N-th run, from the K-th.
      dry_run: print the runs without doing them.

    Raises:
      InputError: if the study is wrong; every config is built before the first run.
      Failed: at the end, if a run failed; the others are finished.
    """
    number, count = _share(job)
    if study.get("program"):
        return _run_program(study, workdir, count, dry_run)
    from dirjax import data
    from dirjax.config import frozen, validation

    missing = {"configs", "methods", "seeds", "options", "data", "fields", "grid"}
    missing = (missing | {"method_fields", "arguments", "starts", "base"}) - set(study)
    if missing:
        raise errors.InputError(
            f"the config is not a study, it lacks {', '.join(sorted(missing))}. Give "
            "one of configs/studies, or start from configs/studies/common.py."
        )
    _check_lists(study)
    every = [j.within(workdir) for j in jobs(study)]
    configs = [build(j) for j in every]
    base, methods = study["base"], study["methods"]
    said = f"one of the methods {', '.join(methods)}, or empty"
    errors.require_field(not base or base in methods, "base", said, base)
    for config in configs:
        validation.validate(config)
        data.locate(config["data"])
    mine = list(zip(every, configs, strict=True))[number - 1 :: count]
    if dry_run:
        for j, _ in mine:
            print(f"{'done' if _done(workdir, j) else 'todo'}  {j.folder}")
        return
    import jax

    from dirjax import report, train
    from dirjax.workdir.lock import InUse

    entry.interruptible()  # Runs clean up.

    broken, seconds = [], []
    todo = [i for i, (j, _) in enumerate(mine, 1) if not _done(workdir, j)]
    print(f"{len(todo)} of {len(mine)} runs to do; after the first, the time is told.")
    for i, (j, config) in enumerate(mine, 1):
        folder = workdir / j.folder
        if frozen.finished(config, folder) is not None:
            continue
        if j.start and not (workdir / j.start / "result.json").exists():
            said = f"skipped: {j.folder} starts from {j.start}, which is not finished."
            print(said, file=sys.stderr, flush=True)
            continue
        left = _left(seconds, sum(k >= i for k in todo))
        print(f"[{i}/{len(mine)}] {j.folder}{left}", flush=True)
        start = time.monotonic()
        try:
            train.train_and_evaluate(
                config, folder, verbose=False, command=command(j, folder)
            )
        except InUse as error:
            if jax.process_count() > 1:
                raise  # The other processes do not know why.
            print(f"skipped: {error}", file=sys.stderr, flush=True)
        except errors.Failed as error:
            broken.append(f"{j.folder}: {error}")
        else:
            seconds.append(time.monotonic() - start)
    if broken:
        raise errors.Failed(f"{len(broken)} runs failed: " + "; ".join(broken))
    if all(_done(workdir, j) for j in every):
        page = report.write_report(
            [workdir / j.folder for j in every],
            workdir / "report",
            base=base or None,
            published=True,
        )
        print((workdir / "report" / "table.txt").read_text())
        print(f"Report: {page}")


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
