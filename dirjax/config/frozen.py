"""Freezes a config to plain values and compares it with that of an existing run."""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from dirjax import dotted
from dirjax.config import fields, phases
from dirjax.correct import priors
from dirjax.data import catalog, readers
from dirjax.errors import InputError, local_path
from dirjax.workdir import run_files
from dirjax.workdir.run_files import unusable

# Fields that hold paths, by branch.
_PATHS = (
    ("data", "path"),
    ("model", "pretrained"),
    ("prior", "target"),
    ("", "init_from"),
)


def plain(config: Any) -> dict[str, Any]:
    """A ConfigDict as plain dicts; tuples stay tuples.

    A data set without a name is named after its file, and the parts of a divided run
    get their lengths.

    Raises:
      InputError: if the config has no data, or a field that nothing reads, or the
        shares of a divided run do not fit.
    """
    made = _dicts(config.to_dict() if hasattr(config, "to_dict") else config)
    if "data" not in made:
        raise InputError(
            "the config has no data, like those in configs/studies. Pass it to python "
            "-m dirjax.sweep."
        )
    fields.check(made)
    phases.divide(made)
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


def to_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config after a round trip through JSON, for files and comparison.

    Paths become absolute, so that a run finds its files from any folder.
    """
    made = json.loads(json.dumps(config))
    for branch, name in _PATHS:
        fields = made.get(branch) if branch else made
        if not isinstance(fields, dict) or not fields.get(name):
            continue
        if branch != "prior" or fields[name] not in priors.TARGETS:
            fields[name] = os.path.abspath(os.path.expanduser(fields[name]))
    return made


def finished(config: Mapping[str, Any], workdir: pathlib.Path) -> dict[str, Any] | None:
    """The result of a finished run; None for a new, unfinished or longer one.

    Args:
      config: from `plain`.
      workdir: the run directory, which belongs to one config.

    Raises:
      InputError: if the directory holds another run, or cannot be read.
    """
    local_path("--workdir", workdir)  # as of Python, where no flag was checked
    try:
        if workdir.exists() and not workdir.is_dir():
            raise InputError(f"--workdir must be a directory, {workdir} is a file.")
        differ = None
        if (workdir / run_files.CONFIG).exists():
            differ = check_same(config, workdir / run_files.CONFIG)
        elif (workdir / run_files.CHECKPOINTS).exists():
            raise InputError(
                f"{workdir} holds checkpoints but no {run_files.CONFIG}, so their run "
                "is unknown. Use another --workdir."
            )
        result = _result(workdir / run_files.RESULT)
        patience = config["train"]["patience"]
        if result and differ and _goes_on(differ, patience, result):
            return None
        return result
    except OSError as error:
        raise unusable(workdir, error) from error


def _result(file: pathlib.Path) -> dict[str, Any] | None:
    """The content of result.json; None if there is none."""
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise InputError(
            f"{file} is damaged ({error}). Delete it: the same command then evaluates "
            "the run again, without training."
        ) from error


def _may_change(path: str) -> bool:
    """Whether a field may change while a run is in progress: lengths and patience."""
    return bool(re.fullmatch(r"stage\.\w+\.(steps|epochs)|train\.patience", path))


def _goes_on(
    differ: Mapping[str, tuple[Any, Any]],
    patience: int | None,
    result: Mapping[str, Any],
) -> bool:
    """Whether a finished run has something left to do with another config.

    Args:
      differ: from `check_same`, not empty.
      patience: `train.patience` now.
      result: of the run.
    """
    if result.get("stopped_early"):
        before, _ = differ.get("train.patience", (patience, patience))
        return not patience or patience > before
    return bool(differ.keys() - {"train.patience"})


def check_same(
    config: Mapping[str, Any], file: pathlib.Path
) -> dict[str, tuple[Any, Any]]:
    """Checks that a run directory belongs to this config, except for its length.

    Args:
      config: from `plain`.
      file: its `config.json`.

    Returns:
      Fields that differ -> their values in the file and now.

    Raises:
      InputError: naming the fields that differ, unless all of them may change.
    """
    try:
        before = dict(dotted.leaves(json.loads(file.read_text())))
    except (json.JSONDecodeError, AttributeError) as error:
        raise InputError(
            f"{file} is no config ({error}). Use another --workdir."
        ) from error
    now = dict(dotted.leaves(to_json(config)))
    differ = {k: (before.get(k), now.get(k)) for k in sorted({*before, *now})}
    differ = {k: pair for k, pair in differ.items() if pair[0] != pair[1]}
    if not all(map(_may_change, differ)):
        named = list(differ.items())[:5]
        said = "; ".join(f"{k} {old!r} -> {new!r}" for k, (old, new) in named)
        raise InputError(
            f"{file.parent} holds a run with a different config "
            f"({said}{', ...' if len(differ) > 5 else ''}). Use another --workdir, or "
            "resume with the same config; only stage.NAME.steps, stage.NAME.epochs and "
            "train.patience may change."
            + " Data that has moved is named by --data PATH, with data.path as before."
            * ("data.path" in differ)
        )
    return differ


def moved(
    config: Mapping[str, Any], workdir: pathlib.Path, data: pathlib.Path | None
) -> Mapping[str, Any]:
    """The config of a run, reading its data where it is now.

    Args:
      config: plain values.
      workdir: the run directory.
      data: the file or folder; None if it has not moved.

    Raises:
      InputError: if there is no data, or the run has not begun.
    """
    begun = (workdir / run_files.CONFIG).exists()
    path = config["data"]["path"]
    if data is None:
        if begun and path and not pathlib.Path(path).expanduser().exists():
            raise InputError(
                f"the data of {workdir} must be at {path}, which does not exist here. "
                "If it has moved, name where it is now with --data PATH."
            )
        return config
    if not begun:
        raise InputError(
            f"--data is for a run whose data has moved, {workdir} has not begun. Give "
            "its data with --config.data.path."
        )
    if not data.expanduser().exists():
        raise InputError(f"--data must exist, {data} does not. Check the path.")
    return {**config, "data": {**config["data"], "path": str(data)}}


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
    old, now = dict(dotted.leaves(before)), dict(dotted.leaves(to_json(record)))
    differ = [k for k in sorted({*old, *now}) if old.get(k) != now.get(k)]
    if differ:
        raise InputError(
            f"{data['path'] or data['name']} has changed since the run in {workdir} "
            f"started ({', '.join(differ[:5])}). Restore the old file, or use another "
            "--workdir."
        )
