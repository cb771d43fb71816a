"""RankSim against loops, and public numbers."""

import functools

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.objectives import base, ranksim
from dirjax.objectives.ranksim import normalised_ranks, one_per_label, ranksim_loss
from dirjax.ops import sorting
from tests import toy
from tests.objectives import golden


def rank(values):
    """Rank of each value: one, and one for each larger or equally large later one."""
    n = len(values)
    above = [
        sum(
            values[k] > values[j] or (values[k] == values[j] and k > j)
            for k in range(n)
        )
        for j in range(n)
    ]
    return (1 + np.array(above)) / n


def by_loops(z, y):
    z, y = np.float64(z), np.float64(y)
    units = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-300)
    return sum(
        np.mean((rank(units @ row) - rank(-np.abs(label - y))) ** 2)
        for row, label in zip(units, y, strict=True)
    )


def slope_by_loops(z, y, weight, lam):
    """Gradient of the loss: ranks of similarities moved by the gradient of ranks."""
    n = len(z)
    length = np.linalg.norm(z, axis=1, keepdims=True)
    units = z / length
    back = np.zeros((n, n))
    for i in range(n):
        s = units @ units[i]
        h = weight * 2 * (rank(s) - rank(-np.abs(y[i] - y))) / n
        back[i] = -(rank(s) - rank(s + lam * h)) / (lam + 1e-8)
    of_units = (back + back.T) @ units
    return (of_units - units * (of_units * units).sum(1, keepdims=True)) / length


Z = np.array([[1, 0], [0.9, 0.5], [0.2, 1], [-0.7, 1]])
Y = np.array([10.0, 37.0, 22.0, 51.0])


@pytest.mark.quick("__with_jit")
class Variants(chex.TestCase):
    @chex.all_variants
    def test_against_loops(self):
        z, y = rows()
        got = self.variant(ranksim_loss)(z, y, mask=MASK)
        real = MASK > 0
        np.testing.assert_allclose(got, by_loops(z[real], y[real]), rtol=1e-5)


def rows(seed=0, n=11):
    rng = np.random.default_rng(seed)
    z = np.float32(rng.normal(size=(n, 3)))
    z[4], z[5] = z[3], 0
    return z, np.float32(rng.integers(0, 7, n))


MASK = np.float32(np.arange(11) % 4 != 2)


@functools.cache
def program(lam):
    def loss(z, y, weight, key=None, mask=None):
        return weight * ranksim_loss(z, y, interpolation=lam, key=key, mask=mask)

    return toy.jit(jax.value_and_grad(loss))


@pytest.mark.parametrize(("weight", "lam"), [(1, 2.0), (100, 2.0), (1e-6, 2.0)])
def test_gradient_and_what_the_weight_does(weight, lam):
    """The weight moves ranks further; it does not multiply the gradient."""
    with jax.enable_x64(True):
        value, slope = program(lam)(jnp.asarray(Z), jnp.asarray(Y), weight)
    np.testing.assert_allclose(value, weight * 0.3125, rtol=1e-9)
    np.testing.assert_allclose(slope, slope_by_loops(Z, Y, weight, lam), atol=1e-9)
    published = {1: [0, -0.123734], 100: [0, -0.574849], 1e-6: [0, 0]}
    np.testing.assert_allclose(slope[0], published[weight], atol=1e-6)


@pytest.mark.parametrize("name", ["ranksim", "ranksim_stsb"])
@pytest.mark.quick("ranksim")
def test_golden(name):
    for case in golden.cases(name):
        z, y = case["in.features"], case["in.labels"].ravel()
        chosen = case["out.subset"].astype(int)
        with jax.enable_x64(True):
            value, slope = program(float(case["p.lambda"]))(
                jnp.float64(z[chosen]), jnp.float64(y[chosen]), 1.0
            )
        np.testing.assert_allclose(value, case["out.loss"], rtol=1e-6, atol=1e-7)
        want = case["grad.features"]
        np.testing.assert_allclose(slope, want[chosen], atol=1e-5)
        assert np.abs(np.delete(want, chosen, axis=0)).sum() == 0


def test_golden_ranks():
    for case in golden.cases("ranksim_ranker"):
        s, h = case["in.sequence"], case["in.grad_output"]
        lam, there = float(case["p.lambda"]), jnp.ones(s.shape[1], bool)

        @functools.partial(toy.jit, static_argnums=2)
        def both(s, h, lam, there=there):
            found, back = jax.vjp(lambda s: normalised_ranks(s, there, lam), s)
            return found, back(h)[0]

        with jax.enable_x64(True):
            found, slope = both(jnp.float64(s), jnp.float64(h), lam)
        name = next(k for k in case if k.startswith("out."))
        np.testing.assert_allclose(found, case[name], rtol=1e-6)
        np.testing.assert_allclose(slope, case["grad.sequence"], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_one_row_of_each_label():
    y = np.float32([3, 1, 3, 5, 1, 3, 9, 9])
    mask = np.float32([1, 1, 1, 1, 1, 1, 0, 0])
    draw = toy.jit(lambda k: one_per_label(y, key=k, mask=mask))
    seen = set()
    for seed in range(20):
        order, drawn = map(np.asarray, draw(jax.random.key(seed)))
        assert sorted(order.tolist()) == list(range(8))
        assert y[order[drawn]].tolist() == [1, 3, 5]
        seen |= {(order[drawn][1])}
    assert seen == {0, 2, 5}
    again = draw(jax.random.key(19))
    np.testing.assert_array_equal(again[0][again[1]], order[drawn])
    # Nothing is drawn and nothing moves where labels differ.
    order, drawn = one_per_label(jnp.arange(4)[::-1], key=jax.random.key(0))
    assert order.tolist() == [0, 1, 2, 3]
    assert drawn.all()


@pytest.mark.slow
def test_the_draw_is_a_subset():
    z, y = rows(1)
    key = jax.random.key(4)
    value, slope = program(2.0)(z, y, 1.0, key, MASK)
    order, drawn = one_per_label(y, key=key, mask=MASK)
    rest = np.asarray(order)[np.asarray(drawn)]
    np.testing.assert_allclose(value, by_loops(z[rest], y[rest]), rtol=1e-5)
    left = np.setdiff1d(np.arange(11), rest)
    np.testing.assert_array_equal(np.asarray(slope)[left], 0)


def test_degenerate_batches():
    z, y = rows()
    key = jax.random.key(0)
    batches = {
        "one label": (z, np.ones_like(y), MASK, 0.0),
        "one row": (z, y, np.float32(np.arange(11) == 3), 0.0),
        "no row": (z, y, np.zeros(11, np.float32), 0.0),
        "equal rows": (np.ones_like(z), y, MASK, None),
        "zero rows": (np.zeros_like(z), y, MASK, None),
        "NaN in padding": (np.where(MASK[:, None] > 0, z, np.nan), y, MASK, None),
    }
    for name, (features, labels, mask, want) in batches.items():
        value, slope = program(2.0)(features, labels, 1.0, key, mask)
        assert np.isfinite(value), name
        assert np.isfinite(slope).all(), name
        np.testing.assert_array_equal(slope[mask == 0], 0, err_msg=name)
        if want is not None:
            assert float(value) == want, name


@hypothesis.given(
    st.lists(st.sampled_from([-2.5, -0.0, 0.0, 1e-30, 3.0, -3e38, 7.0]), min_size=5)
)
@hypothesis.settings(deadline=None, max_examples=20)
def test_orders_are_stable(values):
    x = np.float32((values * 8)[:40])
    order = np.asarray(toy.jit(sorting.ascending)(x))
    np.testing.assert_array_equal(order, np.argsort(x, kind="stable"))
    np.testing.assert_array_equal(sorting.places(order)[order], np.arange(40))


def test_what_is_refused():
    with pytest.raises(ValueError, match="interpolation must be a number above 0"):
        ranksim.make(interpolation=0.0)
    z, y = rows()
    with pytest.raises(ValueError, match="labels must have 1 dimensions"):
        ranksim_loss(z, y[:, None])
    view = base.View(jnp.ones((2, 3, 3, 4)), None, None, None)
    batch = {"label": jnp.ones((2, 3, 3)), "mask": jnp.ones((2, 3, 3))}
    with pytest.raises(ValueError, match="ranksim needs one label per row"):
        ranksim.make().loss(base.Variables({}, {}), view, batch, jax.random.key(0))
