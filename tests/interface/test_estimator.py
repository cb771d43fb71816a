"""`DIRRegressor`: the one training loop behind scikit-learn's protocol."""

import pickle
import warnings

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_estimator,
    check_regressor_multioutput,
)

import dirjax
from dirjax import evaluate, predict
from dirjax.errors import InputError
from dirjax.interface import estimator
from tests import runs

TINY = {"model.encoder.width": 8, "model.encoder.depth": 1, "train.chunk": 10}
# Checks that no network trained on batches passes, as with scikit-learn's own.
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a row of weight 2 is drawn once per epoch, two equal rows twice"
    ),
}


def regressor(**fields):
    return dirjax.DIRRegressor(steps=20, random_state=0, fields=TINY, **fields)


def rows(num=120, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, 2))
    return x, np.exp(x[:, 0])


@pytest.fixture(scope="module")
def fitted():
    return regressor().fit(*rows())


def frame(x):
    colour = pa.array(["red" if v > 0 else "blue" for v in x[:, 1]])
    return pa.table({"a": x[:, 0], "colour": colour})


def test_the_run_is_one_of_the_commands(fitted, tmp_path):
    """The commands read it, and say the same."""
    x, _ = rows(30, seed=1)
    saved = fitted.save(tmp_path / "saved")
    found = fitted.predict(x)
    assert found.shape == (30,)
    np.savez(tmp_path / "new.npz", x=x)
    predict.predict(saved, tmp_path / "new.npz", tmp_path / "out.csv")
    said = np.genfromtxt(tmp_path / "out.csv", delimiter=",", skip_header=1)[:, 1]
    np.testing.assert_allclose(said, found, rtol=1e-6)
    np.testing.assert_array_equal(dirjax.load(saved).predict(x), found)
    result = evaluate.evaluate(saved, split="val")
    assert result["val"]["count"]["all"] == fitted.model_.result["val"]["count"]["all"]
    with pytest.raises(InputError, match=r"the folder must be new, .* exists"):
        fitted.save(saved)


@pytest.mark.slow
def test_the_same_as_training_on_the_file(tmp_path):
    """The frame as a Parquet file, in `dirjax.main`: same numbers."""
    x, y = rows()
    data = frame(x).append_column("price", pa.array(y))
    fields = {f"{k}": v for k, v in TINY.items()} | {"stage.main.steps": 20}
    model = dirjax.fit(data, "price", method="vanilla", fields=fields)
    pa.parquet.write_table(data, tmp_path / "mine.parquet")
    paths = {"data.path": str(tmp_path / "mine.parquet"), "data.label": "price"}
    made = runs.config(
        "csv",
        "vanilla",
        **{k.replace(".", "__"): v for k, v in (fields | paths).items()},
    )
    alone = runs.run(made, tmp_path / "run")
    assert alone["test"] == model.result["test"]
    assert "price, vanilla" in repr(model)
    assert "<iframe" in model._repr_html_()


def test_another_process_has_it_too(fitted):
    x, _ = rows(20, seed=2)
    again = pickle.loads(pickle.dumps(fitted))
    assert again.model_.workdir != fitted.model_.workdir
    np.testing.assert_array_equal(again.predict(x), fitted.predict(x))


def test_rows_without_any_value_keep_their_place(fitted):
    x, _ = rows(5, seed=3)
    x[2] = np.nan
    found = fitted.predict(x)
    assert found.shape == (5,)
    assert np.isfinite(found[[0, 1, 3, 4]]).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"quantiles": 0.5}, "quantiles must be several levels"),
        ({"interval": 1.5}, "interval must be a coverage between 0 and 1"),
        ({"prior": np.ones(3)}, "prior must be 'train', 'uniform' or a file"),
    ],
)
def test_arguments_of_predictions(fitted, arguments, said):
    with pytest.raises(InputError, match=said):
        fitted.model_.predict(rows(3)[0], **arguments)


def test_distributions(fitted):
    x, y = rows(200, seed=4)
    own, ends = fitted.predict(x, interval=0.9)
    np.testing.assert_allclose(own, fitted.predict(x), rtol=1e-5)
    assert ends.shape == (200, 2)
    assert 0.6 < ((ends[:, 0] <= y) & (y <= ends[:, 1])).mean() <= 1
    levels = fitted.predict(x, quantiles=[0.1, 0.5, 0.9])
    assert (np.diff(levels, axis=1) >= 0).all()
    found = fitted.predict_dist(x)
    assert found.probabilities.shape == (200, len(found.edges) - 1)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-6)
    rare = fitted.predict(x, prior="uniform", tau=1.0)
    assert rare.mean() > own.mean()
    with pytest.raises(InputError, match="quantiles or interval, not both"):
        fitted.predict(x, quantiles=[0.5], interval=0.9)


class TestFit:
    @pytest.mark.slow
    def test_frames_with_categories(self):
        x, y = rows()
        found = regressor(method="histogram", prior="uniform").fit(frame(x), y)
        assert list(found.model_.config["data"]["categorical"]) == ["colour"]
        assert found.predict(frame(x)).shape == y.shape
        assert found.model_.result["prior"]["target"] == "uniform"

    @pytest.mark.slow
    def test_validation_rows_of_ones_own(self):
        x, y = rows()
        found = regressor().fit(x[:100], y[:100], eval_set=(x[100:], y[100:]))
        assert found.model_.result["val"]["count"]["all"] == 20
        without = regressor(validation_fraction=0).fit(x, y).model_.result
        assert without["val"] == {}
        assert without["best_step"] == 20

    @pytest.mark.slow
    def test_groups_stay_on_one_side(self):
        x, y = rows()
        groups = np.arange(120) // 4
        found = regressor().fit(x, y, groups=groups)
        stored = np.load(found.model_.workdir / "predictions_val.npz")
        held, count = np.unique(groups[stored["index"]], return_counts=True)
        assert len(held) > 1
        assert (count == 4).all()

    @pytest.mark.slow
    def test_weights(self):
        x, y = rows()
        weight = np.ones(120)
        weight[:40] = 0
        found = regressor(validation_fraction=0).fit(x, y, sample_weight=weight)
        less = regressor(validation_fraction=0).fit(x[40:], y[40:])
        np.testing.assert_allclose(found.predict(x), less.predict(x), rtol=1e-5)

    def test_a_row_of_weight_0_does_not_validate_either(self, monkeypatch):
        seen = []

        def train(self, X, y, part, weight):
            seen.append((y, part, weight))

        monkeypatch.setattr(dirjax.DIRRegressor, "_train", train)
        x, y = rows()
        weight = np.arange(120) % 2.0
        regressor().fit(x, y, sample_weight=weight, groups=np.arange(120) // 4)
        regressor().fit(x[1::2], y[1::2], groups=np.arange(1, 120, 2) // 4)
        (label, part, kept), (other, alone, none) = seen
        np.testing.assert_array_equal(label, other)
        np.testing.assert_array_equal(part, alone)
        assert part.any()
        assert (kept == 1).all()
        assert none is None

    @pytest.mark.parametrize("share", [0.1, 0.15, 0.3, 0.4, 0.5])
    @pytest.mark.parametrize("groups", [None, np.arange(300)])
    def test_the_share_that_is_held_out(self, share, groups):
        """Three bins of a hundred labels; 0.4 was one in round(2.5) = 2."""
        y = np.repeat([1.0, 2.0, 3.0], 100)
        held = estimator._held_out(
            y[::5], share, None if groups is None else groups[::5]
        )
        assert held.sum() == round(3 * 20 * share)

    @pytest.mark.slow
    def test_several_targets(self):
        x, y = rows(200)
        both = np.stack([y, 100 * x[:, 1]], axis=1)
        learns = regressor().set_params(steps=200).fit(x, both)
        assert learns.model_.targets == ("y0", "y1")
        found = learns.predict(x)
        assert found.shape == both.shape
        each = [r2_score(both[:, t], found[:, t]) for t in range(2)]
        assert learns.score(x, both) == pytest.approx(np.mean(each))
        assert min(each) > 0.3
        assert learns.predict(x[:5], quantiles=(0.1, 0.9)).shape == (5, 2, 2)
        _, ends = learns.predict(x[:5], interval=0.8)
        assert ends.shape == (5, 2, 2)
        other = pickle.loads(pickle.dumps(learns))
        np.testing.assert_array_equal(other.predict(x), found)
        check_regressor_multioutput("DIRRegressor", regressor())

    @pytest.mark.slow
    def test_images(self):
        rng = np.random.default_rng(0)
        x = rng.integers(0, 255, (60, 8, 8), np.uint8)
        small = {"model.encoder.width": 4, "model.encoder.stage_sizes": (1,)}
        found = dirjax.DIRRegressor(steps=2, fields=small)
        y = x.mean(axis=(1, 2))
        assert found.fit(x, y).predict(x[:7]).shape == (7,)
        both = np.stack([y, -y], axis=1)
        assert found.fit(x, both).predict(x[:7]).shape == (7, 2)

    @pytest.mark.slow
    def test_nothing_is_left_out(self):
        """A column that counts rows is one that was given."""
        x, y = rows()
        x[:, 1] = np.arange(120)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = regressor().fit(x, y)
        assert set(found.model_.config["data"]["numeric"]) == {"x0", "x1"}

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"method": "no_such"}, "no_such"),
            ({"validation_fraction": 2.0}, "validation_fraction must be between"),
        ],
    )
    def test_refused(self, fields, said):
        with pytest.raises(ValueError, match=said):
            regressor(**fields).fit(*rows())

    def test_groups_beside_validation_rows_of_ones_own(self):
        x, y = rows()
        with pytest.raises(InputError, match="Leave one of them out"):
            regressor().fit(x, y, eval_set=(x, y), groups=np.arange(120))


@pytest.mark.slow
def test_in_the_tools_of_scikit_learn():
    x, y = rows()
    whole = make_pipeline(StandardScaler(), clone(regressor()))
    grid = GridSearchCV(
        whole, {"dirregressor__method": ["vanilla", "sqinv"]}, cv=2, n_jobs=2
    ).fit(x, y)
    assert grid.predict(x).shape == y.shape
    assert cross_val_predict(regressor(), x, y, cv=2).shape == y.shape


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_checks_of_scikit_learn():
    learns = regressor().set_params(steps=300)  # One check wants a score above 0.5.
    found = check_estimator(
        learns, expected_failed_checks=EXPECTED, on_fail=None, on_skip=None
    )
    wrong = {c["check_name"]: c["exception"] for c in found if c["status"] == "failed"}
    assert wrong == {}
    assert sum(c["status"] == "passed" for c in found) > 40
