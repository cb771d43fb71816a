"""Reads run directories, finished or not.

Needs only numpy and JSON: a laptop without JAX can read the runs of a cluster. Missing
or damaged files become notes of the run; only a directory that is not a run is an
error. Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dirjax.errors import InputError, local_path
from dirjax.labels import SHOTS
from dirjax.report.runs import Run, TrainBins, TrainGroups, data_of, finite
from dirjax.workdir import run_files

SCHEMA = 1
# Arrays of predictions.npz: one value per row or, for dense tasks, one per bin; and of
# dense tasks with groups, one per group.
_ROWS = ("label", "prediction", "low", "high", "group", "group_prediction")
_SUMS = ("count", "abs", "distance")
_OF_GROUPS = ("predicted",)
# A folder with one of these files is a run directory.
_FILES = (run_files.CONFIG, run_files.METRICS, run_files.RESULT)
# Arrays of features.npz, one value per bin; each set is present if its first array is.
_BY_BIN = (
    ("count", "norm", "variance_mean"),
    ("norm_prototype", "error"),
    ("norm_target", "norm_measured", "norm_line"),
)
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def _read_json(path: pathlib.Path) -> Mapping[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read as JSON ({error}).") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path.name} must contain a JSON object.")
    return content


def _entry(line: str) -> Mapping[str, Any] | None:
    """One line of the log; None if it is invalid."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, Mapping):
        return None
    clocks = finite(entry.get("step")), finite(entry.get("epoch"))
    return None if None in clocks else entry


def _read_log(path: pathlib.Path, notes: list[str]) -> list[Mapping[str, Any]]:
    if not path.is_file():
        notes.append("metrics.jsonl is missing: no training curves.")
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    entries = {n: _entry(line) for n, line in enumerate(lines, 1) if line.strip()}
    log = [entry for entry in entries.values() if entry is not None]
    broken = [number for number, entry in entries.items() if entry is None]
    if broken and broken[-1] == len(lines):
        broken.pop()
        notes.append("the last line of metrics.jsonl is cut off and was skipped.")
    if broken:
        notes.append(
            f"{len(broken)} unreadable lines of metrics.jsonl were skipped (the first "
            f"is line {broken[0]})."
        )
    if not log:
        notes.append("metrics.jsonl has no readable line: no training curves.")
    # A resumed run logs some steps again; the last entry of a step counts.
    last = {(entry["step"], entry.get("split")): entry for entry in log}
    return sorted(last.values(), key=lambda entry: entry["step"])


def _groups(content: Mapping[str, Any] | None, num_bins: int) -> TrainGroups | None:
    if content is None:
        return None
    of_bin = np.asarray(content["of_bin"], np.int64)
    count = np.asarray(content["train_count"], np.int64)
    inside = (of_bin >= 0) & (of_bin < len(count))
    if of_bin.shape != (num_bins,) or count.ndim != 1 or not inside.all():
        raise ValueError("the groups in bins.json do not match its bins.")
    return TrainGroups(of_bin, count)


def _read_bins(
    path: pathlib.Path, data: Mapping[str, Any], notes: list[str]
) -> TrainBins | None:
    try:
        content = _read_json(path)
        if content is None:
            notes.append("bins.json is missing: no plots by label bin.")
            return None
        if "targets" in content:  # Each has its own.
            return None
        edges = np.asarray(content["edges"], np.float64)
        count = np.asarray(content["train_count"], np.int64)
        shot = np.asarray([SHOTS.index(name) for name in content["shots"]], np.int64)
        if not len(edges) - 1 == len(count) == len(shot) > 0:
            raise ValueError("bins.json needs one more edge than counts and shots.")
        if not (np.diff(edges) > 0).all():
            raise ValueError("the edges in bins.json must increase.")
        label = str(content.get("label") or data.get("label") or "label")
        unit = str(content.get("unit") or data.get("unit") or "")
        if (ending := re.fullmatch(r"(.*\S) \(([^()]+)\)", label)) is not None:
            label, unit = ending.groups()
        limits = int(data.get("many") or 100), int(data.get("few") or 20)
        groups = _groups(content.get("groups"), len(count))
        return TrainBins(label, unit, edges, count, shot, *limits, groups)
    except (KeyError, TypeError, ValueError) as error:
        notes.append(f"bins.json is damaged, so there are no plots by bin: {error}")
        return None


def _arrays(path: pathlib.Path, names: Iterable[str] | None = None) -> dict[str, Any]:
    """All arrays of a file, or those of `names` that it contains."""
    with np.load(path, allow_pickle=False) as stored:
        wanted = stored.files if names is None else names
        return {n: np.asarray(stored[n]) for n in wanted if n in stored.files}


def _read_predictions(path: pathlib.Path, notes: list[str]) -> dict[str, np.ndarray]:
    if not path.is_file():
        notes.append("predictions.npz is missing: no plots of test predictions.")
        return {}
    try:
        arrays = _arrays(path, (*_ROWS, *_SUMS, *_OF_GROUPS))
        for names in (_ROWS, _SUMS):
            if names[0] in arrays:
                found = {n: arrays[n] for n in names if n in arrays or n == names[1]}
                if len({values.shape for values in found.values()}) > 1:
                    raise ValueError(f"{' and '.join(found)} differ in shape.")
                found |= {n: arrays[n] for n in _OF_GROUPS if n in arrays}
                return {n: v.reshape(-1).astype(float) for n, v in found.items()}
        raise ValueError("it has neither label and prediction nor count and abs.")
    except _UNREADABLE as error:
        notes.append(
            f"predictions.npz is damaged, so there are no plots of predictions: {error}"
        )
        return {}


def _read_features(
    path: pathlib.Path, bins: TrainBins | None, step: Any, notes: list[str]
) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    try:
        arrays = _arrays(path)
        size = len(arrays["edges"]) - 1
        required, *optional = _BY_BIN
        names = [*required, *(n for ns in optional if ns[0] in arrays for n in ns)]
        if any(arrays[name].shape != (size,) for name in names):
            raise ValueError("it needs one more edge than counts, norms and variances.")
        if any(arrays[name].shape for name in ("total_mean", "split", "step")):
            raise ValueError("total_mean, split and step must be scalars.")
    except _UNREADABLE as error:
        notes.append(f"{path.name} is damaged and was skipped: {error}")
        return {}
    if arrays["step"] != step:
        notes.append(
            f"{path.name} is from step {arrays['step']}, not the best step {step}, and "
            "was skipped. Rewrite it with python -m dirjax.evaluate --features."
        )
        return {}
    if bins is not None and not np.array_equal(bins.edges, arrays["edges"]):
        notes.append(f"{path.name} and bins.json differ in their bins: skipped.")
        return {}
    return arrays


def _is_run(path: pathlib.Path) -> bool:
    return any((path / name).is_file() for name in _FILES)


def find_runs(path: pathlib.Path) -> list[pathlib.Path]:
    """The folder itself if it is a run, otherwise all runs below it, in order.

    Folders of runs that are set aside, such as those that a study was tuned with, do
    not count unless they are named.

    Raises:
      InputError: if there is no such folder, or no run in it.
    """
    if not path.is_dir():
        raise InputError(
            f"there is no folder {path}. Pass the --workdir of a run of dirjax.main, or"
            " of a study of dirjax.sweep."
        )
    found = []
    for place, folders, _ in os.walk(path):
        folders.sort()
        folders[:] = [
            f
            for f in folders
            if not (pathlib.Path(place, f) / run_files.ASIDE).exists()
        ]
        if _is_run(pathlib.Path(place)):
            found.append(pathlib.Path(place))
            folders.clear()
    if not found:
        raise InputError(
            f"{path} is not a run directory and has none below it: no folder has one of"
            f" {', '.join(_FILES)}. Pass a --workdir."
        )
    return found


def read_run(path: str | pathlib.Path) -> Run:
    """Reads one run directory.

    Args:
      path: the directory given as `--workdir`.

    Returns:
      The run; `result` is None if it is not finished.

    Raises:
      InputError: if the directory is missing or not a run, or if its `config.json` or
        `result.json` cannot be read.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = pathlib.Path(folder, "config.json").write_text('{"seed": 3}')
      ...     read_run(folder).seed
      3
    """
    path = local_path("RUN", path)
    if not path.is_dir():
        raise InputError(
            f"there is no folder {path}. Pass the --workdir of a run of dirjax.main."
        )
    if not _is_run(path):
        raise InputError(
            f"{path} is not a run directory, it has none of {', '.join(_FILES)}. Pass a"
            " --workdir."
        )
    try:
        config = _read_json(path / run_files.CONFIG)
        result = _read_json(path / run_files.RESULT)
    except ValueError as error:
        raise InputError(f"{path}: {error} Restore the file or run again.") from error
    if result is not None and result.get("schema") != SCHEMA:
        raise InputError(
            f"{path}/result.json has schema {result.get('schema')!r}, but this dirjax "
            f"reads schema {SCHEMA}. Use the version of dirjax that wrote it."
        )
    notes = [] if config is not None else ["config.json is missing."]
    log = _read_log(path / run_files.METRICS, notes)
    bins = _read_bins(path / run_files.BINS, data_of(config), notes)
    predictions, features, train_features = {}, {}, {}
    if result is not None:
        step = result.get("best_step")
        if not result.get("targets"):
            predictions = _read_predictions(path / run_files.PREDICTIONS, notes)
        features, train_features = (
            _read_features(path / run_files.features_file(split), bins, step, notes)
            for split in ("test", "train")
        )
    return Run(
        path=path,
        config=config or {},
        result=result,
        log=tuple(log),
        bins=bins,
        predictions=predictions,
        features=features,
        train_features=train_features,
        notes=tuple(notes),
    )
