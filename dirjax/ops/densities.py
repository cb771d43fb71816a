"""Densities that are constant within bins: decoding, quantiles, scores, correction.

A distribution over the label is `log_probs` `[..., num]`, the log probability of each
bin, and `edges` `[num + 1]`, increasing, in units of the label. Within a bin the
density is constant. All functions are pure and work on numpy arrays and, with
`xp=jax.numpy`, on JAX arrays, under jit and with gradients.

Sources: Bayes' rule for another label distribution: Saerens et al., "Adjusting the
outputs of a classifier to new a priori probabilities", Neural Computation 2002; Menon
et al., "Long-tail learning via logit adjustment", ICLR 2021,
https://arxiv.org/abs/2007.07314 (with the factor tau). CRPS: Gneiting and Raftery,
"Strictly proper scoring rules, prediction, and estimation", JASA 2007.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dirjax import checks

DECODES = ("mean", "median", "mode")


def along(values: Any, rows: Any, xp: Any = np) -> Any:
    """Values `[num]` with the number of axes of rows `[..., num]`.

    Example:
      >>> along(np.ones(4), np.ones((2, 3, 4))).shape
      (1, 1, 4)
    """
    return xp.reshape(values, (1,) * (rows.ndim - 1) + values.shape)


def normalised(logits: Any, xp: Any = np) -> Any:
    """Log probabilities `[..., num]` of logits `[..., num]`.

    Example:
      >>> normalised(np.log([2.0, 6.0])).round(3).tolist()
      [-1.386, -0.288]
    """
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def corrected(log_probs: Any, log_ratio: Any, tau: Any, xp: Any = np) -> Any:
    """The distribution under another label distribution.

    `p(y) (target(y) / train(y))^tau`, normalised.

    Args:
      log_probs: `[..., num]`.
      log_ratio: `[num]`, log of target over training probability of each bin.
      tau: strength; 0 changes nothing, 1 corrects fully.
      xp: `numpy` or `jax.numpy`.

    Returns:
      `[..., num]` log probabilities.

    Example:
      >>> even = np.log([0.5, 0.5])
      >>> np.exp(corrected(even, np.log([1.0, 3.0]), 1.0)).round(3).tolist()
      [0.25, 0.75]
    """
    return normalised(log_probs + along(tau * log_ratio, log_probs, xp), xp)


def mean(log_probs: Any, edges: Any, xp: Any = np) -> Any:
    """Mean `[...]`, in units of the label.

    Example:
      >>> float(mean(np.log([0.5, 0.5]), np.array([0.0, 1.0, 3.0])))
      1.25
    """
    middle = (edges[:-1] + edges[1:]) / 2
    return xp.sum(xp.exp(log_probs) * along(middle, log_probs, xp), axis=-1)


def mode(log_probs: Any, edges: Any, xp: Any = np) -> Any:
    """Middle `[...]` of the bin of the highest density; the first one of several.

    Example:
      >>> float(mode(np.log([0.4, 0.6]), np.array([0.0, 1.0, 3.0])))
      0.5
    """
    density = log_probs - along(xp.log(edges[1:] - edges[:-1]), log_probs, xp)
    return ((edges[:-1] + edges[1:]) / 2)[xp.argmax(density, axis=-1)]


def quantile(log_probs: Any, edges: Any, level: Any, xp: Any = np) -> Any:
    """Quantile `[...]`: the inverse of the piecewise linear distribution function.

    Args:
      log_probs: `[..., num]`.
      edges: `[num + 1]`.
      level: a number, or one for each distribution, `[...]`, from 0 to 1.
      xp: `numpy` or `jax.numpy`.

    Example:
      >>> float(quantile(np.log([0.5, 0.5]), np.array([0.0, 1.0, 3.0]), 0.75))
      2.0
    """
    probs = xp.exp(log_probs)
    total = xp.cumsum(probs, axis=-1)
    # Rounding must not put a level beyond the last bin.
    level = xp.broadcast_to(xp.asarray(level), total.shape[:-1])
    level = level[..., None] * total[..., -1:]
    # The last bin may have no probability; then the end of an earlier one is found.
    last = edges.shape[-1] - 2
    at = xp.minimum(xp.sum(total < level, axis=-1, keepdims=True), last)
    here = xp.take_along_axis(probs, at, axis=-1)
    below = xp.take_along_axis(total, at, axis=-1) - here
    some = here > 0
    part = xp.where(some, (level - below) / xp.where(some, here, 1), 0.0)
    at, part = at[..., 0], xp.clip(part[..., 0], 0, 1)
    return edges[at] + part * (edges[at + 1] - edges[at])


def median(log_probs: Any, edges: Any, xp: Any = np) -> Any:
    """Median `[...]`, in units of the label."""
    return quantile(log_probs, edges, 0.5, xp)


def decode(log_probs: Any, edges: Any, how: str, xp: Any = np) -> Any:
    """One value `[...]` for each distribution.

    Args:
      log_probs: `[..., num]`.
      edges: `[num + 1]`.
      how: "mean", which has the least squared error, "median", which has the least
        absolute error, or "mode".
      xp: `numpy` or `jax.numpy`.

    Raises:
      ValueError: for another name.
    """
    checks.one_of("decode", how, DECODES)
    return {"mean": mean, "median": median, "mode": mode}[how](log_probs, edges, xp)


def _part_below(label: Any, edges: Any, xp: Any) -> Any:
    """How much of each bin lies below each label, 0 to 1, `[..., num]`."""
    label = xp.asarray(label)[..., None]
    low, width = (along(x, label, xp) for x in (edges[:-1], edges[1:] - edges[:-1]))
    return xp.clip((label - low) / width, 0, 1)


def log_density(log_probs: Any, edges: Any, label: Any, xp: Any = np) -> Any:
    """Log density `[...]` at the label `[...]`, per unit of the label.

    A label outside takes the density of the end bin.

    Example:
      >>> edges = np.array([0.0, 1.0, 3.0])
      >>> float(log_density(np.log([0.5, 0.5]), edges, 2.0).round(3))
      -1.386
    """
    density = log_probs - along(xp.log(edges[1:] - edges[:-1]), log_probs, xp)
    at = xp.searchsorted(edges, xp.asarray(label), side="right") - 1
    at = xp.clip(at, 0, edges.shape[-1] - 2)
    return xp.take_along_axis(density, at[..., None], axis=-1)[..., 0]


def crps(log_probs: Any, edges: Any, label: Any, xp: Any = np) -> Any:
    """Continuous ranked probability score `[...]`, in units of the label.

    The integral of `(F(z) - [z >= label])^2`, in closed form; for a distribution that
    is one value it is the absolute error. Smaller is better.

    Example:
      >>> float(crps(np.log([1.0]), np.array([0.0, 1.0]), 0.0).round(4))
      0.3333
    """
    probs, width = xp.exp(log_probs), edges[1:] - edges[:-1]
    high = xp.cumsum(probs, axis=-1)
    low = high - probs
    part = _part_below(label, edges, xp)
    here = low + part * probs  # F at the label, in its bin

    def square(a, b):
        """Mean of a square between a and b, along a line."""
        return (a * a + a * b + b * b) / 3

    inside = along(width, part, xp) * (
        part * square(low, here) + (1 - part) * square(1 - here, 1 - high)
    )
    label = xp.asarray(label)
    beyond = xp.maximum(edges[0] - label, 0) + xp.maximum(label - edges[-1], 0)
    return xp.sum(inside, axis=-1) + beyond
