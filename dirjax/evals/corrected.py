"""Predictions of a finished run for another label distribution, with intervals.

Everything comes from the run directory: the predictions for validation rows fit the
correction and calibrate the intervals, so no data of the run is read.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from dirjax import labels
from dirjax.correct import conformal
from dirjax.errors import InputError
from dirjax.evals import frontier, pixels
from dirjax.evals.predictor import Predictor
from dirjax.labels import Bins, Spec
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


def merged(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `config.prior` of a run, with those that a caller gives.

    A label distribution that is given is not corrected with the strength that was
    chosen for another one, or for none.

    Example:
      >>> merged({"target": "train", "tau": 0.0}, {"target": "uniform"})
      {'target': 'uniform', 'tau': None}
    """
    anew = {"tau": None} if "target" in given else {}
    return {**own, **anew, **given}


def is_own(prior: Mapping[str, Any]) -> bool:
    """Whether predictions are what the model itself predicts.

    Args:
      prior: fields of `config.prior`.
    """
    return prior["target"] == "train" and not prior["decode"]


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
        if own.ndim > 1:  # The predictor has corrected each pixel.
            return {"prediction": own}
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
            low, high = self.chosen.model.prior.scale.bounded(low, high)
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
    wanted = merged(predictor.config["prior"], prior)
    if is_own(wanted) and not prior and coverage is None:
        return None
    check_tau(wanted, "tau" in prior)
    dense = predictor.record["kind"] == "dense"
    if dense and coverage is not None:
        raise InputError(
            "--interval is for models that predict one value per row, that of "
            "--workdir predicts one per pixel. Leave it out."
        )
    best = run_files.read_result(workdir)["best_step"]
    # The distribution of a head is decoded at any step, without a fit.
    fitted = wanted["target"] != "train" or coverage is not None
    fitted = fitted or spec_of(workdir).support is None
    if fitted and best != predictor.step:
        raise InputError(
            f"the correction of {workdir} was fitted at step {best}, got --step "
            f"{predictor.step}. Leave out --step, or --prior and --interval."
        )
    rows = rows_of(workdir, "val")
    chosen = of_rows(workdir, rows, wanted)
    if dense:
        change = pixels.make_corrected([chosen])
        predictor.changes(lambda outputs: change(outputs)[0])
    if coverage is None:
        return Corrected(chosen)
    return Corrected(chosen, coverage, chosen.calibrated(rows, coverage))


def spec_of(workdir: pathlib.Path) -> Spec:
    """The label specification of a run, from its files; bins are in learnt units."""
    stored, record = run_files.read_bins(workdir), run_files.read_record(workdir)
    dtype = run_files.read_config(workdir)["data"]["bin_dtype"]
    edges = np.asarray(stored["edges"], dtype)
    counts = np.asarray(stored["train_count"])
    scale = labels.Scale.from_json(record["scale"])
    support, weights = stored.get("support"), stored["train_weight"]
    return Spec(
        bins=Bins(np.asarray(scale.forward(edges), dtype)),
        counts=counts,
        shots=np.asarray([labels.SHOTS.index(s) for s in stored["shots"]], np.int8),
        label_mean=record["label_mean"],
        label_std=record["label_std"],
        examples=int(counts.sum()),
        support=labels.Support.from_json(support) if support else None,
        weights=None if weights is None else np.asarray(weights),
    )


def rows_of(workdir: pathlib.Path, split: str) -> frontier.Rows:
    """The predictions of a run for a split, as the model gives them.

    Of a dense task, the validation pixels that the run has kept, if any.

    Args:
      workdir: directory of a finished run.
      split: "val" or "test".

    Raises:
      InputError: if there are none.
    """
    stored = run_files.read_predictions(workdir, split)
    scale = labels.Scale.from_json(run_files.read_record(workdir)["scale"])
    if "count" in stored:
        names = ("pixel_prediction", "pixel_label")
        own, value = (stored.get(name, np.zeros(0)) for name in names)
        bins = np.zeros(0, int)
        if value.size:
            bins = spec_of(workdir).bins.index(np.asarray(scale.forward(value)))
        return frontier.Rows(own, value, bins)
    value = stored["label"].astype(np.float64)
    bins = spec_of(workdir).bins.index(np.asarray(scale.forward(value)))
    own = stored.get("as_trained", stored["prediction"])
    return frontier.Rows(own, value, bins, stored.get("log_probs"))


def _images(workdir: pathlib.Path) -> int:
    """The number of training images of a dense run."""
    stored = run_files.read_bins(workdir)
    if "images" not in stored:
        raise InputError(
            f"{workdir / run_files.BINS} lacks the number of training images, without "
            "which maps cannot be corrected. Train the run again."
        )
    return stored["images"]


def of_rows(
    workdir: pathlib.Path, validation: frontier.Rows, prior: Mapping[str, Any]
) -> frontier.Chosen:
    """The correction of a run, from its files.

    Args:
      workdir: directory of a finished run.
      validation: its validation rows, from `rows_of`.
      prior: all fields of `config.prior`.

    Raises:
      InputError: if there are too few rows.
    """
    config, record = run_files.read_config(workdir), run_files.read_record(workdir)
    spec = spec_of(workdir)
    model = frontier.correction(
        prior,
        validation,
        spec,
        labels.Scale.from_json(record["scale"]),
        own=config["model"]["head_options"].get("decode", "median"),
        images=_images(workdir) if record["kind"] == "dense" else None,
    )
    if model is None:
        raise InputError(
            "a correction and intervals need at least two validation rows, "
            f"{workdir} has {validation.value.size}. Leave out --prior and --interval."
        )

    target = frontier.wanted(prior, model, record)

    def points() -> list[dict[str, Any]]:
        kept = run_files.read_result(workdir)["frontier"]
        how = frontier.decode_of(model, prior)
        known = {p["decode"] for p in kept["points"]} if kept else ()
        same = how in known and kept["target"] == prior["target"]
        if record["kind"] == "dense" and same:
            return kept["points"]  # of all pixels
        return frontier.frontier(
            model,
            {"val": validation},
            spec,
            target=target,
            decodes=frontier.decodes(model, prior),
            gm_epsilon=config["eval"]["gm_epsilon"],
        )

    select = {**config["select"], "split": "val"}
    return frontier.choose(model, prior, points, target=target, **select)
