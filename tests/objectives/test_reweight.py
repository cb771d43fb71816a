"""INV, SQINV and LDS weights."""

import types

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import labels as labels_lib
from dirjax import objectives
from dirjax.objectives import base, l1, lds, reweight

LABELS = np.repeat([0.0, 1.0, 2.0, 4.0], [1, 4, 9, 1])
SPEC = labels_lib.spec(LABELS, bin_width=1.0)


def batch_of(values, spec=SPEC, **extra):
    values = jnp.asarray(values, jnp.float32)
    one = jnp.ones_like(values)
    bins = jnp.asarray(spec.bins.index(np.asarray(values)))
    return {"label": values, "bin": bins, "weight": one, "mask": one} | extra


def view_of(predictions):
    return base.View(
        features=predictions[..., None],
        outputs=types.SimpleNamespace(prediction=predictions),
        encode=lambda inputs: inputs,
        head=lambda features: types.SimpleNamespace(prediction=features[..., 0]),
    )


def loss(objective, batch, predictions=None, spec=SPEC):
    p = batch["label"] + 1 if predictions is None else predictions
    variables = objective.init(jax.random.key(0), spec)
    return objective.loss(variables, view_of(p), batch, jax.random.key(1)).loss


# The weights of labels 0, 1, 2 and 4, from runs of the published code.
WORKED = [
    (reweight.make, {"scheme": "inverse"}, [1.363636, 1.363636, 0.757576, 1.363636]),
    (
        reweight.make,
        {"scheme": "sqrt_inverse"},
        [2.142857, 1.071429, 0.714286, 2.142857],
    ),
    (lds.make, {}, [1.090505, 1.030769, 0.902096, 1.667552]),
    (lds.make, {"scheme": "inverse"}, [1.375215, 1.065219, 0.887633, 1.375215]),
    (
        lds.make,
        {"scheme": "inverse", "truncate": True},
        [1.394366, 1.077465, 0.877934, 1.394366],
    ),
]


@pytest.mark.parametrize(("make", "kwargs", "want"), WORKED)
def test_worked_weights(make, kwargs, want):
    objective = make(l1.make(), **kwargs)
    table = objective.init(jax.random.key(0), SPEC).state["table"]
    assert table.dtype == jnp.float32
    np.testing.assert_allclose(table[np.array([0, 1, 2, 4])], want, rtol=1e-6)
    assert not any(objective.collect)
    # Error 1 everywhere: the loss is the mean weight, 1 over the training set.
    np.testing.assert_allclose(loss(objective, batch_of(LABELS)), 1, rtol=1e-6)
    got = loss(objective, batch_of([0.0, 1, 2, 4]))
    np.testing.assert_allclose(got, np.mean(want), rtol=1e-6)


def test_no_clipping():
    state = reweight.make(l1.make(), clip=None).init(None, SPEC).state
    inverse = 1 / np.array([1.0, 4.0, 9.0, 1.0])
    want = inverse * 15 / 4  # Each of the 4 bins adds 1 to the sum of inverses.
    np.testing.assert_allclose(state["table"][np.array([0, 1, 2, 4])], want, rtol=1e-6)


def test_weights_multiply_what_is_there():
    weight = jnp.array([0.5, 2.0])
    objective = reweight.make(l1.make(), scheme="sqrt_inverse")
    got = loss(objective, batch_of([0.0, 1.0], weight=weight))
    np.testing.assert_allclose(got, (0.5 * 2.142857 + 2 * 1.071429) / 2, rtol=1e-6)
    twice = reweight.make(objective, scheme="sqrt_inverse")
    got = loss(twice, batch_of([0.0]))
    np.testing.assert_allclose(got, 2.142857**2, rtol=1e-6)


def test_labels_outside_take_the_end_bins():
    objective = lds.make(l1.make())
    inside, outside = batch_of([0.0, 4.0]), batch_of([-3.0, 9.0])
    np.testing.assert_array_equal(loss(objective, inside), loss(objective, outside))


def test_dense():
    values = jnp.asarray(LABELS[:12], jnp.float32).reshape(1, 3, 4)
    objective = lds.make(l1.make())
    flat = batch_of(values.reshape(-1))
    np.testing.assert_allclose(
        loss(objective, batch_of(values)), loss(objective, flat), rtol=1e-6
    )


def test_table_is_state_and_steps_trace_once():
    objective = lds.make(l1.make())
    traces = []

    @jax.jit
    def step(variables, batch):
        traces.append(1)
        return objective.loss(variables, view_of(batch["label"] + 1), batch, None)

    first = objective.init(None, SPEC)
    other = first._replace(state=first.state | {"table": 2 * first.state["table"]})
    a, b = step(first, batch_of([1.0])), step(other, batch_of([1.0]))
    np.testing.assert_allclose(b.loss, 2 * a.loss)
    assert len(traces) == 1
    assert jax.tree.structure(a.state) == jax.tree.structure(first.state)


def test_params_state_refresh_and_metrics_of_the_inner_pass_through():
    def inner_loss(variables, view, batch, key):
        del view, key
        total = variables.params["a"] * batch["weight"].sum()
        return base.Outcome(total, variables.state + 1, {"n": (total, total)})

    inner = base.Objective(
        lambda key, spec: base.Variables({"a": jnp.float32(2)}, jnp.int32(0)),
        inner_loss,
        base.Collect(
            epoch=lambda variables, moments: variables._replace(
                state=variables.state + moments
            )
        ),
    )
    objective = reweight.make(inner)
    variables = objective.init(None, SPEC)
    out = objective.loss(variables, view_of(jnp.zeros(1)), batch_of([2.0]), None)
    assert out.state["inner"] == 1
    assert out.metrics["n"][0] == out.loss
    again = objective.collect.epoch(variables, 5)
    assert again.state["inner"] == 5
    assert again.params == variables.params
    np.testing.assert_array_equal(again.state["table"], variables.state["table"])


@hypothesis.given(
    st.lists(st.integers(0, 3000), min_size=3, max_size=30).filter(any),
    st.sampled_from(["inverse", "sqrt_inverse"]),
    st.sampled_from([None, "gaussian", "gaussian_exact", "triang", "laplace"]),
)
@hypothesis.settings(deadline=None, max_examples=30)
def test_table_has_mean_one_and_is_positive(counts, scheme, kernel):
    bins = labels_lib.Bins.uniform(width=1, origin=0, num=len(counts))
    spec = types.SimpleNamespace(bins=bins, counts=np.array(counts))
    objective = reweight.make(l1.make(), scheme=scheme, kernel=kernel)
    table = np.asarray(objective.init(None, spec).state["table"], np.float64)
    assert (table > 0).all()
    np.testing.assert_allclose(np.average(table, weights=counts), 1, rtol=1e-5)


@hypothesis.given(st.permutations(range(6)))
@hypothesis.settings(deadline=None, max_examples=10)
def test_order_and_padding_do_not_matter(order):
    objective = lds.make(l1.make(), scheme="inverse")
    values = np.array([0.0, 1, 2, 2, 4, 3])
    p = jnp.arange(6.0)
    want = loss(objective, batch_of(values), p)
    order = np.array(order)
    np.testing.assert_allclose(
        loss(objective, batch_of(values[order]), p[order]), want, rtol=1e-6
    )
    mask = jnp.array([1.0] * 6 + [0.0])
    padded = batch_of(np.append(values, 0.0), mask=mask)
    np.testing.assert_allclose(
        loss(objective, padded, jnp.append(p, jnp.nan)), want, rtol=1e-6
    )


def test_weight_two_is_the_row_twice():
    objective = lds.make(l1.make())
    once = loss(objective, batch_of([0.0, 2.0], weight=jnp.array([1.0, 2.0])))
    twice = loss(objective, batch_of([0.0, 2.0, 2.0]))
    np.testing.assert_allclose(once, twice * 3 / 2, rtol=1e-6)


def test_gradient_is_scaled_by_the_weight():
    objective = reweight.make(l1.make(), scheme="sqrt_inverse")
    slope = jax.grad(lambda p: loss(objective, batch_of([0.0, 2.0]), p))(
        jnp.array([5.0, 5.0])
    )
    np.testing.assert_allclose(slope, [2.142857 / 2, 0.714286 / 2], rtol=1e-5)


def test_unknown_names():
    with pytest.raises(ValueError, match="scheme must be one of"):
        reweight.make(l1.make(), scheme="log").init(None, SPEC)
    with pytest.raises(ValueError, match="kernel must be one of"):
        lds.make(l1.make(), kernel="box").init(None, SPEC)


def test_weighting_is_told():
    """Of wrappers around wrappers, the product; of terms, none."""
    inverse = reweight.make(l1.make(), clip=None)
    both = lds.make(inverse, size=3)
    one = inverse.init(None, SPEC).state["table"]
    np.testing.assert_allclose(
        inverse.weighting(SPEC, np.ones(SPEC.bins.num)), one, rtol=1e-6
    )
    other = lds.make(l1.make(), size=3).init(None, SPEC).state["table"]
    np.testing.assert_allclose(
        both.weighting(SPEC, np.ones(SPEC.bins.num)), one * other, rtol=1e-6
    )
    plain = objectives.from_config({"l1": {}})
    np.testing.assert_array_equal(
        plain.weighting(SPEC, np.ones(SPEC.bins.num)), np.ones(SPEC.bins.num)
    )
