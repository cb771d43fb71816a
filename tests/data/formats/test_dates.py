"""Dates as people write them."""

import numpy as np
import pyarrow as pa
import pytest

from dirjax.data.formats import dates

# Each is 3 February 2021, a Wednesday, beside a date that tells the order.
WRITTEN = {
    "2021-02-03": ("2021-02-13", "ymd"),
    "2021/2/3": ("2021/2/13", "ymd"),
    "03.02.2021": ("13.02.2021", "dmy"),
    "3.2.21": ("1.2.21", "dmy"),
    "3/2/2021": ("13/2/2021", "dmy"),
    "2/3/2021": ("2/13/2021", "mdy"),
    "3 Feb 2021": ("4 March 2021", "d name y"),
    "03-feb-21": ("04-mar-99", "d name y"),
    "Feb 3, 2021": ("March 4th 2021", "name d y"),
}


@pytest.mark.parametrize("cell", WRITTEN)
def test_forms(cell):
    other, form = WRITTEN[cell]
    column = pa.array([cell, other, None])
    assert dates.find(column) == dates.Found(form)
    parts, wrong = dates.parts(column, form, False)
    assert not wrong.any()
    got = {name: values[0] for name, values in parts.items()}
    assert got == {"year": 2021, "day of year": 34, "weekday": 2}
    assert all(np.isnan(values[2]) for values in parts.values())


@pytest.mark.parametrize(
    ("time", "hour"),
    [(" 06:30", 6.5), ("T18:45:00Z", 18.75), (" 6:30 PM", 18.5), (" 12:00 am", 0)],
)
def test_times(time, hour):
    column = pa.array([f"2021-02-03{time}", "2021-02-03"])
    assert dates.find(column) == dates.Found("ymd", timed=True)
    parts, _ = dates.parts(column, "ymd", True)
    np.testing.assert_array_equal(parts["hour"], [hour, np.nan])


def test_the_order_may_be_unclear_and_said():
    column = pa.array(["3/4/2021", "5/6/2021"])
    assert "3/4/2021, whose first number" in dates.find(column).doubt
    assert dates.find(column, "dmy").form == "dmy"
    assert dates.find(column, "mdy").form == "mdy"


def test_what_is_no_date():
    for cells in (
        ["2021-02-30"],
        ["1.2.3"],
        ["555-1234"],
        ["2021"],
        ["10/12"],
        ["May"],
    ):
        assert dates.find(pa.array(cells)) == dates.Found()
    _, wrong = dates.parts(
        pa.array(["2021-02-30", "2020-02-29", "x", None]), "ymd", False
    )
    assert wrong.tolist() == [True, False, True, False]


def test_centuries():
    years = dates.parts(pa.array(["1.1.68", "1.1.69"]), "dmy", False)[0]["year"]
    assert years.tolist() == [2068, 1969]


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (["2015-03", "2015/12"], "ym"),
        (["03/2015", "12-2015"], "my"),
        (["Mar 2015", "December 2015"], "name y"),
        (["2015-Mar", "2015 Dec"], "y name"),
    ],
)
def test_months(cells, form):
    column = pa.array([*cells, None])
    assert dates.find(column) == dates.Found(form)
    parts, wrong = dates.parts(column, form, False)
    assert not wrong.any()
    np.testing.assert_array_equal(parts["year"], [2015, 2015, np.nan])
    np.testing.assert_array_equal(parts["month"], [3, 12, np.nan])


@pytest.mark.parametrize(
    ("cell", "hours"),
    [
        ("12:30", 12.5),
        ("00:00:36", 0.01),
        ("1:30 PM", 13.5),
        ("12:15 am", 0.25),
        ("100:15:00", 100.25),
        ("0:00:01.8", 0.0005),
        ("0:00:01,8", 0.0005),
        ("-1:30", -1.5),
        ("0 days 01:30:00", 1.5),
        ("2 days, 1:30:00", 49.5),
        ("-1 days +23:00:00", -1),
    ],
)
def test_times_and_durations(cell, hours):
    column = pa.array([cell, None])
    assert dates.find(column) == dates.Found("time", timed=True)
    parts, wrong = dates.parts(column, "time", True)
    np.testing.assert_allclose(parts["hour"], [hours, np.nan], rtol=1e-12)
    assert not wrong.any()


def test_what_is_no_time_or_month():
    for cell in ("12:60", "1:30:75", "13:00 pm", "16:9", "4711-10", "2015-13", "1:2:3"):
        assert dates.find(pa.array([cell])) == dates.Found()


def test_several_forms_are_asked():
    column = pa.array(["2020-03-01", "04/05/2020", "2020-03-02"] * 50)
    assert "2020-03-0" in dates.find(column).doubt
    assert "04/05/2020; write them in one way" in dates.find(column).doubt
    assert dates.find(pa.array(["2020-03-01", "red", "blue"] * 50)) == dates.Found()
