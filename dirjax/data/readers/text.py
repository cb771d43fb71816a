"""Reads pairs of sentences: two texts per row as word codes, with a similarity score.

The form of STS-B-DIR in its benchmark: Yang et al., "Delving into Deep Imbalanced
Regression", ICML 2021, https://arxiv.org/abs/2102.09554; splits and preparation are
those of their repository, YyzHarry/imbalanced-regression, folder `sts-b-dir`. Each
split is a tab-separated file without quoting, with columns by name. Sentences become
words (`tokens`), words become codes (`words`), and the model looks codes up on the
device in a frozen table of GloVe vectors.

**Deviations** from the benchmark: those of `tokens` and `words`; sentences without a
word and unreadable lines are refused instead of silently dropped. With `lower`, words
are looked up in lower case, since GloVe 6B is all lower case.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import (
    column_types,
    label_rules,
    labelling,
    readers,
    row_checks,
    sources,
)
from dirjax.data.formats import (
    npz_files,
    table_files,
    text_columns,
    text_files,
    tokens,
    words,
)
from dirjax.data.readers import _new_tables, pairs
from dirjax.data.readers import table as table_lib
from dirjax.errors import InputError

# Folders of the split below data.path; the second is the repository's.
_BELOW = ("", "glue_data/STS-B", "sts-b-dir/glue_data/STS-B")
_WHERE = (
    "The split is in the folder sts-b-dir/glue_data/STS-B of "
    "github.com/YyzHarry/imbalanced-regression; expected are {0}/train_new.tsv, "
    "{0}/dev_new.tsv and {0}/test_new.tsv, in that folder or in {0}/glue_data/STS-B"
)
_VECTORS = (
    "GloVe vectors are at nlp.stanford.edu/projects/glove: unpack glove.840B.300d.zip "
    "to {0}/glove/glove.840B.300d.txt, or name another file and the size of its "
    "vectors with --config.data.text.vectors=FILE --config.data.text.dim=SIZE"
)


class Rows(row_checks.Rows):
    """Rows of several files; messages name the file.

    Args:
      tables: tables of the files.
      folder: their common folder.
      on_bad: see `row_checks.Rows`.
      skip_with: see `row_checks.Rows`.
    """

    def __init__(
        self,
        tables: Sequence[text_columns.Table],
        folder: pathlib.Path,
        on_bad: str = "error",
        skip_with: str = row_checks.SKIP,
    ):
        short = sum(table.skipped for table in tables)
        super().__init__(
            np.concatenate([table.number for table in tables]),
            folder,
            on_bad,
            {"row length": short} if short else {},
            skip_with=skip_with,
        )
        self._files = np.repeat(
            [str(table.file) for table in tables], [len(t.number) for t in tables]
        )

    def place(self, i: int) -> str:
        """`row 7 of folder/dev_new.tsv`, the header is row 1."""
        return f"row {self.number[i] + self.first} of {self._files[i]}"


def split_folder(path: pathlib.Path) -> pathlib.Path:
    """Finds the folder with the files of the split."""
    wanted = [f"{part}.tsv" for part in pairs.PARTS.values()]
    for below in _BELOW:
        if (path / below / wanted[0]).is_file():
            folder = path / below
            break
    else:
        raise InputError(
            f"{path} must hold {wanted[0]}, it does not. {_WHERE.format(path)}."
        )
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder} must hold {', '.join(wanted)}, it has no {', '.join(missing)}. "
            f"{_WHERE.format(path)}."
        )
    return folder


def vectors_in(path: pathlib.Path, name: str) -> pathlib.Path:
    """The file of word vectors, relative to the data folder.

    Raises:
      InputError: saying what to get, if there is none.
    """
    file = path / pathlib.Path(name).expanduser()
    if not file.is_file():
        raise InputError(
            f"{file} (data.text.vectors) does not exist. {_VECTORS.format(path)}."
        )
    return file


def split_words(
    tables: Sequence[text_columns.Table], columns: Sequence[str], rows: row_checks.Rows
) -> list[list[list[str]]]:
    """The words of both sentences of each row; refuses rows without words.

    Args:
      tables: tables with the columns, in row order.
      columns: names of the two columns.
      rows: their rows.

    Returns:
      For each column, the words of each row.
    """
    both = []
    for column in columns:
        texts = [t for table in tables for t in table.cells[column].to_pylist()]
        found = [tokens.tokenize(text or "") for text in texts]
        rows.refuse(
            "no sentence",
            np.array([not some for some in found], bool),
            lambda i, column=column: (
                f"sentences must have words, {rows.place(i)} has none in {column!r}"
            ),
        )
        both.append(found)
    return both


def _column(tables: Sequence[text_columns.Table], name: str) -> Any:
    """A column of all tables."""
    import pyarrow as pa

    pieces = (table.cells[name] for table in tables)
    chunks = (c for piece in pieces for c in getattr(piece, "chunks", [piece]))
    return pa.chunked_array(chunks, pa.string())


def _unordered(
    tables: Sequence[text_columns.Table], columns: Sequence[str]
) -> np.ndarray:
    """`[rows]` int, equal for equal pairs, regardless of order and case."""
    sides = [
        [(t or "").lower() for table in tables for t in table.cells[c].to_pylist()]
        for c in columns
    ]
    keys = ["\t".join(sorted(pair)) for pair in zip(*sides, strict=True)]
    return np.unique(keys, return_inverse=True)[1]


def check_text(text: Mapping[str, Any]) -> None:
    """Checks the fields of `data.text`.

    Raises:
      InputError: naming the first invalid field.
    """
    for field in ("dim", "max_tokens", "max_words"):
        if text[field] < 1:
            raise InputError(
                f"config.data.text.{field} must be at least 1, got {text[field]!r}. "
                f"Set it with --config.data.text.{field}=VALUE."
            )
    if text["words_of"] not in ("all", "train"):
        raise InputError(
            "config.data.text.words_of must be 'all' or 'train', got "
            f"{text['words_of']!r}. Set it with --config.data.text.words_of=VALUE."
        )
    if len(text["columns"]) != 2:
        raise InputError(
            "config.data.text.columns must name two columns, got "
            f"{text['columns']!r}. Name those of the two sentences."
        )


def load(
    name: str,
    path: pathlib.Path,
    rules: label_rules.Rules,
    *,
    text: Mapping[str, Any],
    decimal: str | None = None,
    thousands: str | None = None,
    drop_leaks: bool = False,
) -> sources.Source:
    """Reads the files of a split and the vectors of their words.

    Args:
      name: name of the data set.
      path: the folder with the files, or the benchmark's own layout.
      rules: rules of the label, its bins and shots; scores are the column
        `rules.label`.
      text: the fields of `config.data.text`: `columns`, the two sentence columns;
        `max_tokens`, words to use per sentence; `vectors`, the vector file, relative to
        `path`; `dim`, size of its vectors; `max_words`, largest vocabulary; `words_of`,
        "all" splits or "train"; `lower`, whether to look words up in lower case.
      decimal: see `column_types.Wishes`.
      thousands: see `column_types.Wishes`.
      drop_leaks: whether to drop training pairs that are also in val or test.

    Returns:
      The source; inputs are `[rows, 2, max_tokens]` int32, word codes padded with 0,
      `constants` has `words` `[codes, dim]` float32, and `index` counts the rows of
      each split.

    Raises:
      InputError: naming file and row.
    """
    check_text(text)
    folder, columns = split_folder(path), text["columns"]
    vector_file = vectors_in(path, text["vectors"])
    tables = []
    for part in pairs.PARTS.values():
        table = table_files.read(
            folder / f"{part}.tsv", on_bad=rules.on_bad, bare_tabs=True
        )
        for column in columns:
            table.require(column, "data.text.columns")
        table.require(rules.label, "data.label")
        tables.append(table)
    return from_tables(
        name,
        tables,
        Rows(tables, folder, rules.on_bad),
        vector_file,
        rules,
        text=text,
        wishes=column_types.Wishes(decimal, thousands),
        drop_leaks=drop_leaks,
    )


def from_tables(
    name: str,
    tables: Sequence[text_columns.Table],
    rows: Rows,
    vector_file: pathlib.Path,
    rules: label_rules.Rules,
    *,
    text: Mapping[str, Any],
    wishes: column_types.Wishes,
    drop_leaks: bool,
) -> sources.Source:
    """A source of the tables of train, val and test, wherever they were read.

    Args:
      name: see `load`.
      tables: of the three splits, with the columns of sentences and label.
      rows: their rows.
      vector_file: see `load`.
      rules: see `load`.
      text: see `load`.
      wishes: how numbers are written.
      drop_leaks: see `load`.

    Raises:
      InputError: naming file and row.
    """
    columns, length = text["columns"], text["max_tokens"]
    sizes = [len(table.number) for table in tables]
    part = np.repeat(np.arange(3, dtype=np.int8), sizes)
    both = split_words(tables, columns, rows)
    y, readings = table_lib.stated_numbers(
        rules.label,
        _column(tables, rules.label),
        rows,
        field="label",
        wishes=wishes,
    )
    table_lib.tell_notations(readings, rows)
    whose = pairs.whose_split(y)
    rows.notes.append(whose)
    part = pairs.leave_leaks_out(_unordered(tables, columns), part, rows, drop_leaks)
    labelled = labelling.label_rows(y, rows, rules, part=part)

    # In the benchmark's order: all first sentences of a split before the second ones.
    counted = (
        side[i][:length]
        for position in range(1 if text["words_of"] == "train" else 3)
        for side in both
        for i in np.flatnonzero(labelled.part == position)
    )
    vocabulary = words.Vocabulary.of(
        counted, most=text["max_words"], lower=text["lower"]
    )
    table, there = words.table(vector_file, vocabulary, text["dim"], rules.seed)
    codes = np.stack([vocabulary.encode(side, length) for side in both], axis=1)
    rows.notes += _notes(both, length, codes, there, vector_file)
    source = sources.assemble(
        name,
        codes,
        labelled,
        record={
            "kind": "text",
            "split": whose,
            "columns": list(columns),
            "max_tokens": length,
            "values": text["dim"],
            "words": list(vocabulary.words),
            "lower": text["lower"],
            "with_vector": int(there.sum()),
            "vectors": hashlib.sha256(table.astype("<f4").tobytes()).hexdigest(),
            "label_range": list(rules.label_range or ()),
            "readings": column_types.to_json(readings),
            "encoder": {},
        },
    )
    return dataclasses.replace(source, constants={"words": table})


def _notes(
    both: Sequence[Sequence[Sequence[str]]],
    length: int,
    codes: np.ndarray,
    there: np.ndarray,
    file: pathlib.Path,
) -> list[str]:
    """Notes on the vocabulary."""
    real = codes[codes != words.PADDING]
    share = 100 * there[real].mean()
    known = len(there) - 2
    found = [
        f"{known:,} distinct words, {int(there.sum()):,} with a vector in {file.name} "
        f"({share:.1f} % of the text); the others have random vectors"
    ]
    longer = sum(len(s) > length for side in both for s in side)
    if longer:
        found.append(f"{longer:,} sentences are truncated to {length} words")
    unknown = int(np.sum(real == words.UNKNOWN))
    if unknown:
        found.append(f"{unknown:,} words are outside the vocabulary and share a vector")
    return found


def read_new(
    path: pathlib.Path,
    record: Mapping[str, Any],
    *,
    on_bad: str = "error",
    keep: Sequence[str] = (),
    label: str | None = None,
) -> Iterator[readers.Piece]:
    """Reads pairs to predict, in chunks.

    Args:
      path: a table, CSV, tab-separated (without quoting) or Parquet, with the two
        columns of training.
      record: data record of the run.
      on_bad: "error" or "skip" for unusable rows.
      keep: columns to repeat in the output.
      label: column of scores to read, too.

    Raises:
      InputError: if a column is missing or a row is unusable.
    """
    if path.is_dir() or text_files.starts_with(path, npz_files.MAGIC):
        raise InputError(
            "the model takes pairs of sentences, --input must be a table with the "
            f"columns {' and '.join(record['columns'])}, got {path}. Give CSV, "
            "tab-separated text or Parquet."
        )
    return _new_pairs(path, record, on_bad, keep, label)


def _new_pairs(
    path: pathlib.Path,
    record: Mapping[str, Any],
    on_bad: str,
    keep: Sequence[str],
    label: str | None,
) -> Iterator[readers.Piece]:
    skipped = 0
    vocabulary = words.Vocabulary(record["words"], record["lower"])
    for table in table_files.blocks(
        path, on_bad=on_bad, skip_with=readers.SKIP, bare_tabs=True
    ):
        for column in record["columns"]:
            table.require(column, "the model was trained with it", "Rename one.")
        for column in keep:
            table.require(column, "--keep")
        rows = row_checks.Rows(table.number, path, on_bad, skip_with=readers.SKIP)
        both = split_words([table], record["columns"], rows)
        codes = np.stack(
            [vocabulary.encode(side, record["max_tokens"]) for side in both], axis=1
        )
        value = _new_tables.new_labels(table, rows, label, record)
        value = None if value is None else value[rows.good]
        names: dict[str, Any] = {"index": table.number}
        names |= {c: text_columns.words(table.cells[c]) for c in keep}
        skipped = table_files.report_skipped(table.skipped, skipped)
        yield readers.Piece(names, codes[rows.good], rows.good, value)


def describe_inputs(
    source: sources.Source, dropped: Sequence[str] = ()
) -> dict[str, Any]:
    """Vocabulary sizes, see `data.describe.facts`."""
    del dropped
    record = source.record
    named = ("with_vector", "values", "max_tokens")
    return {
        "kind": "text",
        "words": len(record["words"]),
        **{name: record[name] for name in named},
    }


def inputs_text(inputs: Mapping[str, Any], rows: int) -> list[str]:
    """The same as lines of text."""
    del rows
    return [
        f"Inputs: pairs of sentences, at most {inputs['max_tokens']} words each",
        f" {inputs['words']:,} distinct words, {inputs['with_vector']:,} with a "
        f"vector of {inputs['values']} values",
    ]
