import numpy as np
import pytest
from scipy import stats

from dirjax.correct import residuals

EDGES = np.linspace(0.0, 10.0, 21)


def equal(num):
    return np.full(num, 1 / num)


@pytest.mark.parametrize(
    ("law", "frozen"),
    [
        (residuals.Law("laplace", 0.7), stats.laplace(scale=0.7)),
        (residuals.Law("gaussian", 0.7), stats.norm(scale=0.7)),
        (residuals.Law("student", 0.7, 3.0), stats.t(3.0, scale=0.7)),
    ],
)
def test_laws_are_those_of_scipy(law, frozen):
    z = np.linspace(-9, 9, 41)
    np.testing.assert_allclose(law.cdf(z), frozen.cdf(z), rtol=1e-12)
    # Also far above the middle, where the distribution function is 1.
    far = np.array([20.0, 21.0, 22.0])
    want = -np.diff(frozen.sf(far))
    np.testing.assert_allclose(law.between(far), want, rtol=1e-9)


def test_fits_by_hand():
    rng = np.random.default_rng(0)
    z = rng.standard_t(4, 20_000) * 2.0
    w = equal(z.size)
    assert residuals.fit_law("gaussian", z, w).scale == pytest.approx(z.std(), rel=0.01)
    found = residuals.fit_law("student", z, w)
    assert found.freedom == 4.0
    assert found.scale == pytest.approx(2.0, rel=0.05)
    weights = np.array([0.75, 0.25])
    assert residuals.fit_law("laplace", np.array([1.0, -3.0]), weights).scale == 1.5


def test_the_empirical_law_has_the_quantiles_of_the_residuals():
    z = np.random.default_rng(1).gamma(2.0, size=5_000) - 2.0  # skewed
    law = residuals.fit_law("empirical", z, equal(z.size))
    for level in (0.1, 0.5, 0.9):
        assert law.cdf(np.quantile(z, level)) == pytest.approx(level, abs=0.02)


@pytest.mark.parametrize("name", residuals.DISPERSIONS)
def test_dispersion_follows_the_residuals(name):
    rng = np.random.default_rng(2)
    f = rng.uniform(0, 10, 8_000)
    true = 0.2 + 0.1 * f
    r = rng.laplace(scale=true)
    found = residuals.fit_dispersion(name, f, r, equal(f.size), EDGES)
    at = np.array([1.0, 5.0, 9.0])
    if name == "constant":
        assert found(at) == pytest.approx([np.abs(r).mean()] * 3)
        return
    ratio = found(at) / (0.2 + 0.1 * at)
    # loglinear is of the logarithm, whose mean is lower by a constant factor.
    assert ratio.max() / ratio.min() < 1.25


def test_parts_of_the_predictions_are_shrunk_to_the_mean_over_all():
    """Ten parts of one row each count for one row, all together for twenty."""
    f, r = np.arange(10.0), np.where(np.arange(10) < 5, 1.0, -3.0)
    found = residuals.fit_dispersion("binned", f, r, equal(10), EDGES)
    want = (np.abs(r) + 20 * 2.0) / 21
    np.testing.assert_allclose(found(f), want)


def test_weights_choose_the_rows():
    f = np.array([1.0, 1.0, 9.0, 9.0])
    r = np.array([-1.0, 1.0, -5.0, 5.0])
    low = residuals.fit_dispersion("constant", f, r, np.array([0.5, 0.5, 0, 0]), EDGES)
    assert low(f).tolist() == [1.0] * 4


@pytest.mark.parametrize("law", residuals.LAWS)
def test_probabilities_are_those_of_the_confined_law(law):
    rng = np.random.default_rng(3)
    f = rng.uniform(0, 10, 500)
    y = np.clip(f + rng.laplace(scale=0.8, size=500), 0, 10)
    found = residuals.fit(f, y, edges=EDGES, weights=np.ones(500), law=law)
    probs = np.exp(found.log_probs(np.array([0.3, 5.0, 12.0]), EDGES))
    np.testing.assert_allclose(probs.sum(1), 1.0)
    wide = found.dispersion(np.array([5.0]))[0]
    cdf = found.law.cdf((EDGES - 5.0) / wide)
    np.testing.assert_allclose(probs[1], np.diff(cdf) / (cdf[-1] - cdf[0]), atol=1e-12)
    # A prediction beyond the range stands at its end.
    assert probs[2].argmax() == 19


def test_degenerate_residuals():
    """A perfect model, one row, and equal predictions have a law, too."""
    for f, y in (([1.0, 2.0], [1.0, 2.0]), ([1.0], [3.0]), ([2.0, 2.0], [1.0, 3.0])):
        for law in residuals.LAWS:
            for dispersion in residuals.DISPERSIONS:
                fitted = residuals.fit(
                    np.array(f),
                    np.array(y),
                    edges=EDGES,
                    weights=np.ones(len(f)),
                    law=law,
                    dispersion=dispersion,
                )
                assert np.isfinite(fitted.log_probs(np.array(f), EDGES)).all()


def test_other_names():
    options = {"edges": EDGES, "weights": np.ones(2)}
    rows = np.array([1.0, 2.0]), np.array([2.0, 1.0])
    with pytest.raises(
        ValueError, match=r"law must be one of laplace, .* got 'cauchy'"
    ):
        residuals.fit(*rows, **options, law="cauchy")
    with pytest.raises(ValueError, match="dispersion must be one of loglinear"):
        residuals.fit(*rows, **options, dispersion="tree")
