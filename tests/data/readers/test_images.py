"""Images: modes, sizes and orientations, grey or colour, and files that are broken.

Sentences of the command are in tests/test_wrong_input.py.
"""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from dirjax.data.formats import decoding
from dirjax.data.readers import _image_files, images
from dirjax.errors import InputError
from tests import own_data
from tests.own_data import to_image

SIZE = (4, 4)
# Quarters: no two alike, and flat, so that resizing keeps them.
GREY = np.kron(np.array([[10, 60], [130, 250]]), np.ones((8, 8))).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
# What is left of them at 4 x 4, away from the edges between quarters.
CORNERS = ([0, 0, 3, 3], [0, 3, 0, 3])


def pixels(data: bytes, size, channels: int) -> np.ndarray:
    """What a file becomes, with transparent pixels on black."""
    reading = decoding.Reading(size, channels, ground="black")
    return decoding.decode(data, reading).pixels


def corners(data: bytes, channels=0) -> list:
    """The corner pixels of a decoded file."""
    return pixels(data, SIZE, channels)[CORNERS].squeeze().tolist()


def encoded(image: Image.Image, kind="PNG", **options) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def near(got, want, by=3) -> bool:
    return bool(np.max(np.abs(np.asarray(got) - np.asarray(want))) <= by)


GREY_CORNERS = [10, 60, 130, 250]
COLOUR_CORNERS = COLOUR[[0, 0, 15, 15], [0, 15, 0, 15]].tolist()


class TestModes:
    @pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG"])
    def test_colours(self, kind):
        options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100}}.get(kind, {})
        got = corners(to_image(COLOUR, kind, **options))
        assert near(got, COLOUR_CORNERS, by=6)

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "JPEG"])
    def test_greys(self, kind):
        options = {"JPEG": {"quality": 100}}.get(kind, {})
        got = pixels(to_image(GREY, kind, **options), SIZE, 0)
        assert got.shape == (4, 4, 1)
        assert got.dtype == np.uint8
        assert near(got[CORNERS].squeeze(), GREY_CORNERS)

    def test_black_and_white(self):
        data = encoded(Image.fromarray(GREY > 100))
        assert Image.open(io.BytesIO(data)).mode == "1"
        assert pixels(data, SIZE, 0).shape == (4, 4, 1)
        assert corners(data) == [0, 0, 255, 255]

    def test_a_palette(self):
        image = Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE)
        data = encoded(image)
        assert Image.open(io.BytesIO(data)).mode == "P"
        assert near(corners(data), COLOUR_CORNERS)

    def test_cmyk(self):
        data = encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", quality=100)
        assert Image.open(io.BytesIO(data)).mode == "CMYK"
        assert near(corners(data), COLOUR_CORNERS, by=8)

    def test_transparency_on_black(self):
        alpha = np.full((16, 16), 255, np.uint8)
        alpha[:8] = 0
        data = to_image(np.concatenate([COLOUR, alpha[..., None]], axis=-1))
        assert Image.open(io.BytesIO(data)).mode == "RGBA"
        assert corners(data) == [[0] * 3] * 2 + COLOUR_CORNERS[2:]

    def test_half_transparency_is_half_way(self):
        alpha = np.full((16, 16, 1), 128, np.uint8)
        data = to_image(np.concatenate([COLOUR, alpha], axis=-1))
        assert near(corners(data), np.array(COLOUR_CORNERS) / 2, by=1)

    def test_a_palette_with_transparency(self):
        image = Image.new("P", (16, 16), 1)
        image.putpalette([0, 255, 0, 200, 100, 50])
        image.paste(0, (0, 0, 16, 8))
        data = encoded(image, transparency=0)
        assert Image.open(io.BytesIO(data)).mode == "P"
        assert corners(data) == [[0, 0, 0]] * 2 + [[200, 100, 50]] * 2

    def test_grey_with_transparency_is_grey(self):
        alpha = np.full((16, 16), 255, np.uint8)
        alpha[:8] = 0
        data = to_image(np.stack([GREY, alpha], axis=-1))
        assert Image.open(io.BytesIO(data)).mode == "LA"
        got = pixels(data, SIZE, 0)
        np.testing.assert_array_equal(got[..., 0][CORNERS], [0, 0, 130, 250])
        assert got.shape == (4, 4, 1)

    def test_orientation_of_the_camera(self):
        exif = Image.Exif()
        exif[0x0112] = 6  # To be turned clockwise by a quarter.
        data = to_image(GREY, "JPEG", exif=exif, quality=100)
        assert near(corners(data), [130, 10, 250, 60])

    @pytest.mark.parametrize(("channels", "of"), [(1, COLOUR), (3, GREY)])
    def test_channels_that_are_asked_for(self, channels, of):
        got = pixels(to_image(of), SIZE, channels)
        assert got.shape == (4, 4, channels)
        if channels == 1:
            luma = np.array(COLOUR_CORNERS) @ [0.299, 0.587, 0.114]
            assert near(got[CORNERS].squeeze(), luma, by=1)
        else:
            np.testing.assert_array_equal(got, np.repeat(got[..., :1], 3, axis=-1))


class TestSizes:
    def test_it_is_kept_if_it_is_right(self):
        noise = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
        np.testing.assert_array_equal(pixels(to_image(noise), (5, 7), 3), noise)

    @pytest.mark.parametrize("size", [(1, 1), (3, 50), (64, 64), (200, 3)])
    def test_any_becomes_the_one_that_is_asked_for(self, size):
        flat = np.full((*size, 3), 77, np.uint8)
        got = pixels(to_image(flat), (8, 8), 0)
        np.testing.assert_array_equal(got, np.full((8, 8, 3), 77))

    def test_height_is_first(self):
        assert pixels(to_image(COLOUR), (3, 9), 0).shape == (3, 9, 3)

    def test_detail_is_averaged(self):
        # A chequerboard becomes grey, and no pattern of lines.
        board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
        got = pixels(to_image(board), (8, 8), 1)
        assert near(got, 127.5, by=4)


def header(width: int, height: int) -> bytes:
    """A PNG file that claims to be of this size, and has next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + rows + chunk(b"IEND", b"")


NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
BROKEN = {
    "empty": (b"", "empty"),
    "text": (b"<html>not found</html>", "not know its format"),
    "zeros": (bytes(500), "not know its format"),
    "a head alone": (to_image(NOISE)[:8], "not know its format"),
    "cut off": (to_image(NOISE)[:-900], "truncated"),
    "cut off photo": (to_image(NOISE, "JPEG")[:-300], "truncated"),
    "damaged": (to_image(NOISE)[:300] + bytes(900) + to_image(NOISE)[1200:], "."),
    "huge": (header(100_000, 100_000), "pixels"),
    "large": (header(13_000, 13_000), "13000 x 13000 pixels"),
    "an archive": (own_data.to_npz(x=NOISE), "not know its format"),
}


class TestBroken:
    @pytest.mark.parametrize("name", BROKEN)
    def test_it_is_told_why(self, name):
        data, why = BROKEN[name]
        with pytest.raises(decoding.Unreadable, match=why):
            pixels(data, SIZE, 0)

    def test_a_huge_image_is_not_decoded(self, monkeypatch):
        def load(self):
            raise AssertionError("it was decoded")

        data = header(100_000, 100_000)
        monkeypatch.setattr(Image.Image, "load", load)
        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
        with pytest.raises(decoding.Unreadable, match="pixels"):
            pixels(data, SIZE, 0)


@pytest.fixture
def folder(tmp_path):
    """Writes images and a table of them, and loads both."""

    def loading(pictures, table=None, **fields):
        for name, content in pictures.items():
            own_data.write(tmp_path, name, content)
        rows = [f"{name},{i % 6}" for i, name in enumerate(pictures)]
        own_data.write(tmp_path, "labels.csv", table or own_data.table(rows, HEAD))
        return own_data.load(tmp_path, "images", **{"image_size": 4, **fields})

    return loading


HEAD = "path,label"


def greys(count=36) -> dict[str, bytes]:
    """Images of one grey each, all of them of another size."""
    return {
        f"{i}.png": to_image(np.full((3 + i % 5, 4 + i % 3), 7 * i, np.uint8))
        for i in range(count)
    }


class TestFolder:
    def test_each_row_has_its_image(self, folder):
        source = folder(greys())
        for part in source.splits.values():
            assert part.inputs.dtype == np.uint8
            np.testing.assert_array_equal(part.inputs[:, 2, 2, 0], 7 * part.index)
            np.testing.assert_array_equal(part.value, part.index % 6)

    def test_greys_alone_have_one_channel(self, folder):
        deep = encoded(Image.fromarray(np.full((5, 5), 65535, np.uint16)))
        two = encoded(Image.fromarray(np.zeros((5, 5), bool)))
        source = folder(greys() | {"deep.png": deep, "two.png": two})
        assert source.record["shape"] == [4, 4, 1]

    @pytest.mark.parametrize("place", [0, 17, 35])
    def test_one_with_colours_makes_three(self, folder, place):
        pictures = greys()
        pictures[f"{place}.png"] = to_image(COLOUR)
        source = folder(pictures)
        assert source.record["shape"] == [4, 4, 3]
        for part in source.splits.values():
            for image, i in zip(part.inputs, part.index, strict=True):
                if i == place:
                    assert near(image[CORNERS], COLOUR_CORNERS)
                else:
                    np.testing.assert_array_equal(image, np.full((4, 4, 3), 7 * i))

    @pytest.mark.parametrize("channels", [1, 3])
    def test_channels_may_be_stated(self, folder, channels):
        pictures = greys() | {"colour.png": to_image(COLOUR)}
        source = folder(pictures, channels=channels)
        assert source.record["shape"] == [4, 4, channels]

    def test_the_table_may_be_given_itself(self, folder, tmp_path):
        one = folder(greys())
        two = own_data.load(tmp_path / "labels.csv", "images", image_size=4)
        for name, part in one.splits.items():
            np.testing.assert_array_equal(part.inputs, two.splits[name].inputs)

    def test_images_in_folders_and_elsewhere(self, folder, tmp_path):
        far = own_data.write(tmp_path, "far/away.png", to_image(COLOUR))
        below = {f"a/{name}": content for name, content in greys().items()}
        rows = [f"{name},{i % 6}" for i, name in enumerate(below)]
        text = own_data.table([*rows, f"{far},3"], HEAD)
        source = folder(below, text)
        assert len(own_data.whole(source, "index")) == 37

    def test_split_and_other_columns(self, folder):
        rows = [
            f"{i % 6},{'train' if i < 30 else 'test'},{name},{i}"
            for i, name in enumerate(greys())
        ]
        source = folder(
            greys(),
            own_data.table(rows, "age,fold,file,who"),
            label="age",
            split="fold",
            input="file",
        )
        assert [len(p.label) for p in source.splits.values()] == [30, 6]

    def test_mean_and_deviation_are_those_of_training(self, folder):
        source = folder(greys())
        scaled = source.splits["train"].inputs / 255
        assert source.record["input_mean"] == pytest.approx(scaled.mean())
        assert source.record["input_std"] == pytest.approx(scaled.std())

    def test_bad_rows_may_be_skipped(self, folder):
        rows = [f"{name},{i % 6}" for i, name in enumerate(greys())]
        rows[3] = ",1"
        rows[4] = "none.png,1"
        rows[5] = "bad.png,1"
        rows[6] = "6.png,"
        rows[7] = "7.png"
        text = own_data.table(rows, HEAD)
        source = folder(greys() | {"bad.png": b"no"}, text, on_bad="skip")
        assert source.skipped == {
            "row length": 1,
            "no path": 1,
            "unreadable image": 2,
            "no label": 1,
        }
        left = [i for i in range(36) if i not in range(3, 8)]
        assert own_data.whole(source, "index").tolist() == left
        for part in source.splits.values():
            np.testing.assert_array_equal(part.inputs[:, 2, 2, 0], 7 * part.index)

    def test_the_first_of_many_is_named(self, folder):
        rows = [f"{name},{i % 6}" for i, name in enumerate(greys())]
        rows[20], rows[9] = "none.png,1", "gone.png,2"
        with pytest.raises(InputError, match=r"gone\.png \(row 11 of .*2 such rows"):
            folder(greys(), own_data.table(rows, HEAD))

    def test_the_same_image_twice(self, folder):
        rows = [f"{i % 9}.png,{i % 6}" for i in range(36)]
        source = folder(greys(9), own_data.table(rows, HEAD))
        assert len(own_data.whole(source, "index")) == 36


class TestNames:
    def test_what_begins_with_a_dot_is_skipped(self, folder, tmp_path):
        left = {"._labels.csv": b"\0\1", "._0.png": b"\0\1", ".DS_Store": b"\0\1"}
        for name, content in left.items():
            own_data.write(tmp_path, name, content)
        assert len(own_data.whole(folder(greys()), "index")) == 36

    def test_nor_is_it_predicted(self, folder, tmp_path):
        record = folder(greys()).record
        for name in ("._0.png", ".cache/1.png"):
            own_data.write(tmp_path, name, b"\0\1")
        (piece,) = images.read_new(tmp_path, record)
        assert sorted(piece.names["path"]) == sorted(greys())

    def test_backslashes_are_separators(self, folder, tmp_path):
        below = {f"a/{name}": content for name, content in greys().items()}
        rows = [f"a\\{i}.png,{i % 6}" for i in range(36)]
        source = folder(below, own_data.table(rows, HEAD))
        np.testing.assert_array_equal(
            own_data.whole(source, "inputs")[:, 2, 2, 0], 7 * np.arange(36)
        )
        (piece,) = images.read_new(tmp_path / "labels.csv", source.record)
        # The output repeats the table.
        assert piece.names["path"][1] == "a\\1.png"
        assert piece.inputs[1, 0, 0, 0] == 7

    def test_unless_they_belong_to_the_name(self, folder):
        named = {f"a\\{name}": content for name, content in greys().items()}
        assert len(own_data.whole(folder(named), "index")) == 36


def test_images_come_in_order_though_threads_decode_them():
    def read(i):
        time.sleep(0.001 * (i % 3))
        return to_image(np.full((2, 2), i, np.uint8))

    found = _image_files.decode_all(range(200), read, decoding.Reading((2, 2), 1))
    assert [int(image.pixels[0, 0, 0]) for image in found] == list(range(200))


def test_a_warning_of_pillow_stays_in_its_thread(recwarn):
    # Palettes with transparency and large images make Pillow warn.
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 255, 0, 200, 100, 50])
    data = encoded(image, transparency=b"\x00\xff")
    list(_image_files.decode_all([data] * 50, lambda d: d, decoding.Reading((4, 4), 3)))
    assert not recwarn.list
