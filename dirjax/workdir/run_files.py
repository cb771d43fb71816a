"""The files of a run directory: names, readers and writers."""

from __future__ import annotations

import json
import pathlib
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from dirjax.errors import InputError
from dirjax.workdir.files import write_json, write_npz

CONFIG = "config.json"
DATA = "data.json"
BINS = "bins.json"
METRICS = "metrics.jsonl"
RESULT = "result.json"
PREDICTIONS = "predictions.npz"
# Of the validation split: with them a finished model is corrected and calibrated.
VALIDATION = "predictions_val.npz"
CHECKPOINTS = "checkpoints"
# Of a run of several targets, a folder for each: the files above but for checkpoints
# and the log, as of a run of this target alone.
TARGETS = "targets"
LOCK = ".lock"
# In a folder of runs that reports over the folders above leave out.
ASIDE = ".aside"


def folder_of_target(workdir: pathlib.Path, number: int, name: str) -> pathlib.Path:
    """The folder of a target of a run.

    Example:
      >>> folder_of_target(pathlib.Path("run"), 0, "size (m/s)").as_posix()
      'run/targets/0-size_m_s'
    """
    return workdir / TARGETS / numbered(number, name)


def numbered(number: int, name: str) -> str:
    """The name of a target as part of a path, unique by its number.

    Example:
      >>> numbered(0, "size (m/s)")
      '0-size_m_s'
    """
    slug = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.")
    return f"{number}-{slug}".rstrip("-")


def folders(workdir: pathlib.Path) -> list[pathlib.Path]:
    """The folders that hold the files of a run: its own, and those of its targets."""
    return [workdir, *sorted((workdir / TARGETS).glob("*"))]


def read_targets(workdir: pathlib.Path) -> dict[str, pathlib.Path]:
    """The targets of a run, in order, and their folders; empty with a single one.

    Raises:
      InputError: if the directory holds no run.
    """
    read_config(workdir)  # without which it is no run
    names = [one["label"] for one in read_record(workdir).get("targets", ())]
    return {n: folder_of_target(workdir, i, n) for i, n in enumerate(names)}


def refuse_targets(workdir: pathlib.Path, what: str, hint: str) -> None:
    """Refuses a run of several targets.

    Args:
      workdir: the run directory.
      what: what is for a single label, in the plural.
      hint: what to do instead.

    Raises:
      InputError: if the run has several.
    """
    names = read_targets(workdir)
    if names:
        raise InputError(
            f"{what} are for runs of one label, {workdir} has {len(names)} "
            f"({', '.join(names)}). {hint}"
        )


def _required(file: pathlib.Path, otherwise: str) -> dict[str, Any]:
    """The content of a file that a run must have; else an InputError that says so."""
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        raise InputError(otherwise) from error


def read_config(workdir: pathlib.Path) -> dict[str, Any]:
    """Reads the config of a run, as plain values.

    Raises:
      InputError: if the directory holds no run.
    """
    return _required(
        workdir / CONFIG,
        f"--workdir must be a run directory, {workdir} has no readable {CONFIG}. Give "
        "the --workdir used with dirjax.main.",
    )


def read_record(workdir: pathlib.Path) -> dict[str, Any]:
    """Reads the data record of a run, see `data.Source.record`.

    Raises:
      InputError: if there is no such file.
    """
    return _required(
        workdir / DATA,
        f"{workdir} has no readable {DATA}, so the preparation of its inputs is "
        "unknown. Train again with another --workdir.",
    )


def read_bins(workdir: pathlib.Path) -> dict[str, Any]:
    """Reads the label bins of a run: edges, training counts and shots.

    Raises:
      InputError: if there is no such file.
    """
    return _required(
        workdir / BINS,
        f"{workdir} has no readable {BINS}, so its bins and shots are unknown. Train "
        "again with another --workdir.",
    )


def read_result(workdir: pathlib.Path) -> dict[str, Any]:
    """Reads the result of a run.

    Raises:
      InputError: if it has none yet.
    """
    return _required(
        workdir / RESULT,
        f"{workdir} has no readable {RESULT}: the run is not finished. Finish it with "
        "the command that started it.",
    )


def read_predictions(workdir: pathlib.Path, split: str) -> dict[str, np.ndarray]:
    """Reads the predictions of a run for its test or validation rows.

    Args:
      workdir: the run directory.
      split: "test" or "val".

    Raises:
      InputError: if there are none.
    """
    name = PREDICTIONS if split == "test" else VALIDATION
    try:
        with np.load(workdir / name) as found:
            return dict(found)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{workdir} has no readable {name}, its predictions for {split} rows. "
            f"Train with a {split} split, and to the end."
        ) from error


def read_json(file: pathlib.Path) -> Any:
    """Reads a JSON file, with tuples for lists.

    Raises:
      OSError, ValueError: if it is missing or not JSON.
    """

    def tuples(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: tuples(v) for k, v in value.items()}
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    return tuples(json.loads(file.read_text()))


def last_step(workdir: pathlib.Path) -> int:
    """The newest saved step of a run, 0 without one."""
    names = (f.name for f in (workdir / CHECKPOINTS).glob("*"))
    return max((int(n) for n in names if n.isdigit()), default=0)


def features_file(split: str) -> str:
    """Name of the file with the features of a split; the training split has its own."""
    return "features_train.npz" if split == "train" else "features.npz"


def write_start(
    workdir: pathlib.Path,
    *,
    config: Mapping[str, Any],
    data: Mapping[str, Any],
    bins: Mapping[str, Any],
    targets: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] | None = None,
) -> None:
    """Writes the files that a run writes before its first step.

    A result from before, if a finished run is made longer, goes first: a result belongs
    to the config beside it.

    Args:
      workdir: the run directory.
      config: content of config.json.
      data: content of data.json.
      bins: content of bins.json.
      targets: content of data.json and bins.json of each of several targets, by name.
    """
    for number, (name, (own, its_bins)) in enumerate((targets or {}).items()):
        folder = folder_of_target(workdir, number, name)
        folder.mkdir(parents=True, exist_ok=True)
        write_start(folder, config=config, data=own, bins=its_bins)
    (workdir / RESULT).unlink(missing_ok=True)
    for name, content in ((CONFIG, config), (DATA, data), (BINS, bins)):
        write_json(workdir / name, content)


def write_features(
    workdir: pathlib.Path, arrays: Mapping[str, np.ndarray], step: int
) -> pathlib.Path:
    """Writes features by label bin; returns the file.

    Args:
      workdir: the run directory.
      arrays: from `Evaluator.features`, with the objective's per-bin arrays.
      step: step of the state.
    """
    file = workdir / features_file(str(arrays["split"]))
    write_npz(file, {**arrays, "step": np.asarray(step)})
    return file


def write_predictions(
    workdir: pathlib.Path, stored: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Writes the predictions for validation and test rows.

    Args:
      workdir: the run directory.
      stored: arrays by split, "val" and "test".
    """
    for split, file in (("val", VALIDATION), ("test", PREDICTIONS)):
        if split in stored:
            write_npz(workdir / file, stored[split])


def write_result(workdir: pathlib.Path, result: Mapping[str, Any]) -> None:
    """Writes the result of a run, after those of its targets.

    Args:
      workdir: the run directory.
      result: content of result.json. Of several targets, the entries of each under
        `targets` replace those of the run in its own folder.
    """
    for number, (name, own) in enumerate((result.get("targets") or {}).items()):
        folder = folder_of_target(workdir, number, name)
        more = {"target": name, **own}
        write_json(folder / RESULT, {**result, "targets": None, **more})
    write_json(workdir / RESULT, result)


def unusable(workdir: pathlib.Path, error: OSError) -> InputError:
    """The error for a directory that cannot be created, read or written."""
    return InputError(
        f"--workdir {workdir} cannot be used: {error.strerror}. Give a writable "
        "directory."
    )
