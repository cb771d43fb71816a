"""A distribution around the predictions of a deterministic model, from its residuals.

`p(y | x)` is a law of the residual, scaled by a dispersion that depends on the
prediction, located at the prediction, and confined to the range of the label bins. Both
are fitted on labelled rows that the model was not trained on.

laws          gaussian, laplace, student (degrees of freedom by likelihood), empirical
              (the residuals themselves, smoothed)
dispersions   constant; loglinear: the log is linear in the prediction and in its log
              above the lowest label; binned: means over tenths of the predictions,
              shrunk to the mean over all

Sources: location-scale laws, textbook; shrinkage by an effective number of rows after
Kish, "Survey Sampling", 1965. The method is dirjax's own.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import special

from dirjax import checks
from dirjax.ops import densities

LAWS = ("laplace", "gaussian", "student", "empirical")
DISPERSIONS = ("loglinear", "constant", "binned")
# Degrees of freedom that are tried.
_FREEDOM = (2.0, 3.0, 4.0, 6.0, 10.0, 30.0)
# Of the empirical law: number of quantiles.
_POINTS = 100
# Shares of the range of labels: the smallest residual that counts in a logarithm, and
# the smallest distance of a prediction from the lowest label.
_LEAST_RESIDUAL, _LEAST_HEIGHT = 1e-3, 1e-2
# Of `binned`: number of parts, and rows that the mean over all counts for in each.
_PARTS, _PRIOR_ROWS = 10, 20.0
_TINY = 1e-300


@dataclasses.dataclass(frozen=True)
class Law:
    """A distribution of standardised residuals.

    Attributes:
      name: one of LAWS.
      scale: the deviation of gaussian, the mean absolute value of laplace, the scale
        parameter of student, the bandwidth of empirical.
      freedom: degrees of freedom of student.
      points: quantiles of the empirical law, ascending.
    """

    name: str
    scale: float
    freedom: float = 0.0
    points: tuple[float, ...] = ()

    def cdf(self, z: np.ndarray) -> np.ndarray:
        """Probability of residuals up to z, `[...]`, as `z`.

        Example:
          >>> Law("laplace", 1.0).cdf(np.array([0.0])).tolist()
          [0.5]
        """
        z = np.asarray(z, np.float64)
        if self.name == "empirical":
            found = np.zeros(z.shape)
            for point in self.points:
                found += special.ndtr((z - point) / self.scale)
            return found / len(self.points)
        z = z / self.scale
        if self.name == "gaussian":
            return special.ndtr(z)
        if self.name == "student":
            return special.stdtr(self.freedom, z)
        tail = 0.5 * np.exp(-np.abs(z))
        return np.where(z < 0, tail, 1 - tail)

    @property
    def mirrored(self) -> Law:
        """The law of the negative residual."""
        return dataclasses.replace(self, points=tuple(-x for x in self.points[::-1]))

    def between(self, z: np.ndarray) -> np.ndarray:
        """Probability between neighbours in z, which ascends: `[..., len(z) - 1]`.

        Far above the middle it is a difference of small numbers, not of ones.
        """
        below, above = self.cdf(z), self.mirrored.cdf(-z)
        return np.where(z[..., :-1] > 0, -np.diff(above), np.diff(below))


def fit_law(name: str, z: np.ndarray, weights: np.ndarray) -> Law:
    """Fits a law to standardised residuals by weighted maximum likelihood.

    Args:
      name: one of LAWS.
      z: `[n]` float64.
      weights: `[n]`, from 0, with sum 1.

    Raises:
      ValueError: for another name.

    Example:
      >>> fit_law("laplace", np.array([-1.0, 3.0]), np.array([0.5, 0.5])).scale
      2.0
    """
    checks.one_of("law", name, LAWS)
    least = 1e-9
    deviation = max(float(np.sqrt(weights @ z**2)), least)
    if name == "gaussian":
        return Law(name, deviation)
    if name == "laplace":
        return Law(name, max(float(weights @ np.abs(z)), least))
    if name == "student":
        return max(
            (_fit_student(freedom, z, weights, deviation) for freedom in _FREEDOM),
            key=lambda pair: pair[0],
        )[1]
    order = np.argsort(z)
    reached = np.cumsum(weights[order]) - weights[order] / 2
    levels = (np.arange(_POINTS) + 0.5) / _POINTS
    points = np.interp(levels, reached, z[order])
    middle = (points[3 * _POINTS // 4] - points[_POINTS // 4]) / 1.349
    # Silverman's rule of thumb, for as many rows as the weights are worth.
    spread = min(points.std(), middle) or points.std()
    width = 0.9 * spread * (1 / (weights @ weights)) ** -0.2
    return Law(name, max(float(width), least), points=tuple(points.tolist()))


def _fit_student(
    freedom: float, z: np.ndarray, weights: np.ndarray, start: float
) -> tuple[float, Law]:
    """Log likelihood and law, its scale found by expectation maximisation."""
    scale = start
    for _ in range(100):
        trust = (freedom + 1) / (freedom + (z / scale) ** 2)
        scale = max(float(np.sqrt(weights @ (trust * z**2))), 1e-9)
    constant = special.gammaln((freedom + 1) / 2) - special.gammaln(freedom / 2)
    constant -= 0.5 * np.log(freedom * np.pi) + np.log(scale)
    tail = (freedom + 1) / 2 * (weights @ np.log1p((z / scale) ** 2 / freedom))
    return float(constant - tail), Law("student", scale, freedom)


@dataclasses.dataclass(frozen=True)
class Dispersion:
    """How wide residuals are at each prediction: log-linear between knots.

    Attributes:
      knots: ascending predictions.
      values: mean absolute residual at each, above 0. Beyond the knots it is that of
        the nearest one.
    """

    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, predictions: np.ndarray) -> np.ndarray:
        """Dispersion at each prediction, `[n]`."""
        return np.exp(np.interp(predictions, self.knots, np.log(self.values)))


def fit_dispersion(
    name: str,
    predictions: np.ndarray,
    residuals: np.ndarray,
    weights: np.ndarray,
    edges: np.ndarray,
) -> Dispersion:
    """Fits the dispersion of residuals as a function of the prediction.

    Args:
      name: one of DISPERSIONS.
      predictions: `[n]`.
      residuals: `[n]`, label minus prediction.
      weights: `[n]`, from 0, with sum 1.
      edges: `[num + 1]` edges of the label bins.

    Raises:
      ValueError: for another name.
    """
    checks.one_of("dispersion", name, DISPERSIONS)
    span = float(edges[-1] - edges[0])
    size = np.abs(residuals)
    overall = max(float(weights @ size), _LEAST_RESIDUAL * span)
    if name == "constant" or np.ptp(predictions) == 0:
        return Dispersion((float(edges[0]),), (overall,))
    if name == "binned":
        return _binned(predictions, size, weights, overall)

    def features(at: np.ndarray) -> np.ndarray:
        height = (at - edges[0]) / span
        low = np.log(np.maximum(height, _LEAST_HEIGHT))
        return np.stack([np.ones_like(height), height, low], axis=1)

    root = np.sqrt(weights)
    observed = np.log(size + _LEAST_RESIDUAL * span)
    solution = np.linalg.lstsq(
        features(predictions) * root[:, None], observed * root, rcond=None
    )[0]
    # No extrapolation: knots are where predictions were.
    knots = np.unique(np.linspace(predictions.min(), predictions.max(), 100))
    return Dispersion(
        tuple(knots.tolist()), tuple(np.exp(features(knots) @ solution).tolist())
    )


def _binned(
    predictions: np.ndarray, size: np.ndarray, weights: np.ndarray, overall: float
) -> Dispersion:
    """Means over parts of equal weight, shrunk."""
    order = np.argsort(predictions, kind="stable")
    # A row is where the middle of its weight is.
    reached = np.cumsum(weights[order]) - weights[order] / 2
    part = np.minimum(reached / weights.sum() * _PARTS, _PARTS - 1).astype(int)
    found: dict[float, float] = {}
    for number in np.unique(part):
        rows = order[part == number]
        share = weights[rows].sum()
        if not share:
            continue
        worth = share**2 / (weights[rows] @ weights[rows])  # Kish's number of rows
        mean = weights[rows] @ size[rows] / share
        middle = float(weights[rows] @ predictions[rows] / share)
        found[middle] = (worth * mean + _PRIOR_ROWS * overall) / (worth + _PRIOR_ROWS)
    knots = sorted(found)
    return Dispersion(tuple(knots), tuple(float(found[k]) for k in knots))


@dataclasses.dataclass(frozen=True)
class Residuals:
    """The distribution around predictions.

    Attributes:
      law: of the residual over its dispersion.
      dispersion: as a function of the prediction.
    """

    law: Law
    dispersion: Dispersion

    def log_probs(self, predictions: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Log probability of each bin, confined to the range of the bins.

        Args:
          predictions: `[n]`.
          edges: `[num + 1]`, on the scale of the predictions.

        Returns:
          `[n, num]` float64, normalised.
        """
        at = np.asarray(predictions, np.float64)
        # A prediction beyond the range stands at its end.
        at = np.clip(at, edges[0], edges[-1])
        z = (edges[None] - at[:, None]) / self.dispersion(at)[:, None]
        probs = self.law.between(z)
        return densities.normalised(np.log(np.maximum(probs, _TINY)))


def fit(
    predictions: np.ndarray,
    labels: np.ndarray,
    *,
    edges: np.ndarray,
    weights: np.ndarray,
    law: str = "laplace",
    dispersion: str = "loglinear",
) -> Residuals:
    """Fits the distribution around predictions.

    Args:
      predictions: `[n]` of labelled rows that the model was not trained on.
      labels: `[n]`, in the same units.
      edges: `[num + 1]` edges of the label bins.
      weights: `[n]`, above 0: how often rows like this occur in training, so that the
        residuals are those of training's label distribution.
      law: one of LAWS.
      dispersion: one of DISPERSIONS.

    Raises:
      ValueError: for another law or dispersion.
    """
    share = weights / weights.sum()
    residuals = labels - predictions
    wide = fit_dispersion(dispersion, predictions, residuals, share, edges)
    return Residuals(fit_law(law, residuals / wide(predictions), share), wide)
