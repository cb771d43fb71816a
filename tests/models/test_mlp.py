"""The table encoder: embeddings against hand-worked values, and its contract."""

import chex
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl.testing import parameterized

from dirjax.models import mlp

EDGES = ((-1.0, 0.0, 2.0), (), (0.0, 1.0))
CARDINALITIES = (4, 20)


def rows(batch=6, numeric=3, seed=0):
    rng = np.random.default_rng(seed)
    codes = [rng.integers(0, c, batch) for c in CARDINALITIES]
    return {
        "numeric": jnp.asarray(rng.normal(size=(batch, numeric)), jnp.float32),
        "categorical": jnp.asarray(np.stack(codes, axis=1), jnp.int32),
    }


def encoder(**kwargs):
    return mlp.MLP(
        **{
            "numeric": 3,
            "cardinalities": CARDINALITIES,
            "width": 16,
            "depth": 2,
            "embedding_dim": 5,
            "category_dim": 8,
            "edges": EDGES,
            **kwargs,
        }
    )


def start(model, inputs):
    return model.init(jax.random.key(0), inputs, train=False)


def evaluate(model, variables, inputs):
    return model.apply(variables, inputs, train=False)


class EmbeddingTest(chex.TestCase):
    @chex.all_variants()
    def test_periodic_golden(self):
        rng = np.random.default_rng(1)
        x, f, p = rng.normal(size=(4, 2)), rng.normal(size=(2, 3)), rng.normal(size=6)
        p = p.reshape(2, 3)
        expected = np.empty((4, 6))
        for row in range(4):
            for column in range(2):
                for wave in range(3):
                    angle = 2 * np.pi * f[column, wave] * x[row, column]
                    expected[row, 3 * column + wave] = np.cos(angle + p[column, wave])
        got = self.variant(mlp.periodic)(
            *(jnp.asarray(a, jnp.float32) for a in (x, f, p))
        )
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-6)

    @chex.all_variants()
    def test_piecewise_golden(self):
        # Pieces [-1, 0] and [0, 2] of column 0, none of column 1, [0, 1] of column 2.
        x = jnp.array([[-0.75, 7.0, 0.5], [0.5, 7.0, -3.0], [9.0, 7.0, 1.0]])
        expected = [[0.25, 0.0, 0.5], [1.0, 0.25, 0.0], [1.0, 1.0, 1.0]]
        got = self.variant(lambda x: mlp.piecewise(x, EDGES))(x)
        np.testing.assert_allclose(got, expected, rtol=1e-6)

    @chex.all_variants()
    def test_category_golden(self):
        # Codes 0, 3 and -1 are not in a table of two rows: they get its mean.
        table = jnp.array([[1.0, 5.0], [3.0, -1.0]])
        expected = [[1.0, 5.0], [3.0, -1.0], [2.0, 2.0], [2.0, 2.0], [2.0, 2.0]]
        got = self.variant(mlp.category)(jnp.array([1, 2, 0, 3, -1]), table)
        np.testing.assert_allclose(got, expected, rtol=1e-6)

    def test_unknown_category_teaches_nothing(self):
        table = jnp.ones((3, 2))
        grad = jax.grad(lambda t: mlp.category(jnp.array([0, 2]), t).sum())(table)
        np.testing.assert_array_equal(grad, [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])

    def test_piecewise_without_pieces(self):
        chex.assert_shape(mlp.piecewise(jnp.ones((4, 2)), ((), (1.0,))), (4, 0))

    def test_periodic_gradient(self):
        f, p = jnp.array([[0.3, 1.0]]), jnp.array([[0.1, 0.2]])
        chex.assert_numerical_grads(
            lambda x: mlp.periodic(x, f, p).sum(), (jnp.array([[0.4], [-1.0]]),), 1
        )


class EncoderTest(chex.TestCase):
    @chex.all_variants()
    @parameterized.parameters(*mlp.EMBEDDINGS)
    def test_shape_and_type(self, embedding):
        inputs, model = rows(), encoder(embedding=embedding)
        fn = self.variant(lambda v, x: model.apply(v, x, train=False))
        features = fn(start(model, inputs), inputs)
        chex.assert_shape(features, (6, 16))
        chex.assert_type(features, jnp.float32)
        chex.assert_tree_all_finite(features)

    @chex.variants(with_jit=True, without_jit=True)
    @pytest.mark.slow
    def test_dropout_is_a_function_of_the_key(self):
        inputs, model = rows(), encoder(dropout=0.5)
        variables = start(model, inputs)
        fn = self.variant(
            lambda v, x, key: model.apply(v, x, train=True, rngs={"dropout": key})
        )
        first, second = (jax.random.key(s) for s in (0, 1))
        np.testing.assert_array_equal(
            fn(variables, inputs, first), fn(variables, inputs, first)
        )
        same = fn(variables, inputs, first) == fn(variables, inputs, second)
        assert not same.all()

    @pytest.mark.slow
    def test_bfloat16(self):
        inputs = rows()
        exact, low = (encoder(dtype=t) for t in (jnp.float32, jnp.bfloat16))
        variables = start(low, inputs)
        chex.assert_trees_all_equal_dtypes(variables, start(exact, inputs))
        features = evaluate(low, variables, inputs)
        chex.assert_type(features, jnp.float32)
        reference = evaluate(exact, variables, inputs)
        # bfloat16 has 8 bits: two layers of values below 3 stay within 0.05.
        np.testing.assert_allclose(features, reference, atol=0.05)
        assert (features != reference).any()

    @parameterized.parameters(*mlp.EMBEDDINGS)
    def test_rows_are_independent(self, embedding):
        inputs, model = rows(), encoder(embedding=embedding)
        variables = start(model, inputs)
        order = np.array([3, 0, 5, 1, 2, 4])
        moved = jax.tree.map(lambda x: x[order], inputs)
        features = evaluate(model, variables, inputs)
        np.testing.assert_allclose(
            evaluate(model, variables, moved), features[order], rtol=1e-5
        )
        one = jax.tree.map(lambda x: x[:1], inputs)
        np.testing.assert_allclose(
            evaluate(model, variables, one), features[:1], rtol=1e-5, atol=1e-6
        )

    @parameterized.parameters(*mlp.EMBEDDINGS)
    def test_gradient_to_numeric_inputs(self, embedding):
        inputs, model = rows(), encoder(embedding=embedding)
        # A row that sits on knots, one far outside, and one of zeros.
        special = jnp.array([[0.0, 0.0, 1.0], [1e4, -1e4, 1e4], [0.0, 0.0, 0.0]])
        inputs["numeric"] = inputs["numeric"].at[:3].set(special)
        variables = start(model, inputs)

        def total(numeric):
            row = {**inputs, "numeric": numeric}
            return evaluate(model, variables, row).sum()

        grad = jax.grad(total)(inputs["numeric"])
        chex.assert_tree_all_finite(grad)
        assert (grad != 0).any(axis=1).all()

    def test_parameters(self):
        inputs = rows()
        shapes = {
            "/".join(path): value.shape
            for path, value in flax.traverse_util.flatten_dict(
                start(encoder(), inputs)["params"]
            ).items()
        }
        # Into the first layer: 3 columns, 3 * 5 waves, rows of 3 (known codes) and 8.
        assert shapes == {
            "frequencies": (3, 5),
            "phases": (3, 5),
            "category_0": (3, 3),
            "category_1": (19, 8),
            "hidden_0/kernel": (29, 16),
            "hidden_0/bias": (16,),
            "hidden_1/kernel": (16, 16),
            "hidden_1/bias": (16,),
        }
        # Pieces: 2 of column 0, none of column 1, 1 of column 2.
        params = start(encoder(embedding="piecewise"), inputs)["params"]
        chex.assert_shape(params["hidden_0"]["kernel"], (3 + 3 + 11, 16))

    def test_no_dropout_outside_training(self):
        inputs, model = rows(), encoder(dropout=0.9)
        variables = start(model, inputs)
        np.testing.assert_array_equal(
            evaluate(model, variables, inputs),
            encoder(dropout=0.0).apply(variables, inputs, train=True),
        )

    def test_unknown_codes_only(self):
        inputs, model = rows(), encoder()
        variables = start(model, inputs)
        unknown = {**inputs, "categorical": jnp.zeros((6, 2), jnp.int32)}
        chex.assert_tree_all_finite(evaluate(model, variables, unknown))

    @parameterized.parameters(True, False)
    def test_only_categories(self, with_entry):
        inputs = rows(numeric=0)
        if not with_entry:
            del inputs["numeric"]
        model = encoder(numeric=0)
        features = evaluate(model, start(model, inputs), inputs)
        chex.assert_shape(features, (6, 16))

    @parameterized.product(with_entry=[True, False], embedding=mlp.EMBEDDINGS)
    def test_only_numbers(self, with_entry, embedding):
        inputs = rows()
        inputs["categorical"] = inputs["categorical"][:, :0]
        if not with_entry:
            del inputs["categorical"]
        model = encoder(cardinalities=(), embedding=embedding)
        features = evaluate(model, start(model, inputs), inputs)
        chex.assert_shape(features, (6, 16))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"embedding": "fourier"}, "must be one of periodic, piecewise, none"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"numeric": 0, "cardinalities": ()}, "at least one column"),
        ({"numeric": 4}, r"'numeric'\] must have shape \[batch, 4\].*\(6, 3\)"),
        ({"cardinalities": (4,)}, r"'categorical'\] must have shape \[batch, 1\]"),
        ({"embedding": "piecewise", "edges": None}, "each of 3 numeric columns, got 0"),
        (
            {"embedding": "piecewise", "edges": ((0.0, 0.0), (), ())},
            "numeric column 0 must ascend",
        ),
    ],
)
def test_errors(fields, message):
    with pytest.raises(ValueError, match=message):
        start(encoder(**fields), rows())


def test_missing_entry():
    with pytest.raises(ValueError, match="got no such entry"):
        start(encoder(), {"numeric": jnp.zeros((2, 3))})


@pytest.mark.slow
@pytest.mark.parametrize("embedding", mlp.EMBEDDINGS)
def test_learns_a_step_and_a_category(embedding):
    """A label from one column's sign and one category is fitted in 200 steps."""
    inputs = rows(batch=128)
    labels = jnp.sign(inputs["numeric"][:, 0])
    labels += jnp.sin(3.0 * inputs["categorical"][:, 1])
    model, tx = encoder(embedding=embedding, dropout=0.0), optax.adam(0.02)
    variables = start(model, inputs)

    def loss(variables):
        # One feature alone is never below -0.28, the least value of SiLU.
        features = model.apply(variables, inputs, train=False)
        predictions = features[:, 0] - features[:, 1]
        return jnp.abs(predictions - labels).mean()

    def step(carry, _):
        variables, state = carry
        value, grad = jax.value_and_grad(loss)(variables)
        updates, state = tx.update(grad, state)
        return (optax.apply_updates(variables, updates), state), value

    carry = (variables, tx.init(variables))
    losses = jax.jit(lambda carry: jax.lax.scan(step, carry, length=200)[1])(carry)
    assert losses[-1] < 0.25 * losses[0], losses
