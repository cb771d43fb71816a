"""Tuning within a study: a grid for each method, of which the best point is run.

The points of a grid are trained with seeds of their own, in `DIR/tuning`, and that with
the smallest validation error by `config.select`, the mean over these seeds, is run with
the seeds of the study. The test split is not looked at.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax import errors
from dirjax.sweeping import jobs as jobs_lib
from dirjax.sweeping.jobs import Job, Point
from dirjax.workdir import files, run_files

FOLDER = "tuning"
FAILED = "failed.json"


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
    found = list(jobs_lib.jobs(tried)) if several else []
    if not found:
        raise errors.InputError(
            "config.tuning needs a method whose grid has several points, as in "
            "--config.grid=\"(('stage.main.learning_rate',(1e-3,1e-2)),)\"; there is "
            "none. Add one, or leave it out."
        )
    for job in found:
        yield dataclasses.replace(job, folder=FOLDER / job.folder)


def begin(workdir: pathlib.Path) -> None:
    """Makes the folder of the runs to tune with, which reports leave out."""
    aside = workdir / FOLDER / run_files.ASIDE
    aside.parent.mkdir(parents=True, exist_ok=True)
    aside.touch()


def fail(folder: pathlib.Path, config: Mapping[str, Any], why: str) -> None:
    """Remembers that a run fails, so that its point is not taken or tried again."""
    from dirjax.config import frozen

    folder.mkdir(parents=True, exist_ok=True)
    found = {"error": why, "config": frozen.to_json(config)}
    files.write_json(folder / FAILED, found)


def failed(folder: pathlib.Path, config: Mapping[str, Any]) -> str:
    """Why a run with this config fails; empty if it does not, as far as is known."""
    from dirjax.config import frozen

    file = folder / FAILED
    found = run_files.read_json(file) if file.exists() else {}
    same = frozen.to_json(found.get("config") or {}) == frozen.to_json(config)
    return found["error"] if same else ""


def _points(grid: Any) -> int:
    """Number of points of a grid."""
    return int(np.prod([len(values) for _, values in grid], dtype=int))


def best(
    every: Sequence[tuple[Job, Mapping[str, Any]]],
    study: Mapping[str, Any],
    workdir: pathlib.Path,
) -> dict[tuple[str, str], Tuned]:
    """The best point of each data set and method.

    Args:
      every: runs that are finished or fail, from `jobs`, and their configs.
      study: the study.
      workdir: its directory.

    Raises:
      InputError: if a run has no validation split, or all points of a method fail.
    """
    found: dict[tuple[str, str], dict[str, tuple[Point, list[float]]]] = {}
    for job, config in every:
        _, name, method, *at, _ = job.folder.parts
        axes = jobs_lib.grids(study)[method]
        paths = [p for of, _ in axes for p in ([of] if isinstance(of, str) else of)]
        point = [(path, job.fields[path]) for path in paths]
        points = found.setdefault((name, method), {})
        error = _error(workdir / job.folder, config)
        points.setdefault("/".join(at), (point, []))[1].append(error)
    for (name, method), points in found.items():
        if not any(np.isfinite(np.mean(values)) for _, values in points.values()):
            raise errors.InputError(
                f"each point of {method} on {name} fails, see {FAILED} in "
                f"{workdir / FOLDER / name / method}. Leave the method out, or try "
                "other values."
            )
    return {
        key: Tuned(
            min(points.values(), key=lambda one: float(np.mean(one[1])))[0],
            {text: float(np.mean(values)) for text, (_, values) in points.items()},
        )
        for key, points in found.items()
    }


def _error(folder: pathlib.Path, config: Mapping[str, Any]) -> float:
    """Validation error of a run, by what selects its state; infinite if it fails."""
    if failed(folder, config):
        return math.inf
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
        errors_of = {k: v if np.isfinite(v) else None for k, v in one.errors.items()}
        entry = {"point": dict(one.point), "val_error": errors_of}
        found.setdefault(name, {})[method] = entry
    return found
