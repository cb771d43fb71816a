"""SSIR with noise whose size follows from the gap between predictions."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from dirjax.objectives import ssir
from dirjax.ops import input_noise
from tests import toy
from tests.objectives.ssir_cases import (
    DISTANCES,
    NORMS,
    ROWS,
    images,
    lengths,
    offsets_of,
    perceptron,
    slow_distance,
    slow_slope,
)
from tests.objectives.test_ssir_wrapper import (
    TINY,
    around_l1,
    gradient,
    ratio,
    spied,
)


def slow_unit(x, zeta, *, gap, distance, norm, mask, dense):
    """One row at a time: its direction, then a difference quotient along it."""

    def f(row):
        return np.ravel(perceptron(row[None], dense=dense, xp=np)[0])

    total = count = 0.0
    for row, offset, valid in zip(np.float64(x), zeta, mask, strict=True):
        target = f(row) + np.ravel(offset)
        slope = slow_slope(
            lambda v, t=target, m=valid: slow_distance(f(v), t, distance, m), row
        )
        along = np.sign(slope) if norm == "linf" else slope
        if norm != "linf":
            axes = -1 if norm == "pixel" else None
            size = np.sqrt(np.sum(slope**2, axis=axes, keepdims=True))
            along = slope / np.where(size > 0, size, 1)
        h = 1e-6
        change = np.abs(f(row + h * along) - f(row - h * along)) / (2 * h)
        total += np.sum(change * np.ravel(valid))
        count += np.sum(valid)
    return gap / (total / count)


class Variants(chex.TestCase):
    @chex.all_variants
    @parameterized.product(dense=[False, True], norm=NORMS)
    def test_against_the_slow_version(self, dense, norm):
        x = images()
        zeta = offsets_of((ROWS, 2, 2) if dense else (ROWS,))
        mask = np.float32(np.arange(zeta.size).reshape(zeta.shape) % 3 > 0)
        options = {"gap": 0.3, "distance": "mse", "norm": norm}

        def unit(x, zeta, mask):
            predict = lambda z: perceptron(z, dense=dense)  # noqa: E731
            return ssir.gap_unit(predict, x, zeta, mask=mask, **options)

        got = self.variant(unit)(x, zeta, mask)
        want = slow_unit(x, zeta, mask=mask, dense=dense, **options)
        np.testing.assert_allclose(got, want, rtol=1e-3)


@pytest.mark.parametrize("distance", DISTANCES)
def test_one_prediction_a_row_has_one_size(distance):
    """Neither the distance nor the offsets change it, as they scale the gradient."""
    x, other = images(), offsets_of(seed=5, size=0.9)
    sizes = [
        ssir.gap_unit(perceptron, x, zeta, gap=1.0, distance=distance)
        for zeta in (offsets_of(), other)
    ]
    want = ssir.gap_unit(perceptron, x, offsets_of(), gap=1.0)
    np.testing.assert_allclose(sizes, want, rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_a_model_that_ignores_its_inputs(norm):
    """The size stays finite, and without a direction nothing moves."""
    x, zeta = images(), offsets_of()
    most = input_noise.longest(x, norm)
    for slope in (0.0, 1e-30):
        predict = lambda z, s=slope: s * jnp.sum(z, axis=(1, 2, 3))  # noqa: E731
        unit = ssir.gap_unit(predict, x, zeta, gap=1.0, norm=norm)
        np.testing.assert_allclose(unit, most, rtol=1e-6)
        moved = ssir.ssir_noise(predict, x, zeta, epsilon=0.5, norm=norm, unit=unit)
        size = lengths(moved.noise, norm, 1.0)
        np.testing.assert_allclose(size, 0.5 * most if slope else 0.0, rtol=1e-4)
    padding = ssir.gap_unit(perceptron, x, zeta, gap=1.0, norm=norm, mask=0 * zeta)
    np.testing.assert_allclose(padding, most, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["sample", "linf"])
def test_the_gap_is_as_many_bins_as_asked_for(norm):
    batch = toy.batch()
    batch["mask"][-2:] = 0
    real = slice(0, toy.ROWS - 2)
    options = {"units": "bins", "epsilon": 1e-2, "norm": norm}
    out, moved, _, _ = spied(around_l1(**options), batch=batch)
    np.testing.assert_allclose(ratio(out, "ssir/gap_bins"), 1e-2, rtol=2e-2)
    x = batch["inputs"]["numeric"]
    size = lengths(moved - x, norm, 1.0)
    control = around_l1(noise="random", **options)
    _, moved, _, _ = spied(control, batch=batch)
    other = lengths(moved - x, norm, 1.0)
    np.testing.assert_allclose(other[real], size[real], rtol=1e-3)
    assert np.ptp(size[real]) < 1e-3 * size.max(), "one size for all rows"


@pytest.mark.slow
def test_gradients_stay_finite_at_ties():
    """Equal rows, and a batch of padding."""
    for change in ({"mask": 0.0}, {"label": 3.0}):
        batch = toy.batch()
        for name, value in change.items():
            batch[name][:] = value
        batch["inputs"]["numeric"][:] = 0.5
        objective = around_l1(units="bins", epsilon=1.0)
        start = toy.start(objective, net=TINY)
        grads, out = gradient(objective, start, batch)
        chex.assert_tree_all_finite((grads, out))
