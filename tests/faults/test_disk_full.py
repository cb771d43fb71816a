"""A disk that is full: one sentence, and what was saved serves when there is space."""

import contextlib
import errno
import os
import pathlib
import re
import resource
import shutil
import subprocess

import pytest

from dirjax import report, train
from dirjax.errors import Failed
from dirjax.workdir import run_files, writers
from dirjax.workdir.checkpoints import Checkpoints
from tests import runs
from tests.faults import disks, harness

pytestmark = pytest.mark.faults


def limit_files(pid, size):
    """Lets a process write so many bytes to a file: past them it gets EFBIG."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
def test_a_run_whose_disk_fills_goes_on_when_there_is_space(whole, tmp_path):
    workdir = tmp_path / "run"
    saved = workdir / "checkpoints"
    process = harness.Process(harness.METHOD, workdir)
    process.wait_until(lambda: any(saved.glob("[0-9]*[0-9]")))
    # Room for the log so far, not for the description of a checkpoint (22 kB).
    limit_files(process.pid, 20_000)
    status, _, errors = process.end()
    assert status == 1, errors
    (line,) = errors.splitlines()
    found = re.fullmatch(
        r"dirjax: the checkpoint at step (\d+) in \S+ could not be written: File too "
        r"large\. The checkpoint at step (\d+) is valid\. Free some space and run the "
        r"same command again\.",
        line,
    )
    assert found, line
    lost, valid = map(int, found.groups())
    assert lost > valid
    assert (saved / str(valid)).is_dir()
    assert not (saved / str(lost)).exists()

    status, _, errors = harness.Process(harness.METHOD, workdir).end()
    assert (status, errors) == (0, "")
    assert harness.outcome(workdir) == whole[0]


def is_named(name):
    return lambda *args, **kwargs: pathlib.Path(args[0]).name == name


PLACES = {
    "metrics.jsonl": (writers.Jsonl, "write", lambda self, record: record["step"] == 4),
    "predictions.npz": (run_files, "write_npz", is_named("predictions.npz")),
    "result.json": (run_files, "write_json", is_named("result.json")),
    "report": (report, "show", lambda workdir: True),
}


@pytest.fixture
def undisturbed(tiny_run):
    """Its stretches are two steps long, which does not matter."""
    return runs.result(tiny_run)


@pytest.mark.parametrize(
    "name",
    [
        "result.json",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in PLACES
            if n != "result.json"
        ),
    ],
)
def test_every_file_of_a_run(name, tiny_run, tmp_path, monkeypatch):
    undisturbed = runs.result(tiny_run)
    owner, function, here = PLACES[name]
    write = getattr(owner, function)

    def wrapped(*args, **kwargs):
        with disks.full() if here(*args, **kwargs) else contextlib.nullcontext():
            return write(*args, **kwargs)

    if name == "metrics.jsonl":
        # No save goes on in the background while the disk is full for it alone.
        made = runs.tiny("vanilla,smoke", train__chunk=1, checkpoint__every=0.0)
    else:
        # The end of a run is enough.
        made = runs.tiny("vanilla,smoke")
        shutil.copytree(tiny_run, tmp_path, dirs_exist_ok=True)
        for written in ("predictions.npz", "result.json"):
            (tmp_path / written).unlink()
    show = "all" if name == "report" else "nothing"
    with monkeypatch.context() as patch:
        patch.setattr(owner, function, wrapped)
        said = rf"{re.escape(name)} could not be written: .*\. Free some space and run"
        with pytest.raises(Failed, match=said):
            train.train_and_evaluate(made, tmp_path, show=show)
    assert not list(tmp_path.glob(".*"))
    again = train.train_and_evaluate(made, tmp_path, show=show)
    assert (again["test"], again["val"]) == (undisturbed["test"], undisturbed["val"])
    assert (tmp_path / "report" / "report.html").exists() == (show == "all")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    mount = shutil.which("mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [mount, "-t", "tmpfs", "-o", "size=1m", "dirjax", folder]
    if not mount or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting is not permitted")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_is_really_full(small_disk, undisturbed):
    """ENOSPC, in a save."""
    made = runs.tiny("vanilla,smoke", train__chunk=1)
    ballast = small_disk / "ballast"
    save = Checkpoints.save

    def filling(self, step, *args, **kwargs):
        if step == 6:
            self.wait()
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1000))
        save(self, step, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", filling)
        said = rf"step 6 .*: {os.strerror(errno.ENOSPC)}\. The checkpoint at step 3"
        with pytest.raises(Failed, match=said):
            runs.run(made, small_disk / "run")
    ballast.unlink()
    assert runs.run(made, small_disk / "run")["test"] == undisturbed["test"]
