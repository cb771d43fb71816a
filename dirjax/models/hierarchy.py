"""A head of classifiers from coarse to fine, which adjust each other (HCA).

The fine one has a class for each bin. Each coarse one has a class for each of the
intervals that come from halving the training labels, 2, then up to 4, 8, ...

Sources: see the term that trains it, `dirjax/objectives/hca.py`.

**Deviations**: intervals consist of whole bins, and a distribution has a density, which
is that of bins of different widths where they have some; published are classes of one
year. Levels that divide nothing are left out, as is one that equals the bins; in the
public code they count once more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dirjax import checks
from dirjax.models.conv import uniform_fan_in
from dirjax.models.distribution_heads import DistributionHead, checked_edges
from dirjax.models.distributions import Binned
from dirjax.ops import densities, intervals

ADJUSTMENTS = ("none", "add", "multiply", "distill")
SHARES = ("count", "root")


class _Hierarchy(NamedTuple):
    prediction: jax.Array
    adjusted: jax.Array
    fine: jax.Array
    coarse: tuple[jax.Array, ...]
    student: jax.Array | None
    place: Any
    edges: Any


class HierarchyOutputs(_Hierarchy, Binned):
    """Probabilities of bins, adjusted by those of intervals of bins.

    Attributes:
      prediction: `[...]`.
      adjusted: `[..., bins]`, the log probabilities of the distribution.
      fine: `[..., bins]` logits of the fine classifier.
      coarse: for each level `[..., intervals]`, logits of its classifier.
      student: `[..., bins]` logits of the distilled classifier; None without one.
      place: `[levels, bins]` int, the interval of each bin, see `intervals.halvings`.
      edges: `[bins + 1]`; the density is 0 outside.
    """

    __slots__ = ()

    def own_log_probs(self) -> jax.Array:
        """Log probability of each of its own bins, `[..., bins]`."""
        return self.adjusted


def adjusted(
    fine: jax.Array, coarse: tuple[jax.Array, ...], place: Any, how: str
) -> jax.Array:
    """Log probabilities of bins, adjusted by those of the intervals that they are in.

    `p(c) + sum_h p_h(h(c))` or `p(c) prod_h p_h(h(c))`, normalised, where `h(c)` is the
    interval of bin c on level h.

    Args:
      fine: `[..., bins]` logits.
      coarse: for each level, `[..., intervals]` logits.
      place: `[levels, bins]` int, the interval of each bin.
      how: "add"; "multiply"; or "none": the fine ones as they are.

    Returns:
      `[..., bins]`.

    Raises:
      ValueError: for another `how`.

    Example:
      >>> fine, half = jnp.log(jnp.array([1, 3, 4, 2])), jnp.log(jnp.array([7, 3]))
      >>> place = np.array([[0, 0, 1, 1]])
      >>> for how in ("none", "add", "multiply"):
      ...     probs = jnp.exp(adjusted(fine, (half,), place, how))
      ...     print(how, [f"{p:.2f}" for p in probs])
      none ['0.10', '0.30', '0.40', '0.20']
      add ['0.27', '0.33', '0.23', '0.17']
      multiply ['0.15', '0.46', '0.26', '0.13']
    """
    checks.one_of("how", how, ADJUSTMENTS[:3])
    own = jax.nn.log_softmax(fine)
    if how == "none":
        return own
    above = [
        jnp.take(jax.nn.log_softmax(logits), place[level], axis=-1)
        for level, logits in enumerate(coarse)
    ]
    all_ = jnp.stack([own, *above])
    joined = jax.nn.logsumexp(all_, axis=0) if how == "add" else jnp.sum(all_, axis=0)
    return densities.normalised(joined, jnp)


class Hierarchy(DistributionHead):
    """Softmaxes over bins and over intervals of bins, of linear layers.

    Attributes:
      shift: not used; bins are in label units.
      scale: not used, for the same reason.
      edges: of the bins, in label units, at least two.
      bin_counts: `[bins]`, training labels in each bin.
      levels: how often intervals are halved, at least 1.
      share: of what an interval's parts have about equal shares: "count"; or "root":
        square roots of the counts of bins, so that rare labels have more classes.
      adjust: "multiply", "add" or "none", see `adjusted`; or "distill": the prediction
        is that of one more classifier, which learns from all others: two layers with a
        softplus between them.
      width: between the layers of that classifier.
    """

    edges: tuple[float, ...] = ()
    bin_counts: tuple[int, ...] = ()
    levels: int = 6
    share: str = "count"
    adjust: str = "multiply"
    width: int = 512

    @nn.compact
    def __call__(self, features: jax.Array) -> HierarchyOutputs:
        """Maps features `[..., dim]` to logits `[..., classes]`, predictions `[...]`.

        Raises:
          ValueError: if a field is invalid.
        """
        edges, place = checked_edges("hierarchy", self.edges), self._place()
        sizes = [len(edges) - 1, *(int(row[-1]) + 1 for row in place)]
        raw = self._raw(features, sum(sizes))
        fine, *coarse = jnp.split(raw, np.cumsum(sizes)[:-1], axis=-1)
        coarse, student = tuple(coarse), None
        if self.adjust == "distill":
            hidden = self._layer(self.width, "student_hidden")(features)
            student = self._layer(sizes[0], "student")(jax.nn.softplus(hidden))
            law = jax.nn.log_softmax(student)
        else:
            law = adjusted(fine, coarse, place, self.adjust)
        return self._finished(
            HierarchyOutputs(fine[..., 0], law, fine, coarse, student, place, edges)
        )

    def _layer(self, width: int, name: str) -> nn.Dense:
        return nn.Dense(width, kernel_init=uniform_fan_in, name=name)

    def _place(self) -> np.ndarray:
        """The intervals, `[levels, bins]`."""
        checks.whole("model.head_options.levels", self.levels)
        checks.whole("model.head_options.width", self.width)
        checks.one_of("model.head_options.adjust", self.adjust, ADJUSTMENTS)
        checks.one_of("model.head_options.share", self.share, SHARES)
        if len(self.bin_counts) != len(self.edges) - 1:
            raise ValueError(
                "the head 'hierarchy' needs the number of training labels in each of "
                f"its {len(self.edges) - 1} bins, got {len(self.bin_counts)} numbers."
            )
        counts = np.asarray(self.bin_counts, np.float64)
        counts = np.sqrt(counts) if self.share == "root" else counts
        return intervals.halvings(counts, int(self.levels))
