"""Short runs of heads that predict a distribution, on every kind of data."""

import json
import shutil

import jax
import numpy as np
import pytest

from dirjax import evaluate, labels, predict
from dirjax.config import validation
from dirjax.errors import InputError
from dirjax.evals import corrected, new_file
from dirjax.evals.predictor import Predictor
from dirjax.training import build as build_lib
from dirjax.workdir import run_files
from tests import own_data, runs
from tests.program.answers import COLUMNS, PARTS, assert_as_evaluated, to_csv

PRESETS = ("histogram", "gaussian", "beta_nll", "quantile")
FIELDS = {"stage__main__steps": 3, "train__chunk": 3}


def short(made):
    made["stage"]["main"]["steps"] = 3
    return made


@pytest.fixture(scope="session")
def on_log_labels(shared):
    """Skewed labels, learnt as logarithms, on four bins: means differ from medians."""

    def make(folder):
        file = own_data.write(folder, "mine.csv", to_csv(COLUMNS))
        fields = own_data.TINY | {"data__label_scale": "log", "support__num": 4}
        fields |= {
            "support__spacing": "quantile",
            "model__head_options__decode": "mean",
        }
        runs.run(own_data.config(file, argument="histogram", **fields), folder / "run")

    return shared("log_histogram", make)


class TestBins:
    def test_what_is_stored(self, on_log_labels):
        stored = json.loads((on_log_labels / "run" / "bins.json").read_text())
        found, pieces = stored["support"], rebuilt(on_log_labels)
        train = pieces.source.splits["train"]
        edges = np.asarray(found["edges"])
        assert len(edges) == 5
        assert (edges[0], edges[-1]) == (stored["edges"][0], stored["edges"][-1])
        np.testing.assert_allclose(np.log(edges), found["learnt"], rtol=1e-12)
        want = np.histogram(train.value, edges)[0]
        assert found["train_count"] == want.tolist()
        assert sum(found["train_count"]) == sum(stored["train_count"])
        assert max(want) - min(want) <= 2

    def test_the_network_comes_back_bit_for_bit(self, on_log_labels, monkeypatch):
        pieces = rebuilt(on_log_labels)
        monkeypatch.setattr("dirjax.data.from_config", None)
        workdir = on_log_labels / "run"
        spec = corrected.spec_of(workdir)
        want = pieces.spec.support
        assert spec.support is not None
        np.testing.assert_array_equal(spec.support.edges, want.edges)
        np.testing.assert_array_equal(spec.support.counts, want.counts)
        assert pieces.network.edges == tuple(want.edges.tolist())

    def test_as_in_evaluation(self, on_log_labels):
        assert_as_evaluated(on_log_labels / "run", on_log_labels / "mine.csv")

    def test_a_new_file(self, on_log_labels):
        _, scores, *_ = new_file.evaluate(
            on_log_labels / "run", on_log_labels / "mine.csv"
        )
        assert np.isfinite(scores["mae"]["all"])

    def test_another_decode_everywhere(self, on_log_labels, tmp_path):
        """Of a run whose config has one, though its labels are those of training."""
        copy = shutil.copytree(on_log_labels / "run", tmp_path / "run")
        config = run_files.read_config(copy)
        config["prior"]["decode"] = "median"
        (copy / run_files.CONFIG).write_text(json.dumps(config))
        got = evaluate.evaluate(copy)["test"]["mae"]["all"]
        result = runs.result(copy)
        (point,) = [
            p
            for p in result["frontier"]["points"]
            if (p["tau"], p["decode"]) == (0.0, "median")
        ]
        assert got == pytest.approx(point["test"]["mae"]["all"], rel=1e-5)
        assert got != pytest.approx(result["test"]["mae"]["all"], rel=1e-3)
        file = on_log_labels / "mine.csv"
        found = {
            run: new_file.evaluate(run, file)[1]["mae"]["all"]
            for run in (copy, on_log_labels / "run")
        }
        assert len(set(found.values())) == 2
        predict.predict(copy, file, tmp_path / "out.csv")
        test = [i for i, part in enumerate(PARTS) if part == "test"]
        lines = (tmp_path / "out.csv").read_text().splitlines()[1:]
        value = np.array([float(COLUMNS["y"][i]) for i in test])
        predicted = np.array([float(lines[i].split(",")[1]) for i in test])
        assert np.abs(predicted - value).mean() == pytest.approx(got, rel=1e-4)

    def test_no_bins_no_model(self, on_log_labels, tmp_path):
        copy = shutil.copytree(on_log_labels / "run", tmp_path / "run")
        (copy / "bins.json").unlink()
        with pytest.raises(InputError, match=r"no readable bins\.json"):
            Predictor(copy)


def rebuilt(folder):
    """Data and model of the run."""
    config = json.loads((folder / "run" / "config.json").read_text())
    return build_lib.build(config)


class TestConfig:
    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("spacing", "log", r"config\.support\.spacing must be one of bins, equal"),
            ("num", 9, r"config\.support\.num must be 0 for support.spacing='bins'"),
        ],
    )
    def test_wrong_fields(self, field, value, words):
        made = runs.tiny("histogram,smoke", **{f"support__{field}": value})
        with pytest.raises(InputError, match=words):
            validation.validate(made)

    def test_a_head_without_its_preset(self):
        made = runs.tiny("vanilla,smoke", model__head="gaussian")
        with pytest.raises(InputError, match=r"the head 'gaussian' .* config\.support"):
            build_lib.build(made)

    def test_a_head_with_another_term(self, tmp_path):
        made = runs.tiny("histogram,smoke", model__head="gaussian")
        with pytest.raises(InputError, match=r"needs model.head='histogram'"):
            runs.run(made, tmp_path / "run")

    def test_a_data_set_gives_the_kernel_of_maps(self):
        found = runs.config("nyud2_dir", "histogram,small")["model"]["head_options"]
        assert found == {"decode": "median", "kernel": 3}
        experts = runs.config("nyud2_dir", "group_dir")["model"]["head_options"]
        assert experts["kernel"] == 5


def test_pixels_that_do_not_count_are_not_in_the_support():
    made = runs.tiny_depth("histogram", support__num=5, support__spacing="quantile")
    pieces = build_lib.build(made)
    train = pieces.source.splits["train"]
    support = pieces.spec.support
    real = train.real(train.label)
    assert support.counts.sum() == real.size == pieces.spec.counts.sum()
    want = labels.histogram(real, labels.Bins(support.edges))
    np.testing.assert_array_equal(support.counts, want)
    out = jax.eval_shape(
        pieces.network.head, pieces.shapes[0], np.zeros((1, 16, 24, 4), np.float32)
    )
    assert out.logits.shape == (1, 16, 24, support.num)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
class TestRuns:
    """Three steps each."""

    def test_tables(self, preset, tmp_path):
        done = runs.run(short(runs.tiny(f"{preset},smoke")), tmp_path / "run")
        assert np.isfinite(done["test"]["mae"]["all"])

    def test_images(self, preset, tmp_path):
        made = runs.config(
            "mnist5k",
            f"{preset},smoke",
            data__limit=48,
            data__batch_size=16,
            model__encoder={"width": 4, "stage_sizes": (1,)},
            **FIELDS,
        )
        done = runs.run(made, tmp_path / "run")
        assert np.isfinite(done["test"]["mae"]["all"])

    def test_maps(self, preset, tmp_path):
        done = runs.run(runs.tiny_depth(preset), tmp_path / "run")
        assert np.isfinite(done["test"]["mae"]["all"])

    @pytest.mark.parametrize("decode", ["median", "mean"])
    def test_logarithms(self, preset, decode, tmp_path):
        file = own_data.write(tmp_path, "mine.csv", to_csv(COLUMNS))
        fields = own_data.TINY | {"data__label_scale": "log"}
        fields |= {"model__head_options__decode": decode}
        made = own_data.config(file, argument=preset, **fields)
        runs.run(made, tmp_path / "run")
        assert_as_evaluated(tmp_path / "run", file)
