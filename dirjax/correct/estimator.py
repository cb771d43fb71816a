"""The correction as a scikit-learn estimator around any regressor.

Needs `pip install "dirjax[sklearn]"`. Import it by name, since scikit-learn takes a
second to import: `from dirjax.correct.estimator import PriorCorrectedRegressor`.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.utils import get_tags
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from dirjax.correct.correction import fit


class PriorCorrectedRegressor(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """A regressor whose predictions are for another label distribution.

    The regressor is trained on all rows as it is. The distribution of its residuals
    comes from predictions for each row by a regressor that was trained on others
    (`cross_val_predict`), and the label distribution of training is corrected by
    Bayes' rule, see `dirjax.correct`.

    Args:
      estimator: a regressor. Default: `HistGradientBoostingRegressor()`.
      target: "uniform", for equally good predictions of rare labels; "train"; or one
        weight a bin.
      tau: strength of the correction, 0 (as trained) to 1.
      decode: "mean", "median" or "mode" of the corrected distribution.
      cv: folds of the predictions that fit the correction, into which rows are drawn;
        or a splitter of scikit-learn.
      law: of residuals, one of `residuals.LAWS`.
      dispersion: how wide residuals are at each prediction, one of
        `residuals.DISPERSIONS`.
      taps: label bins over which the training distribution is smoothed, odd.
      floor: training labels that each bin is taken to hold at least.

    Attributes:
      estimator_: the trained regressor.
      correction_: a `correct.Correction`.

    Example:
      >>> from sklearn.linear_model import LinearRegression
      >>> x = np.linspace(0, 1, 60)[:, None]
      >>> y = np.where(x[:, 0] > 0.9, 4.0, 1.0) + 0.1 * np.sin(40 * x[:, 0])
      >>> plain = LinearRegression().fit(x, y)
      >>> model = PriorCorrectedRegressor(LinearRegression(), tau=0.5).fit(x, y)
      >>> bool(model.predict([[1.0]]) > plain.predict([[1.0]]))
      True
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        target: Any = "uniform",
        tau: float = 0.5,
        decode: str = "mean",
        cv: Any = 5,
        law: str = "laplace",
        dispersion: str = "loglinear",
        taps: int = 5,
        floor: float = 0.5,
    ):
        self.estimator = estimator
        self.target = target
        self.tau = tau
        self.decode = decode
        self.cv = cv
        self.law = law
        self.dispersion = dispersion
        self.taps = taps
        self.floor = floor

    @property
    def _regressor(self) -> Any:
        given = self.estimator
        return HistGradientBoostingRegressor() if given is None else given

    def __sklearn_tags__(self) -> Any:
        """What X may hold is up to the regressor."""
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self._regressor).input_tags
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> PriorCorrectedRegressor:
        """Trains the regressor and fits the correction.

        Args:
          X: `[n, features]`, of any kind that the regressor takes.
          y: `[n]` labels.
          sample_weight: `[n]` weights of the rows for a regressor that takes them. The
            label distribution that it learns, and that is corrected, has them, too.
        """
        # The regressor checks X: it may take frames, categories, and missing values.
        validate_data(self, X, y, skip_check_array=True)
        y = np.asarray(check_array(y, ensure_2d=False, dtype="numeric", input_name="y"))
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        if len(y) < 2:
            raise ValueError(f"X must have 2 rows or more, got n_samples = {len(y)}.")
        regressor = self._regressor
        fresh: Any = clone(regressor)
        weights = {}
        if sample_weight is not None:
            weights["sample_weight"] = _check_sample_weight(sample_weight, X)
        folds = self.cv
        if isinstance(folds, numbers.Integral):
            folds = KFold(min(int(folds), len(y)), shuffle=True, random_state=0)
        held_out = np.asarray(
            cross_val_predict(regressor, X, y, cv=folds, params=weights)
        )
        self.estimator_ = fresh.fit(X, y, **weights)
        self.correction_ = None
        # Equal labels have nothing to correct.
        if np.ptp(y) > 0:
            self.correction_ = fit(
                held_out,
                y,
                train_labels=y,
                train_weights=weights.get("sample_weight"),
                law=self.law,
                dispersion=self.dispersion,
                taps=self.taps,
                floor=self.floor,
            )
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predictions `[n]` for the wanted label distribution."""
        check_is_fitted(self)
        # The regressor says what is wrong with a vector.
        if len(getattr(X, "shape", (0, 0))) > 1:
            validate_data(self, X, reset=False, skip_check_array=True)
        found = self.estimator_.predict(X)
        if self.correction_ is None:
            return found
        return self.correction_.apply(
            found, target=self.target, tau=self.tau, decode=self.decode
        )
