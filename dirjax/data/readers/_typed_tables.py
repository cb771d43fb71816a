"""Makes sources of columns that have a type, from tables, arrays and TFDS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dirjax.data import column_types, labelling, sources
from dirjax.data.feature_columns import Features
from dirjax.data.formats.categories import Categories
from dirjax.data.preprocess import TablePreprocessor
from dirjax.errors import InputError


def _few_values(column: np.ndarray, limit: int) -> bool:
    """Whether a numeric column has 3 to `limit` distinct whole values."""
    values = column[~np.isnan(column)]
    whole = bool(np.all(values == np.round(values)))
    return whole and 2 < column_types.different(values) <= limit


def _drop_constant(
    found: Features, train: Mapping[str, np.ndarray | Categories], named: Sequence[str]
) -> None:
    """Leaves out columns that are constant in training, unless they were named."""
    for name, values in train.items():
        if name in named:
            continue
        if isinstance(values, Categories):
            ends = np.unique(values.present())[[0, -1]].tolist()
            empty, alike = not ends[1], ends[0] == ends[1]
        else:  # the smallest of numbers is NaN if one is
            ends = values.min(), values.max()
            empty, alike = bool(np.isnan(values).all()), ends[0] == ends[1]
        if empty or alike:
            why = "empty in training" if empty else f"always {ends[0]}"
            found.dropped[name] = why
            del found.values[name]
            for names in (found.numeric, found.categorical):
                if name in names:
                    names.remove(name)


def from_features(
    name: str,
    found: Features,
    labelled: labelling.Labelled,
    *,
    named: Sequence[str] = (),
    both: int = 0,
    scaling: str = "robust",
    quantiles: int = 0,
    missing: Sequence[str] = (),
) -> sources.Source:
    """Makes a source of typed columns.

    Args:
      name: name of the data set.
      found: the columns; those that are constant in training are left out.
      labelled: the rows.
      named: columns to keep even if constant.
      both: see `table.load`.
      scaling: see `table.load`.
      quantiles: see `table.load`.
      missing: see `table.load`.

    Raises:
      InputError: if no column is left.
    """
    rows = labelled.rows
    train = {c: v[labelled.train] for c, v in found.values.items()}
    _drop_constant(found, train, named)
    for column, why in found.dropped.items():
        rows.notes.append(f"column {column!r} is left out: {why}")
    if not found.values:
        raise InputError(
            f"{rows.file} has no feature left besides {labelled.rules.label!r}"
            + "".join(f"; {c!r} is left out: {why}" for c, why in found.dropped.items())
            + ". Add columns, or name them in data.numeric or data.categorical."
        )
    doubled = (
        c
        for c in found.numeric
        if c not in found.categorical and _few_values(np.asarray(train[c]), both)
    )
    fitted = TablePreprocessor.fit(
        train,
        numeric=found.numeric,
        categorical=(*found.categorical, *doubled),
        scaling=scaling,
        quantiles=quantiles,
    )
    gaps = ", ".join(repr(n) for n in fitted.indicators)
    if gaps:
        rows.notes.append(f"missing values are filled and marked by indicators: {gaps}")
    return sources.assemble(
        name,
        fitted.transform(found.values),
        labelled,
        record={
            "kind": "table",
            "table": fitted.to_json(),
            "missing": list(missing),
            "readings": column_types.to_json(found.readings),
            "encoder": {
                "numeric": fitted.width,
                "rows": int(labelled.train.sum()),
                "cardinalities": fitted.cardinalities,
                "edges": fitted.edges if quantiles else None,
            },
        },
    )
