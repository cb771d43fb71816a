"""The encoder of sentences, against an LSTM in float64 written from its formula."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import models
from dirjax.models import bilstm
from dirjax.objectives import ssir
from dirjax.ops import input_domain, input_noise
from tests import toy

RNG = np.random.default_rng(0)
TABLE = np.concatenate([np.zeros((1, 3)), RNG.normal(size=(5, 3))]).astype(np.float32)
# Of all lengths, with padding behind the longest; one sentence is empty.
CODES = np.zeros((2, 2, 7), np.int32)
CODES[0, 0, :5] = 1, 2, 3, 4, 5
CODES[0, 1, :2] = 5, 1
CODES[1, 0, :1] = 3
STATE = {"constants": {"words": jnp.asarray(TABLE)}}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(cell, sentence):
    """What one direction gives for `[words, dim]`, word by word."""
    weight = {k: {n: np.float64(v) for n, v in p.items()} for k, p in cell.items()}
    h = c = np.zeros(len(weight["hi"]["bias"]))
    found = []
    for x in sentence:
        i, f, g, o = (
            x @ weight[f"i{k}"]["kernel"]
            + h @ weight[f"h{k}"]["kernel"]
            + weight[f"h{k}"]["bias"]
            for k in "ifgo"
        )
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        found.append(h)
    return np.array(found)


def sentence_vector(params, codes, depth):
    """Largest value over words of both directions, layer on layer."""
    x = np.float64(TABLE[codes[codes > 0]])
    width = len(params["forward_0"]["hi"]["bias"])
    if not len(x):
        return np.zeros(2 * width)
    for layer in range(depth):
        there = lstm(params[f"forward_{layer}"], x)
        back = lstm(params[f"backward_{layer}"], x[::-1])[::-1]
        x = np.concatenate([there, back], axis=1)
    return x.max(axis=0)


def built(depth=2, **options):
    """A network, and parameters of its shapes."""
    encoder = {"width": 4, "depth": depth, "dropout": 0.5}
    network = models.build("bilstm", encoder=encoder, **options)
    example = network.prepare(jnp.asarray(CODES), STATE)
    shapes, state = jax.eval_shape(network.init, jax.random.key(0), example)
    assert not state
    params = jax.tree.map(lambda x: np.float32(RNG.uniform(-0.5, 0.5, x.shape)), shapes)
    return network, params


NETWORK, PARAMS = built()


def encode(inputs, **options):
    features, state = NETWORK.encode(PARAMS, STATE, inputs, **options)
    assert state is not STATE
    assert state["constants"]["words"] is STATE["constants"]["words"]
    return features


evaluated = toy.jit(lambda inputs: encode(inputs, train=False))
trained = toy.jit(lambda inputs, key: encode(inputs, train=True, key=key))


@pytest.fixture(scope="module")
def inputs():
    return NETWORK.prepare(jnp.asarray(CODES), STATE)


class TestFormula:
    def test_against_numpy(self, inputs):
        want = []
        for pair in CODES:
            u, v = (sentence_vector(PARAMS["encoder"], side, 2) for side in pair)
            want.append(np.concatenate([u, v, np.abs(u - v), u * v]))
        got = evaluated(inputs)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        assert (got.shape, got.dtype) == ((2, 32), jnp.float32)

    def test_padding_does_not_count(self, inputs):
        real = CODES[..., None] > 0
        other = inputs | {"words": jnp.where(real, inputs["words"], 100.0)}
        np.testing.assert_array_equal(evaluated(other), evaluated(inputs))

    def test_dropout_acts_in_training_only(self, inputs):
        one, same, other = (trained(inputs, jax.random.key(seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()
        assert (one != evaluated(inputs)).any()

    def test_weights_begin_in_a_box(self):
        drawn = bilstm._uniform(16)(jax.random.key(0), (50, 50))
        assert 0.24 < np.abs(drawn).max() <= 0.25
        np.testing.assert_allclose(drawn.std(), 0.5 / np.sqrt(12), rtol=0.05)


@pytest.mark.slow
class TestNoise:
    """Padding does not move, so that all of the noise is in words."""

    @pytest.mark.slow
    def test_ssir(self, inputs):
        words, join = NETWORK.domain.split(inputs)

        def predict(words):
            return NETWORK.head(PARAMS, encode(join(words), train=False)).prediction

        run = toy.jit(
            lambda x: ssir.ssir_noise(predict, x, jnp.ones(2), epsilon=0.1, n_steps=1)
        )
        self.check(run(words))

    def test_random(self, inputs):
        real = input_domain.real(inputs)
        np.testing.assert_array_equal(real[..., 0], CODES > 0)
        key = jax.random.key(0)
        self.check(
            input_noise.random_noise(key, inputs["words"], epsilon=0.1, real=real)
        )

    @staticmethod
    def check(moved):
        assert np.isfinite(moved.inputs).all()
        np.testing.assert_allclose(input_noise.lengths(moved.noise), 0.1, rtol=1e-5)
        np.testing.assert_array_equal((moved.noise != 0).any(axis=-1), CODES > 0)


class TestMaskedMax(chex.TestCase):
    @chex.all_variants
    def test_of_real_words(self):
        x = RNG.normal(size=(4, 5, 2)).astype(np.float32) - 3
        length = np.array([5, 2, 1, 0])

        def run(x, length):
            return bilstm.masked_max(x, length)

        got = self.variant(run)(x, length)
        want = [
            row[:n].max(axis=0) if n else [0, 0]
            for row, n in zip(x, length, strict=True)
        ]
        np.testing.assert_allclose(got, want)


def test_half_precision_gives_single():
    network, params = built(depth=1, dtype="bfloat16")
    inputs = network.prepare(jnp.asarray(CODES), STATE)
    shape = jax.eval_shape(
        lambda p: network.encode(p, STATE, inputs, train=False)[0], params
    )
    assert (shape.shape, shape.dtype) == ((2, 32), jnp.float32)


@pytest.mark.parametrize("shape", [(8, 2, 3), (8, 3, 4, 3), (8, 4, 3)])
def test_no_pairs_of_sentences(shape):
    inputs = {"words": jnp.zeros(shape), "length": jnp.ones(shape[:2], int)}
    with pytest.raises(ValueError, match=r"must have words \[batch, 2, words, dim\]"):
        bilstm.BiLSTM(width=2).init(jax.random.key(0), inputs, train=False)


def test_scales_of_labels():
    config = {"name": "bilstm", "dtype": "float32", "head": "linear", "encoder": {}}
    record = {"kind": "text", "encoder": {}, "label_mean": 2.0, "label_std": 1.5}
    record |= {"label_range": (1.0, 5.0)}
    features = jnp.zeros((1, 3))
    params = {"head": {"linear": {"kernel": jnp.zeros((3, 1)), "bias": jnp.ones(1)}}}
    for scaling, want in (
        ("standard", 3.5), ("deviation", 1.5), ("range", 5.0), ("none", 1.0)
    ):  # fmt: skip
        made = models.from_config(config | {"label_scaling": scaling}, record)
        assert made.head(params, features).prediction == want
    with pytest.raises(ValueError, match=r"'standard', 'deviation' or 'none' here"):
        models.from_config(
            config | {"label_scaling": "range"}, record | {"label_range": ()}
        )
