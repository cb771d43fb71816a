import numpy as np
import pytest

from dirjax import correct
from dirjax.correct import priors, residuals
from dirjax.labels import Bins, Scale, scales

RNG = np.random.default_rng(0)
TRAIN = np.clip(RNG.exponential(2.0, 4_000), 0, 20)
LABELS = RNG.uniform(0, 20, 600)
# A model that draws rare labels to the common ones.
PREDICTIONS = 0.7 * LABELS + RNG.normal(size=600)


@pytest.fixture(scope="module")
def fitted():
    return correct.fit(PREDICTIONS, LABELS, train_labels=TRAIN)


def test_rare_labels_gain(fitted):
    rare = LABELS > 10
    error = [
        np.abs(fitted.apply(PREDICTIONS, tau=tau) - LABELS)[rare].mean()
        for tau in (0.0, 0.25, 0.5)
    ]
    assert error[0] > error[1] > error[2]


def test_nothing_changes_nothing(fitted):
    for options in ({"tau": 0.0}, {"target": "train"}):
        found = fitted.apply(PREDICTIONS, **options)
        np.testing.assert_array_equal(found, PREDICTIONS)
    even = np.repeat(np.arange(10) + 0.5, 50)
    bins = Bins.uniform(width=1, origin=0, num=10)
    model = correct.fit(even, even, train_labels=even, bins=bins)
    np.testing.assert_array_equal(model.apply(even, target="uniform"), even)


def test_there_and_back(fitted):
    prior, log_probs = fitted.prior, fitted.log_probs(PREDICTIONS)
    there = prior.corrected(log_probs, "uniform", 1.0)
    ratio = prior.log_ratio("uniform")
    back = correct.correction.densities.corrected(there, -ratio, 1.0)
    np.testing.assert_allclose(np.exp(back), np.exp(log_probs), atol=1e-12)


def test_a_gaussian_toy_is_balanced_mse():
    """Gaussian labels N(0, v) and likelihood N(f, s): the mean under a uniform prior.

    p(y | x) / p(y) is Gaussian with precision 1/s - 1/v and mean (f/s) / (1/s - 1/v),
    which is the prediction that the loss of Balanced MSE (Ren et al. 2022, eq. 3.6)
    makes best: softmax over labels of N(y; f', s').
    """
    v, s = 4.0, 1.0
    bins = Bins.uniform(width=0.02, origin=-30, num=3_000)
    train = np.exp(-0.5 * bins.centers**2 / v)
    prior = correct.Prior(bins, train / train.sum())
    law = residuals.Law("gaussian", np.sqrt(s))
    around = residuals.Residuals(law, residuals.Dispersion((0.0,), (1.0,)))
    f = np.array([-2.0, 0.0, 1.5, 3.0])
    found = correct.Correction(prior, around).apply(f)
    np.testing.assert_allclose(found, (f / s) / (1 / s - 1 / v), atol=1e-3)


def test_the_order_of_rows_and_of_validation_labels_does_not_matter(fitted):
    order = RNG.permutation(600)
    again = correct.fit(PREDICTIONS[order], LABELS[order], train_labels=TRAIN[::-1])
    found = again.apply(PREDICTIONS, tau=0.5)
    np.testing.assert_allclose(found, fitted.apply(PREDICTIONS, tau=0.5), rtol=1e-9)


def test_validation_rows_count_as_often_as_their_labels_in_training(fitted):
    """However many of them there are: balanced rows stand for those of training."""
    again = np.repeat(np.arange(600), np.where(LABELS > 15, 3, 1))
    bins = fitted.prior.bins
    assert (
        bins.index(LABELS[LABELS > 15]) > bins.index(LABELS[LABELS <= 15].max())
    ).all()
    more = correct.fit(PREDICTIONS[again], LABELS[again], train_labels=TRAIN, bins=bins)
    found = more.apply(PREDICTIONS, tau=0.5)
    np.testing.assert_allclose(found, fitted.apply(PREDICTIONS, tau=0.5), rtol=1e-9)


def test_labels_on_a_logarithmic_scale():
    """The correction on the scale of the logarithm is that of logarithms."""
    scale = scales.fit("log", TRAIN, offset=1.0)
    assert isinstance(scale, Scale)
    logs = [np.log(x + 1) for x in (np.clip(PREDICTIONS, 0, None), LABELS, TRAIN)]
    bins = Bins.covering(np.concatenate(logs[1:]), width=0.1)
    plain = correct.fit(*logs[:2], train_labels=logs[2], bins=bins)
    scaled = correct.fit(
        np.clip(PREDICTIONS, 0, None),
        LABELS,
        train_labels=TRAIN,
        bins=bins,
        scale=scale,
    )
    want = np.exp(plain.apply(logs[0], tau=0.5)) - 1
    found = scaled.apply(np.clip(PREDICTIONS, 0, None), tau=0.5)
    np.testing.assert_allclose(found, want, rtol=1e-9)


def test_weights_are_those_of_training():
    """Residuals count as often as such labels occur in training."""
    bins = Bins.uniform(width=1, origin=0, num=2)
    labels = np.array([0.5, 0.5, 1.5, 1.5])
    wrong = np.array([0.4, 0.6, 1.3, 1.7])
    model = correct.fit(
        wrong,
        labels,
        train_labels=np.repeat([0.5, 1.5], [90, 10]),
        bins=bins,
        dispersion="constant",
        taps=1,
    )
    mean = 0.9 * 0.1 + 0.1 * 0.2
    assert model.residuals.dispersion.values == (pytest.approx(mean),)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([1.0], [1.0, 2.0]), "of the same rows, got 1 and 2"),
        (([np.nan], [1.0]), "predictions must be finite, got nan at row 0"),
        (([[1.0]], [[1.0]]), r"labels must be \[n\]"),
    ],
)
def test_wrong_arguments(arguments, said):
    with pytest.raises(ValueError, match=said):
        correct.fit(*arguments, train_labels=TRAIN)


def test_what_is_not_on_the_scale_is_refused():
    """A plain regressor may predict a price of 0, which has no logarithm."""
    scale, price = Scale("log"), np.exp(np.linspace(0, 3, 60))
    model = correct.fit(price * 1.1, price, train_labels=price, scale=scale)
    said = "must be within the scale 'log' of the label, got -1 in row 1"
    with pytest.raises(ValueError, match=f"predictions {said}"):
        model.apply([2.0, -1.0])
    with pytest.raises(ValueError, match=f"labels {said}"):
        correct.fit([2.0, 3.0], [2.0, -1.0], train_labels=price, scale=scale)
    with pytest.raises(ValueError, match="train_labels must be within the scale"):
        correct.fit([2.0, 3.0], [2.0, 1.0], train_labels=[1.0, 0.0], scale=scale)


def test_wrong_strengths_levels_and_weights(fitted):
    with pytest.raises(ValueError, match="tau must be one number from 0 to 1"):
        fitted.apply([1.0], tau=[0.0, 1.0])
    for levels in ([-0.5], [np.nan], [0.5, 1.2], 0.5):
        with pytest.raises(ValueError, match="levels must be numbers from 0 to 1"):
            fitted.quantiles([1.0], levels)
    for weights in (np.ones(len(TRAIN) - 1), -np.ones(len(TRAIN)), 0 * TRAIN):
        with pytest.raises(ValueError, match="train_weights must be"):
            correct.fit(TRAIN, TRAIN + 1, train_labels=TRAIN, train_weights=weights)


def test_another_regressor(fitted):
    """Works with predictions of scikit-learn, which it never sees."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    rng = np.random.default_rng(1)
    x = rng.normal(size=(1_500, 3))
    y = np.exp(x[:, 0]) + 0.3 * rng.normal(size=1_500)
    model = HistGradientBoostingRegressor(max_iter=30).fit(x[:1_000], y[:1_000])
    found = model.predict(x[1_000:])
    corrected = correct.fit(found, y[1_000:], train_labels=y[:1_000])
    rare = y[1_000:] > 4
    before = np.abs(found - y[1_000:])[rare].mean()
    after = np.abs(corrected.apply(found, tau=0.5) - y[1_000:])[rare].mean()
    assert after < before


def test_priors_are_where_they_are_said(fitted):
    assert fitted.prior.train.sum() == pytest.approx(1.0)
    assert (fitted.prior.train > 0).all()
    assert priors.TARGETS == ("train", "uniform")
