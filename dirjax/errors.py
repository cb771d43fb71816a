"""Exceptions of dirjax, what raises them, and messages for file system errors."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import shlex
import signal
from collections.abc import Iterator, Sequence
from typing import Any


class InputError(ValueError):
    """The user's input is wrong; the message says what to do. Exit status 2."""


def require_field(ok: bool, field: str, expected: str, value: Any) -> None:
    """Raises an error if a config field has an invalid value.

    Args:
      ok: whether the value is valid.
      field: its path below `config`.
      expected: the valid values, in words.
      value: the value given.

    Raises:
      InputError: if not `ok`.
    """
    if not ok:
        raise InputError(
            f"config.{field} must be {expected}, got {value!r}. Set it with "
            f"--config.{field}=VALUE."
        )


# pathlib makes gs:/b of gs://b. One letter is a drive of Windows.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(name: str, path: str | os.PathLike[str]) -> pathlib.Path:
    """A path that a user names, with `~` as the home folder.

    Args:
      name: what names it, for the message, such as `--workdir`.
      path: what came.

    Raises:
      InputError: for a URL such as gs://bucket/run. A run needs files that can be
        locked, renamed and appended to, which buckets do not have; and a path of that
        name would be a local folder `gs:`.

    Example:
      >>> local_path("--workdir", "runs/a").as_posix()
      'runs/a'
    """
    if _URL.match(os.fspath(path)):
        raise InputError(
            f"{name} must be a path on this machine, {os.fspath(path)} is a URL. Mount "
            "the bucket, for example with gcsfuse or as a volume, and give the folder."
        )
    return pathlib.Path(path).expanduser()


def setting(field: str, *names: str) -> str:
    """The argument that sets a field to a list of names, quoted for the shell.

    Example:
      >>> print(setting("data.drop", "id", "my column"))
      '--config.data.drop=id,my column'
    """
    value = ",".join(names)
    if any(set(name) & set(",'\"()[]") or name != name.strip() for name in names):
        value = repr(names)
    return shlex.quote(f"--config.{field}={value}")


class Stopped(Exception):
    """The run was asked to stop and has saved its state.

    Attributes:
      signal: number of the signal; the exit status is 128 more.
    """

    def __init__(self, message: str, number: int = signal.SIGTERM):
        super().__init__(message)
        self.signal = number


class Failed(RuntimeError):
    """The run cannot continue; the message is for the user. Exit status 1."""


class Diverged(Failed):
    """Training gives numbers that are not finite, and would again."""


# Errors of a full file system, and of a failing one.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


STORAGE = (*FULL, errno.EIO, errno.EROFS, errno.ESTALE, errno.EACCES, errno.EPERM)


def cause(error: BaseException, numbers: Sequence[int] = STORAGE) -> int:
    """The number of the operating system's error behind an exception, or 0.

    TensorStore reports it only in the text of a ValueError, and with several processes
    Orbax raises another error while it waits for the others.

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
    """The error for what could not be written: what, why, and what to do."""
    remedy = "Free some space" if number in FULL else "See to the file system"
    return Failed(
        f"{what} could not be written: {os.strerror(number)}.{more} {remedy} and run "
        "the same command again."
    )


@contextlib.contextmanager
def writing(what: pathlib.Path) -> Iterator[None]:
    """Turns a file system error into a readable message.

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
