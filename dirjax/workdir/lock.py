"""A lock, so that only one live process uses a run directory.

We do not use `filelock`: it leaves its file behind, cannot say which process holds the
directory, and waits or fails on file systems without locks.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import socket
from typing import Any

import jax

from dirjax.errors import FULL, Failed, InputError, unsaved
from dirjax.runtime import sharding
from dirjax.workdir import files, run_files
from dirjax.workdir.run_files import unusable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# Errors of file systems without locks.
_NO_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS)


class InUse(InputError):
    """Another live process uses the directory."""


class Lock:
    """Creates a directory and keeps other runs out of it.

    The system releases the lock however the process ends, so the file of a killed run
    does not block the next one. With several processes the first one holds it. On file
    systems without locks, there is no protection.

    Args:
      workdir: the directory. If it was missing at first and is empty at the end, it is
        removed.

    Raises:
      InUse: on entering, if another run uses the directory.
      InputError: on entering, if it cannot be written.
      Failed: on entering, if the disk is full.
    """

    def __init__(self, workdir: pathlib.Path):
        self._workdir = workdir
        self._file = workdir / run_files.LOCK
        self._handle: int | None = None
        self._made: list[pathlib.Path] = []

    def __enter__(self) -> Lock:
        refused = None
        if jax.process_index() == 0:
            try:
                self._enter()
            except (InputError, Failed) as error:
                refused = error
        if not sharding.everywhere(refused is None):
            raise refused or InputError(
                f"{self._workdir} cannot be used; see the message of the first process."
            )
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()
            os.close(self._handle)
            self._handle = None
        self._remove_empty()

    def _enter(self) -> None:
        try:
            self._make_folders()
            self._handle = self._take()
        except OSError as error:
            self._remove_empty()
            if error.errno in FULL:
                raise unsaved(self._workdir, error.errno) from error
            raise unusable(self._workdir, error) from error
        if self._handle is not None:
            for folder in run_files.folders(self._workdir):
                files.remove_temporary(folder)

    def _make_folders(self) -> None:
        missing = [p for p in (self._workdir, *self._workdir.parents) if not p.exists()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self._made.append(folder)

    def _take(self) -> int | None:
        """The locked file, or None if the file system has no locks."""
        while True:
            with contextlib.ExitStack() as undo:
                handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
                undo.callback(os.close, handle)
                locked = _lock(handle)
                if locked is None:
                    self._file.unlink()
                    return None
                if not locked:
                    raise self._in_use(handle)
                # The previous run may have removed the file after we opened it.
                if self._is_current(handle):
                    self._sign(handle)
                    undo.pop_all()
                    return handle

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self._file))
        except FileNotFoundError:
            return False

    def _sign(self, handle: int) -> None:
        """Writes the owner into the lock file; the lock holds even on a full disk."""
        owner = {"pid": os.getpid(), "host": socket.gethostname()}
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(owner).encode(), 0)

    def _in_use(self, handle: int) -> InUse:
        try:
            owner = json.loads(os.pread(handle, 1000, 0))
            who = f"process {owner['pid']} on {owner['host']}"
        except (ValueError, KeyError, TypeError):
            who = "another process"
        return InUse(
            f"{self._workdir} is in use by {who}. Wait until that run ends, stop "
            "it, or give another --workdir."
        )

    def _remove_empty(self) -> None:
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._made = []


def _lock(handle: int) -> bool | None:
    """Takes the lock: False if another process has it, None if there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return True
