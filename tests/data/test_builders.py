"""Builders of TensorFlow Datasets, the command, and what configs read of them."""

import importlib
import subprocess
import sys

import chex
import numpy as np
import pytest

from dirjax import data, predict
from dirjax.config import fields, validation
from dirjax.data import __main__ as door
from dirjax.data.builders import prepare
from dirjax.data.readers import pairs
from dirjax.errors import InputError
from tests import depth_folder, own_data, runs

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
    places = [subset.index(line) if line in subset else -1 for line in lines]
    assert [e["statistics"] for e in train] == places
    rooms = [e["room"].decode() for e in train]
    assert rooms == ["attic_0001"] * 5 + ["hall_0002"] * 4 + ["study_0003"] * 3
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
            assert example["score"] == float(cells["score"])


@pytest.mark.parametrize("name", ["nyud2_dir", "stsb_dir"])
def test_a_missing_folder_is_one_sentence(name, tmp_path):
    with pytest.raises(InputError, match="--manual_dir names no folder with it"):
        built(name, tmp_path / "nowhere", tmp_path / "tfds")


def read(name, argument="vanilla", **given):
    """The source of a benchmark's config, checked as a run checks it."""
    made = runs.config(name, argument, **given)
    validation.validate(made)
    fields.check(made)
    return data.from_config(made["data"])


def same(one, other):
    """Rows, splits, labels, inputs, notes and record are equal, to the bit."""
    assert one.name == other.name
    assert one.record == other.record
    assert one.notes == other.notes
    assert one.splits.keys() == other.splits.keys()
    for split in (*one.splits, "statistics"):
        a, b = (vars(source.rows(split)) for source in (one, other))
        chex.assert_trees_all_equal(
            {k: np.asarray(x) for k, x in a.items() if k != "wide"},
            {k: np.asarray(x) for k, x in b.items() if k != "wide"},
        )
        chex.assert_trees_all_equal(a["wide"], b["wide"])


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """A folder of sentences, and the data_dir that the command made of it."""
    folder = tmp_path_factory.mktemp("sentences")
    own_data.write_sentences(folder)
    words = ("build", "stsb_dir", "--manual_dir", folder, "--data_dir", folder / "tfds")
    done = subprocess.run(
        [sys.executable, "-m", "dirjax.data", *map(str, words)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "train: 72 examples" in done.stdout
    assert "--config configs/stsb_dir.py:METHOD --config.data.kind=tfds" in done.stdout
    return folder


def of_sentences(folder):
    """Fields that read what was built in a folder of sentences."""
    vectors = {"data__text__vectors": str(folder / "glove.txt")}
    built = {"data__kind": "tfds", "data__path": str(folder / "tfds")}
    return {**own_data.TEXT, **vectors, **built}


@pytest.mark.parametrize("drop", [False, True])
def test_sentences_are_those_of_the_files(sentences, drop):
    given = {**own_data.TEXT, "data__path": str(sentences), "data__drop_leaks": drop}
    direct = read("stsb_dir", **given)
    built = read("stsb_dir", **of_sentences(sentences), data__drop_leaks=drop)
    same(built, direct)
    np.testing.assert_array_equal(built.constants["words"], direct.constants["words"])


def test_a_run_on_built_sentences_predicts(sentences, tmp_path):
    given = {**of_sentences(sentences), "data__batch_size": 8}
    made = runs.config("stsb_dir", "vanilla,small", **{**given, **own_data.TINY})
    made["model"]["encoder"] |= {"width": 4, "depth": 1}
    runs.run(made, tmp_path / "run")
    rows = "sentence1\tsentence2\na dog\ta cat\n"
    file = own_data.write(tmp_path, "new.tsv", rows)
    assert predict.predict(tmp_path / "run", file, tmp_path / "out.csv")[:2] == (1, 0)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"data__depth__test_mask": "drawn", "data__depth__statistics": ""},
        {"data__depth__test_mask": "all", "data__limit": 5},
    ],
)
def test_depth_maps_are_those_of_the_files(change, maps):
    folder, where = maps
    given = depth_folder.fields(folder) | change
    direct = read("nyud2_dir", **given)
    built = {"data__kind": "tfds", "data__path": str(where)}
    same(read("nyud2_dir", **{**given, **built}), direct)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """A folder of depth maps, and a data_dir."""
    from dirjax.data.builders.nyud2_dir import nyud2_dir_dataset_builder as module

    folder = depth_folder.make(tmp_path_factory.mktemp("maps"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CROP", depth_folder.CROP)
        prepare.prepare("nyud2_dir", folder, folder / "tfds")
    return folder, folder / "tfds"


# Config, argument, fields -> what is said.
WRONG = {
    "sentences as a table": (
        ("tfds", "vanilla", {"data__name": "stsb_dir", "data__label": "score"}),
        r"stsb_dir is not a table of scalars\. Read it with configs/stsb_dir\.py",
    ),
    "embeddings": (
        ("stsb_dir", "vanilla,embeddings", {"data__kind": "tfds"}),
        "without the option embeddings",
    ),
    "sentences as maps": (
        ("nyud2_dir", "vanilla", {"data__kind": "tfds", "data__name": "stsb_dir"}),
        r"data\.depth reads nyud2_dir .*'stsb_dir' is another data set",
    ),
    "no vectors": (
        ("stsb_dir", "vanilla", {"data__kind": "tfds"}),
        r"glove\.840B\.300d\.txt \(data\.text\.vectors\) does not exist",
    ),
    "not built": (
        ("nyud2_dir", "vanilla", {"data__kind": "tfds"}),
        r"python -m dirjax\.data build nyud2_dir --manual_dir FOLDER --data_dir .*tfds",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_nothing_else_is_made_of_them(name, sentences):
    (config, argument, given), said = WRONG[name]
    with pytest.raises(InputError, match=said):
        read(config, argument, data__path=str(sentences / "tfds"), **given)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data__depth__test_mask": "mine.npy"}, "test_mask of a built data set must"),
        (
            {"data__depth__statistics": "mine.csv"},
            "statistics of a built data set",
        ),
        (
            {"data__depth__crop": (8, 8)},
            r"it must be \[5, 8, 8\]",
        ),
        ({"data__input": "a.npz"}, "has no file 'a.npz'"),
        ({"data__depth__val_share": 2.0}, "val_share"),
    ],
)
def test_maps_are_read_as_they_were_built(change, said, maps):
    given = depth_folder.fields(maps[0]) | {"data__path": str(maps[1])} | change
    with pytest.raises(InputError, match=said):
        read("nyud2_dir", data__kind="tfds", **given)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("stsb_di", "--manual_dir", "."), "Did you mean 'stsb_dir'"),
        (("stsb_dir",), "required: --manual_dir"),
        (("stsb_dir", "--manual_dir", "nowhere"), "nowhere is none"),
        (("stsb_dir", "--manual_dir", "gs://b/x"), "is a URL. Mount the bucket"),
        (("stsb_dir", "--manual_dir", ".", "--data_dir", "s3://x"), "is a URL"),
        (("stsb_dir", "--manual_dir", ".", "--data_dir", "to"), "must hold train_new"),
    ],
)
def test_the_command_refuses(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        door.main(["data", "build", *words])
    assert not list(tmp_path.rglob("*.tfrecord*"))
