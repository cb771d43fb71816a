"""Sources: the stated counts of each data set, and a sentence for wrong files."""

import dataclasses
import gzip

import numpy as np
import pytest

from dirjax import data, labels
from dirjax.cli import config_files
from dirjax.config import frozen
from dirjax.data import catalog, label_rules, labelling
from dirjax.data.readers import table as table_lib
from dirjax.errors import InputError


def load(name, **fields):
    """The data of a config file; `fields` are those of `config.data`."""
    made = config_files.load(f"configs/{name}.py", "vanilla")
    for field, value in fields.items():
        made.data[field] = value
    return data.from_config(frozen.plain(made)["data"])


def counts(source):
    return [len(source.splits[s].label) for s in ("train", "val", "test")]


def shots(source):
    """Bins with training examples: how many are many, median and few."""
    full = source.spec.counts > 0
    return np.bincount(source.spec.shots[full], minlength=3).tolist()


def check(source):
    """What holds for each source."""
    rows = np.concatenate([s.index for s in source.splits.values()])
    assert len(np.unique(rows)) == len(rows)
    assert source.spec.examples == len(source.splits["train"].label)
    for split in source.splits.values():
        size = len(split.label)
        assert split.label.dtype == split.weight.dtype == np.float32
        assert split.bin.dtype == split.index.dtype == np.int32
        assert split.bin.shape == split.index.shape == split.weight.shape == (size,)
        assert np.isfinite(split.label).all()
        arrays = split.inputs
        for x in arrays.values() if isinstance(arrays, dict) else [arrays]:
            assert len(x) == size
            assert np.isfinite(x).all()
    train = source.splits["train"]
    np.testing.assert_array_equal(
        np.bincount(train.bin, minlength=source.spec.bins.num), source.spec.counts
    )


class TestEmbedded:
    def test_bikeshare(self):
        source = load("bikeshare")
        check(source)
        assert counts(source) == [6547, 1049, 1049]
        assert (source.spec.counts > 0).sum() == 65
        assert shots(source) == [21, 25, 19]
        table = source.record["table"]
        assert "bikers" not in table["numeric"] + table["categorical"]
        assert "split" not in table["numeric"] + table["categorical"]
        encoder = source.record["encoder"]
        assert len(encoder["cardinalities"]) == len(table["categorical"])
        assert encoder["numeric"] == len(table["numeric"])

    def test_mnist5k(self):
        source = load("mnist5k")
        check(source)
        assert counts(source) == [4394, 303, 303]
        assert (source.spec.counts > 0).sum() == 57
        assert shots(source) == [15, 13, 29]
        pixels = source.splits["train"].inputs
        assert pixels.dtype == np.uint8
        assert pixels.shape[1:] == (28, 28, 1)
        scaled = pixels / 255.0
        record = source.record
        np.testing.assert_allclose(record["input_mean"], scaled.mean(), rtol=1e-4)
        np.testing.assert_allclose(record["input_std"], scaled.std(), rtol=1e-4)

    def test_limit_keeps_some_training_rows_and_all_others(self):
        whole, small, again = (load("bikeshare", limit=n) for n in (0, 100, 100))
        check(small)
        assert counts(small) == [100, 1049, 1049]
        assert set(small.splits["train"].index) < set(whole.splits["train"].index)
        np.testing.assert_array_equal(
            small.splits["train"].index, again.splits["train"].index
        )
        np.testing.assert_array_equal(
            small.splits["val"].index, whole.splits["val"].index
        )

    @pytest.mark.data
    @pytest.mark.parametrize(
        ("name", "file", "rows", "bins", "groups"),
        [
            ("diamonds", "tabular", [46154, 3820, 3820], 94, [56, 37, 1]),
            ("california_housing", "tabular", [16326, 2157, 2157], 50, [33, 14, 3]),
            ("abalone", "uci-dir", [3439, 369, 369], 28, [8, 8, 12]),
            ("airfoil", "uci-dir", [1055, 224, 224], 37, [0, 20, 17]),
            ("concrete", "uci-dir", [701, 152, 152], 41, [0, 14, 27]),
            ("real_estate", "uci-dir", [322, 46, 46], 20, [0, 8, 12]),
        ],
    )
    def test_stated_counts(self, data_dir, name, file, rows, bins, groups):
        ending = ".csv.gz" if file == "tabular" else ".csv"
        source = load(name, path=str(data_dir / file / f"{name}{ending}"))
        check(source)
        assert counts(source) == rows
        assert (source.spec.counts > 0).sum() == bins
        assert shots(source) == groups


HEADER = "x,color,y,part\n"
ROWS = [f"{i / 7:.3f},{'rgb'[i % 3]},{i % 10},train" for i in range(90)]


def write(folder, text, name="mine.csv"):
    file = folder / name
    file.write_text(text)
    return file


def table(file, **options):
    """A table read with options of `tables.load` and of `label_rules.Rules`."""
    options = {"split": "part", "label": "y", "bin_width": 1.0} | options
    fields = {f.name for f in dataclasses.fields(label_rules.Rules)}
    rules = {k: options.pop(k) for k in fields & set(options)}
    return table_lib.load("mine", file, label_rules.Rules(**rules), **options)


class TestTable:
    def test_columns_are_found(self, tmp_path):
        source = table(write(tmp_path, HEADER + "\n".join(ROWS)))
        check(source)
        assert list(source.splits) == ["train"]
        assert source.record["table"]["numeric"] == ("x",)
        assert source.record["table"]["categorical"] == ("color",)
        assert source.splits["train"].label[13] == 3.0
        assert source.splits["train"].index[13] == 13

    def test_columns_are_named(self, tmp_path):
        file = write(tmp_path, HEADER + "\n".join(ROWS))
        source = table(file, numeric=("x",), categorical=("x", "color"))
        assert source.record["encoder"]["cardinalities"] == (91, 4)

    def test_few_whole_values_are_a_category_too(self, tmp_path):
        rows = [f"{i / 7},{i % 4},{i % 10},train" for i in range(90)]
        file = write(tmp_path, HEADER + "\n".join(rows))
        assert table(file, both=4).record["encoder"]["cardinalities"] == (5,)
        assert table(file, both=3).record["encoder"]["cardinalities"] == ()

    def test_gzip(self, tmp_path):
        file = tmp_path / "mine.csv.gz"
        file.write_bytes(gzip.compress((HEADER + "\n".join(ROWS)).encode()))
        assert len(table(file).splits["train"].label) == 90

    def test_a_unit_is_shown(self, tmp_path):
        file = write(tmp_path, HEADER + "\n".join(ROWS))
        assert table(file, unit="cm").label == "y (cm)"
        assert table(file).label == "y"


def replaced(row, text):
    """The table with one data row, counted from 0, written anew."""
    rows = list(ROWS)
    rows[row] = text
    return HEADER + "\n".join(rows)


class TestWrongInput:
    def test_no_such_label(self, tmp_path):
        file = write(tmp_path, HEADER + "\n".join(ROWS))
        with pytest.raises(InputError, match=r"no column 'age' .*x, color, y, part"):
            table(file, label="age")

    @pytest.mark.parametrize("field", ["numeric", "categorical"])
    def test_no_such_feature(self, tmp_path, field):
        file = write(tmp_path, HEADER + "\n".join(ROWS))
        with pytest.raises(InputError, match=f"no column 'size'.*data.{field}"):
            table(file, **{field: ("size",)})

    def test_a_label_that_is_no_number(self, tmp_path):
        file = write(tmp_path, replaced(2, "0.3,r,seven,train"))
        with pytest.raises(InputError, match=r"'y' .*must hold numbers.*seven"):
            table(file)

    def test_a_missing_label(self, tmp_path):
        file = write(tmp_path, replaced(2, "0.3,r,,train"))
        # Line 4 of the file: a header, and two rows before.
        with pytest.raises(InputError, match=r"row 4 of .*mine.csv has nan in 'y'"):
            table(file)

    def test_an_infinite_label(self, tmp_path):
        file = write(tmp_path, replaced(0, "0.3,r,inf,train"))
        with pytest.raises(InputError, match=r"row 2 of .* has inf in 'y'"):
            table(file)

    @pytest.mark.parametrize("value", ["learning", "7", ""])
    def test_a_wrong_split_value(self, tmp_path, value):
        file = write(tmp_path, replaced(5, f"0.3,r,1,{value}"))
        with pytest.raises(InputError, match=r"'part' .*train, val or test, row 7"):
            table(file)

    @pytest.mark.parametrize("scale", ["linear", "yeo_johnson"])
    def test_labels_whose_squares_vanish(self, tmp_path, scale):
        rows = [f"{i},{'rg'[i % 2]},{i}e-20,train" for i in range(9)]
        file = write(tmp_path, HEADER + "\n".join(rows))
        with pytest.raises(InputError, match=r"spread over .*0 to 8e-20\. Use another"):
            table(file, label_scale=scale)

    def test_labels_that_single_precision_cannot_tell_apart(self, tmp_path):
        rows = [f"{i},{'rg'[i % 2]},{10**9 + i},train" for i in range(90)]
        file = write(tmp_path, HEADER + "\n".join(rows))
        with pytest.raises(InputError, match=r"\(up to 1000000089\) do not, with bins"):
            table(file)
        # One label far out is no reason to refuse the others.
        rows = [f"{i},{'rg'[i % 2]},{i / 50},train" for i in range(500)]
        text = HEADER + "\n".join([*rows, "7,r,10000000,train"])
        found = table(write(tmp_path, text), bin_width=None)
        assert any(note.startswith("1 labels far") for note in found.notes)

    def test_labels_below_the_least_prediction(self, tmp_path):
        file = write(tmp_path, HEADER + "\n".join(ROWS))
        with pytest.raises(InputError, match=r"data\.label_low, 1, .*row 2 .*\(9 such"):
            table(file, label_low=1.0)
        kept = table(file, label_low=1.0, on_bad="skip")
        assert kept.splits["train"].label.min() == 1.0
        assert len(table(file, label_low=0.0).splits["train"].label) == len(ROWS)

    def test_no_training_row(self, tmp_path):
        text = (HEADER + "\n".join(ROWS)).replace("train", "val")
        with pytest.raises(InputError, match="names no training row"):
            table(write(tmp_path, text))

    def test_a_range_in_other_units(self, tmp_path):
        file = write(tmp_path, HEADER + "\n".join(ROWS))
        with pytest.raises(InputError, match="label_range"):
            table(file, label_range=(500.0, 900.0))

    @pytest.mark.parametrize("split", ["part", "split"])
    def test_end_bins_of_a_range_that_holds_nothing(self, tmp_path, split):
        file = write(tmp_path, HEADER + "\n".join(ROWS))
        with pytest.raises(InputError, match=r"data\.label_range must contain labels"):
            table(file, label_range=(500.0, 900.0), outside="end", split=split)

    def test_an_empty_file(self, tmp_path):
        with pytest.raises(InputError, match=r"mine\.csv must be a CSV file"):
            table(write(tmp_path, ""))

    def test_a_file_of_another_kind(self, tmp_path):
        for name, content in (("a.csv", b"\xff\xfe\x00"), ("b.csv.gz", b"no gzip")):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InputError, match="must be a CSV file"):
                table(tmp_path / name)

    def test_no_rows(self, tmp_path):
        with pytest.raises(InputError):
            table(write(tmp_path, HEADER))

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(InputError, match=r"data\.path .*none\.csv does not exist"):
            load("csv", label="y", path=str(tmp_path / "none.csv"))

    @pytest.mark.parametrize("name", catalog.ELSEWHERE)
    def test_a_missing_benchmark_says_where_to_get_it(self, name):
        with pytest.raises(InputError) as raised:
            catalog.locate(name, "/none/such")
        assert "/none/such does not exist" in str(raised.value)
        assert catalog.ELSEWHERE[name][1] in str(raised.value)

    def test_a_data_set_nobody_knows(self):
        with pytest.raises(InputError, match=r"data\.path is missing.*bikeshare"):
            catalog.locate("mine", None)

    def test_data_that_is_not_shipped_says_where_to_get_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DIRJAX_DATA", str(tmp_path))
        with pytest.raises(InputError, match=r"ggplot2.*data\.path.*DIRJAX_DATA"):
            load("diamonds")


FREE = "x,color,y\n"
FREE_ROWS = [f"{i / 7:.3f},{'rgb'[i % 3]},{min(i % 10, i % 7)}" for i in range(300)]


def parts_by_row(file):
    """Content of each row -> split."""
    source = table(file, split="split")
    lines = file.read_text().splitlines()[1:]
    return {
        lines[i]: name for name, split in source.splits.items() for i in split.index
    }


class TestSplitThatIsMade:
    def test_it_is_balanced(self, tmp_path):
        source = table(write(tmp_path, FREE + "\n".join(FREE_ROWS)), split="split")
        check(source)
        y = np.array([float(r.split(",")[2]) for r in FREE_ROWS])
        total = np.bincount(y.astype(int), minlength=source.spec.bins.num)
        for name in ("val", "test"):
            got = np.bincount(
                source.splits[name].label.astype(int), minlength=len(total)
            )
            np.testing.assert_array_equal(got, np.minimum(total // 5, 30))

    def test_it_does_not_depend_on_the_order_of_rows(self, tmp_path):
        order = np.random.default_rng(0).permutation(len(FREE_ROWS))
        shuffled = [FREE_ROWS[i] for i in order]
        one = write(tmp_path, FREE + "\n".join(FREE_ROWS), "one.csv")
        two = write(tmp_path, FREE + "\n".join(shuffled), "two.csv")
        assert parts_by_row(one) == parts_by_row(two)

    def test_rows_may_repeat(self, tmp_path):
        rows = [*FREE_ROWS, *FREE_ROWS[:40], FREE_ROWS[0]]
        source = table(write(tmp_path, FREE + "\n".join(rows)), split="split")
        check(source)
        assert sum(counts(source)) == 341

    def test_it_is_a_function_of_the_seed(self, tmp_path):
        file = write(tmp_path, FREE + "\n".join(FREE_ROWS))
        first, again, other = (
            table(file, seed=s, split="split").splits["val"].index.tolist()
            for s in (0, 0, 1)
        )
        assert first == again
        assert first != other


def test_shots_are_named_as_everywhere():
    assert labels.SHOTS == ("many", "median", "few")
    assert labelling.SPLITS == ("train", "val", "test")
