import pathlib
import types
import unittest.mock
import warnings

import numpy as np
import pyarrow as pa
import pytest

from dirjax.cli import config_files
from dirjax.config import frozen
from dirjax.errors import InputError
from dirjax.interface import frames, model, training
from dirjax.workdir import run_files


class Exporting:
    """What exports an Arrow stream, as polars does."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


TABLE = pa.table({"a": [1.0, 2.0], "b": ["x", None], "c": [True, False]})


@pytest.mark.parametrize(
    "data",
    [TABLE, Exporting(TABLE), {"a": [1.0, 2.0], "b": ["x", None], "c": [True, False]}],
)
def test_frames_are_tables(data):
    found = frames.table(data)
    assert found.equals(TABLE)
    assert [n for n in found.column_names if frames.is_numeric(found, n)] == ["a"]
    assert [n for n in found.column_names if frames.is_text(found, n)] == ["b", "c"]


def test_arrays_have_names_and_gaps():
    found = frames.table(np.array([[1.0, np.nan], [2.0, 3.0]]))
    assert found.column_names == ["x0", "x1"]
    assert found["x1"].null_count == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([1, 2], "data must be a data frame .* got list"),
        (np.zeros(3), r"an array \[rows, columns\], got one of shape \(3,\)"),
        ({"a": [1, "x"]}, "columns must hold one type each"),
        ({"a": 1.0, "b": 2.0}, "columns must hold one type each"),
    ],
)
def test_refused(data, said):
    with pytest.raises(InputError, match=said):
        frames.table(data)


def test_names_that_are_taken():
    assert frames.free_name(TABLE, "y") == "y"
    assert frames.free_name(pa.table({"y": [1], "y_": [2]}), "y") == "y__"


def test_new_rows_are_numbered(tmp_path):
    import pyarrow.parquet

    file, rows = frames.write_new(TABLE, tmp_path)
    assert rows == 2
    stored = pyarrow.parquet.read_table(file)
    assert stored[frames.ROW].to_pylist() == [0, 1]
    file, rows = frames.write_new(np.zeros((3, 4, 4), np.uint8), tmp_path)
    with np.load(file) as stored:
        assert stored["x"].shape == (3, 4, 4)
    assert rows == 3


def test_without_a_method_it_is_that_of_the_config():
    found = training.config_of("", {})
    assert found == frozen.plain(config_files.load("configs/csv.py"))


def test_two_processes_do_not_write_into_one_file(tmp_path, monkeypatch):
    """Another process begins while this one writes."""
    file, seen = tmp_path / "data.parquet", []

    def write(half):
        seen.append(half)
        half.write_bytes(b"ours")
        if len(seen) == 1:
            monkeypatch.setattr(frames.files.os, "getpid", lambda: 7)
            frames.keep(write, file)

    frames.keep(write, file)
    assert len({*seen}) == 2
    assert [f.name for f in tmp_path.iterdir()] == ["data.parquet"]


def test_a_run_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    for name in (run_files.CONFIG, run_files.RESULT, run_files.LOCK):
        (run / name).write_text("{}")
    found = model.Model(run)
    with pytest.raises(InputError, match="must be outside of"):
        found.save(run / "report" / "copy")

    def full(self, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "rename", full)
        with pytest.raises(OSError, match="No space"):
            found.save(tmp_path / "copy")
    assert [f.name for f in tmp_path.iterdir()] == ["run"]
    # A hidden folder of nearly that name is someone else's.
    (tmp_path / ".copy").mkdir()
    saved = found.save(tmp_path / "copy")
    assert (tmp_path / ".copy").exists()
    names = {f.name for f in saved.iterdir()}
    assert names == {run_files.CONFIG, run_files.RESULT}


def test_the_data_of_another_run_stays(tmp_path):
    file = tmp_path / "run" / "data.parquet"
    frames.keep(lambda half: frames.write_table(TABLE, half), file)
    before = file.read_bytes()
    frames.keep(lambda half: frames.write_table(TABLE, half), file)  # the same
    other = TABLE.slice(0, 1)
    with pytest.raises(InputError, match="workdir must be new, or that of a run"):
        frames.keep(lambda half: frames.write_table(other, half), file)
    assert file.read_bytes() == before
    assert [f.name for f in file.parent.iterdir()] == ["data.parquet"]


def test_a_label_whose_name_is_a_number(tmp_path):
    """Columns of pandas may be numbers; those of files are text."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.ones((3, 2)))
    assert training.written(frame, 1, tmp_path)["data.label"] == "1"
    with pytest.raises(InputError, match=r"got '2'; it has 0, 1\."):
        training.written(frame, 2, tmp_path)


@pytest.mark.parametrize(
    ("note", "told"),
    [
        ("9 rows share theirs, so that the test error says little of new ones", 1),
        ("1 labels far from the others count in the end bins; bins cover 0 to 9", 1),
        ("column 'id' is left out: it numbers the rows", 1),
        ("the bin width is 5 (labels.auto_width)", 0),
    ],
)
def test_a_fit_without_output_warns_of_what_matters(monkeypatch, note, told):
    run = types.SimpleNamespace(train_and_evaluate=lambda *_, **__: {"notes": [note]})
    monkeypatch.setattr(training, "Model", unittest.mock.MagicMock())
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        training.finished({}, pathlib.Path(), None, show="bar", run=run)
    assert [str(w.message) for w in found] == [note] * told


def test_errors_speak_of_the_data_and_of_fields():
    """Not of a file in a temporary folder, and of rows as Python counts them."""
    frame = {"a": np.arange(60.0), "y": np.arange(60.0)}
    frame["y"][7] = np.nan
    with pytest.raises(InputError) as error:
        training.fit(frame, "y")
    assert "row 7 of the data has nan in 'y'" in str(error.value)
    assert 'skip such rows: fields={"data.on_bad": "skip"}.' in str(error.value)
    frame["y"] = np.zeros(60)
    with pytest.raises(InputError, match="all 60 in 'y' of the data are 0") as error:
        training.description(frame, "y")
    assert 'with fields={"data.label": NAME}.' in str(error.value)


def test_errors_on_new_rows_name_no_option_of_the_command(tmp_path):
    said = (
        f"'a' must hold numbers, row 0 of {tmp_path}/new.parquet has 'x' (if it stands "
        "for a missing value, set --config.data.missing=x). Fix it, or skip such rows: "
        f"--on_bad skip. It has b, {frames.ROW}."
    )
    with (
        pytest.raises(InputError) as error,
        frames.speaking_of(tmp_path),
    ):
        raise InputError(said)
    assert str(error.value) == (
        "'a' must hold numbers, row 0 of the data has 'x' (if it stands for a missing "
        'value, set fields={"data.missing": "x"}). Fix it, or remove such rows. '
        "It has b."
    )
