"""Tables as files: rows that are skipped, blocks, and formats."""

import datetime
import gzip

import numpy as np
import pyarrow as pa
import pytest

from dirjax import data
from dirjax.data.formats import csv_files, table_files, text_files
from dirjax.errors import InputError
from tests import own_data
from tests.data.readers.table_cases import (
    BAD,
    PARTS,
    columns,
    found,
    with_bad_rows,
)
from tests.own_data import HEADER, ROWS, table


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
        source = load(columns(a=range(0, 120, 2), split=parts), on_bad="skip")
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
                for module in (csv_files, text_files):
                    patch.setattr(module, "_BLOCK", 64)
                return load(*args, **fields)

        return loading

    def test_it_is_in_pieces(self, tmp_path, monkeypatch):
        file = own_data.write(tmp_path, "mine.csv", table())
        assert len(list(table_files.blocks(file))) == 1
        monkeypatch.setattr(csv_files, "_BLOCK", 64)
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
        text = changed_all("0.1,café,1", 59).encode("latin1").replace(b"\xe9", b"\x81")
        with pytest.raises(InputError, match=r"UTF-8, row 61 .*0x81"):
            in_pieces(text)

    def test_types_are_those_of_the_whole_column(self, load, in_pieces):
        # Numbers first, words later.
        cells = [str(i % 5) if i < 20 else f"w{i % 5}" for i in range(60)]
        text = columns(a=cells, z=range(0, 120, 2))
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
        text = columns(k=["" if v is None else v for v in k], z=range(0, 120, 2))
        content = own_data.to_parquet(
            k=k, z=range(0, 120, 2), y=[i % 10 for i in range(60)], split=PARTS
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

    @pytest.mark.parametrize(
        ("row", "named"),
        [
            ("{i}.5 {i} 3", True),
            ("{i}.5 {i} 3", False),
            ("  {i}.5    {i}   3", True),
            ("  {i}.5    {i}   3", False),
            ("{i},5 {i} 3", True),
            ('"{i}" 0.5 {i}', True),
            ('{i}.5   8   307.0  ?  1.\t"a long name"', False),
            ("{i}.5 \t 3.0", True),
        ],
    )
    def test_blanks_between_cells_are_refused(self, load, row, named):
        rows = [row.format(i=10 + i) for i in range(40)]
        names = " ".join("abcdefgh"[: len(row.split('\t"')[0].split())])
        names += '\t"name"' * ('\t"' in row)
        with pytest.raises(InputError, match=r"by blanks, \d in a line.*awk") as told:
            load("\n".join([names] * named + rows) + "\n", label="c")
        assert ("write names of the columns" in str(told.value)) == (not named)

    def test_blanks_in_cells_are_not(self, load):
        rows = [f"{1 + i} {300 + i},{i % 7} 5,{i}" for i in range(60)]
        rows = "\n".join(["a,b,y", *rows])
        assert "a" in load(rows + "\n").record["table"]["numeric"]
        tabs = rows.replace(",", "\t")
        assert "a" in load(tabs + "\n").record["table"]["numeric"]

    @pytest.mark.parametrize("cells", ["800,0,71.3,-126", "0,1,2,0"])
    def test_a_file_without_names_is_told(self, load, cells):
        rows = [cells, *(f"{i},1,2.5,3" for i in range(40))]
        with pytest.raises(InputError, match="first line must name the columns"):
            load("\n".join(rows) + "\n")

    @pytest.mark.parametrize(
        "last",
        ["1,5", "n/a", "12 EUR", " 7 ", "1e5", "+3", "1_000", "NA ", "", "007", "inf"],
    )
    def test_blocks_do_not_matter(self, tmp_path, monkeypatch, last):
        """A column that is plain for long is read as if its end had been seen first."""
        rows = [f"{i % 97}.25;{'abc'[i % 3]}; {i % 7}" for i in range(400)]
        rows += ["", f"{last};NA;5"]
        file = own_data.write(tmp_path, "long.csv", "\n".join(["x;c;y", *rows]) + "\n")

        def read():
            table = table_files.read(file)
            cells = {name: column.to_pylist() for name, column in table.cells.items()}
            return cells, table.number.tolist()

        want = read()
        marked = {"n/a": None, "NA ": None, "": None}
        assert want[0]["x"][-1] == marked.get(last, last.strip())
        assert want[1][-1] == 401
        for size in (64, 1000):
            monkeypatch.setattr(csv_files, "_BLOCK", size)
            assert read() == want

    def test_decimal_commas_are_told(self, load):
        source = load(table().replace(",", ";").replace(".", ","))
        plain = load(table())
        np.testing.assert_array_equal(own_data.numeric(source), own_data.numeric(plain))
        assert source.record["table"] == plain.record["table"]
        assert "column 'x': ',' is the decimal mark" in own_data.notes(source)

    def test_times_of_day(self, load):
        cells = [datetime.time(i % 24).isoformat() for i in range(60)]
        source = load(columns(t=cells, z=range(0, 120, 2)))
        assert found(source) == (("t hour", "z"), ())
        assert (
            "'t' holds times such as '00:00:00', 0 hours: it gives hour"
            in own_data.notes(source)
        )


def typed() -> dict:
    """The columns of ROWS and PARTS."""
    x, color, y = zip(*(row.split(",") for row in ROWS), strict=True)
    numbers = {"x": [float(v) for v in x], "y": [int(v) for v in y]}
    return {**numbers, "color": color, "split": PARTS}
