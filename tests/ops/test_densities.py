import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from dirjax.ops import densities

EDGES = np.array([-1.0, 0.0, 0.5, 2.0, 4.0])
PROBS = np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.5]])
with np.errstate(divide="ignore"):
    LOG = np.log(PROBS)
LABELS = np.array([0.25, 3.0, -2.0])


def slow_cdf(probs, at):
    total = 0.0
    for p, low, high in zip(probs, EDGES, EDGES[1:], strict=False):
        total += p * min(max((at - low) / (high - low), 0.0), 1.0)
    return total


@pytest.mark.parametrize("level", [0.05, 0.3, 0.5, 0.999])
def test_quantile_inverts_the_distribution_function(level):
    found = densities.quantile(LOG, EDGES, level)
    for probs, at in zip(PROBS, found, strict=True):
        assert slow_cdf(probs, at) == pytest.approx(level, abs=1e-12)


def test_a_level_for_each_row_and_the_ends():
    found = densities.quantile(LOG, EDGES, np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(found, [-1.0, 0.25, 4.0])


def test_the_end_is_that_of_the_last_bin_with_a_probability():
    """Also where rounding leaves less than 1 in all."""
    with np.errstate(divide="ignore"):
        rows = np.log(np.array([[0.5, 0.499999, 0.0, 0.0], [0.3, 0.3, 0.399, 0.0]]))
    np.testing.assert_allclose(densities.quantile(rows, EDGES, 1.0), [0.5, 2.0])


def test_density():
    density = np.exp(densities.log_density(LOG, EDGES, LABELS))
    np.testing.assert_allclose(density, [0.2 / 0.5, 0.0, 0.5])


@pytest.mark.parametrize("row", range(3))
@pytest.mark.parametrize("label", [-3.0, -0.5, 0.25, 1.0, 4.0, 6.0])
def test_crps_is_the_integral(row, label):
    def gap(z):
        return (slow_cdf(PROBS[row], z) - (z >= label)) ** 2

    points = sorted({*EDGES, label})
    want = sum(integrate.quad(gap, a, b)[0] for a, b in itertools.pairwise(points))
    found = densities.crps(LOG[row], EDGES, label)
    assert found == pytest.approx(want, abs=1e-8)


def test_decodes_by_hand():
    first = LOG[:1]
    assert densities.decode(first, EDGES, "mean")[0] == pytest.approx(1.575)
    assert densities.decode(first, EDGES, "median")[0] == pytest.approx(1.5)
    # The narrow bin is the densest, not the most probable.
    assert densities.decode(first, EDGES, "mode")[0] == pytest.approx(0.25)
    with pytest.raises(ValueError, match="decode must be one of mean, median, mode"):
        densities.decode(first, EDGES, "max")


def test_identities_of_the_correction():
    ratio = np.log([1.0, 4.0, 0.25, 2.0])
    np.testing.assert_array_equal(
        np.exp(densities.corrected(LOG, ratio, 0.0)), np.exp(densities.normalised(LOG))
    )
    there = densities.corrected(LOG, ratio, 0.7)
    back = densities.corrected(there, -ratio, 0.7)
    np.testing.assert_allclose(np.exp(back), PROBS, atol=1e-15)
    constant = densities.corrected(LOG, np.full(4, 3.0), 1.0)
    np.testing.assert_allclose(np.exp(constant), PROBS, atol=1e-15)
    order = np.array([2, 0, 3, 1])
    permuted = densities.corrected(LOG[:, order], ratio[order], 0.7)
    np.testing.assert_allclose(np.exp(permuted), np.exp(there)[:, order], atol=1e-15)


class Variants(chex.TestCase):
    @chex.all_variants(with_pmap=False)
    def test_jax_gives_the_same(self):
        log = densities.normalised(np.maximum(LOG, -50)).astype(np.float32)
        edges, labels = EDGES.astype(np.float32), LABELS.astype(np.float32)
        calls = {
            **{
                how: functools.partial(densities.decode, how=how)
                for how in ("mean", "mode")
            },
            "quantile": functools.partial(densities.quantile, level=0.3),
            "crps": functools.partial(densities.crps, label=labels),
            "log_density": functools.partial(densities.log_density, label=labels),
        }
        for name, fn in calls.items():
            want = fn(log, edges)
            found = self.variant(lambda a, e, fn=fn: fn(a, e, xp=jnp))(
                jnp.asarray(log), jnp.asarray(edges)
            )
            np.testing.assert_allclose(found, want, rtol=2e-5, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("how", ["mean", "median"])
def test_gradients_are_finite(how):
    logits = jnp.array([[0.0, 200.0, -200.0, 0.0], [0.0, 0.0, 0.0, 0.0]])

    def total(x):
        log = densities.normalised(x, jnp)
        return densities.decode(log, jnp.asarray(EDGES, jnp.float32), how, jnp).sum()

    assert np.isfinite(jax.grad(total)(logits)).all()


def test_one_bin():
    one = np.zeros((1, 1))
    edges = np.array([2.0, 6.0])
    assert densities.mean(one, edges).tolist() == [4.0]
    assert densities.median(one, edges).tolist() == [4.0]
    assert densities.corrected(one, np.array([5.0]), 1.0).tolist() == [[0.0]]
