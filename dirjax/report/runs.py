"""Runs as values: what tables and figures ask of them; see `reading`.

Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.labels import SHOTS

COLUMNS = ("all", *SHOTS)
Log = Sequence[Mapping[str, Any]]


def ratio(total: np.ndarray, count: np.ndarray, empty: float = np.nan) -> np.ndarray:
    """`total / count`, or `empty` where the count is 0."""
    out = np.full(np.shape(total), empty, np.float64)
    return np.divide(total, count, out=out, where=np.asarray(count) > 0)


def of_split(log: Log, split: str) -> list[Mapping[str, Any]]:
    """The log entries of one split."""
    return [entry for entry in log if entry.get("split") == split]


@dataclasses.dataclass(frozen=True)
class TrainGroups:
    """The label groups of `bins.json`.

    Attributes:
      of_bin: `[num_bins]` int, group of each label bin.
      count: `[num]` int64, training examples per group.
    """

    of_bin: np.ndarray
    count: np.ndarray

    @property
    def edges(self) -> np.ndarray:
        """`[num + 1]` plot edges, half a step around each group number."""
        return np.arange(len(self.count) + 1) - 0.5


@dataclasses.dataclass(frozen=True)
class TrainBins:
    """The label bins of `bins.json`.

    Attributes:
      label: name of the label, such as `"age"`.
      unit: unit of the label, such as `"years"`; may be empty.
      edges: `[num + 1]` float64, increasing, in label units.
      count: `[num]` int64, training examples per bin.
      shot: `[num]` int, index into `labels.SHOTS`.
      many: bins with more training examples are many-shot.
      few: bins with fewer training examples are few-shot.
      groups: ordered groups of bins if the method predicts them, otherwise None.
    """

    label: str
    unit: str
    edges: np.ndarray
    count: np.ndarray
    shot: np.ndarray
    many: int = 100
    few: int = 20
    groups: TrainGroups | None = None

    @property
    def centers(self) -> np.ndarray:
        """`[num]`, the midpoint of each bin."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    def index(self, labels: np.ndarray) -> np.ndarray:
        """Bin of each label, same shape; labels out of range go to the end bins."""
        inside = np.searchsorted(self.edges, labels, side="right") - 1
        return np.clip(inside, 0, len(self.count) - 1)


@dataclasses.dataclass(frozen=True)
class Run:
    """One run directory.

    Attributes:
      path: the directory.
      config: `config.json`, or an empty dict.
      result: `result.json`, or None if the run is not finished.
      log: the entries of `metrics.jsonl`, in order.
      bins: `bins.json`, or None.
      predictions: arrays of `predictions.npz` by name; may be empty.
      features: arrays of `features.npz` by name, written by
        `dirjax.evaluate --features`; may be empty.
      notes: sentences about missing or damaged files.
      train_features: arrays of `features_train.npz` by name.
    """

    path: pathlib.Path
    config: Mapping[str, Any]
    result: Mapping[str, Any] | None
    log: tuple[Mapping[str, Any], ...]
    bins: TrainBins | None
    predictions: Mapping[str, np.ndarray]
    features: Mapping[str, np.ndarray]
    notes: tuple[str, ...]
    train_features: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def _field(self, name: str, default: Any = None) -> Any:
        return (self.result or {}).get(name, default)

    @property
    def dataset(self) -> str:
        """Name of the data set, and the target if the run has several."""
        name = self._field("dataset", data_of(self.config).get("name")) or "unknown"
        target = self._field("target")
        return f"{name}, {target}" if target else name

    @property
    def method(self) -> str:
        """Name of the preset."""
        return self._field("method", self.config.get("method")) or "unknown"

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self._field("seed", self.config.get("seed")) or 0)

    @property
    def best_step(self) -> int | None:
        """Training step of the tested parameters."""
        return self._field("best_step")

    @property
    def rescales_label(self) -> bool:
        """Whether labels are learnt on another scale, in whose units losses are."""
        scale = data_of(self.config).get("label_scale", "linear")
        return scale != "linear" or bool(self._field("target"))

    @property
    def split(self) -> str:
        """The split that metrics are read from: "test" unless the result names one."""
        return self._field("split", "test")

    def value(self, metric: str, shot: str) -> float | None:
        """One metric of `result.json`; None if it is missing or not finite."""
        table = (self._field(self.split) or {}).get(metric)
        if not isinstance(table, Mapping):
            table = {"all": table}
        return finite(table.get(shot))

    def bin_errors(self, power: int = 1) -> tuple[np.ndarray, np.ndarray] | None:
        """Number of test examples and sum of absolute errors by label bin.

        Args:
          power: sums this power of the errors instead.

        Returns:
          `(count [num], absolute [num])` in float64, or None without bins or
          predictions. Dense tasks store both sums in `predictions.npz`, for power 1.
        """
        if self.bins is None:
            return None
        size, stored = len(self.bins.count), self.predictions
        if "label" in stored:
            error = np.abs(stored["prediction"] - stored["label"])
            real = np.isfinite(error)
            index = self.bins.index(stored["label"][real])
            count = np.bincount(index, minlength=size).astype(np.float64)
            weights = error[real] ** power
            return count, np.bincount(index, weights=weights, minlength=size)
        if power == 1 and "count" in stored and stored["count"].shape == (size,):
            return stored["count"], stored["abs"]
        return None


def same_bins(run: Run, bins: TrainBins | None) -> bool:
    """Whether a run has exactly these bins."""
    if run.bins is None or bins is None:
        return False
    return np.array_equal(run.bins.edges, bins.edges)


def data_of(config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The fields of `config.data`, empty if there are none."""
    data = (config or {}).get("data")
    return data if isinstance(data, Mapping) else {}


def finite(value: Any) -> float | None:
    """A finite number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None
