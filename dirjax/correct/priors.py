"""Label distributions: that of training, and the one a user wants.

Source: `prior` is used as in Saerens et al. 2002 and Menon et al. 2021: the probability
of each label bin before the input is seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks
from dirjax.labels import weights
from dirjax.labels.bins import Bins, histogram

TARGETS = ("train", "uniform")
# Training labels that a bin is taken to hold at least, though there are none near it.
FLOOR = 0.5
# Probability that stands for none.
_NOTHING = 1e-30


def training(counts: ArrayLike, *, taps: int = 5, floor: float = FLOOR) -> np.ndarray:
    """The label distribution of training, from counts.

    Counts are smoothed with a triangular window whose ends mirror, since a bin that
    has no training label by chance is not impossible; then each bin holds at least
    `floor` examples. Without that, a target that gives weight to an empty bin would
    draw every prediction there.

    Args:
      counts: `[num]` training labels in each bin.
      taps: width of the window in bins, odd; 1 for no smoothing.
      floor: in examples, above 0.

    Returns:
      `[num]` float64, above 0, with sum 1.

    Raises:
      ValueError: for counts that are not `[num]` from 0 with one above 0, even taps,
        or a floor not above 0.

    Example:
      >>> training([3, 0, 0, 0], taps=1).round(3).tolist()
      [0.667, 0.111, 0.111, 0.111]
    """
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 1 or not (counts >= 0).all() or not counts.any():
        raise ValueError(f"counts must be [num] from 0, one above 0, got {counts}.")
    if not 0 < floor < np.inf:
        raise ValueError(f"floor must be above 0, got {floor}.")
    window = weights.kernel_window("triang", taps, normalize="sum")
    held = np.maximum(weights.smooth(counts, window, "edge"), floor)
    return held / held.sum()


def of_weights(given: ArrayLike, num: int) -> np.ndarray:
    """A distribution from one weight a bin.

    Raises:
      ValueError: if there are not `num` finite numbers from 0, one of them above 0.

    Example:
      >>> of_weights([1, 3], 2).tolist()
      [0.25, 0.75]
    """
    found = np.asarray(given, np.float64)
    good = found.shape == (num,) and np.isfinite(found).all() and (found >= 0).all()
    if not good or not found.any():
        raise ValueError(
            f"weights of a prior must be {num} numbers from 0, one for each label bin "
            f"and one above 0, got shape {found.shape}: {found}."
        )
    return found / found.sum()


def of_labels(labels: ArrayLike, bins: Bins, **options: Any) -> np.ndarray:
    """The distribution of some labels, smoothed as that of training.

    Args:
      labels: finite numbers of any shape.
      bins: the label bins; labels outside go to the end bins.
      **options: keywords of `training`.
    """
    return training(histogram(labels, bins), **options)


def wanted(target: str | ArrayLike, train: np.ndarray, widths: ArrayLike) -> np.ndarray:
    """The label distribution that a user wants.

    Args:
      target: "train"; "uniform", over the whole range of the bins, also where training
        has no labels; or one weight a bin, `[num]`.
      train: `[num]`, from `training`.
      widths: `[num]`, width of each bin, for "uniform".

    Returns:
      `[num]` float64 with sum 1; 0 only where a weight is.

    Raises:
      ValueError: for another name, or as `of_weights`.

    Example:
      >>> wanted("uniform", np.array([0.9, 0.1]), [1.0, 1.0]).tolist()
      [0.5, 0.5]
    """
    if not isinstance(target, str):
        return of_weights(target, train.size)
    checks.one_of("the target of a prior", target, TARGETS)
    return train if target == "train" else of_weights(widths, train.size)


def log_ratio(target: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Log of wanted over training probability of each bin, `[num]`.

    Finite also where nothing is wanted, so that its product with 0 is 0.

    Example:
      >>> log_ratio(np.array([0.5, 0.5]), np.array([0.5, 0.5])).tolist()
      [0.0, 0.0]
    """
    return np.log(np.maximum(target, _NOTHING)) - np.log(train)
