"""C-Mixup: Mixup whose partners are near in label.

Row j is drawn as the partner of row i in proportion to

    exp(-(y_i - y_j)^2 / (2 h^2))

over the whole training set; then both are blended as in `mixup`.

"C-Mixup: Improving Generalization in Regression", Yao et al., NeurIPS 2022.
https://arxiv.org/abs/2210.05775

**Deviations** and readings, beside those of `mixup`:

- `h` is in deviations of the training labels, so that one value serves labels of any
  unit. Published in label units: 1.75 for Airfoil (a quarter of the deviation), 1.2 for
  NO2, 4 for Crime, 0.5 for poverty.
- Partners are drawn exactly and without a table of pairs, see `data/partners.py`.
- Batches whose candidates are drawn first (the "batch" variant for images) are left
  out: it is a cheaper approximation of the same distribution.
- The kernel is the Gaussian of the paper and the rows have one label. The public code
  also has a tophat, and distances of several labels: see `data/partners.py`.
- Rare labels find few partners; against the imbalance as such C-Mixup does nothing.
"""

from __future__ import annotations

import functools

from dirjax import checks
from dirjax.objectives import base, mixup

FEWEST_ROWS = mixup.FEWEST_ROWS


def make(
    inner: base.Objective,
    *,
    alpha: float = 2.0,
    share: str = "row",
    bandwidth: float = 0.25,
) -> base.Objective:
    """Blends each row of a batch with a training row that is near in label.

    Args:
      inner: the objective that sees blends.
      alpha: see `mixup.make`.
      share: see `mixup.mixed`.
      bandwidth: `h`, in deviations of the training labels, above 0.

    Returns:
      See `mixup.make`.

    Raises:
      ValueError: for an option out of range; in a step, for labels of pixels.

    Example:
      >>> from dirjax import labels
      >>> from dirjax.objectives import l1
      >>> spec = labels.spec([0.0, 2.0], bin_width=1.0)
      >>> make(l1.make(), bandwidth=0.5).partners(spec)
      0.5
    """
    checks.positive("bandwidth", bandwidth)
    return mixup.around(
        inner,
        lambda spec: bandwidth * (spec.label_std or 1.0),
        alpha=alpha,
        share=share,
        check=functools.partial(base.check_one_per_row, "c_mixup", drawn=False),
    )
