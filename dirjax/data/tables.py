"""Tables: CSV (plain or gzip) and Parquet files, read as text and typed here.

Cells are text until a column is known to hold numbers, so that a category reads the
same in every file. pyarrow does the reading, strictly: UTF-8, equal row lengths.
"""

from __future__ import annotations

import dataclasses
import difflib
import gzip
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.cli import InputError
from dirjax.data import sources
from dirjax.data.preprocess import TablePreprocessor

# What stands for a missing value, besides an empty cell.
MISSING = (
    *("NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "NULL", "null", "None"),
    *("<NA>", "NaT"),
)
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([T ].*)?"
)
_BLOCK = 1 << 24  # bytes of a CSV file read at once


@dataclasses.dataclass
class Table:
    """Columns of text.

    Attributes:
      file: where they come from.
      cells: column -> pyarrow string array, null where a value is missing.
      number: `[rows]` int64, position of each row in the file, from 0.
      skipped: rows with a wrong number of cells that were left out, up to here.
    """

    file: pathlib.Path
    cells: dict[str, Any]
    number: np.ndarray
    skipped: int = 0


def _open(file: pathlib.Path) -> Any:
    """The bytes of a file, unpacked; to be used in a `with`."""
    with file.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(file) if packed else file.open("rb")


def _head(file: pathlib.Path) -> bytes:
    """The first bytes of a file, unpacked."""
    try:
        with _open(file) as stream:
            return stream.read(1 << 16)
    except (OSError, EOFError) as error:
        raise InputError(
            f"{file} cannot be read: {error}. Give another file."
        ) from error


def _delimiter(head: bytes) -> str:
    """Of comma, semicolon and tab the one the header has most of."""
    header = head.splitlines()[0] if head.splitlines() else b""
    return max(",;\t", key=lambda d: header.count(d.encode()))


def _not_utf8(file: pathlib.Path) -> str:
    """Where a file stops being UTF-8: `line 3 (byte 0xe9)`."""
    with _open(file) as stream:
        for i, line in enumerate(stream):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return f"row {i + 1} is not (byte {line[error.start]:#04x})"
    return "it is not"


def _clean(column: Any, missing: Sequence[str]) -> Any:
    """Text without blanks around it; null where nothing is meant."""
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute  # its functions are made at run time
    column = pc.utf8_trim_whitespace(column)
    nothing = pa.array(["", *MISSING, *missing], column.type)
    return pc.if_else(pc.is_in(column, value_set=nothing), None, column)


def _csv(
    file: pathlib.Path, on_bad: str, missing: Sequence[str], skip_with: str
) -> Iterator[tuple[dict[str, Any], np.ndarray, int]]:
    """Blocks of a CSV file: cells, row numbers, rows left out before."""
    import pyarrow as pa
    from pyarrow import csv

    head = _head(file)
    if not head.strip():
        raise InputError(
            f"{file} must be a CSV file with a header, it is empty. Give another file."
        )
    if b"\0" in head:
        raise InputError(
            f"{file} must be a CSV file in UTF-8, it has zero bytes, as UTF-16 and files "
            "that are no text do. Save it as UTF-8, or give another file."
        )
    wrong: list[int] = []
    refused: list[InputError] = []

    def invalid(row):
        if on_bad == "skip":
            wrong.append(row.number - 2)
            return "skip"
        # What is raised in here is lost.
        refused.append(
            InputError(
                f"each row must have the {row.expected_columns} cells of the header, "
                f"row {row.number} of {file} has {row.actual_columns}. Mend it, or go "
                f"on without such rows: {skip_with}."
            )
        )
        return "error"

    options = {
        "read_options": csv.ReadOptions(use_threads=False, block_size=_BLOCK),
        "parse_options": csv.ParseOptions(
            delimiter=_delimiter(head),
            invalid_row_handler=invalid,
            newlines_in_values=True,
        ),
    }
    try:
        header = csv.open_csv(file, **options).schema.names
        _check_names(header, file)
        wrong.clear()
        # Text whatever it looks like; missing values are told apart in `_clean`.
        reader = csv.open_csv(
            file,
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                strings_can_be_null=False,
            ),
            **options,
        )
        start = 0
        for batch in reader:
            rows = batch.num_rows
            # Rows left out lie between those of this block.
            number = np.arange(start, start + rows + len(wrong))
            number = np.setdiff1d(number, wrong)[:rows] if wrong else number
            yield (
                {
                    name.strip(): _clean(column, missing)
                    for name, column in zip(header, batch.columns, strict=True)
                },
                number,
                len(wrong),
            )
            start = int(number[-1]) + 1 if rows else start
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as error:
        if refused:
            raise refused[0] from error
        text = str(error)
        if "UTF8" in text or isinstance(error, UnicodeDecodeError):
            raise InputError(
                f"{file} must be a CSV file in UTF-8, {_not_utf8(file)}. Save it as "
                "UTF-8: iconv -f latin1 -t utf8 OLD > NEW."
            ) from error
        raise InputError(
            f"{file} must be a CSV file with a header, plain or gzip: "
            f"{text.splitlines()[0]}. Give another file."
        ) from error


def _check_names(names: Sequence[str], file: pathlib.Path) -> None:
    """Refuses a header that names a column twice, or not at all."""
    stripped = [name.strip() for name in names]
    twice = sorted({n for n in stripped if stripped.count(n) > 1})
    if twice:
        raise InputError(
            f"columns must have different names, {file} has {twice[0]!r} "
            f"{stripped.count(twice[0])} times. Rename or remove one."
        )
    if "" in stripped[1:]:
        raise InputError(
            f"columns must have names, column {stripped.index('', 1) + 1} of {file} "
            "has none. Name it."
        )


def _parquet(
    file: pathlib.Path, missing: Sequence[str]
) -> Iterator[tuple[dict[str, Any], np.ndarray, int]]:
    """Blocks of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = 0
    try:
        with pq.ParquetFile(file) as opened:
            names = opened.schema_arrow.names
            _check_names(names, file)
            for batch in opened.iter_batches():
                cells = {}
                for name, column in zip(names, batch.columns, strict=True):
                    if isinstance(column, pa.DictionaryArray):
                        column = column.dictionary_decode()
                    try:
                        text = column.cast(pa.string())
                    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                        raise InputError(
                            "columns must hold numbers or text, "
                            f"{name!r} of {file} holds {column.type}. Remove it."
                        ) from error
                    cells[name.strip()] = _clean(text, missing)
                yield cells, np.arange(start, start + batch.num_rows), 0
                start += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{file} must be a Parquet file: {str(error).splitlines()[0]}. Give "
            "another file."
        ) from error


def blocks(
    file: pathlib.Path,
    *,
    on_bad: str = "error",
    missing: Sequence[str] = (),
    skip_with: str = sources.SKIP,
) -> Iterator[Table]:
    """Reads a table piece by piece.

    Args:
      file: CSV (comma, semicolon or tab; plain or gzip) or Parquet, told by content.
      on_bad: rows with too few or too many cells are an "error", or "skip".
      missing: further words that stand for a missing value.
      skip_with: the argument that skips, for sentences.

    Yields:
      Tables of consecutive rows; one without rows if the file has none.

    Raises:
      InputError: if the file is no table; the sentence names row and column.
    """
    parquet = _head(file)[:4] == b"PAR1"
    pieces = (
        _parquet(file, missing) if parquet else _csv(file, on_bad, missing, skip_with)
    )
    for cells, number, skipped in pieces:
        yield Table(file, cells, number, skipped)


def read(file: pathlib.Path, **options: Any) -> Table:
    """Reads a whole table; arguments as `blocks`.

    Raises:
      InputError: as `blocks`, and if there is no row.
    """
    import pyarrow as pa

    pieces = list(blocks(file, **options))
    if not sum(len(p.number) for p in pieces):
        raise InputError(f"{file} has a header and no rows. Give another file.")
    cells = {
        name: pa.chunked_array([p.cells[name] for p in pieces])
        for name in pieces[0].cells
    }
    return Table(
        file,
        cells,
        np.concatenate([p.number for p in pieces]),
        pieces[-1].skipped,
    )


def numbers(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """Text as numbers.

    Args:
      column: pyarrow string array.

    Returns:
      `[rows]` float64, NaN where a value is missing or no number, and `[rows]` bool:
      those that are there and are no number.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        values = pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        found = np.full(len(column), np.nan)
        wrong = np.zeros(len(column), bool)
        for i, text in enumerate(column.to_pylist()):
            if text is not None:
                try:
                    # Python takes 1_000, which nobody means.
                    found[i] = float(text.replace("_", "?"))
                except ValueError:
                    wrong[i] = True
        return found, wrong
    filled = pc.fill_null(values, np.nan)
    return np.asarray(filled.to_numpy(), np.float64), np.zeros(len(column), bool)


def words(column: Any) -> np.ndarray:
    """`[rows]` str, empty where a value is missing."""
    import pyarrow.compute as pc

    filled = pc.fill_null(column, "")
    return np.asarray(filled.to_pylist(), np.str_)


def _first(mask: np.ndarray) -> int:
    return int(np.flatnonzero(mask)[0])


@dataclasses.dataclass
class Features:
    """The feature columns of a table, typed.

    Attributes:
      numeric: names of numeric columns.
      categorical: names of categorical columns.
      values: column -> `[rows]` float64 (NaN missing) or str (empty missing).
      dropped: column -> why it is left out.
    """

    numeric: list[str]
    categorical: list[str]
    values: dict[str, np.ndarray]
    dropped: dict[str, str]


def _is_date(text: np.ndarray) -> bool:
    """Whether all of up to 100 values look like dates."""
    there = text[text != ""][:100]
    return len(there) > 0 and all(_DATE.fullmatch(t) for t in there)


def features(
    table: Table,
    rows: sources.Rows,
    *,
    others: Sequence[str],
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Features:
    """Finds the type of each feature column.

    A column is numeric if all of its values are numbers, else categorical. Columns
    that are empty are left out, as is text of which most values occur once.

    Args:
      table: the table.
      rows: its rows; those that cannot be used are refused here.
      others: columns that are no features (label, split, weight).
      numeric: columns that have to be numeric.
      categorical: columns that have to be categorical; may be numeric, too.
      drop: columns to leave out.

    Raises:
      InputError: for unknown names, text in a numeric column, dates.
    """
    for field, names in (
        ("numeric", numeric),
        ("categorical", categorical),
        ("drop", drop),
    ):
        for name in names:
            require(table, name, f"data.{field}")
    found = Features([], [], {}, {})
    for name, column in table.cells.items():
        if name in others or name in drop:
            continue
        if name == "":
            found.dropped["(no name)"] = "taken for row numbers"
            continue
        values, wrong = numbers(column)
        there = ~np.isnan(values) | wrong
        is_text = wrong.sum() > 0.5 * there.sum() or name in categorical
        if name in numeric or not is_text:
            if not there.any() and name not in numeric:
                found.dropped[name] = "empty"
                continue
            found.values[name] = checked_numbers(
                table, name, rows, forced=name in numeric
            )
            found.numeric.append(name)
            if name in categorical:
                found.categorical.append(name)
            continue
        text = words(column)
        if name not in categorical:
            if _is_date(text):
                i = _first(text != "")
                raise InputError(
                    f"dates are no features, {name!r} holds them ({text[i]} in "
                    f"{rows.place(i)}). Turn it into numbers (year, month, day of the "
                    f"year), or leave it out with --config.data.drop={name}."
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


def checked_numbers(
    table: Table, name: str, rows: sources.Rows, *, forced: bool = True
) -> np.ndarray:
    """A numeric column, `[rows]` float64, NaN where a value is missing.

    Args:
      table: the table.
      name: the column.
      rows: its rows; those with text or infinity are refused.
      forced: whether the column has to be numeric.
    """
    values, wrong = numbers(table.cells[name])
    _refuse_text(name, table.cells[name], wrong, rows, forced=forced)
    rows.refuse(
        "infinite feature",
        np.isinf(values),
        lambda i: (
            f"features must be finite, {rows.place(i)} has {values[i]} in {name!r}"
        ),
    )
    return values


def _refuse_text(
    name: str, column: Any, wrong: np.ndarray, rows: sources.Rows, *, forced: bool
) -> None:
    """Text in a column of numbers."""
    if wrong.any():
        cells = column.to_pylist()
        way = "" if forced else f", or name {name!r} in data.categorical"
        rows.refuse(
            "text in a numeric column",
            wrong,
            lambda i: (
                f"{name!r} must hold numbers, {rows.place(i)} has {cells[i]!r} (if it "
                f"stands for a missing value, name it in data.missing{way})"
            ),
        )


def require(table: Table, name: str, field: str) -> None:
    """Refuses the name of a column that is not there.

    Raises:
      InputError: with the names that are.
    """
    if name not in table.cells:
        known = {c.lower(): c for c in table.cells}
        close = [known[c] for c in difflib.get_close_matches(name.lower(), known, 1)]
        hint = f" Did you mean {close[0]!r}?" if close else " Name one of them."
        raise InputError(
            f"{table.file} has no column {name!r} ({field}); it has "
            f"{', '.join(table.cells)}.{hint}"
        )


def row_facts(
    table: Table,
    rows: sources.Rows,
    rules: sources.Rules,
    *,
    split: str,
    weight: str | None,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """What a table says of its rows, besides features.

    Returns:
      Labels `[rows]` float64, the split `[rows]` int8 or None, weights `[rows]`
      float64 or None.

    Raises:
      InputError: if a column is missing or holds something else.
    """
    require(table, rules.label, "data.label")
    column = table.cells[rules.label]
    y, wrong = numbers(column)
    if wrong.all():
        raise InputError(
            f"labels must be numbers, {rules.label!r} of {table.file} holds "
            f"{column[0].as_py()!r}. Name another label with data.label."
        )
    _refuse_text(rules.label, column, wrong, rows, forced=True)
    part = weights = None
    if split in table.cells:
        part = sources.parts_of(rows, words(table.cells[split]), split)
    if weight:
        require(table, weight, "data.weight")
        weights, wrong = numbers(table.cells[weight])
        _refuse_text(weight, table.cells[weight], wrong, rows, forced=True)
    return y, part, weights


def keys(table: Table) -> list[str]:
    """A text for each row, from its cells; equal rows are numbered."""
    columns = [c.to_pylist() for _, c in sorted(table.cells.items())]
    seen: dict[tuple[Any, ...], int] = {}
    found = []
    for cells in zip(*columns, strict=True):
        twin = seen[cells] = seen.get(cells, -1) + 1
        found.append(repr((cells, twin)))
    return found


def _few_values(column: np.ndarray, limit: int) -> bool:
    """Whether a numeric column has 3 to `limit` distinct whole values."""
    values = np.unique(column[~np.isnan(column)])
    return 2 < len(values) <= limit and bool(np.all(values == np.round(values)))


def load(
    name: str,
    file: pathlib.Path,
    rules: sources.Rules,
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
      rules: of the label, its bins and the split.
      split: name of the column that says train, val or test. If the file has no such
        column a balanced split is made from the labels.
      weight: name of a column of weights in the training loss, or None.
      numeric: see `features`, as the next two.
      categorical: as there.
      drop: as there.
      missing: see `blocks`.
      both: numeric columns with at most so many distinct whole values in training
        enter as categories, too.
      scaling: see `TablePreprocessor.fit`, as the next.
      quantiles: as there.

    Returns:
      The source.

    Raises:
      InputError: if something is wrong with the file; naming row and column.
    """
    table = read(file, on_bad=rules.on_bad, missing=missing)
    short = {"row length": table.skipped} if table.skipped else {}
    rows = sources.Rows(table.number, file, rules.on_bad, short)
    y, part, weights = row_facts(table, rows, rules, split=split, weight=weight)
    found = features(
        table,
        rows,
        others=(rules.label, split, *([weight] if weight else [])),
        numeric=numeric,
        categorical=categorical,
        drop=drop,
    )
    labelled = sources.label_rows(
        y, rows, rules, part=part, keys=lambda: keys(table), weight=weights
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
    labelled: sources.Labelled,
    *,
    named: Sequence[str] = (),
    both: int = 0,
    scaling: str = "robust",
    quantiles: int = 0,
    missing: Sequence[str] = (),
) -> sources.Source:
    """A source of typed columns.

    Args:
      name: name of the data set.
      found: the columns; those that are constant in training are taken out.
      labelled: the rows.
      named: columns to keep though they are constant.
      both: see `load`, as the rest.
      scaling: as there.
      quantiles: as there.
      missing: as there.

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
            f"{rows.file} has no feature left beside {labelled.rules.label!r}"
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
        rows.notes.append(f"missing values are filled, with an indicator each: {gaps}")
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
    """Leaves out columns with one value in training, unless they were named."""
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
