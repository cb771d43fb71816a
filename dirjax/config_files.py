"""Finds config files, here or in the installed package, and reads flags with them."""

from __future__ import annotations

import importlib.resources
import importlib.util
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from dirjax.cli import InputError


def find(path: str) -> str:
    """`configs/NAME.py[:ARGUMENT]` -> a file that exists, with the argument.

    A path that does not exist from here, but does in the package, means the
    package's: an installed dirjax finds its configs from any folder.

    Raises:
      InputError: if there is none.
    """
    name, colon, argument = path.partition(":")
    if pathlib.Path(name).is_file():
        return path
    parts = pathlib.PurePath(name).parts
    package = importlib.resources.files("dirjax.configs")
    if parts[:1] == ("configs",):
        file = pathlib.Path(str(package.joinpath(*parts[1:])))
        if file.is_file():
            return f"{file}{colon}{argument}"
    known = sorted(
        f"configs/{f.name}"
        for f in pathlib.Path(str(package)).glob("*.py")
        if f.stem not in ("__init__", "common", "methods")
    )
    raise InputError(
        f"--config must be a file, {name} does not exist. Those that come with dirjax: "
        f"{', '.join(known)}."
    )


def load(path: str, argument: str) -> Any:
    """The config of a file: what its `get_config(argument)` returns.

    Raises:
      InputError: if there is no such file, or it refuses the argument.
    """
    file = find(path)
    spec = importlib.util.spec_from_file_location("dirjax_config", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return module.get_config(argument)
    except ValueError as error:
        raise InputError(f"{path}:{argument}: {error}") from error


def parse(argv: Sequence[str], name: str) -> None:
    """Parses flags, of which `--name` is a config file.

    Args:
      argv: the program's name and its arguments.
      name: the flag, "config".

    Raises:
      InputError: for an unknown flag or field, a wrong value, or a wrong argument
        after the colon.
    """
    args = list(argv)
    if {"--help", "-h"} & set(args):
        print(flags.FLAGS.main_module_help())
        sys.exit(0)
    for i, arg in enumerate(args):
        if arg.startswith(f"--{name}="):
            args[i] = f"--{name}=" + find(arg.partition("=")[2])
        elif arg == f"--{name}" and i + 1 < len(args):
            args[i + 1] = find(args[i + 1])
    try:
        rest = flags.FLAGS(args)
    except Exception as error:  # a config file is the user's code and may raise all
        if isinstance(error, (AttributeError, KeyError)):
            # A name and perhaps a hint, with the quotes of one or two reprs.
            parts = re.split(r"\\n|\n", str(error.args[0]))
            missing, *hint = (part.strip("'\"\\") for part in parts)
            if missing.isidentifier():
                raise InputError(
                    f"the config has no field {' '.join([f'{missing}.', *hint])} Its "
                    "fields are those of configs/common.py and of its preset."
                ) from error
        # ml_collections wraps what a config file raises in its traceback.
        text = str(error).strip().splitlines()[-1]
        for kind in ("ValueError: ", "TypeError: ", "KeyError: "):
            text = text.removeprefix(kind)
        raise InputError(f"{text.strip()}") from error
    if len(rest) > 1:
        raise InputError(f"unknown argument {rest[1]!r}. Flags begin with --.")


def require(flag: flags.FlagHolder) -> Any:
    """The value of a flag that must be given.

    Raises:
      InputError: if it was not.
    """
    if not flag.value:
        raise InputError(f"--{flag.name} is missing. Give it, see --help.")
    return flag.value
