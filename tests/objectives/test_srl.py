"""SRL against loops written from its formulas."""

import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.features import moments
from dirjax.objectives import base, srl
from tests import toy


def unit(v):
    return v / np.linalg.norm(v)


def by_loops(z, b, mask, stored, points, e, h, t):
    """The definition in float64; `stored` maps bins to centroids."""
    z = [unit(np.float64(v)) for v in z]
    rows = [i for i in range(len(z)) if mask[i] > 0]
    s = dict(stored)
    for k in {b[i] for i in rows}:
        s[k] = unit(sum(z[i] for i in rows if b[i] == k))
    keys = sorted(s)
    env = 1 - np.mean([max(p @ s[k] for k in keys) for p in points])
    steps = itertools.pairwise(keys)
    homo = sum(np.sum((s[m] - s[k]) ** 2) / (m - k) for k, m in steps)
    logs = []
    for i in rows:
        scores = np.array([z[i] @ s[k] / t for k in keys])
        logs.append(z[i] @ s[b[i]] / t - np.log(np.exp(scores).sum()))
    return -np.mean(logs) + e * env + h * homo


def test_against_loops():
    objective = srl.make(envelope=0.3, homogeneity=0.2, temperature=0.5, points=20)
    variables = objective.init(jax.random.key(1), toy.SPEC)
    rng = np.random.default_rng(0)
    z = np.float32(rng.normal(size=(8, toy.WIDTH)))
    batch = toy.batch(2)
    batch["mask"] = np.float32(np.arange(8) != 5)

    def loss(z, variables):
        view = base.View(z, types.SimpleNamespace(), None, None)
        return objective.loss(variables, view, batch, None).loss

    run = toy.jit(jax.value_and_grad(loss))
    # Only the regression in the first epoch.
    first, slope = run(z, variables)
    assert float(first) == np.abs(slope).sum() == 0
    count = np.float32([5, 0, 2, 0, 0, 1])
    mean = np.float32(rng.normal(size=(6, toy.WIDTH)))
    table = moments.Moments(count, mean, 0 * mean, count)
    later = objective.collect.epoch(variables, table)
    stored = {k: unit(np.float64(mean[k])) for k in (0, 2, 5)}
    got, slope = run(z, later)
    points = np.float64(variables.state["points"])
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-5)
    want = by_loops(z, batch["bin"], batch["mask"], stored, points, 0.3, 0.2, 0.5)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[5], 0)
    # The next epoch moves known centroids by a tenth, and adds new ones.
    again = objective.collect.epoch(
        later, moments.Moments(1 - 0 * count, -mean[::-1], 0 * mean, count)
    )
    want = unit(0.9 * stored[2] - 0.1 * unit(np.float64(mean[3])))
    np.testing.assert_allclose(again.state["stored"][2], want, rtol=1e-5)
    assert again.state["known"].tolist() == [1] * 6


def test_published_example():
    s = jnp.array([[1, 0], [0.5**0.5, 0.5**0.5], [0, 1]])
    z, there = jnp.array([[1, 0], [0.6, 0.8]]), jnp.ones(3, bool)
    found = srl.contrast_loss(
        z, jnp.array([0, 2]), s, there, temperature=0.1, mask=jnp.ones(2)
    )
    np.testing.assert_allclose(found, 1.054264, rtol=1e-5)
    # A bin that is not there is stepped over.
    there = jnp.array([True, False, True])
    np.testing.assert_allclose(srl.homogeneity_loss(s, there), 1.0, rtol=1e-6)


def test_what_is_refused():
    for options in ({"points": 0}, {"temperature": 0.0}, {"momentum": 2.0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
            srl.make(**options)
