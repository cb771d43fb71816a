"""Builders of TensorFlow Datasets for NYUD2-DIR and STS-B-DIR."""

import importlib

import numpy as np
import pytest

from dirjax.data.readers import pairs
from dirjax.errors import InputError
from tests import depth_folder, own_data

pytestmark = pytest.mark.slow


def built(name, folder, where):
    """The prepared builder, and its examples by split, in order of `row`."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    module = importlib.import_module(
        f"dirjax.data.builders.{name}.{name}_dataset_builder"
    )
    builder = module.Builder(data_dir=where)
    given = tfds.download.DownloadConfig(manual_dir=folder)
    builder.download_and_prepare(download_config=given)
    examples = {
        split: sorted(tfds.as_numpy(builder.as_dataset(split)), key=lambda x: x["row"])
        for split in builder.info.splits
    }
    assert "Yang" in builder.info.citation
    return module, examples


def test_nyud2(tmp_path, monkeypatch):
    from PIL import Image

    from dirjax.data.builders.nyud2_dir import nyud2_dir_dataset_builder as module

    folder = depth_folder.make(tmp_path)
    monkeypatch.setattr(module, "CROP", depth_folder.CROP)
    _, found = built("nyud2_dir", folder, tmp_path / "tfds")
    train, test = found["train"], found["test"]
    assert [len(train), len(test)] == [sum(depth_folder.ROOMS.values()), 5]
    lines = (folder / "nyu2_train.csv").read_text().splitlines()
    for example, line in zip(train, lines, strict=True):
        picture, depth = (folder / p.split("/", 1)[1] for p in line.split(","))
        codes = np.asarray(Image.open(depth))
        np.testing.assert_allclose(example["depth"], codes / 255 * 10, rtol=1e-6)
        pixels = np.asarray(Image.open(picture), int)
        assert np.abs(example["image"] - pixels).mean() < 2  # of another decoder
        assert example["tested"].shape == (0, 0)
    subset = (folder / "nyu2_train_FDS_subset.csv").read_text().splitlines()
    assert [e["statistics"] for e in train] == [line in subset for line in lines]
    mask = np.load(folder / "test_balanced_mask.npy").astype(bool)
    np.testing.assert_array_equal([e["tested"] for e in test], mask)
    codes = np.asarray(Image.open(folder / "nyu2_test" / "00003_depth.png"))
    np.testing.assert_allclose(test[3]["depth"], codes / 1000, rtol=1e-6)


def test_stsb(tmp_path):
    own_data.write_sentences(tmp_path)
    _, found = built("stsb_dir", tmp_path, tmp_path / "tfds")
    rows = own_data.sentences()
    for split, part in pairs.PARTS.items():
        text = (tmp_path / f"{part}.tsv").read_text().splitlines()
        header, *lines = (line.split("\t") for line in text)
        assert len(found[split]) == len(lines) == len(rows[part])
        for example, line in zip(found[split], lines, strict=True):
            cells = dict(zip(header, line, strict=True))
            assert example["sentence1"].decode() == cells["sentence1"]
            assert example["sentence2"].decode() == cells["sentence2"]
            assert example["score"] == np.float32(cells["score"])


@pytest.mark.parametrize("name", ["nyud2_dir", "stsb_dir"])
def test_a_missing_folder_is_one_sentence(name, tmp_path):
    with pytest.raises(InputError, match="--manual_dir names no folder with it"):
        built(name, tmp_path / "nowhere", tmp_path / "tfds")
