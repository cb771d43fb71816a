"""Group-DIR: classifies the label's group, then that group's expert predicts.

Labels are divided into ordered groups. One linear map of the features predicts the
group, and one expert per group predicts the value (head `experts`). A row trains the
expert of its true group; at test time the expert of the predicted group predicts:

    L = lambda1 mean_i (y_i - v_{i, g_i})^2 + lambda2 mean_i CE(q(g_i), softmax(h_i))
    q(g)_j = softmax_j(-beta |j - g|)

Group contrast (`group_contrast`) is trained before it or jointly.

"Leveraging Group Classification with Descending Soft Labeling for Deep Imbalanced
Regression", Pu et al., AAAI 2025. https://arxiv.org/abs/2412.12327 Criteria for
comparison: logit adjustment, Menon et al., ICLR 2021 https://arxiv.org/abs/2007.07314;
a fixed simplex ETF with the dot-regression loss, Yang et al., NeurIPS 2022
https://arxiv.org/abs/2203.09081

**Deviations** and readings:

- Schedule: the presets follow the supplementary, a contrast stage for the encoder
  alone, then all parameters on this term. The option `joint` trains the printed sum of
  three terms at once; `--config.stage.main.trainable="('head',)"` trains only the head.
- Reductions: means for both sums of the paper, lambda1 = lambda2 = 1 (it gives
  neither). The author's code adds the mean of one to the sum of the other, which makes
  lambda2 the batch size.
- Errors are in standard deviations of the training labels (`unit="deviation"`), so that
  one pair of factors serves labels of any scale. `"label"` is the paper's.
- Soft labels: the paper writes `G - beta |j - g|` inside a softmax, which does not
  depend on G. `slope="first_gap"` is the author's code: only the first gap is `beta`,
  the others are 1, and scores stop at G - 1 below the top.
- `soft_asymmetric` is from an earlier version: other groups are reduced by their share
  of the training labels, and q is not renormalised.
- Logit adjustment counts an empty group as one row; the head in the preset rules out
  groups without training rows at initialisation (`rule_out_empty`).
- Groups of labels are exact (`dirjax/labels/groups.py`), 10 of them by default.
  Expert outputs are not limited to their group's range.
- Batch weights multiply the regression only, so LDS acts within groups; `weigh_groups`
  weights the classification, too.
- In dense tasks each pixel is a row, and the contrast before it sees drawn pixels
  (`_drawn_pixels`). The paper has no dense task.
- The printed bound of Lemma 1 sums over all groups; the loss is the part of the true
  group, which always bounds the likelihood (`metrics/experts.py` measures both).
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.labels import specification
from dirjax.objectives import base
from dirjax.ops import numerics

HEAD = "experts"
SLOPES = ("uniform", "first_gap")
CRITERIA = ("soft", "soft_asymmetric", "ce", "la", "etf")
UNITS = ("deviation", "label")


def group_soft_labels(
    group: jax.Array,
    *,
    num_groups: int,
    beta: float = 1.0,
    slope: str = "uniform",
    counts: jax.Array | None = None,
) -> jax.Array:
    """Soft label of one group: highest at the group, descending on both sides.

    `q = softmax_j(-beta |j - g|)`, with counts `q_j (1 - n_j / n)` for `j != g`.

    Args:
      group: scalar int, 0 to num_groups - 1.
      num_groups: number of groups.
      beta: decrease from one group to the next; with "first_gap" to the first neighbour
        only.
      slope: "uniform", or "first_gap": later gaps are 1, down to num_groups - 1.
      counts: `[num_groups]` training rows of each group, for asymmetric labels.

    Returns:
      `[num_groups]`, constant for gradients. Sums to 1 without counts, otherwise to
      less.

    Raises:
      ValueError: for an unknown slope or a beta that is not above 0.

    Example:
      >>> [f"{q:.3f}" for q in group_soft_labels(jnp.array(0), num_groups=2)]
      ['0.731', '0.269']
    """
    checks.one_of("slope", slope, SLOPES)
    checks.positive("beta", beta)
    gaps = jnp.abs(jnp.arange(num_groups) - group).astype(float)
    if slope == "uniform":
        scores = -beta * gaps
    else:
        scores = -jnp.where(gaps > 0, jnp.minimum(beta + gaps - 1, num_groups - 1), 0.0)
    soft = jax.nn.softmax(scores)
    if counts is not None:
        share = counts / jnp.maximum(jnp.sum(counts), 1)
        soft = jnp.where(gaps > 0, soft * (1 - share), soft)
    return jax.lax.stop_gradient(soft)


def soft_cross_entropy(logits: jax.Array, soft: jax.Array) -> jax.Array:
    """Cross-entropy of one row against a soft label, `-sum_j q_j log p_j`.

    Args:
      logits: `[num_groups]`.
      soft: `[num_groups]`, not negative.

    Returns:
      Scalar.
    """
    return -jnp.sum(soft * jax.nn.log_softmax(logits))


def entropy_floor(soft: jax.Array) -> jax.Array:
    """The lowest `soft_cross_entropy` of any logits, for one soft label.

    Args:
      soft: `[num_groups]`, not negative; for a sum of 1 it is the entropy.

    Returns:
      Scalar. The loss minus this is the sum of `soft` times KL(q || p).

    Example:
      >>> f"{entropy_floor(jnp.array([0.5, 0.0, 0.5])):.4f}"
      '0.6931'
    """
    total = jnp.sum(soft)
    share = soft / jnp.where(total > 0, total, 1.0)
    return -jnp.sum(soft * jnp.log(jnp.where(share > 0, share, 1.0)))


def adjusted_logits(logits: jax.Array, counts: jax.Array, tau: float) -> jax.Array:
    """Logit adjustment: `logits_j + tau log(n_j / n)`; empty groups count as one row.

    Args:
      logits: `[num_groups]`.
      counts: `[num_groups]` training rows of each group.
      tau: at least 0; 0 changes nothing.

    Returns:
      `[num_groups]`.
    """
    counts = jnp.maximum(counts, 1.0)
    return logits + tau * jnp.log(counts / jnp.sum(counts))


def dot_regression_loss(scores: jax.Array, group: jax.Array) -> jax.Array:
    """Dot-regression of one row: `(m_g . z - 1)^2 / 2` for unit vectors.

    Args:
      scores: `[num_groups]`, dot products with all vectors of the frame.
      group: scalar int, the true group.

    Returns:
      Scalar.
    """
    return 0.5 * (scores[group] - 1.0) ** 2


def classification_loss(
    logits: jax.Array,
    group: jax.Array,
    members: jax.Array,
    *,
    criterion: str = "soft",
    beta: float = 1.0,
    slope: str = "uniform",
    tau: float = 1.0,
) -> tuple[jax.Array, jax.Array]:
    """Loss of the group of one row, and its lower bound.

    Args:
      logits: `[num_groups]`.
      group: scalar int, the true group.
      members: `[num_groups]` training rows of each group.
      criterion: see `make`.
      beta: see `group_soft_labels`.
      slope: see `group_soft_labels`.
      tau: see `adjusted_logits`.

    Returns:
      Two scalars.

    Example:
      >>> even = jnp.zeros(2)
      >>> loss, least = classification_loss(even, jnp.array(0), even, criterion="ce")
      >>> f"{loss:.4f}", float(least)
      ('0.6931', 0.0)
    """
    num = len(members)
    if criterion == "etf":
        return dot_regression_loss(logits, group), jnp.zeros(())
    if criterion in ("ce", "la"):
        hot = jax.nn.one_hot(group, num)
        if criterion == "la":
            logits = adjusted_logits(logits, members, tau)
        return soft_cross_entropy(logits, hot), jnp.zeros(())
    counts = members if criterion == "soft_asymmetric" else None
    soft = group_soft_labels(
        group, num_groups=num, beta=beta, slope=slope, counts=counts
    )
    return soft_cross_entropy(logits, soft), entropy_floor(soft)


def expert_loss(
    values: jax.Array, labels: jax.Array, groups: jax.Array, *, loss: str = "mse"
) -> jax.Array:
    """Error of the true group's expert, elementwise; other experts get no gradient.

    Args:
      values: `[batch, num_groups]`, predictions of all experts.
      labels: `[batch]`.
      groups: `[batch]` int, true groups.
      loss: "mse" or "l1".

    Returns:
      `[batch]`, in (squared) units of the labels.

    Raises:
      ValueError: for an unknown loss, or shapes that do not fit.

    Example:
      >>> values = jnp.array([[1.0, 5.0]])
      >>> expert_loss(values, jnp.array([3.0]), jnp.array([1])).tolist()
      [4.0]
    """
    checks.one_of("loss", loss, ("mse", "l1"))
    checks.check_shapes(
        values=(values, "b g"), labels=(labels, "b"), groups=(groups, "b")
    )
    value = jnp.take_along_axis(values, groups[:, None], axis=1)[:, 0]
    error = value - labels
    return error**2 if loss == "mse" else jnp.maximum(error, -error)


def _check_head(outputs: Any, criterion: str, num: int) -> None:
    logits = getattr(outputs, "logits", None)
    if logits is None or not hasattr(outputs, "values"):
        raise ValueError("group_dir needs model.head='experts'.")
    if logits.shape[-1] != num:
        raise ValueError(
            f"the head has {logits.shape[-1]} groups but the labels have {num}. Both "
            "must follow config.groups.num."
        )
    fixed = getattr(outputs, "classifier", "linear") == "etf"
    if fixed != (criterion == "etf"):
        raise ValueError(
            "criterion 'etf' must go with model.head_options.classifier='etf' and no "
            f"other criterion, got {criterion!r}. Use the preset group_etf."
        )


def make(
    *,
    criterion: str = "soft",
    beta: float = 1.0,
    slope: str = "uniform",
    tau: float = 1.0,
    loss: str = "mse",
    unit: str = "deviation",
    lambda1: float = 1.0,
    lambda2: float = 1.0,
    weigh_groups: bool = False,
) -> base.Objective:
    """Expert regression and group classification, as a term.

    Args:
      criterion: classification loss: "soft", "soft_asymmetric", "ce", "la" (logit
        adjustment) or "etf" (dot-regression, with the head's fixed classifier).
      beta: see `group_soft_labels`.
      slope: see `group_soft_labels`.
      tau: see `adjusted_logits`; for "la".
      loss: regression loss of the experts, "mse" or "l1".
      unit: unit of their errors: "deviation" of the training labels, or "label".
      lambda1: factor of the regression, at least 0.
      lambda2: factor of the classification, at least 0.
      weigh_groups: whether batch weights multiply the classification, too.

    Returns:
      An objective whose state holds `of_bin` `[num_bins]` int32 and `members`
      `[num_groups]`, the group of each bin and the training rows per group, and `unit`.
      Its metrics are means over real rows: `loss/experts` and `loss/groups` (without
      factors), `group/accuracy`, `group/distance` (mean |predicted - true group|),
      `group/kl`, the classification loss minus its lower bound, and `group/mse`, the
      squared error of the true group's expert in squared units of the learnt label,
      unweighted, whatever `loss` and `unit` are.

    Raises:
      ValueError: for an option out of range; at init, if the run has no groups; in a
        step, for a head that does not fit.
    """
    checks.one_of("criterion", criterion, CRITERIA)
    checks.one_of("slope", slope, SLOPES)
    checks.one_of("loss", loss, ("mse", "l1"))
    checks.one_of("unit", unit, UNITS)
    checks.positive("beta", beta)
    for name, value in (("tau", tau), ("lambda1", lambda1), ("lambda2", lambda2)):
        checks.positive(name, value, zero=True)

    def init(key, spec):
        del key
        groups = specification.of_spec(spec, "group_dir")
        scale = (spec.label_std or 1.0) if unit == "deviation" else 1.0
        state = {
            "of_bin": jnp.asarray(groups.of_bin),
            "members": jnp.asarray(groups.counts, jnp.float32),
            "unit": jnp.float32(scale),
        }
        return base.Variables({}, state)

    classify = functools.partial(
        classification_loss, criterion=criterion, beta=beta, slope=slope, tau=tau
    )

    def term(variables, view, batch, key):
        del key
        state = variables.state
        members, outputs = state["members"], view.outputs
        _check_head(outputs, criterion, len(members))
        logits, values = (
            x.reshape(-1, len(members)) for x in (outputs.logits, outputs.values)
        )
        label, bins, mask, weight = (
            batch[name].reshape(-1) for name in ("label", "bin", "mask", "weight")
        )
        groups, unit = state["of_bin"][bins], state["unit"]
        # The difference comes first: quotients of large labels are rounded.
        away = (values - label[:, None]) / unit
        errors = expert_loss(away, jnp.zeros_like(label), groups, loss=loss)
        entropy, floor = jax.vmap(classify, (0, 0, None))(logits, groups, members)
        regression = numerics.masked_mean(errors * weight, mask)
        classification = numerics.masked_mean(
            entropy * weight if weigh_groups else entropy, mask
        )
        off = jnp.abs(jnp.argmax(logits, axis=1) - groups)
        metrics = {
            "loss/experts": (regression, jnp.ones(())),
            "loss/groups": (classification, jnp.ones(())),
        }
        for name, rows in (
            ("accuracy", off == 0),
            ("distance", off),
            ("kl", entropy - floor),
            ("mse", expert_loss(values, label, groups)),
        ):
            total = jnp.sum(jnp.where(mask > 0, rows, 0.0))
            metrics[f"group/{name}"] = (total, jnp.sum(mask))
        total = lambda1 * regression + lambda2 * classification
        return base.Outcome(total, state, metrics)

    return base.Objective(init, term)
