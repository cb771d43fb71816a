"""Relevance of labels by box plot, control points and density."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax.labels import relevance
from tests.labels import golden


@pytest.mark.parametrize("case", golden.cases("smogn_phi"))
def test_relevance_of_the_public_package(case):
    y, options = case["in.y"], {}
    if "in.manual" in case:
        options["control_points"] = case["in.manual"]
    else:
        side = ("both", "high", "low")[int(case["p.xtrm_type"])]
        options = {"coef": float(case["p.coef"]), "side": side}
    found = relevance.relevance(y, y, **options)
    if "p.raises" in case:  # it takes no points without slopes
        assert np.ptp(found) > 0
        return
    # A whisker that is the median makes all of its labels rare there.
    same = (y == np.median(y)) & ("in.manual" not in case)
    want = np.where(same, 0, case["out.phi"])
    np.testing.assert_allclose(found, want, atol=1e-12)


@pytest.mark.parametrize("case", golden.cases("resreg_relevance_scores")[3:5])
def test_density_relevance_of_the_public_package(case):
    y, width = case["in.y"], float(case["p.bandwidth"])
    found = relevance.density_relevance(y, y, bandwidth=width)
    np.testing.assert_allclose(found, case["out.relevance"], atol=1e-5)


@pytest.mark.parametrize("case", golden.cases("resreg_relevance_scores")[:3])
def test_sigmoid_relevance_of_the_public_package(case):
    cuts = {"low": float(case["p.cl"]), "high": float(case["p.ch"])}
    cuts = {side: cut for side, cut in cuts.items() if not np.isnan(cut)}
    found = relevance.sigmoid_relevance(case["in.y"], case["in.y"], **cuts)
    np.testing.assert_allclose(found, case["out.relevance"], rtol=1e-9, atol=1e-15)


def test_sigmoid_relevance_by_hand():
    y = np.array([-3.0, 1.0, 2.0])  # mean 0, deviation sqrt(14 / 3)
    beyond, slope = 1e-3 * np.sqrt(14 / 3), np.log(1e4 - 1)
    asked = np.array([[-9.0, -1.5], [0.0, 4.0]])
    below, above = -2 - beyond, 1 + beyond
    low = 1 / (1 + np.exp(slope / abs(below) * (asked - below)))
    high = 1 / (1 + np.exp(-slope / above * (asked - above)))
    options = {"low": -2.0, "high": 1.0}
    found = relevance.sigmoid_relevance(y, asked, **options)
    np.testing.assert_allclose(found, low + high, rtol=1e-12)
    # Sides that meet do not exceed 1, and far labels do not overflow.
    found = relevance.sigmoid_relevance(y, [0.5, -1e9, 1e9], low=1.0, high=0.2)
    assert found.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="give low, high or both"):
        relevance.sigmoid_relevance(y, asked)
    with pytest.raises(ValueError, match="other than 0, got 0"):
        relevance.sigmoid_relevance([1.0, 1.0], asked, high=0.0)


def test_density_relevance_is_one_minus_the_scaled_density():
    rng = np.random.default_rng(0)
    y = rng.lognormal(size=150)
    asked = np.array([[0.3, 1.0], [2.5, 50.0]])
    spread = min(y.std(), np.subtract(*np.quantile(y, [0.75, 0.25])) / 1.34)
    width = 0.9 * spread * 150**-0.2

    def density(x):
        return sum(np.exp(-0.5 * ((x - v) / width) ** 2) for v in y)

    low, high = density(y).min(), density(y).max()
    want = np.clip(1 - (density(asked) - low) / (high - low), 0, 1)
    found = relevance.density_relevance(y, asked)
    np.testing.assert_allclose(found, want, atol=1e-5)
    assert not relevance.density_relevance([3, 3, 3], [3, 4]).any()
    assert not relevance.density_relevance([1, 3], [1, 3]).any()
    with pytest.raises(ValueError, match="bandwidth must be"):
        relevance.density_relevance(y, y, bandwidth=0)


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
