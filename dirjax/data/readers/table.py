"""Reads tables with a label: column types, dropped columns, the source.

`formats.table_files` reads the files; `preprocess` prepares numbers and categories.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import labelling, readers, sources
from dirjax.data.describe import columns
from dirjax.data.formats import npz_files, table_files
from dirjax.data.formats.table_files import Table, numbers, words
from dirjax.data.preprocess import TablePreprocessor
from dirjax.errors import InputError, setting

_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
    rf"|\d{{1,2}}[-. ]+{_MONTH}[-, ]+\d{{2,4}}|{_MONTH} \d{{1,2}},? \d{{4}})([T ].*)?",
    re.IGNORECASE,
)
_COMMA = re.compile(r"-?[\d.]*\d,\d+")


def _first(mask: np.ndarray) -> int:
    return int(np.flatnonzero(mask)[0])


@dataclasses.dataclass
class Features:
    """The feature columns of a table, typed.

    Attributes:
      numeric: names of numeric columns.
      categorical: names of categorical columns.
      values: column -> `[rows]` float64 (NaN missing) or str (empty missing).
      dropped: column -> reason for leaving it out.
    """

    numeric: list[str]
    categorical: list[str]
    values: dict[str, np.ndarray]
    dropped: dict[str, str]


def listed(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Names of columns, where one string may hold several, separated by commas.

    Example:
      >>> listed(("a,b",), ["a", "b", "c"]), listed(("a,b",), ["a,b", "c"])
      (('a', 'b'), ('a,b',))
    """
    if len(names) == 1 and names[0] not in known:
        return tuple(names[0].split(","))
    whole = ",".join(names)
    return (whole,) if whole in known else tuple(names)


def typed(
    values: Mapping[str, np.ndarray],
    rows: labelling.Rows,
    *,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Features:
    """Features from columns that already have a type.

    Args:
      values: column -> `[rows]` float64 (NaN missing) or str.
      rows: their rows; those with an infinite number are refused.
      numeric: columns that must be numeric.
      categorical: columns to treat as categories.
      drop: columns to leave out.

    Raises:
      InputError: for unknown names, and for text in numeric columns.
    """
    found = Features([], [], {}, {})
    every = list(values)
    wanted = {"numeric": numeric, "categorical": categorical, "drop": drop}
    wanted = {field: listed(names, every) for field, names in wanted.items()}
    for field, names in wanted.items():
        for name in names:
            if name not in values:
                raise InputError(
                    f"{rows.file} has no column {name!r} (data.{field}); it has "
                    f"{', '.join(every)}. Name one of them."
                )
    for name, column in values.items():
        if name in wanted["drop"]:
            continue
        number = column.dtype.kind == "f"
        if name in wanted["numeric"] and not number:
            raise InputError(f"data.numeric names {name!r}, which holds text. Drop it.")
        if number:
            _refuse_infinite(name, column, rows)
        found.values[name] = column
        if name in wanted["categorical"] or not number:
            found.categorical.append(name)
        if name in wanted["numeric"] or (number and name not in found.categorical):
            found.numeric.append(name)
    return found


def _is_date(text: np.ndarray) -> bool:
    """Whether all of up to 100 values look like dates."""
    there = text[text != ""][:100]
    return len(there) > 0 and all(_DATE.fullmatch(t) for t in there)


def features(
    table: Table,
    rows: labelling.Rows,
    *,
    others: Sequence[str],
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Features:
    """Infers the type of each feature column.

    A column is numeric if all its values are numbers, otherwise categorical. Empty
    columns are left out, and so are text columns where most values occur once.

    Args:
      table: the table.
      rows: its rows; unusable ones are refused.
      others: columns that are not features (label, split, weight).
      numeric: columns that must be numeric.
      categorical: columns that must be categorical; may be numeric, too.
      drop: columns to leave out.

    Raises:
      InputError: for unknown names, text in a numeric column, dates.
    """
    for field, names in (("numeric", numeric), ("categorical", categorical)):
        for name in names:
            table.require(name, f"data.{field}")
    for name in drop:
        if name not in table.odd:
            table.require(name, "data.drop")
    for name in set(table.odd) - {*others, *drop}:
        table.require(name, "it would be a feature")
    found = Features([], [], {}, {})
    for name in table.unnamed:
        found.dropped[name or "(no name)"] = "taken for row numbers"
    for name, column in table.cells.items():
        if name in others or name in drop:
            continue
        values, wrong = numbers(column)
        there = ~np.isnan(values) | wrong
        is_text = wrong.sum() > 0.5 * there.sum() or name in categorical
        if name in numeric or not is_text:
            if not there.any() and name not in numeric:
                found.dropped[name] = "empty"
                continue
            _refuse_text(name, column, wrong, rows, forced=name in numeric)
            _refuse_infinite(name, values, rows)
            found.values[name] = values
            found.numeric.append(name)
            if name in categorical:
                found.categorical.append(name)
            continue
        text = words(column)
        if name not in categorical:
            if _is_date(text):
                i = _first(text != "")
                raise InputError(
                    f"dates cannot be features, {name!r} holds dates ({text[i]} in "
                    f"{rows.place(i)}). Convert it to numbers (year, month, day of the "
                    f"year), or leave it out with {setting('data.drop', name)}."
                )
            distinct = len(np.unique(text[text != ""]))
            if distinct > max(20, 0.5 * (text != "").sum()):
                found.dropped[name] = (
                    f"text with {distinct:,} different values, most occur once"
                )
                continue
        found.values[name] = text
        found.categorical.append(name)
    return found


def checked_numbers(table: Table, name: str, rows: labelling.Rows) -> np.ndarray:
    """A column that must be numeric, `[rows]` float64, NaN for missing values.

    Args:
      table: the table.
      name: the column.
      rows: its rows; those with text or infinity are refused.
    """
    values, wrong = numbers(table.cells[name])
    _refuse_text(name, table.cells[name], wrong, rows, forced=True)
    _refuse_infinite(name, values, rows)
    return values


def _refuse_infinite(name: str, values: np.ndarray, rows: labelling.Rows) -> None:
    rows.refuse(
        "infinite feature",
        np.isinf(values),
        lambda i: (
            f"features must be finite, {rows.place(i)} has {values[i]} in {name!r}"
        ),
    )


def _refuse_text(
    name: str, column: Any, wrong: np.ndarray, rows: labelling.Rows, *, forced: bool
) -> None:
    """Refuses rows with text in a numeric column."""
    if wrong.any():
        cells = column.to_pylist()
        way = "" if forced else f", or name {name!r} in data.categorical"
        if _COMMA.fullmatch(cells[_first(wrong)]):
            way += "; use a decimal point and no thousands separator"
        rows.refuse(
            "text in a numeric column",
            wrong,
            lambda i: (
                f"{name!r} must hold numbers, {rows.place(i)} has {cells[i]!r} (if it "
                f"stands for a missing value, name it in data.missing{way})"
            ),
        )


def row_facts(
    table: Table,
    rows: labelling.Rows,
    rules: labelling.Rules,
    *,
    split: str,
    weight: str | None,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Reads labels, splits and weights of a table.

    Returns:
      Labels `[rows]` float64; the split `[rows]` int8 or None; weights `[rows]` float64
      or None.

    Raises:
      InputError: if a column is missing or has the wrong type.
    """
    table.require(rules.label, "data.label")
    column = table.cells[rules.label]
    y, wrong = numbers(column)
    if wrong.all():
        text = column[0].as_py()
        comma = " with a decimal point" if _COMMA.fullmatch(text) else ""
        raise InputError(
            f"labels must be numbers{comma}, {rules.label!r} of {table.file} holds "
            f"{text!r}. Name another label with data.label."
        )
    _refuse_text(rules.label, column, wrong, rows, forced=True)
    part = weights = None
    if split != labelling.SPLIT:
        table.require(split, "data.split")
    if split in table.cells:
        part = labelling.parts_of(rows, words(table.cells[split]), split)
    if weight:
        table.require(weight, "data.weight")
        weights, wrong = numbers(table.cells[weight])
        _refuse_text(weight, table.cells[weight], wrong, rows, forced=True)
    return y, part, weights


def _few_values(column: np.ndarray, limit: int) -> bool:
    """Whether a numeric column has 3 to `limit` distinct whole values."""
    values = np.unique(column[~np.isnan(column)])
    return 2 < len(values) <= limit and bool(np.all(values == np.round(values)))


def load(
    name: str,
    file: pathlib.Path,
    rules: labelling.Rules,
    *,
    split: str = "split",
    weight: str | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    missing: Sequence[str] = (),
    both: int = 0,
    scaling: str = "robust",
    quantiles: int = 0,
) -> sources.Source:
    """Reads a table with a label.

    Args:
      name: name of the data set.
      file: see `blocks`.
      rules: rules of the label, its bins and the split.
      split: name of the split column (train, val, test). If the file lacks it, a
        balanced split is made from the labels.
      weight: name of the column of training weights, or None.
      numeric: see `features`.
      categorical: see `features`.
      drop: see `features`.
      missing: see `blocks`.
      both: numeric columns with at most this many distinct integers in training also
        enter as categories.
      scaling: see `TablePreprocessor.fit`.
      quantiles: see `TablePreprocessor.fit`.

    Returns:
      The source.

    Raises:
      InputError: if the file is invalid, naming row and column.
    """
    sources.require_file(file)
    table = table_files.read(file, on_bad=rules.on_bad, missing=missing)
    short = {"row length": table.skipped} if table.skipped else {}
    rows = labelling.Rows(table.number, file, rules.on_bad, short)
    y, part, weights = row_facts(table, rows, rules, split=split, weight=weight)
    every = [*table.cells, *table.odd]
    numeric, categorical = listed(numeric, every), listed(categorical, every)
    found = features(
        table,
        rows,
        others=(rules.label, split, *([weight] if weight else [])),
        numeric=numeric,
        categorical=categorical,
        drop=listed(drop, every),
    )
    labelled = labelling.label_rows(
        y, rows, rules, part=part, keys=lambda: table_files.keys(table), weight=weights
    )
    return from_features(
        name,
        found,
        labelled,
        named=(*numeric, *categorical),
        both=both,
        scaling=scaling,
        quantiles=quantiles,
        missing=missing,
    )


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
      both: see `load`.
      scaling: see `load`.
      quantiles: see `load`.
      missing: see `load`.

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
        if c not in found.categorical and _few_values(train[c], both)
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
            "encoder": {
                "numeric": fitted.width,
                "cardinalities": fitted.cardinalities,
                "edges": fitted.edges if quantiles else None,
            },
        },
    )


def _drop_constant(
    found: Features, train: Mapping[str, np.ndarray], named: Sequence[str]
) -> None:
    """Leaves out columns that are constant in training, unless they were named."""
    for name, values in train.items():
        if name in named:
            continue
        gaps = np.isnan(values) if values.dtype.kind == "f" else values == ""
        if gaps.all() or (not gaps.any() and len(np.unique(values)) == 1):
            why = "empty in training" if gaps.all() else f"always {values[0]}"
            found.dropped[name] = why
            del found.values[name]
            for names in (found.numeric, found.categorical):
                if name in names:
                    names.remove(name)


def read_new(
    path: pathlib.Path,
    record: Mapping[str, Any],
    *,
    on_bad: str = "error",
    keep: Sequence[str] = (),
    label: str | None = None,
) -> Iterator[readers.Piece]:
    """Reads rows to predict from a CSV, Parquet or NPZ file.

    Args:
      path: the file; an NPZ has the array `x` `[rows, columns]`.
      record: data record of the run.
      on_bad: "error" or "skip" for unusable rows.
      keep: columns of a table to repeat in the output.
      label: column or array of labels to read, too.

    Raises:
      InputError: if a column is missing, or a row is unusable.
    """
    sources.require_file(path, "the model takes tables, --input", "Give a file.")
    if table_files.starts_with(path, npz_files.MAGIC):
        return new_of_npz(path, record, "x", on_bad, keep, label)
    return _new_of_table(path, record, on_bad, keep, label)


def new_labels(
    table: Table, rows: labelling.Rows, label: str | None, record: Mapping[str, Any]
) -> np.ndarray | None:
    """The labels of new rows in a table, `[rows]`; None if there are none to read."""
    if label is None:
        return None
    table.require(label, "the label of the run", "Add it, or use dirjax.predict.")
    values = checked_numbers(table, label, rows)
    return labelling.new_labels(values, rows, label, record)


def _new_of_table(
    file: pathlib.Path,
    record: Mapping[str, Any],
    on_bad: str,
    keep: Sequence[str],
    label: str | None,
) -> Iterator[readers.Piece]:
    fitted = TablePreprocessor.from_json(record["table"])
    skipped = 0
    for table in table_files.blocks(
        file, on_bad=on_bad, missing=record["missing"], skip_with=readers.SKIP
    ):
        rows = labelling.Rows(table.number, file, on_bad, skip_with=readers.SKIP)
        for name in (*fitted.numeric, *fitted.categorical):
            table.require(name, "the model was trained with it", "Add it.")
        for name in keep:
            table.require(name, "--keep")
        found = {}
        for name in dict.fromkeys((*fitted.numeric, *fitted.categorical)):
            if name in fitted.numeric:
                found[name] = checked_numbers(table, name, rows)
            else:
                found[name] = words(table.cells[name])
        names: dict[str, Any] = {"index": table.number}
        names |= {n: words(table.cells[n]) for n in keep}
        value = new_labels(table, rows, label, record)
        found = {k: v[rows.good] for k, v in found.items()}
        skipped = table_files.report_skipped(table.skipped, skipped)
        yield readers.Piece(
            names,
            fitted.transform(found),
            rows.good,
            None if value is None else value[rows.good],
            fitted.surprises(found),
        )


def new_of_npz(
    file: pathlib.Path,
    record: Mapping[str, Any],
    name: str,
    on_bad: str,
    keep: Sequence[str],
    label: str | None = None,
) -> Iterator[readers.Piece]:
    """Reads rows to predict from an array of columns.

    Args:
      file: an NPZ file.
      record: see `read_new`.
      name: name of the array, `[rows, columns]`.
      on_bad: see `read_new`.
      keep: must be empty.
      label: name of an array of labels to read, too.
    """
    npz_files.refuse_keep(keep)
    stored = npz_files.read(file)
    x = npz_files.require(stored, name, "inputs", file)
    if npz_files.encoded(stored, name, file) is None:
        x = npz_files.check_inputs(x, name, file)
    if x.ndim != 2:
        raise InputError(
            f"the model takes tables, {name!r} of {file} holds images. Give an array "
            "[rows, columns]."
        )
    fitted = TablePreprocessor.from_json(record["table"])
    found = npz_files.columns(x)
    for column in (*fitted.numeric, *fitted.categorical):
        if column not in found:
            raise InputError(
                f"{file} must have the column {column!r} that the model was trained "
                f"with; {name!r} has {', '.join(found)}. Add the column."
            )
    rows = labelling.Rows(
        np.arange(len(x)), file, on_bad, first=0, skip_with=readers.SKIP
    )
    typed(found, rows)
    value = npz_files.new_labels(stored, rows, label, record)
    found = {k: v[rows.good] for k, v in found.items()}
    yield readers.Piece(
        {"index": np.arange(len(x))},
        fitted.transform(found),
        rows.good,
        None if value is None else value[rows.good],
        fitted.surprises(found),
    )


describe_inputs = columns.describe_inputs
inputs_text = columns.inputs_text
