"""The head of groups and experts."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import models
from dirjax.models import heads
from tests import toy

Z = np.float32(np.random.default_rng(0).normal(size=(9, 4)))


def applied(features=Z, **fields):
    """Head, its parameters and what it returns."""
    head = heads.Experts(**{"num_groups": 3, "shift": 2.0, "scale": 5.0} | fields)
    variables = head.init(jax.random.key(0), jnp.asarray(features))
    return head, variables.get("params"), head.apply(variables, features)


class Variants(chex.TestCase):
    @chex.all_variants
    def test_against_formula(self):
        head, params, _ = applied()
        out = self.variant(lambda p, z: head.apply({"params": p}, z))(params, Z)
        p = jax.tree.map(np.asarray, params)
        logits = Z @ p["groups"]["kernel"] + p["groups"]["bias"]
        values = 2 + 5 * (Z @ p["values"]["kernel"] + p["values"]["bias"])
        np.testing.assert_allclose(out.logits, logits, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(out.values, values, rtol=1e-5, atol=1e-5)
        best = values[np.arange(9), logits.argmax(1)]
        np.testing.assert_allclose(out.prediction, best, rtol=1e-5, atol=1e-5)


def test_mixture_is_the_mean_by_probabilities():
    _, params, out = applied(inference="mixture")
    share = np.exp(out.logits) / np.exp(out.logits).sum(1, keepdims=True)
    np.testing.assert_allclose(out.prediction, (share * out.values).sum(1), rtol=1e-5)
    # The same parameters as with argmax.
    chex.assert_trees_all_equal(params, applied()[1])


@pytest.mark.parametrize(
    "fields",
    [{}, {"inference": "mixture"}, {"classifier": "etf", "num_groups": 4}],
    ids=["argmax", "mixture", "etf"],
)
def test_pixels_are_rows(fields):
    head, params, out = applied(**fields)
    maps = head.apply({"params": params}, Z.reshape(1, 3, 3, 4))
    for got, want in zip(maps, out, strict=True):
        np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-5, atol=1e-6)


def test_a_kernel_sees_the_neighbours():
    """Of a single pixel it is the linear layer of its middle, beside zero padding."""
    _, params, out = applied(Z.reshape(-1, 1, 1, 4), kernel=3)
    middle = {
        name: {"kernel": p["kernel"][1, 1], "bias": p["bias"]}
        for name, p in params.items()
    }
    head = heads.Experts(num_groups=3, shift=2.0, scale=5.0)
    want = head.apply({"params": middle}, Z)
    for got, alone in zip(out, want, strict=True):
        np.testing.assert_allclose(
            got.reshape(alone.shape), alone, rtol=1e-5, atol=1e-5
        )
    with pytest.raises(ValueError, match="kernel must be 1 for features without"):
        applied(kernel=3)


def test_one_group_is_the_linear_head():
    _, params, out = applied(num_groups=1)
    linear = heads.Linear(2.0, 5.0).apply({"params": {"linear": params["values"]}}, Z)
    np.testing.assert_allclose(out.prediction, linear.prediction, rtol=1e-6)


def test_first_biases():
    _, params, _ = applied()
    np.testing.assert_array_equal(params["values"]["bias"], 0)
    np.testing.assert_array_equal(params["groups"]["bias"], 0)
    _, params, out = applied(
        jnp.zeros((1, 4)),
        start="centers",
        centers=(-3.0, 2.0, 8.0),
        rule_out_empty=True,
        counts=(0, 7, 1),
    )
    np.testing.assert_allclose(out.values, [[-3.0, 2.0, 8.0]], rtol=1e-6)
    np.testing.assert_array_equal(params["groups"]["bias"], [-30, 0, 0])
    assert out.prediction[0] == 2


@pytest.mark.parametrize(("dim", "num"), [(2, 2), (4, 4), (16, 10)])
def test_frame(dim, num):
    frame = heads.simplex_etf(np.random.default_rng(1).normal(size=(dim, num)))
    want = np.full((num, num), -1 / (num - 1))
    np.fill_diagonal(want, 1)
    np.testing.assert_allclose(frame.T @ frame, want, atol=1e-12)


def test_fixed_frame_has_no_parameters_and_is_that_of_its_seed():
    _, params, out = applied(classifier="etf")
    assert set(params) == {"values"}
    assert out.classifier == "etf"
    frame = heads.random_etf(4, 3, 0)
    unit = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    np.testing.assert_allclose(out.logits, unit @ frame, rtol=1e-4, atol=1e-6)
    other = applied(classifier="etf", etf_seed=1)[2]
    assert np.abs(other.logits - out.logits).max() > 0.1
    # It does not depend on the length of features, and rows of zeros are finite.
    zeros = applied(np.zeros_like(Z), classifier="etf")
    np.testing.assert_array_equal(zeros[2].logits, 0)
    slope = jax.grad(lambda z: applied(z, classifier="etf")[2].logits.sum())
    assert np.isfinite(slope(jnp.zeros((9, 4)))).all()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"inference": "mean"}, "head_options.inference .* argmax, mixture"),
        ({"classifier": "nc"}, "head_options.classifier .* linear, etf"),
        ({"start": "ones"}, "head_options.start"),
        ({"num_groups": 0}, "needs config.groups"),
        ({"classifier": "etf", "num_groups": 5}, "at most as many as the 4 features"),
        ({"classifier": "etf", "num_groups": 1}, "at least 2 groups"),
        ({"classifier": "etf", "inference": "mixture"}, "must be 'argmax'"),
    ],
)
def test_what_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        applied(**fields)


def test_from_config_gives_groups_to_heads_that_have_them():
    config = {
        "name": "mlp",
        "head": "experts",
        "head_options": {"inference": "mixture"},
        "dtype": "float32",
        "label_scaling": "standard",
        "encoder": {"width": 4, "depth": 1},
    }
    record = {"kind": "table", "label_mean": 3.0, "label_std": 2.0}
    record["encoder"] = {"numeric": 2, "cardinalities": (3,)}
    record["table"] = {"numeric": ("a", "b"), "clip": 3.0}
    inputs = toy.batch()["inputs"]

    def shape(config, groups):
        net = models.from_config(config, record, groups=groups)
        return jax.eval_shape(net.init, jax.random.key(0), inputs)[0]["head"]

    made = shape(config, toy.SPEC.groups.for_head())
    assert made["values"]["kernel"].shape == (4, 3)
    # Predictions know only how many there are.
    assert shape(config, {"num_groups": 3}) == made
    linear = {**config, "head": "linear", "head_options": {}}
    assert set(shape(linear, {"num_groups": 3})) == {"linear"}
    # A config of before there were options.
    del linear["head_options"]
    assert set(shape(linear, None)) == {"linear"}
    with pytest.raises(TypeError, match="inference"):
        shape({**config, "head": "linear"}, None)
    with pytest.raises(ValueError, match=r"needs config.groups"):
        shape(config, None)
