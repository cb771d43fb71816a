"""A finished model under other label distributions, from its predictions alone.

The predictions for validation rows give the distribution around predictions of a model
that has none (`correct.fit`), choose tau, and calibrate intervals; no pass over data is
repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dirjax import correct, metrics
from dirjax.correct import conformal, priors
from dirjax.labels import Bins, Scale, Spec
from dirjax.ops import densities

# Strengths of the correction.
TAUS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
# Metrics of each point of a frontier.
SCORES = ("mae", "rmse", "gm", "bmae")
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


def correction(
    validation: Rows | None,
    spec: Spec,
    scale: Scale,
    *,
    law: str = "laplace",
    dispersion: str = "loglinear",
    taps: int = 5,
    floor: float = priors.FLOOR,
) -> correct.Correction | None:
    """The correction of a model.

    Args:
      validation: labelled rows that the model was not trained on. Not needed for a
        model that gives distributions.
      spec: label specification, with the support of such a model.
      scale: on which the model learns the label.
      law: see `correct.fit`, as the rest.
      dispersion: likewise.
      taps: likewise.
      floor: likewise.

    Returns:
      The correction; None where there are no rows to fit it.
    """
    if spec.support is not None:
        train = priors.training(spec.support.counts, taps=taps, floor=floor)
        return correct.Correction(correct.Prior(Bins(spec.support.edges), train, scale))
    if validation is None or len(validation.value) < 2:
        return None
    train = priors.training(spec.counts, taps=taps, floor=floor)
    return correct.of_prior(
        correct.Prior(spec.bins, train, scale),
        validation.prediction,
        validation.value,
        law=law,
        dispersion=dispersion,
    )


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
    decodes: Sequence[str] = ("mean", "median"),
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
      metric: one of SCORES.
      shot: a shot, or "all".

    Returns:
      The point; None if no point has that error.
    """
    known = [p for p in points if p[split][metric][shot] is not None]
    return min(known, key=lambda p: (p[split][metric][shot], p["tau"]), default=None)


def spread(
    model: correct.Correction,
    splits: Mapping[str, Rows],
    spec: Spec,
    *,
    target: Any,
    tau: float,
    coverage: float = COVERAGE,
) -> dict[str, dict[str, Any]]:
    """Scores of the distributions themselves, by split and shot.

    Args:
      model: from `correction`.
      splits: rows by split; "val" calibrates intervals for the others.
      spec: label specification.
      target: see `frontier`.
      tau: strength of the correction.
      coverage: nominal coverage of intervals.

    Returns:
      By split, by shot: `crps`, in units of the label; `nlpd`, the negative log
      density at the label, per unit; and except for "val" `coverage` and `width` of
      central intervals, and `conformal_coverage` and `conformal_width` of those widened
      by split conformal prediction (by prediction).
    """
    ends = ((1 - coverage) / 2, (1 + coverage) / 2)
    found: dict[str, dict[str, Any]] = {}
    widening = None
    for name in sorted(splits, key=lambda split: split != "val"):
        rows = splits[name]
        low, high = model.quantiles(
            rows.prediction, ends, target=target, tau=tau, log_probs=rows.log_probs
        ).T
        values = _proper(model, rows, target, tau)
        if name == "val":
            widening = conformal.fit(
                low, high, rows.value, rows.prediction, coverage=coverage
            )
        else:
            values |= _covered("", rows, low, high)
            if widening is not None:
                wide = widening.apply(low, high, rows.prediction, by="prediction")
                values |= _covered("conformal_", rows, *wide)
        shots = spec.shots[rows.bins]
        found[name] = {key: metrics.means(x, shots) for key, x in values.items()}
    return found


def _proper(
    model: correct.Correction, rows: Rows, target: Any, tau: float
) -> dict[str, np.ndarray]:
    """CRPS and negative log density of each row."""
    log_probs = rows.log_probs
    if log_probs is None:
        log_probs = model.log_probs(rows.prediction)
    after = model.prior.corrected(log_probs.astype(np.float64), target, tau)
    edges = model.prior.edges
    return {
        "crps": densities.crps(after, edges, rows.value),
        "nlpd": -densities.log_density(after, edges, rows.value),
    }


def _covered(
    prefix: str, rows: Rows, low: np.ndarray, high: np.ndarray
) -> dict[str, np.ndarray]:
    inside = (low <= rows.value) & (rows.value <= high)
    return {f"{prefix}coverage": inside.astype(float), f"{prefix}width": high - low}
