"""How numbers are written: digits that tell them apart, at every size."""

import pytest

from dirjax import digits


@pytest.mark.parametrize(
    ("values", "spreads", "written"),
    [
        ([20.861, 15.87, 30.729], [0.53], ["20.86", "15.87", "30.73"]),
        ([105.3, 20.861], [], ["105.30", "20.86"]),
        ([22561.2, 1810.0], [904.4], ["22,561", "1,810"]),
        ([2.2561e6], [], ["2,256,100"]),
        ([2.521e-8, 8.555e-8], [3.154e-8], ["2.521e-8", "8.555e-8"]),
        ([0.00123, 0.0002], [], ["0.001230", "0.000200"]),
        ([3.2e12], [], ["3.200e12"]),
        # The smallest number, and the largest spread, keep two digits.
        ([30.0, 0.042], [], ["30.000", "0.042"]),
        ([1000.12, 1000.15], [0.031], ["1,000.12", "1,000.15"]),
        ([0.0], [], ["0.000"]),
        ([], [], []),
    ],
)
def test_a_column(values, spreads, written):
    form = digits.form(values, spreads)
    assert [form(value) for value in values] == written


def test_signs_and_zero():
    form = digits.form([20.0, 1.5])
    assert [form(v, "+") for v in (1.5, -1.5, 0.0, -0.0001)] == [
        *("+1.50", "-1.50", "0.00", "0.00"),
    ]
    small = digits.form([2e-6])
    assert (small(0.0), small(2e-6, "+")) == ("0.000", "+2.000e-6")
    assert digits.form([float("nan"), 2.0])(2.0) == "2.000"


def test_one_number():
    assert [digits.short(v) for v in (0, 45.5, 105.31, -22561.2, 3e-6)] == [
        *("0", "45.50", "105.3", "-22,561", "3.000e-6"),
    ]
    assert digits.short(float("nan")) == "nan"


def test_a_tick_has_no_digits_of_floating_point():
    written = ["123,456.789", "1,000.1", "0.3", "-2,000", "2.5e-6", "1e9", "0.001"]
    values = (123456.789, 1000.1, 0.1 + 0.2, -2000.0, 2.5e-6, 1e9, 1e-3)
    assert [digits.plain(v) for v in values] == written


def test_ticks():
    assert digits.ticks([0.0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert digits.ticks([0.1, 0.2, 0.1 + 0.2]) == ["0.1", "0.2", "0.3"]
    assert digits.ticks([-5e5, 0.0, 5e5]) == ["-500,000", "0", "500,000"]
    assert digits.ticks([0.0, 2.5e-6, 5e-6]) == ["0", "2.5e-6", "5.0e-6"]
    assert digits.ticks([0.0, 4e-6, 8e-6, 12e-6]) == ["0", "4e-6", "8e-6", "12e-6"]
    assert digits.ticks([]) == []
    assert digits.ticks([0.0]) == ["0"]
