"""What is compared: trained models, each as its predictions for a split, by seed.

They are the runs of a method, the mean of such runs ("members", see
`training.members`), and gradient boosting as it comes with scikit-learn, which tells
whether a network is the right model at all.
"""

from __future__ import annotations

import abc
import functools
import importlib.util
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dirjax import correct
from dirjax.evals import corrected, frontier
from dirjax.labels import Scale, Spec
from dirjax.ops import densities
from dirjax.workdir import files, run_files

# A mean needs some runs before it is worth telling.
LEAST = 3


class Model(abc.ABC):
    """A model that was trained with several seeds on the data of a run.

    Attributes:
      method: what it is called.
      seeds: seeds it was trained with.
      run: a run on the same data, which knows the labels.
    """

    def __init__(self, method: str, seeds: Sequence[int], run: pathlib.Path):
        self.method, self.seeds, self.run = method, tuple(seeds), run
        self._known: dict[Any, Any] = {}

    @abc.abstractmethod
    def rows(self, split: str, seed: int) -> frontier.Rows:
        """Its predictions for a split, as trained."""

    @functools.cached_property
    def _config(self) -> dict[str, Any]:
        return run_files.read_config(self.run)

    @functools.cached_property
    def spec(self) -> Spec:
        """The label specification that its correction starts from."""
        return corrected.spec_of(self.run)

    @property
    def decode(self) -> str:
        """The value of its distribution that it predicts itself."""
        if self.spec.support is None:
            return "mean"
        return self._config["model"]["head_options"].get("decode", "median")

    def _correction(self, seed: int) -> correct.Correction:
        if seed not in self._known:
            scale = Scale.from_json(run_files.read_record(self.run)["scale"])
            made = frontier.correction(
                self._config["prior"],
                self.rows("val", seed),
                self.spec,
                scale,
                own=self.decode,
            )
            assert made is not None  # All of them have validation rows.
            self._known[seed] = made
        return self._known[seed]

    def points(self, seed: int) -> Sequence[Mapping[str, Any]]:
        """Its frontier for balanced labels on validation rows."""
        model = self._correction(seed)
        return frontier.frontier(
            model,
            {"val": self.rows("val", seed)},
            self.spec,
            target=frontier.UNIFORM,
            decodes=frontier.decodes(model, self._config["prior"]),
            gm_epsilon=self._config["eval"]["gm_epsilon"],
        )

    def frontiers(self) -> list[Sequence[Mapping[str, Any]]]:
        """The points of each seed."""
        return [self.points(seed) for seed in self.seeds]

    def predictions(self, split: str, seed: int, tau: float, decode: str) -> np.ndarray:
        """Its predictions `[n]`, corrected for balanced labels if tau is above 0."""
        key = (split, seed, tau, decode)
        if key not in self._known:
            target = frontier.UNIFORM if tau else "train"
            model = self._correction(seed)
            chosen = frontier.Chosen(model, target, tau, decode)
            self._known[key] = chosen.predict(self.rows(split, seed))
        return self._known[key]


class Runs(Model):
    """The runs of a method.

    Args:
      method: name of the preset.
      runs: run directory of each seed.
    """

    def __init__(self, method: str, runs: Mapping[int, pathlib.Path]):
        super().__init__(method, tuple(runs), next(iter(runs.values())))
        self.runs = dict(runs)

    def rows(self, split: str, seed: int) -> frontier.Rows:
        """Those of the run of this seed."""
        return corrected.rows_of(self.runs[seed], split)

    def points(self, seed: int) -> Sequence[Mapping[str, Any]]:
        """Those that the run has kept."""
        return run_files.read_result(self.runs[seed])["frontier"]["points"]


class Together(Model):
    """The mean of the runs of a method, as one model with members.

    There is one for all seeds, so that its differences from another model vary with the
    seeds of the other one only.

    Args:
      runs: at least `LEAST` runs.
    """

    def __init__(self, runs: Runs):
        name = f"{runs.method}, {len(runs.seeds)} members"
        super().__init__(name, runs.seeds, runs.run)
        self.of = runs

    def rows(self, split: str, seed: int) -> frontier.Rows:
        """The mean of the distributions, or of the numbers, of all seeds."""
        del seed
        if split in self._known:
            return self._known[split]
        each = [self.of.rows(split, seed) for seed in self.seeds]
        mean = np.mean([r.prediction for r in each], axis=0)
        found = each[0]._replace(prediction=mean)
        given = [r.log_probs for r in each if r.log_probs is not None]
        if given:
            probs = np.mean([np.exp(x, dtype=float) for x in given], axis=0)
            log_probs = np.log(np.maximum(probs, np.finfo(float).tiny))
            found = found._replace(log_probs=log_probs)
            if self.decode != "mean":
                edges = self._edges
                own = densities.decode(log_probs, edges, self.decode)
                found = found._replace(prediction=own)
        self._known[split] = found
        return found

    @functools.cached_property
    def _edges(self) -> np.ndarray:
        support = self.spec.support
        assert support is not None
        scale = Scale.from_json(run_files.read_record(self.run)["scale"])
        return np.asarray(scale.inverse(support.edges))

    def frontiers(self) -> list[Sequence[Mapping[str, Any]]]:
        """There is one."""
        return [self.points(self.seeds[0])]

    def predictions(self, split: str, seed: int, tau: float, decode: str) -> np.ndarray:
        """The same for every seed, computed once."""
        del seed
        return super().predictions(split, self.seeds[0], tau, decode)


def has_boosting(record: Mapping[str, Any]) -> bool:
    """Whether scikit-learn is there, and the data is a table."""
    return record["kind"] == "table" and bool(importlib.util.find_spec("sklearn"))


class Boosting(Model):
    """scikit-learn's gradient boosting on the same rows and columns.

    `HistGradientBoostingRegressor` with the absolute error, up to 1000 trees, and a
    tenth of the training rows to stop early. Its predictions are kept in a folder.

    Args:
      folder: of the predictions, created if missing.
      seeds: seeds to train with.
      run: a run on the same data; its weights of labels are those of the boosting.
    """

    def __init__(self, folder: pathlib.Path, seeds: Sequence[int], run: pathlib.Path):
        super().__init__("gradient boosting", seeds, run)
        self._folder = folder
        if self.spec.weights is not None:
            self.method += f" ({self._config['method']})"

    def train(self, splits: Mapping[str, Any], scale: Scale) -> None:
        """Trains with each seed, unless that is done.

        Args:
          splits: splits of the data, see `data.Split`.
          scale: on which the label is learnt.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for seed in self.seeds:
            file = self._folder / f"seed_{seed}.npz"
            if not file.exists():
                weights = self.spec.weights  # the sum over the rows of each bin
                if weights is not None:
                    weights = weights / np.maximum(self.spec.counts, 1)
                files.write_npz(file, _boosted(splits, scale, seed, weights))

    def rows(self, split: str, seed: int) -> frontier.Rows:
        """Those of this seed."""
        rows = corrected.rows_of(self.run, split)
        with np.load(self._folder / f"seed_{seed}.npz") as found:
            return rows._replace(prediction=found[split], log_probs=None)


# Categories that scikit-learn's bins can tell apart; others are ordered by their code.
_CATEGORIES = 250
# Cells of a table up to which one thread is as quick as several.
_ONE_THREAD = 1_000_000


def _boosted(
    splits: Mapping[str, Any], scale: Scale, seed: int, weights: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Predictions for validation and test rows, in units of the label.

    `weights` are those of a row of each label bin, None for ones.
    """
    import threadpoolctl
    from sklearn.ensemble import HistGradientBoostingRegressor

    def columns(split: Any) -> np.ndarray:
        arrays = [split.inputs[name] for name in ("numeric", "categorical")]
        return np.concatenate(arrays, axis=1, dtype=np.float64)

    train = splits["train"]
    codes = train.inputs["categorical"]
    few = codes.max(axis=0, initial=0) < _CATEGORIES
    numeric = np.zeros(train.inputs["numeric"].shape[1], bool)
    options: dict[str, Any] = {
        "loss": "absolute_error",
        "max_iter": 1000,
        "early_stopping": True,
        "n_iter_no_change": 20,
        "categorical_features": np.concatenate([numeric, few]),
        "random_state": seed,
    }
    model = HistGradientBoostingRegressor(**options)
    weight = train.weight if weights is None else train.weight * weights[train.bin]
    inputs = columns(train)
    # On a busy machine, threads that wait for one another take half an hour for what
    # one does in a minute.
    threads = 1 if inputs.size <= _ONE_THREAD else None
    with threadpoolctl.threadpool_limits(threads, "openmp"):
        model.fit(inputs, train.label, sample_weight=weight)
    return {
        name: np.asarray(scale.inverse(model.predict(columns(splits[name]))))
        for name in ("val", "test")
        if name in splits
    }
