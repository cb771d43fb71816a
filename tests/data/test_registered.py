"""Data sets of TensorFlow Datasets by name; the only test that imports TensorFlow."""

import json
import re

import numpy as np
import pytest

from dirjax import data, predict
from dirjax.config import validation
from dirjax.errors import InputError
from tests import own_data, runs

# Of one colour each, which is 4 times the row.
PIXELS = (
    np.ones((60, 9, 7, 3), np.uint8)
    * np.arange(60, dtype=np.uint8)[:, None, None, None]
    * 4
)
COUNTS = {"train": 40, "validation": 8, "test": 12}


def pictures(tf, tfds):
    """Images with a label in three splits."""
    features = {
        "photo": tfds.features.Image(shape=(None, None, 3)),
        "age": tf.float32,
        "number": tf.int64,
        "name": tfds.features.Text(),
    }
    rows = [
        {"photo": PIXELS[i], "age": i % 7 + 0.5, "number": i, "name": f"face {i}"}
        for i in range(60)
    ]
    starts = dict(zip(COUNTS, (0, 40, 48), strict=True))
    return features, {s: rows[a : a + COUNTS[s]] for s, a in starts.items()}


def scalars(tf, tfds):
    """A table in one split."""
    features = {
        "width": tf.float32,
        "count": tf.int32,
        "sunny": tf.bool,
        "town": tfds.features.Text(),
        "kind": tfds.features.ClassLabel(names=["house", "flat"]),
        "same": tf.float32,
        "pair": tfds.features.Tensor(shape=(2,), dtype=tf.float32),
        "price": tf.float64,
    }
    rows = [
        {
            "width": np.nan if i % 5 == 3 else i / 7,
            "count": i,
            "sunny": i % 2 == 0,
            "town": ("Ulm", "Würzburg", "Hof")[i % 3],
            "kind": i % 2,
            "same": 1.0,
            "pair": [0.0, 1.0],
            "price": i % 10,
        }
        for i in range(60)
    ]
    return features, {"train": rows}


def infinite(tf, tfds):
    """A table with a feature that cannot be used."""
    rows = [{"x": np.inf if i == 4 else i, "y": i % 10} for i in range(60)]
    return {"x": tf.float32, "y": tf.float32}, {"train": rows}


def oddly_split(tf, tfds):
    """A table without a training split."""
    rows = [{"x": i, "y": i % 10} for i in range(60)]
    return {"x": tf.float32, "y": tf.float32}, {"unsupervised": rows}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A data_dir with all of them."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    where = tmp_path_factory.mktemp("tfds")
    for make in (pictures, scalars, infinite, oddly_split):
        features, splits = make(tf, tfds)
        tfds.dataset_builders.store_as_tfds_dataset(
            make.__name__,
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={s: list(enumerate(rows)) for s, rows in splits.items()},
            data_dir=where,
        )
    return where


def config(folder, name, label, argument="vanilla", **fields):
    fields = {f"data__{k}" if "__" not in k else k: v for k, v in fields.items()}
    given = {"data__name": name, "data__label": label, "data__path": str(folder)}
    return runs.config("tfds", argument, **given | fields)


def load(*args, **fields) -> data.Source:
    made = config(*args, **fields)
    validation.validate(made)
    return data.from_config(made["data"])


def sizes(source) -> list[int]:
    return [len(part.label) for part in source.splits.values()]


class TestImages:
    def test_each_label_has_its_image(self, folder):
        source = load(folder, "pictures", "age", "vanilla,images", image_size=4)
        assert source.name == "pictures"
        assert source.record["shape"] == [4, 4, 3]
        seen = []
        for part in source.splits.values():
            rows = part.inputs[:, 0, 0, 0] // 4
            np.testing.assert_allclose(part.value, rows % 7 + 0.5)
            seen += rows.tolist()
        assert sorted(seen) == list(range(60))

    def test_the_splits_are_those_of_the_data_set(self, folder):
        source = load(folder, "pictures", "number", "vanilla,images", image_size=4)
        assert sizes(source) == list(COUNTS.values())
        for name, (low, high) in zip(
            ("train", "val", "test"), ((0, 40), (40, 48), (48, 60)), strict=True
        ):
            numbers = source.splits[name].value
            assert sorted(numbers.tolist()) == list(range(low, high))

    def test_size_and_channels(self, folder):
        fields = {"image_size": 5, "channels": 1, "input": "photo"}
        source = load(folder, "pictures", "age", "vanilla,images", **fields)
        assert source.record["shape"] == [5, 5, 1]


class TestTables:
    def test_all_scalars_are_features(self, folder):
        source = load(folder, "scalars", "price")
        record = source.record["table"]
        assert set(record["numeric"]) == {"width", "count", "sunny", "kind"}
        assert set(record["categorical"]) == {"town"}
        assert record["values"] == (("Hof", "Ulm", "Würzburg"),)

    def test_the_same_rules_hold(self, folder):
        source = load(folder, "scalars", "price")
        assert source.record["table"]["indicators"] == ("width",)
        assert "'same' is left out: always 1" in own_data.notes(source)
        # With train alone a balanced split is made.
        assert sizes(source) == [40, 10, 10]
        for name in ("val", "test"):
            counts = np.bincount(source.splits[name].label.astype(int), minlength=10)
            assert counts.tolist() == [1] * 10

    def test_a_version_may_be_named(self, folder):
        one = load(folder, "scalars", "price")
        two = load(folder, "scalars:1.0.0", "price")
        np.testing.assert_array_equal(own_data.numeric(one), own_data.numeric(two))

    def test_logarithm(self, folder):
        fields = {"label_scale": "log", "on_bad": "skip"}
        source = load(folder, "scalars", "price", **fields)
        assert source.skipped == {"label too small for a logarithm": 6}
        part = source.splits["train"]
        np.testing.assert_allclose(part.label, np.log(part.value), atol=1e-6)

    def test_an_infinite_feature_may_be_skipped(self, folder):
        source = load(folder, "infinite", "y", on_bad="skip")
        assert source.skipped == {"infinite feature": 1}
        assert sum(sizes(source)) == 59

    @pytest.mark.parametrize("field", ["drop", "categorical", "weight"])
    def test_no_field_is_ignored_without_a_word(self, folder, field):
        value = "kind" if field == "weight" else ("kind",)
        try:
            source = load(folder, "scalars", "price", on_bad="skip", **{field: value})
        except InputError as error:
            source = None
            said = str(error)
        if source is None:
            assert f"data.{field}" in said
        else:
            assert "kind" not in source.record["table"]["numeric"]


# Data set, label, further fields -> what has to be said.
WRONG = {
    "a name that nobody knows": (
        ("nowhere", "y"),
        {},
        ("has no 'nowhere' in", r"data\.name"),
    ),
    "a version that is not there": (
        ("scalars:9.9.9", "price"),
        {},
        ("scalars:9.9.9", r"data\.name"),
    ),
    "a folder that is not there": (
        ("scalars", "price"),
        {"path": "/none/such"},
        (r"data\.path must be a file or folder, /none/such does not exist",),
    ),
    "no name": (("", "price"), {}, (r"data\.name",)),
    "a label that is not there": (
        ("scalars", "prize"),
        {},
        (r"'scalars' has no feature 'prize' \(data\.label\)", "width"),
    ),
    "a label of words": (
        ("scalars", "town"),
        {},
        (r"labels \(data\.label\) must be one number", "'town' of 'scalars'"),
    ),
    "a label of two numbers": (
        ("scalars", "pair"),
        {},
        (r"labels .*must be one number per example", "'pair'"),
    ),
    "a label that is an image": (
        ("pictures", "photo"),
        {},
        (r"labels .*must be one number", "'photo'"),
    ),
    "an image that is not there": (
        ("pictures", "age"),
        {"input": "foto"},
        (r"no feature 'foto' \(data\.input\)", "photo"),
    ),
    "an image that is none": (
        ("pictures", "age"),
        {"input": "number"},
        ("must name an image feature", "'number'", "photo"),
    ),
    "one distinct label": (("scalars", "same"), {}, ("labels must differ", "'same'")),
    "an infinite feature": (
        ("infinite", "y"),
        {},
        ("features must be finite", "'x'", "on_bad=skip"),
    ),
    "no split that is read": (
        ("oddly_split", "y"),
        {},
        ("oddly_split", "train", "unsupervised"),
    ),
    "a table for a model of images": (
        ("pictures", "age"),
        {},
        (r"model\.name", "small_resnet"),
    ),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.slow
def test_wrong_input(folder, name, tmp_path, capsys):
    given, fields, said = WRONG[name]
    made = config(folder, *given, **fields)
    line = own_data.sentence(capsys, lambda: own_data.trained(made, tmp_path / "run"))
    for pattern in said:
        assert re.search(pattern, line), line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_predictions_for_the_table(folder, tmp_path):
    """A run on a data set by name predicts rows of a CSV."""
    made = config(folder, "scalars", "price", **own_data.TINY)
    runs.run(made, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "data.json").read_text())
    assert record["kind"] == "table"
    rows = ["1.5,3,1,Ulm,0", ",4,0,Paris,1"]
    file = own_data.write(
        tmp_path, "new.csv", own_data.table(rows, "width,count,sunny,town,kind")
    )
    found = predict.predict(tmp_path / "run", file, tmp_path / "out.csv")
    assert found[:2] == (2, 0)
