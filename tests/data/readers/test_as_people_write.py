"""Tables as people have them: what becomes of them, and what is said."""

import gzip
import io
import json
import re
import zipfile

import numpy as np
import pytest

from dirjax.config import validation
from dirjax.configs import common
from dirjax.data.readers import table as table_reader
from dirjax.errors import InputError
from tests import own_data
from tests.data.readers.table_cases import PARTS, columns, found

RNG = np.random.default_rng(0)
X = RNG.normal(size=60).round(3)
WIDE = {ord(c): ord(c) + 0xFEE0 for c in "0123456789.-"}
PLAIN = columns(a=X, b=[f"{1000 * abs(x):.2f}" for x in X])


def numeric(source):
    return own_data.numeric(source)


def written(**cells) -> str:
    return columns(**cells)


def quoted(values) -> list[str]:
    return [f'"{v}"' for v in values]


class TestNumbers:
    def test_a_file_of_semicolons_and_commas_is_that_of_points(self, load):
        plain = load(PLAIN)
        text = PLAIN.replace(",", ";").replace(".", ",")
        source = load(text)
        assert found(source) == (("a", "b"), ())
        np.testing.assert_array_equal(numeric(source), numeric(plain))
        assert "columns 'a', 'b': ',' is the decimal mark" in own_data.notes(source)

    @pytest.mark.parametrize(
        ("form", "said"),
        [
            ("{:,.2f}", "',' separates thousands"),
            ("{:,.2f} kg", "',' separates thousands, 'kg' is left out"),
            ("$ {:,.2f}", "'$' is left out"),
            ("{:.2f} %", "'%' is left out"),
            ("{:.2f}€", "'€' is left out"),
        ],
    )
    def test_marks_and_units(self, load, form, said):
        plain = load(PLAIN)
        source = load(columns(a=X, b=quoted(form.format(1000 * abs(x)) for x in X)))
        np.testing.assert_array_equal(numeric(source), numeric(plain))
        assert said in own_data.notes(source)

    def test_the_label_too(self, load):
        y = [f'"{1000 + 10 * i:,} EUR"' for i in range(60)]
        source = load(columns(a=X, y=y))
        value = own_data.whole(source, "value")
        np.testing.assert_array_equal(value, 1000 + 10 * np.arange(60))
        assert "column 'y': ',' separates thousands, 'EUR'" in own_data.notes(source)

    def test_doubt_is_told(self, load):
        cells = [f"{10 + i} {'kg' if i % 3 else 'g'}" for i in range(60)]
        with pytest.raises(InputError, match=r"'a' of .* different text behind them"):
            load(columns(a=cells))

    def test_categories_with_digits_are_told(self, load):
        source = load(columns(a=["4WD", "2x", "3WD"] * 20, z=X))
        assert found(source) == (("z",), ("a",))
        assert "'a' holds numbers with different units" in own_data.notes(source)

    @pytest.mark.parametrize(
        ("form", "said"),
        [
            (lambda v: f"{v:,.2f}".replace(",", "\u2019"), '"\'" separates thousands'),
            (lambda v: f"'{v:.2f}", ""),
            (lambda v: f"{v:.2f}".translate(WIDE), ""),
            (lambda v: f"CHF {v:,.2f}".replace(",", "'"), "'CHF' is left out"),
        ],
        ids=["swiss", "text", "wide", "francs"],
    )
    def test_marks_that_look_alike(self, load, form, said):
        source = load(columns(a=X, b=quoted(form(1000 * abs(x)) for x in X)))
        np.testing.assert_array_equal(numeric(source), numeric(load(PLAIN)))
        assert said in own_data.notes(source)

    def test_no_cents(self, load):
        cells = [f"{1000 + 3 * i:,}.\u2013".replace(",", "'") for i in range(60)]
        source = load(columns(a=X, b=cells))
        want = load(columns(a=X, b=[1000 + 3 * i for i in range(60)]))
        np.testing.assert_array_equal(numeric(source), numeric(want))

    def test_a_typographic_minus(self, load):
        text = PLAIN.replace("-", "\u2212")
        np.testing.assert_array_equal(numeric(load(text)), numeric(load(PLAIN)))

    @pytest.mark.parametrize("form", ["({})", "{}-", "~{}", "<{}", "ca. {}"])
    def test_what_is_unclear_is_asked(self, load, form):
        cells = [form.format(abs(x)) for x in X]
        with pytest.raises(InputError, match=r"'b' of .* of which it is unclear"):
            load(columns(a=X, b=cells))
        some = [f"<{i % 3}" for i in range(60)]  # As of classes of age.
        assert found(load(columns(a=X, b=some))) == (("a",), ("b",))

    @pytest.mark.parametrize("code", ["-999", "9999.0"])
    def test_numbers_that_may_stand_for_missing_values(self, load, code):
        cells = [code if i % 7 == 3 else abs(x) for i, x in enumerate(X)]
        said = own_data.notes(load(columns(a=X, b=cells)))
        assert f"column 'b' holds {code} in 9 rows, far from its other" in said
        assert f"set --config.data.missing={code}" in said
        source = load(columns(a=X, b=cells), missing=(str(code),))
        assert source.record["table"]["indicators"] == ("b",)
        assert "far from" not in own_data.notes(source)

    @pytest.mark.parametrize("behind", ["k", " Mio. EUR", " kWh", " %"])
    def test_what_changes_a_number_is_missing_nowhere(self, load, tmp_path, behind):
        cells = [f"{abs(x):.2f}{behind}" for x in X]
        source = load(columns(a=cells, b=X))
        file = own_data.write(tmp_path, "new.csv", "a,b\n300,1\n")
        with pytest.raises(InputError, match=f"numbers with '{behind.strip()}' behind"):
            list(table_reader.read_new(file, source.record))
        cells[7] = "300"
        with pytest.raises(InputError, match="and 1 without; write all of them in one"):
            load(columns(a=cells, b=X))

    def test_a_label_in_doubt_is_one_problem(self, load):
        cells = "\n".join(f"{3 * i}\t1,{100 + i}" for i in range(60))
        with pytest.raises(InputError, match=r"may mean 1100 or 1\.100") as raised:
            load(f"a\ty\n{cells}\n")
        assert "problems" not in str(raised.value)

    def test_new_rows_are_read_by_the_rules_of_training(self, load, tmp_path):
        text = PLAIN.replace(",", ";").replace(".", ",")
        source = load(text)
        file = own_data.write(tmp_path, "new.csv", "a;b\n0,5;1200,5\n")
        (piece,) = table_reader.read_new(file, source.record)
        file = own_data.write(tmp_path, "point.csv", "a,b\n0.5,1200.5\n")
        (plain,) = table_reader.read_new(file, load(PLAIN).record)
        np.testing.assert_array_equal(piece.inputs["numeric"], plain.inputs["numeric"])
        with pytest.raises(InputError, match=r"'a' must hold numbers, row 2"):
            list(table_reader.read_new(file, source.record))


class TestFirstLines:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("sep=,\n" + PLAIN, ""),
            ("# exported today\n#\n" + PLAIN, "comment lines above the header .*: 2"),
            ("\n\n" + PLAIN, ""),
            (PLAIN.replace("\n", ",,\n"), "columns without a name are left out: 2"),
            (PLAIN + PLAIN.split("\n")[0] + "\n", "repeat the header are left out: 1"),
            (PLAIN + ",,,\n,,,\n", "empty rows are left out: 2"),
            (PLAIN + "# the end, of it\n", "comment lines between rows .*: 1"),
        ],
        ids=["sep", "comments", "empty", "nameless", "header", "blank", "comment"],
    )
    def test_they_are_no_rows(self, load, text, said):
        source = load(text)
        np.testing.assert_array_equal(numeric(source), numeric(load(PLAIN)))
        assert not said or re.search(said, own_data.notes(source))

    def test_row_numbers_in_messages_are_those_of_the_file(self, load):
        lines = PLAIN.split("\n")
        lines[5] = "oops," + lines[5].split(",", 1)[1]
        with pytest.raises(InputError, match="row 8 of"):
            load("# one\n# two\n" + "\n".join(lines))

    @pytest.mark.parametrize(
        ("text", "row"),
        [
            ("# one\n# two\na,y\n1,2\n\n3,4\n# note, of, three\n5\n", 8),
            ("sep=;\n\na;y\n1;2\n3\n", 5),
        ],
    )
    def test_so_are_those_of_rows_of_wrong_length(self, load, text, row):
        with pytest.raises(InputError, match=rf"2 cells like the header, row {row} of"):
            load(text)

    def test_a_title_above_the_names(self, load):
        with pytest.raises(
            InputError, match=r"one cell and row 2 4\. Remove the lines"
        ):
            load("Prices of 2020\n" + PLAIN)

    def test_a_column_without_a_name_that_holds_something(self, load):
        text = PLAIN.replace("\n", ",1\n").replace("split,1", "split,")
        with pytest.raises(InputError, match="columns must have names, column 5 of"):
            load(text)

    @pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "cp1252", "utf-8-sig"])
    def test_encodings(self, load, codec):
        text = columns(a=X, town=["Köln", "Zürich", "Malmö"] * 20)
        source, plain = load(text.encode(codec)), load(text)
        assert source.record["table"] == plain.record["table"]
        said = {"cp1252": "Windows-1252", "utf-8-sig": ""}.get(codec, "UTF-16")
        assert said in own_data.notes(source)

    def test_what_is_found_in_new_files_is_told(self, load, tmp_path, capsys):
        source = load(columns(a=X, town=["Köln", "Zürich", "Malmö"] * 20))
        content = "# new\na,town\n1,Köln\n".encode("cp1252")
        file = own_data.write(tmp_path, "new.csv", content)
        (piece,) = table_reader.read_new(file, source.record)
        assert piece.inputs["categorical"].tolist() == [[1]]
        said = capsys.readouterr().out
        assert "new.csv is no UTF-8, and is read as Windows-1252" in said
        assert "comment lines above the header are left out: 1" in said

    def test_a_zipped_file(self, load):
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr("mine.csv", PLAIN)
            archive.writestr("__MACOSX/._mine.csv", b"\0")
        source = load(sink.getvalue(), "mine.zip")
        np.testing.assert_array_equal(numeric(source), numeric(load(PLAIN)))
        with zipfile.ZipFile(sink, "a") as archive:
            archive.writestr("other.csv", PLAIN)
        with pytest.raises(InputError, match=r"one file, .* holds 2: mine.csv, other"):
            load(sink.getvalue(), "mine.zip")
        assert load(gzip.compress(PLAIN.encode("utf-16")), "a.gz").notes

    def test_a_workbook(self, load, tmp_path):
        openpyxl = pytest.importorskip("openpyxl")
        pytest.importorskip("python_calamine")
        book = openpyxl.Workbook()
        book.create_sheet("empty")
        header, *rows = (line.split(",") for line in PLAIN.split())
        book.active.append(header)
        for a, b, y, part in rows:
            book.active.append([float(a), float(b), int(y), part])
        book.save(tmp_path / "mine.xlsx")
        source = load((tmp_path / "mine.xlsx").read_bytes(), "mine.xlsx")
        np.testing.assert_array_equal(numeric(source), numeric(load(PLAIN)))
        book.create_sheet("more").append(["a"])
        book.save(tmp_path / "two.xlsx")
        two = (tmp_path / "two.xlsx").read_bytes()
        with pytest.raises(InputError, match=r"these hold something: Sheet, more"):
            load(two, "two.xlsx")
        assert len(load(two, "two.xlsx", sheet="Sheet").splits) == 3
        book["Sheet"].merge_cells("D2:D41")
        book.save(tmp_path / "merged.xlsx")
        merged = (tmp_path / "merged.xlsx").read_bytes()
        with pytest.raises(InputError, match=r"'Sheet' .* merges rows 2 to 41 of col"):
            load(merged, "merged.xlsx", sheet="Sheet")

    def test_bars_between_cells(self, load):
        source = load(PLAIN.replace(",", "|"))
        np.testing.assert_array_equal(numeric(source), numeric(load(PLAIN)))

    @pytest.mark.parametrize("word", ["Total", "Summe:", "grand total"])
    def test_a_row_of_totals(self, load, word):
        text = columns(a=X, c=["u", "v"] * 30)
        with pytest.raises(InputError, match=rf"row 62 of .* says '{word}' in 'c'"):
            load(f"{text}{X.sum()},{word},99,train\n")
        source = load(f"{text}{X.sum()},{word},99,train\n", on_bad="skip")
        assert own_data.whole(source, "value").max() < 99
        assert "rows left out: 1 totals" in own_data.notes(source)


class TestColumns:
    @pytest.mark.parametrize(
        ("name", "cells"),
        [
            ("Unnamed: 0", range(60)),
            ("nr", range(7, 67)),
            ("shuffled", RNG.permutation(60)),
            ("with_gaps", [i for i in range(72) if i % 6]),
            ("of_some", RNG.permutation(72)[:60]),
            ("house_id", range(1000, 1600, 10)),
            ("CustomerID", range(1000, 1600, 10)),
        ],
    )
    def test_row_numbers_and_identifiers(self, load, name, cells):
        source = load(columns(**{name: cells, "a": X}))
        assert found(source) == (("a",), ())
        assert f"column {name!r} is left out" in own_data.notes(source)
        if name != "Unnamed: 0":
            kept = load(columns(**{name: cells, "a": X}), numeric=(name,))
            assert found(kept) == ((name, "a"), ())

    @pytest.mark.parametrize("name", ["paid", "width", "year"])
    def test_what_is_none(self, load, name):
        cells = range(1000, 1600, 10)
        assert found(load(columns(**{name: cells, "a": X}))) == ((name, "a"), ())

    @pytest.mark.parametrize(
        "names", [("training", "validation", "testing"), ("Train", "dev", "TEST")]
    )
    def test_names_of_splits(self, load, names):
        other = dict(zip(("train", "val", "test"), names, strict=True))
        source = load(columns(a=X, split=[other[p] for p in PARTS]))
        assert [len(s.value) for s in source.splits.values()] == [40, 10, 10]

    def test_a_split_by_another_name(self, load):
        text = columns(a=X, split=None, Subset=PARTS)
        source = load(text)
        assert found(source) == (("a",), ())
        assert len(source.splits["train"].value) == 40
        assert "column 'Subset' is taken for the split" in own_data.notes(source)

    def test_dates_without_marks(self, load, tmp_path):
        cells = [f"{2015 + i % 7}{1 + i % 12:02d}{1 + i % 28:02d}" for i in range(60)]
        source = load(columns(sold=cells, a=X), scaling="standard")
        names = ("sold year", "sold day of year", "sold weekday", "a")
        assert found(source) == (names, ())
        file = own_data.write(tmp_path, "new.csv", "sold,a\n20210203,1\n")
        (piece,) = table_reader.read_new(file, source.record)
        table = source.record["table"]
        got = piece.inputs["numeric"][0] * table["scale"] + table["center"]
        np.testing.assert_allclose(got, [2021, 34, 2, 1], rtol=1e-5)
        kept = load(columns(sold=cells, a=X), numeric=("sold",))
        assert found(kept) == (("sold", "a"), ())
        # These are no dates: there is no month 13.
        other = load(columns(sold=[c[:4] + "13" + c[6:] for c in cells], a=X))
        assert found(other) == (("sold", "a"), ())

    @pytest.mark.parametrize(
        ("cells", "parts", "bad"),
        [
            (["2015-03", "2016-11"], ("year", "month"), "2015-13"),
            (["12:30", "7:05 pm"], ("hour",), "12:60"),
            (["1:02:03", "101:00:00"], ("hour",), "1:2:3"),
        ],
    )
    def test_months_and_times_of_new_rows(self, load, tmp_path, cells, parts, bad):
        source = load(written(when=cells * 30, y=[f"{i}.5" for i in range(60)]))
        assert source.record["table"]["numeric"] == tuple(f"when {p}" for p in parts)
        file = own_data.write(tmp_path, "new.csv", f"when\n{cells[0]}\n{bad}\n")
        record = json.loads(json.dumps(source.record))
        with pytest.raises(InputError, match=f"'when' must hold .*row 3 .*'{bad}'"):
            list(table_reader.read_new(file, record))
        (piece,) = table_reader.read_new(file, record, on_bad="skip")
        assert len(np.unique(piece.inputs["numeric"], axis=0)) == 1
        seen = source.splits["train"].inputs["numeric"]
        assert piece.inputs["numeric"][0].tolist() in seen.tolist()

    def test_a_part_is_not_named_like_another_column(self, load):
        days = [f"{1 + i % 28}.3.2021" for i in range(60)]
        text = written(sold=days, **{"sold year": [i % 7 for i in range(60)]})
        with pytest.raises(InputError, match="named 'sold year' like another column"):
            load(text)
        assert (
            "sold weekday" in load(text, drop=("sold year",)).record["table"]["numeric"]
        )

    def test_dates_of_new_rows(self, load, tmp_path):
        cells = [f"{1 + i % 28}.{1 + i % 12}.{2000 + i % 7} 6:30" for i in range(60)]
        source = load(columns(sold=cells, a=X), scaling="standard")
        names = ("sold year", "sold day of year", "sold weekday", "a")
        assert found(source) == (names, ())
        assert "'sold' holds dates (day first): it gives year" in own_data.notes(source)
        text = "sold,a\n3.2.2021,1\nsoon,1\n"
        file = own_data.write(tmp_path, "new.csv", text)
        with pytest.raises(
            InputError, match=r"'sold' must hold dates .*row 3 .*'soon'"
        ):
            list(table_reader.read_new(file, source.record))
        (piece,) = table_reader.read_new(file, source.record, on_bad="skip")
        table = source.record["table"]
        got = piece.inputs["numeric"][0] * table["scale"] + table["center"]
        np.testing.assert_allclose(got, [2021, 34, 2, 1], rtol=1e-5)


class TestGroups:
    def people(self, **cells) -> str:
        signal = RNG.normal(size=40)
        of_row = np.repeat(np.arange(40), 10)
        rows = [f"P{p},{signal[p] + 0.05 * RNG.normal():.3f},{20 + p}" for p in of_row]
        return own_data.table(rows, "person,a,y")

    def test_a_leak_is_told(self, load):
        said = own_data.notes(load(self.people()))
        assert "the 40 values of 'person' repeat" in said
        assert "--config.data.group=person" in said

    def test_they_stay_on_one_side(self, load):
        source = load(self.people(), group="person", bin_width=5.0)
        people = [set((s.index // 10).tolist()) for s in source.splits.values()]
        assert len(people) == 3
        assert sum(map(len, people)) == len(set.union(*people)) == 40
        assert found(source) == (("a",), ())
        said = own_data.notes(source)
        assert "groups went to train, val and test as a whole" in said
        assert "repeat" not in said
        rows = self.people().split("\n")
        rows[4] = "," + rows[4].split(",", 1)[1]
        with pytest.raises(InputError, match=r"data.group=person must .*, row 5 of"):
            load("\n".join(rows), group="person")
        with pytest.raises(InputError, match=r"no column 'persons' \(data.group\)"):
            load(self.people(), group="persons")

    def test_a_given_split_that_tears_them_apart_is_told(self, load):
        parts = ("train", "train", "train", "val", "test")
        rows = [f"P{i % 12},{X[i]},{i},{parts[i % 5]}" for i in range(60)]
        source = load(own_data.table(rows, "person,a,y,split"), group="person")
        assert "tears 12 groups apart" in own_data.notes(source)
        rows = [f"P{i % 5},{X[i]},{i},{parts[i % 5]}" for i in range(60)]
        source = load(own_data.table(rows, "person,a,y,split"), group="person")
        assert "apart" not in own_data.notes(source)

    def test_other_kinds_of_data_have_none(self):
        fields = common.get_config().data.to_dict() | {"name": "mine", "label": "y"}
        fields |= {"kind": "arrays", "group": "person"}
        with pytest.raises(
            InputError, match=r"data.group must be empty unless the data"
        ):
            validation.validate_data(fields)


class TestScales:
    COUNTS = RNG.poisson(0.7, 60)

    def test_zero_counts(self, load):
        with pytest.raises(InputError, match=r"above 0 .*label_scale=log1p takes 0"):
            load(columns(a=X, y=self.COUNTS), label_scale="log")
        source = load(columns(a=X, y=self.COUNTS), label_scale="log1p", bin_width=0.5)
        label = own_data.whole(source, "label")
        np.testing.assert_allclose(label, np.log1p(self.COUNTS), rtol=1e-6)
        np.testing.assert_allclose(source.edges[:2], [0, np.expm1(0.5)], atol=1e-9)

    @pytest.mark.parametrize("kind", ["yeo_johnson", "quantile"])
    def test_fitted_to_training_labels_alone(self, load, kind):
        y = RNG.gamma(2, 10, 60).round(2)
        source = load(columns(a=X, y=y), label_scale=kind)
        y[45:] += 100
        other = load(columns(a=X, y=y), label_scale=kind)
        assert source.scale == other.scale
        assert source.scale.kind == kind
        # Training rows that are not used do not count either.
        fewer = load(columns(a=X, y=y), label_scale=kind, limit=20)
        assert fewer.scale != source.scale

    @pytest.mark.parametrize("kind", ["yeo_johnson", "quantile"])
    def test_training_labels_that_cannot_be_scaled(self, load, kind):
        y = [7] * 40 + list(range(20))
        with pytest.raises(InputError, match="training labels must differ, all 40"):
            load(columns(a=X, y=y), label_scale=kind)
