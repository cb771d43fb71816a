import numpy as np
import pytest

from dirjax.choosing import verdict
from dirjax.report import spreads

RNG = np.random.default_rng(0)
SHOT = np.repeat([0, 1, 2], [300, 100, 40])
LABEL = RNG.normal(size=SHOT.size)
ROWS = verdict.Rows(LABEL, SHOT)


class Known:
    """A model whose errors are given, one array for each seed."""

    decode = "mean"

    def __init__(self, method, errors):
        self.method, self.errors, self.seeds = method, errors, range(len(errors))

    def predictions(self, split, seed, tau, decode):
        assert split in ("val", "test")
        assert decode == "mean"
        return LABEL + self.errors[seed]


def candidate(errors, method="mine", tau=0.5):
    return verdict.Candidate(Known(method, errors), tau, "mean")


def errors(level, seeds):
    rng = np.random.default_rng(seeds + int(100 * level))
    return [level * np.abs(rng.normal(size=SHOT.size)) for _ in range(seeds)]


def test_weights_of_rows_give_the_wanted_error():
    gap = np.abs(RNG.normal(size=SHOT.size))
    weight = ROWS.weight({"few": 0.75, "all": 0.25})
    want = 0.75 * gap[SHOT == 2].mean() + 0.25 * gap.mean()
    assert weight @ gap == pytest.approx(want)


def test_the_difference_is_that_of_the_means():
    one, base = candidate(errors(1.0, 3)), candidate(errors(2.0, 3), "vanilla", 0.0)
    gap = verdict.difference(one, base, ROWS, "val", {"few": 1.0})
    want = np.mean(
        [
            (a - b)[SHOT == 2].mean()
            for a, b in zip(one.model.errors, base.model.errors, strict=True)
        ]
    )
    assert gap.mean == pytest.approx(want)
    assert gap.size == 3
    assert gap.sign == -1


def test_more_comparisons_make_wider_intervals():
    one, base = candidate(errors(1.0, 3)), candidate(errors(1.1, 3))
    single = verdict.difference(one, base, ROWS, "val", {"all": 1.0}).half()
    many = verdict.difference(one, base, ROWS, "val", {"all": 1.0}, tests=20).half()
    assert many > 1.2 * single


def test_only_common_seeds_count():
    one, base = candidate(errors(1.0, 1)), candidate(errors(1.0, 3))
    assert verdict.difference(one, base, ROWS, "val", {"all": 1.0}).size == 1


def test_redrawn_rows_have_the_variance_of_the_mean():
    values = RNG.normal(size=(200, 1)) / 200
    drawn = verdict.redrawn(values, np.zeros(200, int))
    want = 200 * values.var(ddof=1)
    assert drawn.var(ddof=1) == pytest.approx(want, rel=0.15)
    assert drawn.mean() == pytest.approx(values.sum(), abs=3 * np.sqrt(want / 1000))


def test_a_shot_of_one_row_is_not_redrawn():
    values = np.array([[1.0], [2.0], [3.0]])
    drawn = verdict.redrawn(values, np.array([0, 0, 2]))
    assert set(drawn[:, 0] - 3.0) <= {2.0, 4.0}


def test_sentences():
    one, base = candidate(errors(1.0, 3)), candidate(errors(2.0, 3), "vanilla", 0.0)
    said = verdict.compared(one, base, ROWS, "test", ["few", "all"])
    few, every = said.split(", all ")
    assert few.startswith("few ")
    assert " against " in every
    low, high = every[every.index("[") + 1 : -1].split(", ")
    assert float(low) < float(high) < 0
    gap = verdict.difference(one, base, ROWS, "val", {"few": 1.0})
    assert "needs about" in verdict.nothing(one, gap)
    worse = verdict.difference(base, one, ROWS, "val", {"few": 1.0})
    assert verdict.nothing(base, worse) == (
        "nothing is better than vanilla on the validation split."
    )


@pytest.mark.parametrize(("level", "said"), [(0.5, "better than"), (3.0, "worse than")])
def test_outside(level, said):
    one = candidate(errors(level, 3), "boosting", 0.0)
    winner = candidate(errors(1.0, 3), "histogram")
    gap = verdict.difference(one, winner, ROWS, "val", {"few": 1.0})
    sentence = verdict.outside(one, winner, gap)
    assert sentence.startswith(f"boosting is {said} histogram, tau=0.5 on validation: ")
    assert ("PriorCorrectedRegressor" in sentence) == (level < 1)


@pytest.mark.parametrize("best", [False, True])
def test_what_is_taken(best):
    """The first that is better beyond noise; otherwise as asked, if any is better."""
    base = candidate(errors(2.0, 3), "vanilla", 0.0)

    def spread(mean, std):
        return spreads.Spread(mean, std, 5)

    noise, much = candidate(errors(1.9, 3), "noise"), candidate(errors(1.0, 3), "much")
    both = [(noise, spread(-5.0, 9.0)), (much, spread(-4.0, 0.1))]
    assert verdict.winner(both, base, best=best) == (much, [])
    taken, said = verdict.winner(both[:1], base, best=best)
    assert taken is (noise if best else base)
    assert said[0].startswith("nothing is better than vanilla beyond noise")
    assert f"--undecided {'vanilla' if best else 'best'}" in said[1]
    worse, said = verdict.winner([(noise, spread(0.1, 9.0))], base, best=best)
    assert worse is base
    assert said == ["nothing is better than vanilla on the validation split."]
