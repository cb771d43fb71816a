"""Predictions of a finished run for another label distribution, with intervals.

Everything comes from the run directory: the predictions for validation rows fit the
correction and calibrate the intervals, so no data of the run is read.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from dirjax.correct import conformal
from dirjax.errors import InputError
from dirjax.evals import frontier
from dirjax.evals.predictor import Predictor, spec_of
from dirjax.workdir import run_files


def check_tau(prior: Mapping[str, Any], given: bool) -> None:
    """Checks that a strength of the correction has a label distribution to go to.

    Args:
      prior: fields of `config.prior`.
      given: whether the strength was given on the command line.

    Raises:
      InputError: if it has not.
    """
    if given and prior["target"] == "train":
        raise InputError(
            "--tau is the strength of a correction, and predictions are for the label "
            "distribution of training. Add --prior uniform."
        )


class Corrected(NamedTuple):
    """How predictions of a run are corrected.

    Attributes:
      chosen: the correction.
      coverage: nominal coverage of intervals; None for none.
      widening: what calibrates them.
    """

    chosen: frontier.Chosen
    coverage: float | None = None
    widening: conformal.Widening | None = None

    def __call__(self, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Columns of a file of predictions.

        Args:
          outputs: from `Predictor.outputs`.

        Returns:
          `prediction`, and with intervals `low` and `high`, `[n]` each.
        """
        own = np.asarray(outputs["prediction"])
        nothing = np.zeros(0)
        rows = frontier.Rows(own, nothing, nothing, outputs.get("log_probs"))
        if not own.size:
            names = ("prediction", "low", "high")
            return dict.fromkeys(names if self.widening else names[:1], nothing)
        found = self.chosen.predict(rows) if self.chosen.changes else own
        columns = {"prediction": found.astype(np.float32)}
        if self.coverage is not None and self.widening is not None:
            low, high = self.chosen.interval(rows, self.coverage).T
            low, high = self.widening.apply(low, high, own, by="prediction")
            columns |= {"low": low.astype(np.float32), "high": high.astype(np.float32)}
        return columns


def of_run(
    workdir: pathlib.Path,
    predictor: Predictor,
    *,
    prior: Mapping[str, Any],
    coverage: float | None = None,
) -> Corrected | None:
    """How predictions of a run are corrected.

    Args:
      workdir: directory of the run.
      predictor: its model.
      prior: fields of `config.prior` to change.
      coverage: nominal coverage of intervals, between 0 and 1; None for none.

    Returns:
      The correction; None if neither the run nor the caller asks for one.

    Raises:
      InputError: if the run has no predictions for validation rows, or they are of
        another step.
    """
    wanted = {**predictor.config["prior"], **prior}
    if wanted["target"] == "train" and not prior and coverage is None:
        return None
    check_tau(wanted, "tau" in prior)
    if predictor.record["kind"] == "dense":
        raise InputError(
            "--prior and --interval are for models that predict one value per row, "
            "that of --workdir predicts one per pixel. Leave them out."
        )
    stored = run_files.read_validation(workdir)
    best = run_files.read_result(workdir)["best_step"]
    if best != predictor.step:
        raise InputError(
            f"the correction of {workdir} was fitted at step {best}, got --step "
            f"{predictor.step}. Leave out --step, or --prior and --interval."
        )
    spec, value = spec_of(workdir, predictor), stored["label"].astype(np.float64)
    own = stored.get("as_trained", stored["prediction"])
    bins = spec.bins.index(np.asarray(predictor.scale.forward(value)))
    rows = frontier.Rows(own, value, bins, stored.get("log_probs"))
    chosen, _ = frontier.of_config(
        wanted,
        {**predictor.config["select"], "split": "val"},
        {"val": rows},
        spec,
        predictor.scale,
        own=predictor.decode,
        gm_epsilon=predictor.config["eval"]["gm_epsilon"],
    )
    if chosen is None:
        raise InputError(
            f"--prior and --interval need at least two validation rows, {workdir} has "
            f"{value.size}. Leave them out."
        )
    if coverage is None:
        return Corrected(chosen)
    return Corrected(chosen, coverage, chosen.calibrated(rows, coverage))
