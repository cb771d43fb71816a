"""Reads new rows in the same way as training rows."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dirjax.data import readers, sources
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
    try:
        read_new = readers.find(data["kind"]).read_new
    except ValueError as error:
        raise InputError(str(error)) from error
    fields = readers.fields(read_new, data)
    fields |= {"on_bad": on_bad, "keep": keep}
    for piece in read_new(path, record, **fields):
        _check_like_training(piece.inputs, record, path)
        yield piece


def _check_like_training(
    inputs: Any, record: Mapping[str, Any], path: pathlib.Path
) -> None:
    """Inputs must be finite, and of the shapes that the model was trained with."""
    sources.refuse_infinite(inputs, path)
    shapes = sources.row_shapes(inputs)
    wanted = record.get("shapes", shapes)
    if {k: tuple(v) for k, v in wanted.items()} != shapes:
        raise InputError(
            f"rows of {path} must have the shapes of training, {dict(wanted)}, they "
            f"have {shapes}. Prepare them as in training."
        )
