"""Halving bins by counts, against intervals as lists; pooling over intervals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from dirjax.ops import intervals
from tests import toy

RNG = np.random.default_rng(0)
# Published example: ages 0 to 8.
AGES = [100, 200, 400, 200, 200, 100, 100, 50, 50]


def by_lists(counts, levels):
    """Starts of the intervals after each round, one interval at a time."""
    rows, now = [], [(0, len(counts))]
    for _ in range(levels):
        after = []
        for low, high in now:
            keys = [k for k in range(low, high) if counts[k] > 0]
            if len(keys) < 2:
                after.append((low, high))
                continue
            half = sum(counts[k] for k in keys) / 2
            away = [
                abs(sum(counts[j] for j in keys if j <= k) - half) for k in keys[:-1]
            ]
            cut = keys[away.index(min(away)) + 1]
            after += [(low, cut), (cut, high)]
        now = after
        rows.append([low for low, _ in now])
    return rows


def starts(place):
    return [np.unique(row, return_index=True)[1].tolist() for row in place]


def test_the_published_example():
    found = starts(intervals.halvings(AGES, 3))
    assert found[:2] == [[0, 3], [0, 2, 3, 5]]
    assert len(found[2]) == 7


def test_random_counts():
    for size in (2, 5, 40):
        counts = RNG.integers(0, 30, size) * RNG.integers(0, 2, size)
        found = intervals.halvings(counts, 4)
        want, seen = [], 1
        for row in by_lists(counts, 4):
            if len(row) in (seen, size):
                break
            want.append(row)
            seen = len(row)
        assert starts(found) == want
        assert found.shape == (len(want), size)


@pytest.mark.parametrize("counts", [[0, 0, 0], [0, 5, 0], [3, 2], [7]])
def test_nothing_to_halve(counts):
    """No label, one bin with labels, and bins that are the first halves themselves."""
    assert intervals.halvings(counts, 6).shape == (0, len(counts))


def test_rare_labels_have_more_classes_by_roots():
    counts = np.array([400, 100, 100, 25, 25, 25])
    assert starts(intervals.halvings(counts, 1)) == [[0, 1]]
    assert starts(intervals.halvings(np.sqrt(counts), 1)) == [[0, 2]]


PLACE = np.array([0, 0, 1, 2, 2, 2])


def by_hand(fn, values):
    return np.stack([fn(values[..., k == PLACE], axis=-1) for k in range(3)], -1)


@pytest.mark.parametrize(
    ("pool", "fn"),
    [
        (intervals.sums, np.sum),
        (intervals.maxima, np.max),
        (intervals.log_sums, special.logsumexp),
    ],
)
def test_pooling(pool, fn):
    values = RNG.normal(size=(2, 3, 6)) * 30
    got = toy.jit(lambda x, at: pool(x, at, 3))(np.float32(values), PLACE)
    np.testing.assert_allclose(got, by_hand(fn, values), rtol=1e-5)


def test_gradients_at_ties_and_far_away():
    tied = jnp.array([1.0, 1.0, 0.0, -500.0, -500.0, -900.0])
    for pool in (intervals.maxima, intervals.log_sums):
        fn = jax.grad(lambda x, pool=pool: pool(x, PLACE, 3).sum())
        np.testing.assert_allclose(toy.jit(fn)(tied), [0.5, 0.5, 1, 0.5, 0.5, 0])
