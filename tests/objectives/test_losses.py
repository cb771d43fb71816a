"""Elementwise losses: l1, mse, huber, focal-r."""

import functools
import pathlib
import types

import chex
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from dirjax import labels as labels_lib
from dirjax.objectives import base, focal_r, huber, l1, mse

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
L1, MSE = focal_r.focal_l1_loss, focal_r.focal_mse_loss
FOCAL = [
    functools.partial(fn, beta=0.2, gamma=gamma, activation=activation)
    for fn, gamma, activation in (
        (L1, 0.0, "sigmoid"),
        (L1, 0.5, "sigmoid"),
        (L1, 1.0, "tanh"),
        (MSE, 0.5, "tanh"),
        (MSE, 1.0, "sigmoid"),
        (MSE, 2.0, "sigmoid"),
    )
]
LOSSES = [l1.l1_loss, mse.mse_loss, functools.partial(huber.huber_loss, beta=0.7)]
LOSSES += FOCAL
FOCAL_LABEL = functools.partial(focal_r.make, unit="label")


def view_of(predictions):
    return base.View(
        features=predictions[..., None],
        outputs=types.SimpleNamespace(prediction=predictions),
        encode=lambda inputs: inputs,
        head=lambda features: types.SimpleNamespace(prediction=features[..., 0]),
    )


def value(objective, predictions, labels, weight=None, mask=None, spec=None):
    one = jnp.ones_like(labels)
    batch = {
        "label": labels,
        "weight": one if weight is None else weight,
        "mask": one if mask is None else mask,
    }
    variables = objective.init(jax.random.key(0), spec)
    return objective.loss(variables, view_of(predictions), batch, None).loss


def by_hand(fn, p, y):
    """One label in float64, from the formulas of the papers."""
    e = abs(float(p) - float(y))
    if fn is l1.l1_loss:
        return e
    if fn is mse.mse_loss:
        return e * e
    o = fn.keywords
    if fn.func is huber.huber_loss:
        return 0.5 * e * e / o["beta"] if e < o["beta"] else e - 0.5 * o["beta"]
    if o["activation"] == "sigmoid":
        factor = 2 / (1 + np.exp(-o["beta"] * e)) - 1
    else:
        factor = np.tanh(o["beta"] * e)
    power = 1 if fn.func is focal_r.focal_l1_loss else 2
    return e**power * factor ** o["gamma"]


class Variants(chex.TestCase):
    @chex.all_variants
    # By number: the name of a partial holds an address, another in each process.
    @parameterized.parameters(*range(len(LOSSES)))
    def test_against_formula(self, number):
        fn = LOSSES[number]
        p = np.array([0.0, 1.0, -3.0, 2.5, 40.0, 1.2], np.float32)
        y = np.array([0.0, 3.0, 2.0, 2.4, -1.0, 0.5], np.float32)
        want = [by_hand(fn, a, b) for a, b in zip(p, y, strict=True)]
        np.testing.assert_allclose(self.variant(fn)(p, y), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", range(30))
def test_golden(case):
    """Weighted means and gradients of the published code, all shapes and options."""
    with np.load(GOLDEN / "weighted_losses.npz") as data:
        prefix = f"c{case:02d}."
        c = {k[4:]: data[k] for k in data.files if k.startswith(prefix)}
    activation = {-1: None, 0: "sigmoid", 1: "tanh"}[int(c["p.activate"])]
    focal = {
        "beta": float(c["p.beta"]),
        "gamma": float(c["p.gamma"]),
        "activation": activation,
    }
    objective = (
        mse.make,
        l1.make,
        functools.partial(FOCAL_LABEL, form="mse", **focal),
        functools.partial(FOCAL_LABEL, form="l1", **focal),
        functools.partial(huber.make, beta=float(c["p.beta"])),
    )[int(c["p.loss"])]()
    with jax.enable_x64(True):
        shape = c["in.inputs"].shape
        weights = np.broadcast_to(c.get("in.weights", np.ones(1)), shape).ravel()
        loss, grad = jax.value_and_grad(
            lambda p: value(objective, p, c["in.targets"].ravel(), jnp.asarray(weights))
        )(jnp.asarray(c["in.inputs"].ravel()))
    np.testing.assert_allclose(loss, c["out.loss"], rtol=1e-9)
    np.testing.assert_allclose(
        grad.reshape(shape), c["grad.inputs"], rtol=1e-9, atol=1e-14
    )


@pytest.mark.parametrize("fn", LOSSES)
def test_gradients(fn):
    with jax.enable_x64(True):
        p, y = jnp.array([0.3, 1.9, -4.0, 30.0]), jnp.array([0.0, 0.5, 1.0, 2.0])
        chex.assert_numerical_grads(lambda x: fn(x, y).sum(), (p,), order=1, rtol=1e-5)


@pytest.mark.parametrize("fn", LOSSES)
def test_gradient_is_zero_at_zero_error_and_finite_near_it(fn):
    slope = jax.grad(lambda p, y: fn(p, y).sum())
    same = jnp.array([0.0, 1.0, -7.0])
    np.testing.assert_array_equal(slope(same, same), 0)
    tiny = jnp.array([0.0, 1e-38, 1e-20, 1e-7, 1e4, 1e9])
    assert np.isfinite(slope(tiny, jnp.zeros(6))).all()


@pytest.mark.parametrize("fn", LOSSES)
@hypothesis.given(
    hnp.arrays(np.float32, 7, elements=st.floats(-100, 100, width=32)),
    hnp.arrays(np.float32, 7, elements=st.floats(-100, 100, width=32)),
    st.permutations(range(7)),
)
@hypothesis.settings(deadline=None, max_examples=10)
def test_properties(fn, p, y, order):
    loss = fn(p, y)
    assert (np.asarray(loss) >= 0).all()
    np.testing.assert_array_equal(fn(p[order], y[order]), loss[np.array(order)])
    np.testing.assert_array_equal(fn(y, p), loss)


@pytest.mark.parametrize(
    "make", [l1.make, mse.make, huber.make, focal_r.make, FOCAL_LABEL]
)
def test_weights_and_padding(make):
    objective = make()
    spec = labels_lib.spec([0.0, 4.0], bin_width=1.0)
    p, y = jnp.array([1.0, 2.0, 5.0]), jnp.array([0.0, 4.0, 4.5])
    run = functools.partial(value, objective, spec=spec)
    # Weight 2 is the row twice, up to the divisor: the mean is over examples.
    twice = run(jnp.append(p, p[1]), jnp.append(y, y[1])) * 4 / 3
    np.testing.assert_allclose(run(p, y, jnp.array([1.0, 2.0, 1.0])), twice, rtol=1e-6)
    padded = run(
        jnp.append(p, jnp.nan), jnp.append(y, 0.0), mask=jnp.array([1.0, 1, 1, 0])
    )
    np.testing.assert_allclose(padded, run(p, y), rtol=1e-6)
    assert run(p, y, mask=jnp.zeros(3)) == 0


def test_worked_focal_numbers():
    p, y = jnp.array([2.0, 5.0]), jnp.zeros(2)
    sigmoid = focal_r.focal_l1_loss(p, y, beta=0.2, gamma=1.0)
    np.testing.assert_allclose(sigmoid, [0.394751, 5 * 0.462117], rtol=1e-5)
    tanh = focal_r.focal_l1_loss(p, y, beta=0.2, gamma=1.0, activation="tanh")
    np.testing.assert_allclose(tanh[1], 5 * 0.761594, rtol=1e-5)
    np.testing.assert_allclose(
        focal_r.focal_mse_loss(p, y, beta=0.2, gamma=1.0)[0], 0.789501, rtol=1e-5
    )


@pytest.mark.parametrize("form", ["l1", "mse"])
def test_focal_unit_is_the_bin_width_inside_the_factor_only(form):
    """Labels and bins scaled by 3: the factor stays, the error grows by 3."""
    p, y = jnp.array([1.0, 4.0, 0.0]), jnp.array([0.0, 2.0, 5.0])
    specs = [labels_lib.spec(s * np.arange(6.0), bin_width=s) for s in (1, 3)]
    make = functools.partial(focal_r.make, form=form, gamma=1.5)
    one = value(make(), p, y, spec=specs[0])
    three = value(make(), 3 * p, 3 * y, spec=specs[1])
    np.testing.assert_allclose(three, {"l1": 3, "mse": 9}[form] * one, rtol=1e-5)
    np.testing.assert_allclose(value(make(unit="label"), p, y), one, rtol=1e-6)
    state = make().init(jax.random.key(0), specs[1]).state
    assert state["width"] == 3
    assert state["width"].dtype == jnp.float32


def test_dense_labels():
    p, y = jnp.ones((2, 3, 4)), jnp.zeros((2, 3, 4))
    for fn in LOSSES:
        assert fn(p, y).shape == (2, 3, 4)
    np.testing.assert_allclose(value(l1.make(), p, y), 1)


@pytest.mark.parametrize("fn", LOSSES)
def test_column_vectors_are_refused(fn):
    with pytest.raises(ValueError, match=r"reshape"):
        fn(jnp.ones((3, 1)), jnp.ones(3))
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        fn(jnp.ones(3), jnp.ones(2))


def test_options_are_checked():
    with pytest.raises(ValueError, match="above 0, got 0"):
        huber.huber_loss(jnp.ones(1), jnp.ones(1), beta=0)
    with pytest.raises(ValueError, match="sigmoid, tanh, got 'relu'"):
        focal_r.make(activation="relu")
    with pytest.raises(ValueError, match="l1, mse, got 'huber'"):
        focal_r.make(form="huber")
    with pytest.raises(ValueError, match="bin, label, got 'year'"):
        focal_r.make(unit="year")
    with pytest.raises(ValueError, match="not be negative, got -1"):
        focal_r.focal_l1_loss(jnp.ones(1), jnp.ones(1), gamma=-1)
    with pytest.raises(TypeError):
        focal_r.focal_l1_loss(jnp.ones(1), jnp.ones(1), jnp.ones(1))
