"""NPZ files: tables and images, splits, gaps; nothing pickled is ever loaded.

Sentences on wrong files are in tests/test_wrong_input.py.
"""

import io
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from dirjax.data.formats.pictures import Pictures
from dirjax.errors import InputError
from tests import own_data

X = np.random.default_rng(0).normal(size=(60, 3)).round(3)
Y = np.arange(60) % 10.0
PARTS = np.repeat(["train", "val", "test"], [40, 10, 10])


@pytest.fixture
def load(tmp_path):
    """Writes arrays and loads them; `fields` are those of `config.data`."""

    def loading(arrays=None, argument="vanilla", **fields):
        content = own_data.to_npz(**{"x": X, "y": Y, "split": PARTS} | (arrays or {}))
        file = own_data.write(tmp_path, "mine.npz", content)
        return own_data.load(file, "npz", argument, **fields)

    return loading


def sizes(source) -> list[int]:
    return [len(part.label) for part in source.splits.values()]


class TestTables:
    def test_rows_are_as_in_a_csv(self, load, tmp_path):
        cells = np.column_stack([X, Y]).tolist()
        lines = [
            ",".join(map(str, [*row, part]))
            for row, part in zip(cells, PARTS, strict=True)
        ]
        text = own_data.table(lines, "x0,x1,x2,y,split")
        file = own_data.write(tmp_path, "mine.csv", text)
        one, two = load(), own_data.load(file)
        assert one.record["table"] == two.record["table"]
        for name, part in one.splits.items():
            other = two.splits[name]
            np.testing.assert_array_equal(part.label, other.label)
            np.testing.assert_array_equal(part.index, other.index)
            np.testing.assert_array_equal(
                part.inputs["numeric"], other.inputs["numeric"]
            )

    @pytest.mark.parametrize(
        "kind", ["float32", "float16", "int64", "int8", "uint16", "bool"]
    )
    def test_types_of_numbers(self, load, kind):
        x = (np.arange(180).reshape(60, 3) % 7).astype(kind)
        source = load({"x": x, "y": Y.astype("int16")})
        np.testing.assert_array_equal(own_data.whole(source, "value"), Y)
        want = load({"x": x.astype(np.float64)})
        np.testing.assert_array_equal(
            own_data.numeric(source, "test"), own_data.numeric(want, "test")
        )

    def test_one_column(self, load):
        one, two = load({"x": X[:, 0]}), load({"x": X[:, :1]})
        assert own_data.numeric(one).shape == (40, 1)
        np.testing.assert_array_equal(own_data.numeric(one), own_data.numeric(two))

    @pytest.mark.parametrize("fields", ["y", "split"])
    def test_a_second_axis_of_one(self, load, fields):
        arrays = {"y": Y, "split": PARTS}
        source = load({fields: arrays[fields][:, None]})
        assert sizes(source) == [40, 10, 10]
        np.testing.assert_array_equal(own_data.whole(source, "value"), Y)

    def test_gaps(self, load):
        x = X.copy()
        x[[3, 5], 1] = np.nan
        x[55, 2] = np.nan
        source = load({"x": x})
        assert source.record["table"]["indicators"] == ("x1",)
        got = own_data.numeric(source)
        assert got[[3, 5], 1].tolist() == [0, 0]
        np.testing.assert_array_equal(np.flatnonzero(got[:, 3]), [3, 5])
        assert own_data.numeric(source, "test")[5, 2] == 0

    def test_constant_and_empty_columns(self, load):
        x = np.column_stack([X, np.ones(60), np.full(60, np.nan)])
        source = load({"x": x})
        assert source.record["table"]["numeric"] == ("x0", "x1", "x2")
        assert "'x3' is left out: always 1" in own_data.notes(source)
        assert "'x4' is left out: empty" in own_data.notes(source)

    def test_other_names(self, load):
        arrays = {"features": X * 2, "price": Y + 1, "fold": PARTS[::-1]}
        source = load(arrays, input="features", label="price", split="fold")
        np.testing.assert_array_equal(own_data.whole(source, "value"), Y + 1)
        assert sizes(source) == [40, 10, 10]
        assert source.splits["train"].index[0] == 20

    def test_weights(self, load):
        source = load({"w": np.arange(1, 61)}, weight="w")
        train = source.splits["train"].weight
        assert train.mean() == pytest.approx(1)
        np.testing.assert_allclose(train / train[0], np.arange(1, 41), rtol=1e-6)

    def test_logarithm(self, load):
        source = load({"y": Y + 1}, label_scale="log")
        part = source.splits["test"]
        np.testing.assert_allclose(part.label, np.log(part.value), atol=1e-6)

    @pytest.mark.parametrize("field", ["drop", "categorical"])
    def test_no_field_is_ignored_without_a_word(self, load, field):
        try:
            source = load(**{field: ("x1",)})
        except InputError as error:
            source, said = None, str(error)
        if source is None:
            assert f"data.{field}" in said
        else:
            assert "x1" not in source.record["table"]["numeric"]


class TestSplit:
    @pytest.mark.parametrize(
        "split",
        [
            PARTS,
            PARTS.astype("S5"),
            np.repeat([0, 1, 2], [40, 10, 10]),
            np.repeat([0, 1, 2], [40, 10, 10]).astype("uint8"),
            np.repeat(["0", "1", "2"], [40, 10, 10]),
        ],
        ids=["words", "bytes", "int", "uint8", "digits"],
    )
    def test_ways_to_say_it(self, load, split):
        source = load({"split": split})
        assert sizes(source) == [40, 10, 10]
        assert source.splits["val"].index.tolist() == list(range(40, 50))

    def test_it_is_made_if_there_is_none(self, tmp_path):
        file = own_data.write(tmp_path, "mine.npz", own_data.to_npz(x=X, y=Y))
        source = own_data.load(file, "npz")
        assert sizes(source) == [40, 10, 10]
        for name in ("val", "test"):
            counts = np.bincount(source.splits[name].label.astype(int), minlength=10)
            assert counts.tolist() == [1] * 10
        assert own_data.whole(source, "index").tolist() == list(range(60))


class TestSkip:
    def test_rows_are_counted_from_0(self, load):
        y, x = Y.copy(), X.copy()
        y[4], y[50], x[7, 2], x[8, 0] = np.nan, -np.inf, np.inf, -np.inf
        source = load({"x": x, "y": y}, on_bad="skip")
        assert source.skipped == {"no label": 2, "infinite feature": 2}
        left = [i for i in range(60) if i not in (4, 50, 7, 8)]
        assert own_data.whole(source, "index").tolist() == left
        for split in source.splits:
            assert np.isfinite(own_data.numeric(source, split)).all()
        with pytest.raises(InputError, match=r"row [478] of"):
            load({"x": x, "y": y})


class TestImages:
    PIXELS = np.random.default_rng(1).integers(0, 256, (60, 5, 7), np.uint8)

    @pytest.mark.parametrize("channels", [None, 1, 3])
    def test_shapes(self, load, channels):
        pixels = self.PIXELS
        if channels:
            pixels = np.repeat(pixels[..., None], channels, axis=-1)
        source = load({"x": pixels}, "vanilla,images")
        assert source.record["shape"] == [5, 7, channels or 1]
        got = source.splits["val"].inputs
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(
            got, pixels.reshape(60, 5, 7, channels or 1)[40:50]
        )

    def test_mean_and_deviation_are_those_of_training(self, load):
        pixels = self.PIXELS.copy()
        pixels[40:] = 255
        source = load({"x": pixels}, "vanilla,images")
        scaled = pixels[:40] / 255
        assert source.record["input_mean"] == pytest.approx(scaled.mean())
        assert source.record["input_std"] == pytest.approx(scaled.std())

    def test_black_images_are_refused(self, load):
        with pytest.raises(InputError, match=r"all 40 training images .* are equal"):
            load({"x": np.zeros_like(self.PIXELS)}, "vanilla,images")


class TestTypesOfImages:
    """Floats, whole numbers of more bits, and any number of channels."""

    @pytest.mark.parametrize(
        ("kind", "top", "largest"),
        [
            ("float32", 0.5, 1),
            ("float64", 200, 255),
            ("float16", 3.0, 255),
            ("uint16", 900, 1023),
            ("int64", 4095, 4095),
        ],
    )
    def test_their_range_is_found(self, load, kind, top, largest):
        x = (TestImages.PIXELS / 255 * top).astype(kind)
        source = load({"x": x}, "vanilla,images")
        got = own_data.whole(source, "inputs")
        assert got.dtype == np.float32
        np.testing.assert_allclose(
            got[..., 0], x.astype(float) / largest * 255, rtol=1e-5
        )
        assert f"read as 0 to {largest} (found" in own_data.notes(source)

    def test_it_may_be_given(self, load):
        x = np.clip(TestImages.PIXELS * 1.0, 50, None)
        source = load({"x": x}, "vanilla,images", pixel_range=(100, 200))
        want = 2.55 * np.clip(x - 100, 0, 100)
        np.testing.assert_allclose(
            own_data.whole(source, "inputs")[..., 0], want, rtol=1e-5
        )

    def test_truth_values(self, load):
        x = TestImages.PIXELS > 99
        source = load({"x": x}, "vanilla,images")
        np.testing.assert_array_equal(
            own_data.whole(source, "inputs")[..., 0], np.where(x, 255, 0)
        )

    def test_channels_of_their_own_units(self, load):
        rng = np.random.default_rng(0)
        size = np.array([1, 1e4, 1e-6, 0, 1])
        x = rng.normal(size=(60, 9, 8, 5)) * size + np.array([0, 0, 1, 7, 0])
        source = load({"x": x}, "vanilla,images")
        part, record = source.splits["train"].inputs / 255, source.record
        scaled = (part - record["input_mean"]) / record["input_std"]
        np.testing.assert_allclose(scaled.mean(axis=(0, 1, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(
            scaled.std(axis=(0, 1, 2)), [1, 1, 1, 0, 1], rtol=1e-4
        )
        assert "5 channels, channels last (found" in own_data.notes(source)

    def test_three_channels_that_are_no_colours(self, load):
        rng = np.random.default_rng(0)
        x = rng.random((60, 8, 9, 3)) * np.array([1, 1e4, 1])
        record = load({"x": x}, "vanilla,images").record
        assert record["pixel_scale"]["ranges"]["float"][0][0] == 0
        np.testing.assert_allclose(record["input_mean"], 0.5, atol=0.05)
        colours = load({"x": rng.random((60, 8, 9, 3))}, "vanilla,images").record
        assert colours["pixel_scale"]["ranges"]["float"] == [0, 1]
        assert colours["input_mean"] == pytest.approx(0.5, abs=0.05)

    @pytest.mark.parametrize("channels", [1, 3, 5])
    def test_channels_first(self, load, channels):
        x = np.random.default_rng(0).integers(0, 256, (60, channels, 8, 9), np.uint8)
        source = load({"x": x}, "vanilla,images")
        np.testing.assert_array_equal(
            own_data.whole(source, "inputs"), x.transpose(0, 2, 3, 1)
        )
        assert f"{channels} channels, channels first (found" in own_data.notes(source)
        assert source.record["channels_first"]

    @pytest.mark.parametrize("first", [True, False])
    def test_told_which_comes_first(self, load, first):
        x = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 8), np.uint8)
        source = load({"x": x}, "vanilla,images", channels_first=first)
        want = x.transpose(0, 2, 3, 1) if first else x
        np.testing.assert_array_equal(own_data.whole(source, "inputs"), want)

    def test_rows_that_are_not_finite_may_be_skipped(self, load):
        x = TestImages.PIXELS / 255
        x[[4, 41], 2, 2] = np.nan, np.inf
        source = load({"x": x}, "vanilla,images", on_bad="skip")
        assert source.skipped == {"pixels not finite": 2}
        assert "58 images are floats" in own_data.notes(source)


class TestLabelsOfPixels:
    X = np.random.default_rng(0).integers(0, 4096, (60, 6, 8), np.uint16)
    LABELS = X / 40.0

    def test_each_pixel_has_its_label(self, load):
        source = load({"x": self.X, "y": self.LABELS}, "vanilla,dense")
        assert source.record["kind"] == "dense"
        assert source.dense
        assert source.splits["train"].mask is None
        np.testing.assert_allclose(
            own_data.whole(source, "value"), self.LABELS, rtol=1e-6
        )

    @pytest.mark.parametrize("axis", [1, 3])
    def test_an_axis_of_one(self, load, axis):
        y = np.expand_dims(self.LABELS, axis)
        source = load({"x": self.X, "y": y}, "vanilla,dense")
        assert own_data.whole(source, "value").shape == (60, 6, 8)

    @pytest.mark.parametrize("name", ["mask", "seen"])
    def test_masked_ones_and_gaps_do_not_count(self, load, name):
        y, mask = self.LABELS.copy(), np.ones(self.X.shape, np.uint8)
        y[:, 0], mask[:, 1], y[:, 1] = np.nan, 0, 1e6
        arrays = {"x": self.X, "y": y, name: mask}
        source = load(arrays, "vanilla,dense", mask=name)
        real = own_data.whole(source, "mask")
        assert real[:, 2:].all()
        assert not real[:, :2].any()
        assert source.spec.bins.edges[-1] < 200
        assert sum(source.spec.counts) == 40 * 4 * 8
        assert "16.7% of the pixels have no label (NaN)" in own_data.notes(source)

    def test_a_row_without_any(self, load):
        y = self.LABELS.copy()
        y[9] = np.nan
        with pytest.raises(InputError, match=r"row 9 of .*npz has none in 'y'"):
            load({"x": self.X, "y": y}, "vanilla,dense")
        source = load({"x": self.X, "y": y}, "vanilla,dense", on_bad="skip")
        assert source.skipped == {"no label": 1}

    def test_a_split_is_made_by_rows(self, tmp_path):
        tone = np.random.default_rng(1).gamma(2, 1, (60, 1, 1))
        content = own_data.to_npz(x=self.X, y=self.LABELS * tone)
        file = own_data.write(tmp_path, "mine.npz", content)
        source = own_data.load(file, "npz", "vanilla,dense")
        assert sum(sizes(source)) == 60
        assert sizes(source)[1] == sizes(source)[2] > 0
        assert "of each bin of their mean label" in own_data.notes(source)


class TestJoinedFiles:
    """Images of other sizes as PNG files, one after the other."""

    @pytest.fixture
    def arrays(self):
        rng, files = np.random.default_rng(2), []
        for i in range(60):
            pixels = rng.integers(0, 256, (6 + i % 3, 9, 3), np.uint8)
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "png")
            files.append(np.frombuffer(stream.getvalue(), np.uint8))
        ends = np.cumsum([len(f) for f in files])
        return {"x": np.concatenate(files), "offsets": np.append(0, ends)}

    def test_decoded_when_they_are_looked_up(self, load, arrays):
        fields = {"image_size": 4, "fit": "cover", "view_size": 2}
        kept, again = (
            load(arrays, "vanilla,images", memory=memory, **fields)
            for memory in (1.0, 0.0)
        )
        # Of files on disk, the files have a hash, of those in memory the pixels.
        records = [{**s.record, "content": ""} for s in (kept, again)]
        assert records[0] == records[1]
        assert kept.record["view"] == 2
        for name, part in again.splits.items():
            assert isinstance(part.inputs, Pictures)
            assert isinstance(kept.splits[name].inputs, np.ndarray)
            rows = np.arange(len(part.inputs))
            np.testing.assert_array_equal(kept.splits[name].inputs, part.inputs[rows])
        stretched = load(arrays, "vanilla,images", image_size=4)
        assert np.any(stretched.splits["val"].inputs != kept.splits["val"].inputs)

    def test_given_mean_and_deviation(self, load, arrays):
        fields = {"image_size": 4, "mean_and_std": (0.25, 0.5)}
        for x in (arrays, {"x": TestImages.PIXELS}):
            record = load(x, "vanilla,images", **fields).record
            assert (record["input_mean"], record["input_std"]) == (0.25, 0.5)

    @pytest.mark.parametrize("x", [TestImages.PIXELS, X], ids=["pixels", "table"])
    def test_only_files_are_fitted_and_cut(self, load, x):
        argument = "vanilla,images" if x.ndim == 3 else "vanilla"
        with pytest.raises(InputError, match=r"data\.fit .* must be 'stretch'"):
            load({"x": x}, argument, fit="cover")
        with pytest.raises(InputError, match=r"data\.view_size .* must be 0, got 4"):
            load({"x": x}, argument, view_size=4)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return open, (self.file, "w")


class TestPickles:
    """Whatever the file is called, nothing in it is run."""

    @pytest.fixture
    def trap(self, tmp_path):
        return np.array([Trap(tmp_path / "sprung")] * 60, object)

    @pytest.mark.parametrize("name", ["x", "y", "split", "w", "other"])
    def test_in_an_array(self, load, trap, name, tmp_path):
        with pytest.raises(InputError, match="never loaded"):
            load({name: trap})
        assert not (tmp_path / "sprung").exists()

    def test_as_the_file(self, trap, tmp_path):
        file = own_data.write(tmp_path, "mine.npz", pickle.dumps(trap[0]))
        with pytest.raises(InputError, match=r"mine\.npz must be an NPZ file"):
            own_data.load(file, "npz")
        assert not (tmp_path / "sprung").exists()

    def test_as_a_single_array(self, trap, tmp_path):
        with (tmp_path / "mine.npz").open("wb") as stream:
            np.save(stream, trap)
        with pytest.raises(InputError, match=r"mine\.npz must be an NPZ file"):
            own_data.load(tmp_path / "mine.npz", "npz")
        assert not (tmp_path / "sprung").exists()

    def test_a_zip_file_of_something_else(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "mine.npz", "w") as stream:
            stream.writestr("x", "1,2,3")
            stream.writestr("y", "4,5,6")
        with pytest.raises(InputError, match=r"mine\.npz"):
            own_data.load(tmp_path / "mine.npz", "npz")
