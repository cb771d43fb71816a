"""Norm target: pulls feature norms to a line fitted on many-shot labels.

Phases 2 and 3 of the Frobenius-norm method, a term beside the regression loss:

    L = sum_{b in batch} (F_b - F*_b)^2                       (unit="norm")
    L = deviation(y) mean_{b in batch} ((F_b - F*_b) / s)^2   (unit="deviation")

where `F_b` is the norm of a label's prototype in the batch (`prototypes.py`) and `s`
the standard deviation of many-shot norms over the training set. Before
the first step of the stage, the norms of all labels are measured over the whole
training set in evaluation mode, and a line from label to norm is fitted on many-shot
labels (`features/norm_line.py`). Many-shot labels have their measured norms as targets
F*; all other labels have the value of the line. Targets stay fixed during the stage.
The term's weight is gamma.

"Enhancing Deep Imbalanced Regression via Frobenius Norm Regularization", anonymous
authors, ICLR 2026 submission. https://openreview.net/forum?id=6XpSwo3ZCe

**Deviations**. Only the appendix of the paper was available; it gives phases, lengths
and rates. The form of this term follows the author's public code.

- That code runs this phase on the *validation* set. Here it uses the whole training set
  and nothing else.
- It takes mean norms (`reading="mean_of_norms"`); here norms of prototypes, as in phase
  1. A prototype of a few rows is longer than that of the whole set, so rare labels seem
  above their target even when they are on it; mean norms have no such bias, and
  prototypes with a memory (`source`) have less of it.
- `targets="all_predicted"` pulls many-shot labels to the line, too, as a review of the
  paper reads it.
- The penalty of that code is a sum over labels in squared units of the norms, with a
  gamma of 1 (`unit="norm"`). Norms have no natural size, and neither have labels, so
  one gamma means something else on each data set; 1 ruined all on which it was tried
  (docs/frobenius.md). With `unit="deviation"`, the default, the penalty is a mean over
  labels, in deviations of norms and of labels. The gamma of the presets, 1e-4, is the
  largest that did no harm on the validation split of bikeshare; see
  `configs/studies/frobenius_posthoc.py:DATA,gamma`.
- The penalty is two-sided; batch weights do not enter.
- Scaling features up and the head down changes no prediction, so norms are meaningful
  only with weight decay, and encoder and head are trained together.
- In dense tasks all pixels of the batch are rows.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dirjax import checks
from dirjax.features import norm_line
from dirjax.features.prototypes import Prototypes, norms, of_data, prototypes
from dirjax.labels import SHOTS
from dirjax.objectives import base
from dirjax.objectives._prototype_source import Source

TARGETS = ("measured", "all_predicted")
UNITS = ("deviation", "norm")
# A line with a larger misfit explains less than half of the variance of norms.
_POOR = 0.7


def norm_target_loss(
    features: jax.Array,
    bins: jax.Array,
    *,
    targets: jax.Array,
    mask: jax.Array | None = None,
    reading: str = "prototype",
) -> jax.Array:
    """Sum over the bins of a batch of squared gaps between norm and target.

    Args:
      features: `[batch, dim]` float.
      bins: `[batch]` int, 0 to num_bins - 1.
      targets: `[num_bins]` norms, constants for gradients.
      mask: `[batch]`, 1 for real rows and 0 for padding. Default: all real.
      reading: see `prototypes`.

    Returns:
      Scalar.

    Raises:
      ValueError: for an unknown reading, or shapes that do not fit.

    Example:
      >>> z = jnp.array([[3.0, 4.0], [1.0, 0.0]])
      >>> targets = jnp.array([0.0, 3.0, 7.0])
      >>> float(norm_target_loss(z, jnp.array([2, 1]), targets=targets))
      8.0
    """
    checks.check_shapes(targets=(targets, "bins"))
    if not len(features):
        return jnp.sum(features)
    found = prototypes(
        features, bins, mask=mask, num_labels=len(targets), reading=reading
    )
    return _penalty(found, targets)[0]


def _penalty(
    found: Prototypes,
    targets: jax.Array,
    *,
    unit: str = "norm",
    spread: Any = 1.0,
    label_std: Any = 1.0,
) -> tuple[jax.Array, jax.Array]:
    """The penalty of a batch, and the root mean square gap of its labels.

    Args:
      found: prototypes of the batch.
      targets: `[num_bins]` norms.
      unit: see `make`.
      spread: deviation of many-shot norms, for "deviation".
      label_std: deviation of the training labels, for "deviation".
    """
    wanted = jax.lax.stop_gradient(targets)[found.label.astype(jnp.int32)]
    gaps = jnp.where(found.count > 0, found.norm - wanted, 0)
    total = jnp.sum(gaps**2)
    num = jnp.maximum(jnp.sum(found.count > 0), 1)
    size = jnp.sqrt(jax.lax.stop_gradient(total) / num)
    if unit == "deviation":
        total = label_std * total / num / spread**2
    return total, size


def fit_targets(
    measured: jax.Array,
    many: jax.Array,
    key: jax.Array,
    *,
    targets: str = "measured",
    fit: str = "closed",
    epochs: float = 20.0,
    steps: int = 0,
    learning_rate: float = 1e-2,
    batch_size: int = 4,
) -> dict[str, Any]:
    """Phase 2: fits a line to many-shot norms and sets the targets of all labels.

    Args:
      measured: `[num_bins]` norms over the training set.
      many: `[num_bins]` 1 for many-shot bins, else 0.
      key: random key of the label order with `fit="sgd"`.
      targets: see `make`.
      fit: see `make`.
      epochs: see `make`.
      steps: see `make`.
      learning_rate: see `make`.
      batch_size: see `make`.

    Returns:
      `measured`, `target`, `line`, `misfit` and `spread`, see `make`.

    Example:
      >>> norms, many = jnp.array([1.0, 2.0, 9.0]), jnp.array([1.0, 1.0, 0.0])
      >>> found = fit_targets(norms, many, jax.random.key(0))
      >>> [round(float(x), 3) for x in found["target"]]
      [1.0, 2.0, 3.0]
    """
    labels = jnp.arange(len(many), dtype=jnp.float32)
    if fit == "closed":
        line = norm_line.fit_closed(labels, measured, many)
    else:
        line = norm_line.fit_sgd(
            key,
            labels,
            measured,
            many,
            epochs=epochs,
            steps=steps,
            learning_rate=learning_rate,
            batch_size=batch_size,
        )
    predicted = norm_line.predict(line, labels, fit=fit)
    spread = jnp.std(measured, where=many > 0)
    keeps = (many > 0) if targets == "measured" else jnp.zeros_like(many, bool)
    return {
        "measured": measured,
        "target": jnp.where(keeps, measured, predicted),
        "line": line,
        "misfit": _misfit(measured, predicted, many),
        "spread": jnp.where(spread > 0, spread, 1.0),
    }


def _misfit(measured, predicted, many) -> jax.Array:
    """The residual of a line in deviations of the norms; 1 if all norms are equal."""
    total = jnp.maximum(jnp.sum(many), 1)
    mean = jnp.sum(many * measured) / total
    spread = jnp.sum(many * (measured - mean) ** 2)
    left = jnp.sum(many * (measured - predicted) ** 2)
    return jnp.where(spread > 0, jnp.sqrt(left / jnp.where(spread > 0, spread, 1)), 1)


def _many_shot(spec: Any) -> np.ndarray:
    """`[num_bins]` bool, bins with many training labels; there must be one."""
    many = (spec.shots == SHOTS.index("many")) & (np.asarray(spec.counts) > 0)
    if not many.any():
        raise ValueError(
            "norm_target needs many-shot label bins, and there is none: the "
            f"largest of {spec.bins.num} bins has {int(np.max(spec.counts))}. "
            "Lower the threshold of many-shot bins, or widen the bins."
        )
    return many


def _by_bin(variables: base.Variables, *, fit: str) -> dict[str, jax.Array]:
    """What the features of a run store, see `make`."""
    state = variables.state
    labels = jnp.arange(len(state["target"]), dtype=jnp.float32)
    return {
        "norm_measured": state["measured"],
        "norm_line": norm_line.predict(state["line"], labels, fit=fit),
        "norm_target": state["target"],
    }


def _advise(means: Mapping[str, float]) -> list[str]:
    left = means["norm/misfit"]
    if left <= _POOR:
        return []
    return [
        f"{left:.0%} of the spread of many-shot norms remains unexplained by the "
        "norm line, so targets of other labels are unreliable. Feature norms may "
        "not follow the label (scaled by 'standard', they follow its distance from "
        "the mean: set --config.model.label_scaling=deviation); with fit='sgd' set "
        "more epochs or a larger learning_rate of norm_target."
    ]


def make(
    *,
    reading: str = "prototype",
    source: str = "batch",
    momentum: float = 0.9,
    targets: str = "measured",
    unit: str = "deviation",
    fit: str = "closed",
    epochs: float = 20.0,
    steps: int = 0,
    learning_rate: float = 1e-2,
    batch_size: int = 4,
) -> base.Objective:
    """The penalty of phase 3 as a term; it fits the line of phase 2 at its start.

    Args:
      reading: see `prototypes`; for norms in the batch and over the training set.
      source: source of the penalised prototypes, "batch", "running" or "data", see
        `_prototype_source`. Targets always come from the training set.
      momentum: momentum of running prototypes.
      targets: "measured" norms for many-shot labels and the line for the others, or
        "all_predicted".
      unit: "deviation": the mean over labels in the batch, in deviations of many-shot
        norms, times the deviation of the training labels; or "norm": the sum over
        labels, in units of the norms.
      fit: "closed" or "sgd", see `norm_line`.
      epochs: for "sgd", passes over the many-shot labels.
      steps: for "sgd", number of batches; takes precedence if not 0.
      learning_rate: for "sgd".
      batch_size: for "sgd", in labels.

    Returns:
      An objective whose state holds, `[num_bins]` each, `many` (1 for many-shot bins),
      `measured` norms of the training set and `target` norms; `spread`, the deviation
      of many-shot norms (1 if they are equal), and `label_std`, that of the training
      labels; `line`, slope by bin and intercept; `misfit`, the root mean square
      residual of the line, in deviations of many-shot norms; and `seed`. Norms are 0
      before `start`. Its metrics: `norm/gap`, root mean square of gaps in a batch, and
      `norm/misfit`. The features of a run also store `norm_measured`, `norm_line` (for
      all labels) and `norm_target`, as of the start of the stage.

    Raises:
      ValueError: for an option out of range; at init, if no bin is many-shot.
    """
    kept = Source(source, momentum, reading)
    checks.one_of("fit", fit, norm_line.FITS)
    checks.one_of("targets", targets, TARGETS)
    checks.one_of("unit", unit, UNITS)
    for name, value, least in (
        ("epochs", epochs, 0.0),
        ("steps", steps, 0),
        ("learning_rate", learning_rate, 0.0),
        ("batch_size", batch_size, 1),
    ):
        if not (math.isfinite(value) and value >= least):
            raise ValueError(f"{name} must be a number from {least}, got {value!r}.")
    by_gradients = {"epochs": epochs, "steps": steps}
    by_gradients |= {"learning_rate": learning_rate, "batch_size": batch_size}

    def init(key, spec):
        many = _many_shot(spec)
        empty = jnp.zeros(len(many))
        state = {
            "many": jnp.asarray(many, jnp.float32),
            "measured": empty,
            "target": empty,
            "spread": jnp.ones(()),
            "label_std": jnp.float32(spec.label_std or 1.0),
            "line": norm_line.Line(jnp.zeros(()), jnp.zeros(())),
            "misfit": jnp.zeros(()),
            "seed": jax.random.bits(key),
        }
        return base.Variables({}, state | kept.init(spec))

    def start(variables, moments):
        state = variables.state
        measured = norms(of_data(moments), reading=reading)
        key = jax.random.key(state["seed"])
        how: dict[str, Any] = {"targets": targets, "fit": fit, **by_gradients}
        new = fit_targets(measured, state["many"], key, **how)
        new = variables._replace(state=state | new)
        remember = kept.collect.start
        return remember(new, moments) if remember else new

    def loss(variables, view, batch, key):
        del key
        state = variables.state
        features = view.features.reshape(-1, view.features.shape[-1])
        bins, mask = (batch[name].reshape(-1) for name in ("bin", "mask"))
        num = len(state["target"])
        found, _, state = kept.find(state, features, bins, mask, num)
        scales = {name: state[name] for name in ("spread", "label_std")}
        total, size = _penalty(found, state["target"], unit=unit, **scales)
        metrics = {
            "norm/gap": (size, jnp.ones(())),
            "norm/misfit": (state["misfit"], jnp.ones(())),
        }
        return base.Outcome(total, state, metrics)

    by_bin = functools.partial(_by_bin, fit=fit)
    return base.Objective(
        init,
        loss,
        collect=kept.collect._replace(start=start),
        diagnostics=base.Diagnostics(_advise, by_bin),
    )
