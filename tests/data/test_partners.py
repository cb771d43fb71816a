"""Partners are drawn from the distribution of C-Mixup, without a table of pairs."""

import time

import numpy as np
import pytest

from dirjax.data import stream
from dirjax.data.partners import Partners
from tests.data.test_stream import split_of
from tests.objectives import golden


def by_rows(labels, bandwidth):
    """`[n, n]` float64, the definition."""
    y = np.float64(labels)
    table = np.exp(-((y[:, None] - y[None]) ** 2) / (2 * bandwidth**2))
    return table / table.sum(axis=1, keepdims=True)


def test_golden():
    """One block for each distinct label: its rates are those of the public code."""
    tested = 0
    for case in golden.cases("cmixup_rates"):
        labels = case["in.labels"]
        if int(case["p.kernel"]) or labels.shape[1] > 1:
            continue
        y, h = np.float64(np.float32(labels[:, 0])), float(case["p.bandwidth"])
        found = Partners(y, h).block_rates(y)
        levels, of_row, count = np.unique(y, return_inverse=True, return_counts=True)
        assert found.shape[1] == len(levels)
        share = found / found.sum(axis=1, keepdims=True) / count[None]
        np.testing.assert_allclose(
            share[:, of_row], case["out.rates"], rtol=1e-5, atol=1e-12
        )
        np.testing.assert_allclose(
            by_rows(y, h), case["out.rates"], rtol=1e-5, atol=1e-12
        )
        tested += 1
    assert tested >= 3


@pytest.mark.parametrize("blocks", [1024, 3])
def test_draws_follow_the_distribution(blocks):
    rng = np.random.default_rng(0)
    labels = np.concatenate([rng.normal(size=9), [0.3] * 3, [40.0]])
    partners = Partners(labels, 0.6, blocks=blocks)
    for row in (0, 9, 12):
        found = partners.draw(np.full(20_000, row), seed=1, step=row)
        share = np.bincount(found, minlength=len(labels)) / len(found)
        np.testing.assert_allclose(share, by_rows(labels, 0.6)[row], atol=0.015)


def test_draws_are_a_function_of_seed_and_step():
    partners = Partners(np.arange(50.0), 9.0)
    rows = np.arange(50)
    one = partners.draw(rows, seed=3, step=7)
    np.testing.assert_array_equal(one, partners.draw(rows, seed=3, step=7))
    assert (one != partners.draw(rows, seed=4, step=7)).any()
    assert (one != partners.draw(rows, seed=3, step=8)).any()


@pytest.mark.parametrize("bandwidth", [1e-30, 1e30])
def test_extremes(bandwidth):
    labels = np.float32([1.0, 5.0, 5.0, 1e30, -1e30])
    found = Partners(labels, bandwidth).draw(np.arange(5), seed=0, step=0)
    if bandwidth < 1:
        np.testing.assert_array_equal(labels[found], labels)


def test_a_million_rows():
    labels = np.random.default_rng(0).gamma(2.0, size=1_000_000)
    partners = Partners(labels, 0.05)
    start = time.process_time()
    rows = np.arange(256)
    found = partners.draw(rows, seed=0, step=0)
    assert time.process_time() - start < 1.0
    assert 0.02 < np.std(labels[found] - labels[rows]) < 0.08


def test_a_stream_yields_rows_before_their_partners():
    split = split_of(23)
    alone = stream.Stream(split, seed=5, batch_size=6).rows(2, 3)
    for bandwidth in (0.5, np.inf):
        options = {"seed": 5, "batch_size": 6, "bandwidth": bandwidth}
        paired = stream.Stream(split, **options)
        rows = paired.rows(2, 3)
        assert rows.shape == (3, 12)
        np.testing.assert_array_equal(rows[:, 0::2], alone)
        # The same from another start, and for the processes of a pod.
        np.testing.assert_array_equal(paired.rows(3, 1)[0], rows[1])
        parts = [
            stream.Stream(split, **options, process=p, processes=2).rows(2, 3)
            for p in (0, 1)
        ]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), rows)
        two = stream.Stream(split, **options, members=2).rows(2, 3)
        np.testing.assert_array_equal(two[:, 0], rows)


def test_what_is_refused():
    with pytest.raises(ValueError, match="must be above 0, got 0"):
        Partners(np.ones(3), 0.0)
    with pytest.raises(ValueError, match="this data has one per pixel"):
        Partners(np.ones((3, 2, 2)), 1.0)
