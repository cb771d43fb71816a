"""Reading run directories: what is missing, damaged or wrong."""

import json

import pytest

from dirjax import errors as errors_lib
from dirjax import report
from dirjax.report import reading
from dirjax.report.figures import style
from dirjax.workdir import run_files
from tests.report.made import change, small


def test_unit_is_written_once(tmp_path):
    folder = small(tmp_path / "run")
    change(folder, "bins.json", lambda b: b.update(label="age (years)"))
    change(folder, "config.json", lambda c: c["data"].update(unit="years"))
    bins = report.read_run(folder).bins
    assert style.label_axis(bins) == "age (years)"
    assert style.error_axis(bins) == "test MAE (years)"


def test_cut_log_and_resumed_steps(tmp_path, quick):
    folder = small(tmp_path / "run")
    log = folder / "metrics.jsonl"
    text = log.read_text()
    again = json.dumps({"step": 2000, "epoch": 50.0, "split": "train", "loss": None})
    log.write_text(text + again + "\n" + text.splitlines()[0][:40])
    run = report.read_run(folder)
    assert any("cut off" in note for note in run.notes)
    last = [e for e in run.log if e["step"] == 2000 and e["split"] == "train"]
    assert [entry["loss"] for entry in last] == [None], "the last writing counts"
    report.write_report([folder], tmp_path / "out")


def test_wrong_input(tmp_path, quick, capsys):
    waiting = small(tmp_path / "waiting", finished=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    done = small(tmp_path / "done")
    cases = (
        ([tmp_path / "none"], "there is no folder"),
        ([empty], "is not a run directory"),
        ([waiting], "is finished"),
        ([done, "--base", "lds"], "no finished run of the base 'lds'"),
        ([done, "--output", done / "result.json"], "cannot write to"),
    )
    for args, message in cases:
        assert report.main([str(arg) for arg in args]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
    with pytest.raises(errors_lib.InputError):
        report.main([str(empty), "--debug"])
    with pytest.raises(errors_lib.InputError, match="not a run directory"):
        report.read_run(empty)
    change(done, "result.json", lambda r: r.update(schema=2))
    assert report.main([str(done)]) == 2
    assert "schema 2" in capsys.readouterr().err


def test_a_study_stands_for_its_runs(tmp_path, quick, capsys):
    """What the sweep was given, with runs at any depth, and what else is in it."""
    study = tmp_path / "study"
    for method in ("vanilla", "lds"):
        small(study / "csv" / method / "data.bin_width=5.0" / "seed_0", method=method)
        small(study / "csv" / method / "seed_1", method=method, seed=1)
    (study / "report").mkdir()
    (study / "csv" / "lds" / "seed_1" / "checkpoints" / "5").mkdir(parents=True)
    (study / "csv" / "lds" / "seed_1" / "checkpoints" / "config.json").write_text("x")
    assert report.main([str(study)]) == 0
    out = capsys.readouterr().out
    assert "lds minus vanilla" in out
    assert out.endswith(f"Report: {study}/report/report.html\n")
    assert "2 finished runs" not in (study / "report" / "report.html").read_text()
    assert "4 finished runs" in (study / "report" / "report.html").read_text()
    # A run beside its study counts once.
    run = study / "csv" / "lds" / "seed_1"
    report.write_report([study, run], tmp_path / "out")
    assert "4 finished runs" in (tmp_path / "out" / "report.html").read_text()
    (tmp_path / "empty").mkdir()
    assert report.main([str(tmp_path / "empty")]) == 2
    assert "not a run directory and has none below it" in capsys.readouterr().err


def test_runs_that_are_set_aside_count_only_if_they_are_named(tmp_path):
    for name in ("lds/seed_0", "tuning/lds/seed_100"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    assert len(reading.find_runs(tmp_path)) == 2
    (tmp_path / "tuning" / run_files.ASIDE).touch()
    assert reading.find_runs(tmp_path) == [tmp_path / "lds" / "seed_0"]
    assert len(reading.find_runs(tmp_path / "tuning")) == 1
