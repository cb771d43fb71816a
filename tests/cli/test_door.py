"""The door: commands by name, help, version, Ctrl-C, unread output, search path."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

import dirjax
from dirjax import __main__ as door
from dirjax import (
    choose,
    describe,
    evaluate,
    export,
    main,
    noise,
    predict,
    report,
    sweep,
)
from dirjax.cli import entry
from dirjax.cli import status as status_lib
from dirjax.config import compose
from dirjax.configs import methods
from tests.test_rooms import COMMANDS

ROOT = pathlib.Path(__file__).resolve().parents[2]
OF_CONFIGS = {"choose": choose, "main": main, "sweep": sweep, "describe": describe}


def python(*args, **kwargs):
    options = {"capture_output": True, "text": True, "timeout": 120} | kwargs
    return subprocess.run([sys.executable, *args], check=False, **options)


def test_every_command_has_a_door():
    assert set(door.COMMANDS) == {*COMMANDS, "report"}


def test_the_package_lists_its_commands():
    done = python("-m", "dirjax")
    assert done.returncode == 0
    for name, said in door.COMMANDS.items():
        assert name in done.stdout
        assert said.split(":")[0] in " ".join(done.stdout.split())


@pytest.mark.parametrize("words", [["--version"], ["predict", "--version"]])
def test_the_version(capsys, monkeypatch, words):
    monkeypatch.setattr(entry, "begin", lambda: None)
    monkeypatch.setattr(sys, "argv", ["dirjax", *words])
    assert door.main() == 0
    assert capsys.readouterr().out == f"dirjax {dirjax.__version__}\n"


def test_an_unknown_command(capsys):
    assert status_lib.run(door._run, ["prdict"]) == 2
    assert "unknown command 'prdict'. Did you mean 'predict'?" in capsys.readouterr()[1]


def test_a_command_by_name_is_its_module():
    done = python("-m", "dirjax", "report", "no_such_folder")
    assert done.returncode == 2
    assert done.stderr == python("-m", "dirjax.report", "no_such_folder").stderr


def help_of(name, capsys):
    if name in OF_CONFIGS:
        return OF_CONFIGS[name].help_text()
    run = {"evaluate": evaluate._main, "predict": predict._main, "noise": noise._main}
    run |= {"export": export._main}
    with pytest.raises(SystemExit):
        run.get(name, report._main)(["--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(door.COMMANDS))
def test_help_tells_flags_and_examples(name, capsys):
    text = help_of(name, capsys)
    assert text.startswith(f"usage: python -m dirjax.{name} ")
    shown = re.findall(rf"^  python -m dirjax\.{name} -?-?\w.*$", text, re.MULTILINE)
    assert len(shown) in (2, 3)
    required = {"predict": ("--workdir", "--input", "--output"), "report": ("RUN",)}
    required |= dict.fromkeys(("main", "sweep", "choose"), ("--config", "--workdir"))
    required |= {"describe": ("--config",), "export": ("--workdir", "--output")}
    for flag in required.get(name, ("--workdir",)):
        assert re.search(rf"^  {flag}\b", text, re.MULTILINE), flag
    assert "required" in text
    assert "--debug" in text


@pytest.mark.parametrize("name", sorted(OF_CONFIGS))
def test_help_asks_the_registries(name):
    text = OF_CONFIGS[name].help_text()
    words = set(re.findall(r"[\w/.=]+", text))
    files = {f"configs/{f.name}" for f in (ROOT / "configs").glob("*.py")}
    files -= {f"configs/{n}.py" for n in ("__init__", "common", "methods")}
    assert {*methods.PRESETS, *compose.OPTIONS, *files} <= words
    assert "Not shipped" in text  # What a data set is, from its own file.


def test_help_of_a_study_lists_studies():
    assert "configs/studies/baselines.py" in sweep.help_text()


class TestUnread:
    """`dirjax.describe ... | head -1` ends without a traceback."""

    def test_a_command_whose_output_nobody_reads(self, tmp_path):
        code = (
            "import sys; from dirjax.cli import status\n"
            "sys.exit(status.run(lambda argv: print('line\\n' * 100_000), []))"
        )
        done = subprocess.run(
            [
                "bash",
                "-c",
                f'{sys.executable} -c "$0" | head -1; echo $PIPESTATUS',
                code,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == ["line", "141"]
        assert done.stderr == ""

    def test_another_broken_pipe_raises(self, capsys):
        def work(argv):
            raise BrokenPipeError(32, "gone")

        with pytest.raises(BrokenPipeError):
            status_lib.run(work, [])

    @pytest.mark.slow
    def test_describe(self, tmp_path):
        command = f"{sys.executable} -m dirjax.describe --config configs/bikeshare.py"
        done = subprocess.run(
            ["bash", "-c", f"{command} --output {tmp_path} | head -1"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == "bikeshare: 8,645 rows\n"
        assert done.stderr == ""
        assert (tmp_path / "describe.json").exists()


def interrupted(seconds, *args):
    running = subprocess.Popen(
        [sys.executable, *args], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    time.sleep(seconds)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    return running.returncode, said.decode()


ENDED = (130, f"dirjax: {entry.INTERRUPTED}\n")


def test_ctrl_c_once_a_command_has_begun():
    code = """
import time
from dirjax.cli import entry
entry.begin()
print("begun", flush=True)
time.sleep(60)
"""
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "begun\n"
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == ENDED


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 0.5, 0.9, 1.5, 2.2, 3.0])
def test_ctrl_c_at_any_time(seconds, tmp_path):
    config = "--config=configs/bikeshare.py:vanilla"
    words = ("-m", "dirjax.main", config, f"--workdir={tmp_path / 'run'}")
    code, said = interrupted(seconds, *words)
    # How long imports take depends on the machine; a quick one trains by then.
    saved = r"dirjax: stopped after step \d+, which is saved\. To go on: python .*\n"
    assert (code, said) == ENDED or (code == 130 and re.fullmatch(saved, said)), said


class TestPath:
    """The current folder comes last: its files hide no module of Python."""

    def test_python_m(self, tmp_path):
        (tmp_path / "csv.py").write_text("raise RuntimeError('hides csv')")
        (tmp_path / "mine.py").write_text("VALUE = 3")
        (tmp_path / "dotted_path.txt").touch()
        command = "-m", "dirjax", "predict", "--help"
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = python(*command, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr

    def test_a_console_script(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", ["/venv/bin", "/venv/lib"])
        monkeypatch.setattr(signal, "signal", lambda *args: None)
        entry.begin()
        assert sys.path == ["/venv/bin", "/venv/lib", str(tmp_path)]

    def test_first_becomes_last(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", [str(tmp_path), "/venv/lib"])
        monkeypatch.setattr(signal, "signal", lambda *args: None)
        entry.begin()
        assert sys.path == ["/venv/lib", str(tmp_path)]

    @pytest.mark.parametrize(
        ("argv", "words", "is_one"),
        [
            (["-m"], ["python", "-m", "dirjax.main", "--config"], True),
            (["-m"], ["python", "-X", "dev", "-m", "dirjax"], True),
            (["-m"], ["python", "-m", "pytest"], False),
            (["-m"], ["python", "-m", "mine.tool", "-m", "dirjax"], False),
            (["script.py"], ["python", "script.py", "-m", "dirjax"], False),
        ],
    )
    def test_an_import_changes_nothing(self, monkeypatch, argv, words, is_one):
        monkeypatch.setattr(sys, "argv", argv)
        monkeypatch.setattr(sys, "orig_argv", words)
        assert entry.is_command("dirjax") is is_one

    @pytest.mark.slow
    def test_a_copy_of_the_config_for_tables_runs(self, tmp_path):
        shutil.copy(ROOT / "configs" / "csv.py", tmp_path)
        rows = "\n".join(f"{i / 7:.3f},{i % 10}" for i in range(60))
        (tmp_path / "rows.csv").write_text(f"x,y\n{rows}\n")
        done = python(
            *("-m", "dirjax.main", "--config=csv.py:vanilla,smoke", "--workdir=run"),
            *("--config.model.encoder.width=8", "--config.model.encoder.depth=1"),
            *("--config.data.path=rows.csv", "--config.data.label=y"),
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("platform", ["cuda", "no_such_device"])
@pytest.mark.quick("no_such_device")
@pytest.mark.slow
def test_a_device_that_is_not_there_is_one_sentence(platform, tmp_path):
    done = python(
        *("-m", "dirjax.evaluate", "--workdir", str(tmp_path)),
        env=os.environ | {"JAX_PLATFORMS": platform},
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "JAX_PLATFORMS must name a kind of device" in line
    assert f"got '{platform}'" in line
    assert "JAX_PLATFORMS=cpu" in line
