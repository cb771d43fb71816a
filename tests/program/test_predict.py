"""Predictions for new rows of a table: as in evaluation, in any order."""

import gzip
import json
import os

import numpy as np
import pyarrow as pa
import pytest

from dirjax import predict
from dirjax.data import new_rows
from dirjax.data.formats import csv_files
from dirjax.evals import predictor as predictor_lib
from tests import commands, own_data
from tests.program.answers import (
    COLOR,
    COLUMNS,
    COUNT,
    HEADER,
    PARTS,
    X,
    answers,
    assert_as_evaluated,
    evaluated,
    predictions,
    to_csv,
)

pytestmark = pytest.mark.usefixtures("read_once")


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
    def test_nor_the_size_of_the_batch(self, on_a_table, run, size, monkeypatch):
        predictor = predictor_lib.Predictor(run)
        data, record = predictor.config["data"], predictor.record
        (piece,) = new_rows.pieces(on_a_table / "mine.csv", data, record)
        whole = predictor(piece.inputs)
        monkeypatch.setattr(predictor, "batch_size", size)
        np.testing.assert_allclose(predictor(piece.inputs), whole, rtol=1e-6)

    def test_nor_that_of_the_block(self, on_a_table, run, monkeypatch):
        one = answers(run, on_a_table / "mine.csv", keep=("y",))
        monkeypatch.setattr(csv_files, "_BLOCK", 200)
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
        except predict.errors.InputError as error:
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
        assert done[:2] == (5, 2)

    def test_rows_of_another_length_are_left_out(self, new, run, monkeypatch):
        rows = [f"{i / 9},r,True" for i in range(40)]
        rows[3], rows[38] = "0.5", "1,2,3,4"
        file = new(HEADER + "\n".join(rows))
        found = answers(run, file, on_bad="skip")
        left = [str(i) for i in range(40) if i not in (3, 38)]
        assert found["index"] == left
        monkeypatch.setattr(csv_files, "_BLOCK", 64)
        assert answers(run, file, on_bad="skip") == found

    def test_a_block_without_a_row(self, new, run, monkeypatch):
        rows = ["too,many,cells,here"] * 30 + ["0.5,r,True"] * 3
        file = new(HEADER + "\n".join(rows))
        monkeypatch.setattr(csv_files, "_BLOCK", 64)
        found = answers(run, file, on_bad="skip")
        assert found["index"] == ["30", "31", "32"]

    def test_a_line_end_in_a_kept_cell(self, new, run):
        text = 'x,color,ok,note\n0.5,r,True,"two\nlines"\n0.1,g,True,one\n'
        assert answers(run, new(text), keep=("note",))["note"] == ["two\nlines", "one"]


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
