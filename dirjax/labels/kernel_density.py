"""Gaussian kernel density of labels, for DenseWeight and relevance by rarity.

Labels are divided between the two nearest points of a grid that is far finer than the
bandwidth, and a Fourier transform adds their kernels, so that labels far from all
others have their density, too. Deviations: none, this module is dirjax's own.
"""

from __future__ import annotations

import numpy as np

# Points of the grid for each bandwidth, and at most between the labels.
_FINE, _MOST = 200, 1 << 21
_REACH = 8  # bandwidths from which on a kernel is 0


def kernel_density(
    labels: np.ndarray, counts: np.ndarray | None = None, *, bandwidth: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the Gaussian kernels of labels, of height 1 each, on a fine grid.

    Args:
      labels: `[n]` finite, where labels are.
      counts: `[n]` from 0, how many are there. Default: 1.
      bandwidth: deviation of the kernel, above 0.

    Returns:
      The grid `[points]`, ascending, from at least 8 bandwidths below the least label
      to as far above the largest, and the density there. It is interpolated to about
      1e-5 of a kernel, unless labels span more than 10,000 bandwidths.

    Example:
      >>> grid, density = kernel_density(np.array([0.0, 9.0]), bandwidth=1.0)
      >>> np.interp([0.0, 1.0, 9.0], grid, density).round(3).tolist()
      [1.0, 0.607, 1.0]
    """
    low, high = labels.min(), labels.max()
    step = max(bandwidth / _FINE, (high - low) / _MOST)
    place = (labels - low) / step
    cell = place.astype(np.int64)
    share, size = place - cell, int(cell.max()) + 2
    counts = np.ones(len(labels)) if counts is None else counts
    mass = np.bincount(cell, (1 - share) * counts, size)
    mass += np.bincount(cell + 1, share * counts, size)
    reach = int(np.ceil(_REACH * bandwidth / step))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / bandwidth) ** 2)
    total = size + 2 * reach
    spectrum = np.fft.rfft(mass, total) * np.fft.rfft(kernel, total)
    density = np.fft.irfft(spectrum, total)
    return low + step * np.arange(-reach, size + reach), density
