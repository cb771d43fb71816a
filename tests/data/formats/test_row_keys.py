"""Keys of rows: hashes of tuples as Python spells them."""

import hashlib
import pathlib

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies

from dirjax.data.formats import row_keys, text_columns

# Spellings of numbers as files have them, and of what looks like one.
CELLS = strategies.one_of(
    strategies.floats().map(repr),
    strategies.integers().map(str),
    strategies.decimals(-1000, 1000, places=2).map(str),
    strategies.text("0123456789.-+eE_ xi\u0661", max_size=20),
)


def test_keys_are_hashes_of_rows_as_python_spells_them():
    """Splits of published results depend on them."""
    cells = {
        "b": ["1", "1.0", "1.50", "-0", "1e5", "0.00001", "0.1234567890123456", None],
        "a": ["x", "it's", 'say "no"', "back\\slash", "Köln", "", "\t", "1_0"],
        "c": ["nan1", "inf", "\u0661", "12345678901234567", "007", ".5", "5.", "+3"],
        "d": [f"{i / 7:.9f}" for i in range(8)],
    }
    cells = {name: [*column, column[0]] for name, column in cells.items()}
    arrays = {name: pa.array(column, pa.string()) for name, column in cells.items()}
    for names in (("a", "b", "c", "d"), ("b",)):
        table = text_columns.Table(
            pathlib.Path("mine.csv"), {n: arrays[n] for n in names}, np.arange(9)
        )
        want, seen = [], []
        for row in zip(*(cells[n] for n in names), strict=True):
            said = repr(tuple(spelt(cell) for cell in row))
            text = f"{said}{seen.count(said)}"
            seen.append(said)
            digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
            want.append(int.from_bytes(digest, "little"))
        assert row_keys.keys(table).tolist() == want


def spelt(cell):
    """A number, or a text."""
    try:
        return float((cell or "").replace("_", "?"))
    except ValueError:
        return cell or ""


@hypothesis.given(strategies.lists(CELLS, min_size=1, max_size=4))
def test_numbers_are_copied_only_if_python_spells_them_so(cells):
    same, bare = row_keys.like_python(pa.array(["", *cells, ""], pa.string()))
    assert not same[0]
    assert not same[-1]
    for i, cell in enumerate(cells, 1):
        if same[i] and (float(cell) == 0 or abs(float(cell)) >= 1e-4):
            assert repr(float(cell)) == cell + ".0" * bool(bare[i])


def test_numbers_of_files_are_copied():
    cells = ["0", "-0", "12", "0.5", "-3.0", "1234567.12345678", "999999999999999"]
    odd = ["00", "-", "1.50", ".5", "5.", "007", "-007.5", "9" * 16, "0.123456789"]
    same, bare = row_keys.like_python(pa.array(["x", *cells, *odd]).slice(1))
    assert same.tolist() == [True] * len(cells) + [False] * len(odd)
    assert bare[: len(cells)].tolist() == ["." not in cell for cell in cells]


@pytest.mark.parametrize("cell", ["1.2.3", "1e5", "5.-", "+3", "1-2", "x", "1 2", "Ö"])
def test_what_is_no_plain_number_is_not_copied(cell):
    same, bare = row_keys.like_python(pa.array(["1.5", cell, "2", "", "1.50"]))
    assert same.tolist() == [True, False, True, False, False]
    assert bare.tolist() == [False, False, True, False, False]


def test_keys_do_not_depend_on_blocks(monkeypatch):
    cells = {
        "x": pa.chunked_array([[f"{i % 7}.5" for i in range(30)], ["oops", None, "3"]]),
        "c": pa.chunked_array([[str(i % 2) for i in range(33)]]),
    }
    table = text_columns.Table(pathlib.Path("mine.csv"), cells, np.arange(33))
    want = row_keys.keys(table)
    assert len(np.unique(want)) == 33  # though rows repeat
    monkeypatch.setattr(row_keys, "_ROWS", 4)
    np.testing.assert_array_equal(row_keys.keys(table), want)
