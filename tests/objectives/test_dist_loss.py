"""Dist loss: sorted predictions against quantiles of the labels."""

import jax
import numpy as np
import pytest
from scipy.stats import gaussian_kde, wasserstein_distance

from dirjax.labels import specification
from dirjax.objectives import dist_loss as module
from dirjax.objectives.dist_loss import dist_loss, label_quantiles
from tests import toy

both = toy.jit(jax.value_and_grad(dist_loss))
EVEN = np.linspace(0, 8, 1024).astype(np.float32)


def test_it_is_a_distance_of_distributions():
    rng = np.random.default_rng(0)
    p = np.float32(rng.normal(4, 2, 9))
    value, slope = both(p, EVEN)
    want = wasserstein_distance(p, (np.arange(9) + 0.5) / 9 * 8)
    np.testing.assert_allclose(value, want, rtol=1e-5)
    # Each prediction moves towards the quantile of its rank.
    rank = np.argsort(np.argsort(p))
    gap = p - (rank + 0.5) / 9 * 8
    np.testing.assert_allclose(slope, np.sign(gap) / 9, rtol=1e-5)


@pytest.mark.slow
def test_padding_and_ties():
    p = np.float32([5, 5, 1, np.nan, 7, 5, 3])
    mask = np.float32([1, 1, 1, 0, 1, 1, 0])
    value, slope = both(p, EVEN, mask=mask)
    want = np.mean(np.abs(np.sort(p[mask > 0]) - (np.arange(5) + 0.5) / 5 * 8))
    np.testing.assert_allclose(value, want, rtol=1e-5)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[mask == 0], 0)
    assert float(both(p, EVEN, mask=0 * mask)[0]) == 0


def test_quantiles_are_those_of_a_kernel_density():
    labels = np.random.default_rng(1).gamma(2, 9, 400).round().clip(0, 100)
    values, counts = np.unique(labels, return_counts=True)
    kde = gaussian_kde(labels, 0.5)
    wide = 0.5 * labels.std()
    found = label_quantiles(values, counts, low=0.0, high=100.0, bandwidth=wide)
    whole = kde.integrate_box_1d(0, 100)
    for level in (0.05, 0.5, 0.95):
        at = np.interp(level, np.linspace(0, 1, 1024), found)
        share = kde.integrate_box_1d(0, at) / whole
        assert share == pytest.approx(level, abs=2e-3)
    with pytest.raises(ValueError, match="bandwidth must be a number above 0"):
        module.make(bandwidth=0.0)


def test_quantiles_of_narrow_kernels_are_those_of_the_labels():
    """Also where the kernel is narrower than any grid, or all labels are equal."""
    labels = np.concatenate([np.random.default_rng(2).normal(size=999), [500.0]])
    spec = specification.spec(labels, bin_width=0.125)
    found = module.make(bandwidth=1e-4).init(None, spec).state["quantiles"]
    want = np.quantile(labels, np.linspace(0, 1, 1024))
    # To a step of the grid, and the bins of one end and the other.
    np.testing.assert_allclose(found[5:-5], want[5:-5], atol=0.3)
    equal = specification.spec([5.0, 5.0], bin_width=1.0, label_range=(0, 10))
    found = module.make().init(None, equal).state["quantiles"]
    np.testing.assert_allclose(found[1:-1], 5.0, atol=5e-3)


def test_labels_beyond_the_bins_are_not_cut_off():
    """A fifth of the labels is far above the bins, and counts in the last one."""
    labels = np.concatenate([np.arange(80) / 8, np.full(20, 30.0)])
    spec = specification.spec(labels, bin_width=1.0, label_range=(0, 10))
    found = module.make(bandwidth=1e-4).init(None, spec).state["quantiles"]
    last = spec.centers[-1]
    assert last > 20
    np.testing.assert_allclose(found[-100:-1], last, atol=0.02)
    assert found[600] < 10
