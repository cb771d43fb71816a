"""Files of a run: valid JSON, whole or not at all, and in step with the checkpoint."""

import io
import json
import os
import re

import numpy as np
import pytest

from dirjax.errors import Failed, InputError
from dirjax.workdir import files, run_files, writers
from tests.faults import disks

NAN, INF = float("nan"), float("inf")


def record(step, split="train", **more):
    record = {"step": step, "epoch": step / 10, "stage": "main", "split": split}
    return record | {"time": step * 2.0} | more


def lines(file):
    """Strictly parsed lines: NaN is no JSON."""

    def refuse(name):
        raise AssertionError(f"{name} in {file}")

    text = file.read_text()
    assert not text or text.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def write(file, *records, step=0):
    writer = writers.Jsonl(file, step)
    for r in records:
        writer.write(r)
    writer.close()


def write_both(file, first, second):
    """Writes a record, and one more when the disk is full."""
    writer = writers.Jsonl(file, 0)
    writer.write(first)
    with disks.full(file.stat().st_size + 20), writers.Many([writer]) as many:
        many.write(second)


class TestClean:
    def test_what_json_has_no_word_for(self):
        got = files.clean({"a": NAN, "b": [INF, 1.5, (-INF, 2)], "c": {"d": NAN}})
        assert got == {"a": None, "b": [None, 1.5, [None, 2]], "c": {"d": None}}

    def test_other_values_stay(self):
        value = {"a": 0, "b": True, "c": None, "d": "nan", "e": -0.5}
        assert files.clean(value) == value


class TestJsonl:
    def test_one_object_a_line(self, tmp_path):
        records = [record(1, loss=0.5), record(2, "val", **{"mae/all": 3.0})]
        write(tmp_path / "m.jsonl", *records)
        assert lines(tmp_path / "m.jsonl") == records

    def test_not_a_number_is_null(self, tmp_path):
        write(tmp_path / "m.jsonl", record(1, loss=NAN, grad_norm=-INF))
        (got,) = lines(tmp_path / "m.jsonl")
        assert got["loss"] is None
        assert got["grad_norm"] is None

    def test_it_can_be_read_while_it_is_written(self, tmp_path):
        writer = writers.Jsonl(tmp_path / "m.jsonl", 0)
        writer.write(record(1))
        assert lines(tmp_path / "m.jsonl") == [record(1)]
        writer.close()

    def test_resuming_drops_what_is_repeated(self, tmp_path):
        file = tmp_path / "m.jsonl"
        write(file, record(1), record(2), record(2, "val"), record(3), record(4, "val"))
        write(file, record(3, again=1), step=2)
        want = [record(1), record(2), record(2, "val"), record(3, again=1)]
        assert lines(file) == want

    def test_a_fresh_start_keeps_nothing(self, tmp_path):
        write(tmp_path / "m.jsonl", record(1), record(2))
        write(tmp_path / "m.jsonl", record(1, again=1), step=0)
        assert lines(tmp_path / "m.jsonl") == [record(1, again=1)]

    @pytest.mark.parametrize("cut", [1, 10, -2])
    def test_a_line_that_a_kill_cut_off_is_left_out(self, tmp_path, cut):
        file = tmp_path / "m.jsonl"
        write(file, record(1), record(2))
        with file.open("a") as f:
            f.write(json.dumps(record(3))[:cut])
        write(file, record(3, again=1), step=3)
        assert lines(file) == [record(1), record(2), record(3, again=1)]

    @pytest.mark.parametrize("garbage", [b"\0" * 9, b"\xff\xfe", b"7", b'{"a": 1}'])
    def test_lines_that_a_disk_has_damaged_are_left_out(self, tmp_path, garbage):
        file = tmp_path / "m.jsonl"
        write(file, record(1))
        file.write_bytes(file.read_bytes() + garbage + b"\n")
        write(file, record(2), step=1)
        assert lines(file) == [record(1), record(2)]

    def test_a_full_disk_is_named_and_later_lines_follow(self, tmp_path):
        file = tmp_path / "m.jsonl"
        long = record(2, note="x" * 200)
        with pytest.raises(
            Failed, match=r"m\.jsonl could not be written: .* too large"
        ):
            write_both(file, record(1), long)
        assert file.read_bytes().startswith(json.dumps(record(1)).encode())
        write(file, long, step=1)
        assert lines(file) == [record(1), long]

    def test_nulls_survive_resuming(self, tmp_path):
        write(tmp_path / "m.jsonl", record(1, loss=NAN))
        write(tmp_path / "m.jsonl", record(2), step=1)
        assert lines(tmp_path / "m.jsonl")[0]["loss"] is None

    def test_nothing_else_is_left_behind(self, tmp_path):
        write(tmp_path / "m.jsonl", record(1))
        write(tmp_path / "m.jsonl", record(2), step=1)
        assert [f.name for f in tmp_path.iterdir()] == ["m.jsonl"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def step(number, **more):
    return {"step": number, "epoch": number / 10, "split": "train", "loss": 2.5} | more


class TestLastTime:
    def test_seconds_at_a_step(self, tmp_path):
        write(tmp_path / "m.jsonl", record(1), record(5), record(5, "val"), record(9))
        times = [writers.last_time(tmp_path / "m.jsonl", s) for s in (0, 1, 5, 8, 99)]
        assert times == [0.0, 2.0, 10.0, 10.0, 18.0]

    def test_without_a_file(self, tmp_path):
        assert writers.last_time(tmp_path / "m.jsonl", 9) == 0.0

    def test_with_a_line_cut_off(self, tmp_path):
        write(tmp_path / "m.jsonl", record(1))
        with (tmp_path / "m.jsonl").open("a") as f:
            f.write('{"step": 2, "ti')
        assert writers.last_time(tmp_path / "m.jsonl", 9) == 2.0


class TestWholeOrNotAtAll:
    def test_json(self, tmp_path):
        files.write_json(tmp_path / "r.json", {"a": NAN, "b": (1, 2)})
        assert json.loads((tmp_path / "r.json").read_text()) == {"a": None, "b": [1, 2]}
        assert [f.name for f in tmp_path.iterdir()] == ["r.json"]

    def test_a_value_that_fails_leaves_the_old_file(self, tmp_path):
        files.write_json(tmp_path / "r.json", {"a": 1})
        with pytest.raises(TypeError):
            files.write_json(tmp_path / "r.json", {"a": object()})
        assert json.loads((tmp_path / "r.json").read_text()) == {"a": 1}

    @pytest.mark.parametrize("write", [files.write_json, files.write_npz])
    def test_a_kill_before_the_end_leaves_the_old_file(
        self, tmp_path, monkeypatch, write
    ):
        """The file appears by a rename alone."""
        file = tmp_path / "r"
        file.write_text("old")

        def killed(*args):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                write(file, {"a": np.arange(3).tolist()})
        assert file.read_text() == "old"

    @pytest.mark.parametrize("write", [files.write_json, files.write_npz])
    def test_a_full_disk_leaves_the_old_file_alone(self, tmp_path, write):
        file = tmp_path / "r"
        file.write_text("old")
        said = r"r could not be written: File too large\. Free some space"
        with disks.full(), pytest.raises(Failed, match=said):
            write(file, {"a": np.arange(3).tolist()})
        assert file.read_text() == "old"
        assert [f.name for f in tmp_path.iterdir()] == ["r"]

    @pytest.mark.parametrize("write", [files.write_json, files.write_npz])
    def test_the_content_is_on_disk_before_the_name(self, tmp_path, monkeypatch, write):
        """Else a power cut may leave an empty file of that name."""
        order = []
        for name in ("fsync", "replace"):
            function = getattr(os, name)

            def noted(*args, name=name, function=function):
                order.append(name)
                return function(*args)

            monkeypatch.setattr(os, name, noted)
        write(tmp_path / "r", {"a": [1]})
        assert order == ["fsync", "replace"]

    def test_npz(self, tmp_path):
        arrays = {"index": np.arange(3), "label": np.float32([0.5, 1, 2])}
        files.write_npz(tmp_path / "p.npz", arrays)
        with np.load(tmp_path / "p.npz", allow_pickle=False) as back:
            assert set(back.files) == set(arrays)
            for name, want in arrays.items():
                np.testing.assert_array_equal(back[name], want)
        assert [f.name for f in tmp_path.iterdir()] == ["p.npz"]


@pytest.mark.parametrize("content", [b"", b"text"])
def test_damaged_predictions_are_told(tmp_path, content):
    (tmp_path / run_files.PREDICTIONS).write_bytes(content)
    with pytest.raises(InputError, match=r"no readable predictions\.npz"):
        run_files.read_predictions(tmp_path, "test")


class TestConsole:
    def test_a_terminal_has_a_bar_with_the_time_left(self, monkeypatch, capsys):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        console = writers.Console(100, 40)
        console.write(step(50, examples_per_second=1234.0))
        console.close()
        shown = terminal.getvalue()
        assert " 50/100 [" in shown
        assert re.search(r"\[\d\d:\d\d<[\d?:]+, ", shown)  # elapsed < left
        assert "loss 2.500, 1,234 examples/s" in shown
        assert capsys.readouterr().out == ""

    def test_a_log_has_lines_with_the_time_left(self, capsys):
        clock = iter([0.0, 10.0, 40.0, 40.0, 41.0])
        console = writers.Console(100, 40, lambda: next(clock))
        console.write(step(45))  # not yet
        console.write(step(60))
        console.write(step(61))  # not yet again
        console.close()
        out, err = capsys.readouterr()
        # 20 steps took 40 seconds, 40 are left.
        assert out == (
            "step      60  epoch    6.00  60% of 100 steps, 01:20 left: "
            "loss 2.500, 0 examples/s\n"
        )
        assert err == ""

    def test_a_bar_alone(self, monkeypatch, capsys):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        console = writers.Console(100, 40, lines=False)
        console.write(step(50))
        console.write(record(50, "val", **{"mae/all": 2.5}))
        console.close()
        assert " 50/100 [" in terminal.getvalue()
        assert terminal.getvalue().endswith("\r")  # it is gone
        assert capsys.readouterr().out == ""

    def test_a_bar_alone_writes_nothing_to_a_log(self, capsys):
        clock = iter([0.0, 100.0])
        console = writers.Console(100, 40, lambda: next(clock), lines=False)
        console.write(step(60))
        console.close()
        assert capsys.readouterr() == ("", "")

    def test_a_line_for_each_evaluation(self, capsys):
        console = writers.Console(total=10, step=0)
        console.write(record(5, loss=1.0, examples_per_second=100.0))
        scores = {"mae/all": 2.5, "mae/many": 1.0, "mae/median": None, "mae/few": 9.0}
        console.write(record(5, "val", **scores))
        console.close()
        (line,) = capsys.readouterr().out.splitlines()
        for word in ("5", "val", "all 2.5", "many 1", "few 9"):
            assert word in line
        assert "median" not in line


class TestMake:
    def make(self, folder, **options):
        options = {"names": (), "config": {}, "step": 0, "total": 5} | options
        return writers.make(folder, **({"first": True, "show": "nothing"} | options))

    def test_other_processes_write_nothing(self, tmp_path):
        with self.make(tmp_path, first=False) as writer:
            writer.write(record(1))
        assert not list(tmp_path.iterdir())

    def test_the_record_of_truth_is_always_there(self, tmp_path):
        with self.make(tmp_path) as writer:
            writer.write(record(1))
        assert lines(tmp_path / "metrics.jsonl") == [record(1)]

    def test_unknown(self, tmp_path):
        with pytest.raises(InputError, match=r"tensorboard, wandb, mlflow, got 'csv'"):
            self.make(tmp_path, names=("csv",))

    @pytest.mark.parametrize(("name", "module"), sorted(writers.EXTRAS.items()))
    def test_a_missing_extra_is_named(self, tmp_path, monkeypatch, name, module):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        with pytest.raises(InputError, match=rf"pip install 'dirjax\[{name}\]'"):
            self.make(tmp_path, names=(name,))


def test_flatten():
    nested = {"mae": {"all": 1.0, "few": None}, "gm": {"all": 0.5}}
    assert writers.flatten(nested) == {"mae/all": 1.0, "mae/few": None, "gm/all": 0.5}
