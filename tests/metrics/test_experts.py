"""What an evaluation says of groups and experts, from the formulas in float64."""

import json
import math

import jax
import numpy as np
import pytest

from dirjax import evaluate, labels, metrics, report
from dirjax.metrics import experts as experts_metrics
from tests import own_data, runs

COLUMNS = ("all", *labels.SHOTS)
NEW = {"group_accuracy", "group_distance", "oracle_mae", "oracle_rmse"}
NEW |= {"nll", "nll_bound"}


def normal(y, mean, variance):
    """The density of a Gaussian."""
    return math.exp(-((y - mean) ** 2) / 2 / variance) / math.sqrt(
        2 * math.pi * variance
    )


def softmax(row):
    total = sum(math.exp(x - max(row)) for x in row)
    return [math.exp(x - max(row)) / total for x in row]


def by_hand(logits, values, y, groups):
    """`nll`, its bound, and the bound as it is printed, row after row."""
    n, num = np.shape(logits)
    variance = sum((y[i] - values[i][groups[i]]) ** 2 for i in range(n)) / n
    whole = bound = printed = 0.0
    for i in range(n):
        p = softmax([float(x) for x in logits[i]])
        parts = [p[g] * normal(y[i], float(values[i][g]), variance) for g in range(num)]
        whole -= math.log(sum(parts)) / n
        bound -= math.log(parts[groups[i]]) / n
        printed -= sum(math.log(x) for x in parts) / n
    return whole, bound, printed


def rows(seed=0, n=60, num=4, scale=1.0, spread=1.0):
    """Logits, values, labels and groups of a Gaussian head."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (n, num)).astype(np.float32)
    y = rng.normal(0, 2 * scale, n).astype(np.float32)
    values = (y[:, None] + rng.normal(0, scale, (n, num))).astype(np.float32)
    return logits, values, y, rng.integers(0, num, n)


def assert_by_shot(got, per_row, shots, root=False):
    """Means over all rows and over shot groups, None where there is no row."""
    assert set(got) == set(COLUMNS)
    for k, name in enumerate(COLUMNS):
        chosen = [x for x, s in zip(per_row, shots, strict=True) if k in (0, s + 1)]
        if not chosen:
            assert got[name] is None
            continue
        want = sum(map(float, chosen)) / len(chosen)
        want = math.sqrt(want) if root else want
        np.testing.assert_allclose(got[name], want, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("log", [False, True])
def test_every_metric_against_its_formula(log):
    logits, values, y, groups = rows()
    shots = np.where(np.arange(60) % 3, 2, 0)  # none is median
    value = np.exp(y) if log else y
    scores, stored = experts_metrics.evaluate(
        logits,
        values,
        label=y,
        value=value,
        groups=groups,
        shots=shots,
        inverse=labels.Scale("log" if log else "linear").inverse,
        probable=True,
    )
    assert set(scores) == NEW
    best = [max(range(4), key=lambda g, row=row: row[g]) for row in logits]
    oracle = [values[i][g] for i, g in enumerate(groups)]
    oracle = np.exp(oracle) if log else np.float32(oracle)
    off = [abs(a - b) for a, b in zip(best, groups, strict=True)]
    error = np.abs(np.float64(oracle) - np.float64(value))
    assert_by_shot(scores["group_accuracy"], [d == 0 for d in off], shots)
    assert_by_shot(scores["group_distance"], off, shots)
    assert_by_shot(scores["oracle_mae"], error, shots)
    assert_by_shot(scores["oracle_rmse"], error**2, shots, root=True)
    whole, bound, _ = by_hand(logits, np.float64(values), np.float64(y), groups)
    np.testing.assert_allclose(scores["nll"]["all"], whole, rtol=1e-9)
    np.testing.assert_allclose(scores["nll_bound"]["all"], bound, rtol=1e-9)
    for name, want in (("group", groups), ("group_prediction", best)):
        assert stored[name].dtype == np.int32
        np.testing.assert_array_equal(stored[name], want)
    assert stored["oracle"].dtype == np.float32
    np.testing.assert_allclose(stored["oracle"], oracle, rtol=1e-6)


class TestLikelihood:
    @pytest.mark.parametrize("num", [1, 2, 5, 20])
    @pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
    def test_the_bound_of_the_true_group_always_holds(self, num, scale):
        for seed in range(20):
            found = experts_metrics.likelihood(
                *rows(seed, 7, num, scale, spread=(0.1, 1, 30)[seed % 3])
            )
            nll, bound = (found[k]["all"] for k in ("nll", "nll_bound"))
            assert nll <= bound
            if num == 1:
                np.testing.assert_allclose(nll, bound, rtol=1e-12)
            else:
                assert nll < bound

    def test_the_printed_bound_fails_where_densities_exceed_one(self):
        # The example of the module; and labels twenty times as wide, where it holds.
        for size, holds in ((0.05, False), (1.0, True)):
            logits, values = [[0.0, 0.0]], [[size, size]]
            whole, bound, printed = by_hand(logits, values, [0.0], [1])
            found = experts_metrics.likelihood(logits, values, [0.0], [1])
            np.testing.assert_allclose(found["nll"]["all"], whole, rtol=1e-12)
            np.testing.assert_allclose(found["nll_bound"]["all"], bound, rtol=1e-12)
            assert (whole <= printed) == holds
        _, _, printed = by_hand([[0.0, 0.0]], [[0.05, 0.05]], [0.0], [1])
        assert round(printed, 2) == -1.77

    def test_its_variance_makes_the_bound_smallest(self):
        logits, values, y, groups = rows()
        own = experts_metrics.likelihood(logits, values, y, groups)["nll_bound"]["all"]
        squares = [(y[i] - values[i, g]) ** 2 for i, g in enumerate(groups)]
        best = float(np.mean(squares))
        for factor in (0.5, 0.9, 1.0, 1.1, 2.0):
            other = 0.0
            for i, g in enumerate(groups):
                p = softmax([float(x) for x in logits[i]])[g]
                density = normal(float(y[i]), float(values[i, g]), factor * best)
                other -= (math.log(p) + math.log(density)) / len(y)
            if factor == 1:
                np.testing.assert_allclose(other, own, rtol=1e-5)
            else:
                assert other > own + 1e-3

    def test_far_logits_and_values_do_not_overflow(self):
        found = experts_metrics.likelihood(
            [[1e4, -1e4], [0, 0]], [[1e6, 0], [0, 1]], [0.0, 0.0], [1, 1]
        )
        assert 0 < found["nll"]["all"] < found["nll_bound"]["all"] < math.inf

    @pytest.mark.parametrize(
        ("logits", "values"),
        [
            ([[0.0, 1.0]], [[9.0, 2.0]]),  # No error of the true group's expert.
            ([[0.0, np.nan]], [[9.0, 1.0]]),
            ([[0.0, 1.0]], [[9.0, np.inf]]),
            (np.zeros((0, 2)), np.zeros((0, 2))),
        ],
    )
    def test_what_is_not_finite_is_none(self, logits, values):
        n = len(logits)
        found = experts_metrics.likelihood(logits, values, [2.0] * n, [1] * n)
        assert found == {"nll": {"all": None}, "nll_bound": {"all": None}}


def test_a_group_that_is_not_known_is_none():
    predicted = experts_metrics.predicted_groups([[np.nan, 1], [0, 1]])
    assert predicted.tolist() == [-1, 1]
    found = experts_metrics.group_scores([0, 1], predicted, [0, 2])
    for name, few in (("group_accuracy", 1.0), ("group_distance", 0.0)):
        want = {"all": None, "many": None, "median": None, "few": few}
        assert found[name] == want


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"groups \(2,\), predicted \(1,\)"):
        experts_metrics.group_scores([0, 1], [0], [0, 0])
    with pytest.raises(ValueError, match="equal length"):
        experts_metrics.group_scores([0, 1], [0, 1], [0])
    with pytest.raises(ValueError, match=r"oracle \(1, 2\)"):
        experts_metrics.oracle_scores([[0, 1]], [[0, 1]], [0])
    with pytest.raises(ValueError, match=r"\[n, groups\] for the 1 labels"):
        experts_metrics.likelihood([[0, 1]], [[0, 1, 2]], [0], [0])


@pytest.mark.parametrize("name", ["group_accuracy", "group_distance", "oracle_rmse"])
def test_the_identity_holds_for_them(name):
    logits, values, y, groups = rows()
    shots = np.arange(60) % 3
    predicted = experts_metrics.predicted_groups(logits)
    oracle = values[np.arange(60), groups]
    scores = experts_metrics.group_scores(groups, predicted, shots)
    scores |= experts_metrics.oracle_scores(oracle, y, shots)
    scores["count"] = {"all": 60} | dict.fromkeys(labels.SHOTS, 20)
    metrics.check_identity(scores)
    scores[name]["few"] += 0.1
    with pytest.raises(ValueError, match=f"^{name}: "):
        metrics.check_identity(scores)


# Labels up to 20 that the run learns as logarithms: few are large.
ROWS = [
    f"{(u := (i * 37 % 150) / 150):.3f},{'rgb'[i % 3]},{1 + 19 * u**4:.4f},"
    f"{('train', 'train', 'val', 'test')[i % 4]}"
    for i in range(150)
]
FIELDS = own_data.TINY | {
    "data__label_scale": "log",
    "data__bin_width": 0.25,
    "data__many": 10,
    "data__few": 6,
    "groups__num": 4,
    "stages": ("main",),
    # Neither a multiple of the four devices nor a divisor of the rows.
    "eval__batch_size": 14,
    "stage__main__steps": 6,
    "stage__main__learning_rate": 0.1,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a run, its config and its result."""
    folder = tmp_path_factory.mktemp("groups")
    file = own_data.write(
        folder, "mine.csv", own_data.table(ROWS, own_data.HEADER + ",split")
    )
    made = own_data.config(file, argument="group_ce", **FIELDS)
    return folder / "run", made, runs.run(made, folder / "run")


def stored(workdir):
    """What predictions.npz holds."""
    with np.load(workdir / "predictions.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.slow
class TestRun:
    def test_the_result_is_that_of_the_stored_rows(self, finished):
        workdir, _, result = finished
        bins, kept = json.loads((workdir / "bins.json").read_text()), stored(workdir)
        old = {"index", "label", "prediction", "low", "high"}
        assert set(kept) == old | {"group", "group_prediction", "oracle"}
        of_label = np.searchsorted(bins["edges"], kept["label"], "right") - 1
        np.testing.assert_array_equal(
            kept["group"], np.array(bins["groups"]["of_bin"])[of_label]
        )
        shots = np.array([labels.SHOTS.index(bins["shots"][b]) for b in of_label])
        assert len(set(shots)) == 2  # One group is empty.
        off = np.abs(kept["group_prediction"] - kept["group"])
        assert 0 < (off == 0).mean() < 1
        error = np.abs(np.float64(kept["oracle"]) - kept["label"])
        test = result["test"]
        assert_by_shot(test["group_accuracy"], off == 0, shots)
        assert_by_shot(test["group_distance"], off, shots)
        assert_by_shot(test["oracle_mae"], error, shots)
        assert_by_shot(test["oracle_rmse"], error**2, shots, root=True)
        # The other metrics are those of the predicted group's expert.
        right = off == 0
        np.testing.assert_allclose(
            kept["oracle"][right], kept["prediction"][right], rtol=1e-6
        )
        gap = np.abs(kept["oracle"] - kept["prediction"])[~right]
        assert gap.min() > 1e-3
        mae = np.abs(np.float64(kept["prediction"]) - kept["label"]).mean()
        np.testing.assert_allclose(test["mae"]["all"], mae, rtol=1e-5)

    def test_the_rows_are_those_of_one_device_without_padding(self, finished):
        workdir, _, result = finished
        run, _, (params, _) = evaluate.restore(workdir)
        split, kept = run.source.splits["test"], stored(workdir)
        params = jax.device_get(params)
        z, _ = run.network.encode(params, {}, split.inputs, train=False)
        out = jax.device_get(run.network.head(params, z))
        np.testing.assert_array_equal(kept["group_prediction"], out.logits.argmax(1))
        oracle = out.values[np.arange(len(z)), kept["group"]]
        np.testing.assert_allclose(kept["oracle"], np.exp(oracle), rtol=1e-5)
        whole, bound, _ = by_hand(
            out.logits, np.float64(out.values), np.log(split.value), kept["group"]
        )
        np.testing.assert_allclose(result["test"]["nll"]["all"], whole, rtol=1e-4)
        np.testing.assert_allclose(result["test"]["nll_bound"]["all"], bound, rtol=1e-4)

    def test_groups_of_bins_are_in_units_of_the_file(self, finished):
        bins = json.loads((finished[0] / "bins.json").read_text())
        groups = bins["groups"]
        assert set(groups) == {"num", "of_bin", "train_count", "centers"}
        assert groups["num"] == 4
        of_bin, edges = np.array(groups["of_bin"]), np.array(bins["edges"])
        for g in range(4):
            here = of_bin == g
            count = np.array(bins["train_count"])[here].sum()
            assert groups["train_count"][g] == count
            low, high = edges[:-1][here].min(), edges[1:][here].max()
            np.testing.assert_allclose(groups["centers"][g], math.sqrt(low * high))

    def test_the_log_and_the_command_say_the_same(self, finished):
        workdir, _, result = finished
        log = runs.log(workdir, "val")
        (line,) = [r for r in log if r["step"] == result["best_step"]]
        for split in ("val", "test"):
            again = evaluate.evaluate(workdir, split=split)[split]
            for name in NEW:
                for shot, value in result[split][name].items():
                    want = value and pytest.approx(value, rel=1e-6)
                    assert again[name][shot] == want, name
                    assert split == "test" or line[f"{name}/{shot}"] == want, name
        text = report.scores_text(workdir, evaluate.evaluate(workdir), {})
        (row,) = [r for r in text.splitlines() if r.startswith("group accuracy")]
        assert row.split()[2] == f"{result['test']['group_accuracy']['all']:.3f}"

    def test_a_resumed_run_ends_the_same(self, finished):
        workdir, made, result = finished
        before = stored(workdir)
        for name in ("result.json", "predictions.npz"):
            (workdir / name).unlink()
        assert runs.run(made, workdir)["test"] == result["test"]
        after = stored(workdir)
        for name, values in before.items():
            np.testing.assert_array_equal(values, after[name])
