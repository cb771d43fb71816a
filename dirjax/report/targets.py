"""A run of several targets as runs of one, which tables and figures are about.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from dirjax.report.reading import read_run
from dirjax.report.runs import Run
from dirjax.workdir import run_files


def read_runs(path: str | pathlib.Path) -> list[Run]:
    """Reads a run directory: one run, or one for each of its targets.

    Args:
      path: the directory given as `--workdir`.

    Returns:
      The run; of a finished run of several targets each of them, as a data set of its
      own, with its part of the log.

    Raises:
      InputError: see `read_run`.
    """
    run = read_run(path)
    several = (run.result or {}).get("targets")
    if not several:
        return [run]
    found = []
    for number, name in enumerate(several):
        folder = run_files.folder_of_target(run.path, number, name)
        log = tuple(of_target(entry, name, several) for entry in run.log)
        found.append(dataclasses.replace(read_run(folder), path=run.path, log=log))
    return found


def of_target(
    entry: Mapping[str, Any], name: str, names: Mapping[str, Any]
) -> dict[str, Any]:
    """A line of the log of a target: its own entries, and those that are of no other.

    Example:
      >>> line = {"step": 5, "loss": 2.0, "a/loss": 1.0, "b/loss": 3.0}
      >>> of_target(line, "a", {"a": {}, "b": {}})
      {'step': 5, 'loss': 1.0}
    """
    start = f"{name}/"
    own = {k.removeprefix(start): v for k, v in entry.items() if k.startswith(start)}
    others = tuple(f"{other}/" for other in names)
    return {k: v for k, v in entry.items() if not k.startswith(others)} | own
