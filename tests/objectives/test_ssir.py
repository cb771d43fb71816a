"""The noise of SSIR: what follows from the method."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.objectives import ssir
from dirjax.ops import input_noise
from tests.objectives.ssir_cases import (
    CHANNELS,
    DISTANCES,
    NORMS,
    ROWS,
    images,
    lengths,
    network_weights,
    offsets_of,
    perceptron,
    search,
)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.quick("l1")
def test_one_side_must_be_a_constant(distance):
    """Taken literally, the first gradient is zero; the search has one."""
    x, zeta = images(), offsets_of()

    def literal(z):
        clean = perceptron(z)
        return ssir.ssir_loss(clean, clean + zeta, distance=distance).sum()

    np.testing.assert_allclose(jax.grad(literal)(x), 0, atol=1e-5)
    noise = search(n_steps=1, distance=distance).noise
    np.testing.assert_allclose(lengths(noise, "sample", 1.0), 0.1, rtol=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_of_scalar_offsets_only_the_sign_counts(distance):
    zeta = offsets_of()
    one, ten, other = (
        search(zeta=z, n_steps=1, distance=distance).noise
        for z in (zeta, 10 * zeta, offsets_of(seed=9))
    )
    np.testing.assert_allclose(ten, one, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-7)
    back = search(zeta=-zeta, n_steps=1, distance=distance).noise
    np.testing.assert_allclose(back, -one, rtol=1e-4, atol=1e-7)


def test_of_dense_offsets_the_sizes_count_for_mse():
    """The gradient is that of the offset-weighted sum, for L1 the sign-weighted."""
    x, zeta = images(), offsets_of((ROWS, 2, 2))

    def direction(factors):
        total = lambda z: -jnp.sum(perceptron(z, dense=True) * factors)  # noqa: E731
        return slow_unit(jax.grad(total)(x))

    for distance, factors in (("mse", zeta), ("l1", np.sign(zeta))):
        got = ssir.ssir_noise(
            lambda z: perceptron(z, dense=True),
            x,
            zeta,
            epsilon=1.0,
            n_steps=1,
            distance=distance,
        ).noise
        np.testing.assert_allclose(got, direction(factors), rtol=1e-4, atol=1e-6)


def slow_unit(g):
    g = np.asarray(g)
    length = np.sqrt(np.sum(g.reshape(len(g), -1) ** 2, axis=1))
    return g / length.reshape(-1, *[1] * (g.ndim - 1))


def test_the_first_step_moves_away_from_the_offset():
    """Up the distance to `f(x) + zeta`: predictions move against the sign of zeta."""
    x, zeta = images(), offsets_of()
    first = perceptron(search(epsilon=1e-2, n_steps=1).inputs) - perceptron(x)
    np.testing.assert_array_equal(np.sign(first), -np.sign(zeta))
    second = perceptron(search(epsilon=1e-2, n_steps=2).inputs) - perceptron(x)
    np.testing.assert_array_equal(np.sign(second), -np.sign(zeta))
    slope = np.asarray(jax.grad(lambda z: perceptron(z).sum())(x)).reshape(ROWS, -1)
    want = 1e-2 * np.sqrt(np.sum(slope**2, axis=1))
    np.testing.assert_allclose(np.abs(first), want, rtol=0.05)


@pytest.mark.parametrize("n_steps", [1, 2, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_the_radius_is_epsilon_after_any_number_of_steps(norm, n_steps):
    """Each step replaces the noise of the one before and starts at the inputs."""
    x, unit = images(), CHANNELS["unit"]
    got = search(epsilon=0.3, n_steps=n_steps, norm=norm, unit=unit)
    np.testing.assert_allclose(lengths(got.noise, norm), 0.3, rtol=1e-5)
    np.testing.assert_allclose(lengths(got.inputs - x, norm), 0.3, rtol=1e-4)
    got = search(epsilon=0.3, n_steps=n_steps, norm=norm, **CHANNELS)
    # Clipping may end the search where it began, with no gradient and no noise.
    size = lengths(got.noise, norm)
    assert ((abs(size - 0.3) < 1e-5) | (size == 0)).all()


def test_a_second_step_changes_the_direction():
    one, two = (search(epsilon=0.5, n_steps=n).noise for n in (1, 2))
    assert np.abs(one - two).max() > 0.01


@pytest.mark.parametrize("slope", [1.0, 1e-6])
@pytest.mark.parametrize("distance", DISTANCES)
def test_steps_agree_for_a_linear_model(distance, slope):
    """Also for a flat one: the size of the gradient is of no account."""
    w = np.float32(slope * np.random.default_rng(4).normal(size=12))
    x, zeta, unit = images(shape=(ROWS, 12)), offsets_of(), 0.5
    wants = -np.sign(zeta)[:, None] * w[None] / np.sqrt(np.sum(w**2)) * 0.1 * unit
    # A fixed 0 in the place of f(x) keeps the small gap from being rounded away.
    predict = lambda z: (z - x) @ w  # noqa: E731
    for n in (1, 2, 3):
        got = search(predict, x, zeta, n_steps=n, distance=distance, unit=unit)
        np.testing.assert_allclose(got.noise, wants, rtol=1e-4, err_msg=str(n))


@pytest.mark.parametrize("norm", NORMS)
def test_moved_inputs_stay_inside_the_bounds(norm):
    x, low, high = images(), CHANNELS["low"], CHANNELS["high"]
    got = np.asarray(search(epsilon=2.0, norm=norm, **CHANNELS).inputs)
    inside = (x >= low) & (x <= high)
    assert inside.any()
    assert not inside.all()
    assert ((got >= low) & (got <= high))[inside].all()
    # Others may come in, and never go further out.
    assert (got >= np.minimum(low, x)).all()
    assert (got <= np.maximum(high, x)).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("distance", DISTANCES)
def test_without_a_gradient_nothing_moves(distance, norm):
    """Not even the coordinates that lie outside the bounds."""
    x, options = images(), {"distance": distance, "norm": norm} | CHANNELS
    constant = search(lambda z: 0 * z.sum((1, 2, 3)) + 2, x, **options)
    untouched = search(lambda z: jnp.ones(len(z)), x, **options)
    no_offset = search(zeta=np.zeros(ROWS, np.float32), **options)
    for got in (constant, untouched, no_offset):
        np.testing.assert_array_equal(got.noise, 0)
        np.testing.assert_array_equal(got.inputs, x)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_step_to_an_equal_prediction_ends_without_noise(distance):
    """The gradient of the second step is zero there, and its noise is the result."""
    predict = lambda z: (z[:, 0] - 0.5) ** 2  # noqa: E731
    x, zeta = np.zeros((ROWS, 12), np.float32), np.float32([1, -1, 1, 1, -1])
    options = {"epsilon": 1.0, "distance": distance}
    one = search(predict, x, zeta, n_steps=1, **options)
    np.testing.assert_allclose(one.inputs[:, 0], zeta, rtol=1e-6)
    two = search(predict, x, zeta, n_steps=2, **options)
    np.testing.assert_array_equal(two.inputs[zeta > 0], 0)
    np.testing.assert_allclose(two.inputs[zeta < 0, 0], -1, rtol=1e-6)


def test_zero_gradient_of_one_pixel():
    """Pixels without influence have no noise, others the whole epsilon."""
    got = search(lambda z: jnp.tanh(z[:, 0, 1]).sum(-1), norm="pixel", epsilon=0.2)
    want = np.zeros((ROWS, 2, 2))
    want[:, 0, 1] = 0.2
    np.testing.assert_allclose(lengths(got.noise, "pixel", 1.0), want, rtol=1e-5)


def coupled(x):
    """A model whose rows see each other, as through batch norm."""
    flat = x.reshape(len(x), -1)
    return perceptron(flat - 0.5 * jnp.mean(flat, axis=0, keepdims=True))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.quick("l1")
def test_masked_rows_have_no_part(distance):
    mask = np.float32([1, 1, 0, 1, 0])
    zeta = offsets_of()
    other = np.where(mask > 0, zeta, -7 * zeta)
    one, two = (
        search(coupled, zeta=z, mask=mask, distance=distance) for z in (zeta, other)
    )
    chex.assert_trees_all_equal(one, two)
    unmasked = search(coupled, zeta=other, distance=distance)
    assert np.abs(unmasked.noise - two.noise)[mask > 0].max() > 1e-3
    alone = search(mask=mask, distance=distance)
    np.testing.assert_array_equal(alone.noise[mask == 0], 0)
    np.testing.assert_array_equal(alone.inputs[mask == 0], images()[mask == 0])
    every = search(distance=distance)
    np.testing.assert_allclose(
        alone.noise[mask > 0], every.noise[mask > 0], rtol=1e-5, atol=1e-7
    )
    nothing = search(coupled, mask=np.zeros(ROWS, np.float32), distance=distance)
    np.testing.assert_array_equal(nothing.noise, 0)
    np.testing.assert_array_equal(nothing.inputs, images())


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.quick("huber")
def test_dense_pixels_are_averaged(distance):
    """A grid twice is the grid; masked pixels do not count, whatever they hold."""
    x, zeta = images(), offsets_of((ROWS, 2, 2))

    def once(z):
        return perceptron(z, dense=True)

    def twice(z):
        return jnp.concatenate([once(z), once(z)], axis=1)

    def wild(z):
        return jnp.concatenate([once(z), jnp.exp(3 * once(z))], axis=1)

    double = np.concatenate([zeta, zeta], axis=1)
    options = {"distance": distance, "epsilon": 0.3}
    want = search(once, x, zeta, **options)
    assert want.noise.shape == x.shape
    got = search(twice, x, double, **options)
    chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-6)
    mask = np.concatenate([np.ones_like(zeta), np.zeros_like(zeta)], axis=1)
    got = search(wild, x, double, mask=mask, **options)
    chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-6)


def test_images_count_alike_however_many_pixels_are_valid():
    """Where rows see each other, each brings its mean and not its sum."""
    mask = np.ones((ROWS, 2, 2), np.float32)
    mask[0] = np.eye(2)

    def predict(z):
        # Equal pixels, so that a mean does not depend on how many there are.
        return jnp.broadcast_to(coupled(z)[:, None, None], (len(z), 2, 2))

    zeta = np.broadcast_to(offsets_of()[:, None, None], mask.shape)
    options = {"distance": "mse", "n_steps": 1}
    chex.assert_trees_all_close(
        search(predict, zeta=zeta, mask=mask, **options),
        search(predict, zeta=zeta, **options),
        rtol=1e-4,
        atol=1e-6,
    )


def test_equal_rows_get_equal_noise():
    predict = lambda z: jnp.sum(jnp.tanh(2 * z), axis=(1, 2, 3))  # noqa: E731
    x = np.repeat(images()[:1], ROWS, axis=0)
    got = search(predict, x, np.full(ROWS, 0.3, np.float32))
    for part in got:
        np.testing.assert_array_equal(part, np.repeat(part[:1], ROWS, axis=0))


def test_order_of_rows_does_not_matter():
    order, x, zeta = np.array([3, 0, 4, 1, 2]), images(), offsets_of()
    want = search(x=x, zeta=zeta, **CHANNELS)
    got = search(x=x[order], zeta=zeta[order], **CHANNELS)
    want = jax.tree.map(lambda part: part[order], want)
    chex.assert_trees_all_close(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_no_gradient_flows_through_the_noise():
    w = jax.tree.map(jnp.asarray, network_weights(5))

    def total(w):
        found = search(lambda z: perceptron(z, w=w))
        return jnp.sum(found.inputs**2) + jnp.sum(found.noise**2)

    chex.assert_trees_all_equal(jax.grad(total)(w), jax.tree.map(jnp.zeros_like, w))


@pytest.mark.slow
def test_random_directions_are_everywhere():
    key, x = jax.random.key(0), np.zeros((2000, 3), np.float32)
    noise = np.asarray(input_noise.random_noise(key, x, epsilon=1.0).noise)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose(noise.T @ noise / 2000, np.eye(3) / 3, atol=0.05)
    signs = input_noise.random_noise(key, x, epsilon=0.5, norm="linf").noise
    np.testing.assert_array_equal(np.abs(signs), 0.5)
    np.testing.assert_allclose(np.mean(signs > 0, axis=0), 0.5, atol=0.05)


@pytest.mark.parametrize(
    ("distance", "both", "stopped"),
    [("l1", 0.5, 1.5), ("mse", 0.5, 1.5), ("huber", 0.25, 0.75)],
)
def test_gradient_through_both_predictions_or_one(distance, both, stopped):
    """f(x) = w x at w = 1, x = 1 and x = 1.5: the gap is w / 2."""

    def loss(w, target):
        p = w * jnp.ones(ROWS)
        return ssir.ssir_loss(p, 1.5 * p, distance=distance, target=target).mean()

    np.testing.assert_allclose(jax.grad(loss)(1.0, "both"), both, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(loss)(1.0, "stopped"), stopped, rtol=1e-6)


@pytest.mark.parametrize("distance", DISTANCES)
def test_equal_predictions_have_no_gradient(distance):
    p = jnp.array([0.0, 1.0, -7.0, 3.0, 1e-3])
    slopes = jax.grad(
        lambda a, b: ssir.ssir_loss(a, b, distance=distance).sum(), argnums=(0, 1)
    )(p, p)
    for slope in slopes:
        np.testing.assert_array_equal(slope, 0)
    dense = ssir.ssir_loss(jnp.ones((2, 3, 4)), jnp.zeros((2, 3, 4)), distance=distance)
    assert dense.shape == (2, 3, 4)
