"""Shot groups, the specification, and counts of AgeDB."""

import gzip

import numpy as np
import pytest

from dirjax import labels
from dirjax.data import splits

# The benchmark's fixed lists for STS-B-DIR.
STSB_LISTS = {
    "many": [0, *range(10, 49, 2), 49],
    "median": [2, 4, 6, 8, 27, 35, 37],
    "few": [*range(1, 27, 2), 29, 31, 33, *range(39, 49, 2)],
}


def test_shot_lists():
    groups = labels.shot_groups(np.zeros(50), explicit=STSB_LISTS)
    assert np.bincount(groups).tolist() == [22, 7, 21]
    assert groups[[0, 2, 1]].tolist() == [0, 1, 2]


def test_spec():
    made = labels.spec(
        np.repeat([1, 2, 4, 5], [100, 101, 20, 19]), bin_width=1, label_range=(0, 6)
    )
    assert made.counts.tolist() == [0, 100, 101, 0, 20, 19]
    assert made.shots.tolist() == [2, 1, 0, 2, 1, 2]
    values = np.repeat([1.0, 2.0, 4.0, 5.0], [100, 101, 20, 19])
    assert (made.label_mean, made.label_std) == (values.mean(), values.std())
    assert (made.examples, made.feature_dim) == (240, 0)
    listed = labels.spec([0, 5], bin_width=0.1, label_range=(0, 5),
                         shot_lists=STSB_LISTS, dtype=np.float32)  # fmt: skip
    assert listed.counts[[0, 49]].tolist() == [1, 1]
    assert listed.bins.edges.dtype == np.float32


def read_agedb(folder):
    path = folder / "agedb-dir" / "agedb.csv.gz"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    with gzip.open(path, "rt") as file:
        rows = [line.rstrip("\n").split(",") for line in file][1:]
    ages = np.array([int(float(row[0])) for row in rows])
    return ages, [row[1] for row in rows], np.array([row[-1] for row in rows])


@pytest.mark.data
def test_agedb_counts(data_dir):
    ages, _, parts = read_agedb(data_dir)
    train = ages[parts == "train"]
    made = labels.spec(train, bin_width=1, label_range=(0, 121))
    assert (made.bins.num, made.examples, made.counts.max()) == (121, 12208, 353)
    assert made.counts[35] == 353
    seen = made.counts > 0
    assert np.bincount(made.shots[seen]).tolist() == [51, 16, 33]
    images = [made.counts[made.shots == k].sum() for k in range(3)]
    assert images == [11154, 851, 203]
    test = made.shots[made.bins.index(ages[parts == "test"])]
    assert np.bincount(test).tolist() == [1530, 448, 162]


@pytest.mark.data
def test_agedb_split_sizes(data_dir):
    ages, files, parts = read_agedb(data_dir)
    bins = labels.Bins.uniform(width=1, origin=0, num=121)
    mine = splits.balanced_split(ages, bins, seed=0, keys=files)
    assert np.bincount(mine).tolist() == [12208, 2140, 2140]
    for number, name in enumerate(("train", "val", "test")):
        np.testing.assert_array_equal(
            labels.histogram(ages[mine == number], bins),
            labels.histogram(ages[parts == name], bins),
        )
