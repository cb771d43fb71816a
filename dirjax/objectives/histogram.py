"""Histogram: classifies the bin of the label, with targets that are spread over bins.

A softmax over bins (head `histogram`) is trained with the cross-entropy against a
distribution around the label, HL-Gauss:

    L = -sum_b q_b(y) log p_b
    q_b(y) = P(edge_b < N(y, s) < edge_{b+1} | it is in the range of the bins)

where `s` is `spread` times the mean width of a bin.

"Improving Regression Performance with Distributional Losses", Imani and White, ICML
2018. https://arxiv.org/abs/1806.04613 Also: "Stop Regressing: Training Value Functions
via Classification for Scalable Deep RL", Farebrother et al., ICML 2024.
https://arxiv.org/abs/2403.03950

**Deviations**:

- Bins may have any widths; `spread` counts mean widths. Farebrother et al. advise 0.75,
  the default is 1.
- A label beyond the bins takes the target of the nearest end of their range.
- The prediction is the median by default, which has the least absolute error; the
  papers use the mean (`--config.model.head_options.decode=mean`).
- Targets "hard" (the label's bin) and "triangular" (a triangle `spread` mean widths to
  either side) and the additional L1 (`joint`) are for comparison.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base, l1
from dirjax.ops import densities

HEAD = "histogram"
TARGETS = ("gaussian", "hard", "triangular")


def _triangle(x: jax.Array) -> jax.Array:
    """Share of a triangle over -1 to 1 that lies below `x`."""
    x = jnp.clip(x, -1, 1)
    return jnp.where(x < 0, (1 + x) ** 2 / 2, 1 - (1 - x) ** 2 / 2)


def bin_targets(
    labels: jax.Array,
    edges: jax.Array,
    *,
    spread: float = 1.0,
    targets: str = "gaussian",
) -> jax.Array:
    """Target probabilities of the bins.

    Args:
      labels: `[...]` float; those outside of the bins count as the nearest edge.
      edges: `[num + 1]`, increasing.
      spread: deviation of a Gaussian, or reach of a triangle, in mean bin widths, above
        0.
      targets: "gaussian"; "triangular"; or "hard": 1 for the label's bin.

    Returns:
      `[..., num]`, constant for gradients. Sums to 1.

    Raises:
      ValueError: for unknown targets or a spread that is not above 0.

    Example:
      >>> edges = jnp.array([0.0, 1.0, 2.0, 3.0])
      >>> [f"{q:.3f}" for q in bin_targets(jnp.array(1.5), edges)]
      ['0.279', '0.442', '0.279']
    """
    checks.one_of("targets", targets, TARGETS)
    checks.positive("spread", spread)
    edges = jnp.asarray(edges)
    num = edges.shape[0] - 1
    low, high = edges[0], edges[-1]
    inside = jnp.clip(labels, low, high)[..., None]
    edges = densities.along(edges, inside, jnp)
    if targets == "hard":
        at = jnp.sum(inside >= edges[..., 1:-1], axis=-1)
        return jax.lax.stop_gradient(jax.nn.one_hot(at, num))
    away = (edges - inside) / (spread * (high - low) / num)
    below = jax.scipy.special.ndtr(away) if targets == "gaussian" else _triangle(away)
    mass = below[..., 1:] - below[..., :-1]
    return jax.lax.stop_gradient(mass / jnp.sum(mass, axis=-1, keepdims=True))


def cross_entropy(logits: jax.Array, soft: jax.Array) -> jax.Array:
    """Cross-entropy of logits against target probabilities, elementwise.

    Args:
      logits: `[..., num]`.
      soft: same shape, not negative.

    Returns:
      `[...]`, `-sum_b soft_b log softmax(logits)_b`.

    Example:
      >>> f"{cross_entropy(jnp.zeros(2), jnp.array([1.0, 0.0])):.3f}"
      '0.693'
    """
    return -jnp.sum(soft * jax.nn.log_softmax(logits), axis=-1)


def _check_head(outputs: Any) -> None:
    if not (hasattr(outputs, "logits") and hasattr(outputs, "edges")):
        raise ValueError("the term histogram needs model.head='histogram'.")


def make(
    *, spread: float = 1.0, targets: str = "gaussian", joint: float = 0.0
) -> base.Objective:
    """The cross-entropy of the label's bin as a term.

    Args:
      spread: see `bin_targets`.
      targets: see `bin_targets`.
      joint: factor of an additional L1 of the prediction in deviations of the training
        labels, at least 0.

    Returns:
      An objective whose state holds `unit`, the deviation of the training labels. Batch
      weights multiply both parts.

    Raises:
      ValueError: for an option out of range; in a step, for another head.
    """
    checks.one_of("targets", targets, TARGETS)
    checks.positive("spread", spread)
    checks.positive("joint", joint, zero=True)

    def elementwise(outputs, labels, unit):
        _check_head(outputs)
        soft = bin_targets(labels, outputs.edges, spread=spread, targets=targets)
        loss = cross_entropy(outputs.logits, soft)
        if joint:
            loss = loss + joint * l1.l1_loss(outputs.prediction, labels) / unit
        return loss

    return base.in_deviations(elementwise)
