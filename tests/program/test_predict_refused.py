"""What cannot be predicted: one sentence, and nothing is written."""

import csv
import re

import numpy as np
import pytest

from dirjax import predict
from dirjax.data.formats import csv_files
from dirjax.evals import predictor as predictor_lib
from tests import own_data
from tests.program.answers import (
    HEADER,
)

pytestmark = pytest.mark.usefixtures("read_once")


# Text of the input, options -> what has to be said.
WRONG = {
    "a column that is missing": (
        "x,ok\n0.5,True\n",
        {},
        (r"new\.csv has no column 'color'", "trained with", "x, ok", "Add "),
    ),
    "a column to keep that is missing": (
        HEADER + "0.5,r,True\n",
        {"keep": ("id",)},
        (r"no column 'id' \(--keep\)", "x, color, ok"),
    ),
    "text in a numeric column": (
        HEADER + "0.5,r,True\n0.1,g,False\nhalf,r,True\n",
        {},
        ("'x' must hold numbers", r"row 4 of .*new\.csv has 'half'", "--on_bad skip"),
    ),
    "an infinite feature": (
        HEADER + "0.5,r,True\n-inf,r,True\n",
        {},
        ("must be finite", r"row 3 of .*new\.csv has -inf in 'x'", "--on_bad skip"),
    ),
    "a row that is too short": (
        HEADER + "0.5,r,True\n0.1\n",
        {},
        ("must have 3 cells", r"row 3 of .*new\.csv has 1", "--on_bad skip"),
    ),
    "no rows": (HEADER, {}, (r"new\.csv has no rows", "--input")),
    "an empty file": ("", {}, (r"new\.csv must be a CSV file", "empty")),
    "an encoding that cannot be told": (
        (HEADER + "0.5,Gr\x81sse,True\n").encode("latin1"),
        {},
        ("in UTF-8", "row 2"),
    ),
    "a step that was not saved": (
        HEADER + "0.5,r,True\n",
        {"step": "99"},
        ("--step must be best, last or one of", "4", "got '99'"),
    ),
    "a step that is none": (
        HEADER + "0.5,r,True\n",
        {"step": "bets"},
        ("--step must be best, last", "got 'bets'"),
    ),
}


class TestWrongInput:
    def said(self, capsys, workdir, path, output, **options) -> str:
        return own_data.sentence(
            capsys, lambda: predict.predict(workdir, path, output, **options)
        )

    @pytest.mark.parametrize("name", WRONG)
    def test_a_sentence_and_nothing_is_changed(self, run, new, capsys, name):
        content, options, said = WRONG[name]
        file, output = new(content), new("what was there\n", "out.csv")
        before = own_data.snapshot(file.parent)
        line = self.said(capsys, run, file, output, **options)
        for pattern in said:
            assert re.search(pattern, line), line
        assert own_data.snapshot(file.parent) == before

    def test_a_failure_in_the_middle(self, run, new, capsys, monkeypatch):
        rows = [f"{i / 9},r,True" for i in range(60)]
        rows[-1] = "half,r,True"
        file = new(HEADER + "\n".join(rows))
        output = new("what was there\n", "out.csv")
        before = own_data.snapshot(file.parent)
        monkeypatch.setattr(csv_files, "_BLOCK", 64)
        sizes = []
        real = csv.writer

        def writer(stream, **options):
            sizes.append(stream)
            return real(stream, **options)

        monkeypatch.setattr(predict.csv, "writer", writer)
        line = self.said(capsys, run, file, output)
        assert sizes  # Writing had begun.
        assert "row 61 of" in line
        assert own_data.snapshot(file.parent) == before

    def test_an_interrupt_in_the_middle(self, run, new, monkeypatch):
        file = new(HEADER + "0.5,r,True\n")
        before = own_data.snapshot(file.parent)

        def interrupted(self, inputs):
            raise KeyboardInterrupt

        monkeypatch.setattr(type(predictor_lib.Predictor(run)), "outputs", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict.predict(run, file, file.parent / "out.csv")
        assert own_data.snapshot(file.parent) == before

    def test_an_input_that_is_missing(self, run, tmp_path, capsys):
        line = self.said(capsys, run, tmp_path / "no.csv", tmp_path / "out.csv")
        assert re.search(r"--input must exist, .*no\.csv does not", line)
        assert not own_data.snapshot(tmp_path)

    def test_a_folder_for_a_table(self, run, tmp_path, capsys):
        line = self.said(capsys, run, tmp_path, tmp_path / "out.csv")
        assert re.search("model takes tables, --input .* is a folder", line)
        assert not own_data.snapshot(tmp_path)

    def test_arrays_without_names(self, run, new, capsys):
        file = new(own_data.to_npz(x=np.zeros((3, 3))), "new.npz")
        line = self.said(capsys, run, file, file.parent / "out.csv")
        assert re.search(r"the column 'x'.*trained with.* x0, x1, x2", line)

    def test_images_for_a_table(self, run, new, capsys):
        file = new(own_data.to_npz(x=np.zeros((3, 4, 4), np.uint8)), "new.npz")
        line = self.said(capsys, run, file, file.parent / "out.csv")
        assert re.search(r"model takes tables, 'x' of .*new\.npz holds images", line)

    def test_an_output_that_cannot_be(self, run, new, capsys):
        file = new(HEADER + "0.5,r,True\n")
        before = own_data.snapshot(file.parent)
        line = self.said(capsys, run, file, file.parent)
        assert re.search("--output must be a file, .* is a folder", line)
        line = self.said(capsys, run, file, file.parent / "none" / "out.csv")
        assert re.search("the folder of --output must exist, .*none does not", line)
        line = self.said(capsys, run, file, file.parent / "out.parquet")
        assert re.search(r"--output must be a \.csv file, .* got .*out\.parquet", line)
        assert own_data.snapshot(file.parent) == before

    def test_the_input_is_not_overwritten(self, run, new, capsys):
        file = new(HEADER + "0.5,r,True\n")
        before = own_data.snapshot(file.parent)
        line = self.said(capsys, run, file, file)
        assert "--output" in line
        assert own_data.snapshot(file.parent) == before

    def test_no_run(self, new, capsys):
        file = new(HEADER + "0.5,r,True\n")
        before = own_data.snapshot(file.parent)
        output = file.parent / "out.csv"
        for workdir in (file.parent, file.parent / "none", file):
            line = self.said(capsys, workdir, file, output)
            assert re.search("--workdir must be a run directory", line)
        assert own_data.snapshot(file.parent) == before

    def test_a_run_without_a_checkpoint(self, run, new, capsys):
        file = new(HEADER + "0.5,r,True\n")
        for name in ("config.json", "data.json"):
            new((run / name).read_text(), f"begun/{name}")
        before = own_data.snapshot(file.parent)
        line = self.said(capsys, file.parent / "begun", file, file.parent / "out.csv")
        assert re.search("begun has no checkpoint", line)
        assert own_data.snapshot(file.parent) == before

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "--workdir"),
            (["--workdir=r"], "--input"),
            (["--workdir=r", "--input=a.csv"], "--output"),
            (["--workdir=r", "--input=a", "--output=b", "--kep=c"], "--kep"),
            (["--workdir=r", "--input=a", "--output=b", "--on_bad=ignore"], "ignore"),
        ],
    )
    def test_arguments(self, capsys, arguments, said):
        line = own_data.sentence(capsys, lambda: predict._main(arguments))
        assert said in line
        assert "--help" in line
