"""A directory that another run uses, or that cannot be written, is refused."""

import errno
import fcntl
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

from dirjax.errors import Failed, InputError
from dirjax.workdir import files, lock
from dirjax.workdir.lock import Lock
from tests import runs

pytestmark = pytest.mark.faults


@pytest.fixture
def made():
    return runs.tiny("vanilla,smoke", train__chunk=1)


def snapshot(folder):
    """Content and time of everything in a folder."""
    return {
        str(f): (f.lstat().st_mtime_ns, f.is_file() and f.read_bytes())
        for f in (folder, *folder.rglob("*"))
    }


class TestInUse:
    def test_a_run_that_goes_on_is_named_and_left_alone(self, made, tmp_path):
        workdir = tmp_path / "run"
        with Lock(workdir):
            (workdir / "metrics.jsonl").write_text("{}\n")
            before = snapshot(tmp_path)
            with pytest.raises(InputError) as raised:
                runs.run(made, workdir)
            assert snapshot(tmp_path) == before
        said = str(raised.value)
        for word in (str(workdir), f"process {os.getpid()}", socket.gethostname()):
            assert word in said
        assert "Wait until that run ends, stop it, or give another --workdir." in said

    def test_it_is_free_afterwards_and_nothing_is_left(self, tmp_path):
        with Lock(tmp_path):
            assert (tmp_path / ".lock").exists()
        assert not list(tmp_path.iterdir())

    def test_it_is_free_after_an_error(self, tmp_path):
        with pytest.raises(KeyError), Lock(tmp_path):
            raise KeyError
        with Lock(tmp_path):
            pass

    def test_a_killed_run_does_not_lock(self, tmp_path):
        holds = (
            "import pathlib, sys, time; from dirjax.workdir.lock import Lock\n"
            "with Lock(pathlib.Path(sys.argv[1])): print('locked', flush=True); "
            "time.sleep(60)"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", holds, tmp_path], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with (
            pytest.raises(InputError, match=f"process {process.pid} on"),
            Lock(tmp_path),
        ):
            pass
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert (tmp_path / ".lock").exists()
        with Lock(tmp_path):
            owner = json.loads((tmp_path / ".lock").read_text())
            assert owner == {"pid": os.getpid(), "host": socket.gethostname()}

    def test_a_file_removed_between_opening_and_locking(self, tmp_path, monkeypatch):
        """The run before ends just then; a lock on a removed file is worth nothing."""
        flock = fcntl.flock
        removed = []

        def late(handle, operation):
            if not removed:
                removed.append((tmp_path / ".lock").unlink())
            flock(handle, operation)

        monkeypatch.setattr(fcntl, "flock", late)
        with Lock(tmp_path):
            with pytest.raises(InputError, match="in use"), Lock(tmp_path):
                pass
            assert (tmp_path / ".lock").exists()
        assert removed

    @pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
    def test_file_systems_without_locks(self, tmp_path, monkeypatch, number):
        def refuse(handle, operation):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", refuse)
        with Lock(tmp_path), Lock(tmp_path):
            assert not list(tmp_path.iterdir())

    def test_systems_without_locks(self, tmp_path, monkeypatch):
        monkeypatch.setattr(lock, "fcntl", None)
        with Lock(tmp_path), Lock(tmp_path):
            assert not list(tmp_path.iterdir())

    def test_an_empty_lock_file(self, tmp_path):
        """Another process has it and has not said who it is yet."""
        with (tmp_path / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(InputError, match="by another process"), Lock(tmp_path):
                pass


class TestTemporaryFiles:
    def test_what_a_killed_run_left_is_removed_and_nothing_else(self, tmp_path):
        others = [".result.json.123", ".a.123.tmp", "x.1.dirjax-tmp", "metrics.jsonl"]
        for name in (*others, ".result.json.123.dirjax-tmp", ".p.npz.7.dirjax-tmp"):
            (tmp_path / name).write_text("x")
        with Lock(tmp_path):
            names = {f.name for f in tmp_path.iterdir()}
            assert names == {*others, ".lock"}

    def test_those_of_a_target_too(self, tmp_path):
        folder = tmp_path / "targets" / "0-height"
        folder.mkdir(parents=True)
        (folder / ".result.json.123.dirjax-tmp").write_text("x")
        with Lock(tmp_path):
            assert not any(folder.iterdir())

    def test_they_have_that_form(self, tmp_path):
        with files.whole(tmp_path / "result.json"):
            (file,) = tmp_path.iterdir()
            with Lock(tmp_path):
                assert not file.exists()
            file.touch()

    def test_those_of_a_run_that_goes_on_stay(self, tmp_path):
        with Lock(tmp_path):
            (tmp_path / ".result.json.123.dirjax-tmp").write_text("x")
            with pytest.raises(InputError), Lock(tmp_path):
                pass
            assert (tmp_path / ".result.json.123.dirjax-tmp").exists()


class TestUnwritable:
    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("file/run", "Not a directory"),
            ("file", "is a file"),
            ("n" * 300, "File name too long"),
            (f"new/{'n' * 300}", "File name too long"),
            (f"new/{'n' * 300}/run", "File name too long"),
            ("/proc/nowhere/run", "No such file or directory"),
            ("link", "File exists"),
        ],
    )
    def test_it_is_one_sentence_and_nothing_is_made(self, made, tmp_path, path, said):
        (tmp_path / "file").write_text("mine")
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        before = snapshot(tmp_path)
        with pytest.raises(InputError, match=said) as raised:
            runs.run(made, tmp_path / path)
        assert str(path) in str(raised.value)
        after = snapshot(tmp_path)
        assert after.keys() == before.keys()
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.parametrize("name", ["", "run", "new/run"])
    def test_without_permission(self, made, tmp_path, name):
        folder = tmp_path / "locked"
        folder.mkdir()
        folder.chmod(0o500)
        if os.access(folder, os.W_OK):
            pytest.skip("root may write anywhere")
        with pytest.raises(InputError, match="Permission denied"):
            runs.run(made, folder / name)
        assert not list(folder.iterdir())

    def test_that_may_not_be_entered(self, made, tmp_path):
        folder = tmp_path / "locked"
        (folder / "run").mkdir(parents=True)
        folder.chmod(0o000)
        try:
            if os.access(folder, os.X_OK):
                pytest.skip("root may go anywhere")
            with pytest.raises(InputError, match="Permission denied"):
                runs.run(made, folder / "run")
        finally:
            folder.chmod(0o700)

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
    def test_a_directory_that_refuses_the_lock(
        self, made, tmp_path, monkeypatch, number
    ):
        def refuse(path, *args):
            raise OSError(number, os.strerror(number), path)

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(InputError, match=os.strerror(number)):
            runs.run(made, tmp_path / "new" / "run")
        assert not list(tmp_path.iterdir())

    def test_a_full_disk_is_not_wrong_input(self, made, tmp_path, monkeypatch):
        def refuse(path, *args, **kwargs):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

        monkeypatch.setattr(pathlib.Path, "mkdir", refuse)
        with pytest.raises(Failed, match=r"No space left on device\. Free some space"):
            runs.run(made, tmp_path / "new" / "run")

    def test_wrong_data_make_no_directory(self, tmp_path):
        made = runs.tiny("vanilla,smoke", data__path="no.csv")
        with pytest.raises(InputError, match=r"no\.csv"):
            runs.run(made, tmp_path / "new" / "run")
        assert not list(tmp_path.iterdir())
