"""The training split, resampled by SMOTER or SMOGN (`dirjax.resampling`).

The rows of tables are resampled before training; of anything else, features of a
trained encoder, on which the head is trained again (`stage.NAME.resample`).

Rows are resampled after columns have been prepared: what prepares them, the bins, the
shots and the scale of the label are those of the data as they are, so that methods are
compared on the same ground and new rows are prepared the same way. Distances divide
columns by their range, so that standardisation changes them only through its smooth
clip, which keeps outliers from ruling the range.

**Deviations**: labels are interpolated on the scale that the model learns, and stay
within those of the training split. Where a missing number was filled, its indicator is
a category: a synthetic row is marked as missing, and filled, like one of its parents.
A column that is also a category (`data.both`) is both independently. The published
results on images resample pixels; here it is features that lie between features. Which
labels were rare for them is not published: the configs of faces and sentences take
relevance by density, since their labels have no outliers on one side or both, so that
the box plot of the packages takes few-shot labels for common. The default elsewhere is
the box plot. Few-shot rows that are removed are counted in a note.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from dirjax import checks, labels, resampling
from dirjax.data import sources
from dirjax.errors import InputError

METHODS = {"smoter": resampling.smoter, "smogn": resampling.smogn}


def _options(
    fields: Mapping[str, Any], source: sources.Source, where: str
) -> dict[str, Any]:
    """The options that are given, with the name of the method.

    Args:
      fields: see `from_config`.
      source: the data.
      where: the fields' name, for messages.

    Raises:
      InputError: if there is no such method, or the data has several labels or one per
        pixel.
    """
    if source.targets:
        raise InputError(
            f"{where} makes rows for one label, data.label names "
            f"{len(source.targets)} ({', '.join(t.label for t in source.targets)}). "
            "Choose another method, such as lds, or train one model per label."
        )
    if source.dense:
        raise InputError(
            f"{where} makes rows with one label, {source.name} has one per pixel. "
            "Choose another method, such as lds."
        )
    try:
        checks.one_of("method", fields["method"], METHODS)
    except ValueError as error:
        raise InputError(f"config.{where}: {error}") from error
    return {k: v for k, v in fields.items() if v is not None}


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
    kind = source.record["kind"]
    if kind != "table" and not source.targets:
        raise InputError(
            f"data.resample interpolates columns of tables, {source.name} holds "
            f"{kind}. Choose rrt_smogn or rrt_smoter, which resample features."
        )
    options = _options(fields, source, "data.resample")
    train = source.splits["train"]
    try:
        split = _of_table(train, source.record["table"], options)
    except (TypeError, ValueError) as error:
        raise InputError(f"config.data.resample: {error}") from error
    split = _labelled(split, source)
    said = _told(fields, split, source, "data.resample")
    return dataclasses.replace(source, resampled=split, notes=(*source.notes, *said))


def of_features(
    fields: Mapping[str, Any],
    features: np.ndarray,
    source: sources.Source,
    *,
    where: str = "resample",
) -> sources.Split:
    """Resampled features of the training rows, as inputs of a head.

    Args:
      fields: see `from_config`.
      features: `[rows, dim]`, of the training split in order.
      source: the data.
      where: the fields' name in the config, for messages.

    Raises:
      InputError: if an option is wrong.
    """
    options = _options(fields, source, where)
    train = source.splits["train"]
    try:
        found = METHODS[options.pop("method")](
            np.asarray(features, np.float64), train.label, **options
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"config.{where}: {error}") from error
    return _labelled(_split(train, found, found.X.astype(np.float32)), source)


def expected(
    fields: Mapping[str, Any], source: sources.Source, *, where: str = "resample"
) -> sources.Split:
    """What `of_features` gives, as far as it is known before there are features.

    The labels are those of synthetic rows between neighbours in label; how many there
    are in each segment of labels does not depend on features.

    Args:
      fields: see `from_config`.
      source: the data.
      where: see `of_features`.

    Raises:
      InputError: if an option is wrong.
    """
    label = source.splits["train"].label
    columns = label[:, None] if label.ndim == 1 else label
    return of_features(fields, columns, source, where=where)


def stage_notes(
    name: str,
    fields: Mapping[str, Any],
    rows: sources.Split,
    source: sources.Source,
) -> list[str]:
    """What to say of a stage on resampled features, in sentences.

    Args:
      name: of the stage.
      fields: see `from_config`.
      rows: see `expected`.
      source: the data.
    """
    first, *more = _told(fields, rows, source, f"stage.{name}.resample")
    return [f"stage {name} trains the head on features: {first}", *more]


def _told(
    fields: Mapping[str, Any],
    split: sources.Split,
    source: sources.Source,
    where: str,
) -> list[str]:
    """What a method makes of the training rows, and which few-shot rows it removes.

    Rows of a segment that shrinks have no synthetic ones, so that a row which is
    removed is the seed of none.
    """
    train, method = source.splits["train"], fields["method"]
    few = source.spec.shots[train.bin] == labels.SHOTS.index("few")
    lost = few & ~np.isin(train.index, split.index)
    said = [
        f"{method} makes {len(split.label):,} training rows of {len(train.label):,}: "
        f"{len(np.unique(split.index)):,} of the file are kept or have synthetic ones"
    ]
    if lost.any():
        label = train.value[lost]
        boxplot = fields.get("relevance") in (None, "boxplot")
        if boxplot and fields.get("control_points") is None:
            more = ", and relevance=density finds rare labels among others, too"
        else:
            more = ""
        said.append(
            f"{method} removes {lost.sum():,} of {few.sum():,} few-shot rows (labels "
            f"{label.min():g} to {label.max():g}), whose segments of labels are larger "
            f"than others: --config.{where}.under_sample=False keeps all rows{more}"
        )
    return said


def _of_table(
    train: sources.Split, table: Mapping[str, Any], options: dict[str, Any]
) -> sources.Split:
    """The resampled rows of a table."""
    numeric, codes = train.inputs["numeric"], train.inputs["categorical"]
    # Indicators follow the numeric columns.
    first = len(table["numeric"])
    width = numeric.shape[1]
    every = np.concatenate([numeric, codes], axis=1, dtype=np.float64)
    categories = range(first, every.shape[1])
    method = METHODS[options["method"]]
    options = {k: v for k, v in options.items() if k != "method"}
    found = method(every, train.label, categorical=categories, **options)
    made = found.X[:, :width].astype(np.float32)
    for j, name in enumerate(table["indicators"], first):
        column = table["numeric"].index(name)
        made[:, column] = np.where(made[:, j] == 1, 0.0, made[:, column])
    codes = found.X[:, width:].astype(np.int32)
    return _split(train, found, {"numeric": made, "categorical": codes})


def _split(
    train: sources.Split, found: resampling.Resampled, inputs: Any
) -> sources.Split:
    """The resampled rows; values and bins are still those of their seeds."""
    label = np.clip(found.y, train.label.min(), train.label.max()).astype(np.float32)
    weight = train.weight[found.seed]
    return dataclasses.replace(
        train,
        inputs=inputs,
        label=np.where(found.synthetic, label, train.label[found.seed]),
        value=train.value[found.seed],
        bin=train.bin[found.seed],
        weight=weight / weight.mean(),
        index=train.index[found.seed],
        wide=None,
    )


def _labelled(split: sources.Split, source: sources.Source) -> sources.Split:
    """Resampled rows with values and bins of their labels."""
    return dataclasses.replace(
        split,
        value=np.asarray(source.scale.inverse(split.label), np.float32),
        bin=source.spec.bins.index(split.label).astype(np.int32),
    )
