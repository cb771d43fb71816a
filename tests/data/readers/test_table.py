"""Tables: types of columns, gaps, dates and weights."""

import numpy as np
import pytest

from tests import own_data
from tests.data.readers.table_cases import columns, found, numbers
from tests.own_data import HEADER, ROWS, table


class TestTypes:
    def test_numbers_and_words(self, load):
        source = load(table())
        assert found(source) == (("x",), ("color",))
        assert source.record["encoder"]["cardinalities"] == (4,)

    @pytest.mark.parametrize(
        ("cells", "kind"),
        [
            ([f"{2 * i}" for i in range(60)], "numeric"),
            ([f"-{i}.5e-3" for i in range(60)], "numeric"),
            ([f"+{2 * i}." for i in range(60)], "numeric"),
            ([f" {2 * i}\t" for i in range(60)], "numeric"),
            ([i % 2 for i in range(60)], "numeric"),
            ([bool(i % 2) for i in range(60)], "categorical"),
            (["yes", "no"] * 30, "categorical"),
            (["3 rooms", "4 rooms", "5+"] * 20, "categorical"),
            (["Q1", "Q2"] * 30, "categorical"),
        ],
    )
    def test_what_is_what(self, load, cells, kind):
        source = load(columns(a=cells, z=range(0, 120, 2)))
        assert ("a" in found(source)[0], "a" in found(source)[1]) == (
            kind == "numeric",
            kind == "categorical",
        )

    def test_how_numbers_are_written(self):
        cells = ["1", "+1", "1.0", "1e0", "10e-1", ".5", "5.", "-0", None]
        values, wrong = numbers(cells)
        np.testing.assert_array_equal(values, [1, 1, 1, 1, 1, 0.5, 5, 0, np.nan])
        assert not any(wrong)

    @pytest.mark.parametrize(
        "cell", ["1_000", "1,000", "1 000", "0x10", "$5", "5%", "1.2.3", "1-2", "one"]
    )
    def test_what_is_no_number(self, cell):
        values, wrong = numbers(["2", cell, "3"])
        np.testing.assert_array_equal(values, [2, np.nan, 3])
        assert wrong == [False, True, False]

    def test_zip_codes_are_numbers_unless_they_are_named(self, load):
        codes = ["01234", "1234", "98765"] * 20
        text = columns(zip=codes, z=range(0, 120, 2))
        assert found(load(text)) == (("zip", "z"), ())
        source = load(text, categorical=("zip",))
        assert found(source) == (("z",), ("zip",))
        # 01234 and 1234 are not the same place.
        assert source.record["encoder"]["cardinalities"] == (4,)
        assert own_data.codes(source)[:4, 0].tolist() == [1, 2, 3, 1]

    def test_both_types_if_both_are_named(self, load):
        text = columns(a=[i % 4 for i in range(60)], z=range(0, 120, 2))
        source = load(text, numeric=("a",), categorical=("a",))
        assert found(source) == (("a", "z"), ("a",))

    def test_a_column_may_be_left_out(self, load):
        assert found(load(table(), drop=("x",))) == ((), ("color",))

    def test_the_label_and_facts_of_rows_are_no_features(self, load):
        text = columns(a=range(0, 120, 2), w=range(1, 121, 2))
        assert found(load(text, weight="w")) == (("a",), ())
        assert found(load(text)) == (("a", "w"), ())

    def test_a_comma_in_a_name(self, load):
        text = table(header='x,"color, main",y')
        source = load(text, categorical=("color, main",))
        assert found(source) == (("x",), ("color, main",))

    def test_names_in_other_scripts(self, load):
        source = load(table(header="größe,цвет,y"))
        assert found(source) == (("größe",), ("цвет",))


class TestMissing:
    GAPS = (3, 7, 8)

    def gaps(self, cells, where=GAPS, word=""):
        return [word if i in where else cell for i, cell in enumerate(cells)]

    @pytest.mark.parametrize(
        "word", ["", " ", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None"]
    )
    def test_words_for_a_missing_number(self, load, word):
        source = load(columns(a=self.gaps(range(60), word=word)))
        assert found(source) == (("a",), ())
        assert source.record["table"]["indicators"] == ("a",)

    @pytest.mark.parametrize("word", ["?", "-999", "n. d."])
    def test_words_of_ones_own(self, load, word):
        text = columns(a=self.gaps(range(60), word=word), z=range(0, 120, 2))
        source = load(text, missing=("?", "-999", "n. d."))
        assert source.record["table"]["indicators"] == ("a",)
        assert own_data.numeric(source)[3].tolist()[0] == 0

    @pytest.mark.parametrize("scaling", ["robust", "standard"])
    def test_a_number_becomes_the_centre_of_training(self, load, scaling):
        # Validation and test rows are far off, and must not move the centre.
        cells = [i if i < 40 else 1e6 for i in range(60)]
        source = load(columns(a=self.gaps(cells)), scaling=scaling)
        kept = [i for i in range(40) if i not in self.GAPS]
        centre = np.mean(kept) if scaling == "standard" else np.median(kept)
        (center,) = source.record["table"]["center"]
        assert center == pytest.approx(centre)
        column, indicator = own_data.numeric(source).T
        np.testing.assert_array_equal(column[list(self.GAPS)], 0)
        assert np.count_nonzero(column) >= 36
        np.testing.assert_array_equal(np.flatnonzero(indicator), self.GAPS)

    def test_gaps_outside_of_training_have_no_indicator(self, load):
        source = load(columns(a=self.gaps(range(60), (41, 55))))
        assert source.record["table"]["indicators"] == ()
        assert source.record["encoder"]["numeric"] == 1
        assert own_data.numeric(source, "val")[1, 0] == 0
        assert own_data.numeric(source, "test")[5, 0] == 0
        assert own_data.numeric(source, "test")[4, 0] != 0

    def test_indicators_stand_behind_all_numbers(self, load):
        first, second = self.gaps(range(60)), range(0, 120, 2)
        third = self.gaps(range(60), (5,))
        source = load(columns(a=first, b=second, c=third))
        assert source.record["table"]["indicators"] == ("a", "c")
        assert source.record["encoder"]["numeric"] == 5
        got = own_data.numeric(source)
        np.testing.assert_array_equal(np.flatnonzero(got[:, 3]), self.GAPS)
        np.testing.assert_array_equal(np.flatnonzero(got[:, 4]), [5])

    def test_indicators_are_told(self, load):
        source = load(columns(apples=self.gaps(range(60)), pears=range(0, 120, 2)))
        assert "'apples'" in own_data.notes(source)
        assert "'pears'" not in own_data.notes(source)

    def test_a_missing_category_is_one_of_its_own(self, load):
        source = load(columns(c=self.gaps(["r", "g", "b"] * 20)))
        assert source.record["encoder"]["cardinalities"] == (5,)
        codes = own_data.codes(source)[:, 0]
        (missing,) = set(codes[list(self.GAPS)].tolist())
        others = np.delete(codes, self.GAPS)
        assert missing not in {0, *others.tolist()}
        assert 0 not in codes

    def test_a_category_that_training_lacks_is_unknown(self, load):
        cells = ["r", "g", "b"] * 20
        cells[45], cells[52] = "", "violet"
        source = load(columns(c=cells))
        assert source.record["encoder"]["cardinalities"] == (4,)
        assert own_data.codes(source, "val")[5, 0] == 0
        assert own_data.codes(source, "test")[2, 0] == 0
        assert np.count_nonzero(own_data.codes(source, "test")) == 9

    def test_no_infinity_or_gap_is_left(self, load):
        cells = self.gaps(["1e300", "-1e300", "0"] * 20, (0, 1, 2, 41, 59))
        source = load(columns(a=cells, b=range(0, 120, 2)))
        for split in source.splits:
            assert np.isfinite(own_data.numeric(source, split)).all()


class TestLeftOut:
    @pytest.mark.parametrize(
        ("cells", "why"),
        [
            ([5] * 60, "always 5"),
            (["red"] * 60, "always red"),
            ([""] * 60, "empty"),
            ([7] * 40 + list(range(20)), "always 7"),
            (["u"] * 40 + ["v"] * 20, "always u"),
            ([""] * 40 + list(range(20)), "empty in training"),
            ([f"Mr {i}" for i in range(60)], "60 different values"),
        ],
    )
    def test_is_told(self, load, cells, why):
        source = load(columns(odd=cells, z=range(0, 120, 2)))
        assert found(source) == (("z",), ())
        (note,) = [n for n in source.notes if "odd" in n]
        assert "left out" in note
        assert why in note

    def test_nothing_else_is_told(self, load):
        assert "left out" not in own_data.notes(load(table()))

    def test_row_numbers_as_pandas_writes_them(self, load):
        rows = [f"{i},{row}" for i, row in enumerate(ROWS)]
        source = load(table(rows, "," + HEADER))
        assert found(source) == (("x",), ("color",))
        assert "row numbers" in own_data.notes(source)

    def test_row_numbers_as_pandas_writes_them_to_parquet(self, load):
        # The index of a frame that was filtered or shuffled.
        content = own_data.to_parquet(
            x=np.arange(60) / 7,
            y=np.arange(60) % 10,
            __index_level_0__=range(0, 120, 2),
        )
        source = load(content, "mine.parquet")
        assert found(source) == (("x",), ())
        assert "row numbers" in own_data.notes(source)

    def test_a_name_keeps_a_column(self, load):
        names = [f"Mr {i}" for i in range(60)]
        text = columns(who=names, same=[5] * 60, z=range(0, 120, 2))
        source = load(text, categorical=("who",), numeric=("same",))
        assert found(source) == (("same", "z"), ("who",))
        np.testing.assert_array_equal(own_data.numeric(source)[:, 0], 0)

    def test_gaps_are_not_constant(self, load):
        cells = ["yes" if i % 3 else "" for i in range(60)]
        assert found(load(columns(c=cells))) == ((), ("c",))

    def test_text_of_few_values_is_kept(self, load):
        cells = [f"town {i % 20}" for i in range(60)]
        assert found(load(columns(c=cells))) == ((), ("c",))

    def test_numbers_that_were_not_understood_are_told(self, load):
        text = columns(a=[f"word {i}" for i in range(60)], z=range(0, 120, 2))
        assert "'a' is left out" in own_data.notes(load(text))

    def test_a_list_in_parquet_may_be_dropped(self, load):
        columns = {"x": np.arange(60) / 7, "y": np.arange(60) % 10, "c": [["a"]] * 60}
        source = load(own_data.to_parquet(**columns), "mine.parquet", drop=("c",))
        assert found(source) == (("x",), ())


class TestDates:
    @pytest.mark.parametrize(
        "form",
        [
            "2024-02-{:02d}",
            "2024/2/{}",
            "{:02d}.02.2024",
            "2/{}/24",
            "2024-02-{:02d} 08:30",
            "2024-02-{:02d}T08:30:00Z",
            "{} Feb 2024",
            "Feb {}, 2024",
            "{:02d}-Feb-2024",
        ],
    )
    def test_they_become_numbers(self, load, form):
        cells = [f'"{form.format(1 + i % 28)}"' for i in range(60)]
        source = load(columns(when=cells, z=range(0, 120, 2)), scaling="standard")
        # The year is constant, and so is the hour.
        names = ("when day of year", "when weekday", "z")
        assert found(source) == (names, ())
        table = source.record["table"]
        assert table["center"][0] == 31 + np.mean([1 + i % 28 for i in range(40)])
        # 1 February 2024 was a Thursday.
        weekday = (
            own_data.numeric(source)[:, 1] * table["scale"][1] + table["center"][1]
        )
        np.testing.assert_allclose(weekday[:5], [3, 4, 5, 6, 0], atol=1e-5)
        off = load(columns(when=cells, z=range(0, 120, 2)), dates=False)
        assert found(off) == (("z",), ())
        assert "'when' is left out: dates" in own_data.notes(off)

    @pytest.mark.parametrize("cell", ["1.2.3", "555-1234", "2024", "3-4", "10/12"])
    def test_what_is_none(self, load, cell):
        words = load(
            columns(c=[cell, "5"] * 30, z=range(0, 120, 2)), categorical=("c",)
        )
        assert found(words) == (("z",), ("c",))
        guessed = load(columns(c=[cell, cell + "1"] * 30, z=range(0, 120, 2)))
        is_number = (("c", "z"), ())
        assert found(guessed) == (is_number if cell == "2024" else (("z",), ("c",)))

    def test_they_may_be_left_out(self, load):
        cells = [f"2024-02-{1 + i % 28:02d}" for i in range(60)]
        source = load(columns(when=cells, z=range(0, 120, 2)), drop=("when",))
        assert found(source) == (("z",), ())


class TestWeights:
    def test_their_mean_in_training_is_one(self, load):
        source = load(columns(a=range(0, 120, 2), w=range(1, 61)), weight="w")
        train = source.splits["train"].weight
        assert train.mean() == pytest.approx(1)
        np.testing.assert_allclose(train / train[0], np.arange(1, 41), rtol=1e-6)
        # On the same scale.
        test = source.splits["test"].weight
        np.testing.assert_allclose(test / train[0], np.arange(51, 61), rtol=1e-6)

    def test_without_a_column_they_are_one(self, load):
        source = load(columns(a=range(0, 120, 2), w=range(1, 61)))
        np.testing.assert_array_equal(own_data.whole(source, "weight"), 1)

    def test_rows_that_are_skipped_do_not_count(self, load):
        weights = [2.0] * 60
        weights[5], weights[6] = -1.0, "inf"
        text = columns(a=range(0, 120, 2), w=weights)
        source = load(text, weight="w", on_bad="skip")
        assert source.skipped == {"weight not positive": 2}
        np.testing.assert_allclose(own_data.whole(source, "weight"), 1)
        assert {5, 6}.isdisjoint(own_data.whole(source, "index").tolist())
