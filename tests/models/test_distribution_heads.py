"""Heads that predict a distribution: formulas, rows and pixels, what is refused."""

from statistics import NormalDist

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import models
from dirjax.models import distribution_heads, heads
from tests import toy

Z = np.float32(np.random.default_rng(0).normal(size=(5, 4)))
EDGES = (0.0, 1.0, 2.5, 3.0, 6.0)
KINDS = ("histogram", "gaussian", "quantile")


def head_of(kind, **fields):
    fields = {"shift": 2.0, "scale": 3.0} | fields
    if kind == "histogram":
        fields = {"edges": EDGES} | fields
    return heads.HEADS[kind](**fields)


def applied(kind, features=Z, **fields):
    """Head, its parameters and what it returns."""
    head = head_of(kind, **fields)
    make = toy.jit(lambda key, z: head.init_with_output(key, z))
    out, variables = make(jax.random.key(0), jnp.asarray(features))
    return head, variables["params"], out


def softplus(x):
    return np.log1p(np.exp(np.float64(x)))


def raw_of(params, features=Z):
    layer = {k: np.float64(v) for k, v in params["linear"].items()}
    return np.float64(features) @ layer["kernel"] + layer["bias"]


class Variants(chex.TestCase):
    @chex.all_variants
    def test_histogram(self):
        head, params, _ = applied("histogram", decode="mean")
        out = self.variant(lambda p: head.apply({"params": p}, Z))(params)
        logits = raw_of(params)
        np.testing.assert_allclose(out.logits, logits, rtol=1e-5, atol=1e-6)
        probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        middle = np.array([0.5, 1.75, 2.75, 4.5])
        np.testing.assert_allclose(out.prediction, probs @ middle, rtol=1e-5)

    @chex.all_variants
    def test_gaussian(self):
        head, params, _ = applied("gaussian")
        out = self.variant(lambda p: head.apply({"params": p}, Z))(params)
        raw = raw_of(params)
        np.testing.assert_allclose(out.center, 2 + 3 * raw[:, 0], rtol=1e-5)
        deviation = 3 * (1e-3 + softplus(raw[:, 1] + np.log(np.e - 1)))
        np.testing.assert_allclose(out.deviation, deviation, rtol=1e-5)
        np.testing.assert_array_equal(out.prediction, out.center)

    @chex.all_variants
    def test_quantile(self):
        head, params, _ = applied("quantile", levels=4)
        out = self.variant(lambda p: head.apply({"params": p}, Z))(params)
        raw = raw_of(params)
        normal = [NormalDist().inv_cdf(k / 5) for k in range(1, 5)]
        want = np.zeros((5, 4))
        for row in range(5):
            grow = [1e-3 + softplus(raw[row, k]) / np.log(2) for k in (1, 2, 3)]
            steps = [(normal[k + 1] - normal[k]) * grow[k] for k in range(3)]
            want[row, 2] = raw[row, 0] + normal[2]
            want[row, 3] = want[row, 2] + steps[2]
            want[row, 1] = want[row, 2] - steps[1]
            want[row, 0] = want[row, 1] - steps[0]
        np.testing.assert_allclose(out.values, 2 + 3 * want, rtol=1e-4, atol=1e-5)
        # The median lies between the second and the third of four.
        want = (out.values[:, 1] + out.values[:, 2]) / 2
        np.testing.assert_allclose(out.prediction, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decode", ["mean", "median", "mode"])
@pytest.mark.quick(
    "mean-histogram", "median-quantile", "mode-gaussian", "median-gaussian"
)
def test_decode(kind, decode):
    out = applied(kind, decode=decode)[2]
    assert out.prediction.shape == (5,)
    assert out.prediction.dtype == jnp.float32
    np.testing.assert_allclose(out.prediction, out.decoded(decode), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_rows(kind):
    _, params, rows = applied(kind)
    maps = np.tile(Z.reshape(1, 5, 1, 4), (2, 1, 3, 1))
    out = toy.jit(head_of(kind).apply)({"params": params}, maps)
    assert out.prediction.shape == (2, 5, 3)
    for name, values in out._asdict().items():
        if name != "edges":
            want = np.asarray(getattr(rows, name))[None, :, None]
            want = np.broadcast_to(want, values.shape)
            np.testing.assert_allclose(values, want, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.quick("quantile")
def test_a_wider_kernel(kind):
    """In the middle of constant maps it is the sum of the kernel."""
    maps = np.ones((1, 5, 6, 2), np.float32)
    _, params, out = applied(kind, maps, kernel=3)
    layer = {**params["conv"], "kernel": params["conv"]["kernel"].sum((0, 1))}
    want = toy.jit(head_of(kind).apply)({"params": {"linear": layer}}, maps[:, 2, 2])
    np.testing.assert_allclose(out.prediction[:, 2, 2], want.prediction, rtol=1e-4)


@pytest.mark.slow
def test_the_start_is_that_of_the_labels():
    """With features of zero: a normal distribution, and a uniform one."""
    zeros = np.zeros((1, 4), np.float32)
    out = applied("gaussian", zeros)[2]
    np.testing.assert_allclose((out.center[0], out.deviation[0]), (2, 3), rtol=2e-3)
    out = applied("quantile", zeros)[2]
    want = [NormalDist(2, 3).inv_cdf(k / 20) for k in range(1, 20)]
    np.testing.assert_allclose(out.values[0], want, rtol=2e-3, atol=1e-2)
    out = applied("histogram", zeros)[2]
    np.testing.assert_allclose(np.exp(out.log_probs(np.array(EDGES)))[0], 0.25)


@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
def test_quantiles_cannot_cross_and_deviations_are_positive(size):
    features = Z * np.float32(size)
    values = np.asarray(applied("quantile", features)[2].values)
    assert (np.diff(values, axis=1) >= 0).all()
    assert np.isfinite(values).all()
    assert (np.diff(applied("quantile")[2].values, axis=1) > 0).all()
    assert (applied("gaussian", features)[2].deviation >= 3e-3).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decode", ["mean", "median"])
@pytest.mark.quick("mean-quantile", "median-histogram", "mean-gaussian")
def test_the_prediction_has_a_gradient(kind, decode):
    head, params, _ = applied(kind, decode=decode)
    slope = jax.grad(lambda p: head.apply({"params": p}, Z).prediction.sum())
    for leaf in jax.tree.leaves(toy.jit(slope)(params)):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("gaussian", {"decode": "best"}, "head_options.decode .* mean, median, mode"),
        ("gaussian", {"kernel": 2}, "head_options.kernel must be odd"),
        ("gaussian", {"kernel": 3}, "must be 1 for features without height"),
        ("quantile", {"levels": 2}, "head_options.levels must be a whole number from"),
        ("histogram", {"edges": (1.0,)}, "at least two"),
        ("histogram", {"edges": (1e9, 1e9 + 1)}, "spacing of float32"),
    ],
)
def test_what_is_refused(kind, fields, words):
    with pytest.raises(ValueError, match=words):
        applied(kind, **fields)


CONFIG = {
    "name": "mlp",
    "head_options": {"decode": "mean"},
    "dtype": "float32",
    "label_scaling": "standard",
    "encoder": {"width": 4, "depth": 1},
}
RECORD = {
    "kind": "table",
    "label_mean": 3.0,
    "label_std": 2.0,
    "encoder": {"numeric": 2, "cardinalities": (3,)},
    "table": {"numeric": ("a", "b"), "clip": 3.0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_from_config_gives_the_support_to_heads_that_have_it(kind):
    network = models.from_config(
        CONFIG | {"head": kind}, RECORD, support={"edges": EDGES}
    )
    assert network.edges == EDGES
    assert network.decode == "mean"
    inputs = toy.batch()["inputs"]
    params, state = jax.eval_shape(network.init, jax.random.key(0), inputs)

    def probabilities(params):
        features, _ = network.encode(params, state, inputs, train=False)
        return network.head(params, features).log_probs(np.array(EDGES))

    assert jax.eval_shape(probabilities, params).shape == (toy.ROWS, 4)
    with pytest.raises(ValueError, match=rf"the head '{kind}' .* needs config.support"):
        models.from_config(CONFIG | {"head": kind}, RECORD)


def test_other_heads_do_not_see_it():
    linear = CONFIG | {"head": "linear", "head_options": {}}
    network = models.from_config(linear, RECORD, support={"edges": EDGES})
    assert network.edges is None


def test_memory_of_maps_is_as_stated():
    """The figure of the module's docstring."""
    assert "109 MB" in " ".join(distribution_heads.__doc__.split())
    assert round(16 * 112 * 152 * 100 * 4 / 1e6) == 109
