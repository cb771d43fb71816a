"""Readers: one module for each kind of data, looked up by name.

`config.data.kind` is the name of a module in this folder, or the dotted path of a
module of your own. A reader has

    load(name, path, rules, **fields) -> sources.Source
    read_new(path, record, *, on_bad, keep, **fields) -> Iterator[Piece]

`load` reads labelled data for training; `read_new` reads rows to predict and prepares
them according to the source's `record`. Both get as keywords those fields of
`config.data` that their signature names, and no others. If `read_new` takes `label`
(name of the label to read, too, or None), `dirjax.evaluate` can score a new file.
Optional members of a reader:

    TARGETS          "names" if `data.label` may name several labels, "columns" if one
                     name may stand for several, too; empty if a row has one
    PATH             "required" (also where it is missing), "optional" or "none", of
                     `data.path`
    check            (fields of config.data) -> None; refuses values before data is read
    describe_inputs  (source, dropped columns) -> facts, for `python -m dirjax.describe`
    inputs_text      (facts, rows) -> lines of text that say the same

The last two are asked of the reader that is named like the inputs, `record["kind"]`.
"""

from __future__ import annotations

import inspect
import pkgutil
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from dirjax import dotted

# The argument that skips bad rows of new data.
SKIP = "--on_bad skip"


class Piece(NamedTuple):
    """A chunk of rows to predict.

    Attributes:
      names: column -> `[rows]`, the columns that identify each row in the output.
      inputs: prepared inputs of the good rows.
      good: `[rows]` bool.
      value: `[good rows]` float64, their labels as the file has them; dense `[good
        rows, height, width]`, NaN where none counts; None if they were not asked for.
      surprises: kind -> column -> number of values that training rows did not have, see
        `TablePreprocessor.surprises`.
    """

    names: Mapping[str, Any]
    inputs: Any
    good: np.ndarray
    value: np.ndarray | None = None
    surprises: Mapping[str, Mapping[str, int]] = types.MappingProxyType({})


def kinds() -> tuple[str, ...]:
    """Names of the readers that come with dirjax.

    Example:
      >>> "table" in kinds()
      True
    """
    names = (m.name for m in pkgutil.iter_modules(__path__))
    return tuple(sorted(n for n in names if not n.startswith("_")))


def find(kind: str) -> Any:
    """Finds the reader for a kind of data.

    Args:
      kind: one of `kinds()`, or the dotted path of a module.

    Raises:
      ValueError: if it does not exist, or lacks `load` or `read_new`.
    """
    if "." not in kind and kind not in kinds():
        raise ValueError(
            f"data.kind must be one of {', '.join(kinds())}, or the dotted path of a "
            f"module of your own, got {kind!r}."
        )
    path = kind if "." in kind else f"{__name__}.{kind}"
    return dotted.find("data.kind", path, "load", "read_new")


def of_inputs(kind: str) -> Any:
    """The reader named like the inputs of a source, or None.

    Args:
      kind: `record["kind"]` of a source.
    """
    return find(kind) if kind in kinds() or "." in kind else None


def takes(function: Callable[..., Any]) -> frozenset[str]:
    """Names of the keyword parameters of a reader's function.

    Example:
      >>> sorted(takes(lambda path, *, size, channels=1: None))
      ['channels', 'size']
    """
    parameters = inspect.signature(function).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def fields(function: Callable[..., Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `config.data` that a reader's function takes."""
    wanted = takes(function)
    return {name: value for name, value in data.items() if name in wanted}


def path_rule(reader: Any) -> str:
    """Whether a reader needs `data.path`: "required", "optional" or "none"."""
    return getattr(reader, "PATH", "required")


def names_by_path(kind: str) -> bool:
    """Whether a data set without a name is named after its file."""
    reader = of_inputs(kind)
    return reader is not None and path_rule(reader) != "optional"
