"""Command lines of commands that work on existing runs."""

from __future__ import annotations

import argparse
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NoReturn

from dirjax.cli import usage
from dirjax.errors import InputError, local_path
from dirjax.ops import densities


class Format(argparse.RawDescriptionHelpFormatter):
    """Wraps descriptions, and leaves the examples below as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


class LocalPath(argparse.Action):
    """Takes a path or several on this machine, see `errors.local_path`.

    It is no `type`: argparse hides the message of an error in one.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Stores the path, or the list of them."""
        name = option_string or str(self.metavar)
        several = isinstance(values, list)
        found = [local_path(name, x) for x in (values if several else [values])]
        setattr(namespace, self.dest, found if several else found[0])


class Raising(argparse.ArgumentParser):
    """A parser that raises InputError instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        """Raises InputError."""
        raise InputError(f"{message}. See {self.prog} --help.")


class Parser(Raising):
    """A parser with `--workdir`, `--step` and `--debug` that raises InputError.

    Args:
      command: what follows `dirjax.`.
      description: one sentence.
      examples: command lines, for `--help`.

    Attributes:
      required: the group of flags that must be given.
    """

    def __init__(self, command: str, description: str, examples: Sequence[str]):
        super().__init__(
            prog=f"python -m dirjax.{command}",
            description=f"{description} Runs of every method and data set will do: "
            "python -m dirjax.main --help lists them.",
            epilog=usage.examples(examples),
            formatter_class=Format,
        )
        self.required = self.add_argument_group("required flags")
        self.required.add_argument(
            "--workdir", action=LocalPath, required=True, help="directory of a run"
        )
        self.add_argument("--step", default="best", help="best (default), last or N")
        self.add_argument("--debug", action="store_true", help="show tracebacks")


def add_on_bad(parser: Parser, rows: str, skipped: str) -> None:
    """Adds `--on_bad`.

    Args:
      parser: of the command.
      rows: what may be unusable, for the help.
      skipped: what `skip` does, for the help.
    """
    parser.add_argument(
        "--on_bad",
        default="error",
        choices=("error", "skip"),
        help=f"{rows}: stop (default), or {skipped}",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """Adds `--data`, for commands that read the data of a run."""
    parser.add_argument(
        "--data",
        action=LocalPath,
        metavar="PATH",
        help="where the data of the run is now, if it has moved; its content is "
        "checked",
    )


def add_prior(parser: argparse.ArgumentParser, targets: Sequence[str]) -> None:
    """Adds `--prior` and `--decode`; see `prior`.

    Args:
      parser: of the command.
      targets: label distributions with a name.
    """
    parser.add_argument(
        "--prior",
        metavar=f"{{{','.join(targets)},FILE}}",
        help="the label distribution that predictions are for: as in training, uniform "
        "over the range of labels, or that of the labels in a file; default: "
        "config.prior of the run",
    )
    parser.add_argument(
        "--decode",
        choices=densities.DECODES,
        help="which value of the corrected distribution is predicted",
    )


def prior(options: argparse.Namespace, tau: float | None = None) -> dict[str, Any]:
    """The fields of `config.prior` that were given.

    Args:
      options: parsed.
      tau: strength, None if not given.

    Raises:
      InputError: if tau is not from 0 to 1.
    """
    if tau is not None and not 0 <= tau <= 1:
        raise InputError(f"--tau must be from 0 to 1, got {tau:g}.")
    given = {"target": options.prior, "decode": options.decode, "tau": tau}
    return {k: v for k, v in given.items() if v is not None}


def coverage(given: float | None) -> float | None:
    """The nominal coverage of intervals.

    Raises:
      InputError: if it is not between 0 and 1.
    """
    if given is not None and not 0 < given < 1:
        raise InputError(
            f"--interval must be a share between 0 and 1, such as 0.9, got {given:g}."
        )
    return given


def shares(flag: str, given: str | None) -> tuple[float, ...]:
    """Numbers from 0 to 1 that were given with commas between; none without the flag.

    Raises:
      InputError: if one is not.

    Example:
      >>> shares("--tau", "0,0.5")
      (0.0, 0.5)
    """
    try:
        found = tuple(float(x) for x in given.split(",")) if given else ()
    except ValueError:
        found = (math.nan,)
    if not all(0 <= x <= 1 for x in found):
        raise InputError(
            f"{flag} must be numbers from 0 to 1 with commas between, got {given!r}. "
            f"Write it like {flag} 0,0.5,1."
        )
    return found


def check_output(file: pathlib.Path) -> None:
    """Checks before the work that an output file can be written.

    Raises:
      InputError: with the reason.
    """
    if file.is_dir():
        raise InputError(f"--output must be a file, {file} is a folder.")
    if not file.parent.is_dir():
        raise InputError(
            f"the folder of --output must exist, {file.parent} does not. Create it "
            "first."
        )
    if not os.access(file.parent, os.W_OK):
        raise InputError(
            f"the folder of --output must be writable, {file.parent} is not. Choose "
            "another."
        )
