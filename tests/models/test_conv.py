"""Convolution forms: equal to flax's own layer in value and in both gradients."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from dirjax.models import conv

SIDES = (1, 2, 3, 4, 7)


def _reference(x, kernel, strides, padding):
    layer = nn.Conv(
        kernel.shape[-1],
        kernel.shape[:2],
        strides,
        [(pad, pad) for pad in padding],
        use_bias=False,
    )
    return layer.apply({"params": {"kernel": kernel}}, x)


def _case(batch, hw, channels, features, size, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, *hw, channels)).astype(np.float32)
    kernel = rng.normal(size=(size, size, channels, features)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(kernel)


def _ours(x, kernel, strides, padding):
    form = conv.lowering("cpu", kernel.shape[:2], strides, padding, x.shape[1:3])
    return conv.conv2d(x, kernel, strides=strides, padding=padding, lowering=form)


def _value_and_gradients(fn, x, kernel):
    """Value, input gradient and kernel gradient for a cotangent that varies."""
    y, pull = jax.vjp(fn, x, kernel)
    g = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    return y, *pull(g)


def _assert_close(ours, theirs, tolerance=1e-5):
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        scale = max(1.0, float(jnp.abs(b).max()))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(
    ("size", "stride"),
    [
        (1, 2),
        (3, 1),
        pytest.param(1, 1, marks=pytest.mark.slow),
        pytest.param(3, 2, marks=pytest.mark.slow),
        pytest.param(7, 2, marks=pytest.mark.slow),
    ],
)
@pytest.mark.quick("3-1")
def test_equals_flax_at_every_side(size, stride):
    strides, padding = (stride, stride), (size // 2, size // 2)
    shapes = [(side, side) for side in SIDES] + [(2, 3), (5, 2)]
    cases = [_case(3, hw, 3, 4, size, seed) for seed, hw in enumerate(shapes)]

    @jax.jit
    def both(cases):
        return [
            [
                _value_and_gradients(
                    functools.partial(fn, strides=strides, padding=padding), *case
                )
                for fn in (_ours, _reference)
            ]
            for case in cases
        ]

    for ours, theirs in both(cases):
        _assert_close(ours, theirs)


@pytest.mark.slow
def test_many_rows_take_two_halves():
    x, kernel = _case(32, (8, 8), 5, 6, 1)
    fn = functools.partial(_ours, strides=(1, 1), padding=(0, 0))
    assert x.shape[0] * 64 >= conv._MANY_ROWS
    shapes = {e.outvars[0].aval.shape for e in jax.make_jaxpr(fn)(x, kernel).eqns}
    assert (2, 1024, 6) in shapes
    reference = functools.partial(_reference, strides=(1, 1), padding=(0, 0))
    _assert_close(
        _value_and_gradients(fn, x, kernel), _value_and_gradients(reference, x, kernel)
    )
    odd = jnp.concatenate([x, x[:1]])[:, :7, :7]  # 33 * 49 rows
    np.testing.assert_allclose(
        fn(odd, kernel), reference(odd, kernel), rtol=1e-5, atol=1e-5
    )


def test_convolution_by_hand():
    x = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    kernel = jnp.arange(9.0).reshape(3, 3, 1, 1)
    # Output (0, 0) sees the input under the kernel's lower right 2x2 corner.
    expected = [
        [1 * 4 + 2 * 5 + 3 * 7 + 4 * 8, 1 * 3 + 2 * 4 + 3 * 6 + 4 * 7],
        [1 * 1 + 2 * 2 + 3 * 4 + 4 * 5, 1 * 0 + 2 * 1 + 3 * 3 + 4 * 4],
    ]
    for form in ("gemm", "xla"):
        y = conv.conv2d(x, kernel, padding=(1, 1), lowering=form)
        assert y[0, :, :, 0].tolist() == expected


class VariantsTest(chex.TestCase):
    @chex.all_variants(with_pmap=True)
    @parameterized.parameters(
        (1, 1, 4, "dot"), (1, 2, 5, "dot"), (3, 1, 2, "gemm"), (3, 2, 5, "gemm")
    )
    def test_conv2d(self, size, stride, side, form):
        strides, padding = (stride, stride), (size // 2, size // 2)
        x, kernel = _case(2, (side, side), 3, 4, size)
        self.assertEqual(
            conv.lowering("cpu", (size, size), strides, padding, (side, side)), form
        )
        fn = functools.partial(
            _value_and_gradients,
            functools.partial(
                conv.conv2d, strides=strides, padding=padding, lowering=form
            ),
        )
        reference = functools.partial(_reference, strides=strides, padding=padding)
        theirs = jax.jit(functools.partial(_value_and_gradients, reference))
        _assert_close(self.variant(fn)(x, kernel), theirs(x, kernel))

    @chex.all_variants(with_pmap=True)
    def test_max_pool(self):
        x = jax.random.normal(jax.random.key(0), (2, 7, 8, 3))
        theirs = nn.max_pool(x, (3, 3), (2, 2), [(1, 1), (1, 1)])
        chex.assert_trees_all_equal(self.variant(conv.max_pool)(x), theirs)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "side"), [(1, 4), (3, 2), (3, 6)])
def test_transformations(size, side):
    """vmap, jvp and a gradient through an input gradient, as SSIR needs."""
    padding = (size // 2, size // 2)
    ours = jax.jit(functools.partial(_ours, strides=(1, 1), padding=padding))
    theirs = jax.jit(functools.partial(_reference, strides=(1, 1), padding=padding))
    x, kernel = _case(2, (side, side), 3, 3, size)
    dx, dkernel = _case(2, (side, side), 3, 3, size, seed=1)

    def moved(fn, kernel, x):
        direction = jax.grad(lambda x: jnp.sin(fn(x, kernel)).sum())(x)
        return (fn(x + 0.1 * direction, kernel) ** 2).mean()

    for a, b in (
        (
            jax.vmap(ours)(jnp.stack([x, dx]), jnp.stack([kernel, dkernel])),
            jnp.stack([theirs(x, kernel), theirs(dx, dkernel)]),
        ),
        (
            jax.jvp(ours, (x, kernel), (dx, dkernel))[1],
            jax.jvp(theirs, (x, kernel), (dx, dkernel))[1],
        ),
        (
            jax.jit(jax.grad(functools.partial(moved, ours)))(kernel, x),
            jax.jit(jax.grad(functools.partial(moved, theirs)))(kernel, x),
        ),
    ):
        _assert_close([a], [b])


@pytest.mark.parametrize(("size", "side"), [(1, 5), (3, 2), (3, 5)])
def test_bfloat16_and_bias(size, side):
    x, _ = _case(2, (side, side), 8, 4, size)
    half = conv.Conv(4, (size, size), use_bias=True, dtype=jnp.bfloat16)
    full = nn.Conv(4, (size, size), padding=size // 2)
    variables = jax.jit(half.init)(jax.random.key(0), x)
    bias = jnp.arange(4.0)
    params = {"kernel": variables["params"]["kernel"], "bias": bias}
    y = jax.jit(half.apply)({"params": params}, x)
    assert y.dtype == jnp.bfloat16
    expected = jax.jit(full.apply)({"params": params}, x)
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=0.02, atol=0.05)
    gradient = jax.eval_shape(
        jax.grad(lambda p: half.apply({"params": p}, x).astype(jnp.float32).sum()),
        params,
    )
    chex.assert_trees_all_equal_shapes_and_dtypes(gradient, params)
    theirs = jax.eval_shape(full.init, jax.random.key(0), x)["params"]
    chex.assert_trees_all_equal_shapes_and_dtypes(variables["params"], theirs)


def test_layer_reads_the_platform_while_tracing():
    x = jnp.ones((1, 2, 2, 3))
    for platform, count in ((None, 0), ("cpu", 0), ("gpu", 1), ("tpu", 1)):
        layer = conv.Conv(4, (3, 3), platform=platform)
        variables = layer.init(jax.random.key(0), x)
        text = str(jax.make_jaxpr(layer.apply)(variables, x))
        assert text.count("conv_general_dilated[") == count, platform


def test_initialisation_is_a_plain_normal():
    layer = conv.Conv(64, (3, 3))
    kernel = layer.init(jax.random.key(0), jnp.ones((1, 8, 8, 32)))["params"]["kernel"]
    assert kernel.dtype == jnp.float32
    scaled = np.asarray(kernel) / np.sqrt(2 / (3 * 3 * 64))
    assert abs(scaled.mean()) < 0.03
    assert abs(scaled.std() - 1) < 0.03
    # 18,432 draws; a normal cut at two standard deviations has none beyond 2.3.
    assert (np.abs(scaled) > 3).sum() > 20


def test_max_pool_gradient():
    x = jax.random.normal(jax.random.key(1), (2, 8, 7, 3))  # no ties

    def total(pool, x):
        return (
            pool(x) * jnp.cos(jnp.arange(2 * 4 * 4 * 3.0).reshape(2, 4, 4, 3))
        ).sum()

    theirs = functools.partial(
        nn.max_pool, window_shape=(3, 3), strides=(2, 2), padding=[(1, 1), (1, 1)]
    )
    _assert_close(
        [jax.jit(jax.grad(functools.partial(total, conv.max_pool)))(x)],
        [jax.jit(jax.grad(functools.partial(total, theirs)))(x)],
    )


def test_max_pool_ties_share_the_gradient():
    gradient = jax.jit(jax.grad(lambda x: conv.max_pool(x, window=2, padding=0).sum()))
    x = jnp.array([[5.0, 5.0], [0.0, 1.0]]).reshape(1, 2, 2, 1)
    assert gradient(x)[0, :, :, 0].tolist() == [[0.5, 0.5], [0.0, 0.0]]
    flat = gradient(jnp.zeros((1, 4, 4, 1)))
    assert float(flat.sum()) == 4.0
    assert bool((flat == 0.25).all())


@pytest.mark.parametrize(
    "call",
    [
        lambda: conv.conv2d(jnp.ones((2, 4, 3)), jnp.ones((1, 1, 3, 2))),
        lambda: conv.conv2d(jnp.ones((2, 4, 4, 3)), jnp.ones((1, 1, 2, 2))),
        lambda: conv.conv2d(
            jnp.ones((1, 4, 4, 3)), jnp.ones((3, 3, 3, 2)), lowering="dot"
        ),
        lambda: conv.conv2d(
            jnp.ones((1, 1, 1, 3)),
            jnp.ones((3, 3, 3, 2)),
            padding=(2, 2),
            lowering="gemm",
        ),
        lambda: conv.max_pool(jnp.ones((4, 4, 3))),
        lambda: conv.max_pool(jnp.ones((1, 4, 4, 3)), window=2, padding=2),
    ],
)
def test_wrong_calls_say_what_to_do(call):
    with pytest.raises(ValueError, match=r"expects|use lowering"):
        call()
