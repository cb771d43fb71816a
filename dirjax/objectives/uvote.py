"""UVOTE: experts for different label distributions, fused by their uncertainty.

    L = sum_m mean( p(y)^(-r_m) (|y - c_m| / s_m + log 2 s_m) ),  r_m = 0, ..., 1

Expert m predicts a Laplace distribution with centre `c_m` and scale `s_m`. It trains
with weights by the density `p` of the training labels to the power `-r_m`: the first
without, the last with inverse density. The head `vote` predicts with the surest one.

"Uncertainty Voting Ensemble for Imbalanced Deep Regression", Jiang et al., GCPR 2024.
https://arxiv.org/abs/2305.15178

**Deviations** and readings:

- Density and weights are those of label bins (`labels.weights.dense_density`), scaled
  to mean 1 over the training labels. Published: a Gaussian kernel of 2 years for ages.
- Errors and scales are in deviations of the training labels.
- All experts count alike throughout; the public code has an option that moves weight
  from the first to the others over the epochs.
- A correction for another label distribution starts from that of the training labels,
  which is right for the first expert; there is no single one for the fused experts.
- Weights of the batch multiply those of the experts.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from dirjax import checks
from dirjax.labels import weights
from dirjax.objectives import base

HEAD = "vote"


def laplace_nll(labels: jax.Array, centers: jax.Array, scales: jax.Array) -> jax.Array:
    """Negative log likelihood of labels under each expert.

    Args:
      labels: `[...]`.
      centers: `[..., experts]`.
      scales: same shape, above 0.

    Returns:
      Same shape.

    Raises:
      ValueError: if shapes do not fit.

    Example:
      >>> one = jnp.ones((1, 1))
      >>> f"{laplace_nll(jnp.array([3.0]), one, 2 * one)[0, 0]:.4f}"
      '2.3863'
    """
    if centers.shape != scales.shape or centers.shape[:-1] != labels.shape:
        raise ValueError(
            f"centers and scales must be [..., experts] for labels {labels.shape}, got "
            f"{centers.shape} and {scales.shape}."
        )
    error = labels[..., None] - centers
    return jnp.maximum(error, -error) / scales + jnp.log(2 * scales)


def expert_weights(
    centers: np.ndarray,
    counts: np.ndarray,
    experts: int,
    *,
    bandwidth: float | None = None,
) -> np.ndarray:
    """Weights of label bins for each expert: density to powers from 0 to -1.

    Args:
      centers: `[bins]`, where labels are.
      counts: `[bins]` training labels from 0.
      experts: number of experts; a single one has no weights.
      bandwidth: of the kernel, in units of the labels. Default: see
        `weights.dense_density`.

    Returns:
      `[bins, experts]` float64, of mean 1 over the training labels.

    Example:
      >>> places, counts = np.array([0.0, 9.0]), np.array([3, 1])
      >>> expert_weights(places, counts, 2, bandwidth=0.1).round(3)
      array([[1.   , 0.667],
             [1.   , 2.   ]])
    """
    density = weights.dense_density(centers, counts, centers, bandwidth=bandwidth)
    density = density / density.max()
    least = density[counts > 0].min()
    powers = np.linspace(0, 1, experts)
    table = np.maximum(density, least)[:, None] ** -powers[None]
    return weights.of_mean_one(table, counts)


def make(*, experts: int = 3, bandwidth: float | None = None) -> base.Objective:
    """The likelihoods of all experts as a term.

    Args:
      experts: their number, that of the head.
      bandwidth: see `expert_weights`.

    Returns:
      An objective whose state holds `table` `[num_bins, experts]`, the weights, and
      `unit`, the deviation of the training labels. It logs `uvote/expert_N`, the share
      of rows for which the N-th expert is the surest.

    Raises:
      ValueError: for an option out of range; in a step, for another head.
    """
    checks.whole("experts", experts)

    def init(key, spec):
        del key
        table = expert_weights(spec.centers, spec.counts, experts, bandwidth=bandwidth)
        unit = jnp.float32(spec.label_std or 1.0)
        return base.Variables(
            {}, {"table": jnp.asarray(table, jnp.float32), "unit": unit}
        )

    def loss(variables, view, batch, key):
        del key
        outputs, state = view.outputs, variables.state
        found = getattr(outputs, "centers", jnp.zeros((1, 0))).shape[-1]
        if found != experts:
            raise ValueError(
                f"the term uvote needs model.head='vote' with {experts} experts "
                f"(model.head_options.experts), got {found or 'another head'}."
            )
        label, unit = batch["label"], state["unit"]
        # The difference comes first: quotients of large labels are rounded.
        errors = (outputs.centers - label[..., None]) / unit
        value = laplace_nll(jnp.zeros_like(label), errors, outputs.scales / unit)
        value = jnp.sum(value * state["table"][batch["bin"]], axis=-1)
        total = base.masked_mean(value * batch["weight"], batch["mask"])
        real, surest = batch["mask"], jnp.argmin(outputs.scales, axis=-1)
        metrics = {
            f"uvote/expert_{m + 1}": (
                jnp.sum(jnp.where(surest == m, real, 0.0)),
                jnp.sum(real),
            )
            for m in range(experts)
        }
        return base.Outcome(total, state, metrics)

    return base.Objective(init, loss)
