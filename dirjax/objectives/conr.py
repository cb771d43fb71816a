"""ConR: pushes away rows that are predicted alike though their labels differ.

With cosines `s_ij` of features over a temperature and rows within a window of labels,

    pos_ij = |y_i - y_j| <= w, j != i;   neg_ij = |y_i - y_j| > w and |p_i - p_j| <= w
    L_i = -(1/|pos_i|) sum_{j in pos_i} log( exp s_ij / (sum_{k in pos_i} exp s_ik
                                             + sum_{k in neg_i} push_ik exp s_ik) )
    push_ik = eta_i exp(e |y_i - y_k|), or e eta_i |y_i - y_k| for depth

for rows with a negative; the loss is the mean of `eta_i L_i` over all rows. `eta` is
the weight of a row, so rare labels are pushed harder.

"ConR: Contrastive Regularizer for Deep Imbalanced Regression", Keramati et al., ICLR
2024. https://arxiv.org/abs/2309.06651

**Deviations** and readings:

- The denominator is the paper's. In the author's code every row that is no positive,
  the row itself included, adds 1 to it (`denominator="code"`). The code for depth does
  so too, divides the sum over positives by one more than their number (the row counts
  itself), and takes a plain mean, where `eta` is in the push alone ("depth").
- A row without positives has loss 0; there it makes the loss of the batch NaN. Two
  views of each image (the preset) guarantee a positive.
- Windows and rates are in bins (`unit="bin"`): for ages of one year a bin that is the
  published setting, w 1 and e 0.01. Published for depth, which `nyud2_dir` sets: a
  weight of 0.2, w 0.2 m, e 0.2 per m, `push="linear"` and temperature 0.2.
- Labels and predictions at the edge of a window are within it, to float32 rounding:
  else neighbouring bins of width 0.3 or 0.7 would be lost.
- Three views there, one for the regression and two for ConR; here both losses see both.
- The depth code compares means of images: features flattened, labels, predictions and
  weights averaged. Here rows are drawn pixels (`pixels`).
- Temperature: the function for AgeDB-DIR overwrites its argument with 0.07, which is
  the default.
- Predictions get no gradient, as there.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base
from dirjax.ops.numerics import gaps, gram, masked_mean, unit

PUSHES = ("exponential", "linear")
DENOMINATORS = ("paper", "code", "depth")
UNITS = ("bin", "deviation", "label")
_LOWEST = -1e30


def conr_loss(
    features: jax.Array,
    predictions: jax.Array,
    labels: jax.Array,
    *,
    window: float = 1.0,
    rate: float = 0.01,
    temperature: float = 0.07,
    push: str = "exponential",
    denominator: str = "paper",
    weights: jax.Array | None = None,
    mask: jax.Array | None = None,
) -> jax.Array:
    """Contrast of rows with those that are wrongly predicted alike.

    Args:
      features: `[batch, dim]` float.
      predictions: `[batch]`, constants for gradients.
      labels: `[batch]`, in the unit of predictions.
      window: w, at least 0: labels and predictions within it are alike.
      rate: e, above 0, per unit of labels.
      temperature: divides cosines, above 0.
      push: "exponential" or "linear" in label distance.
      denominator: "paper", "code" or "depth", see the deviations above.
      weights: `[batch]` from 0. Default: 1.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.

    Returns:
      Scalar, the mean over real rows; rows without positives or negatives count 0.

    Raises:
      ValueError: for an option out of range, or shapes that do not fit.

    Example:
      >>> z = jnp.array([[1, 0], [0.8, 0.6], [0, 1], [1, 0], [0.6, 0.8], [0, 1]])
      >>> y = jnp.array([10.0, 30.0, 50.0, 10.0, 30.0, 50.0])
      >>> p = jnp.array([20.0, 20.5, 50.0, 19.5, 31.0, 49.0])
      >>> f"{conr_loss(z, p, y, temperature=0.2):.4f}"
      '0.2472'
      >>> depth = {"rate": 0.2, "push": "linear", "denominator": "depth"}
      >>> f"{conr_loss(z, p, y, temperature=0.2, **depth):.6f}"
      '0.280879'
    """
    checks.check_shapes(
        features=(features, "b d"),
        predictions=(predictions, "b"),
        labels=(labels, "b"),
        weights=(weights, "b"),
        mask=(mask, "b"),
    )
    _check(window, rate, temperature, push, denominator)
    kind, size = features.dtype, len(features)
    mask = jnp.ones(size, kind) if mask is None else jnp.asarray(mask > 0, kind)
    eta = jnp.ones(size, kind) if weights is None else jnp.asarray(weights, kind)
    features = unit(jnp.where(mask[:, None] > 0, features, 0))
    logits = gram(features) / temperature

    def pairs(x):
        x = jnp.where(mask > 0, x, 0)
        apart, rounding = gaps(jax.lax.stop_gradient(x))
        return apart, apart <= window + rounding

    (apart, near), (_, alike) = pairs(labels), pairs(predictions)
    real = (mask[:, None] > 0) & (mask[None] > 0)
    positive = real & near & ~jnp.eye(size, dtype=bool)
    negative = real & ~near & alike & (eta[:, None] > 0)
    count = jnp.sum(positive, axis=1)

    def log(x):
        return jnp.log(jnp.where(x > 0, x, 1))

    force = rate * apart if push == "exponential" else log(rate * apart)
    pushed = logits + force + log(eta)[:, None]
    terms = [
        jnp.where(positive, logits, _LOWEST),
        jnp.where(negative, pushed, _LOWEST),
    ]
    if denominator != "paper":
        others = jnp.sum(mask) - count
        terms.append(jnp.where(others > 0, log(others), _LOWEST)[:, None])
    bottom = jax.nn.logsumexp(jnp.concatenate(terms, axis=1), axis=1)
    counts = (count > 0) & jnp.any(negative, axis=1)
    bottom = jnp.where(counts, bottom, 0)
    mean = jnp.sum(jnp.where(positive, logits, 0), axis=1) / jnp.maximum(count, 1)
    share = count / (count + 1) if denominator == "depth" else eta
    return masked_mean(jnp.where(counts, share * (bottom - mean), 0), mask)


def _check(
    window: float, rate: float, temperature: float, push: str, denominator: str
) -> None:
    checks.positive("window", window, zero=True)
    checks.positive("rate", rate)
    checks.positive("temperature", temperature)
    checks.one_of("push", push, PUSHES)
    checks.one_of("denominator", denominator, DENOMINATORS)


def make(
    *,
    window: float = 1.0,
    rate: float = 0.01,
    temperature: float = 0.07,
    push: str = "exponential",
    denominator: str = "paper",
    unit: str = "bin",
) -> base.Objective:
    """ConR as a term beside a loss of the prediction.

    Published weights: 4 for ages, 0.2 for depth.

    Args:
      window: see `conr_loss`, in `unit`, as `rate`.
      rate: see `conr_loss`.
      temperature: see `conr_loss`.
      push: see `conr_loss`.
      denominator: see `conr_loss`.
      unit: "bin": the mean width of a label bin, "deviation" of the training labels, or
        "label".

    Returns:
      An objective whose state holds `unit`, in label units. Weights of rows are `eta`.

    Raises:
      ValueError: for an option out of range; in a step, for labels of pixels.
    """
    _check(window, rate, temperature, push, denominator)
    checks.one_of("unit", unit, UNITS)

    def init(key, spec):
        del key
        deviation = spec.label_std or 1.0
        size = {"bin": spec.bins.mean_width, "deviation": deviation}.get(unit, 1.0)
        return base.Variables({}, {"unit": jnp.float32(size)})

    def loss(variables, view, batch, key):
        del key
        base.check_one_per_row("conr", batch["label"])
        size = variables.state["unit"]
        value = conr_loss(
            view.features,
            view.outputs.prediction / size,
            batch["label"] / size,
            window=window,
            rate=rate,
            temperature=temperature,
            push=push,
            denominator=denominator,
            weights=batch["weight"],
            mask=batch["mask"],
        )
        return base.Outcome(value, variables.state, {})

    return base.Objective(init, loss)
