"""Bins of predicted distributions."""

import dataclasses
import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from dirjax import labels
from dirjax.labels import Bins, Scale, scales, specification, support

BINS = Bins.uniform(width=1, origin=0, num=6)
LABELS = np.float32([0, 0.5, 0.5, 0.5, 2, 2.5, 5, 5.5, 6])
COUNTS = labels.histogram(LABELS, BINS)


def test_label_bins():
    made = support.make(BINS, COUNTS)
    np.testing.assert_array_equal(made.edges, BINS.edges)
    assert made.edges.dtype == np.float64
    assert made.counts.tolist() == [4, 0, 2, 0, 0, 3]
    assert made.num == 6
    edges, counts = (0, 1, 2, 3, 4, 5, 6), (4, 0, 2, 0, 0, 3)
    assert made.for_model() == {"edges": edges, "bin_counts": counts}


def test_equal_bins_keep_the_range():
    made = support.make(BINS, COUNTS, LABELS, num=4, spacing="equal")
    assert made.edges.tolist() == [0, 1.5, 3, 4.5, 6]
    assert made.counts.tolist() == [4, 2, 0, 3]


def test_quantile_bins_of_distinct_labels_are_equally_full():
    values = np.random.default_rng(0).gumbel(size=1000)
    bins = Bins.covering(values, width=0.5)
    made = support.make(bins, [], values, num=8, spacing="quantile")
    assert made.counts.tolist() == [125] * 8
    assert (made.edges[0], made.edges[-1]) == (bins.edges[0], bins.edges[-1])


def test_quantile_bins_of_tied_labels():
    """Three of nine labels are equal: whole labels stay on one side of a border."""
    made = support.make(BINS, COUNTS, LABELS, num=3, spacing="quantile")
    assert made.edges.tolist() == [0, 1.25, 3.75, 6]
    assert made.counts.tolist() == [4, 2, 3]
    # As many bins as labels differ, at most.
    assert support.make(BINS, COUNTS, LABELS, num=50, spacing="quantile").num == 7
    one = support.make(BINS, COUNTS, np.full(5, 2.0), num=3, spacing="quantile")
    assert one.edges.tolist() == [0, 6]
    two = support.make(BINS, COUNTS, [1.0, 1, 1, 2], num=4, spacing="quantile")
    assert two.counts.tolist() == [3, 1]


@hypothesis.given(
    st.lists(st.integers(-20, 80), min_size=1, max_size=60),
    st.integers(1, 12),
    st.sampled_from(["equal", "quantile"]),
)
@hypothesis.settings(deadline=None, max_examples=50)
def test_every_label_is_counted_once(values, num, spacing):
    values = np.float32(values) / 10  # Some lie outside of the bins.
    made = support.make(BINS, COUNTS, values, num=num, spacing=spacing)
    assert made.counts.sum() == len(values)
    assert (np.diff(made.edges) > 0).all()
    assert (made.edges[0], made.edges[-1]) == (0, 6)
    assert made.num <= num
    inside = np.clip(values.astype(float), 0, 6)
    # Labels are compared with edges in float32, see `Bins.index`.
    want = np.histogram(inside, np.float32(made.edges))[0]
    np.testing.assert_array_equal(made.counts, want)


@pytest.mark.parametrize("kind", ["linear", "log1p", "yeo_johnson", "quantile"])
def test_edges_come_back_bit_for_bit(kind):
    values = np.random.default_rng(1).gamma(2.0, 3.0, 300)
    scale = scales.fit(kind, values)
    learnt = scale.forward(values)
    bins = Bins.covering(learnt, width=0.1)
    made = support.make(bins, [], learnt, num=9, spacing="quantile")
    record = json.loads(json.dumps(made.to_json(scale)))
    back = labels.Support.from_json(record)
    np.testing.assert_array_equal(back.edges, made.edges)
    np.testing.assert_array_equal(back.counts, made.counts)
    # In units of the label, for readers.
    np.testing.assert_array_equal(record["edges"], scale.inverse(made.edges))
    assert np.sum(np.asarray(record["edges"]) <= values.min()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spacing": "log"}, "spacing must be one of bins, equal, quantile"),
        ({"num": 5}, "num must be 0 for spacing='bins', got 5"),
        ({"spacing": "equal"}, "num must be given for spacing='equal', got 0"),
        ({"spacing": "equal", "num": 2.5}, "num must be a whole number"),
        ({"spacing": "equal", "num": -1}, "num must be a whole number"),
        ({"spacing": "equal", "num": 2}, "labels must be given"),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        support.make(BINS, COUNTS, **options)


def test_from_config():
    spec = labels.spec([1.5, 1.5, 4], bin_width=1, label_range=(0, 5))
    assert specification.support_from_config(None, spec, list) is None

    def never():
        raise AssertionError

    fields = {"num": 0, "spacing": "bins"}
    made = specification.support_from_config(fields, spec, never)
    assert made is not None
    assert made.counts.tolist() == spec.counts.tolist()
    fields = {"num": 2, "spacing": "equal"}
    made = specification.support_from_config(fields, spec, lambda: [1.5, 1.5, 4])
    assert made is not None
    assert made.counts.tolist() == [2, 1]
    assert dataclasses.replace(spec, support=made).support is made
    with pytest.raises(ValueError, match=r"^config\.support\.num must be given"):
        specification.support_from_config(fields | {"num": 0}, spec, lambda: [1.5])


def test_edges_in_units_are_not_clipped_in_the_model():
    made = support.make(BINS, COUNTS)
    record = made.to_json(Scale(low=1.0))
    assert record["edges"][:3] == [1, 1, 2]
    assert labels.Support.from_json(record).edges[0] == 0
