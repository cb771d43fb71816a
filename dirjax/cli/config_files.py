"""Flags that commands share, and config files, local or in the package."""

from __future__ import annotations

import ast
import csv
import difflib
import importlib
import importlib.resources
import importlib.util
import pathlib
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from dirjax.errors import InputError, local_path

# The configs that come with dirjax.
PACKAGE = "dirjax.configs"
_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "FILE.py[:ARGUMENT]: a config, as configs/bikeshare.py:fds; your own file, or one "
    "that comes with dirjax.",
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string("workdir", None, "The directory of the run or study.")
_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of an input error.")


# Files in configs/ that are no config of their own.
_PARTS = ("__init__", "common", "methods")


def shipped(folder: str = "") -> dict[str, str]:
    """Configs that come with dirjax: `configs/NAME.py` -> what it is, in a line.

    Args:
      folder: a folder of configs, such as "studies".
    """
    package = importlib.resources.files(PACKAGE)
    files = pathlib.Path(str(package.joinpath(folder))).glob("*.py")
    said = {}
    for file in sorted(f for f in files if f.stem not in _PARTS):
        doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        name = pathlib.PurePosixPath("configs", folder, file.name)
        said[str(name)] = doc.partition("\n\n")[0].replace("\n", " ")
    return said


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether a command line asks for help."""
    return bool({"--help", "-h"} & set(argv[1:]))


def told(names: Sequence[str]) -> dict[str, str]:
    """`--NAME` -> the help of a flag."""
    return {f"--{name}": str(flags.FLAGS[name].help) for name in names}


def module(name: str) -> Any:
    """A module of the configs that come with dirjax, such as `common`.

    They build on the package and are installed beside it, so it asks for them by name.
    """
    return importlib.import_module(f"{PACKAGE}.{name}")


def find(path: str) -> str:
    """`configs/NAME.py[:ARGUMENT]` -> a file that exists, with the argument.

    A path that does not exist here but in the package means the file in the package, so
    an installed dirjax finds its configs from any folder.

    Raises:
      InputError: if there is none.
    """
    local_path("--config", path)
    name, colon, argument = path.partition(":")
    if pathlib.Path(name).is_file():
        return path
    parts = pathlib.PurePath(name).parts
    package = importlib.resources.files(PACKAGE)
    if parts[:1] == ("configs",):
        file = pathlib.Path(str(package.joinpath(*parts[1:])))
        if file.is_file():
            return f"{file}{colon}{argument}"
    known = shipped()
    close = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise InputError(
        f"--config must be a file, {name} does not exist.{hint} Files that come with "
        f"dirjax: {', '.join(known)}."
    )


def load(path: str, argument: str | None = None) -> Any:
    """The config of a file: what its `get_config(argument)` returns.

    Args:
      path: the file, without an argument behind a colon.
      argument: None for that of the file's own default.

    Raises:
      InputError: if there is no such file, or it rejects the argument.
    """
    file = find(path)
    spec = importlib.util.spec_from_file_location("dirjax_config", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return module.get_config(*([] if argument is None else [argument]))
    except ValueError as error:
        raise InputError(f"{path}:{argument}: {error}") from error


def close(path: str, known: Sequence[str], most: int = 3) -> list[str]:
    """The known paths that were probably meant by an unknown one, best first.

    Looks in all branches for the last name, then for its abbreviation, then for names
    spelt alike; neighbours of the given path come first.

    Args:
      path: dotted path, as typed.
      known: all dotted paths.
      most: number of paths to return.

    Example:
      >>> known = ["seed", "stage.main.epochs", "stage.main.learning_rate"]
      >>> close("epochs", known), close("lr", known), close("stage.main.epoch", known)
      (['stage.main.epochs'], ['stage.main.learning_rate'], ['stage.main.epochs'])
    """
    branch, _, name = path.rpartition(".")

    def likeness(other: str) -> float:
        last = other.rpartition(".")[2]
        if last == name:
            return 3.0
        if len(name) > 1 and "".join(w[:1] for w in last.split("_")) == name:
            return 2.0
        alike = difflib.SequenceMatcher(None, name, last).ratio()
        return alike if alike >= 0.75 else 0.0

    def rank(other: str) -> tuple[float, bool, float]:
        beside = other.rpartition(".")[0] == branch
        whole = difflib.SequenceMatcher(None, path, other).ratio()
        return likeness(other), beside, whole

    ranks = {other: rank(other) for other in known if likeness(other)}
    best = int(max(ranks.values(), default=(0.0,))[0])
    alike = [p for p in ranks if ranks[p][0] >= best]
    alike = [p for p in alike if ranks[p][1]] or alike
    return sorted(alike, key=ranks.__getitem__, reverse=True)[:most]


def _paths(config: Any, prefix: str = "") -> Iterator[str]:
    """Dotted paths of all fields, branches included."""
    for name in config:
        yield f"{prefix}{name}"
        value = config[name]
        if isinstance(value, ConfigDict):
            yield from _paths(value, f"{prefix}{name}.")


def _type_of(config: Any, path: str) -> type:
    *branches, name = path.split(".")
    for branch in branches:
        config = config[branch]
    return config.get_type(name)


_NAMED = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "True or False",
    tuple: "a tuple",
}


def assign(config: Any, field: str, value: Any, file: str) -> None:
    """Sets a field of a config in place.

    Args:
      config: from `load`.
      field: dotted path.
      value: of the type of the field.
      file: where the config comes from, for messages.

    Raises:
      InputError: for a field that the config lacks, or a value of another type.
    """
    known = list(_paths(config))
    if field not in known:
        found = close(field, known)
        meant = f" Did you mean {' or '.join(found)}?" if found else ""
        raise InputError(
            f"{file} has no field {field}, which is set to {value!r}.{meant} Its "
            "fields are those of configs/common.py and of its preset."
        )
    try:
        config.update_from_flattened_dict({field: value})
    except (KeyError, AttributeError, TypeError) as error:
        kind = _type_of(config, field)
        raise InputError(
            f"{field} of {file} must be {_NAMED.get(kind, 'a group of fields')}, "
            f"got {value!r}."
        ) from error


_FIELD = re.compile(r"--?config\.([\w.]+)(=.*)?", re.DOTALL)


def _own(args: Sequence[str]) -> Any:
    """The config that arguments name, before they change it; None if it fails."""
    for arg, after in zip(args, [*args[1:], ""], strict=True):
        if arg in ("--config", "-config") or arg.startswith("--config="):
            path = after if "=" not in arg else arg.partition("=")[2]
            name, colon, argument = path.partition(":")
            try:
                return load(name, argument if colon else None)
            except Exception:  # user code; parsing the flags tells what is wrong
                return None
    return None


def _fitted(args: Sequence[str], config: Any) -> list[str]:
    """Arguments with lists in the form that ml_collections reads.

    Args:
      args: the arguments of a command.
      config: the config that they change.

    Raises:
      InputError: for a field that the config lacks.
    """
    made, known = list(args), list(_paths(config))
    for i, arg in enumerate(args):
        field = _FIELD.fullmatch(arg)
        if field is None:
            continue
        path, value = field[1], field[2]
        if path not in known:
            value = value if value is not None else "=VALUE"
            raise InputError(
                f"the config has no field {path}.{_meant(path, known, value)} Its "
                "fields are those of configs/common.py and of its preset."
            )
        if _type_of(config, path) is not tuple:
            continue
        if value is not None:
            made[i] = f"--config.{path}={_listed(value[1:])}"
        elif i + 1 < len(args):
            made[i + 1] = _listed(args[i + 1])
    return made


def _meant(path: str, known: Sequence[str], value: str) -> str:
    """` Did you mean --config.FIELD=VALUE?`, as it can be typed."""
    found = [shlex.quote(f"--config.{p}{value}") for p in close(path, known)]
    return f" Did you mean {' or '.join(found)}?" if found else ""


def given() -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """What the command line says, after `parse`.

    Returns:
      The config file; the options behind its method; and the fields that were set.
    """
    flag = flags.FLAGS["config"]
    file, _, argument = config_flags.get_config_filename(flag).partition(":")
    return file, tuple(argument.split(",")[1:]), config_flags.get_override_values(flag)


def _listed(text: str) -> str:
    """`a,my column` -> `('a', 'my column')`; a Python literal stays as it is."""
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        (parts,) = csv.reader([text], skipinitialspace=True)
        return repr(tuple(part.strip() for part in parts))
    return text


def parse(argv: Sequence[str], workdir: bool = True) -> tuple[Any, pathlib.Path]:
    """Parses the flags of a command.

    Args:
      argv: the program's name and its arguments.
      workdir: whether the command needs `--workdir`.

    Returns:
      The config (a ConfigDict) of `--config`, and the directory of `--workdir`; "."
      without one.

    Raises:
      InputError: for an unknown or missing flag, an unknown field, a wrong value, or
        a wrong argument after the colon.
    """
    args = list(argv)
    for i, arg in enumerate(args):
        if arg.startswith("--config="):
            args[i] = "--config=" + find(arg.partition("=")[2])
        elif arg == "--config" and i + 1 < len(args):
            args[i + 1] = find(args[i + 1])
    config = _own(args)
    try:
        rest = flags.FLAGS(args if config is None else _fitted(args, config))
    except InputError:
        raise
    except Exception as error:  # a config file is user code and may raise anything
        if isinstance(error, (AttributeError, KeyError)):
            # A name and perhaps a hint, in the quotes of one or two reprs.
            parts = re.split(r"\\n|\n", str(error.args[0]))
            missing, *hint = (part.strip("'\"\\") for part in parts)
            if missing.isidentifier():
                raise InputError(
                    f"the config has no field {' '.join([f'{missing}.', *hint])} Its "
                    "fields are those of configs/common.py and of its preset."
                ) from error
        # ml_collections puts the error of a config file into a traceback text.
        silent = f"--config raises {type(error).__name__}; --debug shows where."
        *_, text = silent, *str(error).strip().splitlines()
        for kind in ("dirjax.errors.InputError", "ValueError", "TypeError", "KeyError"):
            text = text.removeprefix(f"{kind}: ")
        raise InputError(f"{text.strip()}") from error
    if len(rest) > 1:
        raise InputError(f"unknown argument {rest[1]!r}. Flags begin with --.")
    for flag in (_CONFIG, _WORKDIR):
        if not flag.value and (workdir or flag is _CONFIG):
            raise InputError(f"--{flag.name} is missing. Give it, see --help.")
    return _CONFIG.value, local_path("--workdir", _WORKDIR.value or ".")
