"""The figure of frontiers: which curves it shows, and what it says of the others."""

import types

import pytest

from dirjax.report.figures import frontier, style

TAUS = (0.0, 0.5, 1.0)


def run(rare, *, shots=("many", "median", "few"), target="uniform", split="val"):
    """A run whose error on rare labels falls with tau, from `rare` at 0."""

    def errors(tau):
        of_shot = {"all": 3.0, "many": 1.0 + tau, "median": 2.0, "few": rare - tau}
        return {s: v if s in (*shots, "all") else None for s, v in of_shot.items()}

    points = [
        {"tau": tau, "decode": "mean", split: {"mae": errors(tau)}} for tau in TAUS
    ]
    record = {
        "prior": {"target": "train", "tau": 0.0, "decode": "mean"},
        "frontier": {"target": target, "points": points},
    }
    return types.SimpleNamespace(result=record, split=split, bins=None)


def drawn(**by_method):
    found = list(frontier.figures({m: [r] for m, r in by_method.items()}))
    return found[0] if found else None


def test_what_is_not_drawn_is_said():
    many = {f"m{k}": run(9.0 - 0.1 * k) for k in range(len(style.SERIES) + 2)}
    figure = drawn(**many, other=run(5.0, target="labels.csv"))
    assert "With larger errors, not drawn: m1, m0." in figure.caption
    assert "Without a curve for balanced labels: other." in figure.caption
    assert "m2 from 1 and 8.8" in figure.alt
    assert "m0" not in figure.alt


def test_axes_are_of_the_split_and_of_shots_with_rows():
    (ax,) = drawn(a=run(9.0)).figure.axes
    assert ax.get_xlabel().startswith("val MAE, many-shot labels")
    (ax,) = drawn(a=run(9.0, shots=("median", "few"), split="test")).figure.axes
    assert ax.get_xlabel().startswith("test MAE, median-shot labels")
    assert ax.get_ylabel().startswith("test MAE, few-shot labels")


@pytest.mark.parametrize("shots", [("many", "median"), ("few",)])
def test_no_curve_without_common_and_rare_labels(shots):
    assert drawn(a=run(9.0, shots=shots)) is None
