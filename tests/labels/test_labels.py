"""Bins, kernels, weights, shot groups and splits against golden numbers and loops."""

import gzip
import math
import pathlib
from fractions import Fraction

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax import labels
from dirjax.data import splits
from dirjax.labels import relevance, weights

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
KERNELS = ("gaussian", "triang", "laplace")
SCHEMES = ("inverse", "sqrt_inverse")
# The benchmark's fixed lists for STS-B-DIR.
STSB_LISTS = {
    "many": [0, *range(10, 49, 2), 49],
    "median": [2, 4, 6, 8, 27, 35, 37],
    "few": [*range(1, 27, 2), 29, 31, 33, *range(39, 49, 2)],
}


def cases(name):
    with np.load(GOLDEN / f"{name}.npz") as data:
        found = [{} for _ in range(int(data["n_cases"]))]
        for key in data.files:
            if key != "n_cases":
                found[int(key[1:3])][key[4:]] = data[key]
    return [pytest.param(case, id=str(number)) for number, case in enumerate(found)]


def kernel_options(case):
    if not int(case.get("p.lds", 1)):
        return {}
    names = {"size": int(case["p.ks"]), "sigma": float(case["p.sigma"])}
    return {"kernel": KERNELS[int(case["p.kernel"])], **names}


def check_density(case, density):
    """Integer-cut bins that the golden file marks may differ by one count."""
    near = case["out.truncation_ambiguous"].astype(float)
    np.testing.assert_array_less(
        np.abs(density - case["out.smoothed_counts"]), 1e-9 + near * 1.0
    )


# Bins.


@pytest.mark.parametrize("width", ["0.1", "0.05", "0.2", "0.25", "0.001", "7", "0.3"])
@pytest.mark.parametrize("origin", ["0", "-1.3", "100.07"])
def test_edges_are_the_literals_and_open_their_bin(width, origin):
    bins = labels.Bins.uniform(width=float(width), origin=float(origin), num=300)
    literals = [float(Fraction(origin) + k * Fraction(width)) for k in range(301)]
    assert bins.edges.tolist() == literals
    np.testing.assert_array_equal(bins.index(literals[:-1]), np.arange(300))
    below = np.nextafter(literals[1:], -np.inf)
    np.testing.assert_array_equal(bins.index(below), np.arange(300))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_lower_precision_labels_reach_the_edge_they_name(dtype):
    bins = labels.Bins.uniform(width=0.1, origin=0, num=50)
    named = np.array([k / 10 for k in range(50)], dtype)
    np.testing.assert_array_equal(bins.index(named), np.arange(50))


def test_lower_precision_keeps_edges_that_would_collapse():
    bins = labels.Bins.uniform(width=1, origin=2_000_000_000, num=300)
    found = bins.index(np.array([2_000_000_128], np.float32))
    assert found.tolist() == [128]


def test_float32_edges_lower_float64_labels():
    bins = labels.Bins.uniform(width=0.1, origin=0, num=50, dtype=np.float32)
    assert bins.edges.dtype == np.float32
    np.testing.assert_array_equal(bins.index(np.arange(51) / 10), [*range(50), 49])
    assert bins.index([1e300, -1e300]).tolist() == [49, 0]


@settings(max_examples=200, deadline=None)
@given(
    width=st.decimals("0.001", "50", places=3),
    origin=st.decimals("-100", "100", places=3),
    num=st.integers(1, 200),
    position=st.lists(st.floats(-3, 210), min_size=1, max_size=30),
)
def test_index_is_searchsorted(width, origin, num, position):
    bins = labels.Bins.uniform(width=float(width), origin=float(origin), num=num)
    asked = float(origin) + float(width) * np.array(position)
    asked = np.concatenate([asked, bins.edges, np.nextafter(bins.edges, -np.inf)])
    expected = np.searchsorted(bins.edges, asked, side="right") - 1
    np.testing.assert_array_equal(bins.index(asked), expected.clip(0, num - 1))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.uint64, int])
@pytest.mark.parametrize("origin", [0, -3, 0.5])
def test_integer_labels(dtype, origin):
    bins = labels.Bins.uniform(width=1, origin=origin, num=5)
    values = np.array([0, 1, 1, 0, 1] if dtype is bool else [0, 1, 2, 4, 100], dtype)
    expected = [min(max(math.floor(int(v) - origin), 0), 4) for v in values]
    found = bins.index(values)
    assert found.tolist() == expected
    assert found.dtype == np.int32


def test_irregular_edges_and_shapes():
    bins = labels.Bins(np.array([-10, -1, 0, 0.5, 100]))
    asked = np.array([[-11.0, -10.0, -1.5], [0.49, 0.5, 100.0]])
    assert bins.index(asked).tolist() == [[0, 0, 0], [2, 3, 3]]
    assert bins.index(-0.5).shape == ()
    np.testing.assert_array_equal(bins.centers, [-5.5, -0.5, 0.25, 50.25])
    with pytest.raises(ValueError, match="read-only"):
        bins.edges[0] = 3


def test_covering():
    cover = labels.Bins.covering
    assert cover([0.3, 0.7], width=0.1).edges.tolist() == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    same = cover(np.array([0.3, 0.7], np.float32), width=0.1)
    assert same.edges.tolist() == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert cover([-7, 4], width=5).edges.tolist() == [-10, -5, 0, 5]
    assert cover([3], width=2, origin=1).edges.tolist() == [1, 3, 5]
    assert cover([3, 50], width=2, label_range=(0, 5)).edges.tolist() == [0, 2, 4, 6]
    assert cover([3], width=1, label_range=(0, 121)).num == 121
    assert cover([1.0], width=1 / 3).index([1.0]).tolist() == [0]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20),
    st.floats(0.05, 100),
)
def test_covering_puts_every_label_between_its_edges(values, width):
    bins = labels.Bins.covering(values, width=width)
    index = bins.index(values)
    assert (bins.edges[index] <= values).all()
    assert (values <= bins.edges[index + 1]).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: labels.Bins.covering([1.0], width=0), "width must be above 0"),
        (lambda: labels.Bins.covering([1.0], width=-1), "width must be above 0"),
        (lambda: labels.Bins.uniform(width=-1, origin=0, num=2), "above 0"),
        (lambda: labels.Bins.uniform(width=math.nan, origin=0, num=2), "finite"),
        (lambda: labels.Bins.uniform(width=1, origin=0, num=0), "1 to 10000000 bins"),
        (lambda: labels.Bins.covering([0, 1e9], width=0.1), "got 10000000001 of width"),
        (lambda: labels.Bins.covering([1.0, np.nan], width=1), "nan at row 1"),
        (lambda: labels.Bins.covering([[1, 2], [3, np.inf]], width=1), r"row \[1, 1\]"),
        (lambda: labels.Bins.covering(np.nan, width=1), "nan at row 0"),
        (lambda: labels.Bins.covering([], width=1), "at least one"),
        (lambda: labels.Bins.covering(["a"], width=1), "must be numbers"),
        (lambda: labels.Bins.covering([7], width=1, label_range=(0, 5)), "from 7 to 7"),
        (lambda: labels.Bins.covering([7], width=1, label_range=(9, 5)), "low, high"),
        (lambda: labels.Bins.covering([7], width=1, origin=9), "change the bin width"),
        (lambda: labels.Bins(np.array([0, 1, 1, 2.0])), "increase, got 1.0 before 1.0"),
        (lambda: labels.Bins(np.array([0, 2, 1.0])), "got 2.0 before 1.0"),
        (lambda: labels.Bins(np.array([0.0])), "two or more"),
        (lambda: labels.Bins(np.array([0.0, np.inf])), "finite"),
        (lambda: weights.kernel_window("box", 5), "got 'box'"),
        (lambda: weights.kernel_window("triang", 4), "odd"),
        (lambda: weights.kernel_window("laplace", 5, 0), "sigma above 0"),
        (lambda: weights.kernel_window("laplace", 5, normalize="l2"), "max, sum"),
        (lambda: weights.smooth([1, 2], [1, 2, 3]), "symmetric"),
        (lambda: weights.smooth([], [1]), "num >= 1"),
        (lambda: weights.smooth([1], [1], "wrap"), "zero, edge, reflect"),
        (lambda: weights.bin_weights([0, 0], "inverse"), "one above 0"),
        (lambda: weights.bin_weights([-1, 2], "inverse"), "from 0"),
        (lambda: weights.bin_weights([1], "sqrt"), "sqrt_inverse, got 'sqrt'"),
        (lambda: weights.bin_weights([1], "none", kernel="triang"), "no weights"),
        (lambda: labels.shot_groups([1], many=5, few=9), "exceed"),
        (lambda: labels.shot_groups([1], explicit={"medium": [0]}), "'medium'"),
        (lambda: labels.shot_groups([1, 2], explicit={"many": [0]}), r"bins \[1\]"),
        (lambda: labels.shot_groups([1], explicit={"few": [0, 0, 4]}), r"\[0, 4\]"),
        (lambda: relevance.relevance([1], [1], side="left"), "both, high, low"),
    ],
)
def test_errors_say_what_to_do(call, says):
    with pytest.raises(ValueError, match=says):
        call()


# Kernels and smoothing.


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


# Shot groups and the specification.


def test_shot_lists():
    groups = labels.shot_groups(np.zeros(50), explicit=STSB_LISTS)
    assert np.bincount(groups).tolist() == [22, 7, 21]
    assert groups[[0, 2, 1]].tolist() == [0, 1, 2]


def test_spec():
    made = labels.spec(
        np.repeat([1, 2, 4, 5], [100, 101, 20, 19]), bin_width=1, label_range=(0, 6)
    )
    assert made.counts.tolist() == [0, 100, 101, 0, 20, 19]
    assert made.shots.tolist() == [2, 1, 0, 2, 1, 2]
    values = np.repeat([1.0, 2.0, 4.0, 5.0], [100, 101, 20, 19])
    assert (made.label_mean, made.label_std) == (values.mean(), values.std())
    assert (made.examples, made.feature_dim) == (240, 0)
    listed = labels.spec([0, 5], bin_width=0.1, label_range=(0, 5),
                         shot_lists=STSB_LISTS, dtype=np.float32)  # fmt: skip
    assert listed.counts[[0, 49]].tolist() == [1, 1]
    assert listed.bins.edges.dtype == np.float32


def read_agedb(folder):
    path = folder / "agedb-dir" / "agedb.csv.gz"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    with gzip.open(path, "rt") as file:
        rows = [line.rstrip("\n").split(",") for line in file][1:]
    ages = np.array([int(float(row[0])) for row in rows])
    return ages, [row[1] for row in rows], np.array([row[-1] for row in rows])


@pytest.mark.data
def test_agedb_counts(data_dir):
    ages, _, parts = read_agedb(data_dir)
    train = ages[parts == "train"]
    made = labels.spec(train, bin_width=1, label_range=(0, 121))
    assert (made.bins.num, made.examples, made.counts.max()) == (121, 12208, 353)
    assert made.counts[35] == 353
    seen = made.counts > 0
    assert np.bincount(made.shots[seen]).tolist() == [51, 16, 33]
    images = [made.counts[made.shots == k].sum() for k in range(3)]
    assert images == [11154, 851, 203]
    test = made.shots[made.bins.index(ages[parts == "test"])]
    assert np.bincount(test).tolist() == [1530, 448, 162]


@pytest.mark.data
def test_agedb_split_sizes(data_dir):
    ages, files, parts = read_agedb(data_dir)
    bins = labels.Bins.uniform(width=1, origin=0, num=121)
    mine = splits.balanced_split(ages, bins, seed=0, keys=files)
    assert np.bincount(mine).tolist() == [12208, 2140, 2140]
    for number, name in enumerate(("train", "val", "test")):
        np.testing.assert_array_equal(
            labels.histogram(ages[mine == number], bins),
            labels.histogram(ages[parts == name], bins),
        )


# Splits.


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(0, 4), min_size=1, max_size=80),
    seed=st.integers(-5, 2**70),
    words=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_split_follows_keys_not_rows(values, seed, words, order):
    bins = labels.Bins.uniform(width=1, origin=0, num=5)
    keys = np.arange(len(values)) * 7 - 20
    keys = np.array([f"file{k}.jpg" for k in keys]) if words else keys
    values = np.array(values)

    def split(rows):
        return splits.balanced_split(
            values[rows], bins, denominator=3, cap=4, seed=seed, keys=keys[rows]
        )

    parts = split(np.arange(len(values)))
    assert parts.dtype == np.int8
    for value in range(5):
        n = int((values == value).sum())
        share = min(n // 3, 4)
        sizes = np.bincount(parts[values == value], minlength=3).tolist()
        assert sizes == [n - 2 * share, share, share]
    mixed = np.array(order.sample(range(len(values)), len(values)))
    np.testing.assert_array_equal(split(mixed), parts[mixed])
    others = values != values[0]  # Other bins do not matter.
    if others.any():
        np.testing.assert_array_equal(split(np.nonzero(others)[0]), parts[others])


def test_split_seeds_and_keys_matter():
    bins = labels.Bins.uniform(width=1, origin=0, num=1)
    values = np.zeros(90)
    parts = [splits.balanced_split(values, bins, seed=seed) for seed in range(40)]
    assert len({p.tobytes() for p in parts}) == 40
    test_share = np.mean([p == 2 for p in parts], axis=0)
    assert test_share.min() > 0.05
    assert test_share.max() < 0.7
    with pytest.raises(ValueError, match="distinct"):
        splits.balanced_split([0, 0], bins, seed=0, keys=["a", "a"])
    with pytest.raises(ValueError, match=r"need \[n\] labels"):
        splits.balanced_split([0, 0], bins, seed=0, keys=[1])
    with pytest.raises(ValueError, match="denominator >= 2"):
        splits.balanced_split([0, 0], bins, seed=0, denominator=1)


def test_split_is_frozen():
    """Splits must not change with a version: published runs name only the seed."""
    bins = labels.Bins.uniform(width=1, origin=0, num=2)
    parts = splits.balanced_split([0, 1] * 6, bins, seed=1)
    assert "".join(map(str, parts)) == "202200121101"
    parts = splits.balanced_split([0] * 6, bins, seed=1, keys=list("abcdef"))
    assert "".join(map(str, parts)) == "120021"


# Relevance.


def test_relevance_by_hand():
    # Sorted: box from 2.5 to 7.5, median 5, whiskers 0 and 10, outliers 30 and -20.
    train = [-20, 0, 2, 3, 4, 5, 6, 7, 8, 10, 30]
    asked = np.array([[-99.0, -20, 0, 2.5, 5], [6, 7.5, 10, 30, 99]])
    low, high = 0.5, 0.2**2 * (3 - 2 * 0.2)
    expected = [[1, 1, 1, low, 0], [high, 0.5, 1, 1, 1]]
    np.testing.assert_allclose(relevance.relevance(train, asked), expected)
    upper = relevance.relevance(train, asked, side="high")
    np.testing.assert_allclose(upper, [[0] * 5, expected[1]])
    lower = relevance.relevance(train, asked, side="low")
    np.testing.assert_allclose(lower, [expected[0], [0] * 5])


def test_relevance_without_outliers_or_spread():
    assert not relevance.relevance(np.arange(11), np.arange(-5, 20)).any()
    assert not relevance.relevance([0, 1], [-5, 0, 1]).any()
    steps = relevance.relevance([5] * 9 + [6], [4.9, 5, 5.1, 6])
    assert steps.tolist() == [0, 0, 1, 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=30))
def test_relevance_rises_from_the_median(values):
    asked = np.sort(np.array([*values, *range(-1100, 1100, 50)]))
    phi = relevance.relevance(values, asked)
    assert phi.min() >= 0
    assert phi.max() <= 1
    rising = phi[asked >= np.median(values)]
    falling = phi[asked <= np.median(values)]
    assert (np.diff(rising) >= 0).all()
    assert (np.diff(falling) <= 0).all()
    moved = relevance.relevance(np.array(values) * 2 + 7, asked * 2 + 7)
    np.testing.assert_allclose(moved, phi, atol=1e-12)
