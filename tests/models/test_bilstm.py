"""The encoder of sentences, against an LSTM in float64 written from its formula."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import domain, models
from dirjax.models import bilstm
from dirjax.objectives import ssir
from tests import toy

RNG = np.random.default_rng(0)
TABLE = np.concatenate([np.zeros((1, 3)), RNG.normal(size=(5, 3))]).astype(np.float32)
# Of all lengths, one sentence is empty.
CODES = np.array(
    [[[1, 2, 3, 4, 5], [5, 1, 0, 0, 0]], [[3, 0, 0, 0, 0], [0, 0, 0, 0, 0]]], np.int32
)
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
    encoder = {"width": 4, "depth": depth, "dropout": 0.5}
    network = models.build("bilstm", encoder=encoder, **options)
    example = network.prepare(jnp.asarray(CODES), STATE)
    params, state = toy.jit(network.init)(jax.random.key(0), example)
    assert not state
    return network, params


def encoded(network, params, codes, **options):
    inputs = network.prepare(jnp.asarray(codes), STATE)
    options = {"train": False} | options
    run = toy.jit(lambda p, x: network.encode(p, STATE, x, **options))
    features, state = run(params, inputs)
    assert state.keys() == STATE.keys()
    return features


@pytest.fixture(scope="module")
def two_layers():
    return built()


class TestFormula:
    def test_against_numpy(self, two_layers):
        network, params = two_layers
        encoder = jax.device_get(params["encoder"])
        want = []
        for pair in CODES:
            u, v = (sentence_vector(encoder, side, 2) for side in pair)
            want.append(np.concatenate([u, v, np.abs(u - v), u * v]))
        got = encoded(network, params, CODES)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        assert (got.shape, got.dtype) == ((2, 32), jnp.float32)

    def test_padding_does_not_count(self, two_layers):
        longer = np.pad(CODES, ((0, 0), (0, 0), (0, 3)))
        np.testing.assert_allclose(
            encoded(*two_layers, longer), encoded(*two_layers, CODES), atol=1e-6
        )

    def test_gradients_reach_words_and_no_padding(self, two_layers):
        network, params = two_layers
        inputs = network.prepare(jnp.asarray(CODES), STATE)
        moved, join = network.domain.split(inputs)

        def total(moved):
            return network.encode(params, STATE, join(moved), train=False)[0].sum()

        gradient = toy.jit(jax.grad(total))(moved)
        assert np.isfinite(gradient).all()
        np.testing.assert_array_equal((gradient != 0).any(axis=-1), CODES > 0)

    def test_dropout_acts_in_training_only(self, two_layers):
        plain = encoded(*two_layers, CODES)
        one, same, other = (
            encoded(*two_layers, CODES, train=True, key=jax.random.key(seed))
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()
        assert (one != plain).any()

    def test_all_weights_begin_in_a_box(self, two_layers):
        leaves = jax.tree.leaves(two_layers[1]["encoder"])
        every = np.concatenate([np.ravel(leaf) for leaf in leaves])
        assert np.abs(every).max() <= 0.5
        np.testing.assert_allclose(every.std(), 1 / np.sqrt(12), rtol=0.1)


class TestNoise:
    """Padding does not move, so that all of the noise is in words."""

    def test_ssir(self, two_layers):
        network, params = two_layers
        inputs = network.prepare(jnp.asarray(CODES), STATE)
        words, join = network.domain.split(inputs)

        def predict(words):
            features, _ = network.encode(params, STATE, join(words), train=False)
            return network.head(params, features).prediction

        run = toy.jit(lambda x: ssir.ssir_noise(predict, x, jnp.ones(2), epsilon=0.1))
        self.check(run(words))

    def test_random(self, two_layers):
        inputs = two_layers[0].prepare(jnp.asarray(CODES), STATE)
        real = domain.real(inputs)
        np.testing.assert_array_equal(real[..., 0], CODES > 0)
        words = inputs["words"]
        key = jax.random.key(0)
        self.check(ssir.random_noise(key, words, epsilon=0.1, real=real))

    @staticmethod
    def check(moved):
        np.testing.assert_allclose(ssir.lengths(moved.noise), 0.1, rtol=1e-5)
        np.testing.assert_array_equal((moved.noise != 0).any(axis=-1), CODES > 0)


class TestMaskedMax(chex.TestCase):
    @chex.all_variants
    def test_of_real_words(self):
        x = RNG.normal(size=(4, 5, 2)).astype(np.float32) - 3
        length = np.array([5, 2, 1, 0])

        def run(x, length):
            return bilstm.masked_max(x, length)

        got = self.variant(run)(x, length)
        want = [row[:n].max(axis=0) if n else [0, 0] for row, n in zip(x, length)]
        np.testing.assert_allclose(got, want)

    def test_no_gradient_of_an_empty_sentence_is_odd(self):
        x = jnp.ones((1, 3, 2))
        gradient = jax.grad(lambda x: bilstm.masked_max(x, jnp.array([0])).sum())(x)
        assert not gradient.any()


def test_half_precision_gives_single():
    network, params = built(depth=1, dtype="bfloat16")
    shape = jax.eval_shape(
        lambda p: network.encode(
            p, STATE, network.prepare(jnp.asarray(CODES), STATE), train=False
        )[0],
        params,
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
