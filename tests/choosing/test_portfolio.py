import pytest

from dirjax.choosing import portfolio
from dirjax.errors import InputError


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ("all", {"all": 1.0}),
        ("few", {"few": 1.0}),
        ("balanced", {"many": 1 / 3, "median": 1 / 3, "few": 1 / 3}),
        ("few=2, many=2", {"few": 0.5, "many": 0.5}),
        ("few=1,all=0", {"few": 1.0}),
    ],
)
def test_weights(given, want):
    assert portfolio.weights(given) == pytest.approx(want)


@pytest.mark.parametrize(
    "given",
    ["rare", "few=x", "few=0", "few=-1,all=2", "few=inf", "few=nan", "few=2,few=1", ""],
)
def test_wrong_weights(given):
    with pytest.raises(InputError, match="--for must be all, many, median, few"):
        portfolio.weights(given)


def frontier(*points):
    return [
        {"tau": tau, "decode": decode, "val": {"mae": {"all": every, "few": few}}}
        for tau, decode, every, few in points
    ]


def test_the_best_correction_is_that_of_the_mean_over_seeds():
    one = frontier((0.0, "mean", 4.0, 9.0), (0.5, "mean", 5.0, 5.0))
    two = frontier((0.0, "mean", 4.0, 7.0), (0.5, "mean", 4.5, 8.0))
    assert portfolio.best_point([one, two], {"few": 1.0}, "mean") == (6.5, 0.5, "mean")
    assert portfolio.best_point([one, two], {"all": 1.0}, "mean") == (4.0, 0.0, "mean")
    even = portfolio.best_point([one], {"few": 0.2, "all": 0.8}, "mean")
    assert even == (5.0, 0.0, "mean")


def test_of_equal_ones_the_weakest_and_the_models_own():
    points = [(t, d, 3.0, 3.0) for t in (0.5, 0.0) for d in ("median", "mean")]
    found = portfolio.best_point([frontier(*points)], {"all": 1.0}, "mean")
    assert found[1:] == (0.0, "mean")


def test_a_shot_without_rows():
    with pytest.raises(InputError, match="few-shot labels, and the validation split"):
        portfolio.error({"all": 1.0, "few": None}, {"few": 1.0})


def test_the_base_is_always_kept():
    errors = {"vanilla": 9.0, "a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0}
    assert portfolio.kept(errors, last=False) == ["vanilla", "a", "b"]
    assert portfolio.kept(errors, last=True) == ["vanilla", "a", "b"]
    assert portfolio.kept({"vanilla": 1.0, "a": 2.0}, last=False) == ["vanilla", "a"]
