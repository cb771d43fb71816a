"""Reads new rows in the same way as training rows."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dirjax.data import preprocess, readers, sources
from dirjax.errors import InputError


def pieces(
    path: pathlib.Path,
    data: Mapping[str, Any],
    record: Mapping[str, Any],
    *,
    on_bad: str = "error",
    keep: Sequence[str] = (),
    labels: bool = False,
) -> Iterator[readers.Piece]:
    """Reads new rows in the same way as the model's training rows.

    Args:
      path: a table, an NPZ file, or a folder of images, whatever the run's reader
        takes.
      data: the fields of `config.data` of the run.
      record: data record of the run, see `sources.Source`.
      on_bad: "error" or "skip" for unusable rows.
      keep: columns of a table to repeat in the output.
      labels: read the labels of the rows, too.

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
    if labels and "label" not in fields:
        raise InputError(
            f"the reader of the run, {data['kind']!r}, reads no labels of new rows. "
            "Evaluate a split of the run: --split."
        )
    if "label" in fields:  # which is a field of the config, too
        fields["label"] = record["label"] if labels else None
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


# Kind of surprise -> what is said of one value or row, and of several.
_SAID = {
    preprocess.UNSEEN: (
        "value in a category not seen in training",
        "values in categories not seen in training",
    ),
    preprocess.FAR: (
        "value far outside the training range",
        "values far outside the training range",
    ),
    preprocess.MISSING: (
        "missing value where training had none",
        "missing values where training had none",
    ),
    preprocess.EMPTY: ("row without any value", "rows without any value"),
}
_NAMES = 5  # columns to list


class Surprises:
    """What new rows have that training rows had not, counted over pieces.

    Example:
      >>> surprises = Surprises()
      >>> surprises.add({"far": {"age": 2, "size": 0}, "empty": {"": 1}})
      >>> print(*surprises.told(), sep="\\n")
      2 values far outside the training range: age 2
      1 row without any value
    """

    def __init__(self):
        self._counts = {kind: collections.Counter() for kind in _SAID}

    def add(self, found: Mapping[str, Mapping[str, int]]) -> None:
        """Adds the counts of a piece, see `readers.Piece`."""
        for kind, columns in found.items():
            self._counts[kind].update(columns)

    def told(self) -> list[str]:
        """A line for each kind that there is, with the columns that have most."""
        lines = []
        for kind, counts in self._counts.items():
            total = counts.total()
            if not total:
                continue
            several = [(name, n) for name, n in counts.most_common() if n]
            names = [f"{name} {n:,}" for name, n in several[:_NAMES] if name]
            if len(several) > _NAMES:
                names.append(f"and {len(several) - _NAMES:,} more columns")
            said = f": {', '.join(names)}" if names else ""
            lines.append(f"{total:,} {_SAID[kind][total > 1]}{said}")
        return lines
