"""Runs on pictures with depth maps, from files to metrics at full size."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from dirjax import data, errors, evaluate
from dirjax.cli import config_files
from dirjax.config import frozen, validation
from dirjax.configs import nyud2_dir
from dirjax.evals import predictor
from dirjax.ops import resize
from dirjax.training.build import build
from dirjax.training.overview import overview
from dirjax.training.stage_program import stage_program
from tests import depth_folder as made
from tests import runs
from tests.program import test_resume

# What the data is read for does not depend on the model, and this one compiles fast.
TINY = {"width": 2, "levels": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made.make(tmp_path_factory.mktemp("depth"))


def config(folder, method, **fields):
    fields = {
        "data__batch_size": 4,
        "model__name": "small_unet",
        "model__encoder": TINY,
        "model__head_options__kernel": 3,
        "model__label_scaling": "standard",
        "train__chunk": 1,
        "log__every": 1,
        "eval__batch_size": 4,
        "eval__every": 1.0,
        "stage__main__steps": 4,
        "checkpoint__every": 5.0,
        **made.fields(folder),
        **fields,
    }
    return runs.config("nyud2_dir", method, **fields)


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """All wrappers of dense tasks at once; the test split selects."""
    out = tmp_path_factory.mktemp("run") / "run"
    made = config(folder, "lds_fds,ssir,test_selection", data__depth__val_share=0.0)
    return out, made, runs.run(made, out)


@pytest.mark.slow
class TestRun:
    def test_metrics_are_those_of_enlarged_predictions(self, finished):
        out, made, result = finished
        test = data.from_config(made["data"]).splits["test"]
        maps = predictor.Predictor(out)(test.inputs)
        assert maps.shape == (5, 5, 7)
        large = np.asarray(resize.bilinear(maps, test.label.shape[1:], aligned=True))
        p, y = test.real(large).astype(np.float64), test.real(test.value)
        scores = result["test"]
        assert scores["count"]["all"] == test.mask.sum() < test.mask.size
        np.testing.assert_allclose(
            scores["rmse"]["all"], np.sqrt(((p - y) ** 2).mean()), rtol=1e-5
        )
        np.testing.assert_allclose(
            scores["mae"]["all"], np.abs(p - y).mean(), rtol=1e-5
        )

    def test_statistics_are_of_the_subset(self, finished, folder):
        out, _, _ = finished
        run, _, _ = evaluate.restore(out)
        few = run.source.rows("statistics")
        assert len(few.label) == 4 < len(run.source.splits["train"].label)
        (tracked,) = [
            leaf
            for path, leaf in test_resume.last_state(out)
            if "tracked" in jax.tree_util.keystr(path)
        ]
        pixels = np.bincount(few.real(few.bin).clip(7) - 7, minlength=93)
        assert tracked.sum() > 0
        np.testing.assert_array_equal(tracked % pixels.clip(1), 0)
        np.testing.assert_array_equal(tracked > 0, pixels > 0)

    def test_the_result_says_that_the_test_selected(self, finished, capsys):
        out, _, result = finished
        assert result["select"]["split"] == "test"
        assert result["val"] == {}
        assert runs.log(out, "test")[-1]["rmse/all"] > 0
        pieces, _, _ = evaluate.restore(out)
        programs = [stage_program(pieces, stage) for stage in pieces.plan.stages]
        said = overview(pieces, programs)
        assert "WARNING: the test split selects the checkpoint" in said
        assert (
            json.loads((out / "config.json").read_text())["select"]["split"] == "test"
        )

    def test_features_of_larger_labels(self, finished):
        out, _, _ = finished
        run, _, model = evaluate.restore(out)
        found = run.evaluator.features(*model, "test")
        split = run.source.splits["test"]
        half = np.asarray(split.bin)[:, 1::2, 1::2][split.mask[:, 1::2, 1::2]]
        np.testing.assert_array_equal(found["count"], np.bincount(half, minlength=100))


def test_validation_selects_where_nothing_is_said(folder):
    run, (main,) = runs.built(config(folder, "inv"))
    assert run.select_split == "val"
    table = main.objective.init(jax.random.key(0), run.spec).state["table"]
    np.testing.assert_array_equal(table[:7], table[7])


def test_no_test_split(folder, monkeypatch):
    made = config(folder, "vanilla,test_selection")
    whole = data.from_config(made["data"])
    cut = dataclasses.replace(whole, splits={"train": whole.splits["train"]})
    monkeypatch.setattr(data, "from_config", lambda fields: cut)
    with pytest.raises(
        errors.InputError, match=r"select.split is test, but .* no test"
    ):
        build(made)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("select__split", "train", "select.split must be 'val' or 'test'"),
        ("data__depth__crop", (0, 4), "crop must be .height, width."),
        ("data__depth__val_share", 1.0, r"val_share must be in \[0, 1\)"),
        ("data__augment_dense__rotate", 90.0, "rotate must be from 0 to 45"),
        ("data__augment_dense__jitter", 1.0, "jitter must be from 0 to 0.99"),
        ("data__augment_dense__border", "edge", "border must be 'hidden' or 'zero'"),
        ("data__augment__flip", True, "augment must be off for inputs of kind 'dense'"),
    ],
)
def test_fields(folder, tmp_path, field, value, said):
    with pytest.raises(errors.InputError, match=said):
        runs.run(config(folder, "vanilla", **{field: value}), tmp_path / "run")
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


class TestConfig:
    def test_retraining_is_of_the_refinement(self):
        head = config_files.load("configs/nyud2_dir.py", "rrt").stage.head
        assert head.trainable == head.reinit == ("head", "encoder/refine")

    def test_both_forms(self):
        whole, small = (
            frozen.plain(nyud2_dir.get_config(arg))
            for arg in ("inv_ssir", "inv_ssir,small")
        )
        assert whole["data"]["depth"]["crop"] == (228, 304)
        assert whole["stage"]["main"]["learning_rate"] == 1e-4
        assert small["data"]["input"] == "nyuv2_labeled_152x112.npz"
        for one in (whole, small):
            assert one["objective"]["ssir"]["lam"] == 2.5
            assert one["objective"]["ssir"]["distance"] == "mse"
            assert one["objective"]["reweight"]["first_bin"] == 7
            validation.validate(one)
