"""BSAM: the step against the same step with gradients taken by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import objectives
from dirjax.labels import weights
from dirjax.objectives import bsam
from tests import toy

SETTINGS = {
    "bsam": {"rho": 0.3},
    "reweight": {"scheme": "sqrt_inverse", "clip": None},
}


def test_a_step_by_hand():
    """In float64 numpy, with one linear layer that trains and the rest fixed."""
    objective = objectives.from_config({"mse": {}}, ("bsam", "reweight"), SETTINGS)
    state, batch = toy.start(objective), toy.batch()
    trainable = jax.tree.map(lambda _: False, state.params["model"])
    trainable = {**trainable, "head": jax.tree.map(lambda _: True, trainable["head"])}
    step = toy.jit(toy.train_step(objective, trainable=trainable))
    new, report = step(state, batch)
    net, params = toy.network(), state.params["model"]
    z = np.float64(net.encode(params, {}, batch["inputs"], train=False)[0])
    linear = params["head"]["linear"]
    w = np.append(np.float64(linear["kernel"])[:, 0], np.float64(linear["bias"]))
    x = np.append(z, np.ones((len(z), 1)), axis=1)
    table = weights.bin_weights(toy.SPEC.counts, **SETTINGS["reweight"])
    q = table[batch["bin"]]

    def value(w):
        return np.mean(q * (x @ w + 2 - batch["label"]) ** 2)

    def slope(w):
        return 2 * x.T @ (q * (x @ w + 2 - batch["label"])) / len(x)

    first = slope(w)
    moved = w + 0.3 * first / np.linalg.norm(first)
    want = w - 0.05 * slope(moved)
    after = new.params["model"]["head"]["linear"]
    found = np.append(after["kernel"][:, 0], after["bias"])
    np.testing.assert_allclose(found, want, rtol=1e-5)
    np.testing.assert_allclose(report.sums["loss"][0], value(w), rtol=1e-5)
    rise = value(moved) - value(w)
    np.testing.assert_allclose(report.sums["bsam/rise"][0], rise, rtol=1e-4)
    same = jax.tree.map(np.array_equal, new.params["model"], params)
    assert all(jax.tree.leaves(same["encoder"]))


@pytest.mark.slow
def test_without_a_move_it_is_the_plain_step():
    plain = toy.l1()
    still = objectives.from_config({"l1": {}}, ("bsam",), {"bsam": {"rho": 0.0}})
    batch = toy.batch()
    want = toy.jit(toy.train_step(plain))(toy.start(plain), batch)[0]
    got = toy.jit(toy.train_step(still))(toy.start(still), batch)[0]
    for a, b in zip(*map(jax.tree.leaves, (got.params, want.params)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e30])
def test_uphill(size):
    tree = {"a": jnp.float32([3.0, 0.0]) * size, "b": jnp.float32(4.0) * size}
    moved = bsam.uphill(jax.tree.map(jnp.zeros_like, tree), tree, 0.1)
    norm = 0.1 if size else 0.0
    flat = np.concatenate([np.ravel(x) for x in jax.tree.leaves(moved)])
    np.testing.assert_allclose(flat, np.array([0.6, 0.0, 0.8]) * norm, rtol=1e-5)


def test_what_is_refused():
    with pytest.raises(ValueError, match="rho must be"):
        bsam.make(toy.l1(), rho=-1.0)
