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
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks
from dirjax.correct import priors
from dirjax.correct import residuals as residuals_lib
from dirjax.labels import Bins, Scale, auto_width, histogram
from dirjax.labels import bins as bins_lib
from dirjax.labels.bins import numbers
from dirjax.ops import densities

_BLOCK = 8192


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
    """The correction of a model, by `fit`; or of one that gives distributions.

    Attributes:
      prior: the label distribution of training.
      residuals: the distribution around predictions, on the scale of the bins; None
        for a model that gives distributions itself.
      decode: which value of a distribution is predicted, unless another is asked for:
        for a model of distributions, that which it predicts itself.
    """

    prior: Prior
    residuals: residuals_lib.Residuals | None = None
    decode: str = "mean"

    def log_probs(self, predictions: ArrayLike) -> np.ndarray:
        """The distribution around each prediction, as trained.

        Args:
          predictions: `[n]`, in units of the label.

        Returns:
          `[n, num]` log probability of each bin.

        Raises:
          ValueError: if the model gives distributions itself.
        """
        if self.residuals is None:
            raise ValueError("log_probs must be given for a model of distributions.")
        learnt = _on_scale("predictions", predictions, self.prior.scale)
        return self.residuals.log_probs(learnt, self._learnt)

    def changes(self, target: str | ArrayLike, tau: float, decode: str) -> bool:
        """Whether corrected predictions are others than the model's own."""
        own = self.residuals is not None or decode == self.decode
        return not own or self.prior.changes(target, tau)

    @property
    def _learnt(self) -> np.ndarray:
        return self.prior.bins.edges.astype(np.float64)

    def _in_units(self, decode: Callable[..., np.ndarray], *args: Any) -> np.ndarray:
        """A function of a distribution, in units of the label.

        Residuals are alike on the scale of learning, so their distribution is decoded
        there; that of a model is decoded in units.
        """
        if self.residuals is None:
            return decode(args[0], self.prior.edges, *args[1:])
        return np.asarray(
            self.prior.scale.inverse(decode(args[0], self._learnt, *args[1:]))
        )

    def apply(
        self,
        predictions: ArrayLike,
        *,
        target: str | ArrayLike = "uniform",
        tau: float = 1.0,
        decode: str | None = None,
        log_probs: np.ndarray | None = None,
    ) -> np.ndarray:
        """Predictions for another label distribution.

        Args:
          predictions: `[n]` of the model, in units of the label.
          target: "uniform", "train", or one weight a bin; see `priors.wanted`.
          tau: strength, 0 to 1: 0 changes nothing, 1 corrects fully. Choose it on
            labelled rows whose labels are distributed as in use.
          decode: "mean", "median" or "mode" of the corrected distribution. Default:
            that of the correction.
          log_probs: `[n, num]`, from a model that gives distributions.

        Returns:
          `[n]` float64, in units of the label. Where nothing is corrected, the
          predictions as they came, unless they are to be decoded otherwise; else they
          are within the range of the bins.

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
        _check_tau(tau)
        how = decode or self.decode
        checks.one_of("decode", how, densities.DECODES)
        if not self.changes(target, tau, how):
            return given
        found = np.empty(given.size)
        for rows, after in self.distributions(
            given, target=target, tau=tau, log_probs=log_probs
        ):
            found[rows] = self._in_units(densities.decode, after, how)
        return found

    def distributions(
        self,
        predictions: np.ndarray,
        *,
        target: str | ArrayLike,
        tau: float,
        log_probs: np.ndarray | None = None,
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Corrected distributions, some rows at a time: all may not fit into memory.

        Args:
          predictions: `[n]` of the model, in units of the label.
          target: the label distribution that is wanted, see `priors.wanted`.
          tau: strength, 0 to 1.
          log_probs: `[n, num]`, from a model that gives distributions.

        Yields:
          Rows, and their log probabilities `[rows, num]` float64.
        """
        for start in range(0, len(predictions), _BLOCK):
            rows = slice(start, start + _BLOCK)
            before = log_probs[rows] if log_probs is not None else None
            if before is None:
                before = self.log_probs(predictions[rows])
            yield rows, self.prior.corrected(before.astype(np.float64), target, tau)

    def quantiles(
        self,
        predictions: ArrayLike,
        levels: Sequence[float],
        *,
        target: str | ArrayLike = "train",
        tau: float = 1.0,
        log_probs: np.ndarray | None = None,
    ) -> np.ndarray:
        """Quantiles of the corrected distribution.

        Args:
          predictions: `[n]` of the model, in units of the label.
          levels: from 0 to 1.
          target: the label distribution that is wanted; by default that of training.
          tau: strength, 0 to 1.
          log_probs: `[n, num]`, from a model that gives distributions.

        Returns:
          `[n, levels]` float64, in units of the label.

        Raises:
          ValueError: if an argument is wrong.
        """
        given = _vector("predictions", predictions)
        _check_tau(tau)
        of = np.asarray(levels, float)
        if of.ndim != 1 or not ((of >= 0) & (of <= 1)).all():
            raise ValueError(f"levels must be numbers from 0 to 1, got {levels}.")
        found = np.empty((given.size, len(levels)))
        for rows, after in self.distributions(
            given, target=target, tau=tau, log_probs=log_probs
        ):
            for place, level in enumerate(levels):
                found[rows, place] = self._in_units(densities.quantile, after, level)
        return found


def _check_tau(tau: Any) -> None:
    if np.ndim(tau) or not 0 <= tau <= 1:
        raise ValueError(f"tau must be one number from 0 to 1, got {tau}.")


def _vector(name: str, values: ArrayLike) -> np.ndarray:
    found = np.asarray(numbers(values, name), np.float64)
    if found.ndim != 1:
        raise ValueError(f"{name} must be [n], got shape {found.shape}.")
    return found


def _on_scale(name: str, values: ArrayLike, scale: Scale) -> np.ndarray:
    """Values on a scale.

    Raises:
      ValueError: if one is not on it, such as a price of 0 on that of the logarithm.
    """
    given = _vector(name, values)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.asarray(scale.forward(given))
    bad = np.flatnonzero(~np.isfinite(found))
    if bad.size:
        raise ValueError(
            f"{name} must be within the scale {scale.kind!r} of the label, got "
            f"{given[bad[0]]:g} in row {bad[0]} ({bad.size} such rows). Use a model "
            "that stays within it, or another scale."
        )
    return found


def _covering(train: np.ndarray, labels: np.ndarray) -> Bins:
    """Bins of the default width; some labels far out would make millions of them."""
    width, ends = auto_width(train), None
    if np.ptp(labels) / width > bins_lib.AUTO_BINS:
        low, high = ends = bins_lib.around_most(train, width)
        warnings.warn(
            f"labels far from the others, beyond {low:g} to {high:g}, count in the end "
            "bins, and corrected predictions lie within; give `bins` to "
            "dirjax.correct.fit for others.",
            stacklevel=3,
        )
    return Bins.covering(labels, width=width, label_range=ends)


def fit(
    predictions: ArrayLike,
    labels: ArrayLike,
    *,
    train_labels: ArrayLike,
    train_weights: ArrayLike | None = None,
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
      train_weights: `[m]`, of these rows in the loss of the model, which then learns
        the label distribution with these weights. Default: all alike.
      bins: label bins on the scale. Default: of width `auto_width(train_labels)`, over
        all labels; over the middle of them, with a warning, if that would be more than
        a thousand.
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
    train = _on_scale("train_labels", np.ravel(train_labels), scale)
    if bins is None:
        truth = _on_scale("labels", labels, scale)
        bins = _covering(train, np.concatenate([train, truth]))
    counts = histogram(train, bins)
    if train_weights is not None:
        weights = _vector("train_weights", train_weights)
        ok = weights.size == train.size and (weights >= 0).all() and weights.any()
        if not ok:
            raise ValueError(
                f"train_weights must be {train.size} numbers from 0, one for each "
                f"training label and one above 0, got {weights.size}."
            )
        weights = weights / weights.mean()
        counts = np.bincount(bins.index(train), weights, minlength=bins.num)
    prior = Prior(bins, priors.training(counts, taps=taps, floor=floor), scale)
    return of_prior(prior, predictions, labels, law=law, dispersion=dispersion)


def of_prior(
    prior: Prior,
    predictions: ArrayLike,
    labels: ArrayLike,
    *,
    law: str = "laplace",
    dispersion: str = "loglinear",
) -> Correction:
    """Fits the distribution around predictions, with the label distribution known.

    Args:
      prior: the label distribution of training.
      predictions: `[n]` for held-out rows, in units of the label.
      labels: `[n]`, of the same rows.
      law: one of `residuals.LAWS`.
      dispersion: one of `residuals.DISPERSIONS`.

    Raises:
      ValueError: see `fit`.
    """
    found = _on_scale("predictions", predictions, prior.scale)
    truth = _on_scale("labels", labels, prior.scale)
    if found.size != truth.size:
        raise ValueError(
            f"predictions and labels must be of the same rows, got {found.size} and "
            f"{truth.size}."
        )
    # Rows count as often as rows with such labels occur in training.
    index = prior.bins.index(truth)
    there = np.bincount(index, minlength=prior.bins.num)
    fitted = residuals_lib.fit(
        found,
        truth,
        edges=prior.bins.edges.astype(np.float64),
        weights=prior.train[index] / there[index],
        law=law,
        dispersion=dispersion,
    )
    return Correction(prior, fitted)
