"""Finished runs for prediction tests of several files, and cached models."""

import functools
import pathlib

import pytest

from dirjax.evals import predictor as predictor_lib
from tests import own_data


@functools.cache
def read_model(workdir, step="best", target=None):
    return READ(workdir, step, target)


READ = predictor_lib.Predictor


@pytest.fixture
def read_once(monkeypatch):
    """Makes `predict` read and compile the model of a run once for all tests."""
    monkeypatch.setattr(predictor_lib, "Predictor", read_model)


@pytest.fixture
def run(on_a_table):
    return on_a_table / "run"


@pytest.fixture
def new(tmp_path):
    """Writes a file of new rows."""

    def writing(content, name="new.csv") -> pathlib.Path:
        return own_data.write(tmp_path, name, content)

    return writing
