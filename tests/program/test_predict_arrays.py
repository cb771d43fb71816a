"""Predictions of runs on arrays of images, and of runs with a label for each pixel."""

import re

import numpy as np
import pytest

from dirjax import errors, evaluate, predict
from tests import own_data, runs
from tests.program.answers import assert_as_evaluated, predictions

pytestmark = pytest.mark.usefixtures("read_once")

RNG = np.random.default_rng(0)
PARTS = np.repeat(["train", "val", "test"], [40, 10, 10])
# Twelve bits, five channels, channels first.
DEEP = RNG.integers(0, 4096, (60, 5, 8, 8), np.uint16)
GREY = RNG.random((60, 8, 10)).astype(np.float32)


@pytest.fixture(scope="session")
def on_channels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("channels")
    content = own_data.to_npz(x=DEEP, y=np.arange(60) % 7, split=PARTS)
    file = own_data.write(folder, "mine.npz", content)
    made = own_data.config(file, "npz", "vanilla,images", **own_data.TINY_IMAGES)
    runs.run(made, folder / "run")
    return folder


@pytest.fixture(scope="session")
def on_pixels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pixels")
    mask = RNG.random(GREY.shape) < 0.8
    content = own_data.to_npz(x=GREY, y=50 * GREY, mask=mask, split=PARTS)
    file = own_data.write(folder, "mine.npz", content)
    fields = own_data.TINY_IMAGES | {
        "model__encoder": {"width": 4, "levels": 2, "stride": 1}
    }
    made = own_data.config(file, "npz", "vanilla,dense", **fields)
    runs.run(made, folder / "run")
    return folder


@pytest.mark.slow
class TestChannels:
    def test_as_evaluated(self, on_channels):
        assert_as_evaluated(on_channels / "run", on_channels / "mine.npz")

    def test_fewer_rows_of_another_type(self, on_channels, tmp_path):
        # Their own largest pixel does not matter.
        some = own_data.to_npz(x=DEEP[:6].astype(np.int32))
        file = own_data.write(tmp_path, "new.npz", some)
        found = predictions(on_channels / "run", file)
        every = predictions(on_channels / "run", on_channels / "mine.npz")
        np.testing.assert_allclose(found, every[:6], rtol=1e-4)

    @pytest.mark.parametrize(
        ("x", "said"),
        [
            (DEEP.transpose(0, 2, 3, 1), r"which come first in the file.*\[8, 5, 8\]"),
            (DEEP * 16, r"row 0 of .*pixels go from .*read as 0 to 4095"),
            (DEEP / 4095, "floats, and training had none"),
            (np.where(DEEP[3, 0, 0, 0] == DEEP, np.nan, DEEP), "must be finite"),
        ],
    )
    def test_what_does_not_fit(self, on_channels, tmp_path, capsys, x, said):
        file = own_data.write(tmp_path, "new.npz", own_data.to_npz(x=x))
        line = own_data.sentence(capsys, lambda: predictions(on_channels / "run", file))
        assert re.search(said, line), line

    def test_a_file_of_images(self, on_channels, tmp_path, capsys):
        own_data.write(tmp_path, "new/0.png", own_data.to_image(DEEP[0, 0] // 16))
        line = own_data.sentence(
            capsys, lambda: predictions(on_channels / "run", tmp_path / "new")
        )
        assert "have 1 or 3 channels, the model of --workdir takes 5" in line


@pytest.mark.slow
class TestPixels:
    def predicted(self, folder, source, **options):
        out = folder / "out.npz"
        counts = predict.predict(folder / "run", source, out, **options)
        return counts[:2], dict(np.load(out))

    def test_a_map_for_each_row(self, on_pixels):
        counts, found = self.predicted(on_pixels, on_pixels / "mine.npz")
        assert counts == (60, 0)
        assert found["prediction"].shape == (60, 8, 10)
        assert found["index"].tolist() == list(range(60))
        # The errors are those of the evaluation, over unmasked pixels.
        stored = np.load(on_pixels / "mine.npz")
        test, real = slice(50, 60), stored["mask"][50:]
        error = np.abs(found["prediction"] - stored["y"])[test][real]
        result = runs.result(on_pixels / "run")
        assert result["test"]["mae"]["all"] == pytest.approx(error.mean(), rel=1e-4)

    def test_a_labelled_file_gives_the_errors_of_its_split(self, on_pixels, tmp_path):
        stored = dict(np.load(on_pixels / "mine.npz"))
        some = {name: array[50:] for name, array in stored.items()}
        file = own_data.write(tmp_path, "new.npz", own_data.to_npz(**some))
        found, _ = evaluate.evaluate_file(on_pixels / "run", file)
        want = runs.result(on_pixels / "run")["test"]
        assert found["input"].keys() == want.keys()
        for name in ("mae", "rmse", "bmae", "delta1", "count"):
            got, wanted = found["input"][name]["all"], want[name]["all"]
            assert got == pytest.approx(wanted, rel=1e-4)

    def test_labels_of_another_size(self, on_pixels, tmp_path):
        small = own_data.to_npz(x=GREY, y=GREY[:, :4, :5])
        file = own_data.write(tmp_path, "new.npz", small)
        with pytest.raises(errors.InputError, match=r"\[8, 10\] pixels.*\[4, 5\]"):
            evaluate.evaluate_file(on_pixels / "run", file)

    def test_files(self, on_pixels, tmp_path):
        for i in range(3):
            content = own_data.to_image(GREY[i], "TIFF")
            own_data.write(tmp_path, f"new/{i}.tif", content)
        own_data.write(tmp_path, "new/3.tif", b"no")
        counts, some = self.predicted(on_pixels, tmp_path / "new", on_bad="skip")
        assert counts == (4, 1)
        assert some["path"].tolist() == [f"{i}.tif" for i in range(4)]
        _, every = self.predicted(on_pixels, on_pixels / "mine.npz")
        np.testing.assert_allclose(
            some["prediction"][:3], every["prediction"][:3], rtol=1e-4
        )
        assert np.isnan(some["prediction"][3]).all()

    @pytest.mark.parametrize(
        ("run", "output", "said"),
        [
            ("on_pixels", "out.csv", "an .npz file, since .* one value per pixel"),
            ("on_channels", "out.npz", r"a \.csv file, since .* one value per row"),
        ],
    )
    def test_the_other_kind_of_file(self, run, output, said, request, tmp_path, capsys):
        folder = request.getfixturevalue(run)
        file, out = folder / "mine.npz", tmp_path / output
        line = own_data.sentence(
            capsys, lambda: predict.predict(folder / "run", file, out)
        )
        assert re.search(said, line), line
        assert not out.exists()
