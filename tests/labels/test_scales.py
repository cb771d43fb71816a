"""Scales of the label, there and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dirjax.labels import Scale, scales

Y = np.concatenate([np.zeros(30), np.random.default_rng(0).gamma(1.5, 40.0, 300)])


@pytest.mark.parametrize("kind", scales.KINDS)
def test_back_is_the_inverse(kind):
    y = Y + 1 if kind == "log" else Y
    scale = scales.fit(kind, y)
    x = scale.forward(y)
    np.testing.assert_allclose(scale.inverse(x), y, rtol=1e-9, atol=1e-9)
    back = jax.jit(lambda x: scale.inverse(x, jnp))(np.float32(x))
    assert back.dtype == jnp.float32
    np.testing.assert_allclose(back, y, rtol=2e-4, atol=1e-3)
    assert Scale.from_json(scale.to_json()) == scale
    assert np.all(np.diff(scale.forward(np.unique(y))) > 0)


def test_logarithms():
    assert scales.fit("log", Y) == Scale("log")
    assert scales.fit("log1p", Y) == Scale("log", offset=1.0)
    np.testing.assert_array_equal(scales.fit("log1p", Y).forward(Y), np.log(Y + 1))
    assert scales.fit("log", Y, offset=5.0).said == "logarithm plus 5"


def test_yeo_johnson_is_that_of_scipy():
    for y in (Y, Y - 30, -Y):
        want, power = stats.yeojohnson(y)
        scale = scales.fit("yeo_johnson", y)
        assert scale.power == pytest.approx(power, abs=1e-4)
        np.testing.assert_allclose(scale.forward(y), want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("power", [-0.5, 0.0, 0.7, 1.0, 2.0, 2.5])
def test_any_power_has_a_finite_inverse(power):
    y = np.linspace(-3, 3, 25)
    scale = Scale("yeo_johnson", power=power)
    np.testing.assert_allclose(scale.inverse(scale.forward(y)), y, atol=1e-9)
    assert np.isfinite(scale.inverse(jnp.array([-50.0, 0.0, 50.0]), jnp)).all()


def test_quantiles():
    scale = scales.fit("quantile", Y)
    # 30 of 330 labels are zero.
    assert scale.forward(0.0) == pytest.approx(30 / 330 / 2, abs=0.01)
    assert scale.forward(np.median(Y)) == pytest.approx(0.5, abs=0.01)
    # Beyond the training labels it goes on, so that bins have different edges.
    far = np.array([-Y.max(), 2 * Y.max()])
    got = scale.forward(far)
    np.testing.assert_allclose(got, [scale.levels[0] - 1, scale.levels[-1] + 1])
    np.testing.assert_allclose(scale.inverse(got), far)


def test_predictions_may_have_a_lower_end():
    scale = scales.fit("linear", Y, low=0.0)
    assert scale.inverse(np.array([-1.0, 2.0])).tolist() == [0.0, 2.0]


def test_wrong_kind():
    with pytest.raises(ValueError, match=r"one of linear, log, log1p, .*, got 'sqrt'"):
        scales.fit("sqrt", Y)
