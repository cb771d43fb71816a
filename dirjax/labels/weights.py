"""Weights from label frequency: INV, SQINV, LDS kernels that smooth it, DenseWeight.

Host numpy in float64 and no JAX: everything is computed once, before training.

Source: Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021,
https://arxiv.org/abs/2102.09554. DenseWeight: Steininger et al., "Density-based
weighting for imbalanced regression", Machine Learning 2021,
https://doi.org/10.1007/s10994-021-06023-5.

**Deviations** from the public benchmark code: smoothed integer counts are truncated to
integers only with `truncate=True`; the public code always does so under `"inverse"`. A
bin of density 0 gets the largest weight of the other bins, not infinity.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks
from dirjax.labels.bins import Bins
from dirjax.labels.kernel_density import kernel_density

KERNELS = ("gaussian", "gaussian_exact", "triang", "laplace")
PRIORS = ("inverse", "sqrt_inverse")
_REACH = 4  # Bandwidths beyond the labels where a kernel density has its least value.
_PAD_MODES: Any = {"zero": "constant", "edge": "symmetric", "reflect": "reflect"}


def kernel_window(
    kernel: str, size: int, sigma: float = 2.0, normalize: str = "max"
) -> np.ndarray:
    """Symmetric smoothing window over bins.

    Args:
      kernel: `"gaussian"`, the benchmark's: a unit impulse of this length under a
        Gaussian filter whose ends mirror, edge sample repeated; the tails fold back,
        and size 5 with sigma 2 is nearly flat. `"gaussian_exact"`:
        `exp(-x^2 / 2 sigma^2)`. `"laplace"`: `exp(-|x| / sigma)`. `"triang"`: straight
        sides, no sigma.
      size: odd number of taps.
      sigma: spread in bins, above 0.
      normalize: `"max"` (label smoothing) or `"sum"` (feature smoothing).

    Returns:
      `[size]` float64.

    Raises:
      ValueError: for an unknown name, an even size or a sigma not above 0.

    Example:
      >>> kernel_window("gaussian", 5, 2.0).round(6).tolist()
      [0.858285, 0.945828, 1.0, 0.945828, 0.858285]
    """
    checks.one_of("kernel", kernel, KERNELS)
    checks.one_of("normalize", normalize, ("max", "sum"))
    if size < 1 or size % 2 == 0 or not 0 < sigma < math.inf:
        raise ValueError(f"size must be odd and sigma above 0, got {size} and {sigma}.")
    x = np.abs(np.arange(size) - size // 2)
    if kernel == "gaussian":
        radius = int(4 * sigma + 0.5)
        taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        window = np.convolve(np.pad(x == 0, radius, "symmetric"), taps, "valid")
    elif kernel == "gaussian_exact":
        window = np.exp(-0.5 * (x / sigma) ** 2)
    else:
        window = np.exp(-x / sigma) if kernel == "laplace" else 1 - 2 * x / (size + 1)
    window = window + window[::-1]  # Symmetric to the last bit.
    return window / (window.max() if normalize == "max" else window.sum())


def smooth(values: ArrayLike, window: ArrayLike, padding: str = "zero") -> np.ndarray:
    """Convolve values over the bins with a symmetric window.

    Args:
      values: `[num]`.
      window: odd and symmetric, `[size]`, see `kernel_window`.
      padding: `"zero"`: nothing beyond the ends (scipy `constant`); `"edge"`: mirrored
        with the end value repeated (numpy `symmetric`, scipy `reflect`); `"reflect"`:
        mirrored around the end value (numpy and torch `reflect`, scipy `mirror`).

    Returns:
      `[num]` float64.

    Raises:
      ValueError: for an unknown padding, no values, or an asymmetric window.

    Example:
      >>> smooth([0.0, 2.0, 0.0, 0.0], [0.5, 1.0, 0.5]).tolist()
      [1.0, 2.0, 1.0, 0.0]
    """
    checks.one_of("padding", padding, tuple(_PAD_MODES))
    values, window = np.asarray(values, np.float64), np.asarray(window, np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"values must be [num] with num >= 1, got {values.shape}.")
    if window.size % 2 == 0 or not np.allclose(window, window[::-1]):
        raise ValueError(f"the window must be odd and symmetric, got {window}.")
    half, num = window.size // 2, values.size
    padded, out = np.pad(values, half, _PAD_MODES[padding]), values * window[half]
    for k in range(half):  # Pairs, so that mirrored values give mirrored results.
        pair = padded[k : k + num] + padded[2 * half - k :][:num]
        out += pair * window[k]
    return out


def bin_density(
    counts: ArrayLike,
    scheme: str,
    *,
    clip: tuple[float, float] | None = (5, 1000),
    kernel: str | None = None,
    size: int = 5,
    sigma: float = 2.0,
    padding: str = "zero",
    truncate: bool = False,
    first_bin: int = 0,
) -> np.ndarray:
    """Effective label density of each bin: counts, clipped or rooted, then smoothed.

    Args:
      counts: `[num]` training counts, not negative, at least one above 0.
      scheme: `"inverse"` takes counts, `"sqrt_inverse"` their roots, `"none"` ones.
      clip: bounds on the counts under `"inverse"` (ages: 5 and 1000; STS-B-DIR and
        NYUD2-DIR: None). Roots are never clipped.
      kernel: see `kernel_window`, as `size` and `sigma`; None: no smoothing.
      size: taps of the kernel.
      sigma: spread of the kernel in bins.
      padding: see `smooth`. NYUD2-DIR uses `"edge"`, the others `"zero"`.
      truncate: under `"inverse"`, truncate smoothed counts to integers, as the public
        code does.
      first_bin: the kernel does not reach bins before this one; they get its density
        (NYUD2-DIR: 7, below which there is no depth).

    Returns:
      `[num]` float64; may be 0 in empty bins.

    Raises:
      ValueError: for counts that are negative or all 0, an unknown name, or a kernel
        together with the scheme `"none"`.

    Example:
      >>> bin_density([1, 4, 9, 0, 1], "inverse", kernel="gaussian", truncate=True)
      array([17., 22., 27., 22., 17.])
    """
    checks.one_of("scheme", scheme, ("none", "inverse", "sqrt_inverse"))
    density = np.asarray(counts, np.float64)
    if density.ndim != 1 or not (density >= 0).all() or not density.any():
        raise ValueError(f"counts must be [num] from 0, one above 0, got {density}.")
    if not 0 <= first_bin < density.size:
        raise ValueError(
            f"first_bin must be a bin from 0 to {density.size - 1}, got {first_bin}."
        )
    density = density[first_bin:]
    if not density.any():
        raise ValueError(
            f"first_bin must be at most the last bin with labels, got {first_bin}."
        )
    if scheme == "none":
        if kernel is not None:
            raise ValueError(f"scheme 'none' has no weights for kernel {kernel!r}.")
        return np.ones(first_bin + density.size)
    if scheme == "sqrt_inverse":
        density = np.sqrt(density)
    elif clip is not None:
        density = np.clip(density, *clip)
    if kernel is not None:
        density = smooth(density, kernel_window(kernel, size, sigma), padding)
    density = np.trunc(density) if truncate and scheme == "inverse" else density
    return np.pad(density, (first_bin, 0), mode="edge")


def histogram_prior(
    counts: ArrayLike, *, scheme: str = "inverse", first_bin: int = 0, **options: Any
) -> np.ndarray:
    """Share of the training labels in each bin, smoothed or not, for Balanced MSE.

    Args:
      counts: `[num]` training labels in each bin.
      scheme: "inverse" for shares of counts, "sqrt_inverse" for those of their roots;
        named after the weights of `lds`, which are the inverse.
      first_bin: bins before it have the value of this one, see `bin_density`.
      **options: others of `bin_density`; counts are not clipped.

    Returns:
      `[num]` float64 with sum 1. Bins without labels have a share if the kernel or
      `first_bin` gives them one.

    Raises:
      ValueError: for an option out of range, or labels below `first_bin`.

    Example:
      >>> histogram_prior([3, 0, 1]).tolist()
      [0.75, 0.0, 0.25]
      >>> histogram_prior([0, 4, 1], scheme="sqrt_inverse", first_bin=1)
      array([0.4, 0.4, 0.2])
    """
    checks.one_of("scheme", scheme, PRIORS)
    below = np.asarray(counts)[:first_bin]
    if below.any():
        raise ValueError(
            f"first_bin must have no labels below, got {first_bin} with "
            f"{below.sum():g} of them. Use the first bin that holds labels, or 0."
        )
    density = bin_density(counts, scheme, clip=None, first_bin=first_bin, **options)
    return density / density.sum()


def of_mean_one(weights: ArrayLike, counts: ArrayLike) -> np.ndarray:
    """Weights scaled to mean 1 over the training labels.

    Args:
      weights: `[num]`, or `[num, k]` for k weights of each bin, from 0.
      counts: `[num]` training labels in each bin.

    Returns:
      Same shape, float64.

    Example:
      >>> of_mean_one([1.0, 3.0], [3, 1]).round(3).tolist()
      [0.667, 2.0]
    """
    weights, counts = (np.asarray(x, np.float64) for x in (weights, counts))
    return weights * (counts.sum() / (weights.T * counts).T.sum(axis=0))


def bin_weights(counts: ArrayLike, scheme: str, **options: Any) -> np.ndarray:
    """Weight of each bin, 1 / density, scaled to mean 1 over the training examples.

    Args:
      counts: `[num]` training counts.
      scheme: see `bin_density`.
      **options: keywords of `bin_density`.

    Returns:
      `[num]` float64 with `sum(counts * weights) == sum(counts)`. A bin of density 0,
      which has no training example, gets the largest weight of the other bins.

    Raises:
      ValueError: see `bin_density`.

    Example:
      >>> bin_weights([1, 4, 9, 0, 1], "sqrt_inverse").round(6).tolist()
      [2.142857, 1.071429, 0.714286, 2.142857, 2.142857]
    """
    density = bin_density(counts, scheme, **options)
    inverse = 1 / np.where(density > 0, density, density[density > 0].min())
    return of_mean_one(inverse, counts)


def sample_weights(
    labels: ArrayLike,
    bins: Bins,
    scheme: str,
    *,
    counts: ArrayLike | None = None,
    **options: Any,
) -> np.ndarray:
    """Weight of each example: the weight of its bin.

    Args:
      labels: any shape.
      bins: the label bins.
      scheme: see `bin_density`.
      counts: `[num]` training counts. Default: those of `labels`.
      **options: keywords of `bin_density`.

    Returns:
      float32 of the labels' shape; mean 1 over the counted examples.

    Raises:
      ValueError: see `bin_density` and `Bins.index`.

    Example:
      >>> pair = Bins.uniform(width=1, origin=0, num=2)
      >>> sample_weights([0, 0, 1], pair, "inverse", clip=None).tolist()
      [0.75, 0.75, 1.5]
    """
    index = bins.index(labels)
    if counts is None:
        counts = np.bincount(index.ravel(), minlength=bins.num)
    return bin_weights(counts, scheme, **options).astype(np.float32)[index]


def dense_density(
    values: ArrayLike,
    counts: ArrayLike,
    at: ArrayLike,
    *,
    bandwidth: float | None = None,
) -> np.ndarray:
    """Gaussian kernel density of labels, see `kernel_density`, scaled to 0 to 1.

    It is 1 where it is largest and 0 where it is least, between the labels or up to
    four bandwidths beyond them.

    Args:
      values: `[n]`, where labels are.
      counts: `[n]` from 0, how many are there, one above 0.
      at: where it is wanted, any shape; further beyond the labels, that of four
        bandwidths.
      bandwidth: deviation of the kernel, above 0. Default: `1.06 std n^(-1/5)`.

    Returns:
      float64 of the shape of `at`, from 0 to 1.

    Raises:
      ValueError: for counts or a bandwidth out of range.

    Example:
      >>> dense_density([0, 1, 9], [5, 5, 1], [0.5, 9.0], bandwidth=1.0).round(2)
      array([1.  , 0.11])
    """
    values, counts = (np.asarray(x, np.float64).ravel() for x in (values, counts))
    if values.size != counts.size or not (counts >= 0).all() or not counts.any():
        raise ValueError(f"counts must be [n] from 0, one above 0, got {counts}.")
    values, counts = values[counts > 0], counts[counts > 0]
    total = counts.sum()
    mean = values @ counts / total
    std = math.sqrt((values - mean) ** 2 @ counts / total)
    # If all labels are equal, any width will do.
    usual = 1.06 * std * total**-0.2 or 1.0
    wide = usual if bandwidth is None else float(bandwidth)
    checks.positive("bandwidth", wide)
    grid, density = kernel_density(values, counts, bandwidth=wide)
    least, most = values.min() - _REACH * wide, values.max() + _REACH * wide
    near = (grid >= least) & (grid <= most)
    grid, density = grid[near], density[near]
    density = (density - density.min()) / (density.max() - density.min())
    return np.interp(np.asarray(at, np.float64), grid, density)


def dense_weights(
    values: ArrayLike,
    counts: ArrayLike,
    at: ArrayLike,
    *,
    alpha: float = 1.0,
    eps: float = 1e-6,
    bandwidth: float | None = None,
) -> np.ndarray:
    """DenseWeight: `max(1 - alpha density, eps)`, scaled to mean 1 over the labels.

    Args:
      values: see `dense_density`, as `counts`, `at` and `bandwidth`.
      counts: see there.
      at: where weights are wanted.
      alpha: from 0, which gives equal weights. Above 1, dense regions get `eps`.
      eps: the smallest weight, before scaling, above 0.
      bandwidth: see there.

    Returns:
      float64 of the shape of `at`.

    Raises:
      ValueError: for an option out of range.

    Example:
      >>> y = [0, 0.1, 0.2, 0.3, 1, 2]
      >>> dense_weights(y, [2, 1, 2, 1, 1, 1], [0, 2], alpha=0.5).round(2)
      array([0.88, 1.51])
    """
    checks.positive("alpha", alpha, zero=True)
    checks.positive("eps", eps)

    def raw(at):
        density = dense_density(values, counts, at, bandwidth=bandwidth)
        return np.maximum(1 - alpha * density, eps)

    held = np.asarray(counts, np.float64)
    return raw(at) * (held.sum() / (raw(values) * held).sum())
