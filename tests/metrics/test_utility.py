"""Precision and recall under relevance, against a public package and by hand."""

import numpy as np
import pytest

from dirjax.metrics import relevance_scores
from tests.objectives import golden


@pytest.mark.parametrize("case", golden.cases("resreg_relevance_scores")[5:])
def test_golden(case):
    options = {
        "of_predictions": case["in.relevance_pred"],
        "of_labels": case["in.relevance_true"],
        "error": float(case["p.error_threshold"]),
        "threshold": float(case["p.relevance_threshold"]),
        "k": float(case["p.k"]),
    }
    for beta, name in ((1.0, "f1"), (float(case["p.beta"]), "fbeta")):
        found = relevance_scores(
            case["in.y_pred"], case["in.y_true"], **options, beta=beta
        )
        assert found["f"] == pytest.approx(float(case[f"out.{name}"]), rel=1e-9)
        for key in ("accuracy", "precision", "recall"):
            assert found[key] == pytest.approx(float(case[f"out.{key}"]), rel=1e-9)


def test_what_does_not_count():
    phi = np.array([0.9, 0.6, 0.2])
    options = {"of_predictions": phi, "of_labels": phi[::-1], "error": 2.0, "k": 1.0}
    y, p = np.array([1.0, 5.0, 9.0]), np.array([2.0, 5.0, 20.0])
    found = relevance_scores(p, y, threshold=0.5, **options)
    # Errors 1, 0 and 11: utilities 1 - exp(-1/4), 1 - exp(-1) and 0.
    one, two = 1 - np.exp(-0.25), 1 - np.exp(-1)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["precision"] == pytest.approx((0.9 * one + 0.6 * two) / 1.5)
    assert found["recall"] == pytest.approx(0.6 * two / 1.5)
    found = relevance_scores(p, y, threshold=1.0, **options)
    assert found == {"accuracy": 2 / 3, "precision": None, "recall": None, "f": None}
    found = relevance_scores(p + 99, y, **options)
    assert found == {"accuracy": 0, "precision": 0, "recall": 0, "f": 0}
    assert set(relevance_scores(p * np.nan, y, **options).values()) == {None}


def test_what_is_refused():
    one = np.ones(3)
    options = {"of_predictions": one, "of_labels": one, "error": 1.0}
    with pytest.raises(ValueError, match=r"predictions .*\(3, 1\)"):
        relevance_scores(one[:, None], one, **options)
    with pytest.raises(ValueError, match=r"of_labels with shape \(1,\)"):
        relevance_scores(one, one, **{**options, "of_labels": one[:1]})
    with pytest.raises(ValueError, match="error must be a number above 0"):
        relevance_scores(one, one, **{**options, "error": 0.0})
    with pytest.raises(ValueError, match="threshold must be a relevance from 0 to 1"):
        relevance_scores(one, one, **options, threshold=2.0)


def test_relevances_out_of_range_are_refused():
    phi = {"of_labels": [0.0, np.nan], "of_predictions": [0.0, 1.0]}
    with pytest.raises(ValueError, match=r"of_labels must be .* row 1 has nan"):
        relevance_scores([1, 2], [1, 2], error=1.0, **phi)
