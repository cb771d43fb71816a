"""Precision and recall of predictions where labels matter, for relevance from 0 to 1.

With the utility `u_i` of a prediction, 0 for an error from `t` on,

    u_i = 1(|e_i| <= t) (1 - exp(-k (|e_i| - t)^2 / t^2))
    recall = sum u_i phi(y_i) / sum phi(y_i), over labels with phi(y_i) >= threshold
    precision = sum u_i phi(p_i) / sum phi(p_i), over predictions with phi(p_i) >= it
    f = (1 + beta^2) precision recall / (beta^2 precision + recall)

Torgo and Ribeiro, "Precision and Recall for Regression", Discovery Science 2009,
https://doi.org/10.1007/978-3-642-04747-3_26.

**Deviations** from the RESREG package: without a label or prediction that is relevant
enough a score is None, not NaN, and then so is f (there 0). Its correlation of classes
(`mcc`) is left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks


def relevance_scores(
    predictions: ArrayLike,
    labels: ArrayLike,
    *,
    of_predictions: ArrayLike,
    of_labels: ArrayLike,
    error: float,
    threshold: float = 0.5,
    k: float = 1e4,
    beta: float = 1.0,
) -> dict[str, float | None]:
    """Accuracy, precision, recall and F of predictions where relevance is high.

    Args:
      predictions: `[n]`.
      labels: `[n]`.
      of_predictions: `[n]`, relevance of the predictions, 0 to 1, for example
        `relevance.relevance(train_labels, predictions)`.
      of_labels: `[n]`, relevance of the labels.
      error: `t`, above 0: the largest error with a utility, in label units.
      threshold: relevance from which a label or prediction counts, 0 to 1.
      k: above 0; the larger, the nearer is utility to 1 for any error below `t`.
      beta: above 0; how many times recall counts as precision in F.

    Returns:
      `accuracy`, the share of errors up to `t`; `precision`; `recall`; `f`. None where
      nothing is relevant enough, and for a value that is not finite.

    Raises:
      ValueError: for shapes that differ, or an option out of range.

    Example:
      >>> phi = {"of_labels": [0.0, 1.0, 1.0], "of_predictions": [0.0, 1.0, 0.0]}
      >>> found = relevance_scores([1, 9, 2], [1, 9, 8], error=1.0, **phi)
      >>> {name: round(value, 3) for name, value in found.items()}
      {'accuracy': 0.667, 'precision': 1.0, 'recall': 0.5, 'f': 0.667}
    """
    checks.check_shapes(
        labels=(labels, "n"),
        predictions=(predictions, "n"),
        of_labels=(of_labels, "n"),
        of_predictions=(of_predictions, "n"),
    )
    for name, value in (("error", error), ("k", k), ("beta", beta)):
        checks.positive(name, value)
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be a relevance from 0 to 1, got {threshold}.")
    p, y, phi_p, phi_y = (
        np.asarray(x, np.float64)
        for x in (predictions, labels, of_predictions, of_labels)
    )
    for name, phi in (("of_predictions", phi_p), ("of_labels", phi_y)):
        wrong = ~((phi >= 0) & (phi <= 1))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"{name} must be relevances from 0 to 1, row {row} has {phi[row]}."
            )
    away = np.abs(p - y)
    hit = away <= error
    smooth = 1 - np.exp(-k * np.square((np.where(hit, away, 0) - error) / error))
    utility = np.where(hit, smooth, 0)
    if not np.isfinite(away).all():
        return {"accuracy": None, "precision": None, "recall": None, "f": None}

    def share(phi: np.ndarray) -> float | None:
        phi = np.where(phi >= threshold, phi, 0)
        return float(utility @ phi / phi.sum()) if phi.any() else None

    precision, recall, f = share(phi_p), share(phi_y), None
    if precision is not None and recall is not None:
        below = beta**2 * precision + recall
        f = (1 + beta**2) * precision * recall / below if below else 0.0
    accuracy = float(hit.mean()) if hit.size else None
    return {"accuracy": accuracy, "precision": precision, "recall": recall, "f": f}
