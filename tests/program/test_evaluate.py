"""A checkpoint evaluated again: the numbers of the run, and nothing is trained."""

import json
import os
import re

import numpy as np
import pytest

from dirjax import evaluate, metrics
from tests import commands, own_data, runs

ROWS = [
    f"{(i * 37 % 100) / 9:.3f},{'rgb'[i % 3]},{i % 10 + (i * 37 % 100) / 50:.3f}"
    for i in range(200)
]
PARTS = [("train", "train", "train", "val", "test")[i % 5] for i in range(200)]
TABLE = own_data.table(
    [f"{row},{part}" for row, part in zip(ROWS, PARTS, strict=True)],
    own_data.HEADER + ",split",
)
# A few large steps: the best of several states is none of the last.
FIELDS = own_data.TINY | {
    "stage__main__steps": 12,
    "stage__main__learning_rate": 0.3,
    "stage__main__schedule": "constant",
    "stage__main__warmup": 0.0,
    "eval__every": 0.25,
    "checkpoint__every": 0.25,
}


def train(folder, text=TABLE, **fields):
    file = own_data.write(folder, "mine.csv", text)
    return runs.run(own_data.config(file, **FIELDS | fields), folder / "run")


# For the session: under xdist classes of one module may be far apart.
@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The directory of a run, and its result."""
    folder = tmp_path_factory.mktemp("evaluate")
    result = train(folder)
    assert result["best_step"] < result["steps"]
    return folder / "run", result


def assert_equal_scores(one, two) -> None:
    assert one.keys() == two.keys()
    for metric, shots in one.items():
        for shot, value in shots.items():
            if value is None:
                assert two[metric][shot] is None
            else:
                assert two[metric][shot] == pytest.approx(value, rel=1e-6), metric


class TestEvaluate:
    @pytest.mark.parametrize("split", ["val", "test"])
    def test_the_best_state_gives_the_result(self, finished, split):
        workdir, result = finished
        got = evaluate.evaluate(workdir, split=split)
        assert_equal_scores(result[split], got[split])
        assert got["split"] == split
        for field in ("dataset", "method", "seed", "best_step"):
            assert got[field] == result[field]

    def test_the_default_is_the_best_on_the_test_split(self, finished):
        workdir, _ = finished
        want = evaluate.evaluate(workdir, split="test", step="best")
        assert evaluate.evaluate(workdir) == want

    @pytest.mark.parametrize("step", ["last", "best"])
    def test_a_state_gives_what_was_logged(self, finished, step):
        workdir, result = finished
        number = result["steps"] if step == "last" else result["best_step"]
        (logged,) = [r for r in runs.log(workdir, "val") if r["step"] == number]
        got = evaluate.evaluate(workdir, split="val", step=step)
        assert got["best_step"] == number
        for shot, value in got["val"]["mae"].items():
            assert logged[f"mae/{shot}"] == (value and pytest.approx(value, rel=1e-6))

    def test_best_and_last_differ(self, finished):
        workdir, _ = finished
        best, last = (
            evaluate.evaluate(workdir, split="val", step=step)["val"]["mae"]["all"]
            for step in ("best", "last")
        )
        assert best < last

    def test_runs_without_groups_say_nothing_of_them(self, finished):
        workdir, result = finished
        words = ("group", "oracle", "nll")
        for split in ("val", "test"):
            assert not [name for name in result[split] if name.startswith(words)]
        assert "groups" not in json.loads((workdir / "bins.json").read_text())
        with np.load(workdir / "predictions.npz") as stored:
            assert set(stored.files) == {"index", "label", "prediction", "low", "high"}

    def test_a_step_by_its_number(self, finished):
        workdir, result = finished
        got = evaluate.evaluate(workdir, step=str(result["steps"]))
        assert got == evaluate.evaluate(workdir, step="last")

    def test_the_training_split(self, finished):
        workdir, _ = finished
        got = evaluate.evaluate(workdir, split="train")
        metrics.check_identity(got["train"])
        assert got["train"]["count"]["all"] == PARTS.count("train")

    def test_nothing_is_changed(self, finished):
        workdir, _ = finished
        before = own_data.snapshot(workdir)
        evaluate.evaluate(workdir, split="val", step="last")
        assert own_data.snapshot(workdir) == before


@pytest.mark.parametrize("step", ["best", "last"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.quick("train-best", "val-last", "test-best")
def test_every_table_has_intervals(finished, capsys, split, step):
    workdir, _ = finished
    evaluate._main([f"--workdir={workdir}", f"--split={split}", f"--step={step}"])
    out = capsys.readouterr().out
    (row,) = [line for line in out.splitlines() if line.startswith("MAE")]
    assert row.split()[2] == "±"
    assert f"the 95 % interval over {split} rows (bootstrap" in " ".join(out.split())


@pytest.mark.slow
def test_logarithms_and_an_average_without_a_test_split(tmp_path, capsys):
    fields = {"data__label_scale": "log", "train__average_decay": 0.8}
    text = TABLE.replace(",test", ",train")
    result = train(tmp_path, text, data__on_bad="skip", **fields)
    assert result["test"] == {}
    got = evaluate.evaluate(tmp_path / "run", split="val")
    assert_equal_scores(result["val"], got["val"])
    # Labels go up to 12: an error of their logarithms would be smaller.
    assert got["val"]["mae"]["all"] > 1
    line = own_data.sentence(capsys, lambda: evaluate.evaluate(tmp_path / "run"))
    assert re.search("--split must be one of train, val, got 'test'", line)


class TestWrongInput:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"split": "tset"}, "--split must be one of train, val, test, got 'tset'"),
            ({"split": ""}, "--split must be one of"),
            ({"step": "5000"}, r"--step must be best, last or one of .*12, got '5000'"),
            ({"step": "first"}, "--step must be best, last .* got 'first'"),
            ({"step": "-1"}, "--step must be best, last .* got '-1'"),
        ],
    )
    def test_options(self, finished, capsys, options, said):
        workdir, _ = finished
        before = own_data.snapshot(workdir)
        line = own_data.sentence(capsys, lambda: evaluate.evaluate(workdir, **options))
        assert re.search(said, line), line
        assert own_data.snapshot(workdir) == before

    def test_no_run(self, tmp_path, capsys):
        for workdir in (tmp_path, tmp_path / "none"):
            line = own_data.sentence(capsys, lambda w=workdir: evaluate.evaluate(w))
            assert "--workdir must be a run directory" in line
        assert not own_data.snapshot(tmp_path)

    def test_a_run_that_has_not_saved_yet(self, finished, tmp_path, capsys):
        workdir, _ = finished
        for name in ("config.json", "data.json"):
            own_data.write(tmp_path, name, (workdir / name).read_text())
        before = own_data.snapshot(tmp_path)
        line = own_data.sentence(capsys, lambda: evaluate.evaluate(tmp_path))
        assert re.search(r"has no checkpoint.*Train first", line)
        assert own_data.snapshot(tmp_path) == before

    def test_data_that_is_gone(self, finished, capsys):
        workdir, _ = finished
        file = workdir.parent / "mine.csv"
        os.replace(file, workdir.parent / "away.csv")
        try:
            line = own_data.sentence(capsys, lambda: evaluate.evaluate(workdir))
        finally:
            os.replace(workdir.parent / "away.csv", file)
        assert re.search(r"mine\.csv, which does not exist here", line)
        assert "--data PATH" in line

    @pytest.mark.parametrize("change", ["another column", "another colour"])
    def test_data_that_is_not_that_of_the_run(self, finished, capsys, change):
        # The network does not fit, or codes would mean something else.
        workdir, _ = finished
        file = workdir.parent / "mine.csv"
        other = {
            "another column": TABLE.replace("color", "colour"),
            "another colour": TABLE.replace(",r,", ",a,"),
        }
        file.write_text(other[change])
        try:
            line = own_data.sentence(capsys, lambda: evaluate.evaluate(workdir))
        finally:
            file.write_text(TABLE)
        assert re.search(r"mine\.csv", line)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [([], "--workdir"), (["--workdir=r", "--spilt=val"], "--spilt")],
    )
    def test_arguments(self, capsys, arguments, said):
        line = own_data.sentence(capsys, lambda: evaluate._main(arguments))
        assert said in line
        assert "--help" in line


@pytest.mark.slow
def test_the_command(finished, tmp_path):
    workdir, result = finished
    done = commands.run(
        *("-m", "dirjax.evaluate", "--workdir", workdir, "--split", "val"),
        *("--output", tmp_path / "scores.json"),
        devices=1,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = {r[0]: r[1:] for r in map(str.split, done.stdout.splitlines()) if r}
    mae = result["val"]["mae"]
    np.testing.assert_allclose(float(rows["MAE"][0]), mae["all"], rtol=1e-3)
    assert f"step {result['best_step']}" in done.stdout
    stored = json.loads((tmp_path / "scores.json").read_text())
    assert stored["split"] == "val"
    assert stored["val"]["mae"]["all"] == pytest.approx(mae["all"], rel=1e-5)
