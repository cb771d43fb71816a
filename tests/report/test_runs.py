"""Reading run directories: what is missing, damaged or wrong."""

import json

import pytest

from dirjax import errors as errors_lib
from dirjax import report
from dirjax.report.figures import style
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
