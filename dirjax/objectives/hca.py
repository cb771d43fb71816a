"""HCA: hierarchical classification adjustment. Coarse classifiers correct a fine one.

    L = CE(p, y) + sum_h CE(p_h, h(y)) + distill * sum_h KL(p_h || pool_h(s))

The fine classifier `p` has a class for each bin. On level h = 1, 2, ... the range is
halved once more by counts of training labels, and `p_h` says in which of these
intervals, `h(y)`, the label is. Few classes with about equally many rows are easier to
tell apart. The head `hierarchy` predicts from

    add: p(c) + sum_h p_h(h(c));   multiply: p(c) prod_h p_h(h(c))

or from one classifier `s` that learns from all others (HCA-d): pooled over each
interval, the largest logit of its bins, it should be what they say (the fine one is
among the levels of the last sum, too). Then the most likely bin lies in the most likely
interval on each level, so that the range is preserved.

"Deep Imbalanced Regression via Hierarchical Classification Adjustment", Xiong and Yao,
CVPR 2024. https://arxiv.org/abs/2310.17154

**Deviations** and readings. The paper was not at hand; this follows its abstract and
the public code, which has the models and their losses, but neither the training nor the
factors of the published runs.

- Only the fine classifier trains the encoder: the coarse ones and the distilled one see
  constant features. The distilled one learns from constant teachers.
- All classifiers train together, with factors of 1. Names in the public code suggest
  that the distilled one follows in a second stage; since it trains nothing else, only
  its own course differs.
- Weights of the batch multiply all parts. There the classes of each coarse classifier
  have weights of inverse frequency of their own, which is about equal by design.
- `pool="sum"` adds probabilities. There softmax is then taken once more for each level.
- `trim` leaves out classes that a teacher ranks above the true one, as an option there;
  its other options, Jensen-Shannon divergence and divergences only of levels that are
  best for a row, are left out.
- Published base: cross-entropy with root inverse frequency weights and LDS
  (`sqinv_lds_hca`). Classes are years of age there, here bins of `config.support`.
- The prediction is the most likely bin as published (`decode=mode`).
- A correction for another label distribution starts from that of the training labels,
  which is right for each classifier, but their product has it several times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from dirjax import checks
from dirjax.objectives import base, histogram
from dirjax.ops import intervals

HEAD = "hierarchy"
POOLS = ("max", "sum")
# Of a class that is left out.
_NEVER = -1e30


def coarse_cross_entropy(
    coarse: Sequence[jax.Array], soft: jax.Array, place: Any
) -> jax.Array:
    """Cross-entropies of the classifiers of intervals, added, elementwise.

    Args:
      coarse: for each level, `[..., intervals]` logits.
      soft: `[..., bins]` target probabilities.
      place: `[levels, bins]` int, the interval of each bin on each level.

    Returns:
      `[...]`.

    Example:
      >>> soft, place = jnp.array([0.0, 0.5, 0.5]), jnp.array([[0, 0, 1]])
      >>> f"{coarse_cross_entropy([jnp.log(jnp.array([0.8, 0.2]))], soft, place):.3f}"
      '0.916'
    """
    total = jnp.zeros(soft.shape[:-1])
    for level, logits in enumerate(coarse):
        above = intervals.sums(soft, place[level], logits.shape[-1])
        total = total + histogram.cross_entropy(logits, above)
    return total


def _divergence(
    teacher: jax.Array, student: jax.Array, kept: jax.Array | None
) -> jax.Array:
    """KL of softmaxes over the classes that are kept, `[...]`."""
    if kept is not None:
        teacher, student = (jnp.where(kept, x, _NEVER) for x in (teacher, student))
    wanted, found = (jax.nn.log_softmax(x) for x in (teacher, student))
    return jnp.sum(jnp.exp(wanted) * (wanted - found), axis=-1)


def distillation_loss(
    student: jax.Array,
    fine: jax.Array,
    coarse: Sequence[jax.Array],
    soft: jax.Array,
    place: Any,
    *,
    pool: str = "max",
    trim: bool = False,
) -> jax.Array:
    """Divergences of a classifier from those that it learns from, added, elementwise.

    Args:
      student: `[..., bins]` logits.
      fine: same shape, logits; a constant, as are all teachers.
      coarse: for each level, `[..., intervals]` logits.
      soft: `[..., bins]` target probabilities, for `trim`.
      place: `[levels, bins]` int, the interval of each bin on each level.
      pool: of the student over the bins of an interval: "max" of logits, or "sum" of
        probabilities.
      trim: whether classes that a teacher ranks above that of the label are left out of
        its divergence.

    Returns:
      `[...]`, from 0.

    Raises:
      ValueError: for an unknown pool.

    Example:
      >>> fine, half = jnp.log(jnp.array([0.2, 0.2, 0.6])), jnp.zeros(2)
      >>> place, soft = jnp.array([[0, 0, 1]]), jnp.array([1.0, 0.0, 0.0])
      >>> f"{distillation_loss(fine, fine, [half], soft, place, pool='sum'):.3f}"
      '0.020'
    """
    checks.one_of("pool", pool, POOLS)
    pooled = intervals.maxima if pool == "max" else intervals.log_sums
    levels = [(fine, student, soft)]
    for level, logits in enumerate(coarse):
        at, num = place[level], logits.shape[-1]
        above = intervals.sums(soft, at, num)
        levels.append((logits, pooled(student, at, num), above))
    total = jnp.zeros(student.shape[:-1])
    for teacher, pupil, true in levels:
        teacher, kept = jax.lax.stop_gradient(teacher), None
        if trim:
            at = jnp.argmax(true, axis=-1)[..., None]
            kept = teacher <= jnp.take_along_axis(teacher, at, axis=-1)
        total = total + _divergence(teacher, pupil, kept)
    return total


def make(
    *,
    targets: str = "hard",
    spread: float = 1.0,
    distill: float = 1.0,
    pool: str = "max",
    trim: bool = False,
) -> base.Objective:
    """The cross-entropies of all classifiers, and the distillation, as a term.

    Args:
      targets: see `histogram.bin_targets`; an interval's target is the sum over its
        bins.
      spread: see `histogram.bin_targets`.
      distill: factor of the divergences, at least 0, where the head has a classifier
        that is distilled (`adjust="distill"`).
      pool: see `distillation_loss`.
      trim: see `distillation_loss`.

    Returns:
      An objective without variables. Batch weights multiply all parts.

    Raises:
      ValueError: for an option out of range; in a step, for another head.
    """
    checks.one_of("targets", targets, histogram.TARGETS)
    checks.positive("spread", spread)
    checks.positive("distill", distill, zero=True)
    checks.one_of("pool", pool, POOLS)

    def elementwise(view, batch):
        seen = view.outputs
        if not (hasattr(seen, "fine") and hasattr(seen, "coarse")):
            raise ValueError("the term hca needs model.head='hierarchy'.")
        soft = histogram.bin_targets(
            batch["label"], seen.edges, spread=spread, targets=targets
        )
        # All other classifiers do not train the encoder.
        apart = view.head(jax.lax.stop_gradient(view.features))
        loss = histogram.cross_entropy(seen.fine, soft)
        loss = loss + coarse_cross_entropy(apart.coarse, soft, seen.place)
        if apart.student is None:
            return loss
        return loss + distill * distillation_loss(
            apart.student,
            seen.fine,
            apart.coarse,
            soft,
            seen.place,
            pool=pool,
            trim=trim,
        )

    return base.term(elementwise)
