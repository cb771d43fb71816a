import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from dirjax.correct.estimator import PriorCorrectedRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(800, 3))
Y = np.exp(X[:, 0]) + 0.5 * RNG.normal(size=800)


# scikit-learn reports on its own checks with warnings.
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([PriorCorrectedRegressor(LinearRegression())])
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
    with pytest.raises(ValueError, match="tau must be from 0 to 1, got 2"):
        model.predict(X)
