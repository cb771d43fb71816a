"""LDS: re-weighting by the smoothed label distribution.

The (clipped, or square-rooted) counts per bin are convolved with a symmetric kernel
before they are inverted, so that a bin's weight also depends on its neighbours.

"Delving into Deep Imbalanced Regression", Yang et al., ICML 2021, section 3.1.
https://arxiv.org/abs/2102.09554

**Deviations**:

- With `scheme="inverse"` the published code smooths integer counts and loses the
  fractions. Here they are kept; `truncate=True` gives the published weights.
- As in the published code, square root or clip come first, then smoothing. The paper's
  text smooths the density itself.
- The defaults are the published setting for ages, Gaussian with 5 taps and sigma 2 on
  square-rooted counts. Its window is folded at the ends, as published, and nearly
  flat (0.86, 0.95, 1, 0.95, 0.86); see `weights.kernel_window`.
- Published runs use `padding="zero"` for ages and text similarity and `"edge"` for
  depth.
"""

from __future__ import annotations

from dirjax.objectives import base, reweight


def make(
    inner: base.Objective,
    *,
    scheme: str = "sqrt_inverse",
    clip: tuple[float, float] | None = (5.0, 1000.0),
    kernel: str = "gaussian",
    size: int = 5,
    sigma: float = 2.0,
    padding: str = "zero",
    truncate: bool = False,
    first_bin: int = 0,
) -> base.Objective:
    """Multiplies `batch["weight"]` by the smoothed weight of the example's bin.

    Args:
      inner: the objective that sees the new weights.
      scheme: `"sqrt_inverse"` (published for ages) or `"inverse"` (for text
        similarity and depth).
      clip: range of the counts for `"inverse"`, before smoothing; None for none.
      kernel: `"gaussian"`, or another name known to `weights.kernel_window`.
      size: taps of the kernel, odd, in bins.
      sigma: width of the kernel, in bins.
      padding: values beyond the end bins, see `weights.smooth`.
      truncate: round smoothed counts down, as the published code does with `"inverse"`.
      first_bin: see `weights.bin_density`; published for depth: 7.

    Returns:
      `reweight.make` with a kernel: same state, same behaviour.

    Raises:
      ValueError: at init, for an unknown scheme, kernel or padding.

    Example:
      >>> from dirjax import labels
      >>> from dirjax.objectives import l1
      >>> spec = labels.spec([0.0, 1.0, 1.0, 1.0, 1.0], bin_width=1.0)
      >>> table = make(l1.make()).init(None, spec).state["table"]
      >>> table.shape, bool(table[0] > table[1])
      ((2,), True)
    """
    return reweight.make(
        inner,
        scheme=scheme,
        clip=clip,
        kernel=kernel,
        size=size,
        sigma=sigma,
        padding=padding,
        truncate=truncate,
        first_bin=first_bin,
    )
