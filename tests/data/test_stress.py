"""Stress tests of a split: what training loses, and that nothing else does."""

import numpy as np
import pytest

from dirjax import errors
from dirjax.data import label_rules, labelling, row_checks, stress

COUNTS = np.array([3, 0, 40, 90, 100, 60, 20, 5, 1, 0])


@pytest.mark.parametrize("kind", stress.KINDS)
@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.99])
def test_bins_without_rows(kind, share):
    gone = stress.unseen(COUNTS, kind, share, seed=4)
    full = np.flatnonzero(COUNTS)
    at = np.flatnonzero(gone)
    assert set(at) < set(full)
    number = min(max(1, round(share * len(full))), len(full) - 1)
    place = np.searchsorted(full, at)
    if kind == "extrapolation":
        side = max(1, number // 2)
        assert place.tolist() == [*range(side), *range(8 - side, 8)]
    elif kind == "interpolation":
        assert len(at) == number
        assert (np.diff(place) == 1).all()
        assert abs((7 - place[-1]) - place[0]) <= 1
    else:
        assert len(at) == min(number, 6)
        assert place[0] > 0
        assert place[-1] < 7
        other = [stress.unseen(COUNTS, kind, 0.25, seed=s).tolist() for s in range(6)]
        assert len(set(map(tuple, other))) > 1


@pytest.mark.parametrize("ratio", [1.0, 5.0, 100.0, 400.0])
def test_a_ratio_of_bins(ratio):
    counts = COUNTS * 10
    kept = stress.skewed(counts, ratio)
    some = counts > 0
    assert ((kept > 0) == some).all()
    assert (kept <= counts).all()
    found = kept.max() / kept[some].min()
    assert found == pytest.approx(ratio, rel=0.25)
    # The order of bins stays.
    assert (np.diff(kept[np.argsort(counts, kind="stable")]) >= 0).all()


def test_measures():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 50, 12)
    found = stress.imbalance(counts)
    apart = np.abs(counts[:, None] - counts[None]).mean()
    assert found["gini"] == pytest.approx(apart / (2 * counts.mean()))
    p = counts[counts > 0] / counts.sum()
    assert found["entropy"] == pytest.approx(-(p * np.log(p)).sum() / np.log(12))
    assert found["ratio"] == counts.max() / counts[counts > 0].min()
    assert stress.imbalance([7, 7]) == {"ratio": 1.0, "gini": 0.0, "entropy": 1.0}


def labelled(tmp_path, part=None, **fields):
    y = np.repeat(np.arange(10.0), COUNTS * 4)
    rows = row_checks.Rows(np.arange(len(y)), tmp_path / "x.csv", "error", first=2)
    rules = label_rules.Rules("y", bin_width=1.0, **fields)
    return labelling.label_rows(y, rows, rules, part=part)


def test_only_training_loses_rows(tmp_path):
    whole = labelled(tmp_path)
    for fields in (
        {"unseen": "interpolation"},
        {"imbalance": 3.0},
        {"unseen": "blind_spot", "imbalance": 8.0},
    ):
        for given in (None, whole.part):
            found = labelled(tmp_path, given, **fields)
            for part in (1, 2):
                np.testing.assert_array_equal(found.part == part, whole.part == part)
            assert not ((found.part == 0) & (whole.part != 0)).any()
            counts = found.spec.counts[found.spec.counts > 0]
            if "imbalance" in fields:
                ratio = counts.max() / counts.min()
                assert ratio == pytest.approx(fields["imbalance"], rel=0.35)
            if "unseen" in fields:
                assert len(counts) < np.sum(whole.spec.counts > 0)
            assert any("training rows" in note for note in found.rows.notes)
            np.testing.assert_array_equal(found.spec.bins.edges, whole.spec.bins.edges)


@pytest.mark.parametrize(
    "fields",
    [
        {"bin_width": 0.1, "bin_dtype": "float32"},
        {"bin_width": 0.1},
        {"label_scale": "quantile", "bin_width": 0.3},
        {"label_scale": "yeo_johnson"},
    ],
    ids=["float32", "float64", "quantile", "yeo_johnson"],
)
def test_its_bins_are_those_of_the_run(tmp_path, fields):
    """Labels at edges of bins, and scales that are fitted to training labels."""
    rng = np.random.default_rng(0)
    # As float32 holds them: 0.7 is a little below the edge 0.7 of float64.
    y = np.float64(np.float32(np.round(rng.gamma(3, 0.4, 900), 1)))
    rows = row_checks.Rows(np.arange(len(y)), tmp_path / "x.csv", "error", first=2)
    part = np.int8(rng.permutation(900) % 3)

    def spec(**more):
        rules = label_rules.Rules("y", **fields, **more)
        return labelling.label_rows(y, rows, rules, part=part.copy()).spec

    whole = spec()
    for share, kind in ((0.2, "extrapolation"), (0.3, "blind_spot")):
        found = spec(unseen=kind, unseen_share=share)
        np.testing.assert_array_equal(found.bins.edges, whole.bins.edges)
        gone = stress.unseen(whole.counts, kind, share)
        np.testing.assert_array_equal(found.counts, np.where(gone, 0, whole.counts))
    kept = stress.skewed(whole.counts, 2.0)
    np.testing.assert_array_equal(spec(imbalance=2.0).counts, kept)


def test_what_was_reached_is_said(tmp_path):
    found = labelled(tmp_path, imbalance=3.0)
    counts = found.spec.counts[found.spec.counts > 0]
    said = f"the fullest has {counts.max() / counts.min():.3g} times as many as"
    assert any(said in note for note in found.rows.notes)


def test_what_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match=r"at most \d+, the training rows of"):
        labelled(tmp_path, imbalance=1000.0)
    with pytest.raises(errors.InputError, match=r"^data\.imbalance must be at least 1"):
        labelled(tmp_path, imbalance=0.5)
    with pytest.raises(errors.InputError, match="unseen_share must be above 0"):
        labelled(tmp_path, unseen="blind_spot", unseen_share=1.5)
    with pytest.raises(ValueError, match="at least 3 bins"):
        stress.unseen([4, 4], "blind_spot", 0.5)
    with pytest.raises(ValueError, match="all bins have 4"):
        stress.skewed([4, 4], 2.0)
