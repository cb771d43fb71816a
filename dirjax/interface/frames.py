"""Data in memory as files that readers read, so that there is one way in.

A data frame becomes Parquet, images become NPZ. Both go into the run directory, which
so remains complete: it resumes, and the commands take it.
"""

from __future__ import annotations

import contextlib
import filecmp
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from dirjax.errors import InputError
from dirjax.workdir import files

# Counts rows of new data, so that rows without any value keep their place.
ROW = "row of the frame"
# An option of commands in errors.
_OPTION = re.compile(r"--config\.([\w.]+)=([^\s,;]*[^\s,;.])")


def table(data: Any) -> Any:
    """A data frame as a pyarrow table; its index is not a column.

    Args:
      data: a pandas, polars or pyarrow frame, whatever exports Arrow streams; a mapping
        of column names to values; or an array `[rows, columns]`, whose columns are
        called x0, x1 and so on.

    Raises:
      InputError: for anything else, and for columns of mixed types.

    Example:
      >>> table(np.zeros((2, 3))).column_names
      ['x0', 'x1', 'x2']
    """
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    try:
        if isinstance(data, np.ndarray):
            if data.ndim != 2:
                raise InputError(
                    "a table must be an array [rows, columns], got one of shape "
                    f"{data.shape}."
                )
            names = [f"x{i}" for i in range(data.shape[1])]
            arrays = [pa.array(column, from_pandas=True) for column in data.T]
            return pa.table(arrays, names=names)
        if isinstance(data, Mapping):
            return pa.table({k: pa.array(v, from_pandas=True) for k, v in data.items()})
        if hasattr(data, "iloc") and hasattr(data, "columns"):
            frame = data.rename(columns=str)
            return pa.Table.from_pandas(frame, preserve_index=False)
        if hasattr(data, "__arrow_c_stream__") and not hasattr(data, "iloc"):
            return pa.table(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
        raise InputError(
            f"columns must hold one type each: {error}. Convert them to numbers or to "
            "text."
        ) from error
    raise InputError(
        "data must be a data frame (pandas, polars, pyarrow), a mapping of columns or "
        f"an array [rows, columns], got {type(data).__name__}."
    )


@contextlib.contextmanager
def speaking_of(folder: pathlib.Path) -> Iterator[None]:
    """Errors speak of the data that was given, not of the file that holds it.

    Rows of such files count from 0 anyway; options of commands become `fields`.

    Args:
      folder: where the file is.
    """

    def field(found: re.Match[str]) -> str:
        name, value = found.groups()
        rest = ")" if value.endswith(")") and "(" not in value else ""
        value = value.removesuffix(rest)
        # Placeholders such as NAME, and numbers, are no text.
        plain = value.isupper() or re.fullmatch(r"[-+.\d(].*|True|False|None", value)
        said = value if plain else f'"{value}"'
        return f'fields={{"{name}": {said}}}{rest}'

    try:
        yield
    except InputError as error:
        from dirjax.data import readers, row_checks

        # A temporary folder may be named by a link.
        names = "|".join(re.escape(str(f)) for f in (folder.resolve(), folder))
        file = rf"({names})/\w+\.(parquet|npz)"
        said = _OPTION.sub(field, re.sub(file, "the data", str(error)))
        said = said.replace(row_checks.or_skip(readers.SKIP), row_checks.or_skip(""))
        said = said.replace(f", {ROW}", "")
        if said == str(error):
            raise
        raise type(error)(said) from None


def with_column(frame: Any, name: str, values: Any) -> Any:
    """A pyarrow table with a further column."""
    import pyarrow as pa

    return frame.append_column(name, pa.array(values))


def free_name(frame: Any, name: str) -> str:
    """`name`, with underscores behind it until no column is called so."""
    while name in frame.column_names:
        name += "_"
    return name


def is_numeric(frame: Any, name: str) -> bool:
    """Whether a column holds numbers."""
    import pyarrow.types as types

    kind = frame.schema.field(name).type
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def is_text(frame: Any, name: str) -> bool:
    """Whether a column holds categories: text, or true and false."""
    import pyarrow.types as types

    kind = frame.schema.field(name).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return (
        types.is_string(kind) or types.is_large_string(kind) or types.is_boolean(kind)
    )


def write_table(frame: Any, file: pathlib.Path) -> None:
    """Writes a pyarrow table as Parquet."""
    import pyarrow.parquet

    pyarrow.parquet.write_table(frame, file)


def keep(write: Callable[[pathlib.Path], None], file: pathlib.Path) -> None:
    """Writes the data of a run, which stays as it is if it is there.

    Args:
      write: writes a file.
      file: where the data belongs.

    Raises:
      InputError: if other data is there: it is that of another run.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    half = files.half(file)
    try:
        write(half)
        if not file.exists():
            half.rename(file)
        elif not filecmp.cmp(half, file, shallow=False):
            raise InputError(
                f"workdir must be new, or that of a run on the same data, {file} holds "
                "other data. Name another folder."
            )
    finally:
        half.unlink(missing_ok=True)


def write_new(data: Any, folder: pathlib.Path) -> tuple[pathlib.Path, int]:
    """Writes rows to predict.

    Args:
      data: see `table`; or images `[rows, height, width(, channels)]`.
      folder: where to.

    Returns:
      The file, and the number of rows.
    """
    if isinstance(data, np.ndarray) and data.ndim > 2:
        np.savez(folder / "new.npz", x=data)
        return folder / "new.npz", len(data)
    frame = table(data)
    if ROW not in frame.column_names:
        frame = with_column(frame, ROW, np.arange(frame.num_rows))
    write_table(frame, folder / "new.parquet")
    return folder / "new.parquet", frame.num_rows
