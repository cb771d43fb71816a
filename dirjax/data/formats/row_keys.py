"""Keys of the rows of a table, so that a split does not depend on their order.

A key is a hash of the row as a tuple of Python, `(0.5, 'north', 3.0)`. Python itself
would take most of the time of reading a large table to spell it, so numbers that are
written as Python spells them, nearly all, are copied.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from dirjax.data.formats import text_columns
from dirjax.data.formats.text_columns import Table

# What no plain number holds; RE2.
_ODD = r"[^-\d.]|.-|\..*\."
# At most so many rows and cells are spelt at once.
_ROWS, _CELLS = 1 << 16, 1 << 23


def _places(data: np.ndarray, ends: np.ndarray) -> np.ndarray | None:
    """Where each cell has its point: `[rows]`, the end of a cell that has none.

    None if a cell has two.

    Args:
      data: all cells in a row, `[bytes]` uint8.
      ends: `[rows + 1]`, where cells begin and end.
    """
    points = np.flatnonzero(data == ord(".")).astype(np.int32)
    start, end = ends[:-1], ends[1:]
    if not len(points):
        return end
    if len(points) == len(end) and np.all((start <= points) & (points < end)):
        return points
    cells = np.arange(len(end), dtype=np.int32)
    owner = np.repeat(cells, end - start).take(points)
    if np.any(owner[1:] == owner[:-1]):
        return None
    places = end.copy()
    places[owner] = points
    return places


def like_python(text: Any) -> tuple[np.ndarray, np.ndarray]:
    """Which numbers are written as Python spells them, but for a missing `.0`.

    Looks no further than at plain numbers of 15 digits, which tell all numbers apart,
    and takes numbers below 1e-4 for such, which Python spells in powers of ten.

    Args:
      text: pyarrow string array without null.

    Returns:
      `[rows]` bool; and, of those, which have no point.

    Example:
      >>> import pyarrow as pa
      >>> like_python(pa.array(["0.5", "-12", "1.50", "007", ".5"]))[0].tolist()
      [True, True, False, False, False]
    """
    import pyarrow as pa
    import pyarrow.compute

    found = np.zeros((2, len(text)), bool)
    if not len(text):
        return found[0], found[1]
    _, offsets, content = text.buffers()
    ends = np.frombuffer(offsets, np.int32)[text.offset : text.offset + len(text) + 1]
    if ends[0] == ends[-1]:
        return found[0], found[1]
    data = np.frombuffer(content, np.uint8)[ends[0] : ends[-1]]
    ends = ends - ends[0]
    start, end = ends[:-1], ends[1:]
    filled = end > start
    minus = filled & (data.take(start, mode="clip") == ord("-"))
    point = _places(data, ends)
    others = np.count_nonzero(data - np.uint8(ord("0")) > 9)
    if point is None or others != minus.sum() + np.sum(point < end):
        pc: Any = pyarrow.compute
        odd = pc.match_substring_regex(text, _ODD)
        plain = ~np.asarray(odd.to_numpy(zero_copy_only=False), bool)
        found[:, plain] = like_python(text.filter(pa.array(plain)))
        return found[0], found[1]
    first = start + minus
    whole, decimals = point - first, end - point - 1  # -1 without a point
    # No zeros that tell nothing.
    good = (whole == 1) | ((whole > 1) & (data.take(first, mode="clip") != ord("0")))
    useful = (decimals == 1) | (data.take(end - 1, mode="clip") != ord("0"))
    pointed = (whole <= 7) & (decimals >= 1) & (decimals <= 8) & useful
    bare = decimals < 0
    return good & np.where(bare, whole <= 15, pointed), good & bare


def _spelt(column: Any, values: np.ndarray | None, marked: bool) -> Any:
    """Cells as Python spells them: `0.5`, `3.0`, `'north'`."""
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    text = pc.fill_null(column, "")
    same = np.zeros(len(text), bool)
    if values is not None and not marked:
        same, bare = like_python(text)
        same &= ~np.isnan(values) & ((np.abs(values) >= 1e-4) | (values == 0))
        if np.any(same & bare):
            point = pc.if_else(pa.array(same & bare), ".0", "")
            text = pc.binary_join_element_wise(text, point, "")
    odd = np.flatnonzero(~same)
    if len(odd):
        whole = len(odd) == len(text)
        coded = (text if whole else text.take(pa.array(odd))).dictionary_encode()
        cells = coded.dictionary
        if values is None:
            numbers = text_columns.numbers(cells)[0]
        else:
            numbers = np.empty(len(cells))
            numbers[coded.indices.to_numpy()] = values[odd]
        pairs = zip(numbers.tolist(), cells.to_pylist(), strict=True)
        said = [repr(cell if number != number else number) for number, cell in pairs]
        spelt = pa.array(said, pa.string()).take(coded.indices)
        text = spelt if whole else pc.replace_with_mask(text, pa.array(~same), spelt)
    return text


def _spelt_rows(
    cells: Mapping[str, Any],
    known: Mapping[str, np.ndarray],
    marked: Collection[str],
) -> list[bytes]:
    """Rows as Python spells tuples, with 0, the number of the first of equal rows.

    Args:
      cells: column -> pyarrow string array, in order of their names.
      known: see `keys`, for the same rows.
      marked: see `keys`.
    """
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute
    columns = [_spelt(c, known.get(n), n in marked) for n, c in cells.items()]
    joined = pc.binary_join_element_wise(*columns, ", ")
    end = ",)0" if len(columns) == 1 else ")0"
    joined = pc.binary_join_element_wise("(", joined, end, "")
    return joined.cast(pa.binary()).to_pylist()


def keys(
    table: Table,
    known: Mapping[str, np.ndarray] | None = None,
    marked: Collection[str] = (),
) -> np.ndarray:
    """A key for each row, from its content; equal rows are numbered.

    Args:
      table: the table.
      known: column -> its numbers, `[rows]` float64, where they have been read.
      marked: columns of them whose numbers are written in a notation of their own: the
        keys are those of the numbers.

    Returns:
      `[rows]` uint64: hashes of the rows as tuples of Python, with their number.
    """
    cells = dict(sorted(table.cells.items()))
    known = known or {}

    def spelt(rows: np.ndarray | slice) -> list[bytes]:
        if isinstance(rows, slice):
            some = {n: c.slice(rows.start, size) for n, c in cells.items()}
        else:
            some = {n: c.take(rows) for n, c in cells.items()}
        arrays = {n: text_columns.in_one(column) for n, column in some.items()}
        return _spelt_rows(arrays, {n: v[rows] for n, v in known.items()}, marked)

    size = min(_ROWS, max(1, _CELLS // len(cells)))
    starts = range(0, len(table.number), size)
    blocks = (spelt(slice(start, start + size)) for start in starts)
    hashes = [_hashes(block) for block in blocks]
    found = np.concatenate([np.zeros(0, np.uint64), *hashes])
    ordered = np.sort(found)
    if np.any(ordered[1:] == ordered[:-1]):
        _, first, group = np.unique(found, return_index=True, return_inverse=True)
        again = np.setdiff1d(np.arange(len(found)), first)
        seen = dict[int, int]()
        for i, of_row, text in zip(
            again.tolist(), group[again].tolist(), spelt(again), strict=True
        ):
            twin = seen[of_row] = seen.get(of_row, 0) + 1
            (found[i],) = _hashes([text[:-1] + str(twin).encode()])
    return found


def _hashes(texts: Iterable[bytes]) -> np.ndarray:
    """A hash of each text, uint64."""
    blake = functools.partial(hashlib.blake2b, digest_size=8)
    digests = b"".join([blake(text).digest() for text in texts])
    return np.frombuffer(digests, "<u8").copy()
