"""Groups of labels: borders in exact arithmetic, and what is refused."""

import dataclasses
from fractions import Fraction

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from dirjax import labels
from dirjax.config import frozen
from dirjax.configs import agedb_dir, imdb_wiki_dir
from dirjax.labels import Bins, groups, specification
from tests.labels.golden import GOLDEN

AGES = Bins.uniform(width=1, origin=0, num=101)
ALL_AGES = np.ones(101)


def of_bin(bins, num, **options):
    return groups.make(bins, np.ones(bins.num), num=num, **options).of_bin


@pytest.mark.parametrize("num", [2, 5, 10, 15, 20, 25, 40, 50])
def test_ages_as_in_the_paper_and_the_public_code(num):
    ages = range(101)
    got = of_bin(AGES, num, label_range=(0, 100))
    assert got.tolist() == [min(y * num // 100, num - 1) for y in ages]
    got = of_bin(AGES, num, label_range=(0, 100), width_mode="int_floor")
    assert got.tolist() == [min(y // (100 // num), num - 1) for y in ages]


# Groups that are empty if all 121 bins are divided, and training images of the smallest
# group if the ages 0 to 100 are.
REAL = {2: (0, 4500), 5: (0, 211), 10: (1, 24), 15: (2, 13)}
REAL |= {20: (3, 7), 25: (4, 5), 40: (6, 1), 50: (8, 1)}


@pytest.mark.parametrize(("num", "found"), REAL.items())
def test_no_group_of_real_ages_is_empty(num, found):
    """The training labels of AgeDB-DIR."""
    with np.load(GOLDEN / "agedb_weights.npz") as data:
        counts = np.bincount(data["c00.in.labels"], minlength=121)
    bins = Bins.uniform(width=1, origin=0, num=121)
    for dataset in (agedb_dir, imdb_wiki_dir):
        config = frozen.plain(dataset.get_config("group_dir"))
        options = config["groups"] | {"num": num}
        smallest = groups.make(bins, counts, **options).counts.min()
        whole = groups.make(bins, counts, **options | {"label_range": None})
        assert ((whole.counts == 0).sum(), smallest) == found
        assert "groups" not in frozen.plain(dataset.get_config("vanilla"))


def test_where_the_last_group_of_whole_widths_begins():
    got = of_bin(AGES, 40, label_range=(0, 100), width_mode="int_floor")
    assert np.argmax(got == 39) == 78


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_similarities_in_exact_tenths(dtype):
    """STS-B: 50 bins of 0.1, whose borders floats miss."""
    bins = Bins.uniform(width=0.1, origin=0, num=50, dtype=dtype)
    for num in (2, 5, 10, 25, 50):
        assert of_bin(bins, num).tolist() == [b * num // 50 for b in range(50)]
    # A border at 0.25, inside of the bin 0.2 to 0.3.
    assert of_bin(bins, 20)[:6].tolist() == [0, 0, 0, 1, 1, 2]


@hypothesis.given(
    st.integers(1, 40), st.integers(1, 40), st.decimals(-50, 50, places=2)
)
@hypothesis.settings(deadline=None, max_examples=50)
def test_against_fractions(num_bins, num, origin):
    num = min(num, num_bins)
    bins = Bins.uniform(width=0.3, origin=Fraction(str(origin)), num=num_bins)
    made = groups.make(bins, np.arange(num_bins), num=num)
    # Bins are equally wide, so only their numbers matter.
    assert made.of_bin.tolist() == [b * num // num_bins for b in range(num_bins)]
    assert made.counts.sum() == np.arange(num_bins).sum()
    assert len(made.counts) == len(made.centers) == made.num == num
    assert (np.diff(made.centers) > 0).all()


def test_equal_counts():
    bins = Bins.uniform(width=1, origin=0, num=6)
    make = lambda counts, num: groups.make(  # noqa: E731
        bins, counts, num=num, width_mode="equal_count"
    )
    assert make([1, 1, 1, 1, 1, 1], 3).of_bin.tolist() == [0, 0, 1, 1, 2, 2]
    assert make([4, 1, 1, 1, 1, 0], 2).counts.tolist() == [4, 4]
    # A bin with most labels leaves groups empty, in order all the same.
    heavy = make([0, 90, 5, 5, 0, 0], 4)
    assert (np.diff(heavy.of_bin) >= 0).all()
    assert heavy.of_bin.max() <= 3
    assert heavy.counts.sum() == 100


def test_counts_and_centers():
    bins = Bins.uniform(width=10, origin=0, num=5)
    made = groups.make(bins, [5, 4, 3, 2, 1], num=2)
    assert made.of_bin.dtype == np.int32
    assert made.counts.tolist() == [12, 3]
    assert made.centers.tolist() == [15.0, 40.0]
    assert not made.of_bin.flags.writeable


def test_bins_outside_of_the_range_go_to_the_ends():
    got = of_bin(Bins.uniform(width=1, origin=-3, num=10), 2, label_range=(0, 4))
    assert got.tolist() == [0] * 5 + [1] * 5


def test_of_a_spec():
    spec = labels.spec([1, 1, 3], bin_width=1, label_range=(0, 4))
    assert specification.from_config(None, spec) is None
    made = specification.from_config(
        {"num": 2, "width_mode": "exact", "label_range": None}, spec
    )
    assert specification.of_spec(dataclasses.replace(spec, groups=made), "x") is made
    assert hash(tuple(made.for_head().items()))
    with pytest.raises(ValueError, match=r"x needs label groups.* config.groups"):
        specification.of_spec(spec, "x")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num": 0}, "num must be .* 1 to the 101"),
        ({"num": 102}, "101 label bins, got 102"),
        ({"num": 2.5}, "whole number"),
        ({"num": True}, "whole number"),
        ({"num": 2, "width_mode": "equal"}, "width_mode .* int_floor"),
        ({"num": 2, "label_range": (5, 5)}, r"label_range .*\(5, 5\)"),
        ({"num": 2, "label_range": (200, 300)}, "label_range"),
        (
            {"num": 20, "label_range": (0, 10), "width_mode": "int_floor"},
            "at most the 10 bins",
        ),
        (
            {"num": 2, "label_range": (0, 10), "width_mode": "equal_count"},
            "must be empty",
        ),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        groups.make(AGES, ALL_AGES, **options)
    with pytest.raises(ValueError, match="each of 101 bins"):
        groups.make(AGES, ALL_AGES[:-1], num=2)
