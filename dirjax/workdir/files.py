"""Atomic files: JSON and arrays appear under their name only when complete."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from dirjax.errors import InputError, writing

# .NAME.PID.dirjax-tmp: an incomplete file.
_TEMPORARY = re.compile(r"\..+\.\d+\.dirjax-tmp")


def clean(value: Any) -> Any:
    """Replaces NaN and infinity, which JSON cannot represent, by None.

    Example:
      >>> clean({"a": float("nan"), "b": [1.0]})
      {'a': None, 'b': [1.0]}
    """
    if isinstance(value, Mapping):
        return {k: clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def half(file: pathlib.Path) -> pathlib.Path:
    """Where this process writes a file until it is complete; see `remove_temporary`."""
    return file.with_name(f".{file.name}.{os.getpid()}.dirjax-tmp")


@contextlib.contextmanager
def whole(file: pathlib.Path) -> Iterator[BinaryIO]:
    """Opens a new file that gets its name only when it is completely on disk.

    Raises:
      Failed: if the file system refuses.
    """
    temporary = half(file)
    with writing(file):
        try:
            with temporary.open("wb") as opened:
                yield opened
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(temporary, file)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def make_output(folder: pathlib.Path) -> None:
    """Creates the folder of `--output`, before the work that fills it.

    Raises:
      InputError: if there cannot be one that can be written.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise InputError(
            f"--output must be a writable folder, {folder} is not. Choose another."
        )


def remove_temporary(folder: pathlib.Path) -> None:
    """Removes what `half` names in a folder, of a process that was killed."""
    for file in folder.iterdir():
        if _TEMPORARY.fullmatch(file.name):
            file.unlink(missing_ok=True)


def write_json(file: pathlib.Path, value: Any) -> None:
    """Writes a JSON file atomically."""
    text = json.dumps(clean(value), indent=1, allow_nan=False)
    with whole(file) as opened:
        opened.write(f"{text}\n".encode())


def write_npz(file: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an npz file atomically."""
    with whole(file) as opened:
        np.savez(opened, allow_pickle=False, **arrays)
