"""docs/own-data.md is run as it stands, in an empty folder; training is cut short."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "own-data.md"
BLOCK = re.compile(r"^```(python|bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What the short form of a run does not change: everything but its numbers and steps.
NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?|(?<=\s)-(?=\s)")


def blocks():
    """`(kind, content)` of each block, in order."""
    return BLOCK.findall(PAGE.read_text())


def shortened(command):
    """The command with the option `smoke`, for this interpreter."""
    command = re.sub(r"(configs/\w+\.py:\w+)", r"\1,smoke", command)
    return command.replace("python -m", f"{sys.executable} -m")


def masked(text):
    """Lines with numbers as `#` and blanks as one."""
    lines = (" ".join(NUMBER.sub("#", line).split()) for line in text.splitlines())
    return [line for line in lines if line]


def run_bash(block, folder):
    """Runs the commands; their output, and their last status."""
    done = subprocess.run(
        ["bash", "-c", shortened(block)],
        cwd=folder,
        capture_output=True,
        text=True,
        # Compiled well: the convolutions of the images are worth it.
        env=os.environ | {"XLA_FLAGS": ""},
        timeout=240,
    )
    return done.stdout + done.stderr, done.returncode


def test_the_page_is_true(tmp_path):
    pytest.importorskip("sklearn")
    said, status = "", 0
    kinds = [kind for kind, _ in blocks()]
    assert kinds.count("bash") >= 6
    assert kinds.count("text") >= 4
    for kind, content in blocks():
        if kind == "python":
            subprocess.run([sys.executable, "-c", content], cwd=tmp_path, check=True)
        elif kind == "bash":
            said, status = run_bash(content, tmp_path)
            assert status == (2 if "typo" in content else 0), said
        elif "describe" in content or status == 2:
            assert content.strip() in said
        else:
            printed = masked(said)
            missing = [line for line in masked(content) if line not in printed]
            assert not missing, (missing, printed)
    made = {p.name for p in tmp_path.iterdir()}
    assert {"look", "run", "predictions.csv", "arrays.csv", "pictures.csv"} <= made
    assert "typo" not in made
    header = (tmp_path / "predictions.csv").read_text().splitlines()[0]
    assert header == "index,age,bmi,prediction"
    assert len((tmp_path / "pictures.csv").read_text().splitlines()) == 401
    assert os.path.exists(tmp_path / "run" / "report" / "report.html")
