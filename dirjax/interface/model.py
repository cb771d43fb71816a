"""A finished run as an object that predicts: `dirjax.load(run)`."""

from __future__ import annotations

import functools
import io
import os
import pathlib
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax.errors import InputError, local_path
from dirjax.interface import frames
from dirjax.runtime import startup
from dirjax.workdir import files, run_files

# Of a run, what predictions need; the rest is about its training.
_NEEDED = (
    *(run_files.CONFIG, run_files.DATA, run_files.BINS, run_files.RESULT),
    *(run_files.VALIDATION, run_files.PREDICTIONS, run_files.METRICS),
)


class Distribution(NamedTuple):
    """Distributions over label bins.

    Attributes:
      edges: of the bins in label units, `[bins + 1]`.
      probabilities: `[rows, bins]`, which sum to 1.
    """

    edges: np.ndarray
    probabilities: np.ndarray


def _quantiles(chosen: Any, rows: Any, levels: Sequence[float]) -> np.ndarray:
    """Quantiles of a correction, `[rows, levels]`."""
    return chosen.model.quantiles(
        rows.prediction,
        tuple(levels),
        target=chosen.target,
        tau=chosen.tau,
        log_probs=rows.log_probs,
    )


def _distribution(chosen: Any, rows: Any) -> Distribution:
    """The distributions of a correction."""
    blocks = chosen.model.distributions(
        rows.prediction,
        target=chosen.target,
        tau=chosen.tau,
        log_probs=rows.log_probs,
    )
    probabilities = np.concatenate([np.exp(block) for _, block in blocks])
    return Distribution(chosen.model.prior.edges, probabilities)


class Temporary:
    """A folder that is removed with this object, or at the end of the process.

    Attributes:
      path: the folder.
    """

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="dirjax-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class Model:
    """A finished run.

    Args:
      workdir: its directory.

    Attributes:
      workdir: its directory.
      config: plain values, as in config.json.
      result: the content of result.json.

    Raises:
      InputError: if the run does not exist or is not finished.
    """

    def __init__(self, workdir: str | pathlib.Path):
        startup.quiet_orbax()
        self.workdir = local_path("workdir", workdir)
        self.config = run_files.read_config(self.workdir)
        self.result = run_files.read_result(self.workdir)
        self._folder: Temporary | None = None

    def keep(self, folder: Temporary | None) -> None:
        """Keeps a temporary folder for as long as this object lives."""
        self._folder = folder

    @functools.cached_property
    def _predictors(self) -> Mapping[str, Any]:
        from dirjax.evals import predictor

        return predictor.of_run(self.workdir)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the labels that it predicts."""
        names = tuple(run_files.read_targets(self.workdir))
        return names or (self.config["data"]["label"],)

    @functools.cached_property
    def _validation(self) -> Mapping[str, Any]:
        """The validation rows of each target."""
        from dirjax.evals import corrected

        return {
            name: corrected.rows_of(one.folder, "val")
            for name, one in self._predictors.items()
        }

    def _outputs(self, data: Any) -> dict[str, dict[str, np.ndarray]]:
        """What the model of each target gives for each row, in order.

        An unusable row is an error.
        """
        from dirjax.data import new_rows

        with (
            tempfile.TemporaryDirectory(prefix="dirjax-") as folder,
            frames.speaking_of(pathlib.Path(folder)),
        ):
            file, rows = frames.write_new(data, pathlib.Path(folder))
            if not rows:
                raise InputError("data must have rows, got none.")
            first = next(iter(self._predictors.values()))
            pieces = list(new_rows.pieces(file, first.config["data"], first.record))
            every = {
                name: [one.outputs(piece.inputs) for piece in pieces]
                for name, one in self._predictors.items()
            }
        return {
            name: {n: np.concatenate([f[n] for f in found]) for n in found[0]}
            for name, found in every.items()
        }

    def _rows(self, data: Any) -> dict[str, Any]:
        """The predictions of each target, to be corrected."""
        from dirjax.evals import frontier

        none = np.zeros(0)
        return {
            name: frontier.Rows(
                outputs["prediction"], none, none, outputs.get("log_probs")
            )
            for name, outputs in self._outputs(data).items()
        }

    def _stacked(self, of_each: Sequence[np.ndarray]) -> np.ndarray:
        """What is found for each target along axis 1, if there are several."""
        return np.stack(of_each, axis=1) if self._several else of_each[0]

    @property
    def _several(self) -> bool:
        return "" not in self._predictors

    def _chosen(self, prior: Any, tau: float | None) -> dict[str, Any]:
        """The correction of each target for a label distribution."""
        from dirjax.evals import corrected

        if prior is not None and not isinstance(prior, (str, os.PathLike)):
            raise InputError(
                "prior must be 'train', 'uniform' or a file of labels, got "
                f"{type(prior).__name__}. Write the labels into a file, one a row."
            )
        given = {"target": prior if prior is None else str(prior), "tau": tau}
        given = {name: value for name, value in given.items() if value is not None}
        fields = corrected.merged(self.config["prior"], given)
        corrected.check_tau(fields, tau is not None)
        return {
            name: corrected.of_rows(one.folder, self._validation[name], fields)
            for name, one in self._predictors.items()
        }

    def predict(
        self,
        data: Any,
        *,
        prior: str | None = None,
        tau: float | None = None,
        quantiles: Sequence[float] | None = None,
        interval: float | None = None,
    ) -> Any:
        """Predictions in label units.

        Args:
          data: a frame with the columns of training, or an array; see `frames.table`.
          prior: the label distribution that predictions are for: "train", "uniform" or
            a file of labels. Default: that of the run.
          tau: strength of the correction, 0 to 1; by default that with the smallest
            error on validation rows.
          quantiles: levels between 0 and 1.
          interval: coverage of intervals, such as 0.9, calibrated on validation rows.

        Returns:
          `[rows]` float32. With `quantiles` `[rows, levels]`; with `interval` a pair,
          predictions and ends `[rows, 2]`. Of several targets all have a further axis
          behind the rows: `[rows, targets]`, `[rows, targets, levels]`, `[rows,
          targets, 2]`.

        Raises:
          InputError: if the data does not fit, or the run kept no validation rows for
            what is asked.
        """
        from dirjax.evals import corrected

        if quantiles is not None and interval is not None:
            raise InputError("give quantiles or interval, not both.")
        if interval is not None and not 0 < interval < 1:
            raise InputError(
                f"interval must be a coverage between 0 and 1, such as 0.9, got "
                f"{interval!r}."
            )
        if quantiles is not None and np.ndim(quantiles) != 1:
            raise InputError(
                f"quantiles must be several levels, such as [0.1, 0.9], got "
                f"{quantiles!r}."
            )
        own = corrected.is_own(self.config["prior"])
        if prior is tau is quantiles is interval is None and own:
            return self._stacked(
                [f["prediction"] for f in self._outputs(data).values()]
            )
        chosen = self._chosen(prior, tau)
        self._refuse_maps()
        rows = self._rows(data)
        if quantiles is not None:
            return self._stacked(
                [_quantiles(chosen[n], rows[n], quantiles) for n in rows]
            )
        found = [self._corrected(n, chosen[n], rows[n], interval) for n in rows]
        prediction = self._stacked([columns["prediction"] for columns in found])
        if interval is None:
            return prediction
        ends = [np.stack([c["low"], c["high"]], axis=1) for c in found]
        return prediction, self._stacked(ends)

    def _refuse_maps(self) -> None:
        """Raises an error for what only `dirjax.predict` does on maps."""
        one = self._predictors.get("")
        if one is not None and one.record["kind"] == "dense":
            raise InputError(
                "the model predicts one value per pixel: use python -m dirjax.predict "
                "for its corrections."
            )

    def _corrected(
        self, name: str, chosen: Any, rows: Any, interval: float | None
    ) -> dict[str, np.ndarray]:
        """Corrected predictions of a target, with the ends of intervals if wanted."""
        from dirjax.evals import corrected

        widening = None
        if interval is not None:
            widening = chosen.calibrated(self._validation[name], interval)
        return corrected.Corrected(chosen, interval, widening)(
            {"prediction": rows.prediction}
            | ({} if rows.log_probs is None else {"log_probs": rows.log_probs})
        )

    def predict_dist(
        self, data: Any, *, prior: str | None = None, tau: float | None = None
    ) -> Any:
        """The distribution over label bins of each row; arguments as in `predict`.

        Of a model that predicts a number, that of its residuals around it.

        Returns:
          A `Distribution`; of several targets one for each, in a dict by name.
        """
        self._refuse_maps()
        chosen, rows = self._chosen(prior, tau), self._rows(data)
        found = {n: _distribution(chosen[n], rows[n]) for n in rows}
        return found if self._several else found[""]

    def save(self, folder: str | pathlib.Path) -> pathlib.Path:
        """Copies the run, whole, to a new folder; `dirjax.load` reads it.

        Raises:
          InputError: if the folder exists, or would be in the run itself.
        """
        folder = local_path("folder", folder)
        if folder.exists():
            raise InputError(f"the folder must be new, {folder} exists. Name another.")
        if folder.resolve().is_relative_to(self.workdir.resolve()):
            raise InputError(
                f"the folder must be outside of {self.workdir}, which is copied, got "
                f"{folder}. Name another."
            )
        half = files.half(folder)
        left_out = shutil.ignore_patterns(run_files.LOCK)
        try:
            shutil.copytree(self.workdir, half, ignore=left_out)
            half.rename(folder)
        except BaseException:
            shutil.rmtree(half, ignore_errors=True)
            raise
        return folder

    def __getstate__(self) -> dict[str, Any]:
        """The files that predictions need, so that another process has them, too."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in _NEEDED:
                if (self.workdir / name).exists():
                    archive.write(self.workdir / name, name)
            for folder in (run_files.CHECKPOINTS, run_files.TARGETS):
                for file in (self.workdir / folder).rglob("*"):
                    archive.write(file, file.relative_to(self.workdir))
        return {"files": packed.getvalue()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        folder = Temporary()
        with zipfile.ZipFile(io.BytesIO(state["files"])) as archive:
            archive.extractall(folder.path)
        self.__init__(folder.path)
        self.keep(folder)

    def __repr__(self) -> str:
        from dirjax import report

        return report.run_text(self.workdir)

    def _repr_html_(self) -> str:
        from dirjax import report

        return report.notebook(self.workdir)


def load(run: str | pathlib.Path) -> Model:
    """The model of a finished run.

    Args:
      run: run directory of `dirjax.main`, or what `save` wrote.

    Raises:
      InputError: if it is none.
    """
    return Model(run)
