"""Reads new rows in the same way as training rows."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dirjax.data import readers
from dirjax.errors import InputError


def pieces(
    path: pathlib.Path,
    data: Mapping[str, Any],
    record: Mapping[str, Any],
    *,
    on_bad: str = "error",
    keep: Sequence[str] = (),
) -> Iterator[readers.Piece]:
    """Reads new rows in the same way as the model's training rows.

    Args:
      path: a table, an NPZ file, or a folder of images, whatever the run's reader
        takes.
      data: the fields of `config.data` of the run.
      record: data record of the run, see `sources.Source`.
      on_bad: "error" or "skip" for unusable rows.
      keep: columns of a table to repeat in the output.

    Returns:
      Chunks of rows, in order.

    Raises:
      InputError: if the input does not fit the model, or a row is invalid.
    """
    if not path.exists():
        raise InputError(f"--input must exist, {path} does not. Check the path.")
    read_new = readers.find(data["kind"]).read_new
    fields = readers.fields(read_new, data)
    fields |= {"on_bad": on_bad, "keep": keep}
    return read_new(path, record, **fields)
