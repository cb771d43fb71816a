"""Metric sums against golden numbers, slow loops, and their own identities."""

import dataclasses
import functools
import json
import math
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax import labels, metrics

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
# The benchmark's fixed lists for STS-B-DIR.
STSB_LISTS = {
    "many": [0, *range(10, 49, 2), 49],
    "median": [2, 4, 6, 8, 27, 35, 37],
    "few": [*range(1, 27, 2), 29, 31, 33, *range(39, 49, 2)],
}


def golden(name, number):
    with np.load(GOLDEN / f"{name}.npz") as data:
        start = f"c{number:02d}."
        return {k[4:]: data[k] for k in data.files if k.startswith(start)}


step = jax.jit(metrics.batch_sums, static_argnames="num_bins")


def evaluate(predictions, values, spec, batch=256, shift=None, gm_epsilon=0.0):
    """The way of an evaluation: padded batches, sums on the device, one division."""
    shift = spec.bins.centers if shift is None else shift
    scale = spec.label_std or 1.0
    total = metrics.zeros(spec.bins.num)
    for at in range(0, len(values), batch):
        p, y = predictions[at : at + batch], values[at : at + batch]
        gap = (0, batch - len(y))
        sums = step(
            np.pad(np.float32(p), gap, constant_values=np.nan),
            np.pad(np.float32(y), gap, constant_values=np.nan),
            bins=np.pad(spec.bins.index(y), gap, constant_values=10**6),
            mask=np.pad(np.ones(len(y), np.float32), gap),
            num_bins=spec.bins.num,
            shift=np.float32(shift),
            scale=scale,
            gm_epsilon=gm_epsilon,
        )
        total = metrics.add(total, jax.device_get(sums))
    return metrics.finalize(total, spec=spec, shift=shift, scale=scale)


def slow(predictions, values, spec, gm_epsilon=0.0):
    """From the text, in float64, one example after another."""
    bins = [int(spec.bins.index(y)) for y in values]
    out = {}
    for group in ("all", *labels.SHOTS):
        rows = [i for i, b in enumerate(bins)
                if group in ("all", labels.SHOTS[spec.shots[b]])]  # fmt: skip
        names = ("mae", "mse", "rmse", "gm", "pearson", "bmae", "count")
        row = dict.fromkeys(names)
        if rows:
            p = [float(predictions[i]) for i in rows]
            y = [float(values[i]) for i in rows]
            errors = [abs(a - b) for a, b in zip(p, y, strict=True)]
            row["count"] = len(rows)
            row["mae"] = math.fsum(errors) / len(rows)
            row["mse"] = math.fsum(e * e for e in errors) / len(rows)
            row["rmse"] = math.sqrt(row["mse"])
            filled = [e or gm_epsilon for e in errors]
            logs = [math.log(e) if e else -math.inf for e in filled]
            row["gm"] = math.exp(sum(logs) / len(rows))
            means = []
            for b in {bins[i] for i in rows}:
                own = [e for e, i in zip(errors, rows, strict=True) if bins[i] == b]
                means.append(sum(own) / len(own))
            row["bmae"] = sum(means) / len(means)
            if len(rows) > 1 and min(np.ptp(p), np.ptp(y)) > 0:
                row["pearson"] = float(np.corrcoef(p, y)[0, 1])
        for name in names:
            out.setdefault(name, {})[group] = row[name]
    return out


def check_close(result, expected, rtol=1e-5):
    for name, row in expected.items():
        for group, value in row.items():
            got = result[name][group]
            assert (got is None) == (value is None), (name, group, got, value)
            if value is not None:
                tolerance = {"rtol": rtol, "atol": 2e-5 if name == "pearson" else 1e-12}
                np.testing.assert_allclose(got, value, **tolerance, err_msg=name)


def example(seed=0, n=400):
    rng = np.random.default_rng(seed)
    train = np.float32(np.round(rng.exponential(6, 2000) - 3, 1))
    spec = labels.spec(train, bin_width=1.5, label_range=(-3, 30))
    values = np.float32(np.round(rng.uniform(-4, 32, n), 2))
    predictions = np.float32(values * 0.8 + rng.normal(0, 3, n))
    return predictions, values, spec


class BatchSumsTest(chex.TestCase):
    @chex.all_variants
    @parameterized.parameters((False,), (True,))
    def test_sums_by_hand(self, per_bin_shift):
        shift = jnp.array([1.0, 2.0, 3.0]) if per_bin_shift else 1.0
        function = self.variant(functools.partial(metrics.batch_sums, num_bins=3))
        sums = function(
            jnp.array([1.0, 3.0, 5.0, jnp.nan, jnp.inf]),
            jnp.array([2.0, 3.0, 1.0, jnp.nan, 4.0]),
            bins=jnp.array([0, 2, 2, -7, 99]),
            mask=jnp.array([1.0, 1.0, 1.0, 0.0, 0.0]),
            shift=shift,
            scale=2.0,
            gm_epsilon=0.5,
        )
        base = np.array([1.0, 3.0, 3.0]) if per_bin_shift else np.ones(3)
        p = (np.array([1.0, 3.0, 5.0]) - base) / 2
        y = (np.array([2.0, 3.0, 1.0]) - base) / 2

        def per_bin(x):
            return [x[0], 0, x[1] + x[2]]

        expected = metrics.Sums(
            *([1, 0, 2], [1, 0, 4], [1, 0, 16]),
            [np.log(1), 0, np.log(0.5) + np.log(4)],
            *map(per_bin, (p, y, p * p, y * y, p * y)),
        )
        for got, want in zip(sums, expected, strict=True):
            self.assertEqual(got.dtype, jnp.float32)
            np.testing.assert_allclose(got, want, rtol=1e-6)

    @chex.all_variants
    @parameterized.parameters(((2, 3, 5),), ((0,),))
    def test_any_shape_and_types(self, shape):
        rng = np.random.default_rng(0)
        p, y = rng.normal(size=shape), rng.integers(0, 4, shape)
        bins = rng.integers(0, 4, shape)
        function = self.variant(functools.partial(metrics.batch_sums, num_bins=4))
        sums = function(jnp.asarray(p, jnp.bfloat16), jnp.asarray(y), bins=bins)
        exact = np.float64(jnp.asarray(p, jnp.bfloat16)) - y
        for b in range(4):
            np.testing.assert_allclose(
                sums.abs[b], np.abs(exact[bins == b]).sum(), rtol=1e-5
            )
            self.assertEqual(float(sums.count[b]), (bins == b).sum())

    @chex.all_variants
    def test_all_padding_is_zero(self):
        function = self.variant(functools.partial(metrics.batch_sums, num_bins=2))
        nan = jnp.full((3,), jnp.nan)
        sums = function(nan, nan, bins=jnp.zeros(3, int), mask=jnp.zeros(3))
        chex.assert_trees_all_equal(sums, jax.tree.map(jnp.zeros_like, sums))

    def test_zero_error_without_epsilon_stays_in_its_bin(self):
        sums = metrics.batch_sums(
            jnp.array([1.0, 3.0]), jnp.array([1.0, 2.0]), bins=jnp.arange(2), num_bins=2
        )
        self.assertEqual(sums.log_abs.tolist(), [-math.inf, 0.0])

    def test_shapes_must_agree(self):
        with self.assertRaisesRegex(ValueError, r"got \(2, 1\), \(2,\), \(2,\)"):
            metrics.batch_sums(
                jnp.ones((2, 1)), jnp.ones(2), bins=jnp.zeros(2, int), num_bins=2
            )

    def test_one_trace_for_all_batches(self):
        predictions, values, spec = example()

        @jax.jit
        @chex.assert_max_traces(n=1)
        def step(p, y, b, mask):
            return metrics.batch_sums(p, y, bins=b, mask=mask, num_bins=spec.bins.num)

        for k in range(3):
            rows = slice(100 * k, 100 * k + 100)
            bins = spec.bins.index(values[rows])
            step(predictions[rows], values[rows], bins, np.float32(bins > k))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift", ["centers", "mean"])
@pytest.mark.parametrize("gm_epsilon", [0.0, 1e-10, 0.25])
def test_finalize_is_the_slow_loop(seed, shift, gm_epsilon):
    predictions, values, spec = example(seed, n=400 if seed < 3 else 12)
    if seed % 2:
        predictions[::7] = values[::7]
    result = evaluate(
        predictions, values, spec, batch=64, gm_epsilon=gm_epsilon,
        shift=spec.label_mean if shift == "mean" else None,
    )  # fmt: skip
    check_close(result, slow(predictions, values, spec, gm_epsilon))
    metrics.check_identity(result)
    assert result == json.loads(json.dumps(result, allow_nan=False))


@pytest.mark.parametrize("number", range(4))
def test_golden_agedb(number):
    case = golden("agedb_shot_metrics", number)
    thresholds = {
        "many": int(case["p.many_shot_thr"]),
        "few": int(case["p.low_shot_thr"]),
    }
    spec = labels.spec(
        case["in.train_labels"], bin_width=1, label_range=(0, 121), **thresholds
    )
    result = evaluate(case["in.preds"], case["in.labels"], spec)
    metrics.check_identity(result)
    golden_names = {"mae": "l1", "mse": "mse", "gm": "gmean"}
    groups = {"all": "overall", "many": "many", "median": "median", "few": "low"}
    for name, theirs in golden_names.items():
        for group, prefix in groups.items():
            expected = case[f"out.{prefix}_{theirs}"]
            np.testing.assert_allclose(result[name][group], expected, rtol=1e-5)
    if number == 0:
        assert list(result["count"].values()) == [2140, 1530, 448, 162]


@pytest.mark.parametrize("number", range(2))
def test_golden_stsb(number):
    case = golden("stsb_shot_metrics", number)
    scores = case["in.label"]
    spec = labels.spec(
        scores, bin_width=0.1, label_range=(0, 5), shot_lists=STSB_LISTS,
        dtype=np.float32,
    )  # fmt: skip
    bins = spec.bins.index(scores)
    np.testing.assert_array_equal(bins, case["out.bin_idx"])
    predictions = case["in.pred"] * np.float32(5)
    result = evaluate(predictions, scores, spec, gm_epsilon=1e-10)
    result |= metrics.rank_metrics(predictions, scores, spec.shots[bins])
    names = {"mae": "l1", "mse": "mse", "gm": "gmean", "pearson": "pearsonr",
             "spearman": "spearmanr", "count": "num_samples"}  # fmt: skip
    groups = {"all": "overall", "many": "many", "median": "medium", "few": "few"}
    for name, theirs in names.items():
        for group, prefix in groups.items():
            expected = float(case[f"out.{prefix}_{theirs}"])
            if number == 1 and expected < 1e-6:
                continue  # Rounding of the scaled prediction, or 0 for "too few".
            rtol = 1e-5 if name != "gm" or number == 0 else 0.2
            np.testing.assert_allclose(result[name][group], expected, rtol=rtol)
    if number == 1:
        assert result["pearson"]["few"] is None
        assert result["spearman"]["median"] is None
        assert result["gm"]["few"] <= 1e-7


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(
        st.tuples(st.floats(-50, 50, width=32), st.floats(-50, 50, width=32)),
        min_size=1, max_size=30,
    ),
    order=st.randoms(use_true_random=False),
    padding=st.integers(0, 5),
)  # fmt: skip
@pytest.mark.slow
def test_order_padding_and_batches_change_nothing(values, order, padding):
    p, y = np.array(values, np.float32).T
    bins = labels.Bins.uniform(width=10, origin=-50, num=10)

    def total(rows, first=0):
        """The rows inside a batch of 128, from position `first` on."""
        at = slice(first, first + len(rows))
        batch = np.full((4, 128), [[np.nan], [np.inf], [10**6], [0]], np.float32)
        batch[:, at] = p[rows], y[rows], bins.index(y[rows]), np.ones(len(rows))
        return step(
            *batch[:2], bins=np.int32(batch[2]), mask=batch[3],
            num_bins=10, gm_epsilon=1e-6,
        )  # fmt: skip

    rows = np.arange(len(values))
    base = total(rows)
    close = functools.partial(chex.assert_trees_all_close, rtol=1e-5, atol=1e-3)
    close(total(np.array(order.sample(list(rows), len(rows)))), base)
    chex.assert_trees_all_equal(total(rows, padding), base)
    halves = [total(h) for h in np.array_split(rows, 2) if len(h)]
    close(functools.reduce(metrics.add, halves), base)
    close(total(np.concatenate([rows, rows])), metrics.add(base, base))


def test_pearson_of_a_narrow_group_and_of_constants():
    rng = np.random.default_rng(0)
    values = np.float32(1000 + rng.uniform(0, 0.5, 3000))
    spec = labels.spec(np.r_[values, 0.0], bin_width=1, origin=0)
    predictions = np.float32(values + rng.normal(0, 0.1, 3000))
    expected = np.corrcoef(np.float64(predictions), values)[0, 1]
    result = evaluate(predictions, values, spec)
    np.testing.assert_allclose(result["pearson"]["all"], expected, rtol=1e-4)
    for p, y in [
        (np.full(3000, 999.3), values),
        (predictions, np.full(3000, 1000.3)),
        (np.full(3000, 0.1), rng.integers(0, 1001, 3000)),
        (predictions[:1], values[:1]),
    ]:
        for shift in (None, spec.label_mean):
            result = evaluate(p, y, spec, shift=shift)
            assert result["pearson"]["all"] is None


def test_empty_groups_and_broken_predictions_are_none():
    spec = labels.spec([0, 1], bin_width=1, many=0, few=0)
    values = np.array([0.0, 1.0])
    result = evaluate(np.array([1.0, 1.0]), values, spec)
    assert result["count"] == {"all": 2, "many": 2, "median": None, "few": None}
    assert result["mae"]["few"] is None
    assert result["gm"]["all"] == 0
    metrics.check_identity(result)
    for bad in (np.nan, np.inf):
        result = evaluate(np.array([bad, 1.0]), values, spec, gm_epsilon=0.1)
        assert {result[name]["all"] for name in ("mae", "mse", "gm")} == {None}
        assert json.dumps(result, allow_nan=False)
        metrics.check_identity(result)
    nothing = metrics.finalize(metrics.zeros(2), spec=spec)
    assert {v for row in nothing.values() for v in row.values()} == {None}
    metrics.check_identity(nothing)
    with pytest.raises(ValueError, match="has 2 bins"):
        metrics.finalize(metrics.zeros(3), spec=spec)


def test_long_sums_on_the_host_keep_every_count():
    one = metrics.zeros(1)._replace(count=np.array([2.0**24]))
    unit = metrics.zeros(1)._replace(count=np.ones(1, np.float32))
    assert metrics.add(one, unit).count.tolist() == [2.0**24 + 1]


def test_per_bin():
    predictions, values, spec = example()
    bins = spec.bins.index(values)
    sums = metrics.batch_sums(predictions, values, bins=bins, num_bins=spec.bins.num)
    table = metrics.per_bin(sums)
    for b in range(spec.bins.num):
        rows = bins == b
        assert table["count"][b] == rows.sum()
        if rows.any():
            error = np.abs(np.float64(predictions[rows]) - values[rows]).mean()
            np.testing.assert_allclose(table["mae"][b], error, rtol=1e-5)
    empty = metrics.per_bin(metrics.zeros(2))
    assert np.isnan(empty["mae"]).all()
    assert empty["count"].dtype == np.int64


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 5), st.integers(0, 2)),
                min_size=1, max_size=40))  # fmt: skip
def test_spearman_is_scipy_with_ties(rows):
    p, y, shots = np.array(rows, np.float64).T
    result = metrics.rank_metrics(p, y, shots)["spearman"]
    for name, keep in [("all", shots >= 0), ("many", shots == 0), ("few", shots == 2)]:
        a, b = p[keep], y[keep]
        if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
            assert result[name] is None
        else:
            expected = scipy.stats.spearmanr(a, b).statistic
            np.testing.assert_allclose(result[name], expected, atol=1e-12)


def test_sera_is_the_integral():
    rng = np.random.default_rng(0)
    p, y = rng.normal(size=(2, 50))
    phi = rng.uniform(0, 1, 50)
    steps = np.linspace(0, 1, 20001)
    areas = [((p - y)[phi >= t] ** 2).sum() for t in steps]
    expected = np.trapezoid(areas, steps)
    got = metrics.sera(p, y, phi)["sera"]["all"]
    np.testing.assert_allclose(got, expected, rtol=1e-3)
    assert metrics.sera(p, y, np.zeros(50)) == {"sera": {"all": None}}
    assert metrics.sera([np.nan, 1], [0, 0], [1, 1]) == {"sera": {"all": None}}
    with pytest.raises(ValueError, match="of equal length"):
        metrics.sera(p, y, phi[:3])
    with pytest.raises(ValueError, match="gather and flatten"):
        metrics.rank_metrics(p[:, None], y[:, None], phi[:, None])


def test_means_by_shot():
    got = metrics.means([1.0, 2.0, 6.0, np.inf], [0, 0, 2, 1])
    assert got == {"all": None, "many": 1.5, "median": None, "few": 6.0}
    assert metrics.means([], []) == dict.fromkeys(("all", *labels.SHOTS))
    with pytest.raises(ValueError, match="of equal length"):
        metrics.means([1.0], [0, 0])


@pytest.mark.parametrize("name", ["mae", "mse", "rmse", "gm"])
def test_check_identity_names_the_metric(name):
    predictions, values, spec = example(n=2000)
    spec = dataclasses.replace(spec, shots=np.arange(spec.bins.num) % 3)
    result = evaluate(predictions, values, spec)
    metrics.check_identity(result)
    wrong = {k: dict(row) for k, row in result.items()}
    wrong[name]["few"] *= 1.001
    with pytest.raises(ValueError, match=f"^{name}: all is"):
        metrics.check_identity(wrong)
    wrong[name]["few"] = None
    with pytest.raises(ValueError, match=f"^{name}: a group with examples"):
        metrics.check_identity(wrong)
    wrong["count"]["few"] += 1
    with pytest.raises(ValueError, match=r"^count: "):
        metrics.check_identity(wrong)


def test_check_identity_of_a_published_table():
    """AgeDB-DIR's test counts with the golden run rounded to two decimals."""
    counts = {"all": 2140, "many": 1530, "median": 448, "few": 162}
    mae = {"all": 5.60, "many": 5.67, "median": 5.48, "few": 5.28}
    table = {"count": counts, "mae": mae}
    metrics.check_identity(table, rtol=2e-3)
    table["mae"]["few"] = 6.28
    with pytest.raises(ValueError, match="mae"):
        metrics.check_identity(table, rtol=2e-3)
