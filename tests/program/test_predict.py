"""Predictions for new rows: as in evaluation, in any order, whole or not at all."""

import csv
import gzip
import json
import os
import pathlib
import re

import numpy as np
import pyarrow as pa
import pytest

from dirjax import predict
from dirjax.data import new_rows
from dirjax.data.formats import table_files
from dirjax.evals import predictor as predictor_lib
from tests import commands, own_data, runs

RNG = np.random.default_rng(0)
COUNT = 150
PARTS = [("train", "train", "train", "val", "test")[i % 5] for i in range(COUNT)]
# Gaps in all splits, and a colour that training lacks.
NORMAL = RNG.normal(size=COUNT).round(4).tolist()
X = [None if i % 7 == 3 else v for i, v in enumerate(NORMAL)]
COLOR = [
    None if i % 11 == 2 else "violet" if i % 20 == 4 else "rgb"[i % 3]
    for i in range(COUNT)
]
Y = [round(float(np.exp(v)), 4) for v in RNG.normal(size=COUNT)]
OK = [i % 4 == 0 for i in range(COUNT)]
COLUMNS = {"x": X, "color": COLOR, "ok": OK, "y": Y, "split": PARTS}


def to_csv(columns, order=None) -> str:
    """A CSV file of columns, or of some of their rows."""
    rows = list(zip(*columns.values(), strict=True))
    cells = [
        ",".join("" if cell is None else str(cell) for cell in rows[i])
        for i in (range(len(rows)) if order is None else order)
    ]
    return own_data.table(cells, ",".join(columns))


def answers(workdir, path, **options) -> dict[str, list[str]]:
    """Columns of the output; it is not kept."""
    output = pathlib.Path(path).parent / "answers.csv"
    predict.predict(workdir, path, output, **options)
    with output.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    output.unlink()
    return {name: [row[name] for row in rows] for name in rows[0]}


def predictions(workdir, path, **options) -> np.ndarray:
    return np.array(answers(workdir, path, **options)["prediction"], np.float64)


def evaluated(workdir) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers, labels and predictions of the test split."""
    with np.load(workdir / "predictions.npz") as stored:
        return tuple(stored[k] for k in ("index", "label", "prediction"))


def assert_as_evaluated(workdir, path, **options) -> None:
    index, _, prediction = evaluated(workdir)
    assert len(index) > 5
    assert len(np.unique(prediction)) > 5
    found = predictions(workdir, path, **options)[index]
    np.testing.assert_allclose(found, prediction, rtol=1e-5)


# For the session: under xdist classes of one module may be far apart.
@pytest.fixture(scope="session")
def on_a_table(tmp_path_factory):
    """A run on a table, trained by the command on one device."""
    folder = tmp_path_factory.mktemp("table")
    own_data.write(folder, "mine.csv", to_csv(COLUMNS))
    fields = {k: v for k, v in own_data.TINY.items() if k != "model__encoder"}
    fields |= {"model__encoder__width": 8, "model__encoder__depth": 1}
    fields |= {"data__path": folder / "mine.csv", "data__label": "y"}
    done = commands.run(
        *("-m", "dirjax.main", "--config=configs/csv.py:vanilla"),
        f"--workdir={folder / 'run'}",
        *(f"--config.{k.replace('__', '.')}={v}" for k, v in fields.items()),
        devices=1,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(on_a_table):
    return on_a_table / "run"


@pytest.fixture
def new(tmp_path):
    """Writes a file of new rows."""

    def writing(content, name="new.csv") -> pathlib.Path:
        return own_data.write(tmp_path, name, content)

    return writing


HEADER = "x,color,ok\n"


class TestTable:
    def test_as_in_evaluation(self, on_a_table, run):
        """Trained on one device, predicted on four."""
        assert_as_evaluated(run, on_a_table / "mine.csv")

    def test_gaps_and_unknown_words_are_among_them(self, on_a_table, run):
        index, _, prediction = evaluated(run)
        seen = {COLOR[i] for i in range(COUNT) if PARTS[i] == "train"}
        assert "violet" not in seen
        assert None in seen
        found = predictions(run, on_a_table / "mine.csv")
        for kind in (
            [X[i] is None for i in index],
            [COLOR[i] is None for i in index],
            [COLOR[i] == "violet" for i in index],
        ):
            assert any(kind)
            here = np.flatnonzero(kind)
            np.testing.assert_allclose(found[index[here]], prediction[here], rtol=1e-5)

    def test_a_gap_is_not_the_centre_nor_zero(self, new, run):
        fitted = json.loads((run / "data.json").read_text())["table"]
        found = predictions(run, new(f"{HEADER},r,True\n{fitted['center'][0]},r,True"))
        # The indicator tells them apart.
        assert found[0] != found[1]

    def test_unknown_words_are_one(self, new, run):
        cells = ["violet", "brown", "Ärger", "R", "", "NA", "r", " r "]
        rows = "\n".join(f"0.5,{c},True" for c in cells)
        found = predictions(run, new(HEADER + rows))
        assert len(set(found[:4])) == 1
        assert found[4] == found[5]
        assert found[6] == found[7]
        assert len({found[0], found[4], found[6]}) == 3

    def test_the_order_of_rows_does_not_matter(self, on_a_table, new, run):
        order = np.random.default_rng(1).permutation(COUNT)
        mixed = predictions(run, new(to_csv(COLUMNS, order)))
        plain = predictions(run, on_a_table / "mine.csv")
        np.testing.assert_allclose(mixed, plain[order], rtol=1e-6)

    def test_nor_that_of_columns_and_others_are_ignored(self, on_a_table, new, run):
        names = ("ok", "more", "color", "x")
        columns = COLUMNS | {"more": ["?"] * COUNT}
        file = new(to_csv({name: columns[name] for name in names}))
        np.testing.assert_array_equal(
            predictions(run, file), predictions(run, on_a_table / "mine.csv")
        )

    @pytest.mark.parametrize("size", [4, 52, 1024])
    def test_nor_the_size_of_the_batch(self, on_a_table, run, size):
        predictor = predictor_lib.Predictor(run)
        (piece,) = new_rows.pieces(on_a_table / "mine.csv", predictor)
        whole = predictor(piece.inputs)
        predictor.batch_size = size
        np.testing.assert_allclose(predictor(piece.inputs), whole, rtol=1e-6)

    def test_nor_that_of_the_block(self, on_a_table, run, monkeypatch):
        one = answers(run, on_a_table / "mine.csv", keep=("y",))
        monkeypatch.setattr(table_files, "_BLOCK", 200)
        assert answers(run, on_a_table / "mine.csv", keep=("y",)) == one
        assert one["index"] == [str(i) for i in range(COUNT)]

    def test_one_row(self, on_a_table, new, run):
        found = predictions(run, new(to_csv(COLUMNS, [17])))
        whole = predictions(run, on_a_table / "mine.csv")
        np.testing.assert_allclose(found, whole[17:18], rtol=1e-6)

    def test_gzip(self, on_a_table, new, run):
        packed = gzip.compress(to_csv(COLUMNS).encode())
        np.testing.assert_array_equal(
            predictions(run, new(packed, "new.csv.gz")),
            predictions(run, on_a_table / "mine.csv"),
        )

    def test_parquet(self, on_a_table, new, run):
        columns = COLUMNS | {"color": pa.array(COLOR).dictionary_encode()}
        np.testing.assert_array_equal(
            predictions(run, new(own_data.to_parquet(**columns), "new.parquet")),
            predictions(run, on_a_table / "mine.csv"),
        )

    def test_the_last_state_and_that_of_a_step(self, on_a_table, run):
        file = on_a_table / "mine.csv"
        last = predictions(run, file, step="last")
        np.testing.assert_array_equal(predictions(run, file, step="4"), last)

    def test_nothing_of_the_run_is_changed(self, on_a_table, run):
        before = own_data.snapshot(run)
        predictions(run, on_a_table / "mine.csv")
        assert own_data.snapshot(run) == before

    def test_the_training_data_is_not_needed(self, on_a_table, new, run):
        file = new(to_csv(COLUMNS))
        whole = predictions(run, on_a_table / "mine.csv")
        away = on_a_table / "away.csv"
        os.replace(on_a_table / "mine.csv", away)
        try:
            np.testing.assert_array_equal(predictions(run, file), whole)
        finally:
            os.replace(away, on_a_table / "mine.csv")


class TestOutput:
    def test_columns_to_keep_are_as_they_were(self, new, run):
        text = 'id,x,note,color,ok\n007,0.5,"a, ""b""",r,True\n08,,é,g,False\n'
        found = answers(run, new(text), keep=("note", "id", "color"))
        assert list(found) == ["index", "note", "id", "color", "prediction"]
        assert found["index"] == ["0", "1"]
        assert found["id"] == ["007", "08"]
        assert found["note"] == ['a, "b"', "é"]
        assert found["color"] == ["r", "g"]

    def test_names_of_its_own_columns(self, new, run):
        # As in a file that was predicted before.
        text = "index,prediction,x,color,ok\n71,9.5,0.5,r,True\n72,8.5,0.1,g,True\n"
        keep = ("index", "prediction")
        try:
            found = answers(run, new(text), keep=keep)
        except predict.cli.InputError as error:
            found, said = None, str(error)
        if found is None:
            assert "'index'" in said or "'prediction'" in said
        else:
            assert found["index"] == ["0", "1"]
            assert found["prediction"] != ["9.5", "8.5"]

    def test_rows_that_were_skipped_are_empty(self, new, run):
        rows = ["0.5,r,True", "oops,r,True", "0.5,r,True", "inf,g,True", ",,"]
        file = new(HEADER + "\n".join(rows))
        found = answers(run, file, on_bad="skip")
        assert found["index"] == list("01234")
        assert [not p for p in found["prediction"]] == [False, True, False, True, False]
        assert found["prediction"][0] == found["prediction"][2]
        done = predict.predict(run, file, file.parent / "o.csv", on_bad="skip")
        assert done == (5, 2)

    def test_rows_of_another_length_are_left_out(self, new, run, monkeypatch):
        rows = [f"{i / 9},r,True" for i in range(40)]
        rows[3], rows[38] = "0.5", "1,2,3,4"
        file = new(HEADER + "\n".join(rows))
        found = answers(run, file, on_bad="skip")
        left = [str(i) for i in range(40) if i not in (3, 38)]
        assert found["index"] == left
        monkeypatch.setattr(table_files, "_BLOCK", 64)
        assert answers(run, file, on_bad="skip") == found

    def test_a_block_without_a_row(self, new, run, monkeypatch):
        rows = ["too,many,cells,here"] * 30 + ["0.5,r,True"] * 3
        file = new(HEADER + "\n".join(rows))
        monkeypatch.setattr(table_files, "_BLOCK", 64)
        found = answers(run, file, on_bad="skip")
        assert found["index"] == ["30", "31", "32"]

    def test_a_line_end_in_a_kept_cell(self, new, run):
        text = 'x,color,ok,note\n0.5,r,True,"two\nlines"\n0.1,g,True,one\n'
        assert answers(run, new(text), keep=("note",))["note"] == ["two\nlines", "one"]


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
        ("the 3 cells", r"row 3 of .*new\.csv has 1", "--on_bad skip"),
    ),
    "no rows": (HEADER, {}, (r"new\.csv has no rows", "--input")),
    "an empty file": ("", {}, (r"new\.csv must be a CSV file", "empty")),
    "Windows-1252": (
        (HEADER + "0.5,Größe,True\n").encode("cp1252"),
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
        monkeypatch.setattr(table_files, "_BLOCK", 64)
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

        monkeypatch.setattr(predictor_lib.Predictor, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict.predict(run, file, file.parent / "out.csv")
        assert own_data.snapshot(file.parent) == before

    def test_an_input_that_is_missing(self, run, tmp_path, capsys):
        line = self.said(capsys, run, tmp_path / "no.csv", tmp_path / "out.csv")
        assert re.search(r"--input must exist, .*no\.csv does not", line)
        assert not own_data.snapshot(tmp_path)

    def test_a_folder_for_a_table(self, run, tmp_path, capsys):
        line = self.said(capsys, run, tmp_path, tmp_path / "out.csv")
        assert re.search("model is one of tables, --input .* is a folder", line)
        assert not own_data.snapshot(tmp_path)

    def test_arrays_without_names(self, run, new, capsys):
        file = new(own_data.to_npz(x=np.zeros((3, 3))), "new.npz")
        line = self.said(capsys, run, file, file.parent / "out.csv")
        assert re.search(r"no column 'x'.*trained with.* x0, x1, x2", line)

    def test_images_for_a_table(self, run, new, capsys):
        file = new(own_data.to_npz(x=np.zeros((3, 4, 4), np.uint8)), "new.npz")
        line = self.said(capsys, run, file, file.parent / "out.csv")
        assert re.search(
            r"model is one of tables, 'x' of .*new\.npz holds images", line
        )

    def test_an_output_that_cannot_be(self, run, new, capsys):
        file = new(HEADER + "0.5,r,True\n")
        before = own_data.snapshot(file.parent)
        line = self.said(capsys, run, file, file.parent)
        assert re.search("--output must be a file, .* is a folder", line)
        line = self.said(capsys, run, file, file.parent / "none" / "out.csv")
        assert re.search("the folder of --output must exist, .*none does not", line)
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
            assert re.search("--workdir must be the directory of a run", line)
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


def test_the_command(on_a_table, tmp_path):
    rows = ["5,0.5,r,True", "6,oops,g,True", "7,,b,False"]
    file = own_data.write(tmp_path, "new.csv", own_data.table(rows, "id,x,color,ok"))
    run = on_a_table / "run"
    done = commands.run(
        *("-m", "dirjax.predict", "--workdir", run, "--input", file),
        *("--output", tmp_path / "out.csv", "--keep", "id", "--on_bad", "skip"),
        devices=2,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "3 predictions, 1 of them empty" in done.stdout
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "index,id,prediction"
    assert lines[2] == "1,6,"
    here = answers(run, file, on_bad="skip")["prediction"]
    for line, want in zip(lines[1::2], here[::2], strict=True):
        assert float(line.split(",")[2]) == pytest.approx(float(want), rel=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.csv", "out.csv"]


@pytest.fixture(scope="session")
def on_logarithms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    # Small labels, whose logarithms are negative.
    columns = COLUMNS | {"y": [round(y * 1e-3, 8) for y in Y]}
    file = own_data.write(folder, "mine.csv", to_csv(columns))
    fields = own_data.TINY | {"data__label_scale": "log"}
    runs.run(own_data.config(file, **fields), folder / "run")
    return folder


class TestLogarithm:
    def test_as_in_evaluation(self, on_logarithms):
        assert_as_evaluated(on_logarithms / "run", on_logarithms / "mine.csv")

    def test_labels_and_predictions_are_in_units_of_the_label(self, on_logarithms):
        index, label, prediction = evaluated(on_logarithms / "run")
        np.testing.assert_allclose(label, [Y[i] * 1e-3 for i in index], rtol=1e-5)
        assert (prediction > 0).all()
        # Within a few of its deviations, or they would be logarithms.
        assert np.abs(np.log(prediction / 1e-3)).max() < 5

    def test_so_are_the_errors(self, on_logarithms):
        index, label, _ = evaluated(on_logarithms / "run")
        found = predictions(on_logarithms / "run", on_logarithms / "mine.csv")[index]
        result = json.loads((on_logarithms / "run" / "result.json").read_text())
        error = np.abs(found - label)
        assert result["test"]["mae"]["all"] == pytest.approx(error.mean(), rel=1e-4)
        rmse = np.sqrt((error**2).mean())
        assert result["test"]["rmse"]["all"] == pytest.approx(rmse, rel=1e-4)

    def test_so_are_the_bins_of_the_report(self, on_logarithms):
        # It counts errors by the bin of the label, as predictions.npz has it.
        _, label, _ = evaluated(on_logarithms / "run")
        edges = json.loads((on_logarithms / "run" / "bins.json").read_text())["edges"]
        assert edges[0] <= label.min()
        assert label.max() <= edges[-1]
        assert len(np.unique(np.digitize(label, edges))) > 3


@pytest.fixture(scope="session")
def with_average(tmp_path_factory):
    """Two runs that differ in nothing but the moving average."""
    folder = tmp_path_factory.mktemp("average")
    file = own_data.write(folder, "mine.csv", to_csv(COLUMNS))
    for name, decay in (("with", 0.9), ("without", 0.0)):
        changes = {"train__average_decay": decay, "stage__main__learning_rate": 0.1}
        runs.run(own_data.config(file, **own_data.TINY | changes), folder / name)
    return folder


class TestAverage:
    @pytest.mark.parametrize("name", ["with", "without"])
    def test_as_in_evaluation(self, with_average, name):
        assert_as_evaluated(with_average / name, with_average / "mine.csv")

    def test_it_is_the_average(self, with_average):
        # The parameters themselves are those of the other run.
        one, two = (
            predictions(with_average / name, with_average / "mine.csv", step="last")
            for name in ("with", "without")
        )
        assert np.abs(one - two).mean() > 0.05


PIXELS = np.random.default_rng(2).integers(0, 256, (60, 8, 8), np.uint8)


@pytest.fixture(scope="session")
def on_images(tmp_path_factory):
    """A run on a folder of grey images, of the size the model wants."""
    folder = tmp_path_factory.mktemp("images")
    rows = []
    for i, pixels in enumerate(PIXELS):
        # Names in the order of the rows, some in a folder below.
        name = f"{'a/' if i < 20 else ''}{i:02d}.png"
        own_data.write(folder, f"pictures/{name}", own_data.to_image(pixels))
        part = ("train", "train", "train", "val", "test")[i % 5]
        rows.append(f"{name},{i % 6 + pixels.mean() / 50:.3f},{part}")
    text = own_data.table(rows, "path,label,split")
    own_data.write(folder, "pictures/labels.csv", text)
    made = own_data.config(folder / "pictures", "images", **own_data.TINY_IMAGES)
    runs.run(made, folder / "run")
    return folder


class TestImages:
    def test_a_table_of_paths(self, on_images):
        file = on_images / "pictures" / "labels.csv"
        assert_as_evaluated(on_images / "run", file)
        found = answers(on_images / "run", file, keep=("label",))
        assert list(found) == ["path", "label", "prediction"]
        assert found["path"][:2] == ["a/00.png", "a/01.png"]

    def test_a_folder(self, on_images):
        found = answers(on_images / "run", on_images / "pictures")
        assert list(found) == ["path", "prediction"]
        # In order, whatever the file system thinks of it.
        assert found["path"] == sorted(found["path"])
        pairs = dict(zip(*found.values(), strict=True))
        listed = answers(on_images / "run", on_images / "pictures" / "labels.csv")
        assert pairs == dict(zip(*listed.values(), strict=True))

    def test_arrays(self, on_images, new):
        file = new(own_data.to_npz(x=PIXELS), "new.npz")
        assert_as_evaluated(on_images / "run", file)
        assert answers(on_images / "run", file)["index"] == [str(i) for i in range(60)]

    def test_arrays_with_a_channel(self, on_images, new):
        file = new(own_data.to_npz(x=PIXELS[..., None]), "new.npz")
        assert_as_evaluated(on_images / "run", file)

    def test_other_sizes_and_colours_are_made_to_fit(self, on_images, new):
        for i, shape in enumerate(((8, 8), (33, 20), (5, 70, 3))):
            image = own_data.to_image(np.full(shape, 90, np.uint8))
            file = new(image, f"some/{i}.png")
        found = predictions(on_images / "run", file.parent)
        np.testing.assert_allclose(found, found[0], rtol=1e-6)

    def test_an_image_that_is_broken(self, on_images, new, capsys):
        for i in range(3):
            new(own_data.to_image(PIXELS[i]), f"some/{i}.png")
        file = new(own_data.to_image(PIXELS[1])[:60], "some/1.png")
        table = new("path\n0.png\n1.png\nnone.png\n2.png\n", "some/t.csv")
        before = own_data.snapshot(file.parent)
        output = file.parent / "out.csv"
        for path, where in ((file.parent, r"some/1\.png"), (table, "row 3 of .*t.csv")):
            line = own_data.sentence(
                capsys,
                lambda path=path: predict.predict(on_images / "run", path, output),
            )
            assert re.search(r"images must be readable, .*1\.png", line)
            assert re.search(where, line), line
            assert "--on_bad skip" in line
        assert own_data.snapshot(file.parent) == before
        found = answers(on_images / "run", file.parent, on_bad="skip")
        assert [bool(p) for p in found["prediction"]] == [True, False, True]
        found = answers(on_images / "run", table, on_bad="skip")
        assert [bool(p) for p in found["prediction"]] == [True, False, False, True]

    @pytest.mark.parametrize(
        ("content", "name", "said"),
        [
            (own_data.to_npz(x=PIXELS[:, :5]), "n.npz", r"\[8, 8, 1\].*\[5, 8, 1\]"),
            (own_data.to_npz(x=np.zeros((3, 4))), "n.npz", r"\[8, 8, 1\].*\[4\]"),
            (own_data.to_npz(z=PIXELS), "n.npz", r"no array 'x'.* it has z"),
            ("file\n1.png\n", "n.csv", r"no column 'path'.* it has file"),
            ("path\n", "n.csv", r"n\.csv .*no rows"),
            ("nothing", "n/readme.txt", "n holds no image"),
        ],
    )
    def test_other_input(self, on_images, new, capsys, content, name, said):
        file = new(content, name)
        path = file.parent if file.suffix == ".txt" else file
        line = own_data.sentence(
            capsys,
            lambda: predict.predict(on_images / "run", path, path.parent / "out.csv"),
        )
        assert re.search(said, line), line

    def test_nothing_to_keep_in_a_folder(self, on_images, tmp_path, capsys):
        line = own_data.sentence(
            capsys,
            lambda: predict.predict(
                *(on_images / "run", on_images / "pictures", tmp_path / "out.csv"),
                keep=("label",),
            ),
        )
        assert "--keep needs a table" in line


@pytest.fixture(scope="session")
def on_arrays(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    x = np.random.default_rng(3).normal(size=(COUNT, 3)).round(3)
    x[::6, 1] = np.nan
    arrays = {"x": x, "y": np.array(Y), "split": np.array(PARTS)}
    file = own_data.write(folder, "mine.npz", own_data.to_npz(**arrays))
    runs.run(own_data.config(file, "npz", **own_data.TINY), folder / "run")
    return folder, x


class TestArrays:
    def test_as_in_evaluation(self, on_arrays):
        assert_as_evaluated(on_arrays[0] / "run", on_arrays[0] / "mine.npz")

    def test_the_same_numbers_in_a_csv(self, on_arrays, new):
        folder, x = on_arrays
        columns = {
            f"x{j}": [None if np.isnan(v) else v for v in x[:, j]] for j in (2, 0, 1)
        }
        assert_as_evaluated(folder / "run", new(to_csv(columns)))

    def test_fewer_columns(self, on_arrays, new, capsys):
        folder, x = on_arrays
        file = new(own_data.to_npz(x=x[:, :2]), "new.npz")
        line = own_data.sentence(
            capsys,
            lambda: predict.predict(folder / "run", file, file.parent / "out.csv"),
        )
        assert re.search(r"new\.npz.*'x2'|'x2'.*new\.npz", line), line

    def test_an_infinite_feature(self, on_arrays, new, capsys):
        folder, x = on_arrays
        new_x = x.copy()
        new_x[4, 2] = np.inf
        file = new(own_data.to_npz(x=new_x), "new.npz")
        line = own_data.sentence(
            capsys,
            lambda: predict.predict(folder / "run", file, file.parent / "out.csv"),
        )
        assert re.search(r"finite.*row 4 of .*new\.npz", line), line
        found = answers(folder / "run", file, on_bad="skip")["prediction"]
        assert [i for i, p in enumerate(found) if not p] == [4]
