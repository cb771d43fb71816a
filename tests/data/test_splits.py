"""Random splits: by keys, whatever the order of rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax import labels
from dirjax.data import splits


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(0, 4), min_size=1, max_size=80),
    seed=st.integers(-5, 2**70),
    words=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_split_follows_keys_not_rows(values, seed, words, order):
    bins = labels.Bins.uniform(width=1, origin=0, num=5)
    keys = np.arange(len(values)) * 7 - 20
    keys = np.array([f"file{k}.jpg" for k in keys]) if words else keys
    values = np.array(values)

    def split(rows):
        return splits.balanced_split(
            values[rows], bins, denominator=3, cap=4, seed=seed, keys=keys[rows]
        )

    parts = split(np.arange(len(values)))
    assert parts.dtype == np.int8
    for value in range(5):
        n = int((values == value).sum())
        share = min(n // 3, 4)
        sizes = np.bincount(parts[values == value], minlength=3).tolist()
        assert sizes == [n - 2 * share, share, share]
    mixed = np.array(order.sample(range(len(values)), len(values)))
    np.testing.assert_array_equal(split(mixed), parts[mixed])
    others = values != values[0]  # Other bins do not matter.
    if others.any():
        np.testing.assert_array_equal(split(np.nonzero(others)[0]), parts[others])


def test_split_seeds_and_keys_matter():
    bins = labels.Bins.uniform(width=1, origin=0, num=1)
    values = np.zeros(90)
    parts = [splits.balanced_split(values, bins, seed=seed) for seed in range(40)]
    assert len({p.tobytes() for p in parts}) == 40
    test_share = np.mean([p == 2 for p in parts], axis=0)
    assert test_share.min() > 0.05
    assert test_share.max() < 0.7
    with pytest.raises(ValueError, match="distinct"):
        splits.balanced_split([0, 0], bins, seed=0, keys=["a", "a"])
    with pytest.raises(ValueError, match=r"need \[n\] labels"):
        splits.balanced_split([0, 0], bins, seed=0, keys=[1])
    with pytest.raises(ValueError, match="a share of at most 1/2"):
        splits.balanced_split([0, 0], bins, seed=0, denominator=1)


def test_split_is_frozen():
    """Splits must not change with a version: published runs name only the seed."""
    bins = labels.Bins.uniform(width=1, origin=0, num=2)
    parts = splits.balanced_split([0, 1] * 6, bins, seed=1)
    assert "".join(map(str, parts)) == "202200121101"
    parts = splits.balanced_split([0] * 6, bins, seed=1, keys=list("abcdef"))
    assert "".join(map(str, parts)) == "120021"
