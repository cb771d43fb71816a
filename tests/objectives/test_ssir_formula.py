"""The noise of SSIR against a slow version, a sample at a time in float64."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from dirjax.objectives import ssir
from dirjax.ops import input_noise
from tests.objectives.ssir_cases import (
    CHANNELS,
    DISTANCES,
    NORMS,
    ROWS,
    SHAPE,
    images,
    lengths,
    offsets_of,
    perceptron,
    slow_distance,
    slow_slope,
)


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
            return tuple(input_noise.random_noise(jax.random.key(seed), x, **options))

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
