"""The objective of several targets is the mean of those of each alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import labels, models, objectives
from dirjax.evals.view import make_view
from dirjax.features import moments
from dirjax.labels import support
from dirjax.labels import targets as label_targets
from dirjax.models import targets as model_targets
from dirjax.objectives import base
from dirjax.training import targets
from tests import toy

RNG = np.random.default_rng(3)
VALUES = np.stack([RNG.exponential(size=64) * 3, 50 + 9 * RNG.normal(size=64)], axis=1)
WIDTHS = (1.0, 5.0)
HEADS = {
    "l1": "linear",
    "histogram": "histogram",
    "beta_nll": "gaussian",
    "quantile": "quantile",
    "evidential": "evidential",
    "uvote": "vote",
    "hca": "hierarchy",
}


@functools.cache
def specs():
    found = []
    for values, width in zip(VALUES.T, WIDTHS, strict=True):
        spec = labels.spec(values, bin_width=width, many=9, few=4)
        found.append(dataclasses.replace(spec, feature_dim=toy.WIDTH))
    return tuple(found)


def network(head, spec, *, standardised, scaling="standard"):
    """The toy network in units of the label, or of standardised labels."""
    config = {
        "name": "mlp",
        "head": head,
        "dtype": "float32",
        "label_scaling": scaling,
        "encoder": {"width": toy.WIDTH, "depth": 1, "embedding": "none"},
    }
    record = {
        "kind": "table",
        "table": {"numeric": ["a", "b"], "clip": 4.0},
        "label_mean": spec.label_mean,
        "label_std": spec.label_std,
        "encoder": {"numeric": 2, "rows": 64, "cardinalities": (3,), "edges": None},
    }
    places = label_targets.standardised(spec) if standardised else spec
    return models.from_config(
        config,
        record,
        support=support.make(places.bins, places.counts).for_model(),
        standardised=standardised,
    )


def batch(rows=8, seed=0):
    """A batch of both labels, standardised; the last label of the second is padding."""
    found = toy.batch(seed, rows)
    at = np.random.default_rng(seed).integers(0, 64, rows)
    each = specs()
    z = [(VALUES[at, t] - s.label_mean) / s.label_std for t, s in enumerate(each)]
    bins = [s.bins.index(VALUES[at, t]) for t, s in enumerate(each)]
    mask = np.ones((rows, 2), np.float32)
    mask[-1, 1] = 0.0
    return found | {
        "label": np.float32(np.stack(z, axis=1)),
        "bin": np.int32(np.stack(bins, axis=1)),
        "weight": np.float32(np.linspace(0.5, 2, rows))[:, None]
        * np.ones((1, 2), "f4"),
        "mask": mask,
    }


def together(head="linear", **options):
    each = [network(head, s, standardised=True, **options) for s in specs()]
    return each, model_targets.together(each)


def learnt():
    return tuple(label_targets.standardised(s) for s in specs())


TERMS = {
    "histogram": {"histogram": {}},
    "quantile": {"quantile": {}},
    "beta_nll": {"gaussian": {}},
    "evidential": {"evidential": {}},
    "uvote": {"uvote": {}},
    "hca": {"hca": {}},
    "l1": {"l1": {}},
}


@functools.cache
def problem(method):
    """Objective of one, networks of each, parameters, variables, and the joint loss."""
    one = objectives.from_config(
        TERMS[method], ("reweight",), {"reweight": {"scheme": "sqrt_inverse"}}
    )
    both = targets.per_target(one, ("tall", "heavy"))
    each, net = together(HEADS[method])
    inputs = batch()["inputs"]
    params, _ = toy.jit(net.init)(jax.random.key(0), inputs)
    variables = both.init(jax.random.key(4), learnt())

    def loss(params, rows):
        view, _ = make_view(
            net, params, {}, rows["inputs"], jax.random.key(1), train=False
        )
        out = both.loss(variables, view, rows, jax.random.key(2))
        return out.loss, (out.metrics, view.features)

    joint = toy.jit(jax.value_and_grad(loss, has_aux=True))
    return one, each, params, variables, joint


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("l1", marks=pytest.mark.quick("l1")),
        *(pytest.param(m, marks=pytest.mark.slow) for m in HEADS if m != "l1"),
    ],
)
def test_the_loss_is_the_mean_of_those_of_each_alone(method):
    """In float64 numpy for l1 with weights by bin; by the method itself for others."""
    one, each, params, variables, joint = problem(method)
    rows = batch()
    (found, (metrics, features)), _ = joint(params, rows)
    alone = []
    for t, (network_of, spec) in enumerate(zip(each, learnt(), strict=True)):
        own = {**params, "head": params["head"][f"target_{t}"]}
        if method == "l1":
            head = jax.device_get(own["head"]["linear"])
            z = np.asarray(features, np.float64) @ head["kernel"] + head["bias"]
            table = np.asarray(one.weighting(spec, np.ones(spec.bins.num)), np.float64)
            w = table[rows["bin"][:, t]] * rows["weight"][:, t] * rows["mask"][:, t]
            error = np.abs(z[:, 0] - rows["label"][:, t])
            alone.append((w * error).sum() / rows["mask"][:, t].sum())
            continue
        view, _ = make_view(
            network_of, own, {}, rows["inputs"], jax.random.key(1), train=False
        )
        key = f"target_{t}"
        held = base.Variables(variables.params[key], variables.state[key])
        single = {
            k: v[:, t] if k in ("label", "bin", "weight", "mask") else v
            for k, v in rows.items()
        }
        alone.append(float(one.loss(held, view, single, jax.random.key(2)).loss))
    np.testing.assert_allclose(found, np.mean(alone), rtol=2e-6)
    np.testing.assert_allclose(metrics["heavy/loss"][0], alone[1], rtol=2e-6)


def test_padding_of_one_target_never_counts():
    _, _, params, _, joint = problem("l1")
    rows = batch()

    def loss(rows):
        return joint(params, rows)[0][0]

    changed = {**rows, "label": rows["label"].copy()}
    changed["label"][-1, 1] += 100.0
    assert loss(rows) == loss(changed)
    changed["label"][-1, 0] += 100.0
    assert loss(rows) != loss(changed)
    # A target without any label in a batch has no gradient, and a finite one of others.
    rows["mask"][:, 1] = 0.0
    grads = joint(params, rows)[1]
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    assert not np.any(grads["head"]["target_1"]["linear"]["kernel"])
    assert np.any(grads["head"]["target_0"]["linear"]["kernel"])


@pytest.mark.slow
def test_statistics_are_those_of_each_target():
    one = objectives.from_config({"l1": {}}, ("fds",), {"fds": {"start_smooth": 0}})
    both = targets.per_target(one, ("tall", "heavy"))
    variables = both.init(jax.random.key(0), learnt())
    rows = batch()
    features = jnp.asarray(RNG.normal(size=(8, toy.WIDTH)), jnp.float32)
    found = tuple(
        moments.from_batch(
            features, rows["bin"][:, t], rows["mask"][:, t], num_bins=s.bins.num
        )
        for t, s in enumerate(specs())
    )
    after = both.collect.epoch(variables, found)
    for t in range(2):
        key = f"target_{t}"
        held = base.Variables(variables.params[key], variables.state[key])
        want = one.collect.epoch(held, found[t])
        got = after.state[key]
        for a, b in zip(jax.tree.leaves(want.state), jax.tree.leaves(got), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("scaling", ["standard", "deviation", "none"])
@pytest.mark.parametrize("head", sorted(set(HEADS.values())))
@pytest.mark.quick("linear-none")
def test_what_is_learnt_and_what_is_predicted_are_the_same(head, scaling):
    """The network in units of the label is the affine map of the one that learns."""
    (_, spec) = specs()
    inner = network(head, spec, standardised=True, scaling=scaling)
    outer = network(head, spec, standardised=False, scaling=scaling)
    rows = batch()
    params, _ = inner.init(jax.random.key(0), rows["inputs"])
    features = jnp.asarray(RNG.normal(size=(8, toy.WIDTH)), jnp.float32)
    z, y = inner.head(params, features), outer.head(params, features)
    np.testing.assert_allclose(
        spec.label_mean + spec.label_std * z.prediction, y.prediction, 2e-5, 2e-5
    )
    if hasattr(z, "log_probs"):
        edges = spec.bins.edges
        moved = (edges - spec.label_mean) / spec.label_std
        np.testing.assert_allclose(
            np.exp(z.log_probs(moved)), np.exp(y.log_probs(edges)), atol=2e-5
        )


def test_advice_names_its_target():
    def advise(means):
        return [f"loss {means['x']:g}"] if "x" in means else []

    own = objectives.from_config({"l1": {}})
    own = own._replace(diagnostics=base.Diagnostics(advise))
    both = targets.per_target(own, ("tall", "heavy"))
    assert both.diagnostics.advise({"heavy/x": 2.0, "x": 3.0}) == ["heavy: loss 2"]
