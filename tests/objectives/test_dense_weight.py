"""DenseWeight and shrinkage loss: formulas, public numbers, and what is corrected."""

import jax
import numpy as np
import pytest

from dirjax import objectives
from dirjax.labels import specification, weights
from dirjax.objectives import shrinkage
from dirjax.objectives.shrinkage import shrinkage_loss
from tests import toy
from tests.objectives import golden


def test_golden():
    for case in golden.cases("denseweight"):
        y, alpha = case["in.y"], float(case["p.alpha"])
        given = float(case["p.bandwidth"])
        ones = np.ones_like(y)
        options = {"alpha": alpha, "bandwidth": None if given < 0 else given}
        density = weights.dense_density(y, ones, y, bandwidth=options["bandwidth"])
        np.testing.assert_allclose(density, case["out.y_dens"], atol=3e-3)
        for at, name in ((y, "out.weights"), (case["in.query"], "out.query_weights")):
            want = case[name]
            got = weights.dense_weights(y, ones, at, **options)
            # The public code looks its density up at the grid point to the left.
            inside = (at >= y.min()) & (at <= y.max())
            close = 6e-3 * want.max()
            np.testing.assert_allclose(got[inside], want[inside], atol=close)


@pytest.mark.parametrize("bandwidth", [None, 0.3])
def test_the_density_of_outliers(bandwidth):
    """Ten thousand bandwidths of labels, with kernels that 4096 points would miss."""
    y = np.random.default_rng(0).lognormal(0, 2, 3000).round(2)
    values, counts = np.unique(y, return_counts=True)
    wide = bandwidth or 1.06 * y.std() * len(y) ** -0.2

    def density(at):
        return np.exp(-0.5 * ((at[:, None] - values) / wide) ** 2) @ counts

    most = density(np.linspace(-wide, 20 * wide, 9999)).max()
    found = weights.dense_density(values, counts, values, bandwidth=bandwidth)
    np.testing.assert_allclose(found, density(values) / most, rtol=1e-3)


def test_worked_example():
    y = np.array([0, 0, 0.1, 0.2, 0.2, 0.3, 1, 2])
    for alpha, want in (
        (1.0, [0.260076, 0.260076, 0.039323, 0.014298, 0.014298, 0.183397, 3.182567]),
        (0.5, [0.875547, 0.875547, 0.838417, 0.834208, 0.834208, 0.862650, 1.367102]),
    ):
        got = weights.dense_weights(y, np.ones(8), y, alpha=alpha)
        np.testing.assert_allclose(got[:7], want, atol=4e-3)
        assert got.mean() == pytest.approx(1)
    # Counts stand for equal labels.
    values, counts = np.unique(y, return_counts=True)
    again = weights.dense_weights(values, counts, y, alpha=0.5)
    np.testing.assert_allclose(again, got, rtol=1e-9)
    assert weights.dense_weights([3.0], [5], [3.0]).tolist() == [1.0]


def test_the_correction_knows_the_weights():
    objective = objectives.from_config({"l1": {}}, ("dense_weight",), {})
    table = objective.weighting(toy.SPEC, np.ones(toy.SPEC.bins.num))
    state = objective.init(jax.random.key(0), toy.SPEC).state
    np.testing.assert_allclose(state["table"], table, rtol=1e-6)
    assert toy.SPEC.counts @ table == pytest.approx(toy.SPEC.counts.sum())
    held = specification.weighted(toy.SPEC, table, lambda: ()).weights
    np.testing.assert_allclose(held, toy.SPEC.counts * table, rtol=1e-9)


def test_shrinkage():
    e = np.float32([-3, -0.2, 0, 0.1, 0.2, 5])
    want = e**2 / (1 + np.exp(10 * (0.2 - np.abs(e))))
    np.testing.assert_allclose(shrinkage_loss(e, 0 * e), want, rtol=1e-5)
    slope = jax.grad(lambda p: shrinkage_loss(p, 0 * e).sum())(e)
    assert slope[2] == 0
    np.testing.assert_allclose(slope[0], -6, rtol=1e-5)
    for options, said in (({"speed": 0.0}, "speed"), ({"at": -1.0}, "at")):
        with pytest.raises(ValueError, match=f"{said} must be a number"):
            shrinkage.make(**options)
