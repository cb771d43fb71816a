"""Balanced MSE: the squared error that would be least under balanced labels.

With predictions `p`, noise of deviation `s` and the training distribution of labels,

    L_i = (p_i - y_i)^2 + 2 s^2 log E_{y ~ train} exp(-(p_i - y)^2 / (2 s^2))

The second part takes the skew of the labels back: it is what Bayes' rule divides by.
`form` says how it is computed:

    bmc  over the labels of the batch, which makes it a softmax: which label is mine?
    gai  over a mixture of Gaussians fitted to the training labels, exactly
    bni  over the histogram of the training labels

"Balanced MSE for Imbalanced Visual Regression", Ren et al., CVPR 2022.
https://arxiv.org/abs/2203.16427

The factor `2 s^2` gets no gradient. Losses may be negative, and the error on training
rows rises: both are as intended. `docs/any-prior.md` says when the correction after
training gives the same predictions.

**Deviations** and readings:

- `s` is in deviations of the training labels, so that one value serves labels of any
  unit (`unit="label"`: in theirs), and is never below 1e-3 of them (`gai_loss` and its
  like: 1e-3 label units). The trained number is the inverse softplus of `s`, at a
  constant learning rate of its own without weight decay; the public code trains `s`
  itself, which may pass 0.
- Weights of a batch count rows: of a row with weight 2 there are two, as candidates,
  too. The public code has no weights. The prior of `gai` and `bni` does not know them,
  so weights belong to `bmc`, or to rows that really count twice.
- Equal labels in a batch compete, as there; their loss has a floor.
- The mixture is fitted to the histogram of label bins (`labels/mixtures.py`), whose
  places are the mean labels of bins; there it is scikit-learn's of all labels.
- Smoothed counts of `bni` keep their fractions, unless `truncate=True`. Smoothing gives
  shares to bins without labels near others, as there.
- Labels beyond the first and the last centre that has a share count as these in `bni`:
  for a label beyond them the loss has no lower bound, and its prediction runs away (on
  bikeshare, where the first bin holds 0 to 9 rentals, to millions).
- Published for depth: `bni` with `padding="edge"` and `first_bin=7`, of counts or of
  their roots (`scheme="sqrt_inverse"`); `gai` of 16 components, with `s` fixed at 1 m.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dirjax import checks
from dirjax.labels import mixtures
from dirjax.labels import weights as weights_lib
from dirjax.objectives import base

FORMS = ("bmc", "gai", "bni")
UNITS = ("deviation", "label")
# One row has no other label to compete with: the loss would be 0.
FEWEST_ROWS = 2
FLOOR = 1e-3
_LOWEST = -1e30


def _checked(predictions: Any, labels: Any) -> tuple[jax.Array, jax.Array]:
    """Both as arrays. Raises an error unless they are `[...]` of equal shape."""
    if jnp.shape(predictions) != jnp.shape(labels) or not jnp.ndim(labels):
        raise ValueError(
            f"predictions {jnp.shape(predictions)} and labels {jnp.shape(labels)} must "
            "have the same shape. Reshape them, for example with x.reshape(-1)."
        )
    return jnp.asarray(predictions), jnp.asarray(labels)


def _apart(
    predictions: jax.Array, labels: jax.Array, places: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Distances of predictions from labels, and from places in the label space.

    Args:
      predictions: `[...]`; `[..., labels]` for several labels, if places have two axes.
      labels: same shape.
      places: `[num]`, or `[num, labels]`.

    Returns:
      Squared errors, `[...]`, and differences from the places, `[..., num, labels]`,
      with an axis of one for a single label.

    Raises:
      ValueError: for shapes that do not fit.
    """
    predictions, labels = _checked(predictions, labels)
    if places.ndim == 1:
        predictions, labels, places = (
            x[..., None] for x in (predictions, labels, places)
        )
    rows = predictions.reshape(-1, predictions.shape[-1])
    checks.check_shapes(
        places=(places, "num labels"), predictions=(rows, "rows labels")
    )
    own = jnp.sum(jnp.square(predictions - labels), axis=-1)
    lead = tuple(range(predictions.ndim - 1))
    return own, predictions[..., None, :] - jnp.expand_dims(places, lead)


def _variance(sigma: Any) -> jax.Array:
    if jnp.ndim(sigma):
        raise ValueError(
            f"sigma must be one number, got shape {jnp.shape(sigma)}. Use one "
            "deviation of the noise for all rows."
        )
    return jnp.maximum(jnp.square(jnp.asarray(sigma, float)), FLOOR**2)


def _scaled(loss: jax.Array, variance: jax.Array) -> jax.Array:
    return loss * jax.lax.stop_gradient(2 * variance)


def bmc_loss(
    predictions: jax.Array,
    labels: jax.Array,
    *,
    sigma: Any = 1.0,
    weights: jax.Array | None = None,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Balanced MSE over the labels of the batch, for each row.

    Args:
      predictions: `[batch]`, or `[batch, labels]` for several labels per row.
      labels: same shape.
      sigma: deviation of the noise, in label units; counts as 1e-3 at least.
      weights: `[batch]` from 0, how often a row is a candidate. Default: once.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.

    Returns:
      `[batch]`, arbitrary but finite for padding.

    Raises:
      ValueError: for a batch of one row, or shapes that do not fit, such as weights
        `[batch, 1]`.

    Example:
      >>> p, y = jnp.array([1.0, 2.5, 4.0]), jnp.array([1.0, 2.0, 5.0])
      >>> f"{bmc_loss(p, y).mean():.4f}"
      '0.6930'
    """
    predictions, labels = _checked(predictions, labels)
    if labels.ndim > 2:
        raise ValueError(
            "bmc needs one label per row, or [batch, labels], got labels "
            f"{labels.shape}, one per pixel. Give the term pixels to "
            "draw as rows, pixels=1024, or use form='gai' or 'bni'."
        )
    checks.check_shapes(
        labels=(labels, "rows" if labels.ndim == 1 else "rows labels"),
        weights=(weights, "rows"),
        mask=(mask, "rows"),
    )
    size = len(labels)
    if size < FEWEST_ROWS:
        raise ValueError(
            f"bmc needs batches of at least 2 rows, got {size}: alone, a label has "
            "nothing to compete with. Use larger batches, or form='gai' or 'bni'."
        )
    kind = predictions.dtype
    count = jnp.ones(size, kind) if weights is None else weights
    count = count if mask is None else jnp.where(mask > 0, count, 0)
    if mask is not None:
        some = (mask > 0).reshape(-1, *(1,) * (labels.ndim - 1))
        predictions, labels = (jnp.where(some, x, 0) for x in (predictions, labels))
    predictions, labels = (x.reshape(size, -1) for x in (predictions, labels))
    variance = _variance(sigma)
    # Coordinate by coordinate, so that no [batch, batch, labels] array is stored.
    columns = zip(predictions.T, labels.T, strict=True)
    squares = sum(jnp.square(p[:, None] - y[None]) for p, y in columns)
    there = count > 0
    logs = jnp.log(jnp.where(there, count, 1))
    logits = jnp.where(there[None], logs[None] - squares / (2 * variance), _LOWEST)
    own = jnp.sum(jnp.square(predictions - labels), axis=1) / (2 * variance)
    against = jax.nn.logsumexp(logits, axis=1)
    return _scaled(own + jnp.where(jnp.any(there), against, 0), variance)


def gai_loss(
    predictions: jax.Array,
    labels: jax.Array,
    *,
    means: jax.Array,
    variances: jax.Array,
    proportions: jax.Array,
    sigma: Any = 1.0,
) -> jax.Array:
    """Balanced MSE under a mixture of Gaussians, elementwise.

    Args:
      predictions: `[...]`; `[..., labels]` for several labels, if means have two axes.
      labels: same shape.
      means: `[num]`, or `[num, labels]`.
      variances: `[num]`, or covariances `[num, labels, labels]`.
      proportions: `[num]` above 0, with sum 1.
      sigma: see `bmc_loss`.

    Returns:
      One value for each label, or for each row of several.

    Raises:
      ValueError: for shapes that do not fit.

    Example:
      >>> p, y = jnp.array([1.0, 2.5, 4.0]), jnp.array([1.0, 2.0, 5.0])
      >>> law = {"means": jnp.array([1.0, 4.0]), "variances": jnp.array([0.5, 1.0])}
      >>> loss = gai_loss(p, y, proportions=jnp.array([0.7, 0.3]), **law)
      >>> f"{loss.mean():.4f}"
      '-1.5068'
    """
    one = jnp.ndim(means) == 1
    checks.check_shapes(
        means=(means, "num" if one else "num labels"),
        variances=(variances, "num" if one else "num labels labels"),
        proportions=(proportions, "num"),
    )
    own, away = _apart(predictions, labels, means)
    variance = _variance(sigma)
    if one:
        spread = variances[:, None]
    else:
        spread, axes = jnp.linalg.eigh(variances)
        away = jnp.einsum("...kd,kde->...ke", away, axes, precision="highest")
    spread = spread + variance  # [num, labels]
    log_det = 0.5 * jnp.sum(jnp.log(spread), axis=-1)
    lead = tuple(range(away.ndim - 2))
    spread, log_det, logs = (
        jnp.expand_dims(x, lead) for x in (spread, log_det, jnp.log(proportions))
    )
    logits = logs - log_det - 0.5 * jnp.sum(jnp.square(away) / spread, axis=-1)
    dim = away.shape[-1]
    loss = own / (2 * variance) + 0.5 * dim * jnp.log(variance)
    return _scaled(loss + jax.nn.logsumexp(logits, axis=-1), variance)


def bni_loss(
    predictions: jax.Array,
    labels: jax.Array,
    *,
    centers: jax.Array,
    proportions: jax.Array,
    sigma: Any = 1.0,
) -> jax.Array:
    """Balanced MSE under a histogram of labels, elementwise.

    Args:
      predictions: see `gai_loss`.
      labels: same shape.
      centers: `[bins]`, or `[bins, labels]` for several labels.
      proportions: `[bins]` from 0, with sum 1; bins of 0 do not count.
      sigma: see `bmc_loss`.

    Returns:
      As `gai_loss`, with the same errors.

    Example:
      >>> p, y = jnp.array([1.0, 2.5, 4.0]), jnp.array([1.0, 2.0, 5.0])
      >>> q = jnp.array([0.5, 0.3, 0.2])
      >>> f"{bni_loss(p, y, centers=y, proportions=q).mean():.4f}"
      '-1.5834'
    """
    checks.check_shapes(
        centers=(centers, "bins" if jnp.ndim(centers) == 1 else "bins labels"),
        proportions=(proportions, "bins"),
    )
    own, away = _apart(predictions, labels, centers)
    variance = _variance(sigma)
    squares = jnp.sum(jnp.square(away), axis=-1)
    lead = tuple(range(own.ndim))
    some = proportions > 0
    logs = jnp.where(some, jnp.log(jnp.where(some, proportions, 1)), _LOWEST)
    logits = jnp.expand_dims(logs, lead) - squares / (2 * variance)
    loss = own / (2 * variance) + jax.nn.logsumexp(logits, axis=-1)
    return _scaled(loss, variance)


def balancing_weights(density: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Weights of labels under which a plain model learns what a balanced one does.

    Args:
      density: `[bins]`, of the training labels, above 0 where they are.
      counts: `[bins]` training labels from 0.

    Returns:
      `[bins]` float64, one over the density, of mean 1 over the training labels; a bin
      without labels has the largest weight of the others.

    Example:
      >>> balancing_weights(np.array([0.6, 0.2, 0.2]), np.array([3, 1, 0])).round(3)
      array([0.667, 2.   , 2.   ])
    """
    held = counts > 0
    inverse = 1 / np.where(held, density, 1)
    inverse = np.where(held, inverse, inverse[held].max())
    return weights_lib.of_mean_one(inverse, counts)


def _prior(
    spec: Any, form: str, components: int, smoothing: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The law of the training labels, as keywords of the loss of a form.

    Args:
      spec: label specification.
      form: see `make`.
      components: of the mixture.
      smoothing: options of `weights.histogram_prior`.
    """
    if form == "gai":
        least = max(spec.bins.mean_width**2 / 12, 1e-12)
        found = mixtures.fit(spec.centers, spec.counts, components, least=least)
        return found._asdict()
    if form == "bni":
        shares = weights_lib.histogram_prior(spec.counts, **smoothing)
        return {"centers": spec.centers, "proportions": shares}
    return {}  # The labels of a batch are the law.


def _density(spec: Any, form: str, law: Mapping[str, np.ndarray]) -> np.ndarray:
    """`[bins]` density of the training labels that a form balances."""
    if form == "gai":
        # Far from all components the density is 0 in numbers, and one label would
        # weigh more than all others: a bin holds a hundredth of a label at least.
        least = 0.01 / (spec.counts.sum() * spec.bins.mean_width)
        return np.maximum(mixtures.Mixture(**law).density(spec.centers), least)
    return law["proportions"] if form == "bni" else spec.counts / spec.counts.sum()


def _inverse_softplus(x: float) -> float:
    return x + math.log(-math.expm1(-x))


def make(
    *,
    form: str = "bmc",
    sigma: float = 1.0,
    learning_rate: float = 1e-2,
    unit: str = "deviation",
    components: int = 8,
    scheme: str = "inverse",
    kernel: str | None = None,
    size: int = 5,
    kernel_sigma: float = 2.0,
    padding: str = "zero",
    truncate: bool = False,
    first_bin: int = 0,
) -> base.Objective:
    """Balanced MSE as a term, in place of another loss of the prediction.

    Start `sigma` near the error that you expect, in deviations of the labels. Far
    above it, all labels compete alike and predictions are pushed beyond their range.
    Far below, "gai" is the plain squared error, and "bmc" and "bni" no longer move a
    prediction that is nearer to its own label than to another one.

    Args:
      form: "bmc", "gai" or "bni".
      sigma: the first deviation of the noise, in `unit`.
      learning_rate: of `sigma`, constant; 0 to keep it.
      unit: of `sigma`: "deviation" of the training labels, or "label".
      components: of the mixture, for "gai".
      scheme: for "bni", as the rest: see `weights.histogram_prior`.
      kernel: see `weights.histogram_prior`.
      size: see `weights.histogram_prior`.
      kernel_sigma: its `sigma`.
      padding: see `weights.histogram_prior`.
      truncate: see `weights.histogram_prior`.
      first_bin: see `weights.histogram_prior`.

    Returns:
      An objective that logs `balanced_mse/sigma`, in label units. Its weighting is that
      of a model of balanced labels, so a correction finds nothing left to correct.
      Weights, of rows, of bins or by sampling, come on top of that under "gai" and
      "bni", whose prior is fixed. Under "bmc" they change nothing that is learnt, since
      the labels of a batch that compete have the same weights.

    Raises:
      ValueError: for an option out of range; in a step, for a batch of one row or
        labels of pixels under "bmc".
    """
    checks.one_of("form", form, FORMS)
    checks.positive("sigma", sigma - FLOOR)
    checks.positive("learning_rate", learning_rate, zero=True)
    checks.one_of("unit", unit, UNITS)
    checks.one_of("scheme", scheme, weights_lib.PRIORS)
    checks.whole("components", components)

    smoothing = {
        "scheme": scheme,
        "kernel": kernel,
        "size": size,
        "sigma": kernel_sigma,
        "padding": padding,
        "truncate": truncate,
        "first_bin": first_bin,
    }

    def weighting(spec, given):
        law = _prior(spec, form, components, smoothing)
        balancing = balancing_weights(_density(spec, form, law), spec.counts)
        return balancing if form == "bmc" else balancing * given

    def init(key, spec):
        del key
        raw = jnp.float32(_inverse_softplus(sigma - FLOOR))
        size_of_one = spec.label_std or 1.0 if unit == "deviation" else 1.0
        state: dict[str, Any] = {"unit": jnp.float32(size_of_one)}
        law = _prior(spec, form, components, smoothing)
        if form == "bni":
            held = spec.centers[law["proportions"] > 0]
            state["ends"] = jnp.asarray([held.min(), held.max()], jnp.float32)
        state["prior"] = {k: jnp.asarray(v, jnp.float32) for k, v in law.items()}
        if learning_rate:
            return base.Variables({"raw_sigma": raw}, state)
        return base.Variables({}, {**state, "raw_sigma": raw})

    def loss(variables, view, batch, key):
        del key
        state = variables.state
        raw = variables.params.get("raw_sigma", state.get("raw_sigma"))
        noise = (FLOOR + jax.nn.softplus(raw)) * state["unit"]
        weight, mask = batch["weight"], batch["mask"]
        options = {"sigma": noise, **state["prior"]}
        if form == "bmc":
            options |= {"weights": weight, "mask": mask}
        of_form = {"bmc": bmc_loss, "gai": gai_loss, "bni": bni_loss}[form]
        label = batch["label"]
        label = jnp.clip(label, *state["ends"]) if form == "bni" else label
        value = of_form(view.outputs.prediction, label, **options)
        metrics = {"balanced_mse/sigma": (noise, jnp.ones(()))}
        return base.Outcome(base.masked_mean(value * weight, mask), state, metrics)

    rates = {"raw_sigma": learning_rate} if learning_rate else None
    return base.Objective(init, loss, weighting=weighting, rates=rates)
