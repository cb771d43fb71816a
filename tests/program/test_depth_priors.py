"""A finished dense run for another label distribution: every command says the same."""

import numpy as np
import pytest

from dirjax import errors, evaluate
from dirjax.evals import corrected
from dirjax.evals.predictor import Predictor
from dirjax.training.build import build
from dirjax.workdir import run_files
from tests import runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["vanilla", "histogram"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "run"
    made = runs.tiny_depth(request.param)
    runs.run(made, folder)
    return folder, made


def test_every_pixel_is_corrected(run):
    folder, made = run
    result = runs.result(folder)
    assert result["distribution"] is None
    prior = {"target": "uniform", "tau": 0.5}
    found = evaluate.evaluate(folder, prior=prior)
    decode = found["prior"]["decode"]
    (point,) = (
        p
        for p in result["frontier"]["points"]
        if (p["tau"], p["decode"]) == (0.5, decode)
    )
    for shot, value in point["test"]["mae"].items():
        want = value and pytest.approx(value, rel=1e-5)
        assert found["test"]["mae"][shot] == want
    assert found["test"]["mae"] != result["test"]["mae"]
    # Ratios are those of the corrected maps, too.
    assert found["test"]["abs_rel"] != result["test"]["abs_rel"]

    predictor = Predictor(folder)
    own = predictor(build(made).source.splits["test"].inputs)
    correct = corrected.of_run(folder, predictor, prior=prior)
    test = build(made).source.splits["test"]
    maps = correct(predictor.outputs(test.inputs))["prediction"]
    assert maps.shape == own.shape
    error = np.abs(test.real(maps) - test.real(test.value)).mean()
    assert error == pytest.approx(point["test"]["mae"]["all"], rel=1e-3)


def test_the_floor_is_in_images(run):
    """An empty bin holds half an image, not half a pixel of all."""
    folder, made = run
    source = build(made).source
    images, pixels = len(source.training.index), source.spec.counts.sum()
    assert run_files.read_bins(folder)["images"] == images
    prior = {**made["prior"], "target": "uniform", "taps": 1}
    chosen = corrected.of_rows(folder, corrected.rows_of(folder, "val"), prior)
    train, counts = chosen.model.prior.train, source.spec.counts
    if chosen.model.residuals is None:
        counts = build(made).spec.support.counts
    held = np.maximum(counts, 0.5 * pixels / images)
    np.testing.assert_allclose(train, held / held.sum(), rtol=1e-6)
    assert train.min() == pytest.approx(0.5 / images / (held.sum() / pixels))


def test_a_config_may_ask_for_it(run, tmp_path):
    folder, made = run
    made = {**made, "prior": {**made["prior"], "target": "uniform"}}
    result = runs.run(made, tmp_path / "run")
    assert result["prior"]["target"] == "uniform"
    points = runs.result(folder)["frontier"]["points"]
    own = [p for p in points if p["decode"] == result["prior"]["decode"]]
    best = min(own, key=lambda p: p["val"]["mae"]["all"])
    assert result["prior"]["tau"] == best["tau"]
    want = best["test"]["mae"]["all"]
    assert result["test"]["mae"]["all"] == pytest.approx(want, rel=1e-5)
    stored = run_files.read_predictions(tmp_path / "run", "test")
    error = stored["abs"].sum() / stored["count"].sum()
    assert error == pytest.approx(want, rel=1e-4)


def test_intervals_are_for_rows(run):
    folder, _ = run
    with pytest.raises(errors.InputError, match="--interval is for models that"):
        corrected.of_run(folder, Predictor(folder), prior={}, coverage=0.9)
