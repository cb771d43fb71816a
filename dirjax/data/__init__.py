"""Data: sources in host memory, step-indexed streams, preprocessing."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from dirjax.data import catalog, readers, resampled, targets
from dirjax.data.label_rules import Rules
from dirjax.data.sources import Source, Split
from dirjax.data.stream import Stream, eval_batches, stored
from dirjax.errors import InputError

__all__ = [
    "Rules",
    "Source",
    "Split",
    "Stream",
    "eval_batches",
    "from_config",
    "locate",
    "stored",
]

_COLUMNS = ("numeric", "categorical", "drop", "missing")


def locate(config: Mapping[str, Any]) -> pathlib.Path | None:
    """The path of a config's data; None for data that needs no file.

    Args:
      config: the fields of `config.data`, plain.

    Raises:
      InputError: if it is missing; the message says where to get it.
    """
    rule = readers.path_rule(readers.find(config["kind"]))
    if rule == "none":
        if config["path"]:
            raise InputError(
                f"data.path must be empty for {config['name']}, which is generated, "
                f"got {config['path']!r}. Leave it out."
            )
        return None
    if rule == "optional" and not config["path"]:
        return None
    return catalog.locate(config["name"], config["path"])


def check_one_label(config: Mapping[str, Any], what: str) -> None:
    """Checks that a config names one label, for what is about one.

    Args:
      config: the fields of `config.data`, plain and validated.
      what: what is about one label, such as "choosing a method".

    Raises:
      InputError: if it names several, or as `from_config`.
    """
    # The data tells a list of names from a name with a comma.
    several = getattr(readers.find(config["kind"]), "TARGETS", "")
    if several == "columns" or "," in (config["label"] or ""):
        refuse_targets(from_config(config), what)


def refuse_targets(source: Source, what: str) -> None:
    """Refuses data with several labels; see `check_one_label`."""
    names = [one.record["label"] for one in source.targets]
    if names:
        raise InputError(
            f"{what} is for one label, data.label names {len(names)} "
            f"({', '.join(names)}). Name one, and leave out the others with "
            f"--config.data.drop={names[-1]}."
        )


def from_config(config: Mapping[str, Any]) -> Source:
    """Loads the data of a config.

    Args:
      config: the fields of `config.data`, plain and validated.

    Returns:
      The source.

    Raises:
      InputError: if the data is missing or invalid.
    """
    fields = {f.name for f in dataclasses.fields(Rules)}
    rules = Rules(**{k: v for k, v in config.items() if k in fields})
    if not rules.shot_lists:
        rules = dataclasses.replace(rules, shot_lists=None)
    reader = readers.find(config["kind"])
    load, several = reader.load, getattr(reader, "TARGETS", "")
    if not several:
        targets.check_single(rules)
    options = readers.fields(load, config)
    for field in _COLUMNS:
        if field in options:
            options[field] = tuple(map(str, options[field] or ()))
    if len(options.get("missing", ())) == 1:
        options["missing"] = tuple(options["missing"][0].split(","))
    try:
        source = load(config["name"], locate(config), rules, **options)
    except InputError as error:
        if several or "," not in rules.label:
            raise
        raise InputError(
            f"{error} Several labels are for tables, images and arrays."
        ) from error
    return resampled.from_config(config.get("resample") or {}, source)
