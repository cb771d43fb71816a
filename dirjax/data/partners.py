"""Partners: a second training row for each row of a batch, near in label.

Row j is drawn as the partner of row i with the probability

    P(j | i) ~ exp(-(y_i - y_j)^2 / (2 h^2))

over the whole training set, i itself included. An infinite `h` draws all alike. The
draw is exact and takes no table of pairs: sorted labels make blocks, one for each
distinct label if there are few. A block is drawn in proportion to its rows times the
largest value of the kernel in it, a row in it with equal chances, and the row is kept
with the ratio of its kernel to that value; otherwise the draw is repeated (rejection
sampling).

"C-Mixup: Improving Generalization in Regression", Yao et al., NeurIPS 2022.
https://arxiv.org/abs/2210.05775

**Deviations**: none in the distribution. The public code keeps a table of all pairs,
1.1 GB for 12,000 labels. It has two more kernels, which the paper does not use: tophat
(all rows nearer than `h` alike) and uniform, which is an infinite `h`; and it takes
several labels per row, at their Euclidean distance. `rates` has all of them, as the
definition and for tests; draws are of one label and the Gaussian.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks

BLOCKS = 1024
KERNELS = ("gaussian", "tophat", "uniform")
# So many draws are made at once for each row that has none yet.
_TRIES = 8


def rates(
    labels: ArrayLike, *, bandwidth: float = 1.0, kernel: str = "gaussian"
) -> np.ndarray:
    """Probability of each row to be the partner of each row: the table of all pairs.

    Args:
      labels: `[rows]`, or `[rows, labels]` for several labels per row.
      bandwidth: `h` in units of the labels, above 0; "uniform" has none.
      kernel: of the distance: "gaussian", "tophat" (1 below `h`, else 0) or "uniform".

    Returns:
      `[rows, rows]` float64; row i holds `P(j | i)`, with sum 1.

    Raises:
      ValueError: for an option out of range, or labels of another rank.

    Example:
      >>> rates([0.0, 1.0, 3.0]).round(6)[0].tolist()
      [0.618185, 0.374948, 0.006867]
      >>> rates([0.0, 1.0, 3.0], bandwidth=2.0, kernel="tophat")[0].tolist()
      [0.5, 0.5, 0.0]
    """
    checks.one_of("kernel", kernel, KERNELS)
    checks.positive("bandwidth", bandwidth)
    y = np.asarray(labels, np.float64)
    if y.ndim not in (1, 2):
        raise ValueError(
            f"labels must be [rows] or [rows, labels], got shape {y.shape}. Labels of "
            "pixels have no partners that are near in label."
        )
    y = y.reshape(len(y), -1)
    squares = np.square(y[:, None] - y[None]).sum(axis=-1)
    if kernel == "gaussian":
        table = np.exp(-0.5 * squares / bandwidth**2)
    else:
        near = np.sqrt(squares) < bandwidth
        table = np.where(near | (kernel == "uniform"), 1.0, 0.0)
    return table / table.sum(axis=1, keepdims=True)


class Partners:
    """Draws partners from one set of labels.

    Args:
      labels: `[rows]`, finite.
      bandwidth: `h` in units of the labels, above 0; infinite for any partner.
      blocks: the largest number of blocks; the result does not depend on it.

    Raises:
      ValueError: for labels of pixels, unless any partner will do, or a bandwidth that
        is not above 0.

    Example:
      >>> near = Partners(np.array([0.0, 9.0, 0.1, 9.1]), bandwidth=0.5)
      >>> found = near.draw(np.array([0, 0, 1, 1]), seed=0, step=0)
      >>> sorted({*found[:2]} - {0, 2}), sorted({*found[2:]} - {1, 3})
      ([], [])
    """

    def __init__(self, labels: np.ndarray, bandwidth: float, blocks: int = BLOCKS):
        if not bandwidth > 0:
            raise ValueError(
                f"the bandwidth of partners must be above 0, got {bandwidth}."
            )
        labels = np.asarray(labels, np.float64)
        self._any, self._size = not np.isfinite(bandwidth), len(labels)
        if self._any:
            return
        if labels.ndim != 1:
            raise ValueError(
                "partners near in label need one label per row, this data has one per "
                "pixel. Use a method without it, such as mixup."
            )
        self._labels, self._width = labels, bandwidth
        self._order = np.argsort(labels, kind="stable")
        ordered = labels[self._order]
        new = np.flatnonzero(np.diff(ordered, prepend=-np.inf))
        if len(new) > blocks:  # Distinct labels are too many: blocks of equal length.
            new = np.unique(
                np.linspace(0, len(ordered), blocks, endpoint=False, dtype=int)
            )
        self._starts = np.append(new, len(ordered))
        self._low, self._high = ordered[new], ordered[self._starts[1:] - 1]

    def _kernel(self, distances: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * np.square(distances / self._width))

    def block_rates(self, labels: np.ndarray) -> np.ndarray:
        """Rows of each block times the largest value of the kernel in it.

        Args:
          labels: `[n]`.

        Returns:
          `[n, blocks]`, not normalised. Of one distinct label per block, these are the
          probabilities of labels.
        """
        y = np.asarray(labels, np.float64)[:, None]
        away = np.maximum(self._low[None] - y, 0) + np.maximum(y - self._high[None], 0)
        return self._kernel(away) * np.diff(self._starts)[None]

    def draw(self, rows: np.ndarray, *, seed: int, step: int) -> np.ndarray:
        """Partners of some rows, a function of seed and step.

        Args:
          rows: `[n]` int, positions in the set.
          seed: any integer from 0.
          step: any integer from 0.

        Returns:
          `[n]` int64.
        """
        # Another counter than that of the order of rows.
        bits = np.random.Philox(key=[seed, step], counter=[0, 0, 0, 1])
        rng = np.random.Generator(bits)
        if self._any:
            return rng.integers(self._size, size=len(rows))
        labels = self._labels[rows]
        upto = np.cumsum(self.block_rates(labels), axis=1)
        found = np.zeros(len(rows), np.int64)
        left = np.arange(len(rows))
        while len(left):
            y, here = labels[left], upto[left]
            at = rng.random((_TRIES, len(left))) * here[:, -1]
            block = np.stack(
                [
                    np.searchsorted(one, draws, side="right")
                    for one, draws in zip(here, at.T, strict=True)
                ],
                axis=1,
            )
            block = np.minimum(block, len(self._low) - 1)
            first, last = self._starts[block], self._starts[block + 1]
            place = first + (rng.random(block.shape) * (last - first)).astype(int)
            row = self._order[np.minimum(place, last - 1)]
            low, high = self._low[block], self._high[block]
            away = np.maximum(low - y, 0) + np.maximum(y - high, 0)
            # The ratio of two kernels, which may both be 0 in floating point.
            gap = np.square(self._labels[row] - y) - np.square(away)
            keep = rng.random(block.shape) < np.exp(-0.5 * gap / self._width**2)
            some = keep.any(axis=0)
            first_kept = np.argmax(keep, axis=0)
            found[left[some]] = row[first_kept, np.arange(len(left))][some]
            left = left[~some]
        return found
