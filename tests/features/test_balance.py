"""Variance of features within label bins: the number, the file and the figures."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import evaluate, report
from dirjax.features import balance, moments
from dirjax.report.figures import style
from dirjax.workdir import files
from tests import runs
from tests.fake_runs import write_run

NUM = 5


def reference(features, bins):
    """Definitions, bin by bin."""
    names = ("mean", "log_product", "norm", "norm_std", "norm_prototype")
    out = {n: np.full(NUM, np.nan) for n in names}
    floor = 1e-6 * np.var(features, axis=0, ddof=1).mean()
    for b in range(NUM):
        rows = features[bins == b]
        if len(rows):
            out["norm"][b] = np.sqrt((rows**2).sum(axis=1)).mean()
            out["norm_prototype"][b] = np.sqrt((rows.mean(axis=0) ** 2).sum())
        if len(rows) > 1:
            out["norm_std"][b] = np.std(np.sqrt((rows**2).sum(axis=1)), ddof=1)
            variance = ((rows - rows.mean(axis=0)) ** 2).sum(axis=0) / (len(rows) - 1)
            out["mean"][b] = variance.mean()
            logs = [np.log(max(v, floor)) for v in variance]
            out["log_product"][b] = np.exp(sum(logs) / len(logs))
    return out


def summary(features, bins):
    """From the moments of the device, in float32."""
    found = moments.from_batch(
        jnp.asarray(features, jnp.float32),
        jnp.asarray(bins),
        jnp.ones(len(bins)),
        num_bins=NUM,
    )
    return balance.summary(found.count, found.mean, found.m2, found.norm)


class TestNumbers:
    # Bins of 0, 1, 2 and many examples; one feature is constant in one bin.
    bins = np.array([0, 2, 2, *[3] * 40, *[4] * 9])
    features = np.random.default_rng(0).normal(3.0, 2.0, (len(bins), 7))
    features[bins == 4, 5] = 0.25

    def test_by_hand(self):
        got, want = (
            summary(self.features, self.bins),
            reference(self.features, self.bins),
        )
        assert got["count"].tolist() == [1, 0, 2, 40, 9]
        for how in balance.POOLS:
            np.testing.assert_allclose(got[f"variance_{how}"], want[how], rtol=1e-4)
        assert np.isnan(got["variance_mean"][:2]).all()
        assert got["variance_log_product"][4] > 0
        for name, rtol in (
            ("norm", 1e-5),
            ("norm_prototype", 1e-5),
            ("norm_std", 1e-3),
        ):
            np.testing.assert_allclose(got[name], want[name], rtol=rtol)
        total = np.var(self.features, axis=0, ddof=1)
        np.testing.assert_allclose(got["total_mean"], total.mean(), rtol=1e-5)
        np.testing.assert_allclose(
            got["total_log_product"], np.exp(np.log(total).mean()), rtol=1e-5
        )
        assert got["dim"] == 7

    @pytest.mark.parametrize("how", balance.POOLS)
    def test_the_relative_value_does_not_depend_on_scale(self, how):
        one, two = (summary(f * self.features, self.bins) for f in (1.0, 8.0))
        np.testing.assert_allclose(two[f"total_{how}"], 64 * one[f"total_{how}"])
        np.testing.assert_allclose(
            two[f"variance_{how}"] / two[f"total_{how}"],
            one[f"variance_{how}"] / one[f"total_{how}"],
        )

    def test_a_product_of_many_small_numbers(self):
        variance = np.full(2048, 1e-9)
        variance[::2] = 1e-5
        assert np.prod(variance) == 0
        np.testing.assert_allclose(balance.pooled(variance, "log_product"), 1e-7)
        variance[3] = 0
        assert balance.pooled(variance, "log_product") == 0
        assert balance.pooled(variance, "log_product", 1e-9) > 9e-8

    def test_no_example_and_equal_features(self):
        with np.errstate(all="raise"):
            got = balance.summary([0, 0], np.zeros((2, 3)), np.zeros((2, 3)), [0, 0])
            assert np.isnan(got["variance_mean"]).all()
            assert np.isnan(got["total_log_product"])
            got = balance.summary([5, 0], np.ones((2, 3)), np.zeros((2, 3)), [5, 0])
        assert got["variance_log_product"][0] == got["total_mean"] == 0

    def test_a_group_is_the_mean_of_its_bins(self):
        got = balance.by_shot([1.0, np.nan, 4.0, 7.0], [0, 0, 1, 1])
        assert got == {"all": 4.0, "many": 1.0, "median": 5.5, "few": None}

    def test_wrong_input(self):
        with pytest.raises(ValueError, match="how must be one of mean, log_product"):
            balance.pooled([1.0], "sum")
        with pytest.raises(ValueError, match="one more axis"):
            balance.variances([1, 2], [1.0, 2.0])


# For the session: under xdist classes of one module may be far apart.
@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A run whose evaluated parameters are an average, with its features."""
    workdir = tmp_path_factory.mktemp("balance") / "run"
    runs.run(
        runs.tiny("vanilla,smoke", eval__features=True, train__average_decay=0.9),
        workdir,
    )
    return workdir


def stored(workdir):
    with np.load(workdir / "features.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.mark.slow
class TestFile:
    @pytest.mark.slow
    def test_a_run_ends_with_features_of_what_is_evaluated(self, finished):
        got = stored(finished)
        run, step, (average, model_state) = evaluate.restore(finished)
        assert got["step"] == step
        assert got["split"] == "test"
        rows = run.source.splits["test"]
        features, _ = run.network.encode(
            average,
            model_state,
            run.network.prepare(rows.inputs),
            train=False,
        )
        features = np.asarray(features, np.float64)
        assert (
            got["count"].tolist()
            == np.bincount(rows.bin, minlength=len(got["count"])).tolist()
        )
        b = int(np.argmax(got["count"]))
        here = features[rows.bin == b]
        variance = here.var(axis=0, ddof=1)
        np.testing.assert_allclose(got["variance_mean"][b], variance.mean(), rtol=1e-4)
        np.testing.assert_allclose(
            got["norm"][b], np.linalg.norm(here, axis=1).mean(), rtol=1e-5
        )
        np.testing.assert_allclose(
            got["total_mean"], features.var(axis=0, ddof=1).mean(), rtol=1e-4
        )
        with np.load(finished / "predictions.npz") as file:
            off = np.abs(file["prediction"] - file["label"])
        np.testing.assert_allclose(got["error"][b], off[rows.bin == b].mean(), 1e-5)
        edges = json.loads((finished / "bins.json").read_text())["edges"]
        np.testing.assert_array_equal(got["edges"], edges)

    def test_training_data_has_a_file_of_its_own(self, finished):
        with np.load(finished / "features_train.npz", allow_pickle=False) as file:
            train = dict(file)
        test = stored(finished)
        assert (train["split"], test["split"]) == ("train", "test")
        assert train.keys() == test.keys()
        bins = json.loads((finished / "bins.json").read_text())
        assert train["count"].tolist() == bins["train_count"]
        b = int(np.argmax(test["count"] * train["count"]))
        for name in ("norm", "norm_prototype", "error"):
            assert np.isfinite(train[name][b])
            assert train[name][b] != test[name][b]
        evaluate.evaluate(finished, split="train", features=True)
        with np.load(finished / "features_train.npz", allow_pickle=False) as file:
            for name, array in file.items():
                np.testing.assert_array_equal(array, train[name])
        np.testing.assert_array_equal(stored(finished)["norm"], test["norm"])

    @pytest.mark.slow
    def test_evaluate_writes_it_and_the_report_shows_it(self, finished, tmp_path):
        before = stored(finished)
        evaluate.evaluate(finished, split="val", features=True)
        after = stored(finished)
        assert after["split"] == "val"
        assert not np.array_equal(after["variance_mean"], before["variance_mean"])
        evaluate.evaluate(finished, features=True)
        assert before.keys() == stored(finished).keys()
        for name, array in stored(finished).items():
            np.testing.assert_array_equal(array, before[name])
        report.write_report([finished], tmp_path)
        for name in ("balance_by_shot", "balance_by_label"):
            assert (tmp_path / f"{name}.png").stat().st_size > 5000


def with_features(folder, seed=0, scale=1.0, **kwargs):
    """A made-up run with made-up features."""
    write_run(folder, examples=400, seed=seed, **kwargs)
    edges = json.loads((folder / "bins.json").read_text())["edges"]
    size = len(edges) - 1
    variance = scale * np.random.default_rng(seed).uniform(0.5, 1.5, size)
    variance[-9:] = np.nan
    save = {"count": np.full(size, 4), "norm": variance, "variance_mean": variance}
    save |= {"total_mean": np.asarray(2 * scale), "edges": np.asarray(edges)}
    save |= {"split": np.asarray("test"), "step": np.asarray(1800)}
    files.write_npz(folder / "features.npz", save)
    return folder, save


class TestReport:
    @pytest.fixture
    def drawn(self, monkeypatch):
        """The figures that were asked for, by name; nothing is rendered."""
        found = {}
        monkeypatch.setattr(
            style, "svg", lambda figure, name, alt: found.update({name: figure}) or ""
        )
        monkeypatch.setattr(style, "png", lambda figure: b"")
        return found

    def test_methods_and_seeds(self, drawn, tmp_path):
        made = {
            (method, seed): with_features(
                tmp_path / f"{method}{seed}", seed, scale, method=method
            )
            for method, scale in (("vanilla", 1.0), ("sqinv", 3.0))
            for seed in range(3)
        }
        other = with_features(tmp_path / "other", 3, method="sqinv")[0]
        files.write_npz(
            other / "features.npz", made["sqinv", 0][1] | {"split": np.asarray("val")}
        )
        without = write_run(tmp_path / "plain", examples=400, method="lds")
        folders = [folder for folder, _ in made.values()]
        text = report.write_report([*folders, other, without], tmp_path / "out")
        assert "smaller is more balanced" in text.read_text()
        raw, relative = drawn["balance_by_shot"].axes
        (names,) = drawn["balance_by_shot"].legends
        assert len(names.get_texts()) == 2
        heights = [
            sorted(p.get_height() for p in ax.patches if p.get_height() > 0)
            for ax in (raw, relative)
        ]
        want = [
            np.mean([np.nanmean(made[m, s][1]["variance_mean"]) for s in range(3)])
            for m in ("vanilla", "sqinv")
        ]
        assert any(np.isclose(heights[0], want[0]))
        assert any(np.isclose(heights[0], want[1]))
        assert any(np.isclose(heights[1], want[1] / 6))
        assert len(drawn["balance_by_label"].axes) == 4

    def test_none(self, drawn, tmp_path):
        write_run(tmp_path / "run", examples=400)
        report.write_report([tmp_path / "run"], tmp_path / "out")
        assert not any("balance" in name for name in drawn)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (
                lambda s: s | {"step": np.asarray(5)},
                "is from step 5, not the best step",
            ),
            (lambda s: s | {"count": np.ones(3)}, "features.npz is damaged"),
            (lambda s: s | {"split": np.asarray(["test"])}, "must be scalars"),
            (
                lambda s: s | {"edges": s["edges"] + 1},
                "bins.json differ in their bins",
            ),
            (None, "features.npz is damaged"),
        ],
    )
    def test_what_does_not_fit_is_said(self, drawn, tmp_path, change, said):
        folder, save = with_features(tmp_path / "run")
        if change:
            files.write_npz(folder / "features.npz", change(save))
        else:
            (folder / "features.npz").write_bytes(b"{\x00 not what it should be")
        text = report.write_report([folder], tmp_path / "out").read_text()
        assert said in text
        assert not any("balance" in name for name in drawn)


def test_it_is_numpy_alone():
    from tests import commands

    code = "import sys, dirjax.features.balance; sys.exit('jax' in sys.modules)"
    assert commands.run("-c", code).returncode == 0
