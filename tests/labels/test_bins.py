"""Bins: edges in exact arithmetic, and where labels fall."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax import labels
from dirjax.labels import relevance, weights


@pytest.mark.parametrize("width", ["0.1", "0.05", "0.2", "0.25", "0.001", "7", "0.3"])
@pytest.mark.parametrize("origin", ["0", "-1.3", "100.07"])
def test_edges_are_the_literals_and_open_their_bin(width, origin):
    bins = labels.Bins.uniform(width=float(width), origin=float(origin), num=300)
    literals = [float(Fraction(origin) + k * Fraction(width)) for k in range(301)]
    assert bins.edges.tolist() == literals
    np.testing.assert_array_equal(bins.index(literals[:-1]), np.arange(300))
    below = np.nextafter(literals[1:], -np.inf)
    np.testing.assert_array_equal(bins.index(below), np.arange(300))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_lower_precision_labels_reach_the_edge_they_name(dtype):
    bins = labels.Bins.uniform(width=0.1, origin=0, num=50)
    named = np.array([k / 10 for k in range(50)], dtype)
    np.testing.assert_array_equal(bins.index(named), np.arange(50))


def test_lower_precision_keeps_edges_that_would_collapse():
    bins = labels.Bins.uniform(width=1, origin=2_000_000_000, num=300)
    found = bins.index(np.array([2_000_000_128], np.float32))
    assert found.tolist() == [128]


def test_float32_edges_lower_float64_labels():
    bins = labels.Bins.uniform(width=0.1, origin=0, num=50, dtype=np.float32)
    assert bins.edges.dtype == np.float32
    np.testing.assert_array_equal(bins.index(np.arange(51) / 10), [*range(50), 49])
    assert bins.index([1e300, -1e300]).tolist() == [49, 0]


@settings(max_examples=200, deadline=None)
@given(
    width=st.decimals("0.001", "50", places=3),
    origin=st.decimals("-100", "100", places=3),
    num=st.integers(1, 200),
    position=st.lists(st.floats(-3, 210), min_size=1, max_size=30),
)
def test_index_is_searchsorted(width, origin, num, position):
    bins = labels.Bins.uniform(width=float(width), origin=float(origin), num=num)
    asked = float(origin) + float(width) * np.array(position)
    asked = np.concatenate([asked, bins.edges, np.nextafter(bins.edges, -np.inf)])
    expected = np.searchsorted(bins.edges, asked, side="right") - 1
    np.testing.assert_array_equal(bins.index(asked), expected.clip(0, num - 1))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.uint64, int])
@pytest.mark.parametrize("origin", [0, -3, 0.5])
def test_integer_labels(dtype, origin):
    bins = labels.Bins.uniform(width=1, origin=origin, num=5)
    values = np.array([0, 1, 1, 0, 1] if dtype is bool else [0, 1, 2, 4, 100], dtype)
    expected = [min(max(math.floor(int(v) - origin), 0), 4) for v in values]
    found = bins.index(values)
    assert found.tolist() == expected
    assert found.dtype == np.int32


def test_irregular_edges_and_shapes():
    bins = labels.Bins(np.array([-10, -1, 0, 0.5, 100]))
    asked = np.array([[-11.0, -10.0, -1.5], [0.49, 0.5, 100.0]])
    assert bins.index(asked).tolist() == [[0, 0, 0], [2, 3, 3]]
    assert bins.index(-0.5).shape == ()
    np.testing.assert_array_equal(bins.centers, [-5.5, -0.5, 0.25, 50.25])
    with pytest.raises(ValueError, match="read-only"):
        bins.edges[0] = 3


def test_covering():
    cover = labels.Bins.covering
    assert cover([0.3, 0.7], width=0.1).edges.tolist() == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    same = cover(np.array([0.3, 0.7], np.float32), width=0.1)
    assert same.edges.tolist() == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert cover([-7, 4], width=5).edges.tolist() == [-10, -5, 0, 5]
    assert cover([3], width=2, origin=1).edges.tolist() == [1, 3, 5]
    assert cover([3, 50], width=2, label_range=(0, 5)).edges.tolist() == [0, 2, 4, 6]
    assert cover([3], width=1, label_range=(0, 121)).num == 121
    assert cover([1.0], width=1 / 3).index([1.0]).tolist() == [0]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20),
    st.floats(0.05, 100),
)
def test_covering_puts_every_label_between_its_edges(values, width):
    bins = labels.Bins.covering(values, width=width)
    index = bins.index(values)
    assert (bins.edges[index] <= values).all()
    assert (values <= bins.edges[index + 1]).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: labels.Bins.covering([1.0], width=0), "width must be above 0"),
        (lambda: labels.Bins.covering([1.0], width=-1), "width must be above 0"),
        (lambda: labels.Bins.uniform(width=-1, origin=0, num=2), "above 0"),
        (lambda: labels.Bins.uniform(width=math.nan, origin=0, num=2), "finite"),
        (lambda: labels.Bins.uniform(width=1, origin=0, num=0), "1 to 10000000 bins"),
        (lambda: labels.Bins.covering([0, 1e9], width=0.1), "got 10000000001 of width"),
        (lambda: labels.Bins.covering([1.0, np.nan], width=1), "nan at row 1"),
        (lambda: labels.Bins.covering([[1, 2], [3, np.inf]], width=1), r"row \[1, 1\]"),
        (lambda: labels.Bins.covering(np.nan, width=1), "nan at row 0"),
        (lambda: labels.Bins.covering([], width=1), "at least one"),
        (lambda: labels.Bins.covering(["a"], width=1), "must be numbers"),
        (lambda: labels.Bins.covering([7], width=1, label_range=(0, 5)), "from 7 to 7"),
        (lambda: labels.Bins.covering([7], width=1, label_range=(9, 5)), "low, high"),
        (lambda: labels.Bins.covering([7], width=1, origin=9), "change the bin width"),
        (lambda: labels.Bins(np.array([0, 1, 1, 2.0])), "increase, got 1.0 before 1.0"),
        (lambda: labels.Bins(np.array([0, 2, 1.0])), "got 2.0 before 1.0"),
        (lambda: labels.Bins(np.array([0.0])), "two or more"),
        (lambda: labels.Bins(np.array([0.0, np.inf])), "finite"),
        (lambda: weights.kernel_window("box", 5), "got 'box'"),
        (lambda: weights.kernel_window("triang", 4), "odd"),
        (lambda: weights.kernel_window("laplace", 5, 0), "sigma above 0"),
        (lambda: weights.kernel_window("laplace", 5, normalize="l2"), "max, sum"),
        (lambda: weights.smooth([1, 2], [1, 2, 3]), "symmetric"),
        (lambda: weights.smooth([], [1]), "num >= 1"),
        (lambda: weights.smooth([1], [1], "wrap"), "zero, edge, reflect"),
        (lambda: weights.bin_weights([0, 0], "inverse"), "one above 0"),
        (lambda: weights.bin_weights([-1, 2], "inverse"), "from 0"),
        (lambda: weights.bin_weights([1], "sqrt"), "sqrt_inverse, got 'sqrt'"),
        (lambda: weights.bin_weights([1], "none", kernel="triang"), "no weights"),
        (lambda: labels.shot_groups([1], many=5, few=9), "exceed"),
        (lambda: labels.shot_groups([1], explicit={"medium": [0]}), "'medium'"),
        (lambda: labels.shot_groups([1, 2], explicit={"many": [0]}), r"bins \[1\]"),
        (lambda: labels.shot_groups([1], explicit={"few": [0, 0, 4]}), r"\[0, 4\]"),
        (lambda: relevance.relevance([1], [1], side="left"), "both, high, low"),
    ],
)
def test_errors_say_what_to_do(call, says):
    with pytest.raises(ValueError, match=says):
        call()
