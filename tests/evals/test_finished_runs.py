"""A finished run is read without a training program."""

import json
import shutil

import numpy as np
import pytest

from dirjax import evaluate, models, noise, predict
from dirjax.training import build, train_step
from tests import runs


@pytest.fixture
def counted(monkeypatch):
    """Calls by name of what makes or traces a training program."""
    calls = dict.fromkeys(("loss", "step", "train", "data"), 0)

    def count(module, name, key):
        original = getattr(module, name)

        def call(*args, **kwargs):
            calls[key] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    count(train_step, "make_loss_fn", "loss")
    count(train_step, "make_train_step", "step")
    count(build.data, "from_config", "data")
    original = models.build

    def built(*args, **kwargs):
        network = original(*args, **kwargs)

        def encode(*args, train, **kwargs):
            calls["train"] += train
            return network.encode(*args, train=train, **kwargs)

        return network._replace(encode=encode)

    monkeypatch.setattr(models, "build", built)
    return calls


@pytest.fixture
def workdir(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    return tmp_path / "run"


def test_evaluate(workdir, counted):
    result = json.loads((workdir / "result.json").read_text())
    found = evaluate.evaluate(workdir)
    assert json.loads(json.dumps(found["test"])) == result["test"]
    assert counted.pop("data") == 1
    assert set(counted.values()) == {0}


@pytest.mark.slow
def test_noise(workdir, counted):
    arrays, _ = noise.probe(workdir, rows=8, samples=2, epsilon=(0.1,))
    assert np.isfinite(arrays["controlled"]).all()
    assert counted.pop("data") == 1
    assert set(counted.values()) == {0}


def test_predict_reads_no_data_of_training(workdir, counted, tmp_path):
    columns = json.loads((workdir / "data.json").read_text())["table"]
    names = dict.fromkeys([*columns["numeric"], *columns["categorical"]], "1")
    table = tmp_path / "new.csv"
    table.write_text(f"{','.join(names)}\n{','.join(names.values())}\n")
    assert predict.predict(workdir, table, tmp_path / "out.csv")[:2] == (1, 0)
    assert set(counted.values()) == {0}


@pytest.mark.slow
def test_training_is_counted(tmp_path, counted):
    """The counters count: a run makes all of these programs."""
    runs.run(runs.tiny("vanilla,smoke"), tmp_path / "run")
    assert min(counted.values()) >= 1
