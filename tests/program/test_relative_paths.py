"""Data given by a relative path is found from any folder afterwards."""

import json
import os

import pytest

from dirjax import evaluate
from dirjax.config import frozen
from dirjax.errors import InputError
from tests import own_data, runs

ROWS = [f"{i / 7:.3f},{i % 10},{'train' if i < 40 else 'test'}" for i in range(60)]


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A finished run on `data/mine.csv`, begun in the folder above."""
    folder = tmp_path_factory.mktemp("relative")
    text = own_data.table(ROWS, "x,y,split")
    own_data.write(folder, "data/mine.csv", text)
    (folder / "elsewhere").mkdir()
    here = os.getcwd()
    made = own_data.config("data/mine.csv", **own_data.TINY)
    try:
        os.chdir(folder)
        runs.run(made, folder / "run")
    finally:
        os.chdir(here)
    return folder


@pytest.mark.slow
def test_the_run_records_the_whole_path(begun):
    stored = json.loads((begun / "run" / "config.json").read_text())
    assert stored["data"]["path"] == str(begun / "data" / "mine.csv")


def test_evaluation_from_another_folder(begun, monkeypatch):
    monkeypatch.chdir(begun / "elsewhere")
    found = evaluate.evaluate(begun / "run")
    assert found["test"]["mae"] == runs.result(begun / "run")["test"]["mae"]


@pytest.mark.parametrize(
    ("folder", "path"), [(".", "data/mine.csv"), ("elsewhere", "../data/mine.csv")]
)
def test_the_same_file_is_the_same_config(begun, monkeypatch, folder, path):
    monkeypatch.chdir(begun / folder)
    made = own_data.config(path, **own_data.TINY)
    assert runs.run(made, begun / "run") == runs.result(begun / "run")


@pytest.mark.slow
def test_a_warm_start_is_found_from_any_folder(begun, monkeypatch):
    warm = begun / "warm"
    for folder, start in ((".", "run"), ("elsewhere", "../run")):
        monkeypatch.chdir(begun / folder)
        path = str(begun / "data" / "mine.csv")
        made = own_data.config(path, init_from=start, **own_data.TINY)
        found = runs.run(made, warm)
        assert found == runs.result(warm)
        assert frozen.to_json(made)["init_from"] == str(begun / "run")
    assert evaluate.evaluate(warm)["test"]["mae"] == found["test"]["mae"]
    made["init_from"] = "run"
    with pytest.raises(InputError, match=r"init_from '.*' -> '.*elsewhere/run'"):
        runs.run(made, warm)


def test_a_file_of_weights_is_a_whole_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    made = runs.config("mnist5k", model__pretrained="weights.pth")
    stored = frozen.to_json(made)["model"]["pretrained"]
    assert stored == str(tmp_path / "weights.pth")


def test_another_file_is_not(begun, monkeypatch):
    monkeypatch.chdir(begun / "elsewhere")
    made = own_data.config("data/mine.csv", **own_data.TINY)
    with pytest.raises(InputError, match=r"data\.path '.*' -> '.*elsewhere/data"):
        runs.run(made, begun / "run")
