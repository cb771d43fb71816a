"""Models that are compared: runs, their mean, and boosting."""

import functools

import numpy as np
import pytest

from dirjax import train
from dirjax.choosing import models
from dirjax.evals import corrected
from dirjax.labels import weights
from dirjax.training.assemble import assemble
from dirjax.training.build import build
from dirjax.workdir import run_files
from tests import runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tmp(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@functools.cache
def trained(tmp, method, seed):
    folder = tmp / method / str(seed)
    runs.run(runs.tiny(f"{method},smoke", seed=seed), folder)
    return folder


def of_method(tmp, method, seeds=(0, 1, 2)):
    return models.Runs(method, {seed: trained(tmp, method, seed) for seed in seeds})


@pytest.mark.parametrize("method", ["vanilla", "histogram"])
def test_together_is_the_assembled_run(tmp, method):
    """The mean of runs is what a run with members predicts, corrected or not."""
    together = models.Together(of_method(tmp, method))
    assert together.method == f"{method}, 3 members"
    fields = {"target": "uniform", "tau": 0.5, "decode": "mean"}
    folder = tmp / f"{method}-together"
    config = assemble([trained(tmp, method, s) for s in range(3)], folder, fields)
    result = train.train_and_evaluate(config, folder, show="nothing")
    assert result["members"]["seeds"] == [0, 1, 2]
    best = [runs.result(trained(tmp, method, s))["best_step"] for s in range(3)]
    assert result["members"]["best_steps"] == best
    for m in range(3):
        alone = runs.result(trained(tmp, method, m))["test"]["mae"]["all"]
        got = result["members"]["test"][m]["mae"]["all"]
        assert got == pytest.approx(alone, rel=1e-5)
    stored = run_files.read_predictions(folder, "test")
    got = together.predictions("test", 0, 0.5, "mean")
    np.testing.assert_allclose(got, stored["prediction"], rtol=1e-3)
    own = together.predictions("test", 0, 0.0, together.decode)
    np.testing.assert_allclose(own, stored["as_trained"], rtol=1e-4)
    points = together.points(1)
    assert {p["tau"] for p in points} >= {0.0, 0.5, 1.0}


def test_seeds_of_members_follow_each_other(tmp):
    with pytest.raises(ValueError, match="consecutive seeds, got 0, 2"):
        assemble([trained(tmp, "vanilla", s) for s in (0, 2)], tmp / "no", {})
    assert not (tmp / "no").exists()


def test_runs_keep_their_frontier(tmp):
    one = of_method(tmp, "vanilla", (0,))
    (own,) = (p for p in one.points(0) if p["tau"] == 0.5 and p["decode"] == one.decode)
    found = one.predictions("val", 0, 0.5, one.decode)
    want = np.abs(found - one.rows("val", 0).value).mean()
    assert own["val"]["mae"]["all"] == pytest.approx(want, rel=1e-5)


def test_boosting(tmp, monkeypatch):
    pytest.importorskip("sklearn")
    run = trained(tmp, "vanilla", 0)
    pieces = build(runs.tiny("vanilla,smoke"))
    assert models.has_boosting(pieces.source.record)
    assert not models.has_boosting({"kind": "images"})
    boosting = models.Boosting(tmp / "boosting", (0, 1), run)
    boosting.train(pieces.source.splits, pieces.source.scale)
    rows = corrected.rows_of(run, "test")
    error = np.abs(boosting.rows("test", 0).prediction - rows.value).mean()
    middle = np.median(pieces.source.splits["train"].value)
    assert error < np.abs(middle - rows.value).mean()
    assert boosting.points(1)[0].keys() >= {"tau", "decode", "val"}
    # What is there is not trained again.
    monkeypatch.setattr(models, "_boosted", None)
    boosting.train(pieces.source.splits, pieces.source.scale)


def test_boosting_has_the_weights_of_its_run(tmp, monkeypatch):
    """Of a row: the sum over the rows of its bin, divided by their number."""
    run = trained(tmp, "inv", 0)
    spec = corrected.spec_of(run)
    pieces = build(runs.tiny("inv,smoke"))
    seen = []

    def boosted(splits, scale, seed, weights):
        seen.append(weights)
        return {"val": np.zeros(1)}

    monkeypatch.setattr(models, "_boosted", boosted)
    boosting = models.Boosting(tmp / "weighted", (0,), run)
    assert boosting.method == "gradient boosting (inv)"
    boosting.train(pieces.source.splits, pieces.source.scale)
    held = spec.counts > 0
    want = weights.bin_weights(spec.counts, "inverse", clip=(5.0, 1000.0))
    np.testing.assert_allclose(seen[0][held], want[held], rtol=1e-5)
