import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from dirjax.correct import conformal


class OfColumn(RegressorMixin, BaseEstimator):
    """A regressor whose predictions are a column of its inputs."""

    def __init__(self, column):
        self.column = column

    def fit(self, x, y):
        self.n_features_in_ = x.shape[1]
        return self

    def predict(self, x):
        return x[:, self.column]


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


@pytest.mark.parametrize(
    ("num", "coverage"), [(9, 0.9), (19, 0.9), (99, 0.5), (99, 0.55)]
)
def test_the_rank_by_hand(num, coverage):
    labels = np.random.default_rng(1).permutation(num) + 1.0
    zero = np.zeros(num)
    found = conformal.fit(zero, zero, labels, zero, coverage=coverage)
    # The k-th smallest score, k = ceil((n + 1) coverage).
    assert found.everywhere == np.ceil(round((num + 1) * coverage, 9))


@pytest.mark.parametrize(("num", "parts"), [(99, 0), (100, 2), (149, 2), (150, 3)])
def test_each_part_has_five_rows_outside(num, parts):
    f = np.linspace(0, 1, num)
    found = conformal.fit(f, f, f, f, coverage=0.9)
    assert len(found.parts) == parts


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


@pytest.mark.slow
@pytest.mark.parametrize("coverage", [0.9, 0.8, 0.5])
def test_intervals_of_mapie(coverage):
    """Of all rows, and of the rows of each part, MAPIE makes the same intervals."""
    from mapie.regression import ConformalizedQuantileRegressor

    f, y, low, high = toy(np.random.default_rng(2), 300)
    low -= 0.05 * f
    columns = np.stack([low, high, f], axis=1)
    old, new = np.arange(300) < 200, np.arange(300) >= 200
    found = conformal.fit(low[old], high[old], y[old], f[old], coverage=coverage)

    def of_mapie(part):
        """Intervals of the new rows of a part."""
        models = [OfColumn(column).fit(columns, y) for column in range(3)]
        oracle = ConformalizedQuantileRegressor(
            models, confidence_level=coverage, prefit=True
        )
        oracle.conformalize(columns[part & old], y[part & old])
        _, ends = oracle.predict_interval(
            columns[part & new], symmetric_correction=True
        )
        return ends[:, 0, 0], ends[:, 1, 0]

    got = found.apply(low[new].copy(), high[new].copy(), f[new], by="all")
    np.testing.assert_allclose(got, of_mapie(old | new), rtol=1e-12)
    got = found.apply(low[new].copy(), high[new].copy(), f[new], by="prediction")
    parts = np.searchsorted(found.starts, f, side="right")
    assert len(np.unique(parts)) > 1
    for n in np.unique(parts[new]):
        part = parts == n
        want = of_mapie(part)
        np.testing.assert_allclose([g[part[new]] for g in got], want, rtol=1e-12)
