"""The labels in a file, without its inputs: a label distribution that a user wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dirjax import labels
from dirjax.data import column_types, feature_columns, label_rules, row_checks
from dirjax.data.column_types import ColumnReading
from dirjax.data.formats import npz_files, table_files, text_files
from dirjax.errors import InputError, local_path


def within(path: str, record: Mapping[str, Any], bins: labels.Bins) -> np.ndarray:
    """Reads the labels in a file, most of which must lie in the bins of a run.

    Args:
      path: see `read`.
      record: see `read`.
      bins: of the run, on the scale on which it learns the label.

    Returns:
      `[n]` float64, on the scale of the bins.

    Raises:
      InputError: see `read`, and if more than half of the labels lie outside, where all
        would count in the end bins.
    """
    scale = labels.Scale.from_json(record["scale"])
    found = scale.forward(read(path, record))
    low, high = (float(end) for end in bins.edges[[0, -1]])
    outside = int(np.sum((found < low) | (found > high)))
    if 2 * outside > found.size:
        ends = scale.inverse(np.array([low, high]))
        raise InputError(
            f"the labels in {path} must be in the unit of those of the run, "
            f"{outside:,} of {found.size:,} lie outside of its bins, {ends[0]:g} to "
            f"{ends[1]:g}. Convert them."
        )
    return found


def read(path: str, record: Mapping[str, Any]) -> np.ndarray:
    """Reads the labels in a file by the rules of a run.

    Args:
      path: a table with the label's column, of which no other is looked at, or an NPZ
        file with the array of labels.
      record: data record of the run, see `sources.Source`.

    Returns:
      `[n]` float64, in units of the label.

    Raises:
      InputError: if there is no such file or column, or a label is invalid.
    """
    file, name = local_path("a file of labels", path), record["label"]
    if not file.is_file():
        raise InputError(
            "a label distribution must be train, uniform or a file of labels; there "
            f"is no file {path}. Check the path."
        )

    def rows_of(number: np.ndarray, first: int) -> row_checks.Rows:
        return row_checks.Rows(number, file, "error", first=first, skip_with="")

    if text_files.starts_with(file, npz_files.MAGIC):
        arrays = npz_files.read(file)
        y = npz_files.label_array(arrays, name, "", file)
        rows = rows_of(np.arange(y.size), 0)
        found = npz_files.new_labels({name: y}, rows, name, record)
        assert found is not None
        return found[~np.isnan(found)]
    parts = []
    way = column_types.recorded(record).get(name, ColumnReading("numbers"))
    for table in table_files.blocks(
        file, on_bad="error", missing=record.get("missing", ()), skip_with=""
    ):
        table.require(name, "the label of the run", "Add it.")
        rows = rows_of(table.number, table.first)
        values = feature_columns.checked_numbers(table, name, rows, way.notation)
        parts.append(label_rules.new_labels(values, rows, name, record))
    found = np.concatenate(parts)
    # Only rows of several targets may lack this one.
    return found[~np.isnan(found)]
