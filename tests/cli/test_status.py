"""Exit statuses and signals, as the contract has them."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from dirjax import errors
from dirjax.cli import status as status_lib
from dirjax.cli.entry import INTERRUPTED
from dirjax.runtime import interrupts as interrupts_lib


def raising(error):
    def main(argv):
        raise error

    return main


class TestRun:
    def test_arguments_are_passed_on(self):
        seen = []
        assert status_lib.run(seen.append, ["a", "b"]) == 0
        assert seen == [["a", "b"]]

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (errors.InputError("x must be 1, got 2."), 2),
            (errors.Failed("x must be 1, got 2."), 1),
            (errors.Stopped("x must be 1, got 2."), 143),
            (errors.Stopped("x must be 1, got 2.", signal.SIGTERM), 143),
            (errors.Stopped("x must be 1, got 2.", signal.SIGINT), 130),
        ],
    )
    def test_status_and_one_sentence(self, capsys, error, status):
        assert status_lib.run(raising(error), []) == status
        out, err = capsys.readouterr()
        assert out == ""
        (line,) = err.splitlines()
        assert line.endswith("x must be 1, got 2.")

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
    def test_a_full_disk_is_one_sentence(self, capsys, number):
        error = OSError(number, os.strerror(number), "some/file")
        assert status_lib.run(raising(error), []) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("dirjax: some/file could not be written")
        assert os.strerror(number) in line
        assert "run the same command again" in line

    def test_a_keyboard_interrupt_ends_at_once(self, capsys, monkeypatch):
        """Without waiting for threads; the status is that of a signal."""
        left = []
        monkeypatch.setattr(os, "_exit", left.append)
        monkeypatch.setattr(signal, "signal", lambda *args: None)
        status_lib.run(raising(KeyboardInterrupt()), [])
        assert left == [130]
        assert capsys.readouterr().err == f"dirjax: {INTERRUPTED}\n"

    @pytest.mark.parametrize(
        "error",
        [
            ValueError("ours"),
            KeyError("k"),
            OSError(),
            FileNotFoundError(errno.ENOENT, "no"),
            BrokenPipeError(errno.EPIPE, "gone"),
        ],
    )
    def test_anything_else_raises(self, error):
        with pytest.raises(type(error)):
            status_lib.run(raising(error), [])

    @pytest.mark.parametrize(
        "error",
        [
            errors.InputError("wrong"),
            errors.Failed("wrong"),
            OSError(errno.ENOSPC, "wrong"),
            KeyboardInterrupt("wrong"),
        ],
    )
    def test_debug_shows_the_traceback(self, error):
        with pytest.raises(type(error), match="wrong"):
            status_lib.run(raising(error), [], debug=True)

    def test_wrong_input_is_a_value_error(self):
        assert issubclass(errors.InputError, ValueError)


class TestWriting:
    FILE = pathlib.Path("metrics.jsonl")

    @pytest.mark.parametrize(
        ("number", "remedy"),
        [
            (errno.ENOSPC, "Free some space"),
            (errno.EDQUOT, "Free some space"),
            (errno.EFBIG, "Free some space"),
            (errno.EIO, "See to the file system"),
            (errno.EROFS, "See to the file system"),
        ],
    )
    def test_why_and_what_to_do(self, number, remedy):
        with pytest.raises(errors.Failed) as raised, errors.writing(self.FILE):
            raise OSError(number, os.strerror(number))
        assert str(raised.value) == (
            f"metrics.jsonl could not be written: {os.strerror(number)}. {remedy} and "
            "run the same command again."
        )

    @pytest.mark.parametrize(
        "error", [BrokenPipeError(errno.EPIPE, "gone"), ValueError("x"), OSError("x")]
    )
    def test_other_errors_stay(self, error):
        with pytest.raises(type(error)), errors.writing(self.FILE):
            raise error

    def test_the_cause_in_a_text(self):
        """TensorStore has no errno."""
        text = "RESOURCE_EXHAUSTED: Failed to write: No space left on device [...'28']"
        assert errors.cause(ValueError(text)) == errno.ENOSPC
        assert errors.cause(ValueError("Out of memory")) == 0
        assert errors.cause(OSError(errno.ENOENT, "x")) == 0

    def test_the_cause_behind_another_error(self):
        later = RuntimeError("DEADLINE_EXCEEDED: Barrier timed out")
        later.__context__ = ValueError("Failed to write: File too large")
        assert errors.cause(later) == errno.EFBIG


@pytest.fixture
def caught():
    """Signals that reach the handlers from before."""
    seen = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {n: signal.signal(n, lambda n, frame: seen.append(n)) for n in numbers}
    yield seen
    for number, handler in before.items():
        signal.signal(number, handler)


class TestInterrupts:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_the_first_signal_is_noted(self, caught, number):
        with interrupts_lib.Interrupts() as interrupts:
            assert interrupts.received == 0
            os.kill(os.getpid(), number)
            assert interrupts.received == number
        assert caught == []

    def test_the_second_acts_as_it_would_without_us(self, caught):
        with interrupts_lib.Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupts.received == signal.SIGTERM
        assert caught == [signal.SIGTERM]

    def test_another_kind_is_a_first_again(self, caught):
        with interrupts_lib.Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupts.received == signal.SIGINT
        assert caught == []

    def test_handlers_come_back(self, caught):
        before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
        with interrupts_lib.Interrupts():
            os.kill(os.getpid(), signal.SIGINT)
        assert before == [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
        os.kill(os.getpid(), signal.SIGTERM)
        assert caught == [signal.SIGTERM]

    def test_handlers_come_back_after_an_error(self, caught):
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(RuntimeError), interrupts_lib.Interrupts():
            raise RuntimeError
        assert signal.getsignal(signal.SIGTERM) is before

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_stopping_carries_the_signal(self, caught, number):
        with interrupts_lib.Interrupts() as interrupts:
            os.kill(os.getpid(), number)
            with pytest.raises(errors.Stopped, match="saved") as raised:
                interrupts.stop("saved")
        assert raised.value.signal == number

    def test_stopping_without_a_signal_is_a_preemption(self):
        with pytest.raises(errors.Stopped) as raised:
            interrupts_lib.Interrupts().stop("saved")
        assert raised.value.signal == signal.SIGTERM

    def test_other_threads_do_without(self):
        seen = []

        def work():
            with interrupts_lib.Interrupts() as interrupts:
                seen.append(interrupts.received)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert seen == [0]


def dirjax(*args):
    return subprocess.run(
        [sys.executable, "-m", "dirjax.main", *args],
        capture_output=True,
        text=True,
        check=False,
    )


class TestMain:
    def test_wrong_input_is_status_2_and_one_sentence(self, tmp_path):
        done = dirjax("--config=configs/bikeshare.py:ldss", f"--workdir={tmp_path}/r")
        assert done.returncode == 2
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert "Did you mean 'lds'?" in line
        assert not (tmp_path / "r").exists()

    @pytest.mark.parametrize(
        ("args", "missing"),
        [
            (["--workdir=x"], "--config"),
            (["--config=configs/bikeshare.py"], "--workdir"),
        ],
    )
    def test_a_missing_flag_is_named(self, args, missing):
        done = dirjax(*args)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert missing in line

    def test_debug_gives_the_traceback(self):
        done = dirjax("--config=configs/bikeshare.py:ldss", "--workdir=x", "--debug")
        assert done.returncode not in (0, 2)
        assert "Traceback" in done.stderr

    def test_help(self):
        done = dirjax("--help")
        assert done.returncode == 0
        assert "--workdir" in done.stdout
