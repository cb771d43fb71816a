"""Mean ranks over data sets, against scipy's Friedman test and published quantiles."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from dirjax import report
from dirjax.report import ranking
from tests.report import made


@pytest.mark.parametrize(
    ("methods", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)]
)
def test_critical_difference(methods, q):
    """Quantiles of Demsar's table 5a."""
    want = q * np.sqrt(methods * (methods + 1) / (6 * 14))
    assert ranking.critical_difference(methods, 14) == pytest.approx(want, rel=1e-3)


def test_friedman():
    """It is scipy's chi-square statistic in the form of Iman and Davenport."""
    errors = np.random.default_rng(0).normal(size=(6, 4)) + np.arange(4)
    mean, p_value = ranking.mean_ranks(errors)
    by_hand = [np.mean([(row <= row[k]).sum() for row in errors]) for k in range(4)]
    np.testing.assert_allclose(mean, by_hand)
    chi = stats.friedmanchisquare(*errors.T).statistic
    f = 5 * chi / (6 * 3 - chi)
    assert p_value == pytest.approx(stats.f.sf(f, 3, 15))


def test_ties_and_agreement():
    assert ranking.mean_ranks(np.ones((3, 4)))[1] == 1.0
    mean, p_value = ranking.mean_ranks(np.tile([3.0, 1.0, 2.0], (3, 1)))
    assert (mean.tolist(), p_value) == ([3.0, 1.0, 2.0], 1 / 36)
    # With a tie there are three orders, not six.
    assert ranking.mean_ranks(np.tile([1.0, 1.0, 2.0], (3, 1)))[1] == 1 / 9


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three methods on three data sets, a fourth on one of them."""
    folder = tmp_path_factory.mktemp("ranks")
    shrinks = {"vanilla": 0.3, "lds": 0.2, "ssir": 0.1}
    runs = []
    for dataset in ("a", "b", "c"):
        extra = {"fds": 0.4} if dataset == "b" else {}
        for method, shrink in (shrinks | extra).items():
            at = folder / dataset / method
            runs.append(made.small(at, method=method, shrink=shrink, dataset=dataset))
    return runs


def test_of_runs(study):
    found = ranking.of_tables(report.table([report.read_run(run) for run in study]))
    assert list(found.mean.items()) == [("ssir", 1.0), ("lds", 2.0), ("vanilla", 3.0)]
    assert found.datasets == ("a", "b", "c")
    assert found.left_out == ("fds",)
    # Three data sets that agree do not bear out two ranks: q is 2.34, the root 0.82.
    assert found.critical == pytest.approx(1.91, abs=0.01)


def test_too_few(study):
    runs = [report.read_run(run) for run in study]
    two = [run for run in runs if run.dataset != "c"]
    assert ranking.of_tables(report.table(two)) is None
    assert ranking.of_tables(report.table(runs[:1])) is None


def test_targets_of_one_table_do_not_count(study):
    runs = [report.read_run(run) for run in study]
    of_a = [
        dataclasses.replace(run, result={**run.result, "target": "price"})
        if run.dataset == "a"
        else run
        for run in runs
    ]
    assert ranking.of_tables(report.table(runs)) is not None
    assert ranking.of_tables(report.table(of_a)) is None  # two data sets are left


@pytest.mark.slow
def test_page(study, tmp_path):
    path = report.write_report(study, tmp_path)
    assert (tmp_path / "ranks.png").exists()
    text = path.read_text()
    assert "Over data sets" in text
    assert "left out: fds" in text
