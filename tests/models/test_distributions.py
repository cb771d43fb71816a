"""Functions of predicted distributions, against formulas in float64."""

import itertools

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from scipy import special, stats

from dirjax.models.distributions import (
    GaussianOutputs,
    HistogramOutputs,
    QuantileOutputs,
)
from dirjax.ops import densities
from tests import toy

EDGES = np.array([-2.0, -0.5, 0.0, 0.1, 1.0, 4.0])
# Other bins: finer here, wider there, and beyond the range.
OTHER = np.array([-5.0, -1.0, 0.05, 0.06, 0.5, 2.0, 3.0, 9.0])
RNG = np.random.default_rng(0)
ROWS = 7


def histogram(edges=EDGES, rows=ROWS):
    logits = np.float32(RNG.normal(size=(rows, len(edges) - 1)) * 2)
    return HistogramOutputs(logits[:, 0], logits, np.float32(edges))


def gaussian():
    center = np.float32([0.0, 0.3, -1.5, 8.0, -60.0, 0.05, 2.0])
    deviation = np.float32([1.0, 0.1, 3.0, 0.5, 2.0, 1e-3, 400.0])
    return GaussianOutputs(center, center, deviation)


def quantiles(levels=4):
    steps = RNG.gamma(1.0, 1.0, (ROWS, levels)) + 0.01
    values = np.float32(np.cumsum(steps, axis=1) - 2 * RNG.random((ROWS, 1)) - 1)
    return QuantileOutputs(values[:, 0], values)


KINDS = {"histogram": histogram(), "gaussian": gaussian(), "quantile": quantiles()}


def called(outputs, method, *args):
    """A method of distributions as one program."""
    return toy.jit(lambda o, *a: getattr(o, method)(*a))(outputs, *args)


def log_difference(low, high):
    """Log of a difference of two normal distribution functions, in float64."""
    if low + high > 0:
        low, high = -high, -low
    top = special.log_ndtr(high)
    if high - low < 1e-6:
        return stats.norm.logpdf((low + high) / 2) + np.log(high - low)
    return top + np.log(-np.expm1(special.log_ndtr(low) - top))


def cdf_of_quantiles(values, y):
    """Line by line; above the last value from the other side, so that none cancels."""
    n = len(values)
    share = 1 / (n + 1)
    if y < values[0]:
        return share * np.exp((y - values[0]) / (values[1] - values[0])), False
    if y > values[-1]:
        return share * np.exp((values[-1] - y) / (values[-1] - values[-2])), True
    at = max(k for k in range(n) if values[k] <= y)
    if at == n - 1:
        return share, True
    part = (y - values[at]) / (values[at + 1] - values[at])
    return share * (at + 1 + part), False


def by_hand(kind, row, edges):
    """Log probability of each bin of one row; the end bins take the rest."""
    borders, found = [-np.inf, *edges[1:-1], np.inf], []
    outputs = KINDS[kind]
    for low, high in itertools.pairwise(borders):
        if kind == "gaussian":
            m, s = float(outputs.center[row]), float(outputs.deviation[row])
            found.append(log_difference((low - m) / s, (high - m) / s))
        elif kind == "quantile":
            values = np.float64(outputs.values[row])
            (a, above), (b, over) = (cdf_of_quantiles(values, y) for y in (low, high))
            mass = a - b if above and over else (1 - b if over else b) - a
            found.append(np.log(mass))
        else:
            probs, total = special.softmax(np.float64(outputs.logits[row])), 0.0
            own = np.float64(outputs.edges)
            for p, a, b in zip(probs, own[:-1], own[1:], strict=True):
                total += p * max(min(b, high) - max(a, low), 0) / (b - a)
            with np.errstate(divide="ignore"):
                found.append(np.log(total))
    return found


class Variants(chex.TestCase):
    @chex.all_variants
    @parameterized.product(kind=tuple(KINDS), edges=(0, 1))
    def test_log_probs(self, kind, edges):
        edges = (EDGES, OTHER)[edges]
        run = self.variant(lambda outputs: outputs.log_probs(edges))
        got = np.asarray(run(KINDS[kind]), np.float64)
        want = np.array([by_hand(kind, row, edges) for row in range(ROWS)])
        np.testing.assert_allclose(got, want, rtol=3e-5, atol=3e-5)
        np.testing.assert_allclose(np.exp(got).sum(1), 1, rtol=1e-5)

    @chex.all_variants
    @parameterized.parameters(*KINDS)
    def test_decoding(self, kind):
        """Against sums over narrow bins."""
        outputs = KINDS[kind]
        run = self.variant(lambda o: (o.mean(), o.median(), o.quantile(0.9)))
        mean, median, high = (np.float64(x) for x in run(outputs))
        if kind == "gaussian":
            m, s = np.float64(outputs.center), np.float64(outputs.deviation)
            np.testing.assert_allclose(mean, m)
            np.testing.assert_allclose(median, m)
            np.testing.assert_allclose(high, stats.norm.ppf(0.9, m, s), rtol=1e-5)
            return
        fine = np.linspace(-40, 60, 5001)
        log_probs = np.float64(outputs.log_probs(fine))
        want = [f(log_probs, fine) for f in (densities.mean, densities.median)]
        want.append(densities.quantile(log_probs, fine, 0.9))
        for got, wanted in zip((mean, median, high), want, strict=True):
            np.testing.assert_allclose(got, wanted, atol=0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.quick("histogram", "quantile")
def test_quantiles_invert_the_distribution_function(kind):
    for level in (0.01, 0.2, 0.5, 0.77, 0.999):
        places = np.float64(called(KINDS[kind], "quantile", level))
        for row, y in enumerate(places):
            below = np.exp(by_hand(kind, row, [y - 1, y, y + 1])[0])
            np.testing.assert_allclose(below, level, rtol=2e-3, atol=1e-5)
    each = np.linspace(0.1, 0.9, ROWS, dtype=np.float32)
    several = KINDS[kind].quantile(each)
    one = [KINDS[kind].quantile(level)[row] for row, level in enumerate(each)]
    np.testing.assert_allclose(several, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_density_is_the_slope_of_the_distribution_function(kind):
    labels = np.float32([-0.7, 0.05, 0.31, 0.7, 2.2, 0.6, -1.9])
    step = 1e-5
    got = KINDS[kind].log_prob(jnp.asarray(labels))
    for row, y in enumerate(np.float64(labels)):
        mass = by_hand(kind, row, [y - 9, y - step, y + step, y + 9])[1]
        np.testing.assert_allclose(got[row], mass - np.log(2 * step), rtol=1e-3)


@pytest.mark.parametrize("kind", ["histogram", "quantile"])
def test_mode_is_where_the_density_is_highest(kind):
    outputs, grid = KINDS[kind], np.linspace(-6, 12, 2001, dtype=np.float32)
    at_mode = outputs.log_prob(outputs.mode())
    everywhere = jax.vmap(lambda y: outputs.log_prob(jnp.full(ROWS, y)))(grid)
    np.testing.assert_allclose(at_mode, everywhere.max(0), rtol=1e-5)
    assert (outputs.decoded("mode") == outputs.mode()).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.quick("quantile")
def test_leading_axes_are_kept(kind):
    outputs, shape = KINDS[kind], (1, ROWS, 1)

    def reshaped(x):
        return x.reshape(shape + x.shape[1:])

    parts = {k: v for k, v in outputs._asdict().items() if k != "edges"}
    wide = outputs._replace(**{k: reshaped(v) for k, v in parts.items()})

    @toy.jit
    def everything(o):
        there = o.log_prob(jnp.zeros_like(o.prediction))
        after = o.corrected(OTHER, np.linspace(-1, 1, 7), 0.5)
        return there, after, o.log_probs(OTHER), o.mean(), o.median(), o.mode()

    for got, want in zip(everything(wide), everything(outputs), strict=True):
        np.testing.assert_allclose(got, reshaped(want), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_correction(kind):
    outputs = KINDS[kind]
    ratio = np.log([0.5, 2.0, 1.0, 3.0, 0.1])
    plain = outputs.log_probs(EDGES)
    np.testing.assert_allclose(outputs.corrected(EDGES, ratio, 0.0), plain, atol=2e-6)
    there = outputs.corrected(EDGES, ratio, 1.0)
    want = np.exp(np.float64(plain)) * np.exp(ratio)
    want /= want.sum(1, keepdims=True)
    np.testing.assert_allclose(np.exp(there), want, rtol=1e-4, atol=1e-7)
    back = densities.corrected(there, -ratio, 1.0, jnp)
    np.testing.assert_allclose(np.exp(back), np.exp(plain), rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_own_edges_take_no_detour():
    outputs = KINDS["histogram"]
    own = jax.nn.log_softmax(outputs.logits)
    np.testing.assert_array_equal(outputs.log_probs(EDGES), own)
    # Nor do they differ where it is taken.
    long_way = outputs._replace(edges=jnp.asarray(outputs.edges)).log_probs(EDGES)
    np.testing.assert_allclose(long_way, own, rtol=1e-5, atol=1e-6)
    # A bin beyond all is empty, and may stay so.
    beyond = outputs.log_probs(np.array([-2.0, 4.0, 5.0, 6.0]))
    np.testing.assert_allclose(np.exp(beyond), [[1, 0, 0]] * ROWS, atol=1e-6)


@pytest.mark.slow
def test_far_and_narrow_bins_of_a_gaussian():
    """No infinity, no NaN, and gradients that are finite."""
    edges = np.concatenate([np.linspace(0, 1, 200), [50.0, 1e4]])

    def total(center, deviation):
        outputs = GaussianOutputs(center, center, deviation)
        return jnp.sum(outputs.log_probs(edges))

    center = jnp.float32([0.0, 0.5, 1e3, -1e5, 7e5])
    deviation = jnp.float32([1e-3, 1e-2, 1.0, 1e3, 1e-1])
    run = toy.jit(jax.value_and_grad(total, (0, 1)))
    value, slopes = run(center, deviation)
    assert np.isfinite(value)
    chex.assert_tree_all_finite(slopes)
    got = called(GaussianOutputs(center, center, deviation), "log_probs", edges)
    np.testing.assert_allclose(np.exp(got).sum(1), 1, rtol=1e-5)


def test_narrow_bins_of_quantiles_are_not_lost():
    """A bin of a thousandth in a range of ten thousand."""
    values = jnp.linspace(-5e3, 5e3, 19)[None]
    edges = np.array([-1e4, 4e3, 4e3 + 1e-3, 1e4], np.float32)
    got = called(QuantileOutputs(values[:, 0], values), "log_probs", edges)
    want = np.log(1 / 20 * (edges[2] - edges[1]) / (1e4 / 18))
    np.testing.assert_allclose(got[0, 1], want, rtol=1e-2)


def test_one_bin():
    for outputs in KINDS.values():
        got = called(outputs, "log_probs", np.array([0.0, 1.0]))
        np.testing.assert_allclose(got, np.zeros((ROWS, 1)), atol=1e-6)


@pytest.mark.slow
def test_equal_quantiles_are_a_point():
    values = jnp.float32([[2.0, 2.0, 2.0, 2.0], [1000.0, 1000.0, 1000.0, 1000.0]])
    outputs = QuantileOutputs(values[:, 0], values)
    got = called(outputs, "log_probs", np.array([0.0, 1.0, 3.0, 999.0, 1001.0]))
    assert np.isfinite(got).all()
    np.testing.assert_allclose(np.exp(got), [[0, 1, 0, 0], [0, 0, 0, 1]], atol=1e-6)
    for how in densities.DECODES:
        found = called(outputs, how)
        np.testing.assert_allclose(found, [2.0, 1000.0], rtol=1e-4)
    slope = toy.jit(
        jax.grad(
            lambda v: jnp.sum(QuantileOutputs(v[:, 0], v).log_probs(EDGES)[..., 1:])
        )
    )
    assert np.isfinite(slope(values)).all()


log_probs = toy.jit(lambda outputs, edges: outputs.log_probs(edges))


@pytest.mark.slow
@hypothesis.given(st.floats(-30, 30, width=32), st.floats(0.015625, 30, width=32))
@hypothesis.settings(deadline=None, max_examples=40)
def test_shift_and_scale_of_labels(shift, scale):
    """Probabilities of bins do not depend on the unit of the label."""
    for outputs in (KINDS["gaussian"], KINDS["quantile"]):
        moved = outputs._replace(
            **{
                k: v * np.float32(scale) + np.float32(0 if k == "deviation" else shift)
                for k, v in outputs._asdict().items()
            }
        )
        got = np.exp(log_probs(moved, shift + scale * EDGES))
        want = np.exp(log_probs(outputs, EDGES))
        # Rounding of the moved borders, in units of the narrowest distribution.
        np.testing.assert_allclose(got[:5], want[:5], atol=2e-3)
