"""The runs of a study: a grid of config files, methods, fields and seeds."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import shlex
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dirjax.cli import config_files


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


Point = Sequence[tuple[str, Any]]


def name_of(config: str) -> str:
    """The name of a data set of a study, its folder.

    Example:
      >>> name_of("configs/mnist5k.py:rotation,small"), name_of("configs/csv.py")
      ('mnist5k-rotation-small', 'csv')
    """
    file, _, options = config.partition(":")
    return "-".join([pathlib.Path(file).stem, *filter(None, options.split(","))])


def grids(study: Mapping[str, Any]) -> dict[str, Any]:
    """The grid of each method of a study."""
    same = dict.fromkeys(study["methods"], study["grid"])
    return same | dict(study["method_grids"])


def jobs(
    study: Mapping[str, Any],
    chosen: Mapping[tuple[str, str], Point] = types.MappingProxyType({}),
) -> Iterator[Job]:
    """All runs of a study; the seed varies slowest.

    Args:
      study: `configs` (files, with options of their own after a colon), `methods`,
        `seeds`, `options`, `data` (fields of `config.data`;
        None means as in the config), `fields` (pairs of path and value; both are set
        in every run), `config_fields` (config, path and value, set in the runs on
        that data set), `method_fields` (method, path and value, set in the
        runs of that method), `arguments` (method, and its argument after the colon),
        `left_out` (config and method that are not run),
        `starts` (method, and the method whose run of the same seed and point, or of the
        same seed if it has no grid, it starts from), `grid` (pairs of path and values,
        or of paths and values of each) and `method_grids` (method, and its own grid);
        see `configs/studies/common.py`.
      chosen: (name of the data set, method) -> the point that is run instead of its
        grid, see `tuning`.
    """
    arguments, starts = dict(study["arguments"]), dict(study["starts"])
    axes, left_out = grids(study), set(map(tuple, study["left_out"]))
    given = {f"data.{k}": v for k, v in study["data"].items() if v is not None}
    for seed, config, method in itertools.product(
        study["seeds"], study["configs"], study["methods"]
    ):
        if (config, method) in left_out:
            continue
        name, start = name_of(config), starts.get(method)
        file, _, options = config.partition(":")
        named = filter(None, [arguments.get(method, method), options])
        argument = ",".join([*named, *study["options"]])
        own = {path: value for c, path, value in study["config_fields"] if c == config}
        own |= {path: value for m, path, value in study["method_fields"] if m == method}
        if method in arguments:
            own["method"] = method
        own = {**given, **dict(study["fields"]), **own}
        alone = chosen.get((name, method))
        for point in _points(axes[method]) if alone is None else [alone]:
            at, last = [f"{k}={v}" for k, v in point], f"seed_{seed}"
            at = at if alone is None else []
            before = at if start and axes[start] else []
            yield Job(
                file,
                argument,
                {**own, **dict(point), "seed": seed},
                pathlib.PurePath(name, method, *at, last),
                start and pathlib.PurePath(name, start, *before, last),
            )


def _points(grid: Sequence[Any]) -> Iterator[list[tuple[str, Any]]]:
    """The points of a grid, each a list of pairs of path and value.

    Example:
      >>> list(_points([("a", (1, 2)), (("b", "c"), ((3, 4),))]))
      [[('a', 1), ('b', 3), ('c', 4)], [('a', 2), ('b', 3), ('c', 4)]]
    """

    def pairs(paths, value):
        one = isinstance(paths, str)
        return [(paths, value)] if one else list(zip(paths, value, strict=True))

    axes = [[pairs(paths, value) for value in values] for paths, values in grid]
    for point in itertools.product(*axes):
        yield [pair for part in point for pair in part]


def build(job: Job) -> dict[str, Any]:
    """The config of a job, as plain values.

    Raises:
      InputError: if the file, the method or a field does not exist, or a value does
        not fit.
    """
    from dirjax.config import frozen

    config = config_files.load(job.file, job.argument or None)
    config.lock()
    for field, value in job.fields.items():
        config_files.assign(config, field, value, job.file)
    return frozen.plain(config)


def command(job: Job, folder: pathlib.Path) -> str:
    """The command line that does one run alone."""
    fields = [f"--config.{k}={v}" for k, v in job.fields.items()]
    config = f"{job.file}:{job.argument}"
    arguments = ["--config", config, "--workdir", str(folder), *fields]
    return shlex.join(["python", "-m", "dirjax.main", *arguments])
