"""URLs of buckets: each command and function refuses them, and writes nothing."""

import importlib
import pathlib

import pytest

import dirjax
from dirjax import train
from dirjax.cli import status
from dirjax.errors import InputError, local_path
from dirjax.report import write_report
from tests import commands, runs

SMOKE = ("--config", "configs/bikeshare.py:vanilla,smoke")
# Command -> arguments; * is the URL.
COMMANDS = {
    "main": (
        (*SMOKE, "--workdir", "*"),
        (*SMOKE, "--workdir=*"),
        ("--config", "*", "--workdir", "run"),
        (*SMOKE, "--workdir", "run", "--data", "*"),
        (*SMOKE, "--workdir", "run", "--config.data.path=*"),
        (*SMOKE, "--workdir", "run", "--config.prior.target=*"),
    ),
    "sweep": (("--config", "configs/studies/group.py:smoke", "--workdir", "*"),),
    "choose": (("--config", "configs/bikeshare.py", "--workdir", "*"),),
    "describe": ((*SMOKE, "--output", "*"), (*SMOKE, "--config.data.path", "*")),
    "evaluate": (
        ("--workdir", "*"),
        ("--workdir", "run", "--input", "*"),
        ("--workdir", "run", "--data", "*"),
        ("--workdir", "run", "--output", "*"),
    ),
    "predict": (
        ("--workdir", "*", "--input", "a.csv", "--output", "b.csv"),
        ("--workdir", "run", "--input", "*", "--output", "b.csv"),
        ("--workdir", "run", "--input", "a.csv", "--output", "*"),
    ),
    "noise": (
        ("--workdir", "*"),
        ("--workdir", "run", "--output", "*"),
        ("--workdir", "run", "--data", "*"),
    ),
    "export": (
        ("--workdir", "*", "--output", "folder"),
        ("--workdir", "run", "--output", "*"),
    ),
    "report": (("*",), ("run", "*"), ("run", "--output", "*")),
}
LINES = [(name, line) for name, lines in COMMANDS.items() for line in lines]


def test_every_command_is_here():
    here = pathlib.Path(dirjax.__file__).parent
    files = {f.stem for f in here.glob("*.py") if "status.run(" in f.read_text()}
    assert files - {"__main__"} | {"report"} == set(COMMANDS)


@pytest.mark.parametrize("url", ["gs://b/run", "memory://run", "gs:/a/b"])
@pytest.mark.parametrize(("name", "line"), LINES, ids=lambda x: str(x)[:60])
def test_a_command_refuses_a_url(name, line, url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"dirjax.{name}")
    words = [word.replace("*", url) for word in line]
    if name in ("main", "sweep", "choose", "describe"):
        code = commands.here(module.main, name, *words)
    else:
        code = status.run(module._main, words)
    said = capsys.readouterr().err
    assert code == 2
    assert said.count("\n") == 1
    assert f"{url} is a URL. Mount the bucket" in said
    assert list(tmp_path.iterdir()) == []


FUNCTIONS = {
    "fit": lambda url: dirjax.fit({"x": [1.0], "y": [2.0]}, "y", workdir=url),
    "choose": lambda url: dirjax.choose({"x": [1.0], "y": [2.0]}, "y", workdir=url),
    "load": lambda url: dirjax.load(url),
    "export": lambda url: dirjax.export("run", url),
    "report of": lambda url: write_report([url], "folder"),
    "report to": lambda url: write_report(["run"], url),
    "train": lambda url: train.train_and_evaluate(
        runs.config("bikeshare", "vanilla"), pathlib.Path(url)
    ),
    "regressor": lambda url: dirjax.DIRRegressor(workdir=url).fit(
        [[float(i)] for i in range(40)], [float(i) for i in range(40)]
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_refuses_a_url(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"gs:/.* is a URL\. Mount the bucket"):
        FUNCTIONS[name]("gs://b/run")
    assert list(tmp_path.iterdir()) == []


def test_other_paths_are_left_alone(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert local_path("x", "~/a") == pathlib.Path("/home/me/a")
    for text in ("C:/runs", "/mnt/gs:/a", "a b:/c", "runs/12:30"):
        assert local_path("x", text) == pathlib.Path(text)
