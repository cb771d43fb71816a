"""A checkpoint that the disk has damaged costs time and nothing else."""

import gc
import json
import pathlib
import shutil
import signal

import pytest

from dirjax import errors as errors_lib
from dirjax.training import stage_program
from dirjax.workdir.checkpoints import Checkpoints
from dirjax.workdir.lock import Lock
from tests import runs
from tests.faults.disks import DAMAGES, flip, largest
from tests.program.test_resume import stop_after

pytestmark = [
    pytest.mark.faults,
    # A restore that fails leaves Orbax's reading tasks behind.
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine"
    ),
]


@pytest.fixture(autouse=True)
def tasks():
    yield
    gc.collect()


@pytest.fixture(scope="module")
def made():
    """Evaluated at each step, saved at every third; the best is not the last.

    The learning rate grows.
    """
    fields = {"train__chunk": 1, "eval__every": 1 / 3, "checkpoint__every": 1.0}
    made = runs.tiny("rrt,smoke", **fields)
    for name, stage in made["stage"].items():
        steps = {"main": 12, "head": 6}[name]
        stage.update(steps=steps, learning_rate=0.03, schedule="step", factor=10.0)
    return made


def run_until(step, made, workdir):
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, step)
        with pytest.raises(errors_lib.Stopped):
            runs.run(made, workdir)


def outcome(result):
    return {name: result[name] for name in ("best_step", "steps", "test", "val")}


@pytest.fixture(scope="module")
def root(made, tmp_path_factory):
    """Holds a finished run and two that were stopped after so many steps."""
    root = tmp_path_factory.mktemp("runs")
    runs.run(made, root / "whole")
    run_until(8, made, root / "8")
    shutil.copytree(root / "8", root / "12")
    run_until(12, made, root / "12")
    return root


@pytest.fixture
def whole(root):
    return outcome(json.loads((root / "whole" / "result.json").read_text()))


@pytest.fixture
def copy(root, tmp_path):
    return lambda name: pathlib.Path(shutil.copytree(root / name, tmp_path / "run"))


def steps(workdir):
    """Steps that are saved, and the best."""
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        names = [f.name for f in (workdir / "checkpoints").iterdir()]
        best = checkpoints.best()
    assert best is not None
    return sorted(int(n) for n in names if n.isdigit()), best[0]


KINDS = ("arrays flipped", pytest.param("empty", marks=pytest.mark.slow))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_newest(kind, made, whole, copy, capsys):
    workdir = copy("8")
    *_, before, newest = steps(workdir)[0]
    DAMAGES[kind](workdir / "checkpoints" / str(newest))
    again = runs.run(made, workdir)
    assert outcome(again) == whole
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors == (
        f"dirjax: the checkpoint at step {newest} cannot be read; "
        f"the run resumes after step {before}.\n"
    )
    assert (workdir / "checkpoints" / f"damaged-{newest}").is_dir()


@pytest.mark.slow
def test_all_of_them(made, whole, copy, capsys):
    workdir = copy("8")
    for step in steps(workdir)[0]:
        flip(largest(workdir / "checkpoints" / str(step)))
    again = runs.run(made, workdir)
    assert outcome(again) == whole
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert lines[-1].endswith("cannot be read; the run starts over.")


@pytest.mark.slow
def test_the_best_at_the_end(made, whole, copy, capsys):
    workdir = copy("whole")
    saved, best = steps(workdir)
    assert best < saved[-1]
    (workdir / "result.json").unlink()
    flip(largest(workdir / "checkpoints" / str(best)))
    again = runs.run(made, workdir)
    assert outcome(again) == whole
    (line,) = capsys.readouterr().err.splitlines()
    assert f"the checkpoint at step {best} cannot be read" in line


@pytest.mark.slow
def test_the_best_where_the_next_stage_begins(made, whole, copy, capsys):
    """`init_from="best"`: the second stage needs the best state of the first."""
    workdir = copy("12")
    saved, best = steps(workdir)
    assert best < saved[-1] == 12
    flip(largest(workdir / "checkpoints" / str(best)))
    again = runs.run(made, workdir)
    assert outcome(again) == whole
    (line,) = capsys.readouterr().err.splitlines()
    assert f"the checkpoint at step {best} cannot be read" in line


@pytest.mark.slow
def test_one_step_back_over_the_start_of_a_stage(
    made, whole, copy, monkeypatch, capsys
):
    """The newest is of the second stage; the one before begins it, and needs the best
    of the first, though the second has a best of its own."""
    workdir = copy("12")
    _, best = steps(workdir)
    compile_stage = stage_program.compiled_steps

    def and_terminate(*arguments):
        signal.raise_signal(signal.SIGTERM)
        return compile_stage(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(stage_program, "compiled_steps", and_terminate)
        with pytest.raises(errors_lib.Stopped):
            runs.run(made, workdir)
    assert steps(workdir) == ([best, 12, 13], 13)
    flip(largest(workdir / "checkpoints" / "13"))
    again = runs.run(made, workdir)
    assert outcome(again) == whole
    assert capsys.readouterr().err.endswith("the run resumes after step 12.\n")
    assert not (workdir / "checkpoints" / "damaged-12").exists()


@pytest.mark.slow
def test_a_finished_run_needs_no_lock(made, whole, copy):
    workdir = copy("whole")
    assert not (workdir / ".lock").exists()
    with Lock(workdir):
        assert outcome(runs.run(made, workdir)) == whole


@pytest.mark.slow
def test_another_structure_is_not_damage(made, copy, monkeypatch):
    """Nothing is set aside when it is the code that has changed."""
    workdir = copy("8")
    before = sorted(f.name for f in (workdir / "checkpoints").iterdir())
    changed = {**made, "train": {**made["train"], "average_decay": 0.9}}
    monkeypatch.setattr("dirjax.config.frozen.check_same", lambda *args: None)
    with pytest.raises(
        errors_lib.InputError, match=r"step \d+ has different arrays .*average/"
    ):
        runs.run(changed, workdir)
    assert sorted(f.name for f in (workdir / "checkpoints").iterdir()) == before
