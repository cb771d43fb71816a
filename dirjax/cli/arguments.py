"""Command lines of the commands that work on finished runs."""

from __future__ import annotations

import argparse
import os
import pathlib
from typing import NoReturn

from dirjax.errors import InputError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are sentences, with `--workdir`, `--step`, `--debug`.

    Args:
      command: what follows `dirjax.`.
      description: one sentence.
    """

    def __init__(self, command: str, description: str):
        super().__init__(prog=f"python -m dirjax.{command}", description=description)
        self.add_argument(
            "--workdir", type=pathlib.Path, required=True, help="directory of a run"
        )
        self.add_argument("--step", default="best", help="best (default), last or N")
        self.add_argument("--debug", action="store_true", help="show tracebacks")

    def error(self, message: str) -> NoReturn:
        """Raises InputError."""
        raise InputError(f"{message}. See {self.prog} --help.")


def check_output(file: pathlib.Path) -> None:
    """Refuses a file that cannot be written, before the work is done.

    Raises:
      InputError: saying why.
    """
    if file.is_dir():
        raise InputError(f"--output must be a file, {file} is a folder.")
    if not file.parent.is_dir():
        raise InputError(
            f"the folder of --output must exist, {file.parent} does not. Make it first."
        )
    if not os.access(file.parent, os.W_OK):
        raise InputError(
            f"the folder of --output must be one you may write to, {file.parent} is "
            "not. Choose another."
        )
