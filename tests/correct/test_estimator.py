import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from dirjax.correct import priors
from dirjax.correct.estimator import PriorCorrectedRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(800, 3))
Y = np.exp(X[:, 0]) + 0.5 * RNG.normal(size=800)


# scikit-learn reports on its own checks with warnings.
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [PriorCorrectedRegressor(LinearRegression())],
    expected_failed_checks=lambda estimator: {
        f"check_sample_weight_equivalence_on_{kind}_data": "rows are drawn into folds, "
        "and a row twice may be in two"
        for kind in ("dense", "sparse")
    },
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_rare_labels_gain_and_tau_0_is_the_regressor():
    plain = LinearRegression().fit(X, Y)
    rare = np.quantile(Y, 0.97) < Y
    errors = {
        tau: np.abs(
            PriorCorrectedRegressor(LinearRegression(), tau=tau).fit(X, Y).predict(X)
            - Y
        )[rare].mean()
        for tau in (0.0, 0.5)
    }
    assert errors[0.0] == pytest.approx(np.abs(plain.predict(X) - Y)[rare].mean())
    assert errors[0.5] < errors[0.0]


def test_the_order_of_rows_does_not_matter():
    """Rows in the order of their labels are not held out one end after the other."""
    order = np.argsort(Y)
    errors = [
        np.abs(
            PriorCorrectedRegressor(LinearRegression(), tau=0.5)
            .fit(X[rows], Y[rows])
            .predict(X)
            - Y
        ).mean()
        for rows in (np.arange(len(Y)), order)
    ]
    assert errors[0] == pytest.approx(errors[1], rel=0.03)


def test_weights_of_rows_are_part_of_the_distribution():
    counts, edges = np.histogram(Y, 10)
    place = np.clip(np.digitize(Y, edges) - 1, 0, 9)
    weights = 1 / counts[place]
    plain = LinearRegression().fit(X, Y, sample_weight=weights)
    model = PriorCorrectedRegressor(LinearRegression(), tau=1.0)
    balanced = model.fit(X, Y, sample_weight=weights)
    np.testing.assert_allclose(
        balanced.estimator_.predict(X), plain.predict(X), rtol=1e-6
    )
    bins = balanced.correction_.prior.bins
    counts = np.bincount(bins.index(Y), weights / weights.mean(), bins.num)
    np.testing.assert_allclose(
        balanced.correction_.prior.train, priors.training(counts), rtol=1e-9
    )


def test_in_a_search_over_a_pipeline():
    pipeline = make_pipeline(
        StandardScaler(), PriorCorrectedRegressor(LinearRegression())
    )
    grid = {"priorcorrectedregressor__tau": [0.0, 0.5]}
    found = GridSearchCV(pipeline, grid, cv=2).fit(X, Y)
    assert found.best_params_["priorcorrectedregressor__tau"] in (0.0, 0.5)


def test_wrong_options():
    with pytest.raises(ValueError, match="law must be one of"):
        PriorCorrectedRegressor(LinearRegression(), law="cauchy").fit(X, Y)
    model = PriorCorrectedRegressor(LinearRegression(), tau=2).fit(X, Y)
    with pytest.raises(ValueError, match="tau must be one number from 0 to 1, got 2"):
        model.predict(X)


def test_what_the_regressor_takes_is_passed_on():
    """Missing values of boosting, and the columns of a frame by their names."""
    gaps = np.where(X > 2, np.nan, X)
    found = PriorCorrectedRegressor().fit(gaps, Y).predict(gaps)
    assert np.isfinite(found).all()
    pd = pytest.importorskip("pandas")
    city = np.where(X[:, 1] > 0, "Rome", "Oslo")
    frame = pd.DataFrame({"size": X[:, 0], "city": city})
    columns = make_column_transformer(
        (OneHotEncoder(), ["city"]), remainder="passthrough"
    )
    model = PriorCorrectedRegressor(make_pipeline(columns, LinearRegression()), tau=0.5)
    assert model.fit(frame, Y).predict(frame[["size", "city"]]).shape == Y.shape
    assert model.feature_names_in_.tolist() == ["size", "city"]


def test_a_label_far_from_the_others():
    y = np.append(Y[:-1], 1e7)
    with pytest.warns(UserWarning, match="far from the others, beyond"):
        model = PriorCorrectedRegressor(LinearRegression()).fit(X, y)
    assert model.correction_.prior.bins.num <= 1000
