"""Norm order against loops written from the formula, and public numbers."""

import functools
import itertools
import pathlib

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.objectives import base, norm_order
from dirjax.objectives.norm_order import norm_order_loss, order_divergence
from tests import toy
from tests.features.test_prototypes import by_loops as prototypes_by_loops
from tests.objectives import test_ordinal_entropy

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def by_loops(f, y, *, pairs="off_diagonal", distance="absolute", tau=1.0, s=1.0, eps=0):
    """The divergence in float64, a loop for each index."""
    f, y, n = np.asarray(f, np.float64), np.asarray(y, np.float64) / s, len(f)
    power = 1 if distance == "absolute" else 2

    def weight(v, a, b):
        return np.exp(-(abs(v[a] - v[b]) ** power) / tau)

    index = list(itertools.product(range(n), repeat=2))
    if pairs != "all":
        index = [(a, b) for a, b in index if a != b]
    sets = [index]
    if pairs == "rows":
        sets = [[(a, b) for a, b in index if a == row] for row in range(n)]
    total = 0.0
    for some in sets:
        p = np.array([weight(y, a, b) for a, b in some])
        q = np.array([weight(f, a, b) for a, b in some])
        p, q = p / p.sum() + eps, q / q.sum() + eps
        total += (p * np.log(p / q)).sum()
    return total / len(sets)


def rows(seed=0):
    rng = np.random.default_rng(seed)
    z = np.float32(rng.normal(size=(12, 3)))
    return z, np.int32(rng.integers(0, 6, 12)), np.float32(np.arange(12) % 5 != 3)


class Variants(chex.TestCase):
    @chex.all_variants
    def test_against_loops(self):
        z, y, mask = rows()
        kind = {"num_bins": 6, "label_scale": 2.0, "tau": 1.5}
        fn = self.variant(lambda z, y, m: norm_order_loss(z, y, mask=m, **kind))
        label, _, _, norm = prototypes_by_loops(z, y, mask)
        want = by_loops(norm, label, s=2.0, tau=1.5)
        np.testing.assert_allclose(fn(z, y, mask), want, rtol=1e-5)


@pytest.mark.parametrize(
    ("pairs", "distance", "eps", "reading"),
    [
        ("off_diagonal", "absolute", 1e-3, "mean_of_norms"),
        ("off_diagonal", "squared", 0.0, "prototype"),
        ("all", "squared", 1e-3, "prototype"),
        ("all", "absolute", 0.0, "prototype"),
        ("rows", "absolute", 0.0, "prototype"),
        ("rows", "squared", 1e-3, "mean_of_norms"),
    ],
)
def test_options_against_loops(pairs, distance, eps, reading):
    z, y, mask = rows()
    kind = {"pairs": pairs, "distance": distance, "tau": 0.7, "eps": eps}
    label, _, _, norm = prototypes_by_loops(z, y, mask, reading)
    fn = functools.partial(norm_order_loss, reading=reading, **kind)
    got = toy.jit(lambda z, y, m: fn(z, y, mask=m))(z, y, mask)
    np.testing.assert_allclose(got, by_loops(norm, label, **kind), rtol=2e-5)


@functools.cache
def divergence(pairs):
    """Compiled, with labels in units of four."""
    fn = functools.partial(order_divergence, pairs=pairs, tau=2.0, label_scale=4.0)
    return toy.jit(lambda f, y, real: fn(f, y, real=real))


@hypothesis.given(
    st.lists(st.integers(0, 60), min_size=3, max_size=8, unique=True),
    st.floats(-50, 50),
    st.sampled_from(norm_order.PAIRS),
)
@hypothesis.settings(deadline=None, max_examples=20)
def test_properties(labels, number, pairs):
    """0 at both minima, which are labels and their negative; never below 0."""
    y, real = np.zeros(8, np.float32), np.arange(8) < len(labels)
    y[: len(labels)] = labels
    loss = divergence(pairs)
    for sign in (1, -1):
        f = sign * y / 4 + np.float32(number)
        got = loss(f, y, real)
        assert abs(got) < 1e-4
    f = np.float32(np.random.default_rng(len(labels)).normal(size=8) * number)
    assert loss(f, y, real) > -1e-5
    # What does not count does not matter.
    other = np.where(real, f, np.float32(1e6))
    np.testing.assert_allclose(loss(other, y, real), loss(f, y, real), rtol=1e-5)


def padded(*values):
    """Four values and room for eight, and which are real."""
    return *(np.pad(np.float32(v), (0, 4)) for v in values), np.arange(8) < 4


def test_other_norms_are_not_minima():
    y = np.float32([0, 1, 2, 5])
    for f in (2 * y, 0 * y, y[::-1] ** 2, np.float32([0, 2, 1, 5])):
        for pairs in norm_order.PAIRS:
            assert by_loops(f, y, pairs=pairs) > 0.01
            got = divergence(pairs)(*padded(f, y))
            want = by_loops(f, y, pairs=pairs, tau=2.0, s=4.0)
            np.testing.assert_allclose(got, want, rtol=1e-5)


@functools.cache
def of_author(tau, eps):
    fn = functools.partial(order_divergence, pairs="all", tau=tau, eps=eps)
    return toy.jit(jax.value_and_grad(fn))


def test_golden():
    """The author's module: all pairs and eps; its vectors of labels are left out."""
    with np.load(GOLDEN / "frobs_kl.npz") as data:
        seen = 0
        for number in range(int(data["n_cases"])):
            c = {k[4:]: data[k] for k in data.files if k.startswith(f"c{number:02d}.")}
            if c["in.y_true"].ndim > 1:
                continue
            seen += 1
            with jax.enable_x64(True):
                loss, slope = of_author(float(c["p.temperature"]), float(c["p.eps"]))(
                    jnp.asarray(c["in.l_pred"]), jnp.asarray(c["in.y_true"])
                )
            np.testing.assert_allclose(loss, c["out.loss"], rtol=1e-10, atol=1e-14)
            np.testing.assert_allclose(slope, c["grad.l_pred"], rtol=1e-8, atol=1e-14)
        assert seen == 8


@pytest.mark.slow
def test_numerical_gradients():
    with jax.enable_x64(True):
        z = jnp.asarray(np.random.default_rng(3).normal(size=(6, 2)))
        y = jnp.array([0, 0, 1, 3, 3, 4])
        loss = jax.jit(functools.partial(norm_order_loss, bins=y))
        chex.assert_numerical_grads(loss, (z,), order=1, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_degenerate_batches():
    z, y, mask = rows()
    one = jnp.zeros(12).at[4].set(1.0)
    batches = {
        "one bin": (z, 0 * y, mask, True),
        "two bins": (z, np.minimum(y, 1), mask, True),
        "duplicates": (np.ones_like(z), y, mask, False),
        "zero features": (np.zeros_like(z), y, mask, False),
        "far norms": (1e4 * z, y, mask, False),
        "one row": (z, y, one, True),
        "no row": (z, y, np.zeros(12), True),
        "NaN in padding": (np.where(mask[:, None] > 0, z, np.nan), y, mask, False),
    }
    for pairs in norm_order.PAIRS:
        fn = functools.partial(norm_order_loss, pairs=pairs)
        slope = toy.jit(jax.value_and_grad(fn))
        for name, (features, bins, real, none) in batches.items():
            value, gradient = slope(jnp.asarray(features), bins, mask=real)
            assert np.isfinite(value), name
            assert np.isfinite(gradient).all(), name
            np.testing.assert_array_equal(gradient[np.asarray(real) == 0], 0)
            # One bin, or two without the diagonal: p is q.
            if none and not (name == "two bins" and pairs == "all"):
                assert abs(value) < 1e-6, (name, pairs)
                np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_work_is_with_the_smaller_of_bins_and_rows():
    z, y, mask = rows()
    loss = jax.grad(lambda z: norm_order_loss(z, y, mask=mask, num_bins=1000))
    program = str(jax.make_jaxpr(loss)(z))
    assert "[12,12]" in program
    assert "1000" not in program
    few = jax.grad(lambda z: norm_order_loss(z, y, mask=mask, num_bins=6))
    assert "[12,12]" not in str(jax.make_jaxpr(few)(z))


def ranks(v):
    """Mean ranks by counting."""
    return np.array(
        [sum(w < x for w in v) + (sum(w == x for w in v) - 1) / 2 for x in v]
    )


@pytest.mark.parametrize("seed", range(3))
def test_rank_correlation(seed):
    rng = np.random.default_rng(seed)
    values, labels = rng.integers(0, 5, 9) * 1.0, rng.permutation(9) * 1.0
    real = rng.random(9) < 0.8
    correlate = jax.jit(norm_order.rank_correlation)
    got, some = correlate(jnp.float32(values), jnp.float32(labels), jnp.asarray(real))
    want = np.corrcoef(ranks(values[real]), ranks(labels[real]))[0, 1]
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert some == 1
    flat = correlate(jnp.ones(9), jnp.float32(labels), jnp.asarray(real))
    assert [float(v) for v in flat] == [0, 0]


def test_term_against_formula():
    options = {"reading": "mean_of_norms", "tau": 2.0, "label_scale": 0.5}
    objective = norm_order.make(alpha=0.3, pairs="rows", **options)
    batch = toy.batch() | {"mask": np.float32([1, 1, 0, 1, 1, 1, 1, 1])}
    # Heavy rows weigh no more.
    batch["weight"] = np.float32([9, 1, 1, 1, 1, 1, 1, 1])
    z = np.random.default_rng(2).normal(size=(toy.ROWS, 3)).astype(np.float32)
    view = base.View(jnp.asarray(z), None, lambda x: x, lambda x: x)
    variables = objective.init(jax.random.key(0), toy.SPEC)
    out = toy.jit(lambda b: objective.loss(variables, view, b, None))(batch)
    label, _, _, norm = prototypes_by_loops(
        z, batch["bin"], batch["mask"], "mean_of_norms"
    )
    kl = by_loops(norm, label, pairs="rows", tau=2.0, s=0.5)
    entropy = test_ordinal_entropy.by_loops(z, batch["bin"], batch["mask"])
    np.testing.assert_allclose(out.loss, kl + 0.3 * entropy, rtol=1e-5)
    means = {k: float(a / b) for k, (a, b) in out.metrics.items()}
    expected = {
        "loss/norm_kl": kl,
        "loss/norm_entropy": entropy,
        "norm/spearman": np.corrcoef(ranks(norm), ranks(label))[0, 1],
        "norm/span": np.ptp(norm),
        "norm/label_span": np.ptp(label) / 0.5,
    }
    assert set(means) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(means[name], value, rtol=1e-4, err_msg=name)


def test_ranges_that_are_far_apart_are_told():
    advise = norm_order.make(label_scale=2.0).diagnostics.advise
    (said,) = advise({"norm/span": 3.0, "norm/label_span": 60.0})
    assert said.startswith("0.05 times the label range")
    assert "label_scale" in said
    assert not advise({"norm/span": 30.0, "norm/label_span": 60.0})
    assert not advise({"norm/span": 3.0, "norm/label_span": 0.0})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pairs": "some"}, "pairs .* off_diagonal, all, rows, got 'some'"),
        ({"distance": "l2"}, "distance .* absolute, squared"),
        ({"reading": "mean"}, "reading .* prototype, mean_of_norms"),
        ({"tau": 0.0}, "tau must be a number above 0"),
        ({"label_scale": -1.0}, "label_scale must be a number above 0"),
        ({"eps": -1e-8}, "eps must be a number from 0"),
        ({"alpha": float("inf")}, "alpha"),
    ],
)
def test_options_are_checked(options, words):
    with pytest.raises(ValueError, match=words):
        norm_order.make(**options)
