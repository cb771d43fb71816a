"""The loss curves over made-up runs."""

import numpy as np
import pytest

from dirjax import report
from dirjax.report.figures import curves
from tests.report.made import run as small


def test_loss_by_epoch_with_validation(tmp_path):
    run = small(tmp_path / "run", "sqinv_ssir", small_term="ssir")
    metric = curves.validation_metric(run.log)
    assert metric == "mae"
    figure = curves.loss_curves(run.log, run.best_step, metric)
    top, low = figure.get_axes()
    lines = {line.get_label(): line for line in top.get_lines()}
    assert set(lines) == {
        "training loss",
        "l1 (unweighted)",
        "validation MAE",
        "best step: 1,800",
    }
    held = [e for e in run.log if e["split"] == "val"]
    x, y = lines["validation MAE"].get_data()
    np.testing.assert_allclose(x, [entry["epoch"] for entry in held])
    np.testing.assert_allclose(y, [entry["mae/all"] for entry in held])
    assert lines["best step: 1,800"].get_xdata()[0] == 45.0, "40 steps an epoch"
    small_terms = {line.get_label() for line in low.get_lines()[:2]}
    assert small_terms == {"ranksim (unweighted)", "ssir (unweighted)"}
    assert low.get_yscale() == "log"
    assert low.get_xlabel() == "epoch"


def test_loss_without_small_terms(tmp_path):
    """One term is the loss itself."""
    run = small(tmp_path / "run", "vanilla")
    log = [{k: v for k, v in e.items() if k != "loss/ranksim"} for e in run.log]
    for entry in log:
        if entry["split"] == "train":
            entry["loss"] = entry["loss/l1"]
    (ax,) = curves.loss_curves(log, None, None).get_axes()
    assert [line.get_label() for line in ax.get_lines()] == ["training loss"]
    assert ax.get_title(loc="left") == "Training loss"


@pytest.mark.parametrize(
    ("term", "metric", "has"),
    [("mse", "mse", "mse"), ("focal_r", "mae", "mae"), ("huber", None, "mae")],
)
def test_which_validation_error(term, metric, has):
    log = [
        {"split": "train", "step": 1, f"loss/{term}": 1.0, "loss": 1.0},
        {"split": "val", "step": 1, f"{has}/all": 1.0},
    ]
    assert curves.validation_metric(log) == metric


def test_logarithmic_labels_have_no_common_axis(tmp_path, monkeypatch, quick):
    seen, curve = [], curves.loss_curves
    monkeypatch.setattr(
        curves, "loss_curves", lambda *a: seen.append(a[2]) or curve(*a)
    )
    for scale in ("linear", "log"):
        data = {"name": "bikeshare", "label": "bikers", "label_scale": scale}
        run = small(tmp_path / scale, "lds", data=data)
        report.write_report([run.path], tmp_path / f"out_{scale}")
    assert seen == ["mae", None]
