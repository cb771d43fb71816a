"""What is said of columns, arrays, images and real data; the text and the command."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dirjax import describe as command
from dirjax import errors
from dirjax.cli import status
from dirjax.data import __main__ as door
from dirjax.data.describe import checks
from dirjax.data.describe import facts as facts_lib
from dirjax.data.describe import text as text_lib
from tests import commands
from tests.data.describe.looks import look, names, sentence, table


class TestColumns:
    def test_row_numbers(self, tmp_path):
        rows = np.arange(1000)
        rng = np.random.default_rng(1)
        y = rng.normal(size=1000).round(3)
        columns = {
            # These two are no features.
            "count": rows + 10_000,
            "shuffled": rng.permutation(rows),
            "order no": rows * 7,
            "time": rows / 2,
            "steps": rows // 2,
            "y": y,
        }
        facts = table(tmp_path, columns)
        assert facts["inputs"]["row_numbers"] == ["order no"]
        notes = " ".join(facts["notes"])
        for name in ("count", "shuffled"):
            assert f"{name!r} is left out: it numbers the rows" in notes
        assert "('--config.data.drop=order no')" in facts["findings"][0]["text"]
        facts = table(tmp_path, columns, scaling="standard")
        assert facts["inputs"]["row_numbers"] == ["order no"]

    def test_leaks(self, tmp_path):
        rng = np.random.default_rng(1)
        y = rng.permutation(1000) % 20
        cut = np.where(np.arange(1000) % 10 == 0, "", -(y**3.0).astype(object))
        columns = {
            "y": y,
            "cube": cut,  # with gaps
            "noisy": y + rng.normal(size=1000).round(3),
            "letter": [chr(97 + v) for v in y],
            "half": [chr(97 + v // 2) for v in y],
            "name": [f"{v:04d}k" for v in rng.permutation(1000) // 2],
        }
        inputs = table(tmp_path, columns)["inputs"]
        assert inputs["leaks"] == {"cube": 1.0, "letter": 1.0}
        assert "letter" in inputs["categorical"]

    def test_a_category_for_each_row_explains_nothing(self):
        assert checks.explained(np.arange(10), np.arange(10.0)) == 0.0
        groups = np.arange(10) // 2
        # Sums of squares: 0.5 in each of 5 pairs, 82.5 in all.
        expected = 1 - (5 * 0.5 / 5) / (82.5 / 9)
        assert checks.explained(groups, np.arange(10.0)) == pytest.approx(expected)

    def test_rows_that_leak(self, tmp_path):
        x = np.arange(300)
        split = np.repeat(["train", "val", "test"], 100)
        y = np.tile(np.arange(100), 3)
        columns = {"x": x.copy(), "y": y, "split": split}
        columns["x"][200] = 0  # 1 %, with the label of row 0
        assert "leaked_rows" not in names(table(tmp_path, columns))
        columns["x"][201] = 2
        text = sentence(table(tmp_path, columns), "leaked_rows")
        assert text.startswith(
            "2 of 100 test rows have the inputs of a training row (1 of them its label,"
        )

    def test_label_noise(self, tmp_path):
        columns = {"x": np.arange(200), "y": np.arange(200) % 50}
        columns["x"][1] = 0
        assert "label_noise" not in names(table(tmp_path, columns))  # 1 %
        columns["x"][3] = 2
        text = sentence(table(tmp_path, columns), "label_noise")
        assert text.startswith("4 training rows have the inputs of another row")
        assert "below a training MAE of 0.01:" in text  # 2 / 200


class TestRealData:
    def test_bikeshare(self):
        facts = look("bikeshare")
        assert facts["rows"] == 8645
        assert facts["label"]["name"] == "bikers (rentals an hour)"
        assert facts["splits"]["train"]["rows"] == 6547
        assert facts["bins"]["empty"] == 1
        assert facts["inputs"]["categorical"]["hr"] == 24
        assert facts["findings"] == []
        shown = command.text(facts)
        assert "Nothing suspicious found." in shown
        assert max(map(len, shown.splitlines())) <= 88

    @pytest.mark.data
    def test_california_housing(self, data_dir):
        file = data_dir / "tabular" / "california_housing.csv.gz"
        facts = look("california_housing", path=str(file))
        assert facts["rows"] == 20640
        assert facts["inputs"]["missing"] == {"total_bedrooms": 207}
        assert names(facts) == ["cap", "few_test"]
        assert sentence(facts, "cap").startswith(
            "965 rows have the largest label 500,001 (4.7 %)"
        )
        assert "--config.data.label_range=10000,500000 " in sentence(facts, "cap")
        assert facts["splits"]["test"]["few"] == 7
        assert "total_bedrooms 207 (1 %)" in command.text(facts)


def test_arrays(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    x[:5, 1] = np.nan
    np.savez(tmp_path / "mine.npz", x=x, y=rng.normal(size=200))
    facts = look("npz", path=str(tmp_path / "mine.npz"))
    assert len(facts["inputs"]["numeric"]) == 3
    assert list(facts["inputs"]["missing"].values()) == [5]
    assert sum(s["rows"] for s in facts["splits"].values()) == 200


def test_images(tmp_path):
    lines = ["path,label,split"]
    for i in range(40):
        pixels = np.full((9, 7), min(i, 30), np.uint8)  # The last ten are equal.
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{i / 2},{'train' if i < 35 else 'test'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    facts = look("images", path=str(tmp_path), image_size=8)
    assert facts["inputs"] == {"kind": "images", "shape": [8, 8, 1]}
    assert facts["duplicates"]["test"] == {"same_label": 0, "other_label": 5}
    assert facts["duplicates"]["train"]["conflicts"] == 5
    assert "leaked_rows" in names(facts)
    assert "Inputs: images, 8 x 8 pixels, grey" in command.text(facts)
    assert command.pictures(facts)["describe.png"].startswith(b"\x89PNG")


class TestText:
    def test_not_all_of_many_columns_are_named(self, tmp_path):
        columns = {f"c{i}": np.random.default_rng(i).normal(size=9) for i in range(50)}
        facts = table(tmp_path, {"y": range(9)} | columns)
        shown = " ".join(command.text(facts).split())  # in one line
        assert "51 numeric columns: x, c0," in shown
        assert "c28, and 21 more" in shown
        assert "c29" not in shown

    def bins(self, counts, **changes):
        shots = [("few", "median", "many")[(n > 1) + (n > 9)] for n in counts]
        edges = list(range(len(counts) + 1))
        return {"train_count": counts, "shots": shots, "edges": edges} | changes

    def test_bars(self):
        assert text_lib.histogram(self.bins([1, 0, 22, 44])) == [
            "  from rows",
            "     0    1 -",
            "     1    0",
            "     2   22 " + "#" * 22,
            "     3   44 " + "#" * 44,
        ]

    def test_a_few_rows_among_thousands_are_seen(self):
        lines = text_lib.histogram(self.bins([1, 5000]))
        assert lines[1] == "     0     1 -"

    def test_neighbours_are_joined(self):
        lines = text_lib.histogram(self.bins([9, 1] * 40))
        assert len(lines) == 41
        assert lines[1] == "     0   10 " + "=" * 40 + "-" * 4  # 39.6 and 4.4
        assert lines[-1].startswith("    78   10 ")

    @pytest.mark.parametrize("number", [39, 41, 95, 1000, 20_017])
    def test_at_most_forty_lines_hold_all_rows(self, number):
        counts = np.random.default_rng(0).integers(0, 50, number).tolist()
        lines = text_lib.histogram(self.bins(counts))[1:]
        assert len(lines) <= 40
        rows = [int(line.split()[1].replace(",", "")) for line in lines]
        assert sum(rows) == sum(counts)
        assert all(len(line) <= 88 for line in lines)


class TestCommand:
    @pytest.mark.slow
    def test_a_table(self, tmp_path):
        rng = np.random.default_rng(0)
        x = rng.normal(size=300)
        y = np.exp(x + rng.normal(size=300) / 5)
        lines = ["x,when,y", *(f"{x[i]},{2 * i},{y[i]}" for i in range(300))]
        (tmp_path / "mine.csv").write_text("\n".join(lines))
        fields = ["--config.data.path=mine.csv", "--config.data.label=y"]
        done = commands.run(
            *("-m", "dirjax.data", "describe", "--config=configs/csv.py", *fields),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        folder = tmp_path / "runs" / "describe" / "mine"
        assert sorted(f.name for f in folder.iterdir()) == [
            "describe.json",
            "describe.png",
        ]
        assert (folder / "describe.png").read_bytes().startswith(b"\x89PNG")

        def refuse(word):
            raise AssertionError(word)

        text = (folder / "describe.json").read_text()
        facts = json.loads(text, parse_constant=refuse)
        assert facts["rows"] == 300
        assert {"row_numbers", "long_tail"} <= set(names(facts))
        for word in ("mine: 300 rows", "data.drop=when", "describe.png", "--"):
            assert word in done.stdout
        documented = re.findall(r"^  (\w+)(?:, (\w+))?: ", str(facts_lib.__doc__), re.M)
        assert set(facts) == {key for pair in documented for key in pair if key}

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (
                ["train", "--config=configs/csv.py"],
                "build or describe, got 'train'",
            ),
            (["--config=configs/csv.py"], "must be build or describe, got '--config"),
            (["describe"], "--config is missing"),
        ],
    )
    def test_wrong_input(self, arguments, words, capsys):
        assert status.run(door.main, ["data", *arguments]) == 2
        assert words in capsys.readouterr().err

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        facts = table(tmp_path, {"y": range(30)})
        with pytest.raises(errors.InputError, match="--output"):
            command.write(facts, tmp_path / "file")

    @pytest.mark.parametrize("argument", ["--help", "-h"])
    def test_help(self, argument, capsys):
        assert status.run(door.main, ["data", argument]) == 0
        assert "build" in capsys.readouterr().out
        assert status.run(door.main, ["data", "describe", argument]) == 0
        assert "--output DIR" in capsys.readouterr().out


def test_no_jax():
    code = (
        "import sys; from dirjax import data; from dirjax.data import __main__;"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"jax", "tensorflow", "matplotlib"} & set(done.stdout.split())
