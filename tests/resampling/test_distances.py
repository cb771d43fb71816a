"""HEOM, neighbours and median distances against loops over rows."""

import numpy as np
import pytest

from dirjax.resampling import distances, segments, synthetic
from tests.resampling import reference


def mixed(rows=40, seed=0):
    """Numbers, codes, and both as rows of the reference."""
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(rows, 3)) * [1, 10, 0.1]
    codes = rng.integers(0, 3, (rows, 2))
    return numeric, codes, np.concatenate([numeric, codes], axis=1).tolist()


NUMERIC = [True] * 3 + [False] * 2


def test_points_neighbours_and_medians_are_those_of_heom():
    numeric, codes, rows = mixed()
    span = np.ptp(numeric, axis=0)
    every = [*span, 1, 1]
    table = distances.points(numeric, codes, span)
    near = distances.neighbours(table, 4)
    some = np.array([0, 3, 39])
    half = distances.half_medians(table, some, np.random.default_rng(0))
    for i in range(len(rows)):
        assert i not in near[i]
        found = [reference.heom(rows[i], rows[j], NUMERIC, every) for j in near[i]]
        want = reference.nearest(rows, i, 4, NUMERIC, every)
        np.testing.assert_allclose(sorted(found), want, rtol=1e-12)
    want = [reference.half_median(rows, i, NUMERIC, every) for i in some]
    np.testing.assert_allclose(half, want, rtol=1e-9)
    odd = distances.half_medians(
        table.take(np.arange(39)), some[:2], np.random.default_rng(0)
    )
    want = [reference.half_median(rows[:39], i, NUMERIC, every) for i in some[:2]]
    np.testing.assert_allclose(odd, want, rtol=1e-9)


def dense(table):
    return distances.Points(table, np.empty((len(table), 0), int))


@pytest.mark.parametrize("width", [2, 12])
def test_many_equal_rows_are_neighbours_and_never_their_own(width):
    near = distances.neighbours(dense(np.zeros((300, width))), 5)
    assert near.shape == (300, 5)
    assert not (near == np.arange(300)[:, None]).any()
    assert (np.diff(np.sort(near, axis=1)) > 0).all()
    assert distances.neighbours(dense(np.zeros((3, width))), 5).shape == (3, 2)


@pytest.mark.parametrize("width", [1, 10, 11, 40])
def test_the_tree_and_the_search_among_all_find_the_same(width, monkeypatch):
    monkeypatch.setattr(distances, "_BLOCK", 1 << 14)  # several blocks
    table = dense(np.random.default_rng(width).normal(size=(700, width)))
    found = distances.neighbours(table, 7)
    np.testing.assert_array_equal(found, distances._by_tree(table.dense, 7))
    np.testing.assert_array_equal(found, distances._among_all(table, 7))


def test_columns_of_many_categories_are_compared(monkeypatch):
    """17 categories and more are not coordinates; distances are the same."""
    rng = np.random.default_rng(0)
    numeric = rng.normal(size=(90, 2))
    codes = np.stack([rng.integers(0, m, 90) for m in (1, 2, 9, 40, 90)], axis=1)
    found = distances.points(numeric, codes, np.ones(2))
    assert found.dense.shape == (90, 2 + 1 + 9)
    assert found.codes.shape == (90, 2)
    rows = np.concatenate([numeric, codes], axis=1).tolist()
    kinds = [True] * 2 + [False] * 5
    want = [[reference.heom(a, b, kinds, [1] * 7) ** 2 for b in rows] for a in rows]
    np.testing.assert_allclose(distances.squares(found, found), want, atol=1e-12)
    turned = found.take(np.roll(np.arange(90), 1))
    away = distances.apart(found, turned) ** 2
    np.testing.assert_allclose(away, np.diag(np.roll(want, 1, axis=1)), atol=1e-12)
    near = distances.neighbours(found, 4)
    away = np.take_along_axis(np.array(want), near, axis=1)
    every = np.array(want) + np.diag([np.inf] * 90)
    np.testing.assert_allclose(away, np.sort(every, axis=1)[:, :4], atol=1e-12)


def test_rounding_does_not_blur_neighbours_far_from_zero():
    table = np.array([[1e9], [1e9 + 1], [1e9 + 3], [1e9 + 7]]) + np.zeros((1, 11))
    found = distances.points(table, np.empty((4, 0), int), np.ones(11))
    assert distances.neighbours(found, 1).ravel().tolist() == [1, 0, 1, 2]


def test_a_median_over_a_sample_is_close(monkeypatch):
    table = dense(np.random.default_rng(1).normal(size=(600, 4)))
    rows = np.arange(20)
    whole = distances.half_medians(table, rows, np.random.default_rng(0))
    monkeypatch.setattr(distances, "MOST", 200)
    sampled = distances.half_medians(table, rows, np.random.default_rng(0))
    assert (sampled != whole).all()
    np.testing.assert_allclose(sampled, whole, rtol=0.15)


@pytest.mark.parametrize("steps", ["row", "column"])
def test_rows_between_two_have_labels_by_distance(steps):
    numeric, codes, rows = mixed()
    span, label = np.ptp(numeric, axis=0), np.arange(40.0)
    given = synthetic.Rows(numeric, codes, label)
    other = given.take(np.roll(np.arange(40), 1))
    made = synthetic.between(
        given, other, np.random.default_rng(2), scale=span, steps=steps
    )
    share = (made.numeric - numeric) / (other.numeric - numeric)
    assert ((share >= 0) & (share <= 1)).all()
    alike = np.ptp(share, axis=1) < 1e-9
    assert alike.all() if steps == "row" else not alike.any()
    assert ((made.codes == codes) | (made.codes == other.codes)).all()
    for i in range(40):
        new = [*made.numeric[i], *made.codes[i]]
        pair = (rows[i], rows[i - 1], new, label[i], label[i - 1])
        want = reference.label(*pair, NUMERIC, [*span, 1, 1])
        np.testing.assert_allclose(made.label[i], want, rtol=1e-12)


def test_equal_rows_give_the_mean_of_their_labels():
    one = synthetic.Rows(np.ones((1, 2)), np.zeros((1, 1), int), np.array([10.0]))
    two = one._replace(label=np.array([20.0]))
    made = synthetic.between(one, two, np.random.default_rng(0), scale=np.ones(2))
    assert made.label.tolist() == [15.0]


def test_segments_and_sizes_by_hand():
    labels = np.array([5.0, 1, 4, 9, 2, 3, 0])
    phi = np.array([0.2, 0.9, 0, 1, 0.5, 0.4, 1])
    found = segments.segments(labels, phi, 0.5)
    want = reference.bumps(labels.tolist(), phi.tolist(), 0.5)
    assert [rows.tolist() for rows in found] == want == [[6, 1, 4], [5, 2, 0], [3]]
    assert segments.sizes([3, 3, 1], "balance") == [2, 2, 2]
    # b = 10: b^2 / n is 12.5, 8.33 and 25; their sum 45.83 is scaled to 30.
    assert segments.sizes([8, 12, 10], "balance") == [10, 10, 10]
    assert segments.sizes([8, 12, 4], "extreme") == [7, 4, 13]
    with pytest.raises(ValueError, match="one for each segment"):
        segments.sizes([8, 12], [2.0])
    with pytest.raises(ValueError, match="nothing is rare"):
        segments.segments(labels, np.zeros(7), 0.5)
