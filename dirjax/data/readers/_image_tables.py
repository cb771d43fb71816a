"""Tables of images: with their paths, or, in Parquet, with the images themselves.

A folder may hold

  one table (CSV, TSV, Parquet, JSON Lines) of paths, relative to it, and labels;
  `metadata.csv`, `.jsonl` or `.parquet` with the column `file_name`, at its top or in
    each folder of a split (train, validation, test), like the image folders of Hugging
    Face's datasets (https://huggingface.co/docs/datasets/image_dataset);
  Parquet files in parts, `train-00000-of-00002.parquet`, also in its folder `data` or
    in folders of splits, like the data sets of their hub.

A column of images in Parquet is `struct<bytes, path>`, or plain bytes; where the bytes
are missing, the path counts.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from dirjax.data import labelling
from dirjax.data.formats import table_files, text_columns, text_files
from dirjax.data.formats.decoding import SUFFIXES
from dirjax.data.splits import PARTS
from dirjax.errors import InputError

_ENDINGS = (".csv", ".tsv", ".csv.gz", ".parquet", ".jsonl")
_PARQUET = b"PAR1"
# Columns of paths; the second if data.input is not given and the first is not there.
_PATH = "path"
_FILE_NAME = "file_name"
# Cells by which a column of paths is known.
_LOOK = 20


@dataclasses.dataclass
class Listing:
    """The rows of a table of images.

    Attributes:
      table: all other columns; a column of splits is added where folders or names of
        files tell them.
      root: what paths are relative to.
      names: path of each image, empty where there is none.
      encoded: row -> content of its image file; None if images are files.
      column: name of the column of images.
      notes: sentences on what was found.
      raw: `names` as the table has them.
    """

    table: text_columns.Table
    root: pathlib.Path
    names: list[str]
    encoded: Any
    column: str
    notes: list[str]
    raw: list[str]

    def read(self, i: int) -> bytes:
        """The content of a row's image file; may raise OSError."""
        content = None
        if self.encoded is not None:
            cell = self.encoded[i].as_py()
            content = cell.get("bytes") if isinstance(cell, dict) else cell
        return (self.root / self.names[i]).read_bytes() if content is None else content

    def missing(self) -> np.ndarray:
        """`[rows]` bool: neither a path nor an image."""
        if self.encoded is None:
            return np.array([not name for name in self.names])
        import pyarrow as pa
        import pyarrow.compute

        pc: Any = pyarrow.compute
        content = self.encoded
        if pa.types.is_struct(content.type):
            content = pc.struct_field(content, "bytes")
        none = np.asarray(pc.is_null(content).to_pylist(), bool)
        return none & np.array([not name for name in self.names])


def on_disk(folder: pathlib.Path, names: Sequence[str]) -> list[str]:
    """Paths with backslashes for separators, as Windows writes them, as they are here.

    Args:
      folder: what paths are relative to.
      names: paths of a table; one that exists as it stands stays so.
    """
    found = list(names)
    for i, name in enumerate(names):
        if "\\" in name and not (folder / name).exists():
            found[i] = name.replace("\\", "/")
    return found


def parquet_below(folder: pathlib.Path) -> bool:
    """Whether a folder holds Parquet files, at any depth."""
    return any(not f.name.startswith(".") for f in folder.rglob("*.parquet"))


def part_of(name: str) -> str:
    """The split in the name of a file or folder, or an empty text.

    Example:
      >>> part_of("validation-00000-of-00001.parquet"), part_of("Train"), part_of("a")
      ('val', 'train', '')
    """
    word = re.split(r"[-_.]", name.lower())[0]
    return labelling.SPLITS[PARTS[word]] if word in PARTS else ""


def _tables(folder: pathlib.Path) -> list[pathlib.Path]:
    """Tables in a folder, but for names that begin with a dot."""
    return sorted(
        f
        for f in folder.iterdir()
        if f.name.lower().endswith(_ENDINGS)
        and not f.name.startswith(".")
        and f.is_file()
    )


def _chosen(folder: pathlib.Path) -> list[pathlib.Path]:
    """The table of a folder, or all Parquet files of one in parts; empty if unclear."""
    here = _tables(folder)
    metadata = [f for f in here if f.name.split(".")[0] == "metadata"]
    if len(metadata) == 1:
        return metadata
    parts = len(here) > 1 and all(f.suffix == ".parquet" for f in here)
    return here if len(here) == 1 or parts else []


def find(path: pathlib.Path) -> list[tuple[pathlib.Path, str]]:
    """Finds the tables of a data set, with the split of each, empty if not told.

    Args:
      path: a table, or a folder; see the module.

    Raises:
      InputError: if there is no table, or it is unclear which.
    """
    if path.is_file():
        return [(path, "")]
    chosen = _chosen(path)
    if len(chosen) == 1:
        return [(chosen[0], "")]
    if chosen:
        return [(f, part_of(f.name)) for f in chosen]
    here = _tables(path)
    if not here:
        folders = sorted(f for f in path.iterdir() if f.is_dir() and part_of(f.name))
        found = [(f, part_of(d.name)) for d in folders for f in _chosen(d)]
        if found:
            return found
        if (path / "data").is_dir() and _chosen(path / "data"):
            return find(path / "data")
    names = ", ".join(f.name for f in here) or "none"
    raise InputError(
        f"{path} must hold one table of paths and labels, it has {names}. Set "
        "--config.data.path to the table itself."
    )


def _images_of(file: pathlib.Path) -> list[str]:
    """Columns of a Parquet file that hold images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file.suffix == ".jsonl" or not text_files.starts_with(file, _PARQUET):
        return []
    try:
        schema = pq.read_schema(file)
    except (pa.ArrowInvalid, OSError):
        return []  # Reading the table says what is wrong.

    def holds(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    return [field.name for field in schema if holds(field.type)]


def _read(file: pathlib.Path, **options: Any) -> text_columns.Table:
    if file.suffix != ".jsonl":
        return table_files.read(file, **options)
    import pyarrow as pa
    from pyarrow import json

    try:
        rows = json.read_json(file)
    except pa.ArrowInvalid as error:
        why = str(error).splitlines()[0].rstrip(". ")
        raise InputError(
            f"{file} must hold a JSON object a line: {why}. Fix it, or give CSV."
        ) from error
    if not rows.num_rows:
        raise InputError(f"{file} has no rows. Give another file.")
    table = table_files.of_arrow(file, rows, options.get("missing", ()))
    return dataclasses.replace(table, first=1)  # There is no header.


def _joined(
    path: pathlib.Path,
    files: Sequence[tuple[pathlib.Path, str]],
    tables: Sequence[text_columns.Table],
    split: str,
) -> text_columns.Table:
    """One table of several, with a column of splits."""
    import pyarrow as pa

    first = tables[0]
    for table in tables[1:]:
        differ = set(table.cells) ^ set(first.cells)
        if differ:
            raise InputError(
                "tables of one data set must have the same columns, "
                f"{sorted(differ)[0]!r} is in one of {first.file.name} and "
                f"{table.file.name} alone. Make them equal."
            )
    cells = {
        name: pa.chunked_array(
            [c for t in tables for c in _chunks(t.cells[name])], pa.string()
        )
        for name in first.cells
    }
    if any(part for _, part in files) and split not in cells:
        words = [
            np.repeat(part, len(t.number))
            for (_, part), t in zip(files, tables, strict=True)
        ]
        cells[split] = pa.array(np.concatenate(words).tolist())
    starts = np.cumsum([0, *(int(t.number[-1]) + 1 for t in tables)])
    number = [t.number + s for t, s in zip(tables, starts, strict=False)]
    skipped = sum(t.skipped for t in tables)
    return dataclasses.replace(
        first,
        file=first.file if len(tables) == 1 else path,
        cells=cells,
        number=np.concatenate(number),
        skipped=skipped,
    )


def _chunks(column: Any) -> list[Any]:
    return getattr(column, "chunks", [column])


def _names_images(cells: Any) -> bool:
    """Whether the first cells of a column are all names of image files."""
    first = [name for name in text_columns.words(cells[:_LOOK]).tolist() if name]
    return bool(first) and all(name.lower().endswith(SUFFIXES) for name in first)


def _column(
    table: text_columns.Table, images: Sequence[str], wanted: str, notes: list[str]
) -> str:
    """The column of images: the wanted one, else the only one there can be."""
    if wanted in table.cells or wanted in images:
        return wanted
    if wanted != _PATH:
        table.require(wanted, "data.input")
    others = [_FILE_NAME] if _FILE_NAME in table.cells else list(images)
    others = others or [n for n, cells in table.cells.items() if _names_images(cells)]
    if len(others) == 1:
        notes.append(f"images are those of the column {others[0]!r} (data.input)")
        return others[0]
    if others:
        raise InputError(
            f"{table.file} has several columns of images: {', '.join(others)}. Name "
            f"one, such as --config.data.input={others[0]}."
        )
    table.require(wanted, "data.input")
    return wanted


def read(
    path: pathlib.Path, wanted: str, split: str = labelling.SPLIT, **options: Any
) -> Listing:
    """Reads a table of images.

    Args:
      path: a table or a folder, see the module.
      wanted: column of paths or images; if missing, `file_name` or the only column of
        images.
      split: name of the column of splits, which is added if folders or names of files
        tell them and the table lacks it.
      **options: see `table_files.blocks`.

    Raises:
      InputError: if there is no such table or column, or tables do not match.
    """
    files, notes = find(path), list[str]()
    if any(part for _, part in files):
        extra = [f.name for f, part in files if not part]
        files = [(f, part) for f, part in files if part]
        files.sort(key=lambda file: labelling.SPLITS.index(file[1]))
        if extra:
            notes.append(f"left out, of no known split: {', '.join(extra)}")
        if len({part for _, part in files}) == 1:
            files = [(f, "") for f, _ in files]  # One part is no split.
    images = _images_of(files[0][0])
    # Text of all other columns: that of images may be larger than memory.
    tables = [_read(f, without=images, **options) for f, _ in files]
    table = _joined(path, files, tables, split)
    column = _column(table, images, wanted, notes)
    single = len(files) == 1
    root = files[0][0].parent if single or path.is_file() else path
    encoded = None
    if column in images:
        encoded = _column_of([f for f, _ in files], column)
        names = _paths(encoded)
    else:
        names = text_columns.words(table.cells[column]).tolist()
        if not single:  # Relative to the table of each part.
            folders = [f.parent.relative_to(root) for f, _ in files]
            sizes = [len(t.number) for t in tables]
            where = itertools.chain(*map(itertools.repeat, folders, sizes))
            names = [str(w / n) if n else n for w, n in zip(where, names, strict=True)]
        elif files[0][0].name.startswith("metadata.") and split not in table.cells:
            _split_by_folders(table, names, split)
    if split in table.cells and (not single or column == _FILE_NAME):
        words, counts = np.unique(
            text_columns.words(table.cells[split]), return_counts=True
        )
        said = ", ".join(f"{n:,} {w}" for w, n in zip(words, counts, strict=True))
        notes.append(f"the split is that of files and folders: {said}")
    return Listing(table, root, on_disk(root, names), encoded, column, notes, raw=names)


def _split_by_folders(
    table: text_columns.Table, names: Sequence[str], split: str
) -> None:
    """Adds the column of splits if each image lies in the folder of one."""
    import pyarrow as pa

    parts = [part_of(pathlib.PurePath(n).parts[0]) if "/" in n else "" for n in names]
    if all(parts) and len({*parts}) > 1:
        table.cells[split] = pa.array(parts)


def _column_of(files: Sequence[pathlib.Path], column: str) -> Any:
    """A column of Parquet files, as one array in chunks."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parts = [pq.read_table(f, columns=[column])[column] for f in files]
        return pa.chunked_array([c for p in parts for c in p.chunks])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise InputError(
            f"{column!r} of {files[0]} and its other parts must be one column of "
            f"images: {str(error).splitlines()[0]}. Give other files."
        ) from error


def _paths(encoded: Any) -> list[str]:
    """Paths in a column of images, empty where there is none."""
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    kind = encoded.type
    if not pa.types.is_struct(kind) or kind.get_field_index("path") < 0:
        return [""] * len(encoded)
    return [name or "" for name in pc.struct_field(encoded, "path").to_pylist()]
