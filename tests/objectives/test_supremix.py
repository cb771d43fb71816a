"""SupReMix against loops in float64, with the mixtures that were drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.objectives import supremix
from dirjax.objectives.supremix import supremix_loss
from tests import toy

KEY = jax.random.key(3)
both = toy.jit(jax.value_and_grad(supremix_loss), static_argnames="window")
between = toy.jit(supremix._between, static_argnums=(3, 4))


def rows(n=12, seed=0):
    rng = np.random.default_rng(seed)
    y = np.float32(rng.integers(0, 5, n) + 0.5 * rng.random(n))
    return np.float32(rng.normal(size=(n, 3))), y, np.int32(y)


def by_loops(z, y, bins, mask, *, t=0.3, window=5.0, partners=16, beta=(2.0, 8.0)):
    n, real = len(y), mask > 0
    share = np.float64(supremix._by_pair(KEY, n, beta))
    others = real[:, None] & real[None] & ~np.eye(n, dtype=bool)
    pairs = between(KEY, y, others, window, partners)
    (low, high), there = pairs
    z, y = np.float64(z), np.float64(y)
    z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-30)
    values = []
    for i in np.flatnonzero(real):
        terms, pulled = [], []
        for k in np.flatnonzero(real):
            if k == i:
                continue
            logit = z[i] @ z[k] / t
            terms.append((1 + abs(y[i] - y[k]), logit))
            if bins[k] == bins[i]:
                pulled.append(logit)
                continue
            mix, label = (share[i, k] * x[i] + (1 - share[i, k]) * x[k] for x in (z, y))
            terms.append((1 + abs(y[i] - label), z[i] @ mix / t))
        for m in range(partners):
            if there[i, m]:
                j, k = int(low[i, m]), int(high[i, m])
                assert y[j] < y[i] < y[k]
                assert max(y[i] - y[j], y[k] - y[i]) < window
                a = (y[k] - y[i]) / (y[k] - y[j])
                assert a * y[j] + (1 - a) * y[k] == pytest.approx(y[i])
                logit = z[i] @ (a * z[j] + (1 - a) * z[k]) / t
                terms.append((1.0, logit))
                pulled.append(logit)
        if pulled:
            total = np.log(sum(w * np.exp(x) for w, x in terms))
            values.append(total - np.mean(pulled))
    return np.mean(values) if values else 0.0


@pytest.mark.parametrize("whole", [False, True])
def test_with_shares_that_are_given(whole, monkeypatch):
    """The loops that draw them take seconds to compile."""

    def shares(key, rows, beta):
        del key
        return jnp.asarray(np.random.default_rng(rows).beta(*beta, (rows, rows)))

    monkeypatch.setattr(supremix, "_by_pair", shares)
    z, y, bins = rows()
    y = bins if whole else y
    mask = np.float32(np.arange(12) % 5 != 2)
    # A function of its own: programs are kept by function, and this one is patched.
    alone = toy.jit(lambda *given: supremix_loss(*given, mask=mask))
    value = alone(z, y, bins, KEY)
    np.testing.assert_allclose(value, by_loops(z, y, bins, mask), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("window", [5.0, 1.2])
def test_against_loops(window):
    z, y, bins = rows()
    mask = np.float32(np.arange(12) % 5 != 2)
    value, slope = both(z, y, bins, KEY, mask=mask, window=window)
    np.testing.assert_allclose(
        value, by_loops(z, y, bins, mask, window=window), rtol=1e-5
    )
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[mask == 0], 0)
    # Features are normalised, so their gradient is at right angles.
    np.testing.assert_allclose((z * slope).sum(1), 0, atol=1e-5)


@pytest.mark.slow
def test_degenerate_batches():
    z, y, bins = rows()
    one = np.float32(np.arange(12) == 3)
    for name, (features, labels, mask) in {
        "equal labels": (z, np.ones_like(y), np.ones_like(one)),
        "equal rows": (np.ones_like(z), y, np.ones_like(one)),
        "zero rows": (np.zeros_like(z), y, np.ones_like(one)),
        "one row": (z, y, one),
        "no row": (z, y, 0 * one),
        "NaN in padding": (np.where(one[:, None] > 0, np.nan, z), y, 1 - one),
    }.items():
        bins = np.int32(labels)
        value, slope = both(features, labels, bins, KEY, mask=mask)
        assert np.isfinite(slope).all(), name
        want = by_loops(features, labels, bins, mask)
        np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_shares_of_negatives():
    share = np.asarray(supremix._by_pair(KEY, 40, (2.0, 8.0)))
    assert abs(share.mean() - 0.2) < 0.02
    assert abs(share.var() - 0.2 * 0.8 / 11) < 0.004


@pytest.mark.slow
def test_partners_are_drawn_alike():
    y = jnp.float32([0, 1, 2, 3, 4, 9])
    others = ~jnp.eye(6, dtype=bool)
    (low, high), there = between(KEY, y, others, 5.0, 4000)
    count = np.bincount(np.asarray(low[3]), minlength=6)
    np.testing.assert_allclose(count[:3] / 4000, 1 / 3, atol=0.04)
    assert set(np.asarray(high[3]).tolist()) == {4}
    # Nothing below the first row, nothing within reach of the last.
    assert np.asarray(there).any(axis=1).tolist() == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("width", [0.1, 0.3, 0.7])
def test_the_window_leaves_its_edge_out_for_any_width(width):
    whole = np.arange(51)
    others = ~jnp.eye(51, dtype=bool)
    labels = jnp.float32(whole * width) / jnp.float32(width)
    got, want = (between(KEY, jnp.float32(y), others, 5.0, 4) for y in (labels, whole))
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_what_is_refused():
    with pytest.raises(ValueError, match="temperature must be"):
        supremix.make(temperature=0.0)
    for beta in ((-1.0, 8.0), (2.0, 0.0), (2.0,)):
        with pytest.raises(ValueError, match="beta must be two numbers above 0, got"):
            supremix.make(beta=beta)


def test_similarities_are_exact_on_any_device():
    """At the default precision the products of a TPU or GPU have a few digits."""
    z, y, bins = rows()
    traced = str(jax.make_jaxpr(supremix_loss)(z, y, bins, KEY))
    assert traced.count("precision=(Precision.HIGHEST") == traced.count("dot_general[")
    with pytest.raises(ValueError, match="partners"):
        supremix.make(partners=0)
