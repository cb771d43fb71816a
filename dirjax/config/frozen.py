"""Freezes a config to plain values and compares it with that of an existing run."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dirjax.config import phases
from dirjax.data import catalog, readers
from dirjax.errors import InputError
from dirjax.workdir import run_files
from dirjax.workdir.run_files import unusable

if TYPE_CHECKING:  # it needs JAX, which reading data does not
    pass


def plain(config: Any) -> dict[str, Any]:
    """A ConfigDict as plain dicts; tuples stay tuples.

    A data set without a name is named after its file, and the parts of a divided run
    get their lengths.

    Raises:
      InputError: if the config has no data, or the shares of a divided run do not fit.
    """
    made = _dicts(config.to_dict() if hasattr(config, "to_dict") else config)
    phases.divide(made)
    if "data" not in made:
        raise InputError(
            "the config has no data, like those in configs/studies. Pass it to python "
            "-m dirjax.sweep."
        )
    data = made["data"]
    try:
        by_path = readers.names_by_path(data["kind"])
    except ValueError as error:
        raise InputError(f"config.{error}") from error
    if not data["name"] and data["path"] and by_path:
        data["name"] = catalog.stem(data["path"])
    return made


def _dicts(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _dicts(v) if isinstance(v, Mapping) else v for k, v in tree.items()}


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def to_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config after a round trip through JSON, for files and comparison.

    The path of the data becomes absolute, so that a run finds it from any folder.
    """
    made = json.loads(json.dumps(config))
    data = made.get("data")
    if isinstance(data, dict) and data.get("path"):
        data["path"] = os.path.abspath(os.path.expanduser(data["path"]))
    return made


def finished(config: Mapping[str, Any], workdir: pathlib.Path) -> dict[str, Any] | None:
    """The result of a finished run; None for a new or unfinished one.

    Args:
      config: from `plain`.
      workdir: the run directory, which belongs to one config.

    Raises:
      InputError: if the directory holds another run, or cannot be read.
    """
    try:
        if workdir.exists() and not workdir.is_dir():
            raise InputError(f"--workdir must be a directory, {workdir} is a file.")
        if (workdir / run_files.CONFIG).exists():
            check_same(config, workdir / run_files.CONFIG)
        elif (workdir / run_files.CHECKPOINTS).exists():
            raise InputError(
                f"{workdir} holds checkpoints but no {run_files.CONFIG}, so their run "
                "is unknown. Use another --workdir."
            )
        file = workdir / run_files.RESULT
        return json.loads(file.read_text()) if file.exists() else None
    except OSError as error:
        raise unusable(workdir, error) from error


def check_same(config: Mapping[str, Any], file: pathlib.Path) -> None:
    """Checks that a run directory belongs to this config.

    Args:
      config: from `plain`.
      file: its `config.json`.

    Raises:
      InputError: naming the fields that differ.
    """
    try:
        before = dict(_leaves(json.loads(file.read_text())))
    except (json.JSONDecodeError, AttributeError) as error:
        raise InputError(
            f"{file} is no config ({error}). Use another --workdir."
        ) from error
    now = dict(_leaves(to_json(config)))
    differ = [k for k in sorted({*before, *now}) if before.get(k) != now.get(k)]
    if differ:
        said = "; ".join(f"{k} {before.get(k)!r} -> {now.get(k)!r}" for k in differ[:5])
        raise InputError(
            f"{file.parent} holds a run with a different config "
            f"({said}{', ...' if len(differ) > 5 else ''}). Use another --workdir, or "
            "resume with the same config."
        )


def check_data(
    record: Mapping[str, Any], workdir: pathlib.Path, data: Mapping[str, Any]
) -> None:
    """Checks that a run resumes on the data it started with, by the data record.

    Args:
      record: the data record, see `sources.Source`.
      workdir: the run directory; without `data.json` the run has not started.
      data: the fields of `config.data`, for the message.

    Raises:
      InputError: naming what differs.
    """
    try:
        before = json.loads((workdir / run_files.DATA).read_text())
    except (OSError, ValueError):
        return
    old, now = dict(_leaves(before)), dict(_leaves(to_json(record)))
    differ = [k for k in sorted({*old, *now}) if old.get(k) != now.get(k)]
    if differ:
        raise InputError(
            f"{data['path'] or data['name']} has changed since the run in {workdir} "
            f"started ({', '.join(differ[:5])}). Restore the old file, or use another "
            "--workdir."
        )
