"""Commands in the documents: those of own-data.md run, the configs of all exist."""

import functools
import importlib.util
import operator
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from dirjax.cli import config_files
from dirjax.sweeping import jobs

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "own-data.md"
# docs/extending.md has files of its own, and a test that runs them.
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in (ROOT / "docs").glob("*.md") if p.stem != "extending"),
]
COMMAND = re.compile(r"^(python -m dirjax\.(?:.*\\\n)*.*)$", re.MULTILINE)
# In capitals: what the reader fills in.
FILLED = {"DATASET": "bikeshare", "METHOD": "vanilla"}
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


def commands():
    """`(page, words)` of each command of a document."""
    for page in PAGES:
        for text in COMMAND.findall(page.read_text()):
            yield page.name, shlex.split(text.replace("\\\n", " "), comments=True)


def test_the_commands_of_all_pages_have_modules_configs_and_fields():
    found = list(commands())
    assert len(found) > 30
    for page, (_, _, module, *words) in found:
        assert importlib.util.find_spec(module), (page, module)
        given = dict(w.split("=", 1) for w in words if w.startswith("--config."))
        if "--config" not in words:
            assert not given, (page, words)
            continue
        path = words[words.index("--config") + 1]
        for word, value in FILLED.items():
            path = path.replace(word, value)
        file, _, argument = path.partition(":")
        config = config_files.load(file, argument or None)
        for name in given:
            *folders, field = name.removeprefix("--config.").split(".")
            if "typo" not in words:
                table = functools.reduce(operator.getitem, folders, config)
                assert field in table, (page, name)
        if module == "dirjax.sweep" and not config.get("program"):
            for job in jobs.jobs(config.to_dict()):
                jobs.build(job)
                break


@pytest.mark.slow
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


def python_blocks(page):
    """Programs of a page; a block that is `continued` belongs to the one before."""
    programs = []
    for kind, content in re.findall(
        r"^```python( continued)?\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    ):
        if kind:
            programs[-1] += content
        else:
            programs.append(content)
    return programs


@pytest.mark.slow
def test_the_programs_of_the_python_page_run(tmp_path):
    page = (ROOT / "docs" / "python.md").read_text()
    # A choice takes minutes.
    page = re.sub(r"<!-- takes minutes -->\n```.*?^```$", "", page, flags=re.M | re.S)
    if not importlib.util.find_spec("optuna"):
        page = re.sub(
            r"<!-- needs optuna -->\n```.*?^```$", "", page, flags=re.M | re.S
        )
    programs = python_blocks(page)
    assert len(programs) == 3
    for program in programs:
        short = program.replace('method="beta_nll"', 'method="beta_nll,smoke"')
        done = subprocess.run(
            [sys.executable, "-c", "import dirjax\n" + short],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
