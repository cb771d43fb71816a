"""The map of a pair, against its formula, and the network on it."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from dirjax import models
from dirjax.models import mlp, pairs
from dirjax.ops import input_domain
from tests import runs, toy

RNG = np.random.default_rng(0)
U, V = RNG.normal(size=(2, 8, 3)).astype(np.float32)
PAIRS = np.stack([U, V], axis=1)


class TestPairFeatures(chex.TestCase):
    @chex.all_variants
    def test_the_formula(self):
        def run(u, v):
            return pairs.pair_features(u, v)

        want = np.concatenate([U, V, np.abs(U - V), U * V], axis=1)
        np.testing.assert_allclose(self.variant(run)(U, V), want, rtol=1e-6)

    @parameterized.parameters(
        (("product", "first"),), (("second",),), (("difference",),)
    )
    def test_parts_in_the_order_they_are_named(self, parts):
        of = {"first": U, "second": V, "difference": abs(U - V), "product": U * V}
        want = np.concatenate([of[p] for p in parts], axis=1)
        got = pairs.pair_features(jnp.asarray(U), jnp.asarray(V), parts)
        np.testing.assert_allclose(got, want, rtol=1e-6)

    def test_gradients_of_equal_vectors_are_finite(self):
        gradient = jax.grad(lambda u: pairs.pair_features(u, jnp.asarray(U)).sum())(U)
        assert np.isfinite(gradient).all()

    @parameterized.parameters(
        (U, V[:4], ("first",), r"\(8, 3\) and \(4, 3\)"),
        (U[0], V[0], ("first",), r"the same shape \[batch, dim\], got \(3,\)"),
        (U, V, (), r"must name some of first, .*, got \(\)"),
        (U, V, ("sum",), r"got \('sum',\)"),
    )
    def test_wrong_input(self, u, v, parts, said):
        with pytest.raises(ValueError, match=said):
            pairs.pair_features(u, v, parts)


def built(**encoder):
    encoder = {"width": 4, "depth": 1, "dropout": 0.0} | encoder
    network = models.build("pair_mlp", encoder=encoder)
    params, state = toy.jit(network.init)(jax.random.key(0), PAIRS[:1])
    return network, params, state


def features(built, inputs):
    network, params, state = built
    return network.encode(params, state, jnp.asarray(inputs), train=False)[0]


class TestPairMLP:
    def test_it_is_the_mlp_of_tables_on_the_map(self):
        made = built()
        plain = mlp.MLP(numeric=12, width=4, depth=1, embedding="none")
        rows = {"numeric": pairs.pair_features(jnp.asarray(U), jnp.asarray(V))}
        params = {"params": made[1]["encoder"]["mlp"]}
        want = plain.apply(params, rows, train=False)
        got = features(made, PAIRS)
        np.testing.assert_allclose(got, want, rtol=1e-5)
        assert (got.shape, got.dtype) == ((8, 4), jnp.float32)

    def test_without_first_and_second_order_does_not_count(self):
        symmetric, not_so = built(parts=("difference", "product")), built()
        swapped = PAIRS[:, ::-1]
        np.testing.assert_allclose(
            features(symmetric, PAIRS), features(symmetric, swapped), rtol=1e-5
        )
        gap = features(not_so, PAIRS) - features(not_so, swapped)
        assert np.abs(gap).max() > 1e-3

    @pytest.mark.parametrize("shape", [(8, 3), (8, 3, 3), (8, 2, 3, 1)])
    def test_no_pairs(self, shape):
        with pytest.raises(ValueError, match=r"must have shape \[batch, 2, dim\]"):
            pairs.PairMLP().init(jax.random.key(0), jnp.zeros(shape), train=False)


def test_all_values_of_both_may_move_at_once():
    """The norm of a noise is over the two embeddings of a row together."""
    config = runs.config("stsb_dir", "ssir,embeddings")["model"]
    record = {"kind": "pairs", "pairs": {"clip": 0.0}, "encoder": {}}
    record |= {"label_mean": 2.5, "label_std": 1.0}
    network = models.from_config(config, record)
    assert network.domain == input_domain.FREE
    moved, join = network.domain.split(PAIRS)
    np.testing.assert_array_equal(moved, PAIRS)
    np.testing.assert_array_equal(join(PAIRS + 1), PAIRS + 1)
    clipped = models.from_config(config, record | {"pairs": {"clip": 3.0}})
    assert clipped.domain == input_domain.Domain(-3.0, 3.0)
    with pytest.raises(ValueError, match=r"of kind 'pairs'.* Use 'pair_mlp'"):
        models.from_config(config | {"name": "mlp"}, record)
