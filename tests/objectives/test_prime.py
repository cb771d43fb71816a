"""PRIME against loops written from its formulas."""

import jax
import numpy as np
import pytest

from dirjax.objectives import prime
from tests import toy

RNG = np.random.default_rng(0)
PROXIES, PLACES = np.float32(RNG.normal(size=(4, 3))), np.float32([0, 1, 2, 3])
Z, Y = np.float32(RNG.normal(size=(6, 3))), np.float32(RNG.uniform(0, 3, 6))


def test_proxies_against_loops():
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    q = np.float64(PROXIES)
    p = np.array([np.exp(-0.7 * abs(i - j)) for i, j in pairs])
    f = np.array([np.exp(-1.3 * np.linalg.norm(q[i] - q[j])) for i, j in pairs])
    p, f = p / p.sum(), f / f.sum()
    cosine = [q[i] @ q[j] / np.sqrt(q[i] @ q[i] * (q[j] @ q[j])) for i, j in pairs]
    gaps = [abs(i - j) for i, j in pairs]
    spread = np.mean([g * max(c, 0) for g, c in zip(gaps, cosine, strict=True)])
    want = np.sum(p * np.log(p / f)) + 0.5 * spread
    options = {"tau_t": 0.7, "tau_f": 1.3, "spread": 0.5}
    run = toy.jit(jax.value_and_grad(lambda q: prime.proxy_loss(q, PLACES, **options)))
    got, slope = run(PROXIES)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert np.isfinite(slope).all()
    # Proxies on a line, as far apart as their labels, are as wanted; equal ones finite.
    line = np.float32(np.eye(3)[:1] * PLACES[:, None] * 0.7 / 1.3)
    np.testing.assert_allclose(
        prime.proxy_loss(line, PLACES, tau_t=0.7, tau_f=1.3), 0, atol=1e-6
    )
    assert np.isfinite(run(0 * PROXIES)[1]).all()


def test_alignment_against_loops():
    mask = np.float32([1, 1, 0, 1, 1, 1])
    want = []
    for z, y in zip(np.float64(Z[mask > 0]), np.float64(Y[mask > 0]), strict=True):
        t = np.exp(-2.0 * np.abs(y - PLACES))
        a = np.exp(-0.5 * np.linalg.norm(z - PROXIES, axis=1))
        want.append(-(t / t.sum()) @ np.log(a / a.sum()))
    z = np.where(mask[:, None] > 0, Z, np.nan)
    run = toy.jit(
        jax.value_and_grad(
            lambda z, m: prime.alignment_loss(
                z, Y, PROXIES, PLACES, tau_t=2.0, tau_f=0.5, mask=m
            )
        )
    )
    got, slope = run(z, mask)
    np.testing.assert_allclose(got, np.mean(want), rtol=1e-5)
    assert np.isfinite(slope).all()
    assert float(run(z, 0 * mask)[0]) == 0
    with pytest.raises(ValueError, match="proxies must be a whole number from 2"):
        prime.make(proxies=1)
