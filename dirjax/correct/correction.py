"""One model, any label distribution: the correction of a finished model.

A model learns `p(y | x)` under the label distribution of its training rows. Under
another one, Bayes' rule gives `p(y | x) (target(y) / train(y))^tau`, normalised: no
training, for any target.

Sources: see `ops.densities`. That the corrected mean of a Gaussian model is what a
model trained with Balanced MSE predicts: Ren et al., "Balanced MSE for imbalanced
visual regression", CVPR 2022, https://arxiv.org/abs/2203.16427.

**Deviations**: the training distribution is smoothed and has a floor (`priors`), the
range of labels is that of the bins, and tau may be between 0 and 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dirjax.correct import priors
from dirjax.correct import residuals as residuals_lib
from dirjax.labels import Bins, Scale, auto_width
from dirjax.labels.bins import numbers
from dirjax.ops import densities


@dataclasses.dataclass(frozen=True, eq=False)
class Prior:
    """The label distribution of training, over bins.

    Attributes:
      bins: label bins on the scale on which the model learns.
      train: `[num]`, see `priors.training`.
      scale: the way back to units of the label.
    """

    bins: Bins
    train: np.ndarray
    scale: Scale = dataclasses.field(default_factory=Scale)

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins in units of the label, `[num + 1]` float64."""
        return np.asarray(self.scale.inverse(self.bins.edges.astype(np.float64)))

    def log_ratio(self, target: str | ArrayLike) -> np.ndarray:
        """Log of wanted over training probability, `[num]`; see `priors.wanted`."""
        widths = np.diff(self.bins.edges.astype(np.float64))
        return priors.log_ratio(priors.wanted(target, self.train, widths), self.train)

    def corrected(
        self, log_probs: np.ndarray, target: str | ArrayLike, tau: float
    ) -> np.ndarray:
        """Log probabilities `[n, num]` under another label distribution.

        Args:
          log_probs: `[n, num]` as the model gives them.
          target: see `priors.wanted`.
          tau: strength; 0 changes nothing, 1 corrects fully.
        """
        return densities.corrected(log_probs, self.log_ratio(target), tau)

    def changes(self, target: str | ArrayLike, tau: float) -> bool:
        """Whether the correction does anything."""
        return bool(np.ptp(tau * self.log_ratio(target)) > 1e-12)


@dataclasses.dataclass(frozen=True, eq=False)
class Correction:
    """The correction of predictions that are numbers, by `fit`.

    Attributes:
      prior: the label distribution of training.
      residuals: the distribution around predictions, on the scale of the bins.
    """

    prior: Prior
    residuals: residuals_lib.Residuals

    def log_probs(self, predictions: ArrayLike) -> np.ndarray:
        """The distribution around each prediction, as trained.

        Args:
          predictions: `[n]`, in units of the label.

        Returns:
          `[n, num]` log probability of each bin.
        """
        learnt = self.prior.scale.forward(_vector("predictions", predictions))
        edges = self.prior.bins.edges.astype(np.float64)
        return self.residuals.log_probs(learnt, edges)

    def apply(
        self,
        predictions: ArrayLike,
        *,
        target: str | ArrayLike = "uniform",
        tau: float = 1.0,
        decode: str = "mean",
    ) -> np.ndarray:
        """Predictions for another label distribution.

        Args:
          predictions: `[n]` of the model, in units of the label.
          target: "uniform", "train", or one weight a bin; see `priors.wanted`.
          tau: strength, 0 to 1: 0 changes nothing, 1 corrects fully. Choose it on
            labelled rows whose labels are distributed as in use.
          decode: "mean", "median" or "mode" of the corrected distribution, on the
            scale on which the model learns.

        Returns:
          `[n]` float64, in units of the label. Where nothing is corrected, the
          predictions as they came; otherwise they are within the range of the bins.

        Raises:
          ValueError: if an argument is wrong.

        Example:
          >>> from dirjax import correct
          >>> labels = np.repeat([1.0, 5.0, 9.0], [80, 15, 5])
          >>> model = correct.fit(labels + 1, labels, train_labels=labels)
          >>> model.apply([8.0], tau=0.0).tolist()
          [8.0]
        """
        given = _vector("predictions", predictions)
        if not self.prior.changes(target, tau):
            return given
        log_probs = self.prior.corrected(self.log_probs(given), target, tau)
        edges = self.prior.bins.edges.astype(np.float64)
        found = densities.decode(log_probs, edges, decode)
        return np.asarray(self.prior.scale.inverse(found))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        return {
            "edges": self.prior.bins.edges.tolist(),
            "train": self.prior.train.tolist(),
            "scale": self.prior.scale.to_json(),
            "residuals": self.residuals.to_json(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Correction:
        """The inverse of `to_json`."""
        prior = Prior(
            Bins(np.asarray(record["edges"])),
            np.asarray(record["train"]),
            Scale.from_json(record["scale"]),
        )
        return cls(prior, residuals_lib.Residuals.from_json(record["residuals"]))


def _vector(name: str, values: ArrayLike) -> np.ndarray:
    found = numbers(values).astype(np.float64)
    if found.ndim != 1:
        raise ValueError(f"{name} must be [n], got shape {found.shape}.")
    return found


def fit(
    predictions: ArrayLike,
    labels: ArrayLike,
    *,
    train_labels: ArrayLike,
    bins: Bins | None = None,
    scale: Scale | None = None,
    law: str = "laplace",
    dispersion: str = "loglinear",
    taps: int = 5,
    floor: float = priors.FLOOR,
) -> Correction:
    """Fits the correction of any regressor.

    It needs the model's predictions for labelled rows that it was not trained on, of
    any label distribution, and the labels of its training rows; not the model.

    Args:
      predictions: `[n]`, in units of the label.
      labels: `[n]`, of the same rows.
      train_labels: `[m]`, of the rows that the model was trained on.
      bins: label bins on the scale. Default: of width `auto_width(train_labels)`, over
        all labels.
      scale: on which residuals are alike, such as that of the logarithm for prices.
        Default: the label itself.
      law: of residuals, see `residuals`.
      dispersion: how wide they are at each prediction, see `residuals`.
      taps: smoothing of the training distribution, see `priors.training`.
      floor: see `priors.training`.

    Returns:
      The correction.

    Raises:
      ValueError: if an argument is wrong, with what was expected.

    Example:
      >>> labels = np.repeat([1.0, 5.0, 9.0], [80, 15, 5])
      >>> model = fit(0.5 * labels, labels, train_labels=labels)
      >>> bool((model.apply(0.5 * labels) > 0.5 * labels).all())
      True
    """
    scale = scale or Scale()
    found, truth = _vector("predictions", predictions), _vector("labels", labels)
    if found.size != truth.size:
        raise ValueError(
            f"predictions and labels must be of the same rows, got {found.size} and "
            f"{truth.size}."
        )
    train = scale.forward(numbers(train_labels).astype(np.float64))
    found, truth = scale.forward(found), scale.forward(truth)
    if bins is None:
        both = np.concatenate([train.ravel(), truth])
        bins = Bins.covering(both, width=auto_width(train))
    before = priors.of_labels(train, bins, taps=taps, floor=floor)
    # Rows count as often as rows with such labels occur in training.
    index = bins.index(truth)
    weights = before[index] / np.bincount(index, minlength=bins.num)[index]
    fitted = residuals_lib.fit(
        found,
        truth,
        edges=bins.edges.astype(np.float64),
        weights=weights,
        law=law,
        dispersion=dispersion,
    )
    return Correction(Prior(bins, before, scale), fitted)
