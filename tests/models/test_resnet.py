"""ResNet encoders: sizes, batch norm, dtypes, and the lowering of each convolution."""

import collections

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from dirjax.models import conv, resnet

RECIPES = {
    "resnet18": resnet.resnet18,
    "resnet34": resnet.resnet34,
    "resnet50": resnet.resnet50,
    "resnet18_small": lambda **kw: resnet.resnet18(stem="small", **kw),
    "resnet34_small": lambda **kw: resnet.resnet34(stem="small", **kw),
    "resnet50_small": lambda **kw: resnet.resnet50(stem="small", **kw),
    "small_resnet": resnet.small_resnet,
}


def _shapes(model, side, channels=3, batch=2):
    x = jax.ShapeDtypeStruct((batch, side, side, channels), jnp.float32)
    variables = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False), x
    )
    return variables, x


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters", "statistics"),
    # Parameters of the PyTorch models without their last layer. Statistics: mean and
    # variance of each batch norm, whose channels sum up to 4,800, 8,512 and 26,560.
    [
        ("resnet18", 11_176_512, 2 * 4_800),
        ("resnet34", 21_284_672, 2 * 8_512),
        ("resnet50", 23_508_032, 2 * 26_560),
    ],
)
def test_parameter_counts(name, parameters, statistics):
    variables, x = _shapes(RECIPES[name](), 64)
    assert sum(v.size for v in jax.tree.leaves(variables["params"])) == parameters
    assert sum(v.size for v in jax.tree.leaves(variables["batch_stats"])) == statistics
    model = RECIPES[name](dtype=jnp.bfloat16)
    features = jax.eval_shape(lambda v, x: model.apply(v, x, train=False), variables, x)
    assert (features.shape, features.dtype) == ((2, model.dim), jnp.float32)


# How many convolutions take (xla, dot, gemm), by hand. Sides of the stages:
#   imagenet stem  28: 7 4 2 1    32: 8 4 2 1    48: 12 6 3 2    64: 16 8 4 2
#   small stem     28: 28 14 7 4  32: 32 16 8 4  48: 48 24 12 6  64: 64 32 16 8
# ResNet-18 has the stem, 4 3x3 in each stage and 3 skips; ResNet-34 6, 8, 12, 6 3x3
# and 3 skips; ResNet-50 3, 4, 6, 3 3x3 and 36 1x1, of which 4 skips.
COUNTS = {
    "resnet18": {28: (9, 3, 8), 32: (9, 3, 8), 48: (9, 3, 8), 64: (13, 3, 4)},
    "resnet34": {28: (15, 3, 18), 32: (15, 3, 18), 48: (15, 3, 18), 64: (27, 3, 6)},
    "resnet50": {28: (8, 36, 9), 32: (8, 36, 9), 48: (8, 36, 9), 64: (14, 36, 3)},
    "resnet18_small": dict.fromkeys((28, 32, 48, 64), (17, 3, 0)),
    "resnet34_small": dict.fromkeys((28, 32, 48, 64), (33, 3, 0)),
    "resnet50_small": dict.fromkeys((28, 32, 48, 64), (17, 36, 0)),
    "small_resnet": dict.fromkeys((28, 32, 48, 64), (13, 2, 0)),
}


# Between the smallest and the largest nothing is different, nor between 28 and 48.
SHORT = (("resnet50", (28,)), ("small_resnet", (28,)))


@pytest.mark.lowering
@pytest.mark.parametrize(
    ("name", "sides"),
    [
        *SHORT,
        *(pytest.param(n, tuple(COUNTS[n]), marks=pytest.mark.slow) for n in RECIPES),
    ],
)
def test_every_convolution_takes_the_intended_form(name, sides, monkeypatch):
    calls = []
    choose = conv.lowering

    def recorded(platform, kernel, strides, padding, input_hw):
        form = choose(platform, kernel, strides, padding, input_hw)
        calls.append((form, kernel, input_hw, strides, padding))
        return form

    monkeypatch.setattr(conv, "lowering", recorded)
    for side in sides:
        counts = COUNTS[name][side]
        calls.clear()
        _shapes(RECIPES[name](platform="cpu"), side)
        found = collections.Counter(form for form, *_ in calls)
        assert (found["xla"], found["dot"], found["gemm"]) == counts, side
        for form, kernel, hw, strides, padding in calls:
            output = max(conv.output_size(hw, kernel, strides, padding))
            if kernel == (1, 1):
                assert form == "dot"
            else:
                assert form == ("gemm" if output <= 3 else "xla")
        calls.clear()
        _shapes(RECIPES[name](platform="gpu"), side)
        assert {form for form, *_ in calls} == {"xla"}
        assert len(calls) == sum(counts)


def _convolutions(jaxpr):
    """All convolutions of a program, those of its inner programs too."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            found.append(equation)
        for inner in equation.params.values():
            if hasattr(inner, "eqns"):
                found += _convolutions(inner)
            elif hasattr(inner, "jaxpr"):
                found += _convolutions(inner.jaxpr)
    return found


@pytest.mark.lowering
@pytest.mark.parametrize(
    ("name", "side"),
    [("resnet18", 64), pytest.param("resnet50", 28, marks=pytest.mark.slow)],
)
@pytest.mark.slow
def test_gradients_hold_no_slow_convolution(name, side):
    model = RECIPES[name](platform="cpu")
    variables, x = _shapes(model, side)

    def loss(params, rest, x):
        return model.apply(
            {"params": params, **rest}, x, train=True, mutable=["batch_stats"]
        )[0].sum()

    variables = dict(variables)
    params = variables.pop("params")
    program = jax.make_jaxpr(jax.grad(loss, argnums=(0, 2)))(params, variables, x)
    found = _convolutions(program.jaxpr)
    # One forward, one for the input and one for the kernel, for each "xla" form.
    assert len(found) == 3 * COUNTS[name][side][0]
    # Either operand is an image, a cotangent or a kernel; images are never tiny.
    for equation in found:
        assert max(v for i in equation.invars for v in i.aval.shape[1:3]) > 3


def _init(model, x):
    return jax.jit(lambda x: model.init(jax.random.key(1), x, train=False))(x)


@pytest.fixture(scope="module")
def tiny():
    model = resnet.small_resnet(width=4, stage_sizes=(1, 1))
    x = jax.random.normal(jax.random.key(0), (6, 9, 9, 1))
    return model, _init(model, x), x


def test_statistics_change_in_training_only(tiny):
    model, variables, x = tiny
    features, after = jax.jit(
        lambda v, x: model.apply(v, x, train=False, mutable=["batch_stats"])
    )(variables, x)
    chex.assert_trees_all_equal(after["batch_stats"], variables["batch_stats"])
    train = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]))
    trained, after = train(variables, x)
    stem = variables["params"]["stem_conv"]["kernel"]
    y = conv.conv2d(x, stem, padding=(1, 1))
    # Running values start at 0 and 1 and move a tenth of the way to the batch's.
    moved = after["batch_stats"]["stem_norm"]
    np.testing.assert_allclose(moved["mean"], 0.1 * y.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(moved["var"], 0.9 + 0.1 * y.var((0, 1, 2)), rtol=1e-4)
    assert not np.allclose(features, trained)


def test_bfloat16_gives_float32_features_and_statistics(tiny):
    model, variables, x = tiny
    half = model.copy(dtype=jnp.bfloat16)
    chex.assert_trees_all_equal(_init(half, x), variables)
    features, after = jax.jit(
        lambda v, x: half.apply(v, x, train=True, mutable=["batch_stats"])
    )(variables, x)
    full, _ = jax.jit(
        lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"])
    )(variables, x)
    assert features.dtype == jnp.float32
    assert {v.dtype for v in jax.tree.leaves(after)} == {jnp.dtype(jnp.float32)}
    np.testing.assert_allclose(features, full, rtol=0.1, atol=0.1)


class VariantsTest(chex.TestCase):
    @chex.all_variants(with_pmap=True)
    def test_encoder(self):
        model = resnet.small_resnet(width=2, stage_sizes=(1,))
        x = jax.random.normal(jax.random.key(0), (2, 2, 2, 1))
        variables = _init(model, x)
        encode = self.variant(lambda v, x: model.apply(v, x, train=False))
        stock = model.copy(platform="gpu")
        expected = jax.jit(lambda v, x: stock.apply(v, x, train=False))(variables, x)
        np.testing.assert_allclose(encode(variables, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_export_for_every_platform(tiny):
    model, variables, x = tiny
    (batch,) = export.symbolic_shape("b")
    program = export.export(
        jax.jit(lambda x: model.apply(variables, x, train=False)),
        platforms=("cpu", "cuda", "tpu"),
    )(jax.ShapeDtypeStruct((batch, 9, 9, 1), jnp.float32))
    np.testing.assert_allclose(
        export.deserialize(program.serialize()).call(x[:5]),
        model.apply(variables, x[:5], train=False),
        rtol=1e-4,
        atol=1e-5,
    )


def test_initial_values(tiny):
    _, variables, _ = tiny
    for path, value in jax.tree_util.tree_leaves_with_path(variables["params"]):
        name = path[-1].key
        if name != "kernel":
            assert (np.asarray(value) == {"scale": 1, "bias": 0}[name]).all()


def test_wrong_inputs_say_what_to_do():
    with pytest.raises(ValueError, match="expects images"):
        resnet.small_resnet().init(
            jax.random.key(0), jnp.ones((2, 28, 28)), train=False
        )
    with pytest.raises(ValueError, match="expects a stem"):
        resnet.resnet18(stem="large").init(
            jax.random.key(0), jnp.ones((2, 28, 28, 3)), train=False
        )
