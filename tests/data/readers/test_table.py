"""Tables: types, gaps, dropped columns, weights, log labels, files as users have them.

Sentences on wrong files are in tests/test_wrong_input.py.
"""

import datetime
import gzip
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax import data, labels
from dirjax.data.formats import table_files
from dirjax.data.preprocess import TablePreprocessor
from dirjax.errors import InputError
from tests import own_data
from tests.own_data import HEADER, ROWS, table

# Rows 0 to 39 train, 40 to 49 validate, 50 to 59 test.
PARTS = ("train",) * 40 + ("val",) * 10 + ("test",) * 10


@pytest.fixture
def load(tmp_path):
    """Writes a file and loads it."""

    def loading(content, name="mine.csv", **fields) -> data.Source:
        return own_data.load(own_data.write(tmp_path, name, content), **fields)

    return loading


def columns(split=PARTS, y=None, **cells) -> str:
    """A CSV of 60 rows with columns from lists, a label and a split."""
    y = [i % 10 for i in range(60)] if y is None else y
    named = {**cells, "y": y} | ({} if split is None else {"split": split})
    rows = zip(*named.values(), strict=True)
    return table([",".join(map(str, row)) for row in rows], ",".join(named))


def found(source) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of numeric and of categorical columns."""
    record = source.record["table"]
    return tuple(record["numeric"]), tuple(record["categorical"])


def numbers(column) -> tuple[list[float], list[bool]]:
    values, wrong = table_files.numbers(pa.array(column, pa.string()))
    return values.tolist(), wrong.tolist()


def assert_same(one: data.Source, two: data.Source) -> None:
    """Equal in all but the name of the file."""
    assert one.record == two.record
    assert one.splits.keys() == two.splits.keys()
    np.testing.assert_array_equal(one.spec.bins.edges, two.spec.bins.edges)
    np.testing.assert_array_equal(one.spec.counts, two.spec.counts)
    for name, part in one.splits.items():
        other = two.splits[name]
        for field in ("label", "value", "bin", "weight", "index"):
            np.testing.assert_array_equal(getattr(part, field), getattr(other, field))
        for field, array in part.inputs.items():
            np.testing.assert_array_equal(array, other.inputs[field])


class TestTypes:
    def test_numbers_and_words(self, load):
        source = load(table())
        assert found(source) == (("x",), ("color",))
        assert source.record["encoder"]["cardinalities"] == (4,)

    @pytest.mark.parametrize(
        ("cells", "kind"),
        [
            ([f"{i}" for i in range(60)], "numeric"),
            ([f"-{i}.5e-3" for i in range(60)], "numeric"),
            ([f"+{i}." for i in range(60)], "numeric"),
            ([f" {i}\t" for i in range(60)], "numeric"),
            ([i % 2 for i in range(60)], "numeric"),
            ([bool(i % 2) for i in range(60)], "categorical"),
            (["yes", "no"] * 30, "categorical"),
            (["3 rooms", "4 rooms", "5+"] * 20, "categorical"),
            (["Q1", "Q2"] * 30, "categorical"),
        ],
    )
    def test_what_is_what(self, load, cells, kind):
        source = load(columns(a=cells, z=range(60)))
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
        text = columns(zip=codes, z=range(60))
        assert found(load(text)) == (("zip", "z"), ())
        source = load(text, categorical=("zip",))
        assert found(source) == (("z",), ("zip",))
        # 01234 and 1234 are not the same place.
        assert source.record["encoder"]["cardinalities"] == (4,)
        assert own_data.codes(source)[:4, 0].tolist() == [1, 2, 3, 1]

    def test_both_types_if_both_are_named(self, load):
        text = columns(a=[i % 4 for i in range(60)], z=range(60))
        source = load(text, numeric=("a",), categorical=("a",))
        assert found(source) == (("a", "z"), ("a",))

    def test_a_column_may_be_left_out(self, load):
        assert found(load(table(), drop=("x",))) == ((), ("color",))

    def test_the_label_and_facts_of_rows_are_no_features(self, load):
        text = columns(a=range(60), w=range(1, 61))
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
        text = columns(a=self.gaps(range(60), word=word), z=range(60))
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
        first, second = self.gaps(range(60)), range(60)
        third = self.gaps(range(60), (5,))
        source = load(columns(a=first, b=second, c=third))
        assert source.record["table"]["indicators"] == ("a", "c")
        assert source.record["encoder"]["numeric"] == 5
        got = own_data.numeric(source)
        np.testing.assert_array_equal(np.flatnonzero(got[:, 3]), self.GAPS)
        np.testing.assert_array_equal(np.flatnonzero(got[:, 4]), [5])

    def test_indicators_are_told(self, load):
        source = load(columns(apples=self.gaps(range(60)), pears=range(60)))
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
        source = load(columns(a=cells, b=range(60)))
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
        source = load(columns(odd=cells, z=range(60)))
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
            x=np.arange(60) / 7, y=np.arange(60) % 10, __index_level_0__=range(60)
        )
        source = load(content, "mine.parquet")
        assert found(source) == (("x",), ())
        assert "row numbers" in own_data.notes(source)

    def test_a_name_keeps_a_column(self, load):
        names = [f"Mr {i}" for i in range(60)]
        text = columns(who=names, same=[5] * 60, z=range(60))
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
        text = columns(a=[f'"{1000 + i:,}"' for i in range(60)], z=range(60))
        assert "'a' is left out" in own_data.notes(load(text))

    def test_a_list_in_parquet_may_be_dropped(self, load):
        columns = {"x": np.arange(60), "y": np.arange(60) % 10, "c": [["a"]] * 60}
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
    def test_they_are_refused(self, load, form):
        cells = [f'"{form.format(1 + i % 28)}"' for i in range(60)]
        with pytest.raises(InputError, match=r"dates are no features, 'when'"):
            load(columns(when=cells, z=range(60)))

    @pytest.mark.parametrize("cell", ["1.2.3", "555-1234", "2024", "3-4", "10/12"])
    def test_what_is_none(self, load, cell):
        load(columns(c=[cell, "5"] * 30, z=range(60)), categorical=("c",))
        load(columns(c=[cell, cell + "1"] * 30, z=range(60)))

    def test_they_may_be_left_out(self, load):
        cells = [f"2024-02-{1 + i % 28:02d}" for i in range(60)]
        source = load(columns(when=cells, z=range(60)), drop=("when",))
        assert found(source) == (("z",), ())


class TestWeights:
    def test_their_mean_in_training_is_one(self, load):
        source = load(columns(a=range(60), w=range(1, 61)), weight="w")
        train = source.splits["train"].weight
        assert train.mean() == pytest.approx(1)
        np.testing.assert_allclose(train / train[0], np.arange(1, 41), rtol=1e-6)
        # On the same scale.
        test = source.splits["test"].weight
        np.testing.assert_allclose(test / train[0], np.arange(51, 61), rtol=1e-6)

    def test_without_a_column_they_are_one(self, load):
        source = load(columns(a=range(60), w=range(1, 61)))
        np.testing.assert_array_equal(own_data.whole(source, "weight"), 1)

    def test_rows_that_are_skipped_do_not_count(self, load):
        weights = [2.0] * 60
        weights[5], weights[6] = -1.0, "inf"
        text = columns(a=range(60), w=weights)
        source = load(text, weight="w", on_bad="skip")
        assert source.skipped == {"weight not positive": 2}
        np.testing.assert_allclose(own_data.whole(source, "weight"), 1)
        assert {5, 6}.isdisjoint(own_data.whole(source, "index").tolist())


class TestLogarithm:
    Y = tuple(math.exp(0.1 * i - 2) for i in range(60))

    def test_the_model_learns_it(self, load):
        source = load(columns(a=range(60), y=self.Y), label_scale="log")
        assert source.log
        for part in source.splits.values():
            np.testing.assert_allclose(part.label, np.log(part.value), atol=1e-5)
        np.testing.assert_allclose(own_data.whole(source, "value"), self.Y, rtol=1e-6)

    def test_its_mean_is_what_the_head_starts_from(self, load):
        source = load(columns(a=range(60), y=self.Y), label_scale="log")
        train = np.log(self.Y[:40])
        assert source.record["label_mean"] == pytest.approx(train.mean())
        assert source.record["label_std"] == pytest.approx(train.std())

    def test_bins_are_in_its_units(self, load):
        text = columns(a=range(60), y=self.Y)
        source = load(text, label_scale="log", bin_width=0.5)
        np.testing.assert_allclose(np.diff(source.spec.bins.edges), 0.5, rtol=1e-6)
        wanted = np.floor((np.log(self.Y) + 1e-9) / 0.5)
        got = own_data.whole(source, "bin")
        np.testing.assert_array_equal(got - got[0], wanted - wanted[0])

    def test_the_range_is_in_those_of_the_label(self, load):
        text = columns(a=range(60), y=self.Y)
        source = load(text, label_scale="log", label_range=(0.1, 100.0), bin_width=0.5)
        edges = source.spec.bins.edges
        assert edges[0] == pytest.approx(math.log(0.1))
        assert edges[-1] >= math.log(100)
        with pytest.raises(InputError, match=r"0\.5 to 100, row 2 .*0\.135"):
            load(text, label_scale="log", label_range=(0.5, 100.0))

    def test_labels_that_have_none_may_be_skipped(self, load):
        y = [0, -3, *self.Y[2:]]
        text = columns(a=range(60), y=y)
        source = load(text, label_scale="log", on_bad="skip")
        assert source.skipped == {"label not positive": 2}
        assert np.isfinite(own_data.whole(source, "label")).all()

    def test_the_default_is_none(self, load):
        source = load(columns(a=range(60), y=self.Y))
        assert not source.log
        np.testing.assert_array_equal(
            own_data.whole(source, "label"), own_data.whole(source, "value")
        )


BAD = {5: "1,r", 11: "1,r,2,3", 17: "oops,r,2", 23: "1,r,", 29: "1,r,much", 58: "1"}


def with_bad_rows() -> str:
    rows = list(ROWS)
    for i, text in BAD.items():
        rows[i] = text
    return table(rows)


class TestSkip:
    def test_counts(self, load):
        source = load(with_bad_rows(), on_bad="skip")
        assert source.skipped == {
            "row length": 3,
            "text in a numeric column": 2,
            "no label": 1,
        }
        for part in ("3 row length", "2 text in a numeric column", "1 no label"):
            assert part in own_data.notes(source)

    def test_each_row_is_skipped_for_one_reason(self, load):
        source = load(changed_all("oops,r,much", 4), on_bad="skip")
        assert sum(source.skipped.values()) == 1

    def test_row_numbers_are_those_of_the_file(self, load):
        source = load(with_bad_rows(), on_bad="skip")
        left = [i for i in range(60) if i not in BAD]
        assert own_data.whole(source, "index").tolist() == left
        values = own_data.whole(source, "value")
        assert values.tolist() == [i % 10 for i in left]

    def test_what_is_read_of_the_others_does_not_change(self, load):
        skipped = load(with_bad_rows(), on_bad="skip")
        without = load(table([r for i, r in enumerate(ROWS) if i not in BAD]))
        assert skipped.record == without.record

    def test_split_words(self, load):
        parts = list(PARTS)
        parts[2], parts[41] = "", "holdout"
        source = load(columns(a=range(60), split=parts), on_bad="skip")
        assert source.skipped == {"unknown split": 2}
        assert [len(s.label) for s in source.splits.values()] == [39, 9, 10]

    def test_labels_outside_of_a_range(self, load):
        source = load(table(), on_bad="skip", label_range=(0.0, 7.0), bin_width=1.0)
        assert source.skipped == {"label outside": 12}
        assert own_data.whole(source, "value").max() == 7

    def test_or_they_go_to_the_end_bins(self, load):
        source = load(table(), outside="end", label_range=(2.0, 7.0), bin_width=1.0)
        assert not source.skipped
        bins, values = (own_data.whole(source, f) for f in ("bin", "value"))
        assert set(bins[values < 2]) == {0}
        assert set(bins[values > 7]) == {4}
        assert values.max() == 9


def changed_all(text: str, *rows: int) -> str:
    new = list(ROWS)
    for i in rows:
        new[i] = text
    return table(new)


class TestBlocks:
    """A file that is read in pieces is the same file."""

    @pytest.fixture
    def in_pieces(self, load, monkeypatch):
        def loading(*args, **fields):
            with monkeypatch.context() as patch:
                patch.setattr(table_files, "_BLOCK", 64)
                return load(*args, **fields)

        return loading

    def test_it_is_in_pieces(self, tmp_path, monkeypatch):
        file = own_data.write(tmp_path, "mine.csv", table())
        assert len(list(table_files.blocks(file))) == 1
        monkeypatch.setattr(table_files, "_BLOCK", 64)
        pieces = list(table_files.blocks(file))
        assert len(pieces) > 5
        rows = np.concatenate([p.number for p in pieces])
        assert rows.tolist() == list(range(60))

    def test_a_good_file(self, load, in_pieces):
        assert_same(load(table()), in_pieces(table()))

    def test_skipped_rows(self, load, in_pieces):
        one = load(with_bad_rows(), on_bad="skip")
        many = in_pieces(with_bad_rows(), on_bad="skip")
        assert one.skipped == many.skipped
        assert_same(one, many)

    @pytest.mark.parametrize("row", [2, 30, 61])
    @pytest.mark.parametrize("text", ["0.1", "0.1,r,1,1", "0.1,r,much", "oops,r,1"])
    def test_sentences(self, in_pieces, row, text):
        with pytest.raises(InputError, match=f"row {row} of"):
            in_pieces(changed_all(text, row - 2))

    def test_a_byte_that_is_not_utf8_late(self, in_pieces):
        text = changed_all("0.1,café,1", 59).encode("latin1")
        with pytest.raises(InputError, match=r"UTF-8, row 61 .*0xe9"):
            in_pieces(text)

    def test_types_are_those_of_the_whole_column(self, load, in_pieces):
        # Numbers first, words later.
        cells = [str(i % 5) if i < 20 else f"w{i % 5}" for i in range(60)]
        text = columns(a=cells, z=range(60))
        assert found(in_pieces(text)) == (("z",), ("a",))
        assert_same(load(text), in_pieces(text))


WRITTEN = (
    *("crlf", "cr", "bom", "no-end", "empty-end"),
    *("semicolon", "tab", "blank", "blanks", "quotes"),
)


class TestFiles:
    """Files as spreadsheets, databases and other programs write them."""

    @pytest.fixture
    def plain(self, load):
        return load(table())

    @pytest.fixture
    def split_in_file(self, load):
        rows = [f"{row},{part}" for row, part in zip(ROWS, PARTS, strict=True)]
        return load(table(rows, HEADER + ",split"))

    @pytest.mark.parametrize(
        "content",
        [
            table().replace("\n", "\r\n"),
            table().replace("\n", "\r"),
            "\ufeff" + table(),
            table().rstrip("\n"),
            table() + "\n\n",
            table().replace(",", ";"),
            table().replace(",", "\t"),
            table().replace(",", ", "),
            table().replace(",", " , "),
            table().replace(",", '","').replace("\n", '"\n"')[:-1].join(['"', ""]),
        ],
        ids=WRITTEN,
    )
    def test_ways_to_write_a_csv(self, load, plain, content):
        assert_same(load(content), plain)

    @pytest.mark.parametrize(
        "name", ["mine.csv.gz", "mine.CSV.GZ", "mine.csv", "export.gz", "mine"]
    )
    def test_gzip_is_told_by_content(self, load, plain, name):
        assert_same(load(gzip.compress(table().encode()), name), plain)

    def test_gzip_of_several_members(self, load, plain):
        text = table().encode()
        packed = gzip.compress(text[:300]) + gzip.compress(text[300:])
        assert_same(load(packed, "mine.csv.gz"), plain)

    @pytest.mark.parametrize("name", ["mine.parquet", "mine.csv", "mine"])
    def test_parquet_is_told_by_content(self, load, split_in_file, name):
        assert_same(load(own_data.to_parquet(**typed()), name), split_in_file)

    def test_parquet_of_several_row_groups(self, load, split_in_file):
        content = own_data.to_parquet(row_group_size=7, **typed())
        assert_same(load(content, "mine.parquet"), split_in_file)

    def test_parquet_with_categories(self, load, split_in_file):
        color = pa.array(typed()["color"]).dictionary_encode()
        content = own_data.to_parquet(**typed() | {"color": color})
        assert_same(load(content, "mine.parquet"), split_in_file)

    def test_a_split_that_is_made_is_the_same_in_csv_and_parquet(self, load):
        # As pandas writes one frame to either: 3.0 is 3.0.
        x, y = [i / 4 for i in range(60)], [i % 10 for i in range(60)]
        one = load(columns(x=x, y=y, split=None))
        two = load(own_data.to_parquet(x=x, y=y), "mine.parquet")
        assert_same(one, two)

    @pytest.mark.parametrize(
        "kind", [pa.int8(), pa.uint16(), pa.int64(), pa.float32(), pa.decimal128(21, 2)]
    )
    def test_types_of_numbers_in_parquet(self, load, split_in_file, kind):
        columns = typed() | {"y": pa.array(typed()["y"]).cast(kind)}
        assert_same(load(own_data.to_parquet(**columns), "mine.parquet"), split_in_file)

    def test_yes_and_no_are_the_same_in_csv_and_parquet(self, load):
        # As pandas writes one frame to either: a model of one must read the other.
        yes = [i % 3 == 0 for i in range(60)]
        y, x = [i % 10 for i in range(60)], [float(i) for i in range(60)]
        one = load(columns(x=x, ok=yes))
        content = own_data.to_parquet(x=x, ok=yes, y=y, split=PARTS)
        two = load(content, "mine.parquet")
        assert one.record["table"]["values"] == two.record["table"]["values"]
        assert_same(one, two)

    def test_gaps_are_the_same_in_csv_and_parquet(self, load):
        gap = (2, 9, 44)
        x = [None if i in gap else i / 4 for i in range(60)]
        c = [None if i in gap else "rgb"[i % 3] for i in range(60)]
        text = columns(
            x=["" if v is None else v for v in x], c=["" if v is None else v for v in c]
        )
        content = own_data.to_parquet(
            x=x, c=c, y=[i % 10 for i in range(60)], split=PARTS
        )
        assert_same(load(text), load(content, "mine.parquet"))

    def test_whole_numbers_with_gaps_as_categories(self, load):
        # pandas keeps such a column as floats: 3.0 in the one and in the other.
        gap = (2, 9, 44)
        k = [None if i in gap else float(i % 3) for i in range(60)]
        text = columns(k=["" if v is None else v for v in k], z=range(60))
        content = own_data.to_parquet(
            k=k, z=range(60), y=[i % 10 for i in range(60)], split=PARTS
        )
        one = load(text, categorical=("k",))
        two = load(content, "mine.parquet", categorical=("k",))
        assert one.record["table"]["values"] == two.record["table"]["values"]

    def test_quoted_line_ends(self, load):
        cells = ["two", "two", '"two\nlines"'] * 20
        source = load(columns(c=cells))
        assert source.record["table"]["values"] == (("two", "two\nlines"),)
        assert own_data.whole(source, "index").tolist() == list(range(60))
        y = ["much" if i == 30 else i % 10 for i in range(60)]
        # Rows, not lines.
        with pytest.raises(InputError, match="row 32 of"):
            load(columns(c=cells, y=y))

    def test_quotes_in_quotes_and_separators(self, load):
        cells = ['"12"" pipe"', '"a, b"', "c"] * 20
        source = load(columns(c=cells))
        assert source.record["table"]["values"] == (('12" pipe', "a, b", "c"),)

    def test_empty_lines_do_not_shift_row_numbers(self, load):
        rows = list(ROWS)
        rows[10] = ""
        rows[20] = "1,r,much"
        # What a spreadsheet shows: the empty line is row 12.
        with pytest.raises(InputError, match="row 22 of"):
            load(table(rows))

    def test_decimal_commas_are_told(self, load):
        source = load(table().replace(",", ";").replace(".", ","))
        assert found(source) == ((), ("color",))
        assert "'x' is left out" in own_data.notes(source)

    def test_times_of_day(self, load):
        cells = [datetime.time(i % 24).isoformat() for i in range(60)]
        assert found(load(columns(t=cells, z=range(60))))[1] == ("t",)


def typed() -> dict:
    """The columns of ROWS and PARTS."""
    x, color, y = zip(*(row.split(",") for row in ROWS), strict=True)
    numbers = {"x": [float(v) for v in x], "y": [int(v) for v in y]}
    return {**numbers, "color": color, "split": PARTS}


class TestLabels:
    def test_negative_and_with_seven_decimals(self, load):
        y = [round(-50 + i * 1.0000001, 7) for i in range(60)]
        source = load(columns(a=range(60), y=y))
        np.testing.assert_allclose(own_data.whole(source, "value"), y, rtol=1e-6)
        edges = source.spec.bins.edges
        assert edges[0] <= min(y)
        assert edges[-1] >= max(y)

    def test_large(self, load):
        y = [1e12 * (1 + i) for i in range(60)]
        source = load(columns(a=range(60), y=y))
        np.testing.assert_allclose(own_data.whole(source, "value"), y, rtol=1e-6)
        assert 2 <= source.spec.bins.num <= 300

    def test_small(self, load):
        y = [1e-12 * (1 + i) for i in range(60)]
        source = load(columns(a=range(60), y=y))
        np.testing.assert_allclose(own_data.whole(source, "value"), y, rtol=1e-6)
        assert 2 <= source.spec.bins.num <= 300

    def test_an_outlier_does_not_make_a_million_bins(self, load):
        y = [i % 1000 / 1000 for i in range(3000)]
        y[7] = 1e5
        rows = [f"{i},{label}" for i, label in enumerate(y)]
        # What a stated width is held to.
        assert load(table(rows, "x,y")).spec.bins.num <= 10_000

    def test_yes_or_no(self, load):
        source = load(columns(a=range(60), y=[i % 2 for i in range(60)]))
        assert source.spec.bins.num == 2

    def test_bins_cover_all_splits(self, load):
        y = [i % 10 for i in range(50)] + list(range(100, 110))
        source = load(columns(a=range(60), y=y))
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
        source = load(columns(a=range(60), split=[0] * 40 + [1] * 10 + [2] * 10))
        assert [len(s.label) for s in source.splits.values()] == [40, 10, 10]

    def test_no_test_rows_are_told(self, load):
        source = load(columns(a=range(60), split=["train"] * 50 + ["val"] * 10))
        assert list(source.splits) == ["train", "val"]
        assert "no test" in own_data.notes(source)


def quantile(values: list[float], q: float) -> float:
    """By straight lines between the ordered values."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def widths(values: list[float]) -> set[float]:
    """What the rule allows, from its text; two if one is as near as the other."""
    span = quantile(values, 0.995) - quantile(values, 0.005)
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
        low, high = np.quantile(values, [0.005, 0.995])
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
        ],
    )
    def test_by_hand(self, values, width):
        assert labels.auto_width(values) == width

    def test_it_is_told(self, load):
        source = load(table())
        (note,) = [n for n in source.notes if "wide" in n]
        assert note.startswith("bins are 1 wide")
        assert "data.bin_width" in note

    def test_a_stated_width_is_kept(self, load):
        source = load(table(), bin_width=3.0)
        np.testing.assert_allclose(np.diff(source.spec.bins.edges), 3)
        assert "wide" not in own_data.notes(source)


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
