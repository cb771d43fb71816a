"""Balanced splits: validation and test nearly balanced, training still imbalanced.

The rules follow AgeDB-DIR (rows) and NYUD2-DIR (pixels): Yang et al., "Delving into
Deep Imbalanced Regression", ICML 2021, https://arxiv.org/abs/2102.09554.

**Deviations**: the published split depends on the order of a directory listing; here it
depends only on seed and keys. The published pixel mask was drawn without a seed; only
its file gives the published numbers.
"""

import hashlib

import numpy as np
from numpy.typing import ArrayLike

from dirjax.labels import Bins

# Position of a split in train, val and test, by its names in all libraries.
PARTS = {
    **{"train": 0, "training": 0},
    **{"val": 1, "validation": 1, "valid": 1, "dev": 1, "development": 1},
    **{"test": 2, "testing": 2},
}


def _mix(x: np.ndarray) -> np.ndarray:
    """splitmix64 (Steele et al., 2014): a one-to-one scrambling of 64 bits."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def balanced_split(
    labels: ArrayLike,
    bins: Bins,
    *,
    denominator: int = 3,
    cap: int = 30,
    seed: int,
    keys: ArrayLike | None = None,
    numerator: int = 1,
) -> np.ndarray:
    """Split into train, validation and test by AgeDB-DIR's rule.

    From a bin with n examples, `min(n // denominator, cap)` go to validation and as
    many to test: both are nearly balanced, and training keeps the imbalance. The split
    of an example depends on its key, the seed and the other examples of its bin, not on
    row order.

    Args:
      labels: `[n]`.
      bins: the label bins.
      denominator: 2 or more, of the share of a bin that goes to each; also the size of
        the smallest bin that gives examples away.
      cap: most examples of a bin in validation, and in test.
      seed: any integer.
      keys: `[n]` distinct integers or strings (file names). Default: row numbers.
      numerator: of that share, which is at most a half.

    Returns:
      `[n]` int8: 0 train, 1 validation, 2 test.

    Raises:
      ValueError: if keys repeat, shapes differ, or denominator or cap are too small.

    Example:
      >>> one = Bins.uniform(width=1, origin=7, num=1)
      >>> np.bincount(balanced_split([7] * 9, one, seed=0)).tolist()
      [3, 3, 3]
    """
    if denominator < 2 * numerator or cap < 0:
        raise ValueError(
            f"need a share of at most 1/2 and cap >= 0, got {numerator}/{denominator} "
            f"and {cap}."
        )
    index = bins.index(labels)
    names = np.arange(index.size) if keys is None else np.asarray(keys)
    if index.ndim != 1 or names.shape != index.shape:
        raise ValueError(f"need [n] labels and keys, got {index.shape}, {names.shape}.")
    if names.dtype.kind in "biu":
        numbers = names.astype(np.uint64)
    else:
        digests = [hashlib.blake2b(str(k).encode(), digest_size=8) for k in names]
        numbers = np.frombuffer(b"".join(d.digest() for d in digests), "<u8")
    hashes = _mix(_mix(np.array([seed % 2**64], np.uint64)) ^ numbers)
    by_hash = np.argsort(hashes)
    if np.any(np.diff(hashes[by_hash]) == 0):  # Hashing is one-to-one for integers.
        raise ValueError("keys must be distinct; leave them out to use row numbers.")
    # Short integers use radix sort, which is many times faster.
    small = index.astype(np.uint16) if bins.num < 1 << 16 else index
    order = by_hash[np.argsort(small[by_hash], kind="stable")]
    counts = np.bincount(index, minlength=bins.num)
    rank = np.arange(index.size) - (np.cumsum(counts) - counts)[index[order]]
    share = np.minimum(counts * numerator // denominator, cap)[index[order]]
    parts = np.empty(index.size, np.int8)
    parts[order] = np.where(rank < share, 1, np.where(rank < 2 * share, 2, 0))
    return parts


def balanced_group_split(
    labels: ArrayLike,
    bins: Bins,
    groups: ArrayLike,
    *,
    denominator: int = 3,
    cap: int = 30,
    seed: int,
    numerator: int = 1,
) -> np.ndarray:
    """A split as near to `balanced_split` as whole groups allow.

    Each bin has the same quota for validation and for test as there. Groups are taken
    in an order drawn with the seed, first for test and then for validation, each if it
    brings the counts nearer to the quotas, where a row of a bin counts by one over the
    quota of the bin: rare labels matter as much as frequent ones.

    Args:
      labels: `[n]`.
      bins: the label bins.
      groups: `[n]` strings or numbers, such as the person of each row.
      denominator: see `balanced_split`.
      cap: see `balanced_split`.
      seed: any integer.
      numerator: see `balanced_split`.

    Returns:
      `[n]` int8: 0 train, 1 validation, 2 test; rows of one group have the same.

    Example:
      >>> part = balanced_group_split(
      ...     [7] * 9, Bins.uniform(width=1, origin=7, num=1), list("aaabbbccc"), seed=0
      ... )
      >>> sorted(part.reshape(3, 3).tolist())
      [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    """
    index = bins.index(labels)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if group.shape != index.shape or index.ndim != 1:
        raise ValueError(
            f"need [n] labels and groups, got {index.shape}, {group.shape}."
        )
    counts = np.bincount(index, minlength=bins.num)
    quota = np.minimum(counts * numerator // denominator, cap)
    weight = 1 / np.maximum(quota, 1)
    # Bins that a group has, and how often, as pieces of two arrays.
    pairs, often = np.unique(group * bins.num + index, return_counts=True)
    starts = np.searchsorted(pairs, np.arange(len(names) + 1) * bins.num)
    digests = [hashlib.blake2b(str(k).encode(), digest_size=8) for k in names]
    keys = np.frombuffer(b"".join(d.digest() for d in digests), "<u8")
    order = np.argsort(_mix(_mix(np.array([seed % 2**64], np.uint64)) ^ keys))
    part_of_group = np.zeros(len(names), np.int8)
    for part in (2, 1):
        missing = quota.astype(np.int64)
        for g in order:
            if part_of_group[g]:
                continue
            here = slice(starts[g], starts[g + 1])
            at, count = pairs[here] % bins.num, often[here]
            nearer = np.abs(missing[at]) - np.abs(missing[at] - count)
            if nearer @ weight[at] > 0:
                part_of_group[g] = part
                missing[at] -= count
    return part_of_group[group]


def hold_out(groups: ArrayLike, share: float, *, seed: int) -> np.ndarray:
    """Holds out whole groups, so that no group is on both sides.

    Takes groups in an order drawn with the seed, as long as they fit.

    Args:
      groups: `[n]` strings or integers, the group of each row, for example its scene.
      share: largest share of rows to hold out, in [0, 1).
      seed: any integer from 0.

    Returns:
      `[n]` bool; for a share above 0, at least one group is held out and one is kept.

    Raises:
      ValueError: for a share out of range, or fewer than two groups to choose from.

    Example:
      >>> hold_out(["hall", "hall", "attic"], 0.4, seed=0).tolist()
      [False, False, True]
    """
    names, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if not 0 <= share < 1:
        raise ValueError(f"the share must be in [0, 1), got {share}.")
    if share == 0:
        return np.zeros(len(group), bool)
    if len(names) < 2:
        raise ValueError(f"holding out needs at least two groups, got {names}.")
    order = np.random.Generator(np.random.Philox(key=[seed, 2])).permutation(len(names))
    left, chosen = share * len(group), np.zeros(len(names), bool)
    for number in order:
        if sizes[number] <= left:
            chosen[number] = True
            left -= sizes[number]
    if not chosen.any():
        chosen[np.argmin(sizes)] = True
    return chosen[group]


def balanced_mask(
    bins: ArrayLike, mask: ArrayLike | None = None, *, seed: int
) -> np.ndarray:
    """Selects the same number of labels from each bin, as NYUD2-DIR tests depth.

    Each non-empty bin gives as many labels as the smallest one has, drawn at random
    over all images, so that the mean over the test set is the mean over bins.

    Args:
      bins: int from 0, any shape, for example `[rows, height, width]`: the bin of each
        label.
      mask: same shape, bool, which labels may be drawn. Default: all.
      seed: any integer from 0.

    Returns:
      Bool of the same shape.

    Raises:
      ValueError: if the shapes differ or the mask is empty.

    Example:
      >>> balanced_mask([[0, 0, 3], [3, 0, 5]], [[1, 1, 1], [1, 1, 0]], seed=0).sum()
      np.int64(4)
    """
    bins = np.asarray(bins)
    real = np.ones(bins.shape, bool) if mask is None else np.asarray(mask, bool)
    if real.shape != bins.shape or not real.any():
        raise ValueError(
            f"need bins and a mask of one shape, not all False, got {bins.shape} and "
            f"{real.shape} with {real.sum()} True."
        )
    rng = np.random.Generator(np.random.Philox(key=[seed, 2]))
    place = rng.permutation(np.flatnonzero(real))
    index = bins.ravel()[place]
    # Short integers use radix sort, which is many times faster.
    short = index.astype(np.uint16) if index.max() < 1 << 16 else index
    order = np.argsort(short, kind="stable")
    counts = np.bincount(index)
    rank = np.arange(index.size) - (np.cumsum(counts) - counts)[index[order]]
    out = np.zeros(bins.size, bool)
    out[place[order[rank < counts[counts > 0].min()]]] = True
    return out.reshape(bins.shape)
