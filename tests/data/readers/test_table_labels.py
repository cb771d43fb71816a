"""Tables: labels, logarithms, splits and widths of bins."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax import labels
from dirjax.data.preprocess import TablePreprocessor
from dirjax.errors import InputError
from tests import own_data
from tests.data.readers.table_cases import BAD, columns, with_bad_rows
from tests.own_data import ROWS, table


class TestLogarithm:
    Y = tuple(math.exp(0.1 * i - 2) for i in range(60))

    def test_the_model_learns_it(self, load):
        source = load(columns(a=range(0, 120, 2), y=self.Y), label_scale="log")
        assert source.scale == labels.Scale("log")
        for part in source.splits.values():
            np.testing.assert_allclose(part.label, np.log(part.value), atol=1e-5)
        np.testing.assert_allclose(own_data.whole(source, "value"), self.Y, rtol=1e-6)

    def test_its_mean_is_what_the_head_starts_from(self, load):
        source = load(columns(a=range(0, 120, 2), y=self.Y), label_scale="log")
        train = np.log(self.Y[:40])
        assert source.record["label_mean"] == pytest.approx(train.mean())
        assert source.record["label_std"] == pytest.approx(train.std())

    def test_bins_are_in_its_units(self, load):
        text = columns(a=range(0, 120, 2), y=self.Y)
        source = load(text, label_scale="log", bin_width=0.5)
        np.testing.assert_allclose(np.diff(source.spec.bins.edges), 0.5, rtol=1e-6)
        wanted = np.floor((np.log(self.Y) + 1e-9) / 0.5)
        got = own_data.whole(source, "bin")
        np.testing.assert_array_equal(got - got[0], wanted - wanted[0])

    def test_the_range_is_in_those_of_the_label(self, load):
        text = columns(a=range(0, 120, 2), y=self.Y)
        source = load(text, label_scale="log", label_range=(0.1, 100.0), bin_width=0.5)
        edges = source.spec.bins.edges
        assert edges[0] == pytest.approx(math.log(0.1))
        assert edges[-1] >= math.log(100)
        with pytest.raises(InputError, match=r"0\.5 to 100, row 2 .*0\.135"):
            load(text, label_scale="log", label_range=(0.5, 100.0))

    def test_labels_that_have_none_may_be_skipped(self, load):
        y = [0, -3, *self.Y[2:]]
        text = columns(a=range(0, 120, 2), y=y)
        source = load(text, label_scale="log", on_bad="skip")
        assert source.skipped == {"label too small for a logarithm": 2}
        assert np.isfinite(own_data.whole(source, "label")).all()

    def test_the_default_is_none(self, load):
        source = load(columns(a=range(0, 120, 2), y=self.Y))
        assert source.scale == labels.Scale()
        np.testing.assert_array_equal(
            own_data.whole(source, "label"), own_data.whole(source, "value")
        )


class TestLabels:
    def test_negative_and_with_seven_decimals(self, load):
        y = [round(-50 + i * 1.0000001, 7) for i in range(60)]
        source = load(columns(a=range(0, 120, 2), y=y))
        np.testing.assert_allclose(own_data.whole(source, "value"), y, rtol=1e-6)
        edges = source.spec.bins.edges
        assert edges[0] <= min(y)
        assert edges[-1] >= max(y)

    def test_large(self, load):
        y = [1e12 * (1 + i) for i in range(60)]
        source = load(columns(a=range(0, 120, 2), y=y))
        np.testing.assert_allclose(own_data.whole(source, "value"), y, rtol=1e-6)
        assert 2 <= source.spec.bins.num <= 300

    def test_small(self, load):
        y = [1e-12 * (1 + i) for i in range(60)]
        source = load(columns(a=range(0, 120, 2), y=y))
        np.testing.assert_allclose(own_data.whole(source, "value"), y, rtol=1e-6)
        assert 2 <= source.spec.bins.num <= 300

    def test_an_outlier_does_not_make_a_million_bins(self, load):
        y = [i % 1000 / 1000 for i in range(3000)]
        y[7] = 1e5
        rows = [f"{2 * i},{label}" for i, label in enumerate(y)]
        # What a stated width is held to.
        assert load(table(rows, "x,y")).spec.bins.num <= 10_000

    def test_yes_or_no(self, load):
        source = load(columns(a=range(0, 120, 2), y=[i % 2 for i in range(60)]))
        assert source.spec.bins.num == 2

    def test_bins_cover_all_splits(self, load):
        y = [i % 10 for i in range(50)] + list(range(100, 110))
        source = load(columns(a=range(0, 120, 2), y=y))
        edges = source.spec.bins.edges
        values, bins = (own_data.whole(source, f) for f in ("value", "bin"))
        assert (edges[bins] <= values).all()
        assert (values <= edges[bins + 1]).all()


class TestSplit:
    def parts(self, source, lines) -> dict[str, list[str]]:
        return {
            name: sorted(lines[i] for i in part.index)
            for name, part in source.splits.items()
        }

    @pytest.mark.parametrize("seed", [0, 1])
    def test_it_does_not_depend_on_the_order_of_rows(self, load, seed):
        # With rows that occur twice and thrice.
        rows = [*ROWS, *ROWS[:30], *ROWS[:7]]
        order = np.random.default_rng(seed).permutation(len(rows))
        shuffled = [rows[i] for i in order]
        one = load(table(rows), "one.csv", seed=seed)
        two = load(table(shuffled), "two.csv", seed=seed)
        assert self.parts(one, rows) == self.parts(two, shuffled)
        assert len(one.splits) == 3

    def test_nor_on_the_order_of_columns(self, load):
        turned = [",".join(reversed(row.split(","))) for row in ROWS]
        one = load(table(), "one.csv")
        two = load(table(turned, "y,color,x"), "two.csv")
        for name, part in one.splits.items():
            assert part.index.tolist() == two.splits[name].index.tolist()

    def test_rows_that_are_skipped_are_in_none(self, load):
        source = load(with_bad_rows(), on_bad="skip")
        assert set(BAD).isdisjoint(own_data.whole(source, "index").tolist())

    def test_numbers_for_names(self, load):
        source = load(columns(a=range(0, 120, 2), split=[0] * 40 + [1] * 10 + [2] * 10))
        assert [len(s.label) for s in source.splits.values()] == [40, 10, 10]

    def test_no_test_rows_are_told(self, load):
        source = load(columns(a=range(0, 120, 2), split=["train"] * 50 + ["val"] * 10))
        assert list(source.splits) == ["train", "val"]
        assert "no test" in own_data.notes(source)


def quantile(values: list[float], q: float) -> float:
    """By straight lines between the ordered values."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def middle(values: list[float]) -> tuple[float, float]:
    """The ends of the middle 99 %, or all but one label on either side."""
    if 20 <= len(values) <= 200:
        return sorted(values)[1], sorted(values)[-2]
    return quantile(values, 0.005), quantile(values, 0.995)


def widths(values: list[float]) -> set[float]:
    """What the rule allows, from its text; two if one is as near as the other."""
    low, high = middle(values)
    span = high - low
    span = span or max(values) - min(values)
    whole = all(float(v).is_integer() for v in values)
    if whole and span <= 100:
        return {1.0}
    spread = quantile(values, 0.75) - quantile(values, 0.25)
    width = 2 * spread * len(values) ** (-1 / 3)
    width = max(span / 100, min(span / 20, width))
    nice = [float(f"{m}e{e}") for e in range(-30, 31) for m in (1, 2, 5)]
    far = {n: abs(math.log(n / width)) for n in nice}
    best = {n for n in nice if far[n] < min(far.values()) + 1e-6}
    return {max(n, 1.0) for n in best} if whole else best


SIZES = st.floats(1e-6, 1e9)

LABELS = st.one_of(
    st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=60),
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=60),
    st.tuples(SIZES, st.lists(st.floats(0, 1), min_size=2, max_size=60)).map(
        lambda pair: [pair[0] * v for v in pair[1]]
    ),
).filter(lambda v: max(v) - min(v) > 1e-9 * max(1e-3, abs(max(v)), abs(min(v))))


class TestAutoWidth:
    @settings(deadline=None, max_examples=150)
    @given(LABELS)
    def test_it_is_the_stated_rule(self, values):
        assert labels.auto_width(values) in widths([float(v) for v in values])

    @settings(deadline=None, max_examples=150)
    @given(LABELS)
    def test_two_to_a_few_hundred_bins(self, values):
        width = labels.auto_width(values)
        low, high = middle(values)
        if low == high:
            low, high = min(values), max(values)
        assert math.floor((high - low) / width) + 1 <= 300
        assert math.floor((max(values) - min(values)) / width) + 1 >= 2

    @settings(deadline=None, max_examples=50)
    @given(LABELS, st.randoms())
    def test_it_does_not_depend_on_the_order(self, values, random):
        mixed = list(values)
        random.shuffle(mixed)
        assert labels.auto_width(mixed) == labels.auto_width(values)

    @pytest.mark.parametrize(
        ("values", "width"),
        [
            # 2 * 5 / 1000^(1/3) = 1, of a range of 10, is cut to 0.495.
            (np.linspace(0, 10, 1000), 0.5),
            # 2 * 0.5 * 8000^(-1/3) = 0.05.
            (np.linspace(0, 1, 8000), 0.05),
            (range(100), 1),
            # A range of 198 in the middle, 20 bins of 9.9.
            (range(200), 10),
            ([0, 1], 1),
            ([0.5, 0.75], 0.01),
            ([0] * 999 + [1000], 10),
            # One label far out does not put the others into one bin.
            ([*(np.arange(90) / 50), 1e7], 0.1),
        ],
    )
    def test_by_hand(self, values, width):
        assert labels.auto_width(values) == width

    def test_it_is_told(self, load):
        source = load(table())
        (note,) = [n for n in source.notes if "bin width" in n]
        assert note.startswith("the bin width is 1 ")
        assert "data.bin_width" in note

    def test_a_stated_width_is_kept(self, load):
        source = load(table(), bin_width=3.0)
        np.testing.assert_allclose(np.diff(source.spec.bins.edges), 3)
        assert "bin width" not in own_data.notes(source)


def test_the_record_prepares_rows_as_the_table_was(load):
    """What predictions rely on, through JSON."""
    gap = (1, 8, 57)
    x = ["" if i in gap else i * 0.3 for i in range(60)]
    c = ["" if i in gap else "rgb"[i % 3] for i in range(60)]
    source = load(columns(x=x, c=c))
    fitted = TablePreprocessor.from_json(source.record["table"])
    raw = {
        "x": np.array([np.nan if v == "" else v for v in x]),
        "c": np.array(c),
        "more": np.zeros(60),
    }
    got = fitted.transform(raw)
    for name, part in source.splits.items():
        start = {"train": 0, "val": 40, "test": 50}[name]
        rows = slice(start, start + len(part.label))
        for field, array in part.inputs.items():
            np.testing.assert_array_equal(array, got[field][rows])
