"""Relevance of labels by control points."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax.labels import relevance


def test_relevance_by_hand():
    # Sorted: box from 2.5 to 7.5, median 5, whiskers 0 and 10, outliers 30 and -20.
    train = [-20, 0, 2, 3, 4, 5, 6, 7, 8, 10, 30]
    asked = np.array([[-99.0, -20, 0, 2.5, 5], [6, 7.5, 10, 30, 99]])
    low, high = 0.5, 0.2**2 * (3 - 2 * 0.2)
    expected = [[1, 1, 1, low, 0], [high, 0.5, 1, 1, 1]]
    np.testing.assert_allclose(relevance.relevance(train, asked), expected)
    upper = relevance.relevance(train, asked, side="high")
    np.testing.assert_allclose(upper, [[0] * 5, expected[1]])
    lower = relevance.relevance(train, asked, side="low")
    np.testing.assert_allclose(lower, [expected[0], [0] * 5])


def test_relevance_without_outliers_or_spread():
    assert not relevance.relevance(np.arange(11), np.arange(-5, 20)).any()
    assert not relevance.relevance([0, 1], [-5, 0, 1]).any()
    steps = relevance.relevance([5] * 9 + [6], [4.9, 5, 5.1, 6])
    assert steps.tolist() == [0, 0, 1, 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=30))
def test_relevance_rises_from_the_median(values):
    asked = np.sort(np.array([*values, *range(-1100, 1100, 50)]))
    phi = relevance.relevance(values, asked)
    assert phi.min() >= 0
    assert phi.max() <= 1
    rising = phi[asked >= np.median(values)]
    falling = phi[asked <= np.median(values)]
    assert (np.diff(rising) >= 0).all()
    assert (np.diff(falling) <= 0).all()
    moved = relevance.relevance(np.array(values) * 2 + 7, asked * 2 + 7)
    np.testing.assert_allclose(moved, phi, atol=1e-12)
