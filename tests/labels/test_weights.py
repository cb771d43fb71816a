"""Kernels and weights against public numbers and loops."""

import math

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax import labels
from dirjax.labels import weights
from tests.labels.golden import KERNELS, SCHEMES, cases, kernel_options


def check_density(case, density):
    """Integer-cut bins that the golden file marks may differ by one count."""
    near = case["out.truncation_ambiguous"].astype(float)
    np.testing.assert_array_less(
        np.abs(density - case["out.smoothed_counts"]), 1e-9 + near * 1.0
    )


@pytest.mark.parametrize("case", cases("kernel_windows"))
def test_golden_windows(case):
    kernel, size = KERNELS[int(case["p.kernel"])], int(case["p.ks"])
    window = weights.kernel_window(kernel, size, float(case["p.sigma"]))
    np.testing.assert_allclose(window, case["out.lds"], rtol=1e-9)
    window = weights.kernel_window(kernel, size, float(case["p.sigma"]), "sum")
    np.testing.assert_allclose(window, case["out.fds"], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.sampled_from(weights.KERNELS),
    half=st.integers(0, 12),
    sigma=st.floats(0.2, 30),
)
def test_windows_are_symmetric_with_peak_one(kernel, half, sigma):
    window = weights.kernel_window(kernel, 2 * half + 1, sigma)
    np.testing.assert_array_equal(window, window[::-1])
    assert window.max() == 1
    # A wide Gaussian, cut at 4 sigma and folded, is flat but for its cut.
    assert window[half] > 0.999 if kernel == "gaussian" else window[half] == 1
    total = weights.kernel_window(kernel, 2 * half + 1, sigma, "sum")
    np.testing.assert_allclose(total, window / window.sum(), rtol=1e-12)
    if kernel == "gaussian":
        impulse = np.zeros(2 * half + 1)
        impulse[half] = 1
        slow = scipy.ndimage.gaussian_filter1d(impulse, sigma)
        np.testing.assert_allclose(total, slow, rtol=1e-9, atol=1e-300)


def test_windows_by_hand():
    exact = weights.kernel_window("gaussian_exact", 5, 2.0)
    np.testing.assert_allclose(exact[:2], [0.606531, 0.882497], atol=1e-6)
    triang = weights.kernel_window("triang", 5, 9.0)
    np.testing.assert_allclose(triang, np.array([1, 2, 3, 2, 1]) / 3)
    laplace = weights.kernel_window("laplace", 5, 2.0)
    np.testing.assert_allclose(laplace[:2], [0.367879, 0.606531], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(0, 1000), min_size=1, max_size=12),
    half=st.integers(0, 7),
    padding=st.sampled_from(["zero", "edge", "reflect"]),
)
def test_smooth_is_scipy(values, half, padding):
    window = weights.kernel_window("laplace", 2 * half + 1, 2.0)
    mode = {"zero": "constant", "edge": "reflect", "reflect": "mirror"}[padding]
    slow = scipy.ndimage.convolve1d(np.array(values), window, mode=mode)
    fast = weights.smooth(values, window, padding)
    np.testing.assert_allclose(fast, slow, rtol=1e-12, atol=1e-9)
    back = weights.smooth(values[::-1], window, padding)[::-1]
    np.testing.assert_array_equal(fast, back)


# Weights.


@pytest.mark.parametrize("case", cases("agedb_weights"))
def test_golden_agedb_weights(case):
    ages = case["in.labels"].ravel()
    bins = labels.Bins.uniform(width=1, origin=0, num=int(case["p.max_target"]))
    scheme, options = SCHEMES[int(case["p.reweight"])], kernel_options(case)
    counts = labels.histogram(ages, bins)
    density = weights.bin_density(counts, scheme, truncate=True, **options)
    expected = case["out.weights"].ravel()
    if options:
        check_density(case, density)
        near = case["out.truncation_ambiguous"].astype(bool)
        if scheme == "inverse" and (density != case["out.smoothed_counts"])[near].any():
            inverse = 1 / case["out.smoothed_counts"][bins.index(ages)]
            np.testing.assert_allclose(expected, inverse / inverse.mean(), rtol=1e-6)
            return
    found = weights.sample_weights(ages, bins, scheme, truncate=True, **options)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("case", cases("stsb_weights"))
def test_golden_stsb_weights(case):
    scores, num = case["in.labels"], int(case["p.bucket_num"])
    bins = labels.Bins.covering(
        scores, width=5 / num, label_range=(0, 5), dtype=np.float32
    )
    assert bins.num == num
    scheme, options = SCHEMES[int(case["p.reweight"])], kernel_options(case)
    options |= {"clip": None, "truncate": True}
    if "kernel" in options:
        counts = labels.histogram(scores, bins)
        check_density(case, weights.bin_density(counts, scheme, **options))
    found = weights.sample_weights(scores, bins, scheme, **options)
    np.testing.assert_allclose(found, case["out.weights"], rtol=1e-6)


@pytest.mark.parametrize("case", cases("nyud2_weights"))
def test_golden_nyud2_weights(case):
    first = int(case["p.bucket_start"])
    # Pixels below the first filled bin share its weight: they are outside labels.
    bins = labels.Bins.uniform(width=0.1, origin=first / 10, num=100 - first)
    counts = case["in.train_bucket_num"]
    scheme, options = SCHEMES[int(case["p.reweight"])], kernel_options(case)
    options |= {"clip": None, "padding": "edge", "truncate": True}
    found = weights.bin_weights(counts[first:], scheme, **options)
    expected = case["out.bucket_weights"]
    np.testing.assert_allclose(found, expected[first:], rtol=2e-6)
    np.testing.assert_allclose(expected[:first], found[0], rtol=2e-6)
    whole = weights.bin_weights(counts, scheme, first_bin=first, **options)
    np.testing.assert_allclose(whole, expected, rtol=2e-6)
    depth = case["in.depth"]
    found = weights.sample_weights(
        depth, bins, scheme, counts=counts[first:], **options
    )
    np.testing.assert_allclose(found, case["out.weights"], rtol=2e-6)


def test_worked_example_by_hand():
    counts = [1, 4, 9, 0, 1]
    found = weights.bin_weights(counts, "inverse")
    np.testing.assert_allclose(found[:3], [1.363636, 1.363636, 0.757576], atol=1e-6)
    found = weights.bin_weights(counts, "sqrt_inverse", kernel="gaussian")
    expected = [1.090505, 1.030769, 0.902096, 1.667552]
    np.testing.assert_allclose(found[[0, 1, 2, 4]], expected, atol=1e-6)
    found = weights.bin_weights(counts, "inverse", kernel="gaussian")
    expected = [1.375215, 1.065219, 0.887633, 1.375215]
    np.testing.assert_allclose(found[[0, 1, 2, 4]], expected, atol=1e-6)
    np.testing.assert_array_equal(weights.bin_weights(counts, "none"), np.ones(5))


def slow_weights(counts, scheme, clip, window):
    """From the text: clip or root, convolve with zeros outside, invert, mean 1."""
    values = []
    for count in counts:
        value = math.sqrt(count) if scheme == "sqrt_inverse" else float(count)
        if scheme == "inverse" and clip:
            value = min(max(value, clip[0]), clip[1])
        values.append(value)
    half, dense = len(window) // 2, []
    for b in range(len(values)):
        total = 0.0
        for k, tap in enumerate(window):
            if 0 <= b + k - half < len(values):
                total += tap * values[b + k - half]
        dense.append(total)
    lowest = min(d for d in dense if d > 0)
    inverse = [1 / d if d > 0 else 1 / lowest for d in dense]
    scale = sum(counts) / sum(c * u for c, u in zip(counts, inverse, strict=True))
    return [u * scale for u in inverse]


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(0, 3000), min_size=1, max_size=15).filter(any),
    scheme=st.sampled_from(SCHEMES),
    clip=st.sampled_from([None, (5, 1000), (1, 50)]),
    size=st.sampled_from([None, 1, 5, 9]),
)
def test_weights_are_the_text_with_mean_one(counts, scheme, clip, size):
    kernel = None if size is None else "triang"
    found = weights.bin_weights(
        counts, scheme, clip=clip, kernel=kernel, size=size or 5
    )
    window = [1.0] if size is None else weights.kernel_window("triang", size).tolist()
    slow = slow_weights(counts, scheme, clip, window)
    np.testing.assert_allclose(found, slow, rtol=1e-10)
    np.testing.assert_allclose(np.average(found, weights=counts), 1, rtol=1e-12)
    ordered = np.repeat(np.arange(len(counts)), counts)
    bins = labels.Bins.uniform(width=1, origin=0, num=len(counts))
    options = {"clip": clip, "kernel": kernel, "size": size or 5}
    sample = weights.sample_weights(ordered, bins, scheme, **options)
    np.testing.assert_allclose(sample.mean(dtype=np.float64), 1, rtol=1e-6)
    mixed = np.random.default_rng(0).permutation(ordered.size)
    moved = weights.sample_weights(ordered[mixed], bins, scheme, **options)
    np.testing.assert_array_equal(moved, sample[mixed])
