"""Images of more than 8 bits, floats, transparent ones, and ones that are all equal."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dirjax.data import stream
from dirjax.data.formats import decoding
from dirjax.data.formats.pictures import Pictures
from dirjax.data.readers import images
from dirjax.errors import InputError
from tests import own_data
from tests.own_data import to_image

# Grey from 0 to 1, one for each of 36 images, whose labels are 0 to 5 in turn.
TONE = np.linspace(0, 1, 36)


def flat(value, kind=np.uint8) -> np.ndarray:
    """An image of a single value."""
    return np.full((6, 6), value, kind)


def png16(pixels: np.ndarray) -> bytes:
    """A PNG file of 16 bits `[height, width, 1 to 4]`, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width, channels = pixels.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


def tiff(pixels: np.ndarray, white: bool = False) -> bytes:
    """A TIFF file `[height, width, channels]` of types that Pillow does not write."""
    height, width, channels = pixels.shape
    form = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    # Tag -> type (3 for 16 bits, 4 for 32) and values.
    tags = {256: (3, [width]), 257: (3, [height]), 277: (3, [channels])}
    tags |= {258: (3, [8 * pixels.dtype.itemsize] * channels)}
    tags |= {
        259: (3, [1]),
        262: (3, [0 if white else 1 + (channels > 2)]),
        273: (4, [400]),
    }
    tags |= {278: (3, [height]), 279: (4, [len(data)]), 339: (3, [form] * channels)}
    body, extra, at = b"", b"", 8 + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        value = packed.ljust(4, b"\0")
        if len(packed) > 4:
            value, extra = struct.pack("<I", at + len(extra)), extra + packed
        body += struct.pack("<HHI", tag, kind, len(values)) + value
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(4) + extra
    return head.ljust(400, b"\0") + data


@pytest.fixture
def folder(tmp_path):
    """Writes images with a table of them, and loads both."""

    def loading(contents, **fields):
        rows = []
        for i, content in enumerate(contents):
            own_data.write(tmp_path, f"{i}.img", content)
            rows.append(f"{i}.img,{i % 6}")
        own_data.write(tmp_path, "labels.csv", own_data.table(rows, "path,label"))
        return own_data.load(tmp_path, "images", **{"image_size": 4, **fields})

    return loading


def level(source) -> np.ndarray:
    """The level of a corner of each image, in order of the table."""
    return own_data.whole(source, "inputs")[:, 0, 0, 0]


def tiffs(values, kind=np.float32):
    return [to_image(flat(v, kind), "TIFF") for v in values]


class TestRange:
    @pytest.mark.parametrize(
        ("low", "high", "said", "ends"),
        [
            (0.0, 1.0, "0 to 1", (0, 1)),
            (0.125, 0.5, "0 to 1", (0, 1)),
            (0.0, 250.0, "0 to 255", (0, 255)),
            (-2.0, 3.0, "-2 to 3", (-2, 3)),
            (0.0, 1e4, "0 to 10000", (0, 1e4)),
        ],
    )
    def test_of_floats(self, folder, low, high, said, ends):
        values = low + (high - low) * TONE
        source = folder(tiffs(values))
        want = 255 * (values - ends[0]) / (ends[1] - ends[0])
        np.testing.assert_allclose(level(source), want, atol=1e-3)
        assert f"36 images are floats, {low:.3g} to" in own_data.notes(source)
        assert f"read as {said} (found; --config.data.pixel_range=" in own_data.notes(
            source
        )

    @pytest.mark.parametrize(
        ("top", "largest"), [(255, 255), (900, 1023), (4095, 4095), (5000, 65535)]
    )
    def test_of_16_bits(self, folder, top, largest):
        values = (top * TONE).astype(np.uint16)
        source = folder([to_image(flat(v, np.uint16)) for v in values])
        np.testing.assert_allclose(level(source), values / largest * 255, atol=1e-3)
        # Nothing is rounded to 8 bits.
        assert own_data.whole(source, "inputs").dtype == np.float32
        assert f"0 to {top}: read as 0 to {largest} " in own_data.notes(source)

    def test_of_colours_of_16_bits(self, folder):
        colours = [png16(np.full((6, 6, 3), [v, 0, 4095 - v])) for v in range(36)]
        source = folder(colours)
        got = own_data.whole(source, "inputs")[:, 0, 0]
        want = np.stack([np.arange(36), np.zeros(36), 4095 - np.arange(36)], axis=-1)
        np.testing.assert_allclose(got, want / 4095 * 255, atol=1e-3)

    def test_floats_and_8_bits_agree(self, folder):
        grey = np.round(255 * TONE).astype(np.uint8)
        one = folder([to_image(flat(v)) for v in grey])
        two = folder(tiffs(grey / 255))
        for name, part in one.splits.items():
            other = two.splits[name]
            np.testing.assert_allclose(part.inputs, other.inputs, atol=1e-3)
        for field in ("input_mean", "input_std"):
            assert one.record[field] == pytest.approx(two.record[field], rel=1e-5)

    def test_both_in_one_folder(self, folder):
        eight = [to_image(flat(round(255 * t))) for t in TONE[::2]]
        pairs = zip(eight, tiffs(TONE[1::2]), strict=True)
        source = folder([x for pair in pairs for x in pair])
        np.testing.assert_allclose(level(source), 255 * TONE, atol=0.5)

    def test_given_it_cuts(self, folder):
        source = folder(tiffs(4 * TONE - 1), pixel_range=(0, 2))
        want = 255 * np.clip((4 * TONE - 1) / 2, 0, 1)
        np.testing.assert_allclose(level(source), want, atol=1e-3)
        notes = own_data.notes(source)
        assert "floats, -1 to 3: read as 0 to 2 (data.pixel_range)" in notes
        assert "18 of them have pixels outside, which are cut to its ends" in notes

    def test_given_for_nothing(self, folder):
        with pytest.raises(InputError, match=r"pixel_range .* all of .* have 8"):
            folder([to_image(flat(7 * i)) for i in range(36)], pixel_range=(0, 1))

    @pytest.mark.parametrize("ends", [(1, 0), (0,), ("a", "b"), (0, float("nan"))])
    def test_that_is_none(self, folder, ends):
        with pytest.raises(InputError, match=r"pixel_range must be \(low, high\)"):
            folder([], pixel_range=ends)

    def test_on_access_as_in_memory(self, folder):
        rng = np.random.default_rng(0)
        noise = [to_image(rng.random((9, 7)).astype("f4") * 9, "TIFF") for _ in TONE]
        kept, again = (folder(noise, memory=memory) for memory in (1.0, 0.0))
        # The hash of what is in memory leaves encoded images out.
        assert kept.record | {"content": ""} == again.record | {"content": ""}
        assert kept.notes == again.notes
        for name, part in again.splits.items():
            assert isinstance(part.inputs, Pictures)
            rows = np.arange(len(part.inputs))
            np.testing.assert_array_equal(kept.splits[name].inputs, part.inputs[rows])

    def test_floats_take_four_times_the_memory(self, folder):
        size = 36 * 4 * 4 * 3 / 2**30
        assert isinstance(
            folder(tiffs(TONE), memory=2 * size).splits["val"].inputs, Pictures
        )

    def test_batches_of_tensorflow_are_those_of_numpy(self, folder):
        part = folder(tiffs(TONE), memory=0.0).splits["train"]
        one, two = (
            next(
                stream.Stream(part, seed=0, batch_size=8, reader=reader).read(
                    iter([(0, 2)])
                )
            )["inputs"]
            for reader in ("array", "tf")
        )
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, two)


class TestRefused:
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_pixels_that_are_not_finite(self, folder, bad):
        pixels = flat(0.5, np.float32)
        pixels[2, :2] = bad
        contents = [*tiffs(TONE[:-1]), to_image(pixels, "TIFF")]
        said = r"35\.img \(row 37 of .*\) is not: 2 of its pixels are NaN or infinite"
        with pytest.raises(InputError, match=said):
            folder(contents)
        assert folder(contents, on_bad="skip").skipped == {"unreadable image": 1}

    def test_images_that_are_all_equal(self, folder):
        with pytest.raises(InputError, match=r"images must differ, all 24 training"):
            folder([to_image(flat(9))] * 36)

    def test_ink_that_the_ground_hides(self, folder):
        ink = [np.dstack([flat(255)] * 3 + [flat(7 * i)]) for i in range(36)]
        with pytest.raises(
            InputError, match=r"equal once read.*config\.data\.ground=alpha"
        ):
            folder([to_image(x) for x in ink])
        source = folder([to_image(x) for x in ink], ground="black")
        np.testing.assert_array_equal(level(source), 7 * np.arange(36))

    def test_colours_that_pillow_would_cut(self, tmp_path):
        data = tiff(np.ones((2, 2, 3), np.uint16))
        assert Image.open(io.BytesIO(data)).mode == "RGB"
        said = r"3 channels with whole numbers of 16 bits.*cuts to 8.*PNG"
        with pytest.raises(decoding.Unreadable, match=said):
            decoding.decode(data, decoding.Reading((2, 2)))

    @pytest.mark.parametrize(
        ("shape", "dtype", "said"),
        [
            ((2, 2, 3), np.float32, "3 channels with floats of 32 bits.*NPZ"),
            ((2, 2, 5), np.uint8, "5 channels with whole numbers of 8 bits.*NPZ"),
            ((2, 2, 1), np.float64, "1 channel with floats of 64 bits.*NPZ"),
            ((2, 2, 1), np.int8, "signed numbers of 8 bits, whose sign .*NPZ"),
        ],
    )
    def test_what_pillow_does_not_read(self, shape, dtype, said):
        with pytest.raises(decoding.Unreadable, match=said):
            decoding.decode(tiff(np.ones(shape, dtype)), decoding.Reading((2, 2)))

    def test_a_damaged_header(self):
        with pytest.raises(decoding.Unreadable, match="header of TIFF is damaged"):
            decoding.decode(b"II*\0\x08\0\0\0", decoding.Reading((2, 2)))

    @pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
    def test_where_0_is_white(self, dtype, top):
        data = tiff(np.full((2, 2, 1), 10, dtype), white=True)
        picture = decoding.decode(data, decoding.Reading((2, 2)))
        np.testing.assert_array_equal(picture.pixels, top - 10)

    @pytest.mark.parametrize(
        ("dtype", "value"),
        [(np.uint32, 3_000_000_000), (np.int32, -70_000), (np.int16, -500)],
    )
    def test_large_and_negative_numbers(self, dtype, value):
        data = tiff(np.full((2, 2, 1), value, dtype))
        picture = decoding.decode(data, decoding.Reading((2, 2)))
        np.testing.assert_allclose(picture.pixels, value, rtol=1e-6)


class TestGround:
    INK = tuple(np.dstack([flat(0)] * 3 + [flat(7 * i)]) for i in range(36))

    @pytest.mark.parametrize(
        ("fields", "want", "said"),
        [
            (
                {},
                255 - 7 * np.arange(36),
                r"laid on white \(--config.data.ground=alpha",
            ),
            ({"ground": "#ffffff"}, 255 - 7 * np.arange(36), "laid on #ffffff"),
            ({"ground": "alpha"}, 7 * np.arange(36), "alpha channel is the picture"),
        ],
    )
    def test_black_on_nothing(self, folder, fields, want, said):
        source = folder([to_image(x) for x in self.INK], **fields)
        np.testing.assert_allclose(level(source), want, atol=1)
        (note,) = [n for n in source.notes if "transparent" in n]
        assert note.startswith("36 images are transparent in part")
        assert re.search(said, note)

    def test_opaque_images_are_not_mentioned(self, folder):
        full = [np.dstack([flat(7 * i)] * 3 + [flat(255)]) for i in range(36)]
        assert "transparent" not in own_data.notes(folder([to_image(x) for x in full]))

    def test_16_bits_with_alpha(self):
        pixels = np.full((4, 4, 2), [1000, 65535 // 5])
        picture = decoding.decode(png16(pixels), decoding.Reading((4, 4)))
        np.testing.assert_allclose(picture.pixels, 200 + 0.8 * 65535, rtol=1e-5)
        assert picture.transparent

    def test_alpha_that_is_missing(self, folder):
        plain = [to_image(flat(7 * i)) for i in range(36)]
        with pytest.raises(InputError, match=r"0\.img .* no alpha channel"):
            folder(plain, ground="alpha")

    def test_no_colour(self, folder):
        with pytest.raises(InputError, match=r"ground must be a colour .*'snow!'"):
            folder([], ground="snow!")


class TestNew:
    """New images are read by the rule of training."""

    def pieces(self, tmp_path, record, content):
        own_data.write(tmp_path, "new/0.png", content)
        return list(images.read_new(tmp_path / "new", record))

    def test_the_range_is_that_of_training(self, folder, tmp_path):
        values = (4000 * TONE).astype(np.uint16)
        record = folder([to_image(flat(v, np.uint16)) for v in values]).record
        (piece,) = self.pieces(tmp_path, record, to_image(flat(200, np.uint16)))
        np.testing.assert_allclose(piece.inputs, 200 / 4095 * 255, rtol=1e-5)

    def test_so_is_the_ground(self, folder, tmp_path):
        ink = [to_image(x) for x in TestGround.INK]
        record = folder(ink, ground="alpha").record
        (piece,) = self.pieces(tmp_path, record, ink[9])
        assert piece.inputs[0, 0, 0, 0] == 63

    def test_8_bits_for_floats(self, folder, tmp_path):
        record = folder(tiffs(TONE)).record
        (piece,) = self.pieces(tmp_path, record, to_image(flat(51)))
        np.testing.assert_array_equal(piece.inputs, 51)

    def test_floats_for_8_bits(self, folder, tmp_path):
        record = folder([to_image(flat(7 * i)) for i in range(36)]).record
        with pytest.raises(
            InputError, match=r"0\.png .* floats, and training had none"
        ):
            self.pieces(tmp_path, record, to_image(flat(0.5, np.float32), "TIFF"))

    def test_another_scale(self, folder, tmp_path):
        record = folder(tiffs(TONE)).record
        with pytest.raises(
            InputError, match=r"pixels go from 200 to 200, in training floats .* 0 to 1"
        ):
            self.pieces(tmp_path, record, to_image(flat(200, np.float32), "TIFF"))

    def test_a_little_more_than_training_had(self, folder, tmp_path):
        record = folder(tiffs(4 * TONE - 2)).record
        (piece,) = self.pieces(
            tmp_path, record, to_image(flat(2.4, np.float32), "TIFF")
        )
        np.testing.assert_allclose(piece.inputs, 1.1 * 255, rtol=1e-5)
