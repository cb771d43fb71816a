"""DenseWeight: re-weighting by a kernel density of the labels.

    w(y) = max(1 - alpha rho(y), eps), scaled to mean 1 over the training labels

where `rho` is a Gaussian kernel density of the training labels, scaled to [0, 1]. With
the squared error as base loss it is DenseLoss.

"Density-based weighting for imbalanced regression", Steininger et al., Machine Learning
2021. https://doi.org/10.1007/s10994-021-06023-5

**Deviations**:

- Weights are those of label bins: the density is that of bin counts at the mean labels
  of bins, and a label has the weight of its bin. `labels.weights.dense_weights` takes
  single labels.
- The density is interpolated on a grid far finer than its kernel
  (`labels.kernel_density`); the public code has 4096 points over all labels and takes
  the one to the left. On the frozen cases weights differ by up to 0.5 % of the largest;
  with heavy tails, whose outliers fall between its points, by more.
"""

from __future__ import annotations

from dirjax import checks
from dirjax.labels import weights
from dirjax.objectives import base, reweight


def make(
    inner: base.Objective,
    *,
    alpha: float = 1.0,
    eps: float = 1e-6,
    bandwidth: float | None = None,
) -> base.Objective:
    """Multiplies `batch["weight"]` by the density-based weight of the example's bin.

    Args:
      inner: the objective that sees the new weights.
      alpha: from 0 (equal weights); 1 is usual, above it common labels get `eps`.
      eps: the smallest weight, before scaling.
      bandwidth: of the kernel, in units of the learnt label. Default: see
        `weights.dense_density`.

    Returns:
      An objective whose state holds `table`, the weight of each bin `[num_bins]`
      float32, beside the state of `inner`.

    Raises:
      ValueError: for an option out of range.

    Example:
      >>> from dirjax import labels
      >>> from dirjax.objectives import l1
      >>> spec = labels.spec([0.0, 1.0, 1.0, 1.0, 9.0], bin_width=1.0)
      >>> table = make(l1.make()).init(None, spec).state["table"]
      >>> bool(table[1] < table[0] < table[9])
      True
    """
    checks.positive("alpha", alpha, zero=True)
    checks.positive("eps", eps)

    def weighting(spec):
        return weights.dense_weights(
            spec.centers,
            spec.counts,
            spec.centers,
            alpha=alpha,
            eps=eps,
            bandwidth=bandwidth,
        )

    return reweight.by_bin(inner, weighting)
