"""`dirjax.DIRRegressor`: dirjax as a scikit-learn estimator.

Needs `pip install "dirjax[sklearn]"`. Fitting calls the one training loop, and leaves a
run directory as `dirjax.main` does.
"""

from __future__ import annotations

import fractions
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    check_random_state,
    validate_data,
)

from dirjax.errors import InputError
from dirjax.interface import frames, training
from dirjax.interface.model import Distribution

_SPLITS = ("train", "val")


class DIRRegressor(RegressorMixin, BaseEstimator):
    """A network for tables or images, trained by any method of dirjax.

    With `y` of several columns, one encoder has a head for each (`data.label` in
    docs/own-data.md), and `score` is the mean of their R squared.

    Args:
      method: a preset, such as "vanilla", "sqinv_lds" or "histogram".
      prior: the label distribution that predictions are for: "train" or "uniform", or
        a file of labels; docs/any-prior.md. Others than "train" need validation rows.
      tau: strength of the correction, 0 to 1; None for that with the smallest
        validation error.
      members: networks that are trained together; the mean of their distributions is
        predicted.
      steps: training steps; None for those of the config.
      batch_size: None for one that fits the number of rows.
      learning_rate: None for that of the config.
      validation_fraction: share of each label bin, at most 30 rows, that chooses the
        best state and fits corrections, unless `eval_set` is given. 0 trains on all
        rows to the end.
      early_stopping: evaluations without a better one after which training ends; 0 for
        never.
      fields: path below `config` -> value, such as `{"data.label_scale": "log"}`.
      workdir: run directory; None for a temporary one. It must not hold another run.
      random_state: seed of training.
      verbose: print what `dirjax.main` prints.

    Attributes:
      model_: the trained `dirjax.Model`.
      n_features_in_: number of columns, of tables.

    Example:
      >>> x = np.linspace(0, 1, 200)[:, None]
      >>> model = DIRRegressor(steps=30, random_state=0).fit(x, np.exp(3 * x[:, 0]))
      >>> model.predict(x[:2]).shape
      (2,)
    """

    def __init__(
        self,
        method: str = "vanilla",
        *,
        prior: str = "train",
        tau: float | None = None,
        members: int = 1,
        steps: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        validation_fraction: float = 0.2,
        early_stopping: int = 0,
        fields: Mapping[str, Any] | None = None,
        workdir: str | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ):
        self.method = method
        self.prior = prior
        self.tau = tau
        self.members = members
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.fields = fields
        self.workdir = workdir
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        eval_set: tuple[Any, Any] | None = None,
        groups: Any = None,
    ) -> DIRRegressor:
        """Trains.

        Args:
          X: a data frame, or an array `[n, columns]`, NaN for missing values; or images
            `[n, height, width(, channels)]`.
          y: `[n]` labels; of several targets `[n, targets]`.
          sample_weight: `[n]` weights in the training loss; rows of weight 0 are left
            out.
          eval_set: inputs and labels of validation rows.
          groups: `[n]`; rows of a group stay on one side of the validation split.

        Raises:
          InputError: if the data or a parameter is wrong.
        """
        X, y = self._checked(X, y)
        if groups is not None:
            groups = column_or_1d(groups)
            check_consistent_length(y, groups)
            if eval_set is not None:
                raise InputError(
                    "groups divide the validation split that is made, and eval_set "
                    "gives one. Leave one of them out."
                )
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(
                sample_weight, y, dtype=np.float64, ensure_non_negative=True
            )
            kept = weight > 0
            if not kept.any():
                raise InputError("sample_weight must be above 0 for a training row.")
            X, y, weight = _rows(X, kept), y[kept], weight[kept]
            groups = groups if groups is None else groups[kept]
        part = np.zeros(len(y), np.int8)
        if eval_set is not None:
            if len(eval_set) != 2:
                raise InputError(
                    "eval_set must be inputs and labels of validation rows, (X, y), "
                    f"got {len(eval_set)} parts."
                )
            more, labels = self._checked(*eval_set, reset=False)
            X, y = _joined(X, more), np.concatenate([y, labels])
            part = np.concatenate([part, np.ones(len(labels), np.int8)])
            if weight is not None:
                weight = np.concatenate([weight, np.ones(len(labels))])
        elif self.validation_fraction:
            part = _held_out(y, self.validation_fraction, groups)
        self._train(X, y, part, weight)
        return self

    def _train(self, X: Any, y: Any, part: np.ndarray, weight: Any) -> None:
        """Writes the rows into a run directory, and trains."""
        from dirjax import train

        folder, temporary = training.folder_of(self.workdir)
        fields, file, options = _written(X, y, part, weight, folder)
        if isinstance(self.random_state, (int, np.integer)):
            seed = int(self.random_state)
        else:
            seed = int(check_random_state(self.random_state).randint(2**31))
        own = {
            "seed": seed,
            "model.members": self.members,
            "train.patience": self.early_stopping,
            "prior.target": self.prior,
            "prior.tau": self.tau,
            "data.batch_size": self.batch_size,
        }
        if self.steps is not None:
            own["stage.main.steps"] = self.steps
        if self.learning_rate is not None:
            own["stage.main.learning_rate"] = self.learning_rate
        fields = {**fields, **own, **(self.fields or {})}
        show = "all" if self.verbose else "nothing"
        with frames.speaking_of(folder):
            config = training.config_of(self.method + options, fields, file)
            self.model_ = training.finished(
                config, folder, temporary, show=show, run=train
            )

    def _checked(self, X: Any, y: Any, *, reset: bool = True) -> tuple[Any, np.ndarray]:
        """Inputs and labels, in the same number of rows."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        X = self._inputs(X, reset=reset)
        y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y")
        if y.ndim != 2 or y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        y = y.astype(np.float64)
        rows = X.num_rows if hasattr(X, "num_rows") else len(X)
        if rows != len(y):
            raise InputError(
                "X and y must have the same number of rows, "
                f"got {rows} and {len(y)}: inconsistent numbers of samples."
            )
        return X, y

    def _inputs(self, X: Any, *, reset: bool) -> Any:
        """Inputs as an array, or a data frame as a pyarrow table."""
        given: Any = X
        if _is_frame(X):
            validate_data(self, X, skip_check_array=True, reset=reset)
            return frames.table(X)
        if isinstance(X, np.ndarray) and X.ndim > 2:
            return X
        return validate_data(
            self,
            given,
            reset=reset,
            dtype="numeric",
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if reset else 1,
        )

    def predict(
        self,
        X: Any,
        *,
        quantiles: Sequence[float] | None = None,
        interval: float | None = None,
        prior: str | None = None,
        tau: float | None = None,
    ) -> Any:
        """Predictions in label units; see `Model.predict`.

        Args:
          X: as in `fit`.
          quantiles: levels between 0 and 1.
          interval: coverage of calibrated intervals.
          prior: another label distribution than in training.
          tau: another strength of the correction.

        Returns:
          `[n]`; with `quantiles` `[n, levels]`; with `interval` a pair, `[n]` and
          `[n, 2]`. Of several targets, in float64, `[n, targets]`, `[n, targets,
          levels]` and `[n, targets, 2]`.
        """
        check_is_fitted(self)
        found = self.model_.predict(
            self._inputs(X, reset=False),
            prior=prior,
            tau=tau,
            quantiles=quantiles,
            interval=interval,
        )
        if len(self.model_.targets) == 1:
            return found
        # scikit-learn asks regressors with several outputs for double precision.
        if isinstance(found, tuple):
            return tuple(part.astype(np.float64) for part in found)
        return found.astype(np.float64)

    def predict_dist(self, X: Any) -> Distribution | Mapping[str, Distribution]:
        """The distribution over label bins of each row; see `Model.predict_dist`."""
        check_is_fitted(self)
        return self.model_.predict_dist(self._inputs(X, reset=False))

    def save(self, folder: str | pathlib.Path) -> pathlib.Path:
        """Copies the run directory; `dirjax.load` and the commands read it."""
        check_is_fitted(self)
        return self.model_.save(folder)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.multi_output = True
        return tags


def _is_frame(X: Any) -> bool:
    return hasattr(X, "columns") or hasattr(X, "__arrow_c_stream__")


def _joined(X: Any, more: Any) -> Any:
    """Rows below one another."""
    if hasattr(X, "num_rows"):
        import pyarrow as pa

        return pa.concat_tables([X, more], promote_options="permissive")
    return np.concatenate([X, more])


def _rows(X: Any, kept: np.ndarray) -> Any:
    if hasattr(X, "num_rows"):
        import pyarrow as pa

        return X.filter(pa.array(kept))
    return X[kept]


def _held_out(y: np.ndarray, share: float, groups: Any) -> np.ndarray:
    """A nearly balanced validation split: `[n]` int8, 1 for validation."""
    from dirjax import labels
    from dirjax.data import splits
    from dirjax.labels import targets

    if not 0.001 <= share <= 0.5:
        raise InputError(
            "validation_fraction must be between 0.001 and 0.5, or 0 for no validation "
            f"rows, got {share:g}."
        )
    columns = [column for column in y.reshape(len(y), -1).T if np.ptp(column)]
    if not columns:
        return np.zeros(len(y), np.int8)
    own = [labels.Bins.covering(c, width=labels.auto_width(c)) for c in columns]
    part = fractions.Fraction(float(share)).limit_denominator(1000)
    y, bins = columns[0], own[0]
    if len(columns) > 1:
        fewest = math.ceil(1 / part)
        y, bins, _ = targets.strata(np.stack(columns, axis=1), own, fewest)
    rule = {"numerator": part.numerator, "denominator": part.denominator}
    rule |= {"cap": 30, "seed": 0}
    if groups is None:
        found = splits.balanced_split(y, bins, **rule)
    else:
        found = splits.balanced_group_split(y, bins, groups, **rule)
    return (found == 1).astype(np.int8)


def _written(
    X: Any, y: np.ndarray, part: np.ndarray, weight: Any, folder: pathlib.Path
) -> tuple[dict[str, Any], str, str]:
    """Writes rows into a folder; the fields of the config, its file and options."""
    from dirjax.labels import targets

    named = np.asarray(_SPLITS)[part]
    if isinstance(X, np.ndarray) and X.ndim > 2:
        if weight is not None:
            raise InputError("sample_weight is for tables, X has images. Leave it out.")
        file = folder / "data.npz"

        def write(half: pathlib.Path) -> None:
            with half.open("wb") as opened:  # savez would add an ending to a name
                np.savez(opened, x=X, y=y, split=named)

        frames.keep(write, file)
        fields = {"data.path": str(file.resolve()), "data.name": "y"}
        return fields, "configs/npz.py", ",images"
    frame = frames.table(X)
    names = frame.column_names
    label, values = frames.free_name(frame, "y"), {}
    if y.ndim > 1:
        each = [frames.free_name(frame, f"y{i}") for i in range(y.shape[1])]
        label, values = targets.text(each), dict(zip(each, y.T, strict=True))
    split, by = frames.free_name(frame, "split"), frames.free_name(frame, "weight")
    whole = frame
    for name, column in (values or {label: y}).items():
        whole = frames.with_column(whole, name, column)
    whole = frames.with_column(whole, split, named.tolist())
    if weight is not None:
        whole = frames.with_column(whole, by, weight)
    frames.keep(lambda file: frames.write_table(whole, file), folder / training.DATA)
    fields = {
        "data.path": str((folder / training.DATA).resolve()),
        "data.label": label,
        "data.name": label if y.ndim == 1 else "y",
        "data.split": split,
        "data.weight": None if weight is None else by,
        # Types are those of the columns: nothing is guessed, nothing left out.
        "data.numeric": tuple(n for n in names if frames.is_numeric(frame, n)),
        "data.categorical": tuple(n for n in names if frames.is_text(frame, n)),
    }
    return fields, "configs/csv.py", ""
