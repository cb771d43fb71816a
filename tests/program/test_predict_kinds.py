"""Predictions of runs on logarithms, averages, images and arrays."""

import json
import re

import numpy as np
import pytest

from dirjax import predict
from tests import own_data, runs
from tests.program.answers import (
    COLUMNS,
    COUNT,
    PARTS,
    Y,
    answers,
    assert_as_evaluated,
    evaluated,
    predictions,
    to_csv,
)

pytestmark = pytest.mark.usefixtures("read_once")


@pytest.fixture(scope="session")
def on_logarithms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    # Small labels, whose logarithms are negative.
    columns = COLUMNS | {"y": [round(y * 1e-3, 8) for y in Y]}
    file = own_data.write(folder, "mine.csv", to_csv(columns))
    fields = own_data.TINY | {"data__label_scale": "log"}
    # What is evaluated is an average; without one: `with_average`.
    fields |= {"train__average_decay": 0.9}
    runs.run(own_data.config(file, **fields), folder / "run")
    return folder


@pytest.mark.slow
class TestLogarithm:
    @pytest.mark.slow
    def test_as_in_evaluation(self, on_logarithms):
        assert_as_evaluated(on_logarithms / "run", on_logarithms / "mine.csv")

    def test_labels_and_predictions_are_in_units_of_the_label(self, on_logarithms):
        index, label, prediction = evaluated(on_logarithms / "run")
        np.testing.assert_allclose(label, [Y[i] * 1e-3 for i in index], rtol=1e-5)
        assert (prediction > 0).all()
        # Within a few of its deviations, or they would be logarithms.
        assert np.abs(np.log(prediction / 1e-3)).max() < 5

    def test_so_are_the_errors(self, on_logarithms):
        index, label, _ = evaluated(on_logarithms / "run")
        found = predictions(on_logarithms / "run", on_logarithms / "mine.csv")[index]
        result = json.loads((on_logarithms / "run" / "result.json").read_text())
        error = np.abs(found - label)
        assert result["test"]["mae"]["all"] == pytest.approx(error.mean(), rel=1e-4)
        rmse = np.sqrt((error**2).mean())
        assert result["test"]["rmse"]["all"] == pytest.approx(rmse, rel=1e-4)

    def test_so_are_the_bins_of_the_report(self, on_logarithms):
        # It counts errors by the bin of the label, as predictions.npz has it.
        _, label, _ = evaluated(on_logarithms / "run")
        edges = json.loads((on_logarithms / "run" / "bins.json").read_text())["edges"]
        assert edges[0] <= label.min()
        assert label.max() <= edges[-1]
        assert len(np.unique(np.digitize(label, edges))) > 3


@pytest.fixture(scope="session")
def with_average(tmp_path_factory):
    """Two runs that differ in nothing but the moving average."""
    folder = tmp_path_factory.mktemp("average")
    file = own_data.write(folder, "mine.csv", to_csv(COLUMNS))
    for name, decay in (("with", 0.9), ("without", 0.0)):
        changes = {"train__average_decay": decay, "stage__main__learning_rate": 0.1}
        runs.run(own_data.config(file, **own_data.TINY | changes), folder / name)
    return folder


@pytest.mark.slow
class TestAverage:
    @pytest.mark.parametrize("name", ["with", "without"])
    def test_as_in_evaluation(self, with_average, name):
        assert_as_evaluated(with_average / name, with_average / "mine.csv")

    def test_it_is_the_average(self, with_average):
        # The parameters themselves are those of the other run.
        one, two = (
            predictions(with_average / name, with_average / "mine.csv", step="last")
            for name in ("with", "without")
        )
        assert np.abs(one - two).mean() > 0.05


PIXELS = np.random.default_rng(2).integers(0, 256, (60, 8, 8), np.uint8)


@pytest.fixture(scope="session")
def on_images(tmp_path_factory):
    """A run on a folder of grey images, of the size the model wants."""
    folder = tmp_path_factory.mktemp("images")
    rows = []
    for i, pixels in enumerate(PIXELS):
        # Names in the order of the rows, some in a folder below.
        name = f"{'a/' if i < 20 else ''}{i:02d}.png"
        own_data.write(folder, f"pictures/{name}", own_data.to_image(pixels))
        part = ("train", "train", "train", "val", "test")[i % 5]
        rows.append(f"{name},{i % 6 + pixels.mean() / 50:.3f},{part}")
    text = own_data.table(rows, "path,label,split")
    own_data.write(folder, "pictures/labels.csv", text)
    made = own_data.config(folder / "pictures", "images", **own_data.TINY_IMAGES)
    runs.run(made, folder / "run")
    return folder


class TestImages:
    def test_a_table_of_paths(self, on_images):
        file = on_images / "pictures" / "labels.csv"
        assert_as_evaluated(on_images / "run", file)
        found = answers(on_images / "run", file, keep=("label",))
        assert list(found) == ["path", "label", "prediction"]
        assert found["path"][:2] == ["a/00.png", "a/01.png"]

    def test_a_folder(self, on_images):
        found = answers(on_images / "run", on_images / "pictures")
        assert list(found) == ["path", "prediction"]
        # In order, whatever the file system thinks of it.
        assert found["path"] == sorted(found["path"])
        pairs = dict(zip(*found.values(), strict=True))
        listed = answers(on_images / "run", on_images / "pictures" / "labels.csv")
        assert pairs == dict(zip(*listed.values(), strict=True))

    def test_arrays(self, on_images, new):
        file = new(own_data.to_npz(x=PIXELS), "new.npz")
        assert_as_evaluated(on_images / "run", file)
        assert answers(on_images / "run", file)["index"] == [str(i) for i in range(60)]

    def test_arrays_with_a_channel(self, on_images, new):
        file = new(own_data.to_npz(x=PIXELS[..., None]), "new.npz")
        assert_as_evaluated(on_images / "run", file)

    def test_other_sizes_and_colours_are_made_to_fit(self, on_images, new):
        for i, shape in enumerate(((8, 8), (33, 20), (5, 70, 3))):
            image = own_data.to_image(np.full(shape, 90, np.uint8))
            file = new(image, f"some/{i}.png")
        found = predictions(on_images / "run", file.parent)
        np.testing.assert_allclose(found, found[0], rtol=1e-6)

    def test_an_image_that_is_broken(self, on_images, new, capsys):
        for i in range(3):
            new(own_data.to_image(PIXELS[i]), f"some/{i}.png")
        file = new(own_data.to_image(PIXELS[1])[:60], "some/1.png")
        table = new("path\n0.png\n1.png\nnone.png\n2.png\n", "some/t.csv")
        before = own_data.snapshot(file.parent)
        output = file.parent / "out.csv"
        for path, where in ((file.parent, r"some/1\.png"), (table, "row 3 of .*t.csv")):
            line = own_data.sentence(
                capsys,
                lambda path=path: predict.predict(on_images / "run", path, output),
            )
            assert re.search(r"images must be readable, .*1\.png", line)
            assert re.search(where, line), line
            assert "--on_bad skip" in line
        assert own_data.snapshot(file.parent) == before
        found = answers(on_images / "run", file.parent, on_bad="skip")
        assert [bool(p) for p in found["prediction"]] == [True, False, True]
        found = answers(on_images / "run", table, on_bad="skip")
        assert [bool(p) for p in found["prediction"]] == [True, False, False, True]

    @pytest.mark.parametrize(
        ("content", "name", "said"),
        [
            (own_data.to_npz(x=PIXELS[:, :5]), "n.npz", r"\[8, 8, 1\].*\[5, 8, 1\]"),
            (own_data.to_npz(x=np.zeros((3, 4))), "n.npz", r"\[8, 8, 1\].*\[4\]"),
            (own_data.to_npz(z=PIXELS), "n.npz", r"no array 'x'.* it has z"),
            ("file\n1\n", "n.csv", r"no column 'path'.* it has file"),
            ("path\n", "n.csv", r"n\.csv .*no rows"),
            ("nothing", "n/readme.txt", "n holds no image"),
        ],
    )
    def test_other_input(self, on_images, new, capsys, content, name, said):
        file = new(content, name)
        path = file.parent if file.suffix == ".txt" else file
        line = own_data.sentence(
            capsys,
            lambda: predict.predict(on_images / "run", path, path.parent / "out.csv"),
        )
        assert re.search(said, line), line

    def test_nothing_to_keep_in_a_folder(self, on_images, tmp_path, capsys):
        line = own_data.sentence(
            capsys,
            lambda: predict.predict(
                *(on_images / "run", on_images / "pictures", tmp_path / "out.csv"),
                keep=("label",),
            ),
        )
        assert "--keep needs a table" in line


@pytest.fixture(scope="session")
def on_arrays(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    x = np.random.default_rng(3).normal(size=(COUNT, 3)).round(3)
    x[::6, 1] = np.nan
    arrays = {"x": x, "y": np.array(Y), "split": np.array(PARTS)}
    file = own_data.write(folder, "mine.npz", own_data.to_npz(**arrays))
    runs.run(own_data.config(file, "npz", **own_data.TINY), folder / "run")
    return folder, x


@pytest.mark.slow
class TestArrays:
    def test_as_in_evaluation(self, on_arrays):
        assert_as_evaluated(on_arrays[0] / "run", on_arrays[0] / "mine.npz")

    def test_the_same_numbers_in_a_csv(self, on_arrays, new):
        folder, x = on_arrays
        columns = {
            f"x{j}": [None if np.isnan(v) else v for v in x[:, j]] for j in (2, 0, 1)
        }
        assert_as_evaluated(folder / "run", new(to_csv(columns)))

    def test_fewer_columns(self, on_arrays, new, capsys):
        folder, x = on_arrays
        file = new(own_data.to_npz(x=x[:, :2]), "new.npz")
        line = own_data.sentence(
            capsys,
            lambda: predict.predict(folder / "run", file, file.parent / "out.csv"),
        )
        assert re.search(r"new\.npz.*'x2'|'x2'.*new\.npz", line), line

    def test_an_infinite_feature(self, on_arrays, new, capsys):
        folder, x = on_arrays
        new_x = x.copy()
        new_x[4, 2] = np.inf
        file = new(own_data.to_npz(x=new_x), "new.npz")
        line = own_data.sentence(
            capsys,
            lambda: predict.predict(folder / "run", file, file.parent / "out.csv"),
        )
        assert re.search(r"finite.*row 4 of .*new\.npz", line), line
        found = answers(folder / "run", file, on_bad="skip")["prediction"]
        assert [i for i, p in enumerate(found) if not p] == [4]
