"""PRIME: features are aligned with trained proxies whose labels are evenly spaced.

For C trained proxies `q_j` with fixed labels `u_j`, evenly spaced over the labels,

    P_ij ~ exp(-tau_t |u_i - u_j|),  Q_ij ~ exp(-tau_f ||q_i - q_j||),   i != j
    L_proxy = KL(P || Q) + spread mean_ij |u_i - u_j| max(cos(q_i, q_j), 0)
    T_j(y) = softmax_j(-tau_t |y - u_j|),  A_j(z) = softmax_j(-tau_f ||z - q_j||)
    L_align = -mean_i sum_j T_j(y_i) log A_j(z_i)
    L = L_proxy + align L_align

"PRIME: Deep Imbalanced Regression with Proxies", Lim et al., ICML 2025.
https://openreview.net/forum?id=hvaPL2DMpQ

**Deviations**: of the paper only its first pages were at hand. The losses are those of
two re-implementations by others that differ in places, so this is a reading, not the
authors' method, and its numbers are not theirs.

- P and Q are normalised over all pairs; one of the two normalises rows.
- Feature distances are L2; the other one takes 1 - cosine.
- The spreading term is the second's; the first subtracts squares of 1 - cosine. No
  value of its factor is known, and `spread=0` leaves it out unless you set one: by
  default, and in the preset, `L_proxy` is the divergence alone.
- All factors are guesses. Label distances are in deviations of the training labels.
- Batch weights do not enter.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.labels import specification
from dirjax.objectives import base
from dirjax.ops.numerics import distances, gram, masked_mean, unit

_LOWEST = -1e30


def proxy_loss(
    proxies: jax.Array,
    places: jax.Array,
    *,
    tau_t: float = 1.0,
    tau_f: float = 1.0,
    spread: float = 0.0,
) -> jax.Array:
    """`L_proxy`: distances of proxies follow those of their labels.

    Args:
      proxies: `[num, dim]`, at least two.
      places: `[num]`, their labels.
      tau_t: sharpness over labels, above 0.
      tau_f: sharpness over features, above 0.
      spread: factor of the spreading term, from 0.

    Returns:
      Scalar, at least 0.

    Raises:
      ValueError: if shapes do not fit.
    """
    checks.check_shapes(proxies=(proxies, "p d"), places=(places, "p"))
    other = ~jnp.eye(len(places), dtype=bool)
    gaps = jnp.abs(places[:, None] - places[None])

    def logs(x):
        return jax.nn.log_softmax(jnp.where(other, x, _LOWEST).ravel())

    wanted, found = logs(-tau_t * gaps), logs(-tau_f * distances(proxies, proxies))
    apart = jnp.where(other.ravel(), jnp.exp(wanted) * (wanted - found), 0)
    units = unit(proxies)
    close = jnp.maximum(gram(units), 0)
    pairs = len(places) * (len(places) - 1)
    return jnp.sum(apart) + spread * jnp.sum(jnp.where(other, gaps * close, 0)) / pairs


def alignment_loss(
    features: jax.Array,
    labels: jax.Array,
    proxies: jax.Array,
    places: jax.Array,
    *,
    tau_t: float = 1.0,
    tau_f: float = 1.0,
    mask: jax.Array | None = None,
) -> jax.Array:
    """`L_align`: rows are as near to proxies as their labels are.

    Args:
      features: `[batch, dim]` float.
      labels: `[batch]`, in the unit of `places`.
      proxies: `[num, dim]`.
      places: `[num]`.
      tau_t: see `proxy_loss`.
      tau_f: see `proxy_loss`.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.

    Returns:
      Scalar, the mean cross-entropy over real rows.

    Raises:
      ValueError: if shapes do not fit.
    """
    checks.check_shapes(
        features=(features, "b d"),
        labels=(labels, "b"),
        proxies=(proxies, "p d"),
        places=(places, "p"),
    )
    mask = jnp.ones(len(features)) if mask is None else jnp.asarray(mask)
    features = jnp.where(mask[:, None] > 0, features, 0)
    labels = jnp.where(mask > 0, labels, 0)
    wanted = jax.nn.softmax(-tau_t * jnp.abs(labels[:, None] - places[None]))
    found = jax.nn.log_softmax(-tau_f * distances(features, proxies))
    return masked_mean(-jnp.sum(wanted * found, axis=1), mask)


def make(
    *,
    proxies: int = 32,
    tau_t: float = 4.0,
    tau_f: float = 1.0,
    spread: float = 0.0,
    align: float = 1.0,
) -> base.Objective:
    """PRIME as a term beside a loss of the prediction.

    Args:
      proxies: how many, at least 2.
      tau_t: see `proxy_loss`, per deviation of the training labels.
      tau_f: see `proxy_loss`.
      spread: see `proxy_loss`.
      align: factor of `L_align`, from 0.

    Returns:
      An objective that trains `proxies` `[proxies, dim]`; its state holds `places`,
      their labels above the lowest one, `low`, in deviations, and `unit`, the
      deviation.

    Raises:
      ValueError: for an option out of range; at init, if `spec.feature_dim` is unknown;
        in a step, for labels of pixels.
    """
    checks.whole("proxies", proxies, least=2)
    for name, value in (("tau_t", tau_t), ("tau_f", tau_f)):
        checks.positive(name, value)
    for name, value in (("spread", spread), ("align", align)):
        checks.positive(name, value, zero=True)
    sharpness = {"tau_t": tau_t, "tau_f": tau_f}

    def init(key, spec):
        size = spec.label_std or 1.0
        low, high = (float(spec.bins.edges[at]) for at in (0, -1))
        places = jnp.linspace(0, (high - low) / size, int(proxies), dtype=jnp.float32)
        dim = specification.feature_dim_of(spec, "prime")
        start = unit(jax.random.normal(key, (int(proxies), dim)))
        state = {
            "places": places,
            "low": jnp.float32(low),
            "unit": jnp.float32(size),
        }
        return base.Variables({"proxies": start}, state)

    def loss(variables, view, batch, key):
        del key
        base.check_one_per_row("prime", batch["label"])
        held, state = variables.params["proxies"], variables.state
        first = proxy_loss(held, state["places"], spread=spread, **sharpness)
        second = alignment_loss(
            view.features,
            (batch["label"] - state["low"]) / state["unit"],
            held,
            state["places"],
            mask=batch["mask"],
            **sharpness,
        )
        one = jnp.ones(())
        metrics = {"prime/proxy": (first, one), "prime/align": (second, one)}
        return base.Outcome(first + align * second, state, metrics)

    return base.Objective(init, loss)
