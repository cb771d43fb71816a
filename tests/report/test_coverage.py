"""Coverage of intervals along the label."""

import numpy as np
import pytest
import scipy.stats

from dirjax.report.figures import coverage
from dirjax.report.runs import Run, TrainBins

RNG = np.random.default_rng(0)
LABEL = RNG.gamma(2, 20, 300)
INSIDE = RNG.uniform(size=300) < 0.9


def test_shares_and_their_intervals():
    ends = (float(LABEL.min()), float(LABEL.max()))
    middle, share, below, above = coverage.shares(LABEL, INSIDE, ends, 6)
    edges = np.linspace(*ends, 7)
    count = np.histogram(LABEL, edges)[0]
    some = np.flatnonzero(count)
    np.testing.assert_allclose(middle, ((edges[1:] + edges[:-1]) / 2)[some])
    for k, bin_ in enumerate(some):
        here = (edges[bin_] <= LABEL) & (edges[bin_ + 1] >= LABEL)
        found = scipy.stats.binomtest(int(INSIDE[here].sum()), int(here.sum()))
        assert share[k] == pytest.approx(found.statistic)
        want = found.proportion_ci(method="wilson")
        assert share[k] - below[k] == pytest.approx(want.low, abs=1e-6)
        assert share[k] + above[k] == pytest.approx(want.high, abs=1e-6)


def run(predictions, bins=True):
    edges = np.linspace(0, 200, 5)
    made = TrainBins(
        "size", "m", edges, np.array([50, 90, 20, 4]), np.array([1, 1, 1, 2])
    )
    return Run(None, {}, None, (), made if bins else None, predictions, {}, ())


def test_the_figure_says_the_share_of_each_shot():
    low, high = np.where(INSIDE, LABEL - 1, LABEL + 1), LABEL + 2
    stored = {"label": LABEL, "prediction": LABEL, "low": low, "high": high}
    (drawn,) = coverage.figures(run(stored))
    few = INSIDE[LABEL >= 150].mean()
    assert f"{INSIDE.mean():.0%} over all" in drawn.alt
    assert f"few {few:.0%}" in drawn.alt
    assert "many" not in drawn.alt
    equal = {name: values[:1] for name, values in stored.items()}
    assert len(list(coverage.figures(run(equal)))) == 1


@pytest.mark.parametrize("missing", ["low", "label"])
def test_no_figure_without_intervals(missing):
    stored = {n: LABEL for n in ("label", "prediction", "low", "high") if n != missing}
    assert not list(coverage.figures(run(stored)))
    assert not list(coverage.figures(run({**stored, missing: LABEL}, bins=False)))
