"""A finished model under other label distributions, from its predictions alone.

The predictions for validation rows give the distribution around predictions of a model
that has none (`correct.fit`), choose tau, and calibrate intervals; no pass over data is
repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax import correct, metrics
from dirjax.correct import conformal, priors
from dirjax.data import label_files
from dirjax.errors import InputError
from dirjax.labels import Bins, Scale, Spec, Support
from dirjax.ops import densities

# Strengths of the correction.
TAUS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
# The label distribution of frontiers: that of a balanced test set.
UNIFORM = "uniform"
# Metrics of each point of a frontier.
SCORES = ("mae", "rmse", "gm", "bmae")
# Values of a distribution that every frontier has.
DECODES = ("mean", "median")
# Nominal coverage of the intervals in results.
COVERAGE = 0.9


class Rows(NamedTuple):
    """Predictions of a split, in units of the label.

    Attributes:
      prediction: `[n]`.
      value: `[n]` labels.
      bins: `[n]` label bin of each.
      log_probs: `[n, num]` of a model that gives distributions, else None.
    """

    prediction: np.ndarray
    value: np.ndarray
    bins: np.ndarray
    log_probs: np.ndarray | None = None


class Chosen(NamedTuple):
    """How a model is corrected.

    Attributes:
      model: the correction.
      target: the label distribution that predictions are for.
      tau: strength.
      decode: value of the distribution that is predicted.
    """

    model: correct.Correction
    target: Any
    tau: float
    decode: str

    @property
    def changes(self) -> bool:
        """Whether predictions are others than the model's own."""
        return self.model.changes(self.target, self.tau, self.decode)

    def predict(self, rows: Rows) -> np.ndarray:
        """Corrected predictions `[n]`."""
        return self.model.apply(
            rows.prediction,
            target=self.target,
            tau=self.tau,
            decode=self.decode,
            log_probs=rows.log_probs,
        )

    def interval(self, rows: Rows, coverage: float) -> np.ndarray:
        """Ends `[n, 2]` of central intervals, not calibrated."""
        ends = ((1 - coverage) / 2, (1 + coverage) / 2)
        return self.model.quantiles(
            rows.prediction,
            ends,
            target=self.target,
            tau=self.tau,
            log_probs=rows.log_probs,
        )

    def calibrated(self, validation: Rows, coverage: float) -> conformal.Widening:
        """What makes intervals cover as often as they claim, from validation rows."""
        low, high = self.interval(validation, coverage).T
        return conformal.fit(
            low, high, validation.value, validation.prediction, coverage=coverage
        )


def correction(
    prior: Mapping[str, Any],
    validation: Rows | None,
    spec: Spec,
    scale: Scale,
    *,
    own: str,
    images: int | None = None,
) -> correct.Correction | None:
    """The correction of a model.

    Args:
      prior: the fields of `config.prior`.
      validation: labelled rows that the model was not trained on. Not needed for a
        model that gives distributions.
      spec: label specification, with the support of such a model.
      scale: on which the model learns the label.
      own: what a model of distributions predicts itself: "mean", "median" or "mode".
      images: of a dense task, the number of training images. The floor of the training
        distribution then counts images, since their pixels are no labels of their own:
        half a pixel among millions would let empty bins draw all predictions.

    Returns:
      The correction; None where there are no rows to fit it.
    """
    floor = prior["floor"] * (spec.counts.sum() / images if images else 1.0)
    smoothing = {"taps": prior["taps"], "floor": float(floor)}
    if spec.support is not None:
        train = priors.training(_held(spec.support), **smoothing)
        of_bins = correct.Prior(Bins(spec.support.edges), train, scale)
        return correct.Correction(of_bins, decode=own)
    if validation is None or len(validation.value) < 2:
        return None
    train = priors.training(_held(spec), **smoothing)
    return correct.of_prior(
        correct.Prior(spec.bins, train, scale),
        validation.prediction,
        validation.value,
        law=prior["law"],
        dispersion=prior["dispersion"],
    )


def wanted(
    prior: Mapping[str, Any], model: correct.Correction, record: Mapping[str, Any]
) -> str | np.ndarray:
    """The label distribution that predictions are for, as `correct.Prior` takes it.

    Args:
      prior: the fields of `config.prior`; `target` is a name or a file of labels.
      model: from `correction`.
      record: data record of the run.

    Raises:
      InputError: if the file cannot be read, or its labels have another unit.
    """
    target = prior["target"]
    if target in priors.TARGETS:
        return target
    of = model.prior
    return priors.of_labels(
        label_files.within(target, record, of.bins),
        of.bins,
        taps=prior["taps"],
        floor=prior["floor"],
    )


def _held(bins: Spec | Support) -> np.ndarray:
    """Training labels in each bin, as often as training counts them."""
    return bins.counts if bins.weights is None else bins.weights


def scores(
    rows: Rows, prediction: np.ndarray, spec: Spec, *, gm_epsilon: float
) -> dict[str, dict[str, Any]]:
    """Metrics of predictions by shot, as `metrics.finalize`, without correlations."""
    sums = metrics.row_sums(
        prediction,
        rows.value,
        bins=rows.bins,
        num_bins=spec.bins.num,
        gm_epsilon=gm_epsilon,
    )
    found = metrics.finalize(sums, spec=spec)
    return {name: found[name] for name in SCORES}


def frontier(
    model: correct.Correction,
    splits: Mapping[str, Rows],
    spec: Spec,
    *,
    target: Any,
    taus: Sequence[float] = TAUS,
    decodes: Sequence[str],
    gm_epsilon: float,
) -> list[dict[str, Any]]:
    """Metrics of a model at several strengths of the correction.

    Args:
      model: from `correction`.
      splits: rows by split.
      spec: label specification.
      target: the label distribution that is wanted, see `correct.Correction.apply`.
      taus: strengths.
      decodes: values of a distribution to take.
      gm_epsilon: see `metrics`.

    Returns:
      A point for each decode and tau: `tau`, `decode`, and by split the metrics of
      `SCORES` by shot.
    """
    return [
        {"tau": float(tau), "decode": how}
        | {
            name: scores(
                rows,
                model.apply(
                    rows.prediction,
                    target=target,
                    tau=tau,
                    decode=how,
                    log_probs=rows.log_probs,
                ),
                spec,
                gm_epsilon=gm_epsilon,
            )
            for name, rows in splits.items()
        }
        for how in decodes
        for tau in taus
    ]


def best(
    points: Sequence[Mapping[str, Any]], split: str, *, metric: str, shot: str
) -> Mapping[str, Any] | None:
    """The point with the smallest error; the weakest correction of equal ones.

    Args:
      points: from `frontier`.
      split: the split that chooses.
      metric: one of SCORES, or "mse", which orders points as "rmse" does.
      shot: a shot, or "all".

    Returns:
      The point; None if no point has that error.
    """
    metric = "rmse" if metric == "mse" else metric
    known = [p for p in points if p[split][metric][shot] is not None]
    return min(known, key=lambda p: (p[split][metric][shot], p["tau"]), default=None)


def decode_of(model: correct.Correction, prior: Mapping[str, Any]) -> str:
    """Which value of a distribution is predicted: as asked for, or the model's own."""
    return prior["decode"] or model.decode


def decodes(model: correct.Correction, prior: Mapping[str, Any]) -> tuple[str, ...]:
    """Values of a distribution that a frontier has: `DECODES`, and what is predicted.

    Args:
      model: from `correction`.
      prior: the fields of `config.prior`.
    """
    own = decode_of(model, prior)
    return DECODES if own in DECODES else (*DECODES, own)


def choose(
    model: correct.Correction,
    prior: Mapping[str, Any],
    points: Callable[[], Sequence[Mapping[str, Any]]],
    *,
    split: str | None,
    target: str | np.ndarray,
    metric: str,
    shot: str,
) -> Chosen:
    """How a model is corrected: as given, or by the error on a split.

    For the labels of a file the correction is full unless its strength is given: rows
    of a split with other labels do not choose it.

    Args:
      model: from `correction`.
      prior: the fields of `config.prior`.
      points: gives the frontier, which is needed only if no strength is given.
      split: the split that chooses; None without one.
      target: from `wanted`.
      metric: see `best`.
      shot: see `best`.

    Raises:
      InputError: if no strength is given and nothing chooses it.
    """
    decode, tau = decode_of(model, prior), prior["tau"]
    if prior["target"] == "train":
        return Chosen(model, target, 0.0, decode)
    if tau is None and prior["target"] not in priors.TARGETS:
        tau = 1.0
    if tau is not None:
        return Chosen(model, target, tau, decode)
    own = [p for p in points() if p["decode"] == decode and split in p]
    found = best(own, split, metric=metric, shot=shot) if split else None
    if found is None:
        raise InputError(
            f"no {shot}-shot row of a split chooses the strength of the correction. "
            "Give it with --tau, or in a config with --config.prior.tau."
        )
    return Chosen(model, target, found["tau"], decode)


def intervals(
    chosen: Chosen, splits: Mapping[str, Rows], coverage: float = COVERAGE
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Calibrated intervals of each split but "val", which calibrates them.

    Args:
      chosen: how the model is corrected.
      splits: rows by split.
      coverage: nominal coverage.

    Returns:
      Split -> lower and upper ends, `[n]` each; nothing without validation rows.
    """
    if "val" not in splits or not len(splits["val"].value):
        return {}
    widening, found = chosen.calibrated(splits["val"], coverage), {}
    for name, rows in splits.items():
        if name != "val":
            low, high = chosen.interval(rows, coverage).T
            ends = widening.apply(low, high, rows.prediction, by="prediction")
            found[name] = chosen.model.prior.scale.bounded(*ends)
    return found


def spread(
    chosen: Chosen,
    splits: Mapping[str, Rows],
    spec: Spec,
    wide: Mapping[str, tuple[np.ndarray, np.ndarray]],
    coverage: float = COVERAGE,
) -> dict[str, dict[str, Any]]:
    """Scores of the distributions themselves, by split and shot.

    Args:
      chosen: how the model is corrected.
      splits: rows by split.
      spec: label specification.
      wide: calibrated intervals, from `intervals`.
      coverage: nominal coverage of intervals.

    Returns:
      By split, by shot: `crps`, in units of the label; `nlpd`, the negative log
      density at the label, per unit; and except for "val" `coverage` and `width` of
      central intervals, and `conformal_coverage` and `conformal_width` of those widened
      by split conformal prediction, by prediction.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, rows in splits.items():
        values = _proper(chosen, rows)
        if name != "val":
            low, high = chosen.interval(rows, coverage).T
            values |= _covered("", rows, low, high)
            if name in wide:
                values |= _covered("conformal_", rows, *wide[name])
        shots = spec.shots[rows.bins]
        found[name] = {key: metrics.means(x, shots) for key, x in values.items()}
    return found


def _proper(chosen: Chosen, rows: Rows) -> dict[str, np.ndarray]:
    """CRPS and negative log density of each row."""
    edges = chosen.model.prior.edges
    found: dict[str, list[np.ndarray]] = {"crps": [], "nlpd": []}
    for at, after in chosen.model.distributions(
        rows.prediction,
        target=chosen.target,
        tau=chosen.tau,
        log_probs=rows.log_probs,
    ):
        value = rows.value[at]
        found["crps"].append(densities.crps(after, edges, value))
        found["nlpd"].append(-densities.log_density(after, edges, value))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _covered(
    prefix: str, rows: Rows, low: np.ndarray, high: np.ndarray
) -> dict[str, np.ndarray]:
    inside = (low <= rows.value) & (rows.value <= high)
    return {f"{prefix}coverage": inside.astype(float), f"{prefix}width": high - low}
