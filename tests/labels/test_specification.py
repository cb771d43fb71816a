"""Shot groups, the specification, and counts of AgeDB."""

import dataclasses
import gzip

import numpy as np
import pytest

from dirjax import labels
from dirjax.data import splits
from dirjax.labels import specification

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


def test_resampled_labels_have_places_of_their_own():
    """Also in bins that held no label before."""
    before = labels.spec([0.0, 0.0, 0.25, 4.0], bin_width=1)
    after = specification.resampled(before, [0.5, 2.25, 2.75, 4.0])
    assert after.counts.tolist() == [1, 0, 2, 0, 1]
    assert after.centers.tolist() == [0.5, 1.5, 2.5, 3.5, 4.0]
    assert (after.label_mean, after.label_std) == (before.label_mean, before.label_std)


def test_means_are_those_of_the_labels_that_are_counted():
    """The float32 label 0.7 is counted in the bin that starts at 0.7."""
    made = labels.spec(np.float32([0.1, 0.1, 0.7]), bin_width=0.1, label_range=(0, 1))
    assert made.counts.tolist() == [0, 2, 0, 0, 0, 0, 0, 1, 0, 0]
    np.testing.assert_allclose(made.centers[[1, 7]], [0.1, 0.7], rtol=1e-6)


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


class TestWeighted:
    LABELS = np.repeat([0.5, 1.5, 2.5, 3.5], [6, 3, 0, 1])
    SPEC = labels.spec(LABELS, bin_width=1.0, label_range=(0.0, 4.0))

    def test_bins_alone_need_no_labels(self):
        made = specification.weighted(self.SPEC, [1, 2, 9, 8], lambda: 1 / 0)
        np.testing.assert_allclose(made.weights, [3, 3, 0, 4])
        assert made.support is None

    def test_own_weights_and_other_bins(self):
        support = labels.support.make(
            self.SPEC.bins, self.SPEC.counts, self.LABELS, num=3, spacing="equal"
        )
        spec = dataclasses.replace(self.SPEC, support=support)
        own = np.arange(1.0, 11.0)
        made = specification.weighted(spec, [1, 2, 9, 8], lambda: self.LABELS, own=own)
        each = own * np.repeat([1, 2, 8], [6, 3, 1])
        each *= 10 / each.sum()
        want = [each[:6].sum(), each[6:9].sum(), 0, each[9]]
        np.testing.assert_allclose(made.weights, want)
        # Thirds of the range: 0.5 lies in the first, 1.5 in the second.
        want = [each[:6].sum(), each[6:9].sum(), each[9]]
        np.testing.assert_allclose(made.support.weights, want)
        scale = labels.Scale()
        again = labels.Support.from_json(made.support.to_json(scale))
        np.testing.assert_array_equal(again.weights, made.support.weights)
