"""The files of a run directory: their names, and who reads them."""

from __future__ import annotations

import json
import pathlib
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
CHECKPOINTS = "checkpoints"
LOCK = ".lock"


def read_config(workdir: pathlib.Path) -> dict[str, Any]:
    """The config of a run, as plain values.

    Raises:
      InputError: if the directory holds no run.
    """
    try:
        return read_json(workdir / CONFIG)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--workdir must be the directory of a run, {workdir} has no {CONFIG} that "
            "can be read. Give the --workdir of dirjax.main."
        ) from error


def read_record(workdir: pathlib.Path) -> dict[str, Any]:
    """How the inputs of a run were prepared, see `data.Source.record`.

    Raises:
      InputError: if there is no such file.
    """
    try:
        return read_json(workdir / DATA)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{workdir} has no {DATA} that can be read, so it cannot be known how its "
            "inputs were prepared. Train again into another --workdir."
        ) from error


def read_json(file: pathlib.Path) -> Any:
    """The content of a JSON file, with tuples for lists.

    Raises:
      OSError, ValueError: if there is none.
    """

    def tuples(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: tuples(v) for k, v in value.items()}
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    return tuples(json.loads(file.read_text()))


def features_file(split: str) -> str:
    """Name of the file with the features of a split; training has one of its own."""
    return "features_train.npz" if split == "train" else "features.npz"


def write_start(
    workdir: pathlib.Path,
    *,
    config: Mapping[str, Any],
    data: Mapping[str, Any],
    bins: Mapping[str, Any],
) -> None:
    """Writes what a run writes before its first step."""
    for name, content in ((CONFIG, config), (DATA, data), (BINS, bins)):
        write_json(workdir / name, content)


def write_features(
    workdir: pathlib.Path, arrays: Mapping[str, np.ndarray], step: int
) -> pathlib.Path:
    """Writes features by label bin; returns the file.

    Args:
      workdir: of the run.
      arrays: from `Evaluator.features`, with what the objective knows of bins.
      step: of the state.
    """
    file = workdir / features_file(str(arrays["split"]))
    write_npz(file, {**arrays, "step": np.asarray(step)})
    return file


def unusable(workdir: pathlib.Path, error: OSError) -> InputError:
    """The error for a directory that cannot be made, read or written."""
    return InputError(
        f"--workdir {workdir} cannot be used: {error.strerror}. Give a directory that "
        "you may write to."
    )
