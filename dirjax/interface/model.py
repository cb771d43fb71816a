"""A finished run as an object that predicts: `dirjax.load(run)`."""

from __future__ import annotations

import functools
import io
import pathlib
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax.errors import InputError
from dirjax.interface import frames
from dirjax.runtime import startup
from dirjax.workdir import run_files

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
        self.workdir = pathlib.Path(workdir)
        self.config = run_files.read_config(self.workdir)
        self.result = run_files.read_result(self.workdir)
        self._folder: Temporary | None = None

    def keep(self, folder: Temporary | None) -> None:
        """Keeps a temporary folder for as long as this object lives."""
        self._folder = folder

    @functools.cached_property
    def _predictor(self) -> Any:
        from dirjax.evals.predictor import Predictor

        return Predictor(self.workdir)

    @functools.cached_property
    def _validation(self) -> Any:
        from dirjax.evals import corrected

        return corrected.rows_of(self.workdir, "val")

    def _outputs(self, data: Any) -> dict[str, np.ndarray]:
        """What the model gives for each row, in order; an unusable row is an error."""
        from dirjax.data import new_rows

        with tempfile.TemporaryDirectory(prefix="dirjax-") as folder:
            file, rows = frames.write_new(data, pathlib.Path(folder))
            predictor = self._predictor
            if not rows:
                raise InputError("data must have rows, got none.")
            found = [
                predictor.outputs(piece.inputs)
                for piece in new_rows.pieces(
                    file, predictor.config["data"], predictor.record
                )
            ]
        return {n: np.concatenate([f[n] for f in found]) for n in found[0]}

    def _rows(self, data: Any) -> Any:
        from dirjax.evals import frontier

        outputs, none = self._outputs(data), np.zeros(0)
        return frontier.Rows(
            outputs["prediction"], none, none, outputs.get("log_probs")
        )

    def _chosen(self, prior: Any, tau: float | None) -> Any:
        """The correction for a label distribution."""
        from dirjax.evals import corrected

        fields = {**self.config["prior"]}
        if prior is not None:
            fields |= {"target": prior, "tau": None}
        if tau is not None:
            fields["tau"] = tau
        corrected.check_tau(fields, tau is not None)
        return corrected.of_rows(self.workdir, self._validation, fields)

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
          predictions and ends `[rows, 2]`.

        Raises:
          InputError: if the data does not fit, or the run kept no validation rows for
            what is asked.
        """
        if quantiles is not None and interval is not None:
            raise InputError("give quantiles or interval, not both.")
        own = self.config["prior"]["target"] == "train"
        if prior is tau is quantiles is interval is None and own:
            return self._outputs(data)["prediction"]
        from dirjax.evals import corrected

        chosen = self._chosen(prior, tau)
        if self._predictor.record["kind"] == "dense":
            raise InputError(
                "the model predicts one value per pixel: use python -m dirjax.predict "
                "for its corrections."
            )
        rows = self._rows(data)
        if quantiles is not None:
            return self._quantiles(chosen, rows, quantiles)
        widening = None
        if interval is not None:
            widening = chosen.calibrated(self._validation, interval)
        columns = corrected.Corrected(chosen, interval, widening)(
            {"prediction": rows.prediction}
            | ({} if rows.log_probs is None else {"log_probs": rows.log_probs})
        )
        if interval is None:
            return columns["prediction"]
        ends = np.stack([columns["low"], columns["high"]], axis=1)
        return columns["prediction"], ends

    def _quantiles(self, chosen: Any, rows: Any, levels: Sequence[float]) -> np.ndarray:
        return chosen.model.quantiles(
            rows.prediction,
            tuple(levels),
            target=chosen.target,
            tau=chosen.tau,
            log_probs=rows.log_probs,
        )

    def predict_dist(
        self, data: Any, *, prior: str | None = None, tau: float | None = None
    ) -> Distribution:
        """The distribution over label bins of each row; arguments as in `predict`.

        Of a model that predicts a number, that of its residuals around it.
        """
        chosen, rows = self._chosen(prior, tau), self._rows(data)
        blocks = chosen.model.distributions(
            rows.prediction,
            target=chosen.target,
            tau=chosen.tau,
            log_probs=rows.log_probs,
        )
        probabilities = np.concatenate([np.exp(block) for _, block in blocks])
        return Distribution(chosen.model.prior.edges, probabilities)

    def save(self, folder: str | pathlib.Path) -> pathlib.Path:
        """Copies the run, whole, to a new folder; `dirjax.load` reads it.

        Raises:
          InputError: if the folder exists.
        """
        folder = pathlib.Path(folder)
        if folder.exists():
            raise InputError(f"the folder must be new, {folder} exists. Name another.")
        shutil.copytree(self.workdir, folder, ignore=shutil.ignore_patterns(".lock"))
        return folder

    def __getstate__(self) -> dict[str, Any]:
        """The files that predictions need, so that another process has them, too."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in _NEEDED:
                if (self.workdir / name).exists():
                    archive.write(self.workdir / name, name)
            for file in (self.workdir / run_files.CHECKPOINTS).rglob("*"):
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
