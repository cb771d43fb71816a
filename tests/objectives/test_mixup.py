"""Mixup: the batch that model and loss see, and a step on it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import objectives
from dirjax.objectives import mixup
from tests import toy

EDGES = np.float32(toy.SPEC.bins.edges)
run = toy.jit(
    lambda batch, key, **o: mixup.mixed(batch, EDGES, key, **o), static_argnames="share"
)


def shares_of(batch, out):
    """The share of each blend, found from its numeric inputs."""
    x = batch["inputs"]["numeric"]
    return ((out["inputs"]["numeric"] - x[1::2]) / (x[0::2] - x[1::2])).mean(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("share", mixup.SHARES)
def test_blends(share):
    batch = toy.batch(rows=400) | {"weight": np.float32(np.arange(400) % 3)}
    out = run(batch, jax.random.key(0), alpha=2.0, share=share)
    s = shares_of(batch, out)
    for name in ("label", "weight"):
        first, second = batch[name][0::2], batch[name][1::2]
        np.testing.assert_allclose(out[name], s * first + (1 - s) * second, atol=1e-4)
    np.testing.assert_array_equal(
        out["bin"], toy.SPEC.bins.index(np.asarray(out["label"]))
    )
    np.testing.assert_array_equal(out["index"], batch["index"][0::2])
    if share == "batch":
        assert np.ptp(s) < 1e-4
        return
    # Beta(2, 2) has mean 1/2 and variance 1/20.
    assert abs(s.mean() - 0.5) < 0.05
    assert abs(s.var() - 0.05) < 0.01
    # A code is that of the first row with the probability of its share.
    codes = batch["inputs"]["categorical"][:, 0]
    own, other = codes[0::2], codes[1::2]
    found = out["inputs"]["categorical"][:, 0]
    differ = own != other
    assert np.isin(found[~differ], own[~differ]).all()
    first = (found == own)[differ]
    assert ((found == own) | (found == other)).all()
    assert abs(first.mean() - s[differ].mean()) < 0.1
    assert np.corrcoef(first, s[differ])[0, 1] > 0.2


def test_a_blend_on_an_edge_is_in_the_bin_that_begins_there(monkeypatch):
    """And one of a row with padding is padding."""
    monkeypatch.setattr(jax.random, "beta", lambda key, a, b: jnp.float32(0.5))
    batch = {
        "inputs": np.ones((4, 1), np.float32),
        "label": np.zeros(4, np.float32),
        "bin": np.zeros(4, np.int32),
        "weight": np.ones(4, np.float32),
        "mask": np.float32([1, 1, 1, 0]),
    }
    edges = np.float32([-1, 0, 1])
    out = mixup.mixed(batch, edges, jax.random.key(0), alpha=2.0)
    assert out["bin"].tolist() == [1, 1]
    assert out["mask"].tolist() == [1, 0]


@pytest.mark.slow
def test_a_step_is_that_on_the_blends():
    objective = objectives.from_config({"l1": {}}, ("mixup",))
    batch, state = toy.batch(), toy.start(objective)
    report = toy.jit(toy.train_step(objective))(state, batch)[1]
    variables = objective.init(jax.random.key(2), toy.SPEC)
    # Any key: with equal rows in each pair, blends are the rows.
    twice = jax.tree.map(lambda x: np.repeat(x[:4], 2, axis=0), batch)
    alone = toy.jit(toy.train_step(toy.l1()))
    want = alone(toy.start(toy.l1()), jax.tree.map(lambda x: x[:4], batch))[1]
    got = toy.jit(toy.train_step(objective))(state, twice)[1]
    np.testing.assert_allclose(got.sums["loss"][0], want.sums["loss"][0], rtol=1e-5)
    assert np.isfinite(report.sums["loss"][0])
    assert variables.state["edges"].shape == (toy.SPEC.bins.num + 1,)


@pytest.mark.slow
def test_pixels():
    maps = jnp.arange(24.0).reshape(4, 2, 3)
    batch = {
        "inputs": jnp.ones((4, 2, 3, 1)),
        "label": maps,
        "bin": jnp.zeros((4, 2, 3), int),
        "weight": jnp.ones((4, 2, 3)),
        "mask": jnp.float32(maps % 5 > 0),
    }
    out = run(batch, jax.random.key(1), alpha=1.0, share="row")
    both = batch["mask"][0::2] * batch["mask"][1::2]
    np.testing.assert_array_equal(out["mask"], both)
    assert out["label"].shape == out["bin"].shape == (2, 2, 3)


@pytest.mark.slow
def test_nested_wrappers_see_blends():
    """Weights are those of the bins of blends, whichever wrapper is outside."""
    for wrappers in (("reweight", "mixup"), ("mixup", "reweight")):
        objective = objectives.from_config({"l1": {}}, wrappers)
        found = toy.jit(toy.train_step(objective))(toy.start(objective), toy.batch(3))
        value = float(found[1].sums["loss"][0])
        if wrappers[0] == "reweight":
            first = value
    np.testing.assert_allclose(value, first, rtol=1e-5)


def test_what_is_refused():
    l1 = toy.l1()
    with pytest.raises(ValueError, match="alpha must be a number above 0"):
        mixup.make(l1, alpha=0.0)
    with pytest.raises(ValueError, match="share must be one of row, batch"):
        mixup.make(l1, share="pair")
    with pytest.raises(ValueError, match="two wrappers that mix"):
        objectives.from_config({"l1": {}}, ("mixup", "c_mixup"))
    words = {**toy.batch(), "inputs": {"words": jnp.zeros((8, 2, 3, 4))}}
    with pytest.raises(ValueError, match="words of two sentences do not correspond"):
        jax.eval_shape(lambda key: run(words, key, alpha=1.0), jax.random.key(0))
