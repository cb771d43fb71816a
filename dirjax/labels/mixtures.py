"""Mixtures of Gaussians, fitted to a histogram of labels.

Host numpy in float64 and no JAX: computed once, before training.

Source: expectation maximisation, Dempster et al., "Maximum Likelihood from Incomplete
Data via the EM Algorithm", JRSS B 1977.

**Deviations**: the start is not random. Component k begins as the k-th of equal shares
of the sorted labels, so one histogram gives one mixture.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks

_STEPS, _ENOUGH = 500, 1e-9


class Mixture(NamedTuple):
    """A mixture of Gaussians: `means`, `variances` and `proportions`, all `[num]`."""

    means: np.ndarray
    variances: np.ndarray
    proportions: np.ndarray

    def log_joint(self, values: ArrayLike) -> np.ndarray:
        """Log of proportion times density of each component, `[..., num]`."""
        away = np.asarray(values, np.float64)[..., None] - self.means
        logs = np.log(self.proportions) - 0.5 * np.log(2 * np.pi * self.variances)
        return logs - 0.5 * away**2 / self.variances

    def density(self, values: ArrayLike) -> np.ndarray:
        """Density at some values, of their shape."""
        return np.exp(self.log_joint(values)).sum(-1)


def fit(
    values: ArrayLike, counts: ArrayLike, num: int, *, least: float = 1e-6
) -> Mixture:
    """The mixture of highest likelihood that EM finds from a fixed start.

    Args:
      values: `[bins]` finite, where labels are.
      counts: `[bins]` from 0, how many there are at each, one above 0.
      num: components; fewer where fewer values have labels.
      least: smallest variance of a component, above 0.

    Returns:
      The mixture, with means that increase.

    Raises:
      ValueError: for counts or options out of range.

    Example:
      >>> found = fit([0.0, 1.0, 9.0, 10.0], [10, 10, 5, 5], 2)
      >>> found.means.round(3).tolist(), found.proportions.round(3).tolist()
      ([0.5, 9.5], [0.667, 0.333])
    """
    checks.whole("num", num)
    checks.positive("least", least)
    values, counts = np.asarray(values, np.float64), np.asarray(counts, np.float64)
    if values.shape != counts.shape or (counts < 0).any() or not counts.any():
        raise ValueError(
            f"counts must be from 0, one above 0, and as many as values, got "
            f"{counts.shape} for {values.shape}."
        )
    order = np.argsort(values)
    order = order[counts[order] > 0]
    x, share = values[order], counts[order] / counts.sum()
    num = min(num, x.size)
    # Mass of each value that lies in the k-th of equal shares of all labels.
    ends = np.concatenate([[0.0], np.cumsum(share)])
    cuts = np.linspace(0.0, ends[-1], num + 1)
    low = np.maximum(ends[:-1, None], cuts[:-1])
    mass = np.maximum(np.minimum(ends[1:, None], cuts[1:]) - low, 0.0)
    mixture, before = _maximised(x, mass, least), -np.inf
    for _ in range(_STEPS):
        logs = mixture.log_joint(x)
        top = logs.max(-1, keepdims=True)
        total = top[:, 0] + np.log(np.exp(logs - top).sum(-1))
        likelihood = share @ total
        if likelihood - before < _ENOUGH:
            break
        before = likelihood
        mixture = _maximised(x, share[:, None] * np.exp(logs - total[:, None]), least)
    return Mixture(*(part[np.argsort(mixture.means)] for part in mixture))


def _maximised(x: np.ndarray, mass: np.ndarray, least: float) -> Mixture:
    """The mixture for given shares of values in components, `[values, num]`."""
    total = np.maximum(mass.sum(0), 1e-300)
    means = x @ mass / total
    variances = ((x[:, None] - means) ** 2 * mass).sum(0) / total
    return Mixture(means, np.maximum(variances, least), total / total.sum())
