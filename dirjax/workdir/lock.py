"""A run directory belongs to one living run at a time.

`filelock` locks as well, but leaves its file behind, cannot say which process has the
directory, and waits or fails where a file system has no locks; the lines below do none
of this.
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

# What a file system without locks answers.
_NO_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS)


class InUse(InputError):
    """Another living run has the directory."""


class Lock:
    """Makes a directory and keeps other runs out of it.

    The system releases the lock when the process ends in any way, so that a file which
    a killed run left is no obstacle. With several processes the first one holds it.
    File systems without locks are used without.

    Args:
      workdir: the directory. One that was missing, and is empty in the end, is removed.

    Raises:
      InUse: on entering, if another run has the directory.
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
                f"{self._workdir} cannot be used; the first process says why."
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
            files.remove_temporary(self._workdir)

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
                # The run before may have removed the file after we had opened it.
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
        """Says whose lock it is; without space for it the lock holds all the same."""
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
