"""What every command shares: wrong input is one sentence and exit status 2."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn


class InputError(ValueError):
    """The user's input is wrong; the message says what to do. Exit status 2."""


class Stopped(Exception):
    """The run was asked to stop and has saved its state.

    Attributes:
      signal: number of the signal; the exit status is 128 more.
    """

    def __init__(self, message: str, number: int = signal.SIGTERM):
        super().__init__(message)
        self.signal = number


class Failed(RuntimeError):
    """The run cannot go on; the message is for the user. Exit status 1."""


# What a file system answers when it is full, and when it does not work.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
STORAGE = (*FULL, errno.EIO, errno.EROFS, errno.ESTALE, errno.EACCES, errno.EPERM)


def cause(error: BaseException, numbers: Sequence[int] = STORAGE) -> int:
    """The number of the operating system's error behind an exception, or 0.

    TensorStore passes such an error on as the text of a ValueError, and with several
    processes Orbax raises another one while it waits for the others.

    Args:
      error: the exception.
      numbers: which errors to look for.

    Example:
      >>> cause(OSError(errno.ENOSPC, "full")) == errno.ENOSPC
      True
    """
    seen: BaseException | None = error
    while seen is not None:
        number = getattr(seen, "errno", None) or 0
        if number in numbers:
            return number
        for number in numbers:
            if os.strerror(number) in str(seen):
                return number
        seen = seen.__context__
    return 0


def unsaved(what: object, number: int, more: str = "") -> Failed:
    """The error that says what could not be written, why, and what to do."""
    remedy = "Free some space" if number in FULL else "See to the file system"
    return Failed(
        f"{what} could not be written: {os.strerror(number)}.{more} {remedy} and give "
        "the same command again."
    )


@contextlib.contextmanager
def writing(what: pathlib.Path) -> Iterator[None]:
    """Makes a sentence of an error of the file system.

    Raises:
      Failed: if the disk is full, cannot be written, or is broken.
    """
    try:
        yield
    except OSError as error:
        number = cause(error)
        if not number:
            raise
        raise unsaved(what, number) from error


class Interrupts:
    """Notes SIGTERM and SIGINT, so that the loop can save before it stops.

    A second signal of the same kind acts as it would without us. With several
    processes signals are left to JAX, which agrees with all of them on a step.

    Attributes:
      received: number of the first signal, or 0.
    """

    def __init__(self):
        self.received = 0
        self._before: dict[int, Any] = {}

    def _note(self, number: int, frame: Any) -> None:
        del frame
        self.received = self.received or number
        signal.signal(number, self._before[number])

    def __enter__(self) -> Interrupts:
        import jax

        # Handlers can be set in the main thread only.
        main = threading.current_thread() is threading.main_thread()
        if main and jax.process_count() == 1:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stop(self, message: str) -> NoReturn:
        """Raises `Stopped`."""
        raise Stopped(message, self.received or signal.SIGTERM)


def run(
    main: Callable[[Sequence[str]], None], argv: Sequence[str], debug: bool = False
) -> int:
    """Calls `main(argv)` and turns what it raises into an exit status.

    Args:
      main: the command.
      argv: arguments, without the program's name.
      debug: let a wrong input raise, with its traceback.

    Returns:
      0 done, 1 a run or a disk that fails, 2 wrong input, 128 + signal if the run was
      stopped after a checkpoint (143 for SIGTERM). Anything else raises, which Python
      turns into exit status 1. After a keyboard interrupt the process ends at once,
      with status 130.

    Example:
      >>> run(lambda argv: None, [])
      0
    """
    try:
        main(argv)
    except InputError as error:
        if debug:
            raise
        print(f"dirjax: {error}", file=sys.stderr)
        return 2
    except Failed as error:
        if debug:
            raise
        print(f"dirjax: {error}", file=sys.stderr)
        return 1
    except Stopped as error:
        print(f"dirjax: {error}", file=sys.stderr)
        return 128 + error.signal
    except OSError as error:
        number = cause(error, (*FULL, errno.EROFS))
        if debug or not number:
            raise
        print(f"dirjax: {unsaved(error.filename or 'a file', number)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if debug:
            raise
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("dirjax: interrupted", file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        # Threads that still write are not waited for: what is saved is whole.
        os._exit(128 + signal.SIGINT)
    return 0
