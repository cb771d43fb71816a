"""Student's t of the evidential head, and the Laplace law of voting experts."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from dirjax.models import heads, voting
from dirjax.models.evidential import EvidentialOutputs
from dirjax.ops import densities
from dirjax.ops.numerics import log_gamma_step
from tests import toy

CENTER = np.float32([0.0, 0.3, -1.5, 8.0, -60.0, 0.05, 2.0, 0.0])
NU = np.float32([1.0, 0.5, 3.0, 100.0, 2.0, 1e-3, 4.0, 5.0])
ALPHA = np.float32([1.3, 1.01, 2.0, 50.0, 400.0, 5.0, 0.31, 90.0])
BETA = np.float32([1.0, 0.1, 3.0, 0.5, 2.0, 1e-3, 40.0, 1.0])
STUDENT = EvidentialOutputs(CENTER, CENTER, NU, ALPHA, BETA)
SCALES = np.float32([1.0, 0.1, 3.0, 0.5, 2.0, 1e-3, 400.0, 1.0])
VOTED = voting.fused(CENTER[:, None], SCALES[:, None], "surest")
# Bins of equal widths, and some that are very narrow or beyond the distributions.
ALL_EDGES = (
    np.array([-2.0, -0.5, 0.0, 0.1, 1.0, 4.0]),
    np.array([-5.0, -1.0, 0.05, 0.06, 0.5, 2.0, 3.0, 9.0]),
    np.linspace(-50, 50, 41),
    np.array([0.0, 1.0]),
)


def laws():
    """Name -> outputs, and the distribution of each row in float64."""
    degrees = np.minimum(2 * np.float64(ALPHA), 200)
    scale = np.sqrt(np.float64(BETA) * (1 + np.float64(NU)) / NU / ALPHA)
    center = np.float64(CENTER)
    return {
        "student": (STUDENT, list(map(stats.t, degrees, center, scale))),
        "laplace": (VOTED, list(map(stats.laplace, center, np.float64(SCALES)))),
    }


KINDS = tuple(laws())


def log_mass(law, low, high):
    """From the end that is nearer, so that little cancels."""
    if low + high > 2 * law.median():
        return np.log(law.sf(low) - law.sf(high))
    return np.log(law.cdf(high) - law.cdf(low))


@pytest.mark.parametrize("number", range(len(ALL_EDGES)))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.quick("student-1", "laplace-1")
def test_log_probs(kind, number):
    (outputs, rows), edges = laws()[kind], ALL_EDGES[number]
    got = np.float64(toy.jit(lambda o: o.log_probs(edges))(outputs))
    pairs = list(itertools.pairwise([-np.inf, *edges[1:-1], np.inf]))
    with np.errstate(divide="ignore"):
        want = np.array([[log_mass(law, *b) for b in pairs] for law in rows])
    # Float64 itself cancels beyond that.
    some = want > -30
    np.testing.assert_allclose(got[some], want[some], atol=1e-3)
    assert not np.isnan(got).any()
    np.testing.assert_allclose(np.exp(got).sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_quantiles_and_means(kind):
    outputs, rows = laws()[kind]
    quantile = toy.jit(lambda o, level: o.quantile(level))
    for level in (0.01, 0.3, 0.5, 0.9):
        want = np.array([law.ppf(level) for law in rows])
        size = np.array([law.ppf(0.9) - law.ppf(0.1) for law in rows])
        got = np.float64(quantile(outputs, level))
        np.testing.assert_allclose(got / size, want / size, atol=1e-3)
    assert np.isposinf(quantile(outputs, 1.0)).all()
    for how in densities.DECODES:
        np.testing.assert_array_equal(outputs.decoded(how), outputs.center)


@pytest.mark.parametrize("kind", KINDS)
def test_log_density(kind):
    outputs, rows = laws()[kind]
    if kind == "student":  # Without a limit of degrees of freedom.
        rows[4] = stats.t(800.0, *rows[4].args[1:])
    for y in (0.0, 1.5, -40.0):
        want = [law.logpdf(y) for law in rows]
        got = np.float64(outputs.log_prob(np.float32(y)))
        some = np.isfinite(want)  # Of scipy's Laplace far out.
        np.testing.assert_allclose(got[some], np.array(want)[some], rtol=1e-4)


def test_gradients_are_finite():
    def total(outputs, y):
        return jnp.sum(outputs.log_prob(y)) + jnp.sum(outputs.log_probs(ALL_EDGES[1]))

    for outputs in (VOTED, STUDENT):
        slopes = toy.jit(jax.grad(total))(jax.tree.map(jnp.asarray, outputs), CENTER)
        for leaf in jax.tree.leaves(slopes):
            assert np.isfinite(leaf).all()


@pytest.mark.slow
def test_heads():
    z = np.float32(np.random.default_rng(0).normal(size=(5, 4)))
    plus = lambda x, b=1.0: np.log1p(np.exp(b * x)) / b  # noqa: E731

    def applied(name, **fields):
        head = heads.HEADS[name](shift=2.0, scale=3.0, **fields)
        make = toy.jit(lambda key: head.init_with_output(key, jnp.asarray(z)))
        out, variables = make(jax.random.key(0))
        layer = {k: np.float64(v) for k, v in variables["params"]["linear"].items()}
        return out, z @ layer["kernel"] + layer["bias"]

    out, raw = applied("evidential")
    np.testing.assert_allclose(out.center, 2 + 3 * raw[:, 0], rtol=1e-5)
    np.testing.assert_allclose(out.nu, plus(raw[:, 1]) + 1e-3, rtol=1e-5)
    np.testing.assert_allclose(out.alpha, 1 + plus(raw[:, 2]), rtol=1e-5)
    np.testing.assert_allclose(out.beta, 9 * plus(raw[:, 3]), rtol=1e-4)
    assert not out.conjugate
    out, raw = applied("evidential", form="conjugate")
    np.testing.assert_allclose(out.nu, 2 + plus(raw[:, 1], 0.1), rtol=1e-5)
    np.testing.assert_allclose(out.alpha, 0.3 + np.float64(out.nu) / 2, rtol=1e-5)
    np.testing.assert_allclose(out.beta, 9 * plus(raw[:, 2], 0.1), rtol=1e-4)
    assert out.conjugate
    out, raw = applied("vote", experts=2)
    np.testing.assert_allclose(out.centers, 2 + 3 * raw[:, :2], rtol=1e-5)
    scales = 3 * (1e-3 + plus(raw[:, 2:] + np.log(np.e - 1)))
    np.testing.assert_allclose(out.scales, scales, rtol=1e-5)
    at = scales.argmin(axis=1)
    want = (2 + 3 * raw[:, :2])[range(5), at]
    np.testing.assert_allclose(out.prediction, want, rtol=1e-5)
    out, _ = applied("vote", experts=2, fuse="weighted")
    weight = np.float64(out.scales) ** -2
    want = (weight * out.centers).sum(1) / weight.sum(1)
    np.testing.assert_allclose(out.center, want, rtol=1e-5)
    with pytest.raises(ValueError, match=r"head_options\.form must be one of"):
        applied("evidential", form="other")
    with pytest.raises(ValueError, match=r"head_options\.fuse must be one of surest"):
        applied("vote", fuse="mean")


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_step_of_log_gamma(kind):
    x = np.concatenate([np.geomspace(1e-30, 1, 31), np.linspace(0.1, 50, 500)])
    x = np.append(x, [8.01, 100.0, 1e6, 1e20]).astype(kind)
    with jax.enable_x64(kind == np.float64):
        value, slope = jax.vmap(jax.value_and_grad(log_gamma_step))(x)
    y = np.float64(x)
    # Far out, the difference of two large numbers says less than a series.
    far = y > 50
    want = special.gammaln(y) - special.gammaln(y + 0.5)
    series = (1 / 8 - 1 / (192 * y**2) + 1 / (640 * y**4)) / y
    want = np.where(far, -0.5 * np.log(y) + series, want)
    steep = special.digamma(y) - special.digamma(y + 0.5)
    series = (-1 / 8 + 1 / (64 * y**2) - 1 / (128 * y**4)) / y
    steep = np.where(far, (-0.5 + series) / y, steep)
    exact, rounding = (1e-13, 5e-14) if kind == np.float64 else (4e-7, 3e-7)
    assert value.dtype == kind
    np.testing.assert_allclose(value, want, rtol=exact, atol=rounding)
    np.testing.assert_allclose(slope, steep, rtol=10 * exact)
