"""A run of several targets: what every command and file says of each."""

import csv
import json

import jax
import numpy as np
import pytest

import dirjax
from dirjax import errors, evaluate, labels, predict, report
from dirjax.config import frozen
from dirjax.data.describe import facts as facts_lib
from dirjax.data.describe import text as text_lib
from dirjax.evals import portable
from dirjax.training.build import build, init_model
from dirjax.workdir import run_files
from tests import commands, own_data, runs
from tests.evals.test_portable import exported
from tests.program.test_resume import assert_resumes

COUNT = 200
NAMES = ("tall", "heavy")


def write(folder, name="two.csv"):
    """A table with two labels, of which the second is missing here and there."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(COUNT, 2)).round(4)
    tall, heavy = np.exp(x[:, 0]).round(4), (50 + 9 * x[:, 1]).round(3)
    lines = [
        f"{x[i, 0]},{x[i, 1]},{tall[i]},{'' if i % 6 == 2 else heavy[i]},"
        f"{('train', 'train', 'train', 'val', 'test')[i % 5]}"
        for i in range(COUNT)
    ]
    return own_data.write(folder, name, own_data.table(lines, "a,b,tall,heavy,split"))


def config(file, method="sqinv_lds", **fields):
    fields = own_data.TINY | {"data__many": 12, "data__few": 4, **fields}
    fields["model__encoder"] = {"width": 8, "depth": 1}
    return own_data.config(file, argument=method, data__label="tall,heavy", **fields)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("both")
    made = config(write(folder), prior__target="uniform")
    return folder, runs.run(made, folder / "run")


def folders(folder):
    return run_files.read_targets(folder / "run").items()


def test_metrics_are_those_of_the_stored_rows(both):
    """Computed by hand, with the bins and shots of each target."""
    folder, result = both
    means = {}
    for name, own in folders(folder):
        stored = dict(np.load(own / "predictions.npz"))
        bins = json.loads((own / "bins.json").read_text())
        error = np.abs(stored["prediction"].astype(float) - stored["label"])
        at = labels.Bins(np.asarray(bins["edges"])).index(stored["label"].astype(float))
        shot = np.asarray(bins["shots"])[at]
        found = result["targets"][name]["test"]
        np.testing.assert_allclose(found["mae"]["all"], error.mean(), rtol=1e-5)
        for one in ("many", "median", "few"):
            rows = shot == one
            assert found["count"][one] == (int(rows.sum()) or None)
            if rows.any():
                np.testing.assert_allclose(
                    found["mae"][one], error[rows].mean(), rtol=1e-5
                )
        unit = result["targets"][name]["unit"]
        record = run_files.read_record(own)
        np.testing.assert_allclose(unit, record["label_std"], rtol=1e-6)
        means[name] = error.mean() / unit
        assert len(error) == (40 if name == "tall" else 33)
        assert run_files.read_result(own)["test"]["mae"] == found["mae"]
    np.testing.assert_allclose(
        result["test"]["mae"]["all"], np.mean(list(means.values())), rtol=1e-5
    )


def test_each_target_has_its_own_correction(both):
    folder, result = both
    for name, own in folders(folder):
        prior = result["targets"][name]["prior"]
        assert prior["target"] == "uniform"
        # Of the validation errors by select, the smallest.
        points = result["targets"][name]["frontier"]["points"]
        assert prior["tau"] in {p["tau"] for p in points}
        assert run_files.read_result(own)["prior"] == prior


@pytest.mark.slow
def test_the_commands_say_the_same(both, tmp_path, capsys):
    folder, result = both
    run = folder / "run"
    file = folder / "two.csv"
    output = tmp_path / "out.csv"
    predict.predict(run, file, output, coverage=0.8, keep=["tall"])
    with output.open() as opened:
        rows = list(csv.DictReader(opened))
    assert list(rows[0]) == ["index", "tall"] + [
        f"{column}_{name}" for name in NAMES for column in ("prediction", "low", "high")
    ]
    for name, own in folders(folder):
        stored = dict(np.load(own / "predictions.npz"))
        said = np.array([float(r[f"prediction_{name}"]) for r in rows])
        np.testing.assert_allclose(said[stored["index"]], stored["prediction"], 1e-4)
    again = evaluate.evaluate(run, split="test")
    for name in NAMES:
        for metric in ("mae", "rmse"):
            want = result["targets"][name]["test"][metric]["all"]
            found = again["targets"][name]["test"][metric]["all"]
            assert found == pytest.approx(want, rel=1e-5)
    assert again["test"]["mae"]["all"] == pytest.approx(result["test"]["mae"]["all"])
    new, _ = evaluate.evaluate_file(run, file)
    assert new["targets"]["heavy"]["input"]["count"]["all"] == COUNT - 33
    text = report.run_text(run)
    assert "two, tall, sqinv_lds" in text
    assert "two, heavy, sqinv_lds" in text


def test_python_says_the_same(both):
    folder, _ = both
    model = dirjax.load(folder / "run")
    assert model.targets == NAMES
    data = {"a": np.linspace(-1, 1, 7), "b": np.linspace(1, -1, 7)}
    found = model.predict(data)
    assert found.shape == (7, 2)
    assert found[:, 1].mean() > 20 > found[:, 0].mean()
    assert model.predict(data, quantiles=(0.1, 0.5, 0.9)).shape == (7, 2, 3)
    center, ends = model.predict(data, interval=0.8)
    np.testing.assert_array_equal(center, found)
    assert ends.shape == (7, 2, 2)
    assert (ends[..., 0] < ends[..., 1]).all()
    law = model.predict_dist(data)
    assert set(law) == set(NAMES)
    np.testing.assert_allclose(law["heavy"].probabilities.sum(axis=1), 1, rtol=1e-5)
    assert "heavy" in repr(model)
    with (folder / "two.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    every = model.predict({n: np.array([float(r[n]) for r in rows]) for n in "ab"})
    for t, (_, own) in enumerate(folders(folder)):
        stored = dict(np.load(own / "predictions.npz"))
        np.testing.assert_allclose(
            every[stored["index"], t], stored["prediction"], rtol=1e-5
        )


def test_the_log_has_each_target(both):
    folder, _ = both
    line = runs.log(folder / "run", "val")[-1]
    units = {n: run_files.read_result(own)["unit"] for n, own in folders(folder)}
    mean = np.mean([line[f"{name}/mae/all"] / units[name] for name in NAMES])
    assert line["mae/all"] == pytest.approx(mean)
    train = runs.log(folder / "run")[-1]
    assert {"loss", "tall/loss", "heavy/loss/l1"} <= set(train)


@pytest.mark.parametrize(
    ("method", "fields", "said"),
    [
        ("mixup", {}, "mixes rows"),
        ("sqrt_sampling", {}, "sampling draws rows by one label"),
        ("vanilla", {"eval__features": True}, "eval.features"),
        ("smogn", {}, "data.resample"),
        ("rrt_smogn", {}, "resample makes rows for one label"),
    ],
)
def test_refused_before_anything_is_written(
    both, tmp_path, capsys, method, fields, said
):
    made = config(both[0] / "two.csv", method, **fields)
    line = own_data.sentence(capsys, lambda: runs.run(made, tmp_path / "run"))
    assert said in line
    assert not (tmp_path / "run" / "config.json").exists()


def test_what_is_for_one_label_is_refused(both):
    folder, _ = both
    with pytest.raises(errors.InputError, match="one label"):
        evaluate.evaluate(folder / "run", features=True)


def test_describe_each_label_and_what_holds_for_all(both, tmp_path):
    file = tmp_path / "untested.csv"
    file.write_text((both[0] / "two.csv").read_text().replace(",test", ",train"))
    source = own_data.load(file, label="tall,heavy")
    made = own_data.config(file, data__label="tall,heavy")
    facts = facts_lib.describe(source, frozen.plain(made)["data"])
    assert list(facts["targets"]) == list(NAMES)
    rows = {name: own["rows"] for name, own in facts["targets"].items()}
    assert rows == {"tall": 200, "heavy": 167}
    assert facts["rows"] == 200
    said = text_lib.text(facts)
    for name in NAMES:
        own = facts["targets"][name]
        assert own["label"]["name"] == name
        assert f"Label: {name}," in said
        assert sum(own["bins"]["train_count"]) == own["splits"]["train"]["rows"]
        assert not own["notes"]
    # What holds for both is said once.
    (common,) = facts["findings"]
    assert common["name"] == "no_test"
    assert said.count("What to look at in all labels:") == 1
    assert all(common not in own["findings"] for own in facts["targets"].values())
    dirjax.describe.write(facts, tmp_path)
    assert json.loads((tmp_path / "describe.json").read_text()) == facts
    drawn = sorted(f.name for f in tmp_path.glob("*.png"))
    assert drawn == ["describe-0-tall.png", "describe-1-heavy.png"]


def test_export_has_the_distribution_of_each_target(both, tmp_path):
    run = both[0] / "run"
    portable.write(run, tmp_path, ["cpu"])
    found, about = exported(tmp_path)
    assert list(about["targets"]) == list(NAMES)
    assert "bins" not in about
    x = np.random.default_rng(1).normal(size=(7, 2)).round(4)
    given = {"numeric": np.float32(x), "categorical": np.zeros((7, 0), np.int32)}
    ratios = {}
    for name, own in about["targets"].items():
        train = np.array(own["bins"]["train"])
        ratios[name] = np.float32(-np.log(len(train)) - np.log(train))
    after = found.call(given, ratios, np.float32(0.5))
    assert about["numeric"] == ["a", "b"]
    frame = {"a": x[:, 0], "b": x[:, 1]}
    want = dirjax.load(run).predict(frame, prior="uniform", tau=0.5)
    for number, name in enumerate(NAMES):
        np.testing.assert_allclose(after["prediction"][name], want[:, number], 2e-3)
        np.testing.assert_allclose(after["probabilities"][name].sum(1), 1, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["lds_fds", "histogram", "beta_nll", "group_dir", "rrt", "bsam", "vir"]
)
def test_methods_with_parts_of_their_own(method, tmp_path):
    made = config(write(tmp_path), method, model__members=1)
    result = runs.run(made, tmp_path / "run")
    assert result["test"]["mae"]["all"] < 3


@pytest.mark.slow
def test_members(tmp_path):
    made = config(write(tmp_path), "histogram", model__members=2)
    result = runs.run(made, tmp_path / "run")
    assert result["members"]["seeds"] == [0, 1]
    assert len(result["targets"]["tall"]["members"]["test"]) == 2
    assert dirjax.load(tmp_path / "run").predict({"a": [0.0], "b": [0.0]}).shape == (
        1,
        2,
    )


@pytest.mark.slow
def test_a_stopped_run_goes_on(tmp_path, monkeypatch):
    made = config(write(tmp_path), "lds_fds", train__chunk=1, log__every=1)
    assert_resumes(made, 2, tmp_path, monkeypatch)


@pytest.mark.slow
def test_four_devices_are_one(tmp_path):
    file, found = write(tmp_path), []
    for devices in (1, 4):
        workdir = tmp_path / f"run{devices}"
        done = commands.run(
            *("-m", "dirjax.main", "--config=configs/csv.py:lds_fds"),
            *(f"--config.data.path={file}", "--config.data.label=tall,heavy"),
            *("--config.stage.main.steps=8", "--config.model.encoder.width=16"),
            *("--config.data.batch_size=32", f"--workdir={workdir}"),
            *("--config.eval.every=9", "--config.model.encoder.depth=1"),
            devices=devices,
        )
        assert done.returncode == 0, done.stderr
        found.append(
            [
                np.load(own / "predictions.npz")["prediction"]
                for own in run_files.read_targets(workdir).values()
            ]
        )
    for one, four in zip(*found, strict=True):
        np.testing.assert_allclose(one, four, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_images_and_arrays(tmp_path):
    """Predictions, and scores of a new file, are those of the run."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(120, 2)).round(3)
    y[::6, 1] = np.nan
    x = np.clip(128 + 40 * y[:, :1, None], 0, 255).astype(np.uint8)
    x = np.broadcast_to(x, (120, 8, 8))
    split = np.resize(["train", "train", "val", "test"], 120)
    rows = split == "test"
    for name, one in (("all", slice(None)), ("test", rows)):
        arrays = own_data.to_npz(x=x[one], y=y[one], split=split[one])
        own_data.write(tmp_path, f"{name}.npz", arrays)
    made = own_data.config(
        tmp_path / "all.npz", "npz", "sqinv_lds,images", **own_data.TINY_IMAGES
    )
    result = runs.run(made, tmp_path / "run")
    said, _ = evaluate.evaluate_file(tmp_path / "run", tmp_path / "test.npz")
    for name, own in result["targets"].items():
        assert said["targets"][name]["input"]["mae"]["all"] == pytest.approx(
            own["test"]["mae"]["all"], rel=1e-5
        )
    predict.predict(tmp_path / "run", tmp_path / "test.npz", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as opened:
        found = list(csv.DictReader(opened))
    for number, own in run_files.read_targets(tmp_path / "run").items():
        stored = np.load(own / "predictions.npz")
        mine = np.array([float(row[f"prediction_{number}"]) for row in found])
        there = np.flatnonzero(~np.isnan(y[rows, int(number[1:])]))
        np.testing.assert_allclose(mine[there], stored["prediction"], rtol=1e-5)


def test_an_evaluation_encodes_once_and_says_the_same(both):
    """As by the evaluator of each target, on the rows that have its label."""
    made = config(both[0] / "two.csv", "vanilla")
    made["model"]["encoder"] |= {"width": 64, "depth": 2}
    pieces = build(made)
    state = init_model(pieces.network, pieces.source, jax.random.key(0))
    joint = pieces.evaluator.evaluate(*state, "val")
    for one in pieces.targets:
        name = one.source.record["label"]
        alone, found = one.evaluator.evaluate(*state, "val"), joint.targets[name]
        for key, want in alone.stored.items():
            np.testing.assert_allclose(found.stored[key], want, rtol=1e-5)
        for metric in ("mae", "rmse", "gm"):
            for shot, want in alone.scores[metric].items():
                assert found.scores[metric][shot] == pytest.approx(want, rel=1e-5)
    batch = next(pieces.evaluator._batches(pieces.source.splits["val"]))

    def flops(step, batch):
        return step.lower(*state, batch).compile().cost_analysis()["flops"]

    first = pieces.targets[0].evaluator
    once = flops(first._eval_step, next(first.batches("val")))
    assert flops(pieces.evaluator._steps, batch) < 1.3 * once


@pytest.mark.slow
def test_moments_are_those_of_each_target(both):
    pieces = build(config(both[0] / "two.csv", "lds_fds"))
    state = init_model(pieces.network, pieces.source, jax.random.key(0))
    joint = pieces.evaluator.moments(*state, "statistics")
    for one, found in zip(pieces.targets, joint, strict=True):
        want = one.evaluator.moments(*state, "statistics")
        for x, y in zip(found[:4], want[:4], strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
