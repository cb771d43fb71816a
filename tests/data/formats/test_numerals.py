"""Numbers as people write them."""

import math

import pyarrow as pa
import pytest

from dirjax.data.formats import numerals
from dirjax.data.formats.numerals import Notation

# Cells -> notation and values.
CLEAR = {
    "plain": (("1", "2.5", "-.5", "+3.", "1e-3"), Notation(), (1, 2.5, -0.5, 3, 1e-3)),
    "decimal comma": (("0,126", "-1,423"), Notation(","), (0.126, -1.423)),
    "thousands": (("1,188", "850"), Notation(thousands=","), (1188, 850)),
    "both": (("1.188,50", "20"), Notation(",", "."), (1188.5, 20)),
    "blanks": (("1 234,5", "7"), Notation(",", " "), (1234.5, 7)),
    "narrow blanks": (("1\u202f234", "7"), Notation(".", " "), (1234, 7)),
    "Swiss": (("1'234.5", "7"), Notation(".", "'"), (1234.5, 7)),
    "Indian": (("1,23,456", "5,000"), Notation(".", ","), (123456, 5000)),
    "Unicode's minus": (("\u22125,5", "3"), Notation(","), (-5.5, 3)),
    "unit": (("12 kg", "7.5kg"), Notation(behind="kg"), (12, 7.5)),
    "unit with digits": (("4 m2", "5 m2"), Notation(behind="m2"), (4, 5)),
    "plural": (("3 rooms", "2 rooms", "1 room"), Notation(behind="rooms"), (3, 2, 1)),
    "seconds": (("12 s", "3 s"), Notation(behind="s"), (12, 3)),
    "unit of some": (("12 kg", "7"), Notation(behind="kg"), (12, 7)),
    "currency": (("$1,200.50", "-$3"), Notation(".", ",", "$"), (1200.5, -3)),
    "code": (("EUR 12", "EUR 1.234,50"), Notation(",", ".", "EUR"), (12, 1234.5)),
    "behind": (("12,50 €", "3 €"), Notation(",", "", "", "€"), (12.5, 3)),
    "per cent": (("12 %", "3,5 %"), Notation(",", behind="%"), (12, 3.5)),
    "exponent": (("1,5e3", "2"), Notation(","), (1500, 2)),
}


@pytest.mark.parametrize("case", CLEAR)
def test_found_and_read(case):
    cells, notation, values = CLEAR[case]
    column = pa.array([*cells, None])
    assert numerals.find(column) == numerals.Found(notation)
    got, wrong = numerals.read(column, notation)
    assert got[:-1].tolist() == pytest.approx(list(values))
    assert math.isnan(got[-1])
    assert not wrong.any()


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("1,188", "1,200"), "may mean 1188 or 1.188 by '1,188'; say which"),
        (("1500", "1,188"), "may mean 1188 or 1.188"),
        (("12 kg", "500 g"), "different text behind them ('kg', 'g')"),
        (("12 m", "5 ms"), "different text behind them ('m', 'ms')"),
        (("$ 3", "€ 5"), "different text in front of them ('$', '€')"),
        (("5 %", "0.07", "3 %"), "has 2 numbers with % and 1 without"),
        (("1,5", "2.5", "3,5"), "marks differ"),
    ],
)
def test_doubt(cells, said):
    found = numerals.find(pa.array(cells))
    assert found.notation is None
    assert said in found.doubt


@pytest.mark.parametrize(
    "cells",
    [
        *(("P1", "P2"), ("Q1", "Q2"), ("1.2.3", "1.2.4"), ("12:30", "13:40")),
        *(("1-2", "3-4"), ("red", "blue"), ("10a", "12b", "7c", "9d"), (None, None)),
        ("4WD", "2WD", "4x4", "4WD", "4WD", "4x4", "4WD", "2WD", "4WD"),
    ],
)
def test_what_is_no_number(cells):
    found = numerals.find(pa.array(cells, pa.string()))
    assert (found.notation, found.doubt) == (None, "")


def test_the_rest_of_the_file_decides():
    cells = pa.array(["1,188", "1,200"])
    assert numerals.find(cells, hint=",").notation == Notation(",")
    assert numerals.find(cells, hint=".").notation == Notation(thousands=",")
    cells = pa.array(["1.188", "1.200"])
    assert numerals.find(cells, hint=",").notation == Notation(",", ".")
    assert numerals.find(cells).notation == Notation()


def test_what_the_user_says():
    cells = pa.array(["1,188", "1,200"])
    assert numerals.find(cells, decimal=",").notation == Notation(",")
    assert numerals.find(cells, thousands=",").notation == Notation(thousands=",")
    doubt = numerals.find(pa.array(["1,5", "2,5"]), decimal=".").doubt
    assert "marks differ or are not those of data.decimal" in doubt


def test_new_cells_are_read_by_the_rules_of_training():
    """1,5 is no number where a comma separates thousands."""
    _, wrong = numerals.read(pa.array(["1,5", "1,500"]), Notation(thousands=","))
    assert wrong.tolist() == [True, False]
    _, wrong = numerals.read(pa.array(["12 kg", "12 g", "12"]), Notation(behind="kg"))
    assert wrong.tolist() == [False, True, False]
    _, wrong = numerals.read(pa.array(["12 m", "12 ms"]), Notation(behind="m"))
    assert wrong.tolist() == [False, True]
