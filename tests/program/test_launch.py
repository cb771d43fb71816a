"""launch/local.sh: what it runs, with a Python that only writes down its arguments."""

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
STUB = """#!/bin/sh
[ "$2" = pip ] || echo "$@" >> ran.txt
"""


@pytest.fixture
def ran(tmp_path):
    """`ran(*args)` runs local.sh in a copy and returns its commands."""
    shutil.copytree(ROOT / "launch", tmp_path / "launch")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STUB)
    python.chmod(0o755)

    def run(*args):
        script = ["bash", str(tmp_path / "launch" / "local.sh"), *args]
        done = subprocess.run(script, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return (tmp_path / "ran.txt").read_text().splitlines()

    return run


def test_the_first_command_trains_vanilla_beside_the_default(ran):
    config = "-m dirjax.main --config.seed=1 --config configs/bikeshare.py"
    assert ran("--workdir=a b", "--config.seed=1") == [
        f"{config}:vanilla --workdir a b-vanilla",
        f"{config}:beta_nll --config.model.members=3 --workdir a b",
        "-m dirjax.report a b-vanilla a b --output a b/comparison",
    ]


def test_with_a_config_it_trains_that_alone(ran):
    (line,) = ran("--config", "configs/mnist5k.py:fds")
    head = "-m dirjax.main --config configs/mnist5k.py:fds --workdir runs/2"
    assert line.startswith(head)
