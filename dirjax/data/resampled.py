"""The training split, resampled by SMOTER or SMOGN (`dirjax.resampling`).

Rows are resampled after columns have been prepared: what prepares them, the bins, the
shots and the scale of the label are those of the data as they are, so that methods are
compared on the same ground and new rows are prepared the same way. Distances divide
columns by their range, so that standardisation changes them only through its smooth
clip, which keeps outliers from ruling the range.

**Deviations**: labels are interpolated on the scale that the model learns, and stay
within those of the training split. Where a missing number was filled, its indicator is
a category: a synthetic row is marked as missing, and filled, like one of its parents.
A column that is also a category (`data.both`) is both independently.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from dirjax import checks, resampling
from dirjax.data import sources
from dirjax.errors import InputError

METHODS = {"smoter": resampling.smoter, "smogn": resampling.smogn}


def from_config(fields: Mapping[str, Any], source: sources.Source) -> sources.Source:
    """The source, with the training rows that `config.data.resample` asks for.

    Args:
      fields: `method`, a key of `METHODS`, and options of its function, of which None
        stands for the default; empty for no resampling.
      source: the data.

    Raises:
      InputError: if the inputs are no table, or an option is wrong.
    """
    if not fields:
        return source
    options = {k: v for k, v in fields.items() if v is not None}
    kind = source.record["kind"]
    if kind != "table":
        raise InputError(
            f"data.resample interpolates columns of tables, {source.name} holds "
            f"{kind}. Choose another method, or save features of a trained model as a "
            "table and resample that."
        )
    if source.targets:
        raise InputError(
            "data.resample makes rows for one label, data.label names "
            f"{len(source.targets)} ({', '.join(t.label for t in source.targets)}). "
            "Choose another method, such as lds, or train one model per label."
        )
    try:
        method = options.pop("method")
        checks.one_of("method", method, METHODS)
        train = source.splits["train"]
        split = _resampled(train, source.record["table"], method, options)
    except (TypeError, ValueError) as error:
        raise InputError(f"config.data.resample: {error}") from error
    bins, scale = source.spec.bins, source.scale
    split = dataclasses.replace(
        split,
        value=np.asarray(scale.inverse(split.label), np.float32),
        bin=bins.index(split.label).astype(np.int32),
    )
    said = (
        f"{method} makes {len(split.label):,} training rows of {len(train.label):,}: "
        f"{len(np.unique(split.index)):,} of the file are kept or have synthetic ones"
    )
    return dataclasses.replace(source, resampled=split, notes=(*source.notes, said))


def _resampled(
    train: sources.Split, table: Mapping[str, Any], method: str, options: dict[str, Any]
) -> sources.Split:
    """The resampled rows; values and bins are still those of their seeds."""
    numeric, codes = train.inputs["numeric"], train.inputs["categorical"]
    # Indicators follow the numeric columns.
    first = len(table["numeric"])
    width = numeric.shape[1]
    every = np.concatenate([numeric, codes], axis=1, dtype=np.float64)
    categories = range(first, every.shape[1])
    found = METHODS[method](every, train.label, categorical=categories, **options)
    made = found.X[:, :width].astype(np.float32)
    for j, name in enumerate(table["indicators"], first):
        column = table["numeric"].index(name)
        made[:, column] = np.where(made[:, j] == 1, 0.0, made[:, column])
    label = np.clip(found.y, train.label.min(), train.label.max()).astype(np.float32)
    kept = np.where(found.synthetic, label, train.label[found.seed])
    weight = train.weight[found.seed]
    return dataclasses.replace(
        train,
        inputs={
            "numeric": made,
            "categorical": found.X[:, width:].astype(np.int32),
        },
        label=kept,
        value=train.value[found.seed],
        bin=train.bin[found.seed],
        weight=weight / weight.mean(),
        index=train.index[found.seed],
    )
