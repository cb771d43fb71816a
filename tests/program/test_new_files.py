"""A labelled file scored by a finished run, data that moved, surprises in new rows."""

import json
import shutil

import numpy as np
import pytest

from dirjax import errors, evaluate, predict
from dirjax.config import frozen
from dirjax.data import new_rows
from dirjax.data.preprocess import EMPTY, FAR, MISSING, UNSEEN, TablePreprocessor
from dirjax.evals import corrected
from dirjax.workdir import run_files
from tests import own_data, runs
from tests.program.answers import COLUMNS, PARTS, to_csv


def of_split(name):
    return [i for i, part in enumerate(PARTS) if part == name]


def assert_equal_scores(one, two) -> None:
    """Equal up to the rounding of float32 sums in another order."""
    assert one.keys() == two.keys()
    for metric, shots in one.items():
        for shot, value in shots.items():
            if value is not None:
                value = pytest.approx(value, rel=1e-5, abs=1e-5)
            assert two[metric][shot] == value, metric


# SERA needs the training labels.
LEFT_OUT = {"sera"}


class TestEvaluateFile:
    """On the file of a split it gives the numbers of that split."""

    @pytest.mark.parametrize("split", ["val", "test"])
    def test_a_table(self, run, new, split):
        file = new(to_csv(COLUMNS, of_split(split)))
        got, notes = evaluate.evaluate_file(run, file)
        want = runs.result(run)[split]
        want = {k: v for k, v in want.items() if k not in LEFT_OUT}
        assert_equal_scores(want, got["input"])
        assert got["split"] == "input"
        assert got["file"] == str(file)
        assert got["best_step"] == runs.result(run)["best_step"]
        assert notes == () or "categories not seen" in notes[0]

    def test_the_training_data_is_not_read(self, run, new, monkeypatch):
        monkeypatch.setattr("dirjax.data.from_config", None)
        evaluate.evaluate_file(run, new(to_csv(COLUMNS, of_split("val"))))

    def test_labels_outside_of_the_bins(self, run, new):
        columns = COLUMNS | {"y": [1e4, 1e5, *COLUMNS["y"][2:]]}
        got, notes = evaluate.evaluate_file(run, new(to_csv(columns)))
        assert notes[0].startswith("2 labels lie outside of the run's bins (")
        assert got["notes"] == list(notes)
        assert got["input"]["count"]["all"] == len(PARTS)

    def test_without_labels(self, run, new):
        columns = {k: v for k, v in COLUMNS.items() if k != "y"}
        with pytest.raises(errors.InputError, match=r"'y'.*the label of the run"):
            evaluate.evaluate_file(run, new(to_csv(columns)))

    def test_a_label_that_is_no_number(self, run, new):
        file = new(to_csv(COLUMNS | {"y": ["much", *COLUMNS["y"][1:]]}))
        with pytest.raises(errors.InputError, match=r"row 2 .* has 'much'") as raised:
            evaluate.evaluate_file(run, file)
        assert "--on_bad skip" in str(raised.value)
        got, notes = evaluate.evaluate_file(run, file, on_bad="skip")
        assert notes[0] == "1 unusable rows are left out"
        assert got["input"]["count"]["all"] == len(PARTS) - 1

    def test_a_missing_label(self, run, new):
        file = new(to_csv(COLUMNS | {"y": [None, *COLUMNS["y"][1:]]}))
        with pytest.raises(errors.InputError, match="labels must be finite, row 2"):
            evaluate.evaluate_file(run, file)

    @pytest.mark.parametrize("flag", ["--split=val", "--data=x", "--features"])
    def test_flags_about_the_run(self, flag, capsys):
        words = ["--workdir=x", "--input=y.csv", flag]
        line = own_data.sentence(capsys, lambda: evaluate._main(words))
        assert f"--input takes no {flag.partition('=')[0]}" in line

    def test_the_command_prints_the_table(self, run, new, capsys):
        file = new(to_csv(COLUMNS))
        output = file.parent / "scores.json"
        evaluate._main([f"--workdir={run}", f"--input={file}", f"--output={output}"])
        out, _ = capsys.readouterr()
        assert "input set at step" in out
        assert "95 % interval over input rows (bootstrap" in " ".join(out.split())
        assert f"examples  {len(PARTS)}" in " ".join(out.split()).replace(
            "examples ", "examples  "
        )
        assert json.loads(output.read_text())["file"] == str(file)

    @pytest.mark.slow
    def test_arrays(self, tmp_path):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(120, 3)).astype(np.float32)
        y = np.exp(x[:, 0]) + 1
        split = np.arange(120) % 3
        file = tmp_path / "rows.npz"
        np.savez(file, x=x, y=y, split=split)
        made = own_data.config(file, "npz", data__label_scale="log", **own_data.TINY)
        done = runs.run(made, tmp_path / "run")
        np.savez(tmp_path / "new.npz", x=x[split == 2], y=y[split == 2])
        got, _ = evaluate.evaluate_file(tmp_path / "run", tmp_path / "new.npz")
        want = {k: v for k, v in done["test"].items() if k not in LEFT_OUT}
        assert_equal_scores(want, got["input"])
        np.savez(tmp_path / "short.npz", x=x, y=y[:5])
        with pytest.raises(errors.InputError, match=r"120 numbers, .* shape \[5\]"):
            evaluate.evaluate_file(tmp_path / "run", tmp_path / "short.npz")

    @pytest.mark.slow
    def test_images(self, tmp_path):
        rng = np.random.default_rng(0)
        rows = ["path,label,split"]
        for i in range(60):
            pixels = rng.integers(0, 255, (8, 8), np.uint8)
            own_data.write(tmp_path, f"set/{i}.png", own_data.to_image(pixels))
            rows.append(f"{i}.png,{i % 10},{('train', 'val', 'test')[i % 3]}")
        own_data.write(tmp_path, "set/labels.csv", "\n".join(rows))
        made = own_data.config(tmp_path / "set", "images", **own_data.TINY_IMAGES)
        done = runs.run(made, tmp_path / "run")
        tests = [rows[0], *(r for r in rows if r.endswith("test"))]
        file = own_data.write(tmp_path, "set/tests.csv", "\n".join(tests))
        got, _ = evaluate.evaluate_file(tmp_path / "run", file)
        want = {k: v for k, v in done["test"].items() if k not in LEFT_OUT}
        assert_equal_scores(want, got["input"])

    def test_a_kind_without_labels(self, run, new, monkeypatch):
        record = run_files.read_record(run)
        fields = run_files.read_config(run)["data"] | {"kind": "nyud2"}
        with pytest.raises(errors.InputError, match="'nyud2', reads no labels of new"):
            next(new_rows.pieces(new("a\n1\n"), fields, record, labels=True))

    def test_bins_are_those_of_the_run(self, run):
        spec, stored = corrected.spec_of(run), run_files.read_bins(run)
        assert spec.bins.edges.tolist() == list(stored["edges"])
        assert spec.counts.tolist() == list(stored["train_count"])


FITTED = TablePreprocessor.fit(
    {
        "x": np.array([0.0, 1.0, 2.0]),
        "gaps": np.array([1.0, np.nan, 3.0]),
        "city": np.array(["a", "b", "a"]),
        "town": np.array(["a", "", "a"]),
    },
    numeric=("x", "gaps"),
    categorical=("city", "town"),
)
GOOD = {
    "x": np.array([1.0]),
    "gaps": np.array([np.nan]),
    "city": np.array(["b"]),
    "town": np.array([""]),
}


class TestSurprises:
    """What training had not, counted once."""

    def counted(self, **columns):
        found = FITTED.surprises(GOOD | columns)
        return {
            kind: {n: count for n, count in names.items() if count}
            for kind, names in found.items()
            if any(names.values())
        }

    def test_none(self):
        assert self.counted() == {}

    @pytest.mark.parametrize(
        ("column", "value", "kind"),
        [
            ("city", "c", UNSEEN),
            ("town", "c", UNSEEN),
            ("city", "", MISSING),
            ("x", np.nan, MISSING),
            ("x", 3.01, FAR),
            ("x", -1.01, FAR),
            ("gaps", 1e9, FAR),
        ],
    )
    def test_each_kind(self, column, value, kind):
        assert self.counted(**{column: np.array([value])}) == {kind: {column: 1}}

    @pytest.mark.parametrize("value", [3.0, -1.0, 2.0])
    def test_near_the_training_range(self, value):
        assert self.counted(x=np.array([value])) == {}

    def test_a_row_without_values(self):
        found = self.counted(x=np.array([np.nan]), city=np.array([""]))
        assert found == {MISSING: {"x": 1, "city": 1}, EMPTY: {"": 1}}

    def test_ends_of_the_range_survive_the_file(self):
        back = TablePreprocessor.from_json(json.loads(json.dumps(FITTED.to_json())))
        assert back == FITTED

    def test_one_line_each(self):
        surprises = new_rows.Surprises()
        for _ in range(2):
            surprises.add({UNSEEN: {"city": 1}, FAR: {"x": 2, "y": 3, "z": 0}})
        surprises.add({MISSING: {f"c{i}": 1 for i in range(7)}, EMPTY: {"": 1}})
        assert surprises.told() == [
            "2 values in categories not seen in training: city 2",
            "10 values far outside the training range: y 6, x 4",
            "7 missing values where training had none: c0 1, c1 1, c2 1, c3 1, c4 1, "
            "and 2 more columns",
            "1 row without any value",
        ]

    def test_predict_says_them(self, run, new, capsys):
        rows = ["0.5,mauve,True", "1e6,r,True", "0.1,violet,", ",,"]
        file = new("x,color,ok\n" + "\n".join(rows) + "\n")
        words = [f"--workdir={run}", f"--input={file}"]
        predict._main([*words, f"--output={file.parent / 'out.csv'}"])
        out, _ = capsys.readouterr()
        assert out.splitlines()[1:] == [
            "  2 values in categories not seen in training: color 2",
            "  1 value far outside the training range: x 1",
            "  2 missing values where training had none: ok 2",
            "  1 row without any value",
        ]


class TestMoved:
    """`--data` names data that has moved; its content is checked."""

    @pytest.fixture
    def moved(self, on_a_table, tmp_path):
        """A run whose data is elsewhere, and where it is."""
        folder = shutil.copytree(on_a_table, tmp_path / "there")
        config = json.loads((folder / "run" / "config.json").read_text())
        config["data"]["path"] = str(tmp_path / "gone.csv")
        (folder / "run" / "config.json").write_text(json.dumps(config))
        return folder / "run", folder / "mine.csv"

    def test_evaluate(self, moved):
        workdir, file = moved
        with pytest.raises(errors.InputError, match=r"not exist here.*--data PATH"):
            evaluate.evaluate(workdir)
        got = evaluate.evaluate(workdir, data=file)
        assert_equal_scores(runs.result(workdir)["test"], got["test"])

    def test_another_content_is_refused(self, moved):
        workdir, file = moved
        file.write_text(file.read_text().replace(",r,", ",g,", 1))
        with pytest.raises(errors.InputError, match=r"has changed since the run"):
            evaluate.evaluate(workdir, data=file)

    def test_one_value_of_the_test_split_is_enough(self, moved):
        workdir, file = moved
        lines = file.read_text().splitlines()
        i = next(i for i, line in enumerate(lines) if line.endswith("test"))
        lines[i] = f"0.12345,{lines[i].partition(',')[2]}"
        file.write_text("\n".join(lines))
        with pytest.raises(errors.InputError, match=r"has changed .* \(content\)"):
            evaluate.evaluate(workdir, data=file)

    def test_resume(self, moved):
        workdir, file = moved
        config = run_files.read_config(workdir)
        there = frozen.moved(config, workdir, file)
        assert there["data"]["path"] == str(file)
        assert config["data"]["path"] != str(file)
        with pytest.raises(errors.InputError, match="does not exist"):
            frozen.moved(config, workdir, None)

    @pytest.mark.slow
    def test_a_longer_run_keeps_its_config(self, moved):
        workdir, file = moved
        config = json.loads((workdir / "config.json").read_text())
        config["stage"]["main"]["steps"] += 1
        from dirjax import train

        train.train_and_evaluate(config, workdir, show="nothing", data=file)
        assert json.loads((workdir / "config.json").read_text()) == config

    def test_a_new_run_has_no_data_that_moved(self, run, tmp_path):
        config = run_files.read_config(run)
        with pytest.raises(errors.InputError, match="has not begun"):
            frozen.moved(config, tmp_path, tmp_path)

    def test_another_path_on_resume_names_the_flag(self, run):
        config = json.loads((run / "config.json").read_text())
        config["data"]["path"] = "elsewhere.csv"
        with pytest.raises(errors.InputError, match=r"named by --data PATH"):
            frozen.check_same(config, run / "config.json")
