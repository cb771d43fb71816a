"""Folders of faces: configs, images, decoding and preprocessing."""

import dataclasses
import gzip
import io
import json
import time

import jax
import numpy as np
import pytest
from PIL import Image

from dirjax import data, models, predict
from dirjax.data import faces, pipeline
from dirjax.data.formats import decoding
from dirjax.data.formats.pictures import Pictures
from dirjax.errors import InputError
from dirjax.report import published as published_lib
from tests import own_data, runs
from tests.data.faces import (
    NOISE,
    ROWS,
    ages,
    config,
    lines,
    load,
    name_of,
    picture,
    write,
)


def of_pixels(record):
    """A record without the hash of what is in memory, which encoded images are not."""
    return {k: v for k, v in record.items() if k != "content"}


class TestConfigs:
    @pytest.mark.parametrize("name", ["agedb_dir", "imdb_wiki_dir"])
    def test_published_training(self, name):
        made = runs.config(name, "sqinv_lds_fds")
        main, fds = made["stage"]["main"], made["objective"]["fds"]
        assert made["model"]["name"] == "resnet50"
        assert (main["optimizer"], main["learning_rate"]) == ("adam", 1e-3)
        assert (main["epochs"], main["schedule"], main["factor"]) == (90, "step", 0.1)
        drops = [round(90 * m) for m in main["milestones"]]
        assert (drops, made["data"]["batch_size"]) == ([60, 80], 256)
        assert list(made["objective"]["terms"]) == ["l1"]
        assert made["data"]["augment"]["crop"] == 16
        first = 3 if name == "agedb_dir" else 0
        assert (fds["first_bin"], fds["last_bin"]) == (first, 99)
        assert runs.config(name, "lds,resnet18")["model"]["name"] == "resnet18"

    def test_protocols_share_no_table(self):
        first, second = (
            runs.config("agedb_dir", f"vanilla{option}")
            for option in ("", ",protocol2")
        )
        assert second["data"]["name"] == "agedb_dir_p2" != first["data"]["name"]
        assert second["model"]["name"] == "resnet18"
        assert second["stage"]["main"]["optimizer"] == "sgd"
        ours = {name for name in faces.KNOWN if name in published_lib.DATASETS}
        assert ours == {"agedb_dir", "imdb_wiki_dir"}


class TestTree:
    def test_each_row_has_its_image_and_split(self, tree):
        source = load(tree)
        assert source.label == "age (years)"
        assert {k: len(v.label) for k, v in source.splits.items()} == {
            "train": 40,
            "val": 10,
            "test": 10,
        }
        np.testing.assert_array_equal(own_data.whole(source, "index"), range(ROWS))
        np.testing.assert_array_equal(own_data.whole(source, "value"), ages())
        got = own_data.whole(source, "inputs")
        assert got.shape == (ROWS, 8, 8, 3)
        np.testing.assert_allclose(got[:, 3, 4, 1], 4.0 * np.arange(ROWS), atol=1)
        assert (source.record["input_mean"], source.record["input_std"]) == (0.5, 0.5)
        assert source.spec.bins.num == 121
        np.testing.assert_array_equal(source.splits["val"].bin, ages()[40:50])

    def test_the_bytes_of_tensorflow_datasets_give_the_same(self, tree, prepared):
        direct = load(tree)
        fields = {"data__kind": "tfds", "data__memory": 0.0}
        through = load(prepared, **fields)
        assert through.name == direct.name
        assert of_pixels(through.record) == of_pixels(direct.record)
        for split, want in direct.splits.items():
            got = through.splits[split]
            for field in dataclasses.fields(want):
                a, b = (getattr(x, field.name) for x in (got, want))
                if field.name == "inputs":
                    assert isinstance(a, Pictures)
                    a = a[:]
                np.testing.assert_array_equal(a, b)

    def test_letters_lost_in_unpacking(self, tmp_path):
        write(tmp_path, lines(), pictures=range(2, ROWS))
        for i in range(2):
            other = name_of(i).replace("\u0430", "\u2564\u0437")
            own_data.write(tmp_path, other, picture(i))
        source = load(tmp_path)
        assert "2 images have different letters" in own_data.notes(source)
        got = own_data.whole(source, "inputs")[:2, 0, 0, 0]
        np.testing.assert_allclose(got, [0, 4], atol=1)

    def test_a_file_for_two_rows_is_not_guessed(self, tmp_path):
        write(tmp_path, lines(), pictures=range(1, ROWS))
        for letter in "xy":
            own_data.write(tmp_path, f"AgeDB/0_{letter}_20_f.jpg", picture(0))
        with pytest.raises(InputError, match="1 are missing: those of rows 2"):
            load(tmp_path)

    def test_images_a_pixel_wide(self, tmp_path):
        write(tmp_path, lines())
        own_data.write(tmp_path, name_of(3), picture(3, size=(30, 1)))
        np.testing.assert_allclose(load(tmp_path).splits["train"].inputs[3], 12, atol=1)

    def test_ages_above_120_share_the_last_bin(self, tmp_path):
        rows = lines()
        rows[0] = rows[0].replace("20,", "186,", 1)
        rows[1] = rows[1].replace("21,", "120,", 1)
        write(tmp_path, rows, table="imdb_wiki.csv")
        source = load(tmp_path, "imdb_wiki_dir")
        train = source.splits["train"]
        assert train.bin[:3].tolist() == [120, 120, 22]
        assert train.label[0] == 186
        assert "1 ages lie above 120" in own_data.notes(source)
        with pytest.raises(InputError, match=r"row 2 of .* has 186 in 'age'"):
            load(write(tmp_path, rows))


class TestSplitFile:
    def test_names(self, tree):
        blob = faces.checksum(tree / "agedb.csv")
        source = load(tree)
        assert source.name == f"agedb_dir@{blob[:8]}"
        assert f"an unknown split file (git blob {blob})" in own_data.notes(source)
        second = load(tree, argument="vanilla,protocol2", data__view_size=4)
        assert second.name == f"agedb_dir_p2@{blob[:8]}"
        yang, vir = faces.AGEDB.known
        assert faces.AGEDB.named("agedb_dir", yang)[0] == "agedb_dir"
        other, said = faces.AGEDB.named("agedb_dir_p2", vir)
        assert other == "agedb_dir_p2@vir"
        assert "VIR" in said

    def test_checksum_is_that_of_git(self, tmp_path):
        for name, content in (
            ("plain", b"age,path\n1,a\n"),
            ("windows", b"age,path\r\n1,a\r\n"),
            ("packed", gzip.compress(b"age,path\n1,a\n")),
        ):
            # printf 'age,path\n1,a\n' | git hash-object --stdin
            assert faces.checksum(own_data.write(tmp_path, name, content)) == (
                "30a4498f235e7c9c6600e0e69547e85876543d3d"
            )

    def test_the_last_image_that_is_read_again(self, tmp_path):
        write(tmp_path, lines())
        for reader in ("array", "tf"):
            own_data.write(tmp_path, name_of(0), picture(0))
            source = load(tmp_path, data__memory=0.0)
            own_data.write(tmp_path, name_of(0), b"")
            stream = data.Stream(
                source.splits["train"], seed=0, batch_size=40, reader=reader
            )
            with pytest.raises(
                InputError, match=r"that of row 2 of .*is empty\. Restore"
            ):
                next(stream.read(iter([(0, 1)])))


@pytest.fixture(scope="module")
def prepared(tree, tmp_path_factory):
    """The folder as a data_dir of TensorFlow Datasets."""
    import tensorflow_datasets as tfds

    from dirjax.data.builders.agedb_dir import agedb_dir_dataset_builder

    tfds.disable_progress_bar()
    where = tmp_path_factory.mktemp("tfds")
    builder = agedb_dir_dataset_builder.Builder(data_dir=where)
    given = tfds.download.DownloadConfig(manual_dir=tree)
    builder.download_and_prepare(download_config=given)
    assert "Moschoglou" in builder.info.citation
    return where


def batches(source, reader, step, **options):
    options = {"seed": 3, "batch_size": 6, "reader": reader} | options
    stream = data.Stream(source.splits["train"], **options)
    return list(stream.read(iter([(s, 2) for s in range(step, 8, 2)])))


class TestDecodedWhenRead:
    def test_all_readers_give_the_same_batches_from_any_step(self, tree):
        held, encoded = load(tree), load(tree, data__memory=0.0)
        assert isinstance(encoded.splits["train"].inputs, Pictures)
        assert of_pixels(encoded.record) == of_pixels(held.record)
        both = batches(encoded, "tf", 0, members=2)
        for m, seed in enumerate((3, 4)):
            for got, want in zip(
                both, batches(held, "array", 0, seed=seed), strict=True
            ):
                np.testing.assert_array_equal(got["inputs"][:, m], want["inputs"])
        want = batches(held, "array", 0)
        for reader in ("array", "tf"):
            got = batches(encoded, reader, 4)
            assert len(got) == 2
            for a, b in zip(want[2:], got, strict=True):
                assert b["inputs"].dtype == np.uint8
                jax.tree.map(np.testing.assert_array_equal, a, b)

    def test_a_reader_that_is_dropped_rests(self):
        """And takes nothing of the interpreter with it while it is at work."""
        asked = []

        def decode(i):
            asked.append(i)
            time.sleep(0.002)
            return np.zeros((2, 2, 3), np.uint8)

        table = {"inputs": Pictures(decode, np.arange(8), (2, 2, 3))}
        for _ in range(5):
            reader = pipeline.read(table, (np.arange(8)[None] for _ in range(10**9)))
            assert next(reader)["inputs"].shape == (1, 8, 2, 2, 3)
            reader.close()
            count = len(asked)
            time.sleep(0.02)
            assert len(asked) == count

    def test_mean_and_channels_are_those_of_memory(self, tree):
        fields = {"data__mean_and_std": None, "data__channels": 0}
        held, encoded = (load(tree, data__memory=m, **fields) for m in (4.0, 0.0))
        assert of_pixels(encoded.record) == of_pixels(held.record)
        assert held.record["input_mean"] != 0.5
        each = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
        record = load(tree, data__mean_and_std=each).record
        assert (record["input_mean"], record["input_std"]) == each

    @pytest.mark.slow
    def test_a_run(self, tree, tmp_path):
        """Second protocol, decoded while it is read."""
        made = config(
            tree,
            argument="vanilla,protocol2",
            data__view_size=6,
            data__augment__crop=0,
            data__memory=0.0,
            data__reader="tf",
            stage__main__learning_rate=1e-3,
        )
        result = runs.run(made, tmp_path / "run")
        assert result["dataset"].startswith("agedb_dir_p2@")
        assert len(runs.log(tmp_path / "run")) == 2
        assert result["test"]["mae"]["all"] > 0
        record = json.loads((tmp_path / "run" / "data.json").read_text())
        assert (record["fit"], record["view"]) == ("cover", 6)
        assert record["shape"] == [8, 8, 3]
        # Predictions see the middle of the same squares.
        rows = [name_of(i) for i in range(50, ROWS)]
        table = own_data.write(tree, "new.csv", own_data.table(rows, "path"))
        predict.predict(tmp_path / "run", table, tmp_path / "out.csv")
        lines = (tmp_path / "out.csv").read_text().splitlines()[1:]
        got = [float(line.rpartition(",")[2]) for line in lines]
        want = np.load(tmp_path / "run" / "predictions.npz")["prediction"]
        np.testing.assert_allclose(got, want, rtol=1e-5)


def noise(size):
    """A JPEG with structure, and what Pillow makes of it."""
    image = Image.fromarray(NOISE).resize(size, Image.Resampling.BICUBIC)
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=95)
    return sink.getvalue(), Image.open(io.BytesIO(sink.getvalue())).convert("RGB")


class TestPreprocessing:
    @pytest.mark.parametrize("size", [(180, 250), (301, 260), (224, 224)])
    def test_first_protocol_at_224_is_pillow(self, size):
        content, image = noise(size)
        want = np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR))
        got = decoding.decode(content, decoding.Reading((224, 224), 3)).pixels
        np.testing.assert_array_equal(got, want)
        # Pad, crop at a corner, then normalise: the border is -1, not 0.
        network = models.build("small_resnet", input_mean=0.5, input_std=0.5)
        padded = np.pad(got, ((16, 16), (16, 16), (0, 0)))[:224, :224]
        ready = np.asarray(network.prepare(padded[None]))[0]
        assert (ready[:16] == -1).all()
        want = (np.asarray(want[:208, :208], np.float64) / 255 - 0.5) / 0.5
        np.testing.assert_allclose(ready[16:, 16:], want, atol=1e-6)

    @pytest.mark.parametrize("size", [(180, 250), (301, 259), (256, 300), (90, 90)])
    def test_second_protocol_is_resize_256_and_the_middle_224(self, size):
        """As torchvision's Resize(256) and CenterCrop(224) count pixels."""
        content, image = noise(size)
        width, height = size
        if width <= height:
            new = (256, int(256 * height / width))
        else:
            new = (int(256 * width / height), 256)
        resized = image.resize(new, Image.Resampling.BILINEAR)
        left, top = (round((n - 224) / 2.0) for n in new)
        want = np.asarray(resized)[top : top + 224, left : left + 224]
        stored = decoding.decode(
            content, decoding.Reading((256, 256), 3, "cover")
        ).pixels
        assert stored.shape == (256, 256, 3)
        network = models.build("small_resnet", input_mean=0.5, input_std=0.5, view=224)
        got = np.asarray(network.prepare(stored[None]))[0]
        assert got.shape == (224, 224, 3)
        np.testing.assert_allclose((got + 1) * 127.5, want, atol=1e-4)

    def test_a_sliver_is_no_square(self):
        sliver = own_data.to_image(np.zeros((100, 1, 3), np.uint8))
        stretched = decoding.decode(sliver, decoding.Reading((8, 8), 3))
        assert stretched.pixels.shape == (8, 8, 3)
        with pytest.raises(decoding.Unreadable, match="1 x 100 pixels, too narrow"):
            decoding.decode(sliver, decoding.Reading((8, 8), 3, "cover"))
