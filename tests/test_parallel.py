"""Objectives under jax.pmap on four devices equal jax.jit on the global batch."""

import contextlib
import dataclasses
import functools
import pathlib
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import models, objectives, parallel
from dirjax.configs import methods
from dirjax.training import train_step
from tests import test_contract, toy

pytestmark = pytest.mark.matrix

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "parallel.md"
AXIS = "data"


def split(tree):
    """Rows over four devices: a new leading axis."""
    return jax.tree.map(lambda x: x.reshape(4, -1, *x.shape[1:]), tree)


def both(objective, net, state, batch, spread_net=None):
    """Loss, state and gradients of jit on the batch, and of pmap on its blocks."""

    def run(objective, net, mean, state, batch):
        loss_fn = train_step.make_loss_fn(net, objective, train_mode=True)
        inputs = net.prepare(batch["inputs"], state.model_state)
        batch = {**batch, "inputs": inputs}
        graded = objective.gradient(jax.grad(loss_fn, has_aux=True))
        grads, (out, model_state) = graded(
            state.params, state, batch, jax.random.key(5)
        )
        return out.loss, mean(grads), out.state, model_state, out.metrics

    want = jax.jit(functools.partial(run, objective, net, lambda g: g))(state, batch)
    mean = functools.partial(jax.lax.pmean, axis_name=AXIS)
    objective = parallel.pmap_loss(objective, AXIS)
    spread = jax.pmap(
        functools.partial(run, objective, spread_net or net, mean),
        axis_name=AXIS,
        in_axes=(None, 0),
    )
    return want, spread(state, split(batch))


@contextlib.contextmanager
def in_double(is_on):
    """Computes in float64 what models and losses otherwise do in float32.

    Where rounding grows, a sum over devices in another order is off by more than 1e-6.
    """
    if not is_on:
        yield np.float32
        return
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(jnp, "float32", jnp.float64)
        yield np.float64


def as_type(dtype, tree):
    """Arrays of a tree with floating point numbers of this type."""

    def cast(x):
        return np.asarray(x, dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(cast, tree)


def assert_same(want, got, tolerance=1e-6):
    """Every device has the values of jit, relative to the largest of each array."""
    chex.assert_trees_all_equal_structs(want, got)
    for a, b in zip(jax.tree.leaves(want), jax.tree.leaves(got), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        size = max(1.0, np.abs(a).max(initial=0))
        np.testing.assert_allclose(
            b, np.broadcast_to(a, b.shape), atol=tolerance * size
        )


@pytest.mark.parametrize("case", test_contract.CASES)
@pytest.mark.quick("group_contrast")
def test_every_objective(case):
    batch = toy.batch(2)
    batch["mask"][[1, 6]] = 0  # blocks have different numbers of real rows
    batch["weight"] = np.float32(np.linspace(0.5, 2, toy.ROWS))
    state = test_contract.epochs_later(case)
    # It divides by a temperature of 0.07, and by sines of small angles.
    with in_double(case == "accon") as dtype:
        want, got = both(
            test_contract.objective_of(case),
            test_contract.network_of(case, np.dtype(dtype).name),
            as_type(dtype, state),
            as_type(dtype, batch),
        )
    assert_same(want, got)


def pictures(dense):
    """A batch of eight images, with labels per row or per pixel."""
    rng = np.random.default_rng(0)
    shape = (8, 4, 4) if dense else (8,)
    label = np.float32(rng.uniform(0, 6, shape))
    return {
        "inputs": np.float32(rng.normal(size=(8, 8, 8, 1))),
        "label": label,
        "bin": toy.SPEC.bins.index(label),
        "weight": np.ones(shape, np.float32),
        "mask": np.float32(rng.random(shape) < 0.8),
        "index": np.arange(8, dtype=np.int32),
    }


ENCODERS = {
    "small_resnet": {"width": 4, "stage_sizes": (1, 1)},
    "small_unet": {"width": 4, "levels": 2},
    "fused_depth50": {"width": 2, "decoder": 2, "fused": 2},
}


@pytest.mark.parametrize(
    "method", ["vanilla", "sqinv", "fds", "ssir", "group_contrast"]
)
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.slow
def test_batch_norm_over_all_devices(encoder, method):
    dense = encoder != "small_resnet"
    record = methods.PRESETS[method]
    record = record["stage"]["contrast"] if method == "group_contrast" else record
    record = record["objective"]
    terms = {"l1" if k == methods.BASE else k: v for k, v in record["terms"].items()}
    settings = {k: dict(v) for k, v in record.items() if k not in ("terms", "wrappers")}
    for fields in settings.values():
        fields |= {"distance": "l1"} if "distance" in fields else {}
        fields |= {"whole_rows": True} if "whole_rows" in fields and dense else {}
    objective = objectives.from_config(terms, record["wrappers"], settings)
    # Fifty layers of batch norm over eight rows of one pixel amplify rounding.
    with in_double(encoder == "fused_depth50") as dtype:
        assert_batch_norm_is_that_of_all(encoder, objective, dense, dtype)


def assert_batch_norm_is_that_of_all(encoder, objective, dense, dtype):
    make = functools.partial(
        models.build,
        encoder,
        head="dense" if dense else "linear",
        dtype=np.dtype(dtype).name,
    )
    net = make(encoder=ENCODERS[encoder])
    spread_net = make(encoder={**ENCODERS[encoder], "axis_name": AXIS})
    batch = as_type(dtype, pictures(dense))
    params, model_state = net.init(jax.random.key(1), batch["inputs"][:1])
    features, _ = net.encode(params, model_state, batch["inputs"], train=False)
    spec = dataclasses.replace(toy.SPEC, feature_dim=features.shape[-1])
    variables = jax.tree.map(jnp.asarray, objective.init(jax.random.key(2), spec))
    state = as_type(dtype, toy.start(toy.l1()))._replace(
        params={"model": params, "objective": variables.params},
        model_state=model_state,
        objective_state=variables.state,
    )
    assert_same(*both(objective, net, state, batch, spread_net), tolerance=5e-6)


def test_without_it_a_loss_over_pairs_misses_pairs():
    case = "group_contrast"
    objective, net = test_contract.objective_of(case), test_contract.network_of(case)
    state, batch = test_contract.start_of(case), toy.batch(2)

    def loss(objective, batch):
        loss_fn = train_step.make_loss_fn(net, objective, train_mode=True)
        return loss_fn(state.params, state, batch, jax.random.key(5))[0]

    want = jax.jit(functools.partial(loss, objective))(batch)
    alone = jax.pmap(functools.partial(loss, objective), axis_name=AXIS)(split(batch))
    assert abs(float(alone.mean()) - float(want)) > 0.1 * abs(float(want))


@pytest.mark.slow
def test_the_page_is_true():
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    scope = {}
    exec(compile(code, str(PAGE), "exec"), scope)
    np.testing.assert_allclose(scope["value"], float(scope["global_loss"]), rtol=1e-6)
    assert_same(scope["want"], scope["grads"], tolerance=5e-6)
