"""Operations of programs, against counts by hand."""

import jax
import jax.numpy as jnp
import pytest

from dirjax.models import bilstm
from dirjax.runtime.operations import operations


def count(function, *shapes):
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return operations(jax.jit(function).trace(*arrays).jaxpr)


def test_matrix_products():
    assert count(jnp.matmul, (2, 3), (3, 4)) == 2 * 2 * 3 * 4
    assert count(jnp.matmul, (5, 2, 3), (5, 3, 4)) == 5 * 2 * 2 * 3 * 4
    assert count(lambda x: jnp.tanh(x) + x.sum(), (5, 5)) == 0


def conv(stride, groups=1, padding="SAME", batches=1):
    return lambda x, w: jax.lax.conv_general_dilated(
        x,
        w,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
        batch_group_count=batches,
    )


def test_convolutions():
    x, w = (2, 8, 8, 4), (3, 3, 4, 16)
    # Without padding, all weights meet a number at all 6 x 6 places.
    assert count(conv(1, padding="VALID"), x, w) == 2 * 2 * 16 * 4 * (6 * 3) ** 2
    # At the ends of an axis one of three weights meets padding.
    assert count(conv(1), x, w) == 2 * 2 * 16 * 4 * (8 * 3 - 2) ** 2
    # Every second place, with padding behind only.
    assert count(conv(2), x, w) == 2 * 2 * 16 * 4 * (4 * 3 - 1) ** 2
    groups = count(conv(1, groups=2), x, (3, 3, 2, 16))
    assert groups == count(conv(1), x, w) / 2
    assert count(conv(1, batches=2), x, w) == 2 * 1 * 16 * 4 * (8 * 3 - 2) ** 2


@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradients_of_a_convolution_cost_as_much_as_itself(stride):
    shapes = (2, 9, 9, 4), (3, 3, 4, 8)
    forward = count(conv(stride), *shapes)

    def loss(x, w):
        return (conv(stride)(x, w) ** 2).sum()

    assert count(jax.value_and_grad(loss, (0, 1)), *shapes) == 3 * forward
    assert count(jax.value_and_grad(loss, 1), *shapes) == 2 * forward


def test_loops_count_as_often_as_they_run():
    def product(x, w):
        return jnp.tanh(x @ w)

    def scan(length):
        def loss(x, w):
            steps = jax.lax.scan(lambda c, _: (product(c, w), None), x, None, length)
            return steps[0].sum()

        return loss

    shapes, once = ((8, 16), (16, 16)), 2 * 8 * 16 * 16
    assert count(scan(1), *shapes) == once
    assert count(scan(24), *shapes) == 24 * once
    assert count(jax.grad(scan(24), 1), *shapes) == 24 * 3 * once
    again = jax.checkpoint(scan(24))
    assert count(jax.grad(again, 1), *shapes) == 24 * 4 * once

    def loop(x, w):
        return jax.lax.fori_loop(0, 24, lambda _, c: product(c, w), x)

    def one_of_two(x, w):
        return jax.lax.cond(x[0, 0] > 0, product, lambda x, w: x, x, w)

    assert count(loop, *shapes) == 24 * once
    assert count(one_of_two, *shapes) == once
    members = jax.vmap(scan(24), (None, 0))
    assert count(members, shapes[0], (3, 16, 16)) == 3 * 24 * once


def test_a_program_of_each_device_counts_on_all():
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.P("data")
    own = jax.shard_map(jnp.matmul, mesh=mesh, in_specs=(spec, jax.P()), out_specs=spec)
    assert count(own, (8, 3), (3, 5)) == 2 * 8 * 3 * 5


def test_a_bilstm():
    rows, words, dim, width = 3, 7, 5, 4
    model = bilstm.BiLSTM(width=width, depth=2, parts=("difference",))
    codes, table = jnp.ones((rows, 2, words), jnp.int32), jnp.ones((9, dim))
    inputs = bilstm.look_up(codes, table)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), inputs, train=False))

    def loss(params):
        return jnp.sum(jnp.asarray(model.apply(params, inputs, train=False)))

    # Of each word in two directions: four gates of the word, and four of the state;
    # the second layer reads both directions of the first.
    cells = rows * 2 * words * 2
    word, state = cells * 2 * 4 * width * dim, cells * 2 * 4 * width * width
    between = cells * 2 * 4 * width * (2 * width)

    # A gradient costs two products more, but word vectors have none.
    found = operations(jax.make_jaxpr(jax.grad(loss))(params))
    assert found == 2 * word + 3 * (state + between + state)
