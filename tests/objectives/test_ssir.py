"""SSIR: the noise search, the consistency term, the wrapper and its control."""

import dataclasses
import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from dirjax import labels, models
from dirjax.evals import view as view_lib
from dirjax.features import moments
from dirjax.labels import weights
from dirjax.objectives import base, ssir
from dirjax.training import train_step
from tests import toy

ROWS, SHAPE = 5, (2, 2, 3)
CHANNELS = {
    "unit": np.float32([0.5, 1.0, 2.0]),
    "low": np.float32([-0.9, -0.6, -1.0]),
    "high": np.float32([0.8, 1.0, 0.7]),
}
DISTANCES = ("l1", "mse", "huber")
NORMS = ("sample", "pixel", "linf")


def network_weights(seed=0, inputs=12, hidden=6, outputs=4):
    rng = np.random.default_rng(seed)
    shapes = {"a": (inputs, hidden), "b": (hidden,), "c": (hidden, outputs)}
    return {k: rng.normal(size=s) * 2 / np.sqrt(s[0]) for k, s in shapes.items()}


WEIGHTS = network_weights()
ACTIVATIONS = {
    "tanh": lambda x, xp: xp.tanh(x),
    "softplus": lambda x, xp: xp.logaddexp(x, xp.zeros_like(x)),
}


def perceptron(x, kind="tanh", *, dense=False, xp=jnp, w=WEIGHTS):
    """Two layers: `[batch, ...]` to `[batch]`, or to maps of 2x2."""
    if xp is jnp:
        w = jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), w)
    hidden = ACTIVATIONS[kind](x.reshape(len(x), -1) @ w["a"] + w["b"][None], xp)
    out = hidden @ w["c"]
    return out.reshape(-1, 2, 2) if dense else out[:, 0]


def images(seed=1, shape=(ROWS, *SHAPE)):
    """Inputs of which some lie outside the bounds of CHANNELS."""
    return np.float32(np.random.default_rng(seed).uniform(-1.3, 1.3, shape))


def offsets_of(shape=(ROWS,), seed=2, size=1.5):
    """Both signs, never near zero, small and large for the Huber distance."""
    rng = np.random.default_rng(seed)
    sign = np.where(np.arange(np.prod(shape)) % 2, -1.0, 1.0).reshape(shape)
    return np.float32(sign * rng.uniform(0.2, size, shape))


# The slow version: one sample at a time, float64, finite differences.


def slow_distance(p, q, distance, valid):
    total = count = 0.0
    for a, b, v in zip(np.ravel(p), np.ravel(q), np.ravel(valid), strict=True):
        if v:
            e, count = abs(a - b), count + 1
            huber = 0.5 * e * e if e < 1 else e - 0.5
            total += {"l1": e, "mse": e * e, "huber": huber}[distance]
    return total / max(count, 1)


def slow_slope(fn, x, h=1e-6):
    slope = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[at] += h
        down[at] -= h
        slope[at] = (fn(up) - fn(down)) / (2 * h)
    return slope


def slow_scaled(g, epsilon, norm, unit):
    """`epsilon g / ||g||` in the space of the units, back in that of the inputs."""
    g = g * unit
    if norm == "linf":
        return epsilon * np.sign(g) * unit
    parts = [...] if norm == "sample" else list(np.ndindex(g.shape[:-1]))
    out = np.zeros_like(g)
    for part in parts:
        length = np.sqrt(np.sum(g[part] ** 2))
        if length > 0:
            out[part] = epsilon * g[part] / length
    return out * unit


def slow_noise(
    f, inputs, offsets, *, epsilon, n_steps, distance, norm, unit=1.0, low=-np.inf,
    high=np.inf, mask=None,
):  # fmt: skip
    moved, noises = [], []
    valid = np.ones(offsets.shape) if mask is None else mask
    for x, zeta, on in zip(inputs.astype(np.float64), offsets, valid, strict=True):
        clean = f(x)
        at, target = x, clean + zeta
        for _ in range(n_steps):
            g = slow_slope(
                lambda z, t=target, v=on: slow_distance(f(z), t, distance, v), at
            )
            r = slow_scaled(g, epsilon, norm, unit)
            at = np.clip(x + r, np.minimum(low, x), np.maximum(high, x))
            target = clean
        moved.append(at)
        noises.append(r)
    return np.array(moved), np.array(noises)


@pytest.mark.parametrize("n_steps", [1, 2, 3])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("distance", DISTANCES)
def test_against_the_slow_version(distance, norm, n_steps):
    kind = "softplus" if n_steps == 2 else "tanh"
    x, zeta = images(), offsets_of()
    options = {"epsilon": 0.2, "n_steps": n_steps, "distance": distance, "norm": norm}
    options |= CHANNELS

    def f(row):
        return perceptron(row[None], kind, xp=np)[0]

    got = ssir.ssir_noise(lambda z: perceptron(z, kind), x, zeta, **options)
    moved, noise = slow_noise(f, x, zeta, **options)
    np.testing.assert_allclose(got.noise, noise, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(got.inputs, moved, rtol=1e-3, atol=1e-5)
    assert np.abs(moved - x - noise).max() > 0.01, "nothing was clipped"
    assert got.inputs.dtype == got.noise.dtype == jnp.float32


@pytest.mark.parametrize("n_steps", [1, 2])
@pytest.mark.parametrize("distance", DISTANCES)
def test_dense_against_the_slow_version(distance, n_steps):
    """One noise an image, of the mean over its valid pixels."""
    x, zeta = images(), offsets_of((ROWS, 2, 2))
    mask = np.float32(np.random.default_rng(3).uniform(size=zeta.shape) < 0.6)
    mask[:2] = np.ones((2, 2)), np.eye(2)
    options = {"epsilon": 0.3, "n_steps": n_steps, "distance": distance}
    options |= {"norm": "sample", "mask": mask, "low": -1.0, "high": 1.0}

    def f(row):
        return perceptron(row[None], dense=True, xp=np)[0]

    got = ssir.ssir_noise(lambda z: perceptron(z, dense=True), x, zeta, **options)
    moved, noise = slow_noise(f, x, zeta, **options)
    np.testing.assert_allclose(got.noise, noise, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(got.inputs, moved, rtol=1e-3, atol=1e-5)


def test_table_rows_have_one_pixel():
    x, zeta = images(shape=(ROWS, 12)), offsets_of()
    sample, pixel = (
        ssir.ssir_noise(perceptron, x, zeta, epsilon=0.2, norm=norm)
        for norm in ("sample", "pixel")
    )
    chex.assert_trees_all_close(sample, pixel, rtol=1e-5)


class Variants(chex.TestCase):
    @chex.all_variants
    @parameterized.parameters("scalar", "dense", "table")
    def test_ssir_noise(self, case):
        dense = case == "dense"
        shape = (ROWS, 12) if case == "table" else (ROWS, *SHAPE)
        x, zeta = images(shape=shape), offsets_of((ROWS, 2, 2) if dense else (ROWS,))
        mask = np.ones(zeta.shape, np.float32)
        mask[1] = 0
        options = {"epsilon": 0.2, "n_steps": 2, "distance": "l1", "norm": "sample"}
        options |= {"unit": 0.5, "low": -1.0, "high": 1.0}

        def search(x, zeta, mask):
            predict = lambda z: perceptron(z, dense=dense)  # noqa: E731
            return tuple(ssir.ssir_noise(predict, x, zeta, mask=mask, **options))

        moved, noise = self.variant(search)(x, zeta, mask)
        want = slow_noise(
            lambda row: perceptron(row[None], dense=dense, xp=np)[0],
            x,
            zeta,
            mask=mask,
            **options,
        )
        np.testing.assert_allclose(moved, want[0], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(noise, want[1], rtol=1e-3, atol=1e-5)

    @chex.all_variants
    @parameterized.parameters(*NORMS)
    def test_random_noise(self, norm):
        x = images()

        def draw(seed, x):
            options = {"epsilon": 0.3, "norm": norm} | CHANNELS
            return tuple(ssir.random_noise(jax.random.key(seed), x, **options))

        moved, noise = self.variant(draw)(3, x)
        chex.assert_tree_all_finite((moved, noise))
        np.testing.assert_allclose(lengths(noise, norm), 0.3, rtol=1e-5)
        low, high = CHANNELS["low"], CHANNELS["high"]
        want = np.clip(x + noise, np.minimum(low, x), np.maximum(high, x))
        np.testing.assert_allclose(moved, want, atol=1e-6)
        again = self.variant(draw)(3, x)
        chex.assert_trees_all_equal(again, (moved, noise))
        assert np.abs(self.variant(draw)(4, x)[1] - noise).max() > 0.01

    @chex.all_variants
    @parameterized.product(distance=DISTANCES, target=("both", "stopped"))
    def test_ssir_loss(self, distance, target):
        p, q = np.float32([0.0, 1.0, -3.0, 2.5]), np.float32([0.4, -1.5, -3.0, 2.4])

        def loss(p, q):
            return ssir.ssir_loss(p, q, distance=distance, target=target)

        got = self.variant(loss)(p, q)
        want = [slow_distance(a, b, distance, 1) for a, b in zip(p, q, strict=True)]
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def lengths(noise, norm, unit=CHANNELS["unit"]):
    """Of the noise in units: of each sample, pixel or coordinate."""
    noise = np.asarray(noise, np.float64) / unit
    if norm == "linf":
        return np.abs(noise)
    if norm == "sample":
        noise = noise.reshape(len(noise), -1)
    return np.sqrt(np.sum(noise**2, axis=-1))


# What follows from the method.


def search(predict=perceptron, x=None, zeta=None, **options):
    x = images() if x is None else x
    zeta = offsets_of() if zeta is None else zeta
    return ssir.ssir_noise(predict, x, zeta, **({"epsilon": 0.1} | options))


@pytest.mark.parametrize("distance", DISTANCES)
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


def test_no_gradient_flows_through_the_noise():
    w = jax.tree.map(jnp.asarray, network_weights(5))

    def total(w):
        found = search(lambda z: perceptron(z, w=w))
        return jnp.sum(found.inputs**2) + jnp.sum(found.noise**2)

    chex.assert_trees_all_equal(jax.grad(total)(w), jax.tree.map(jnp.zeros_like, w))


def test_random_directions_are_everywhere():
    key, x = jax.random.key(0), np.zeros((2000, 3), np.float32)
    noise = np.asarray(ssir.random_noise(key, x, epsilon=1.0).noise)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose(noise.T @ noise / 2000, np.eye(3) / 3, atol=0.05)
    signs = ssir.random_noise(key, x, epsilon=0.5, norm="linf").noise
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


# The wrapper, in the house.


def around_l1(wrappers=("ssir",), **options):
    settings = {"ssir": {"epsilon": 0.3, "lam": 0.7} | options}
    settings["reweight"] = {"scheme": "inverse", "clip": None}
    return base.from_config({"l1": {}}, wrappers, settings)


def tiny_network():
    """A network of numbers alone, also in float64 numpy: see `tiny_predictions`."""

    def encode(params, state, inputs, *, train, key=None, precise=False):
        del train, key
        w = params["encoder"]
        return jnp.tanh(inputs["numeric"] @ w["a"] + w["b"][None]), state

    def head(params, features):
        w = params["head"]
        return models.Outputs(features @ w["c"] + w["d"])

    def init(key, inputs):
        del key, inputs
        rng = np.random.default_rng(6)
        a, b, c = (rng.normal(size=s) for s in ((2, 4), 4, 4))
        tree = {"encoder": {"a": a, "b": b}, "head": {"c": 2 * c, "d": np.array(2.0)}}
        return jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), tree), {}

    return models.Network(lambda inputs: inputs, init, encode, head)


TINY = tiny_network()


def tiny_predictions(params, x):
    w, v = params["encoder"], params["head"]
    return np.tanh(x @ w["a"] + w["b"]) @ v["c"] + v["d"]


def spied(objective, *, net=None, batch=None, spec=toy.SPEC, key=4):
    """One loss without jit: outcome, moved columns, predictions for them, clean ones.

    The last inputs that the encoder sees are those of the consistency term.
    """
    net, seen = net or TINY, []
    batch = jax.tree.map(jnp.asarray, batch or toy.batch())

    def encode(params, state, inputs, **options):
        jax.debug.callback(lambda x: seen.append(np.array(x)), inputs["numeric"])
        return net.encode(params, state, inputs, **options)

    params, state = toy.model_variables(net)
    view, _ = view_lib.make_view(
        net._replace(encode=encode),
        params,
        state,
        batch["inputs"],
        jax.random.key(5),
        train=True,
    )
    variables = objective.init(jax.random.key(2), spec)
    out = objective.loss(variables, view, batch, jax.random.key(key))
    jax.effects_barrier()
    moved = {**batch["inputs"], "numeric": jnp.asarray(seen[-1])}
    noisy = net.head(
        params, net.encode(params, state, moved, train=True, key=jax.random.key(5))[0]
    )
    clean = np.asarray(view.outputs.prediction)
    return out, seen[-1], np.asarray(noisy.prediction), clean


def gradient(objective, state):
    """Of the parameters of the tiny network, without jit; and the outcome."""
    batch = jax.tree.map(jnp.asarray, toy.batch())
    variables = base.Variables(state.params["objective"], state.objective_state)

    def loss(params):
        view, _ = view_lib.make_view(
            TINY, params, {}, batch["inputs"], jax.random.key(5), train=True
        )
        out = objective.loss(variables, view, batch, jax.random.key(4))
        return out.loss, out

    return jax.grad(loss, has_aux=True)(state.params["model"])


def gap_of(clean, noisy, distance="l1"):
    pairs = zip(clean, noisy, strict=True)
    return np.array([slow_distance(a, b, distance, 1) for a, b in pairs])


def ratio(out, name):
    total, count = out.metrics[name]
    return float(total) / float(count)


def padded_batch():
    """The last two rows are padding."""
    batch = toy.batch()
    batch["mask"][-2:] = 0
    batch["label"][-2:] = 1000
    batch["weight"][-2:] = 50
    return batch


@pytest.mark.parametrize(
    ("distance", "n_steps", "noise"),
    [("l1", 1, "gradient"), ("mse", 2, "gradient"), ("huber", 2, "random")],
)
def test_joint_loss_by_hand(distance, n_steps, noise):
    batch = padded_batch()
    objective = around_l1(distance=distance, n_steps=n_steps, noise=noise, epsilon=0.9)
    out, moved, noisy, clean = spied(objective, batch=batch)
    real = slice(0, toy.ROWS - 2)
    inner = np.abs(clean - batch["label"])[real].mean()
    consistency = gap_of(clean, noisy, distance)[real].mean()
    assert consistency > 1e-3
    np.testing.assert_allclose(out.loss, inner + 0.7 * consistency, rtol=1e-5)
    np.testing.assert_allclose(ratio(out, "loss/l1"), inner, rtol=1e-5)
    np.testing.assert_allclose(ratio(out, "loss/consistency"), consistency, rtol=1e-4)
    gap = gap_of(clean, noisy)[real]
    np.testing.assert_allclose(ratio(out, "ssir/gap"), gap.mean(), rtol=1e-4)
    np.testing.assert_allclose(ratio(out, "ssir/within_bin"), np.mean(gap <= 1))
    change = moved - batch["inputs"]["numeric"]
    np.testing.assert_allclose(lengths(change, "sample", 1.0)[real], 0.9, rtol=1e-4)
    np.testing.assert_allclose(ratio(out, "ssir/noise"), 0.9, rtol=1e-4)
    np.testing.assert_allclose(ratio(out, "ssir/moved"), 0.9, rtol=1e-4)


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0])
def test_share_within_a_bin(width):
    """Bins of the mean width, not those that the labels are in."""
    spec = labels.spec([0.0, 1.0, 5.9], bin_width=width, label_range=(0.0, 6.0))
    wide = np.array([0.0, 5 * width, 6 * width])  # A mean width of three.
    counts, shots = np.ones(2, int), np.zeros(2, np.int8)
    uneven = dataclasses.replace(
        spec, bins=labels.Bins(wide), counts=counts, shots=shots
    )
    for used, mean in ((spec, width), (uneven, 3 * width)):
        out, _, noisy, clean = spied(around_l1(epsilon=0.8), spec=used)
        gap = gap_of(clean, noisy)
        np.testing.assert_allclose(
            ratio(out, "ssir/within_bin"), np.mean(gap <= mean), rtol=1e-6
        )


@pytest.mark.parametrize("norm", NORMS)
def test_the_wrapper_moves_along_the_gradient(norm):
    """The noise of each row is that of a positive or of a negative offset."""
    net, batch = TINY, toy.batch()
    _, moved, _, _ = spied(around_l1(norm=norm))
    params, state = toy.model_variables(net)

    def predict(x):
        inputs = {**batch["inputs"], "numeric": x}
        features, _ = net.encode(params, state, inputs, train=True)
        return net.head(params, features).prediction

    x = batch["inputs"]["numeric"]
    up, down = (
        ssir.ssir_noise(
            predict, x, np.full(toy.ROWS, s, np.float32), epsilon=0.3, norm=norm
        ).inputs
        for s in (1, -1)
    )
    error = [np.abs(moved - side).max(axis=1) for side in (up, down)]
    np.testing.assert_allclose(np.minimum(*error), 0, atol=1e-5)


def test_offsets_are_drawn_from_the_key():
    """Both signs about as often; another key, other signs; their size has no say."""
    signs = []
    for key in range(8):
        _, moved, noisy, clean = spied(around_l1(n_steps=1), key=key)
        signs.append(noisy > clean)
    assert 16 <= np.sum(signs) <= 48
    assert 10 <= np.sum(np.diff(signs, axis=0)) <= 46
    wide = labels.spec([0.0, 1.0, 5.0], bin_width=3.0, label_range=(0.0, 6.0))
    _, other, _, _ = spied(around_l1(n_steps=1), spec=wide, key=key)
    np.testing.assert_allclose(other, moved, rtol=1e-5, atol=1e-6)


def test_the_random_control_has_the_same_norm_and_another_direction():
    x = toy.batch()["inputs"]["numeric"]
    search, control, other = (
        spied(around_l1(noise=noise), key=key)[1] - x
        for noise, key in (("gradient", 4), ("random", 4), ("random", 5))
    )
    for change in (search, control, other):
        np.testing.assert_allclose(lengths(change, "sample", 1.0), 0.3, rtol=1e-4)
    for a, b in ((search, control), (control, other)):
        assert np.min(np.abs(np.sum(a * b, axis=1))) < 0.9 * 0.3**2
        assert np.abs(a - b).max() > 0.05


def test_bounds_limit_what_moves():
    """In units of the inputs: rows outside may come in and not go further out."""
    out, moved, _, _ = spied(around_l1(bounds=(-100.0, 100.0)))
    np.testing.assert_allclose(
        ratio(out, "ssir/moved"), ratio(out, "ssir/noise"), rtol=1e-4
    )
    out, moved, _, _ = spied(around_l1(bounds=(-0.01, 0.01)))
    x = toy.batch()["inputs"]["numeric"]
    assert (np.abs(moved) <= np.maximum(np.abs(x), 0.01) + 1e-6).all()
    change = lengths(moved - x, "sample", 1.0)
    np.testing.assert_allclose(ratio(out, "ssir/moved"), change.mean(), rtol=1e-4)
    assert change.mean() < 0.95 * ratio(out, "ssir/noise")


@pytest.mark.parametrize("target", ["both", "stopped"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_gradient_of_the_joint_loss(distance, target):
    """Of all parameters, against float64 differences with the noise held fixed."""
    batch = toy.batch()
    objective = around_l1(distance=distance, target=target, epsilon=0.5)
    _, moved, _, _ = spied(objective, batch=batch)
    start = toy.start(objective, net=TINY)
    got = jax.tree.leaves(gradient(objective, start)[0])
    x = np.float64(batch["inputs"]["numeric"])
    leaves, tree = jax.tree.flatten(start.params["model"])
    leaves = [np.array(leaf, np.float64) for leaf in leaves]
    fixed = tiny_predictions(tree.unflatten(leaves), x)

    def by_hand(params):
        clean, noisy = tiny_predictions(params, x), tiny_predictions(params, moved)
        aim = fixed if target == "stopped" else clean
        return np.mean(
            np.abs(clean - batch["label"]) + 0.7 * gap_of(aim, noisy, distance)
        )

    for k, leaf in enumerate(leaves):
        at = [*leaves[:k], None, *leaves[k + 1 :]]
        want = slow_slope(
            lambda v, at=at, k=k: by_hand(tree.unflatten([*at[:k], v, *at[k + 1 :]])),
            leaf,
        )
        np.testing.assert_allclose(got[k], want, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("weighted", [True, False])
def test_nesting_decides_whether_the_term_is_weighted(weighted):
    wrappers = ("reweight", "ssir") if weighted else ("ssir", "reweight")
    batch = toy.batch()
    out, _, noisy, clean = spied(around_l1(wrappers, epsilon=0.9))
    table = weights.bin_weights(toy.SPEC.counts, "inverse", clip=None)
    weight = table[batch["bin"]]
    assert np.ptp(weight) > 1
    gap = gap_of(clean, noisy)
    gap = weight * gap if weighted else gap
    want = np.mean(weight * np.abs(clean - batch["label"])) + 0.7 * np.mean(gap)
    np.testing.assert_allclose(out.loss, want, rtol=1e-5)
    # The diagnostic is of the predictions, whatever the rows weigh.
    plain = gap_of(clean, noisy).mean()
    np.testing.assert_allclose(ratio(out, "ssir/gap"), plain, rtol=1e-4)


def test_weights_of_the_batch_count():
    batch = toy.batch()
    batch["weight"] = np.float32(np.arange(toy.ROWS))
    out, _, noisy, clean = spied(around_l1(epsilon=0.9), batch=batch)
    each = np.abs(clean - batch["label"]) + 0.7 * gap_of(clean, noisy)
    np.testing.assert_allclose(out.loss, np.mean(batch["weight"] * each), rtol=1e-5)


@pytest.mark.parametrize("case", ["lds-ssir", "ssir-fds", "fds-ssir"])
def test_other_wrappers_inside_and_outside(case):
    objective = around_l1(tuple(case.split("-")))
    state = toy.start(objective, net=TINY)
    variables = base.Variables(state.params["objective"], state.objective_state)
    assert (objective.collect.epoch is not None) == ("fds" in case)
    if objective.collect.epoch is not None:
        features = jnp.asarray(np.random.default_rng(8).normal(size=(toy.ROWS, 4)))
        bins, one = jnp.asarray(toy.batch()["bin"]), jnp.ones(toy.ROWS)
        num = toy.SPEC.bins.num
        seen = moments.from_batch(features, bins, one, num_bins=num)
        for _ in range(2):
            variables = objective.collect.epoch(variables, seen)
        state = state._replace(objective_state=variables.state)
    grads, out = gradient(objective, state)
    chex.assert_tree_all_finite((grads, out))
    chex.assert_trees_all_equal_shapes_and_dtypes(out.state, state.objective_state)
    assert {"loss/l1", "loss/consistency", "ssir/gap"} < set(out.metrics)


@pytest.mark.parametrize("noise", ["gradient", "random"])
def test_without_its_factor_the_term_changes_nothing(noise):
    off, on = around_l1(lam=0.0, noise=noise), around_l1(lam=0.7, noise=noise)
    plain = toy.l1()
    want, off, on = (
        gradient(objective, toy.start(objective, net=TINY))[0]
        for objective in (plain, off, on)
    )
    chex.assert_trees_all_close(off, want, rtol=1e-6, atol=1e-7)
    change = jax.tree.map(lambda a, b: np.abs(a - b).max(), on, want)
    assert min(jax.tree.leaves(change["encoder"])) > 1e-5


def test_all_passes_drop_the_same_units():
    """With other units dropped the gap would be as large as the predictions."""
    net = toy.network(dropout=0.5)
    out, _, noisy, clean = spied(around_l1(epsilon=1e-5), net=net)
    without = spied(around_l1(epsilon=1e-5), net=toy.network())[3]
    assert np.abs(clean - without).max() > 0.05, "nothing was dropped"
    assert ratio(out, "ssir/gap") < 1e-4
    np.testing.assert_allclose(noisy, clean, atol=1e-4)


def test_running_averages_are_those_of_the_clean_pass():
    net = models.build(
        "small_resnet", shift=2.0, encoder={"width": 4, "stage_sizes": (1,)}
    )
    batch = toy.batch()
    pixels = np.random.default_rng(7).normal(size=(toy.ROWS, 4, 4, 1))
    batch["inputs"] = np.float32(pixels)
    params, stats = toy.jit(net.init)(jax.random.key(1), batch["inputs"][:1])
    states = {}
    for name, objective in (("l1", toy.l1()), ("ssir", around_l1(epsilon=2.0))):
        variables = objective.init(jax.random.key(2), toy.SPEC)
        tree = {"model": params, "objective": variables.params}
        start = train_step.TrainState(
            jnp.int32(0), tree, stats, variables.state, toy.sgd().init(tree), {}
        )
        new, report = toy.jit(toy.train_step(objective, net))(start, batch)
        assert int(report.first_bad) == train_step.NEVER
        states[name] = new.model_state
    chex.assert_trees_all_close(states["ssir"], states["l1"], rtol=1e-6, atol=1e-7)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), states["l1"], stats)
    assert min(jax.tree.leaves(moved)) > 1e-4
    mean = {k: float(total) / float(n) for k, (total, n) in report.sums.items()}
    np.testing.assert_allclose(mean["ssir/noise"], 2.0, rtol=1e-3)
    # Pixels stay within 0 and 1, or where they were.
    assert 0.1 < mean["ssir/moved"] < 2.0
    want = mean["loss/l1"] + 0.7 * mean["loss/consistency"]
    np.testing.assert_allclose(mean["loss"], want, rtol=1e-5)


# Arguments.


def test_the_defaults_are_the_published_ones():
    parameters = inspect.signature(ssir.make).parameters
    got = {k: p.default for k, p in parameters.items() if k != "inner"}
    want = {"epsilon": 1e-3, "lam": 0.1, "n_steps": 2, "noise": "gradient"}
    want |= {"norm": "sample", "units": "normalised", "distance": "l1"}
    assert got == want | {"target": "both", "mode": "train", "bounds": None}
    assert ssir.Noise._fields == ("inputs", "noise")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("norm", "l2"),
        ("units", "raw"),
        ("distance", "l2"),
        ("target", "none"),
        ("noise", "uniform"),
        ("mode", "running"),
        ("n_steps", 1.5),
        ("n_steps", True),
        ("bounds", (1.0, -1.0)),
        ("bounds", 3),
        ("epsilon", 0.0),
        ("epsilon", -1e-3),
        ("n_steps", 0),
        ("lam", -0.1),
    ],
)
def test_wrong_options_are_named(name, value):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        ssir.make(toy.l1(), **{name: value})
    if name in ("norm", "distance", "epsilon", "n_steps"):
        with pytest.raises(ValueError, match=rf"\b{name}\b"):
            search(**{name: value})
    if name in ("norm", "epsilon"):
        with pytest.raises(ValueError, match=rf"\b{name}\b"):
            ssir.random_noise(
                jax.random.key(0), images(), **({"epsilon": 0.1} | {name: value})
            )
    if name in ("distance", "target"):
        with pytest.raises(ValueError, match=rf"\b{name}\b"):
            ssir.ssir_loss(jnp.ones(2), jnp.ones(2), **{name: value})


@pytest.mark.parametrize("shape", [(ROWS + 1,), (ROWS, 1), (ROWS, 2, 2), ()])
def test_offsets_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="offsets"):
        search(zeta=np.ones(shape, np.float32))


def test_predictions_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)|\(3,\).*\(2,\)"):
        ssir.ssir_loss(jnp.ones(3), jnp.ones(2))
