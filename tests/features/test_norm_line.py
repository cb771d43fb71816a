"""The norm line against numpy's least squares and a loop of Adam."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.features import norm_line
from tests import toy

LABELS = np.arange(9, dtype=np.float32)
REAL = np.float32([1, 1, 0, 1, 1, 0, 1, 0, 0])


def norms():
    """Any norms; those of labels that are not fitted are far off, or no numbers."""
    found = np.float32(np.random.default_rng(0).uniform(1, 5, 9))
    found[7], found[8] = np.nan, 1e6
    return found


class Variants(chex.TestCase):
    @chex.all_variants
    def test_least_squares(self):
        some = REAL > 0
        want = np.polyfit(LABELS[some].astype(float), norms()[some], 1)
        line = self.variant(norm_line.fit_closed)(LABELS, norms(), REAL)
        np.testing.assert_allclose(line, want, rtol=1e-5, atol=1e-6)


def test_a_line_is_recovered_and_extrapolated():
    """Also where norms are large beside their differences."""
    fit = jax.jit(norm_line.fit_closed)
    for slope, intercept in ((0.25, 3.0), (-2.0, 300.0), (0.0, 4.0)):
        line = fit(LABELS, np.float32(slope * LABELS + intercept), REAL)
        np.testing.assert_allclose(line, (slope, intercept), rtol=1e-5, atol=1e-5)
        far = norm_line.predict(line, jnp.array([0.0, 1e3]))
        want = np.maximum([intercept, 1e3 * slope + intercept], 0)
        np.testing.assert_allclose(far, want, rtol=1e-4)
        assert (far >= 0).all()


def test_few_labels():
    fit = jax.jit(norm_line.fit_closed)
    one = fit(LABELS, norms(), np.float32(LABELS == 3))
    np.testing.assert_allclose(one, (0, norms()[3]), rtol=1e-6)
    np.testing.assert_array_equal(fit(LABELS, norms(), 0 * REAL), (0, 0))
    for real in (np.float32(LABELS == 3), 0 * REAL):
        sgd = norm_line.fit_sgd(jax.random.key(0), LABELS, norms(), real, steps=3)
        assert np.isfinite(sgd).all()


def by_adam(y, f, *, steps, rate):
    """Full batches in float64: slope and intercept of the line below the softplus."""
    x, scale = (y - y.mean()) / y.std(), f.std()
    middle = np.log(np.expm1(f.mean()))
    line, first, second = np.zeros(2), np.zeros(2), np.zeros(2)
    for step in range(1, steps + 1):
        raw = middle + scale * (line[0] * x + line[1])
        error = (np.log1p(np.exp(raw)) - f) / scale
        slope = 2 * error / (1 + np.exp(-raw))
        gradient = np.array([(slope * x).mean(), slope.mean()])
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        move = first / (1 - 0.9**step)
        line = line - rate * move / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    w = scale * line[0] / y.std()
    return w, middle + scale * line[1] - w * y.mean()


def test_sgd_against_a_loop():
    some = REAL > 0
    y, f = LABELS[some].astype(float), norms()[some].astype(float)
    fit = jax.jit(
        lambda steps, size: norm_line.fit_sgd(
            jax.random.key(1),
            jnp.asarray(LABELS, float),
            jnp.asarray(norms(), float),
            REAL,
            steps=steps,
            learning_rate=0.05,
            batch_size=size,
        ),
        static_argnums=(0, 1),
    )
    want = by_adam(y, f, steps=20, rate=0.05)
    with jax.enable_x64(True):  # Adam makes much of gradients that are nearly 0.
        # A batch that holds all five, and more places than there are labels.
        np.testing.assert_allclose(fit(20, 16), want, rtol=1e-6)
        # Batches of two and one see the same labels in another order.
        near = fit(20, 2)
    assert np.abs(np.array(near) - want).max() > 1e-4
    np.testing.assert_allclose(near, want, atol=1.0)


def test_sgd_learns_a_line_in_epochs():
    want = (0.4, 6.0)
    f = np.float32(want[0] * LABELS + want[1])
    fit = toy.jit(
        lambda epochs, rate: norm_line.fit_sgd(
            jax.random.key(2), LABELS, f, REAL, epochs=epochs, learning_rate=rate
        )
    )
    line = fit(400.0, 2e-2)
    got = norm_line.predict(line, LABELS, fit="sgd")
    np.testing.assert_allclose(got, f, rtol=0.01)
    # Without an epoch it is the mean; the published rate hardly leaves it.
    mean = f[REAL > 0].mean()
    for epochs, rate, near in ((0.0, 1e-2, 1e-5), (20.0, 1e-4, 0.02)):
        flat = norm_line.predict(fit(epochs, rate), LABELS, fit="sgd")
        np.testing.assert_allclose(flat, mean, rtol=near)


def test_what_is_refused():
    line = norm_line.Line(jnp.zeros(()), jnp.zeros(()))
    with pytest.raises(ValueError, match="closed, sgd, got 'ridge'"):
        norm_line.predict(line, LABELS, fit="ridge")
    with pytest.raises(ValueError, match=r"\(2,\).*\(9,\)"):
        norm_line.fit_closed(LABELS, LABELS[:2], REAL)
