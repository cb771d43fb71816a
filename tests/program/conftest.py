"""Finished runs for prediction tests of several files, and cached models."""

import functools
import pathlib

import pytest

from dirjax.evals import predictor as predictor_lib
from tests import commands, own_data
from tests.program.answers import COLUMNS, to_csv


@functools.cache
def read_model(workdir, step="best"):
    return READ(workdir, step)


READ = predictor_lib.Predictor


@pytest.fixture
def read_once(monkeypatch):
    """Makes `predict` read and compile the model of a run once for all tests."""
    monkeypatch.setattr(predictor_lib, "Predictor", read_model)


@pytest.fixture(scope="session")
def on_a_table(shared):
    """A run on a table, trained by the command on one device."""

    def make(folder):
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

    return shared("table", make)


@pytest.fixture
def run(on_a_table):
    return on_a_table / "run"


@pytest.fixture
def new(tmp_path):
    """Writes a file of new rows."""

    def writing(content, name="new.csv") -> pathlib.Path:
        return own_data.write(tmp_path, name, content)

    return writing
