"""The text of `--help`, of all commands in one form."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

_WIDTH = 80


def _row(name: str, said: str) -> str:
    """`  NAME     what is said`, wrapped; a long name has its own line."""
    lines = textwrap.wrap(said, _WIDTH - 24, break_on_hyphens=False) or [""]
    head = f"  {name:<20}  "
    if len(name) > 20:
        head, lines = f"  {name}", ["", *lines]
    return "\n".join([head + lines[0], *(" " * 24 + line for line in lines[1:])])


def rows(table: Mapping[str, str]) -> str:
    """Names and what they are, one below the other.

    Example:
      >>> print(rows({"--seed": "seed of the run"}))
        --seed                seed of the run
    """
    return "\n".join(_row(name, said) for name, said in table.items())


def names(found: Iterable[str]) -> str:
    """Names, as many to a line as fit."""
    return textwrap.fill(
        ", ".join(found),
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="  ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def examples(commands: Sequence[str]) -> str:
    """The section of examples, one command a line."""
    return "\n".join(["examples:", *(f"  {command}" for command in commands)])


def text(
    line: str,
    description: str,
    sections: Mapping[str, str],
    commands: Sequence[str],
) -> str:
    """The text of `--help`.

    Args:
      line: the command line, after `usage: `.
      description: what the command does.
      sections: title -> body, from `rows` or `names`.
      commands: examples.
    """
    parts = [f"usage: {line}", textwrap.fill(description, _WIDTH)]
    parts += [f"{title}:\n{body}" for title, body in sections.items()]
    return "\n\n".join([*parts, examples(commands)])
