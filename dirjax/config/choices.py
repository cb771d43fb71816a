"""What a command line may name, asked from where each is defined; for `--help`."""

from __future__ import annotations

from collections.abc import Sequence

from dirjax.cli import config_files, usage
from dirjax.config import compose


def sections(*, required: Sequence[str], flags: Sequence[str]) -> dict[str, str]:
    """The sections of `--help` of a command that takes a config.

    Args:
      required: names of the flags that must be given.
      flags: names of the others.
    """
    methods = config_files.module("methods")
    own = {
        f"{name}=PATH": f"{what}, by its dotted path"
        for name, what in compose.OWN.items()
    }
    return {
        "required flags": usage.rows(config_files.told(required)),
        "flags": usage.rows(
            config_files.told(flags)
            | {
                "--config.FIELD=VALUE": "sets a field of the config; configs/common.py "
                "lists all of them, lists are typed as a,b",
            }
        ),
        "methods": usage.names(methods.PRESETS),
        "options, after the method and a comma": usage.rows(
            dict(compose.OPTIONS) | own
        ),
        "data sets": usage.rows(config_files.shipped()),
    }


def studies(*, required: Sequence[str], flags: Sequence[str]) -> dict[str, str]:
    """The sections of `--help` of a command that takes a study."""
    found = sections(required=required, flags=flags)
    return {
        "required flags": found.pop("required flags"),
        "flags": found.pop("flags"),
        "studies": usage.rows(config_files.shipped("studies")),
        **found,
    }
