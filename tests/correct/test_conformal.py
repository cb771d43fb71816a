import numpy as np
import pytest

from dirjax.correct import conformal


def toy(rng, num):
    """Rows whose noise grows with the prediction, and intervals of one width."""
    f = rng.uniform(0, 10, num)
    y = f + rng.normal(size=num) * (0.2 + 0.2 * f)
    return f, y, f - 0.5, f + 0.5


def covered(widening, rows, by):
    f, y, low, high = rows
    low, high = widening.apply(low, high, f, by=by)
    return (low <= y) & (y <= high)


def test_coverage_over_all_and_by_prediction():
    rng = np.random.default_rng(0)
    f, y, low, high = toy(rng, 4_000)
    found = conformal.fit(low, high, y, f, coverage=0.9)
    new = toy(rng, 20_000)
    assert covered(found, new, "all").mean() == pytest.approx(0.9, abs=0.015)
    by = covered(found, new, "prediction")
    assert by.mean() == pytest.approx(0.9, abs=0.015)
    small, large = new[0] < 2, new[0] > 8
    # One width covers too much where noise is small, and too little where it is large.
    assert covered(found, new, "all")[small].mean() > 0.97
    assert covered(found, new, "all")[large].mean() < 0.83
    for part in (small, large):
        assert by[part].mean() == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize(("num", "coverage"), [(9, 0.9), (19, 0.9), (99, 0.5)])
def test_the_rank_by_hand(num, coverage):
    labels = np.random.default_rng(1).permutation(num) + 1.0
    zero = np.zeros(num)
    found = conformal.fit(zero, zero, labels, zero, coverage=coverage)
    # The k-th smallest score, k = ceil((n + 1) coverage).
    assert found.everywhere == np.ceil(round((num + 1) * coverage, 9))


def test_too_few_rows_cover_everything():
    zero = np.zeros(5)
    found = conformal.fit(zero, zero, np.arange(5.0), zero, coverage=0.9)
    low, high = found.apply(zero, zero, zero, by="all")
    assert np.isinf(low).all()
    assert np.isinf(high).all()


def test_intervals_may_become_narrower_but_not_cross():
    f = np.linspace(0, 1, 50)
    found = conformal.fit(f - 5, f + 5, f, f, coverage=0.5)
    low, high = found.apply(f - 1, f + 1, f, by="all")
    np.testing.assert_allclose(low, f)
    np.testing.assert_allclose(high, f)


def test_wrong_arguments():
    zero = np.zeros(3)
    with pytest.raises(ValueError, match="coverage must be between 0 and 1, got 90"):
        conformal.fit(zero, zero, zero, zero, coverage=90)
    none = np.zeros(0)
    with pytest.raises(ValueError, match="need labelled rows"):
        conformal.fit(none, none, none, none, coverage=0.9)
