"""Tuning within a study: a grid for each method, of which the best point is run.

The points of a grid are trained with seeds of their own, in `DIR/tuning`, and that with
the smallest validation error by `config.select`, the mean over these seeds, is run with
the seeds of the study. The test split is not looked at.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from dirjax import errors
from dirjax.sweeping import jobs as jobs_lib
from dirjax.sweeping.jobs import Job, Point
from dirjax.workdir import run_files

FOLDER = "tuning"


class Tuned(NamedTuple):
    """What tuning has found for a method on a data set.

    Attributes:
      point: fields and their values.
      errors: mean validation error of each point, the point as text.
    """

    point: Point
    errors: Mapping[str, float]


def jobs(study: Mapping[str, Any]) -> Iterator[Job]:
    """The runs to tune with: those of methods whose grid has several points."""
    counts = {m: _points(grid) for m, grid in jobs_lib.grids(study).items()}
    several = tuple(m for m in study["methods"] if counts[m] > 1)
    for name, other in study["starts"]:
        if name in several or other in several:
            raise errors.InputError(
                f"config.tuning is for methods that start by themselves, {name} starts "
                f"from {other}. Leave out config.starts, or the grid."
            )
    tried = {**study, "methods": several, "seeds": study["tuning"]}
    for job in jobs_lib.jobs(tried):
        yield dataclasses.replace(job, folder=FOLDER / job.folder)


def _points(grid: Any) -> int:
    """Number of points of a grid."""
    return int(np.prod([len(values) for _, values in grid], dtype=int))


def best(
    every: list[Job], study: Mapping[str, Any], workdir: pathlib.Path
) -> dict[tuple[str, str], Tuned]:
    """The best point of each data set and method.

    Args:
      every: finished runs, from `jobs`.
      study: the study.
      workdir: its directory.

    Raises:
      InputError: if a run has no validation split.
    """
    found: dict[tuple[str, str], dict[str, tuple[Point, list[float]]]] = {}
    for job in every:
        _, name, method, *at, _ = job.folder.parts
        axes = jobs_lib.grids(study)[method]
        paths = [p for of, _ in axes for p in ([of] if isinstance(of, str) else of)]
        point = [(path, job.fields[path]) for path in paths]
        points = found.setdefault((name, method), {})
        error = _error(workdir / job.folder)
        points.setdefault("/".join(at), (point, []))[1].append(error)
    return {
        key: Tuned(
            min(points.values(), key=lambda one: float(np.mean(one[1])))[0],
            {text: float(np.mean(values)) for text, (_, values) in points.items()},
        )
        for key, points in found.items()
    }


def _error(folder: pathlib.Path) -> float:
    """Validation error of a finished run, by what selects its state."""
    result = run_files.read_result(folder)
    metric, shot, split = (result["select"][k] for k in ("metric", "shot", "split"))
    if split != "val":
        raise errors.InputError(
            f"config.tuning needs a validation split, {result['dataset']} has none. "
            "Mark rows as val, or leave it out."
        )
    return float(result["val"][metric][shot])


def record(tuned: Mapping[tuple[str, str], Tuned]) -> dict[str, Any]:
    """Plain values: data set -> method -> the point, and the error of all."""
    found: dict[str, Any] = {}
    for (name, method), one in tuned.items():
        entry = {"point": dict(one.point), "val_error": dict(one.errors)}
        found.setdefault(name, {})[method] = entry
    return found
