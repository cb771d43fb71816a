"""A run that is stopped in every way ends as one that is not, number for number."""

import random
import signal
import time

import pytest

from dirjax.cli.entry import INTERRUPTED
from tests import runs
from tests.faults import harness

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def workdir(whole, tmp_path_factory):
    """The directory of the run that the tests of this file stop, in their order.

    Each of them may be left out: a signal of each kind is in the default suite, all
    moments are with those that are slow.
    """
    return tmp_path_factory.mktemp("stopped") / "run"


def stop(workdir, moment, number, **kwargs):
    """Goes on with a run until a moment: status, output, errors."""
    process = harness.Process(harness.METHOD, workdir, **kwargs)
    process.wait_for(moment)
    process.send(number)
    return process.end()


@pytest.mark.slow
def test_killed_while_it_starts(workdir):
    assert stop(workdir, "starting", signal.SIGKILL)[0] == -signal.SIGKILL


@pytest.mark.slow
def test_interrupted_while_it_starts(workdir):
    status, _, errors = stop(workdir, "starting", signal.SIGINT)
    assert (status, errors) == (130, f"dirjax: {INTERRUPTED}\n")


@pytest.mark.slow
def test_killed_while_it_trains(workdir):
    assert stop(workdir, "training", signal.SIGKILL)[0] == -signal.SIGKILL


@pytest.mark.slow
def test_terminated_while_it_saves(workdir):
    status, _, errors = stop(workdir, "saving_slowly", signal.SIGTERM, save_seconds=0.5)
    assert status == 143, errors
    (line,) = errors.splitlines()
    step = int(line.removeprefix("dirjax: stopped after step ").split(",")[0])
    assert step < 36
    assert (workdir / "checkpoints" / str(step)).is_dir()


@pytest.mark.slow
def test_interrupted_once(workdir):
    status, _, errors = stop(workdir, "training", signal.SIGINT)
    assert status == 130, errors
    (line,) = errors.splitlines()
    assert "which is saved. To go on" in line


def stop_twice(workdir, number):
    """Sends a signal in a save that takes very long, and once more."""
    process = harness.Process(harness.METHOD, workdir, save_seconds=100)
    process.wait_for("saving_slowly")
    process.send(number)
    time.sleep(1.0)  # The system makes one of two equal signals that wait.
    process.send(number)
    began = time.monotonic()
    status, _, errors = process.end()
    assert time.monotonic() - began < 5
    return status, errors


@pytest.mark.slow
def test_interrupted_twice_ends_at_once(workdir):
    assert stop_twice(workdir, signal.SIGINT) == (130, f"dirjax: {INTERRUPTED}\n")


@pytest.mark.slow
def test_terminated_twice_ends_at_once(workdir):
    assert stop_twice(workdir, signal.SIGTERM) == (-signal.SIGTERM, "")


@pytest.mark.slow
def test_killed_while_it_saves(workdir):
    assert stop(workdir, "saving", signal.SIGKILL)[0] == -signal.SIGKILL


@pytest.mark.slow
def test_killed_in_the_second_stage(workdir):
    assert stop(workdir, "in_the_second_stage", signal.SIGKILL)[0] == -signal.SIGKILL


@pytest.mark.slow
def test_killed_before_the_result(workdir):
    assert stop(workdir, "evaluating", signal.SIGKILL)[0] == -signal.SIGKILL
    assert not (workdir / "result.json").exists()


@pytest.mark.slow
def test_killed_before_the_report(workdir):
    assert stop(workdir, "reporting", signal.SIGKILL)[0] == -signal.SIGKILL
    status, out, errors = harness.Process(harness.METHOD, workdir).end()
    assert (status, errors) == (0, "")
    steps = runs.result(workdir)["steps"]
    assert f"{workdir} is finished after {steps} steps." in out


@pytest.mark.slow
def test_the_end(workdir, whole):
    """The same command ends the run; nothing of the stops is left."""
    status, _, errors = harness.Process(harness.METHOD, workdir).end()
    assert (status, errors) == (0, "")
    assert harness.outcome(workdir) == whole[0]
    assert harness.evaluations(workdir) == whole[1]
    assert (workdir / "report" / "report.html").exists()
    names = [f.name for f in workdir.rglob("*") if "tmp" in f.name]
    assert not names
    assert not any((workdir / "checkpoints").glob("damaged*"))


MOMENTS = ("starting", "training", "saving", "in_the_second_stage", "evaluating")


@pytest.mark.slow
@pytest.mark.parametrize("method", harness.STEPS)
def test_random_kills(method, tmp_path):
    """Seven at random moments: a stretch after the start, or one of those named above.

    With all methods there are twenty.
    """
    draw = random.Random(method)
    whole = harness.whole(method, tmp_path / "whole")
    workdir, kills = tmp_path / "run-0", 0
    while kills < 7:
        process = harness.Process(method, workdir)
        if draw.random() < 0.5:
            pause = time.monotonic() + draw.uniform(0.0, 5.0)
            process.wait_until(lambda pause=pause: time.monotonic() > pause)
        else:
            process.wait_for(draw.choice(MOMENTS))
            time.sleep(draw.uniform(0.0, 0.1))
        process.send(signal.SIGKILL)
        status, _, errors = process.end()
        assert status in (0, -signal.SIGKILL), errors
        kills += status != 0
        if status == 0 or (workdir / "result.json").exists():
            assert harness.outcome(workdir) == whole
            workdir = tmp_path / f"run-{kills}"
    status, _, errors = harness.Process(method, workdir).end()
    assert (status, errors) == (0, "")
    assert harness.outcome(workdir) == whole
