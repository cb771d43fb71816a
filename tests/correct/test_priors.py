import numpy as np
import pytest

from dirjax.correct import priors


def test_smoothing_is_the_mirrored_window():
    counts = np.array([8.0, 0.0, 4.0, 1.0])
    window = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9
    mirrored = np.array([0.0, 8.0, 8.0, 0.0, 4.0, 1.0, 1.0, 4.0])
    want = np.array([window @ mirrored[k : k + 5] for k in range(4)])
    found = priors.training(counts)
    np.testing.assert_allclose(found, want / want.sum())


def test_an_empty_bin_holds_the_floor():
    found = priors.training([100, 0, 0, 0, 0, 0], taps=1, floor=0.25)
    np.testing.assert_allclose(found, np.array([100.0] + [0.25] * 5) / 101.25)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"counts": [0, 0]}, "counts must be .* one above 0"),
        ({"counts": [1, -1]}, "counts must be .* from 0"),
        ({"counts": [[1]]}, "counts must be"),
        ({"counts": [1, 2], "taps": 4}, "size must be odd"),
        ({"counts": [1, 2], "floor": 0.0}, "floor must be above 0"),
    ],
)
def test_wrong_counts(options, said):
    with pytest.raises(ValueError, match=said):
        priors.training(**options)


def test_what_is_wanted():
    train = np.array([0.7, 0.2, 0.1])
    assert priors.wanted("train", train, [1, 1, 1]) is train
    uniform = priors.wanted("uniform", train, [1.0, 1.0, 2.0])
    np.testing.assert_allclose(uniform, [0.25, 0.25, 0.5])
    given = priors.wanted([0, 1, 3], train, [1, 1, 1])
    np.testing.assert_allclose(given, [0, 0.25, 0.75])
    ratio = priors.log_ratio(given, train)
    assert np.isfinite(ratio).all()
    assert ratio[0] < -60


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("balanced", "the target of a prior must be one of train, uniform"),
        ([1, 2], "must be 3 numbers from 0, one for each label bin"),
        ([0, 0, 0], "one above 0"),
        ([1, np.nan, 1], "must be 3 numbers"),
    ],
)
def test_wrong_targets(target, said):
    with pytest.raises(ValueError, match=said):
        priors.wanted(target, np.full(3, 1 / 3), [1, 1, 1])
