"""The folder that a user brings along for a builder."""

from __future__ import annotations

import pathlib
from typing import Any

from dirjax.errors import InputError


def folder(title: str, get: str, dl_manager: Any) -> pathlib.Path:
    """The folder of `--manual_dir`.

    Args:
      title: name of the benchmark.
      get: where to get it.
      dl_manager: of TensorFlow Datasets.

    Raises:
      InputError: if it is missing or empty.
    """
    try:
        return pathlib.Path(dl_manager.manual_dir)
    except AssertionError as error:
        raise InputError(
            f"{title} is not to be downloaded by machines, and --manual_dir names no "
            f"folder with it. {get}."
        ) from error
