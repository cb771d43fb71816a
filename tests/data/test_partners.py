"""Partners are drawn from the distribution of C-Mixup, without a table of pairs."""

import time

import numpy as np
import pytest

from dirjax.data import partners, stream
from dirjax.data.partners import Partners
from tests.data.test_stream import split_of
from tests.objectives import golden

CASES = golden.cases("cmixup_rates")


@pytest.mark.parametrize("case", CASES)
def test_golden_rates(case):
    """All kernels of the public code, of one label or several."""
    # It has labels as float32.
    y, kernel = np.float32(case["in.labels"]), partners.KERNELS[int(case["p.kernel"])]
    found = partners.rates(
        y[:, 0] if y.shape[1] == 1 else y,
        kernel=kernel,
        bandwidth=float(case["p.bandwidth"]) or 1.0,  # of "uniform" 0
    )
    np.testing.assert_allclose(found, case["out.rates"], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("case", CASES[:2] + CASES[5:7])
def test_golden(case):
    """One block for each distinct label: its rates are those of the public code."""
    y = np.float64(np.float32(case["in.labels"][:, 0]))
    found = Partners(y, float(case["p.bandwidth"])).block_rates(y)
    levels, of_row, count = np.unique(y, return_inverse=True, return_counts=True)
    assert found.shape[1] == len(levels)
    share = found / found.sum(axis=1, keepdims=True) / count[None]
    np.testing.assert_allclose(
        share[:, of_row], case["out.rates"], rtol=1e-10, atol=1e-15
    )


@pytest.mark.parametrize("blocks", [1024, 3])
def test_draws_follow_the_distribution(blocks):
    rng = np.random.default_rng(0)
    labels = np.concatenate([rng.normal(size=9), [0.3] * 3, [40.0]])
    near = Partners(labels, 0.6, blocks=blocks)
    want = partners.rates(labels, bandwidth=0.6)
    for row in (0, 9, 12):
        found = near.draw(np.full(20_000, row), seed=1, step=row)
        share = np.bincount(found, minlength=len(labels)) / len(found)
        np.testing.assert_allclose(share, want[row], atol=0.015)


def test_draws_are_a_function_of_seed_and_step():
    near = Partners(np.arange(50.0), 9.0)
    rows = np.arange(50)
    one = near.draw(rows, seed=3, step=7)
    np.testing.assert_array_equal(one, near.draw(rows, seed=3, step=7))
    assert (one != near.draw(rows, seed=4, step=7)).any()
    assert (one != near.draw(rows, seed=3, step=8)).any()


@pytest.mark.parametrize("bandwidth", [1e-30, 1e30])
def test_extremes(bandwidth):
    labels = np.float32([1.0, 5.0, 5.0, 1e30, -1e30])
    found = Partners(labels, bandwidth).draw(np.arange(5), seed=0, step=0)
    if bandwidth < 1:
        np.testing.assert_array_equal(labels[found], labels)


def test_a_million_rows():
    labels = np.random.default_rng(0).gamma(2.0, size=1_000_000)
    near = Partners(labels, 0.05)
    start = time.process_time()
    rows = np.arange(256)
    found = near.draw(rows, seed=0, step=0)
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
    with pytest.raises(ValueError, match="kernel must be one of gaussian, tophat"):
        partners.rates([1.0, 2.0], kernel="box")
    with pytest.raises(ValueError, match=r"labels must be .* got shape \(3, 2, 2\)"):
        partners.rates(np.ones((3, 2, 2)))
