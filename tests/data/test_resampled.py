"""Resampled training rows of a run: from the config to the batches."""

import numpy as np
import pytest

from dirjax import data
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
