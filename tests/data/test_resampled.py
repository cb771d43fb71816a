"""Resampled training rows of a run: from the config to the batches."""

import csv
import gzip

import numpy as np
import pytest

from dirjax import data
from dirjax.data import resampled
from dirjax.errors import InputError
from dirjax.labels import weights
from dirjax.training import results
from tests import own_data, runs


@pytest.fixture(scope="module")
def pieces():
    fields = {"data__limit": 400, "data__resample__side": "high"}
    return runs.built(runs.tiny("smogn_lds_fds,smoke", **fields))[0]


def test_a_run_trains_on_resampled_rows_and_measures_on_those_of_the_file(pieces):
    source, train = pieces.source, pieces.source.splits["train"]
    made = source.training
    assert len(train.label) == 400
    assert source.rows("statistics") is made
    assert source.rows("train") is train
    rare = made.bin[np.isin(made.label, train.label, invert=True)]
    assert len(rare) > 30
    np.testing.assert_array_equal(made.bin, source.spec.bins.index(made.label))
    np.testing.assert_allclose(made.value, made.label, rtol=1e-6)  # scale: linear
    assert made.label.max() <= train.label.max()
    assert any("smogn makes" in note for note in source.notes)
    # Objectives know the resampled labels, reports those of the file.
    counts = np.bincount(made.bin, minlength=source.spec.bins.num)
    np.testing.assert_array_equal(pieces.spec.counts, counts)
    np.testing.assert_array_equal(pieces.spec.shots, source.spec.shots)
    held = results.bins(source, pieces.spec)
    assert held["train_count"] == source.spec.counts.tolist()
    fields = pieces.plan.stages[-1].objective["lds"]
    weighted = counts * weights.bin_weights(counts, **fields)
    np.testing.assert_allclose(held["train_weight"], weighted, rtol=1e-6)


def table(tmp_path):
    """A table with gaps, a category, weights, and labels with outliers."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(240):
        x = "" if i % 5 == 0 else f"{rng.normal():.4f}"
        y = 10 + rng.normal() + (30 + i / 10) * (i % 12 == 0)
        split = ("train", "train", "val", "test")[i % 4]
        lines.append(f"{x},{'ab'[i % 2]}{i % 3},{y:.4f},{1 + i % 2},{split}")
    return own_data.write(tmp_path, "t.csv", own_data.table(lines, "x,c,y,w,split"))


@pytest.mark.parametrize("method", ["smoter", "smogn"])
def test_missing_numbers_and_categories_are_those_of_a_parent(method, tmp_path):
    fields = {
        "data__path": str(table(tmp_path)),
        "data__label": "y",
        "data__weight": "w",
        "data__label_scale": "log",
        "data__resample__side": "high",
    }
    config = runs.config("csv", f"{method},smoke", **fields)
    source = data.from_config(config["data"])
    train, made = source.splits["train"], source.training
    numeric = made.inputs["numeric"]
    assert set(np.unique(numeric[:, 1])) == {0.0, 1.0}  # the indicator of x
    assert (numeric[numeric[:, 1] == 1, 0] == 0).all()
    known = np.unique(train.inputs["categorical"])
    assert np.isin(made.inputs["categorical"], known).all()
    np.testing.assert_allclose(made.weight.mean(), 1, rtol=1e-6)
    np.testing.assert_allclose(made.value, np.exp(made.label), rtol=1e-5)
    assert np.isin(made.index, train.index).all()
    rare = np.median(train.label) + 0.5
    assert (made.label > rare).sum() > 1.5 * (train.label > rare).sum()


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(InputError, match="interpolates columns of tables"):
        runs.built(runs.config("mnist5k", "smogn,smoke"))
    for field, value, said in (
        ("threshold", 2.0, "resample: relevance must be at least 2"),
        ("method", "smote", "method must be one of smoter, smogn"),
    ):
        config = runs.tiny("smogn,smoke", **{f"data__resample__{field}": value})
        with pytest.raises(InputError, match=said):
            data.from_config(config["data"])


def few_shot_note(notes):
    (found,) = [note for note in notes if "few-shot" in note]
    return found


def test_few_shot_rows_that_are_removed_are_counted(tmp_path):
    """Rare labels below a mass, which a box plot takes for common."""
    rng = np.random.default_rng(0)
    label = np.r_[rng.uniform(2, 6, 12), rng.normal(20, 3, 400), rng.normal(45, 4, 30)]
    lines = [f"{x:.3f},{y:.2f},train" for x, y in enumerate(label)]
    lines += [f"{x},{20 + x}.0,{s}" for x in range(6) for s in ("val", "test")]
    file = own_data.write(tmp_path, "t.csv", own_data.table(lines, "x,y,split"))
    fields = {"data__label": "y", "data__path": str(file), "data__bin_width": 1.0}
    fields |= {"data__few": 3, "data__many": 20, "data__resample__side": "high"}
    made = runs.config("csv", "smoter,smoke", **fields)
    source = data.from_config(made["data"])
    train, kept = source.splits["train"], source.resampled
    few = source.spec.shots[train.bin] == 2
    lost = few & ~np.isin(train.index, kept.index)
    assert lost.sum() >= 3
    said = few_shot_note(source.notes)
    assert f"smoter removes {lost.sum()} of {few.sum()} few-shot rows (labels " in said
    assert "--config.data.resample.under_sample=False keeps all rows, and rel" in said
    made["data"]["resample"]["under_sample"] = False
    source = data.from_config(made["data"])
    assert not [note for note in source.notes if "few-shot" in note]
    # Before there are features, of a stage.
    made["data"]["resample"] = {}
    source = data.from_config(made["data"])
    fields = {"method": "smogn", "control_points": ((20.0, 0.0), (40.0, 1.0))}
    rows = resampled.expected(fields, source)
    first, said = resampled.stage_notes("head", fields, rows, source)
    assert first.startswith("stage head trains the head on features: smogn makes ")
    assert said.endswith("stage.head.resample.under_sample=False keeps all rows")


def labels_of(folder, name):
    """Training labels of a data set."""
    if name == "stsb_dir":
        text = (folder / "sts-b-dir" / "train_new.tsv").read_text()
        rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
        return np.array([float(row["score"]) for row in rows])
    path = {"agedb_dir": "agedb-dir/agedb", "utkface_dir": "utkface-dir/utkface_dir"}
    with gzip.open(folder / f"{path[name]}.csv.gz", "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "train"]
    return np.array([float(row["age"]) for row in rows])


@pytest.mark.parametrize(
    ("name", "argument", "rare"),
    [
        ("agedb_dir", "rrt_smogn", [(1, 22), (64, 101)]),
        ("utkface_dir", "rrt_smoter", [(5, 19), (42, 116)]),
        ("stsb_dir", "rrt_smogn_lds_fds", [(0, 2.7), (4.3, 5)]),
        ("recipes/ssir_table2", "smogn", [(1, 22), (64, 101)]),
    ],
)
def test_rare_labels_of_the_benchmarks_are_at_both_ends(name, argument, rare, data_dir):
    """Also on data whose labels have no outliers in a box plot."""
    made = runs.config(name, argument)
    fields = made["stage"]["head"]["resample"]
    y = labels_of(data_dir, made["data"]["name"])
    options = {k: v for k, v in fields.items() if v is not None}
    found = resampled.METHODS[options.pop("method")](y[:, None], y, **options)
    segment = np.digitize(y, np.ravel(rare) + np.tile([-0.01, 0.04], len(rare)))
    seeds = segment[found.seed[found.synthetic]]
    counts = np.bincount(y.astype(int))
    few = (counts < 20)[y.astype(int)]
    kept = np.isin(np.arange(len(y)), found.seed)
    if name == "stsb_dir":  # The lower segment is large, so that only the upper grows.
        assert set(seeds) == {3}
    else:
        assert {1, 3} <= set(seeds)
        assert kept[few].all()
