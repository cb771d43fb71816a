"""The fields a config may have: one that nobody reads is a typing error."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dirjax.cli import config_files
from dirjax.data import readers
from dirjax.errors import InputError

# Fields that presets add, see `compose.finish`; their makers check what is below.
_BY_PRESETS = ("objective", "groups", "support", "phases")
_OF_STAGES = ("evaluate",)
# What `augment.depth` reads.
_OF_DATA = ("augment_dense",)


def check(config: Mapping[str, Any]) -> None:
    """Checks that a config has no field that nothing reads.

    Args:
      config: plain values. Below `config.data`, fields are those of `configs/common.py`
        and the parameters of the reader of `data.kind`.

    Raises:
      InputError: naming the field, and the one that was probably meant.
    """
    every = config_files.module("common").get_config().to_dict()
    stage = {**every["stage"]["main"], **dict.fromkeys(_OF_STAGES)}
    stages = dict.fromkeys(config.get("stage", {}), stage)
    known = {**dict.fromkeys(_BY_PRESETS), **every, "stage": stages}
    more = {*_OF_DATA, *_of_reader(config.get("data", {}))}
    known["data"] = {**dict.fromkeys(more), **every["data"]}
    for path in _unknown(config, known):
        close = config_files.close(path, list(_paths(known)))
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise InputError(
            f"the config has a field that nothing reads, {path}.{hint} Fields are "
            "those of configs/common.py; a reader of your own adds its parameters."
        )


def _of_reader(data: Mapping[str, Any]) -> Collection[str]:
    """Fields of `config.data` that its reader takes."""
    try:
        reader = readers.find(data["kind"])
    except (KeyError, ValueError):
        return ()  # `validation` tells which kinds there are.
    return readers.takes(reader.load) | readers.takes(reader.read_new)


def _unknown(
    config: Mapping[str, Any], known: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    """Paths that `known` lacks; below an empty table or a value any are fine."""
    for name, value in config.items():
        if name not in known:
            yield f"{prefix}{name}"
            continue
        below = known[name]
        if isinstance(value, Mapping) and isinstance(below, Mapping) and below:
            yield from _unknown(value, below, f"{prefix}{name}.")


def _paths(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{name}.")
