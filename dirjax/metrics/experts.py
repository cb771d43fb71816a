"""Metrics of groups and experts, from the logits and values of rows.

Host numpy in float64 on the gathered rows of a split, without JAX. With logits `h`,
values `v` of the experts, the true group `g*` and the predicted one `ghat = argmax h`:

- `group_accuracy`, share of rows with `ghat = g*`, and `group_distance`, mean
  `|ghat - g*|`;
- `oracle_mae`, `oracle_rmse`: errors of `v_{g*}`. A diagnostic: the true group is
  unknown at prediction time, and no other metric uses it;
- `nll`, mean of `-log sum_g p_g N(y; v_g, s^2)` with `p = softmax(h)`: the likelihood
  of the model as a mixture of Gaussians; and `nll_bound`, mean of `-log p_{g*} - log
  N(y; v_{g*}, s^2)`, which is never smaller.

"Leveraging Group Classification with Descending Soft Labeling for Deep Imbalanced
Regression", Pu et al., AAAI 2025 (Lemma 1). https://arxiv.org/abs/2412.12327

**Deviations**:

- The bound printed in the paper, `sum_g [-log p_g - log N(y; v_g, s^2)]`, needs
  densities of at most 1 and fails for a small `s`: two experts that are `s` off, with
  `s = 0.05` and `p = 1/2`, give -1.77, but the likelihood is -1.58. The term of the
  true group is always a bound, and it is what training minimises.
- The paper does not give `s`. Here `s^2` is the mean squared error of `v_{g*}` on the
  evaluated split, which minimises the bound; it is unknown in training.
- The author's code reports the true group's expert as the main score. Here all main
  scores (`mae` and so on) use the expert of the predicted group.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dirjax.metrics import regression

Scores = dict[str, dict[str, float | None]]


def predicted_groups(logits: ArrayLike) -> np.ndarray:
    """The group with the largest logit of each row.

    Args:
      logits: `[n, groups]`.

    Returns:
      `[n]` int32; -1 for a row with a NaN.

    Example:
      >>> predicted_groups([[0.1, 2.0], [np.nan, 0.0]]).tolist()
      [1, -1]
    """
    logits = np.asarray(logits)
    unknown = np.isnan(logits).any(axis=1)
    return np.where(unknown, -1, np.argmax(logits, axis=1)).astype(np.int32)


def group_scores(groups: ArrayLike, predicted: ArrayLike, shots: ArrayLike) -> Scores:
    """How often and by how much the predicted group differs from the true one.

    Args:
      groups: `[n]` int, true groups.
      predicted: `[n]` int, from `predicted_groups`.
      shots: `[n]`, shot group of each row: `spec.shots[bins]`.

    Returns:
      `group_accuracy` (best is 1) and `group_distance` (best is 0), each `{"all",
      "many", "median", "few"}`. None for a group without rows, or with a row of unknown
      predicted group.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> group_scores([0, 2], [0, 0], [0, 2])["group_distance"]
      {'all': 1.0, 'many': 0.0, 'median': None, 'few': 2.0}
    """
    groups, predicted = _equally_long(groups=groups, predicted=predicted)
    distance = np.abs(predicted - groups).astype(np.float64)
    distance[predicted < 0] = np.nan
    hit = np.where(np.isnan(distance), np.nan, distance == 0)
    return {
        "group_accuracy": regression.means(hit, shots),
        "group_distance": regression.means(distance, shots),
    }


def oracle_scores(oracle: ArrayLike, labels: ArrayLike, shots: ArrayLike) -> Scores:
    """Errors of the true group's expert, a diagnostic; see the module.

    Args:
      oracle: `[n]`, predictions of the true group's expert.
      labels: `[n]`, in the same unit.
      shots: `[n]`, as in `group_scores`.

    Returns:
      `oracle_mae` and `oracle_rmse` in that unit, by shot group as in `group_scores`.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> oracle_scores([1.0, 4.0], [1.0, 2.0], [0, 0])["oracle_mae"]["all"]
      1.0
    """
    oracle, labels = _equally_long(oracle=oracle, labels=labels)
    with np.errstate(all="ignore"):  # What is not finite becomes None.
        error = np.abs(oracle.astype(np.float64) - labels.astype(np.float64))
        squares = regression.means(error**2, shots)
    return {
        "oracle_mae": regression.means(error, shots),
        "oracle_rmse": {
            k: v if v is None else math.sqrt(v) for k, v in squares.items()
        },
    }


def likelihood(
    logits: ArrayLike, values: ArrayLike, labels: ArrayLike, groups: ArrayLike
) -> Scores:
    """Negative log-likelihood of labels, and its bound by the true group (Lemma 1).

    Args:
      logits: `[n, groups]`, whose softmax gives probabilities.
      values: `[n, groups]`, of the experts, in units of the learnt label.
      labels: `[n]`, in that unit.
      groups: `[n]` int, true groups.

    Returns:
      `nll` and `nll_bound`, each `{"all"}`, in nats of a density per unit of labels;
      `nll <= nll_bound`. The Gaussian's variance is the mean squared error of the true
      groups' experts on these rows. None if that is 0, or if a value is not finite.

    Raises:
      ValueError: if the shapes do not fit.

    Example:
      >>> found = likelihood([[0.0, 0.0]], [[0.05, 0.05]], [0.0], [1])
      >>> {name: round(value["all"], 2) for name, value in found.items()}
      {'nll': -1.58, 'nll_bound': -0.88}
    """
    labels, groups = _equally_long(labels=labels, groups=groups)
    logits, values = (np.asarray(x, np.float64) for x in (logits, values))
    if logits.ndim != 2 or logits.shape != values.shape or len(logits) != len(labels):
        raise ValueError(
            f"logits and values must be [n, groups] for the {len(labels)} labels, got "
            f"shapes {logits.shape} and {values.shape}."
        )
    with np.errstate(all="ignore"):  # What is not finite becomes None.
        squares = (labels.astype(np.float64)[:, None] - values) ** 2
        own = np.arange(len(groups)), groups.astype(np.int64)
        variance = squares[own].mean() if len(groups) else math.nan
        densities = -squares / (2 * variance) - np.log(2 * np.pi * variance) / 2
        joint = _log_softmax(logits) + densities
        found = {"nll": -_log_sum(joint)[:, 0], "nll_bound": -joint[own]}
    whole = np.zeros(len(groups))
    return {k: {"all": regression.means(v, whole)["all"]} for k, v in found.items()}


def evaluate(
    logits: np.ndarray,
    values: np.ndarray,
    *,
    label: np.ndarray,
    value: np.ndarray,
    groups: np.ndarray,
    shots: np.ndarray,
    inverse: Callable[[np.ndarray], Any],
    probable: bool,
) -> tuple[Scores, dict[str, np.ndarray]]:
    """All group metrics of a split, and the arrays to store for its rows.

    Args:
      logits: `[n, groups]`, logits of the head.
      values: `[n, groups]`, of the experts, in units of the learnt label.
      label: `[n]`, in that unit.
      value: `[n]`, the label as the file has it.
      groups: `[n]` int, true groups.
      shots: `[n]`, shot group of each row.
      inverse: from the scale on which the label is learnt to its units.
      probable: whether softmax of the logits gives probabilities; otherwise `nll` and
        `nll_bound` are None.

    Returns:
      The scores of `group_scores`, `oracle_scores` (in units of the file) and
      `likelihood`; and `group` `[n]` int32, `group_prediction` `[n]` int32, `oracle`
      `[n]` float32, the prediction of the true group's expert in file units.
    """
    predicted = predicted_groups(logits)
    oracle = values[np.arange(len(groups)), groups].astype(np.float32)
    with np.errstate(over="ignore"):  # Infinite, like the predictions.
        oracle = np.asarray(inverse(oracle), np.float32)
    scores = group_scores(groups, predicted, shots)
    scores |= oracle_scores(oracle, value, shots)
    if probable:
        scores |= likelihood(logits, values, label, groups)
    else:
        scores |= {"nll": {"all": None}, "nll_bound": {"all": None}}
    return scores, {
        "group": groups.astype(np.int32),
        "group_prediction": predicted,
        "oracle": oracle,
    }


def _log_sum(x: np.ndarray) -> np.ndarray:
    """`log sum_g exp(x_g)` of each row, `[n, 1]`; at least each `x_g`."""
    top = x.max(axis=1, keepdims=True)
    return top + np.log(np.exp(x - top).sum(axis=1, keepdims=True))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - _log_sum(logits)


def _equally_long(**arrays: Any) -> list[np.ndarray]:
    found = {name: np.asarray(x) for name, x in arrays.items()}
    shapes = {name: x.shape for name, x in found.items()}
    if len(set(shapes.values())) > 1 or any(len(s) != 1 for s in shapes.values()):
        said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"rows must be [n] of equal length, got {said}.")
    return list(found.values())
