"""What a study trains in one program: a run, or the members of a point."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from dirjax.sweeping.jobs import Job
from dirjax.workdir import run_files

Unit = list[tuple[Job, Mapping[str, Any]]]
# Run directory of the members of a point, before the seeds.
TOGETHER = "together_"


def done(workdir: pathlib.Path, job: Job, config: Mapping[str, Any]) -> bool:
    """Whether a run of a study is finished, also if it is longer than before.

    Raises:
      InputError: if its folder holds another run.
    """
    from dirjax.config import frozen

    return frozen.finished(config, workdir / job.folder) is not None


def units(
    every: Iterable[tuple[Job, Mapping[str, Any]]],
    workdir: pathlib.Path,
    together: bool,
) -> list[Unit]:
    """What is trained in one program: a run, or the runs of consecutive seeds.

    Runs that are members already, start from others, have started alone, or may stop
    early, remain alone.
    """
    found: list[Unit] = []
    last: dict[pathlib.PurePath, Unit] = {}
    for job, config in every:
        point = job.folder.parent
        started = (workdir / job.folder / run_files.CHECKPOINTS).exists()
        if started and any((workdir / point).glob(f"{TOGETHER}*")):
            started = False  # It was put there by a run with members.
        alone = not together or started or job.start is not None
        alone = alone or config["model"]["members"] > 1
        alone = alone or bool(config["init_from"] or config["train"]["patience"])
        unit = None if alone else last.get(point)
        if unit and unit[-1][1]["seed"] + 1 == config["seed"]:
            unit.append((job, config))
            continue
        found.append([(job, config)])
        if not alone:
            last[point] = found[-1]
    return found
