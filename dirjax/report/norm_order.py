"""Feature norms and errors by label, and how far norms rise with the label.

Read from `features.npz` and `features_train.npz` of a run of any method (see
`dirjax.evaluate`): training and test data are measured separately, and runs of the
Frobenius method have the norm line and the targets besides.

"Enhancing Deep Imbalanced Regression via Frobenius Norm Regularization", anonymous
authors, ICLR 2026 submission. https://openreview.net/forum?id=6XpSwo3ZCe

Deviations: norms are those that the run was trained on, else of prototypes (mean
features). A prototype of few examples is longer than that of many, in test data above
all. Order is Spearman's correlation of norms and labels, bin by bin, a number that no
source has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dirjax.labels import SHOTS
from dirjax.ops.ranks import spearman
from dirjax.report.runs import COLUMNS, Run

# Name of a line -> its values by bin.
Lines = Mapping[str, np.ndarray]
# Of a config's term -> array of the file.
_READINGS = {"prototype": "norm_prototype", "mean_of_norms": "norm"}
_TERMS = ("norm_target", "norm_order")


def which(run: Run) -> str:
    """The array of the file with the norms that the run's method is about."""
    parts = (*(run.config.get("stage") or {}).values(), run.config)
    objectives = [(p.get("objective") or {}).get("terms") or {} for p in parts]
    readings = (o[t].get("reading") for t in _TERMS for o in objectives if t in o)
    return _READINGS[next(readings, "prototype")]


def _splits(run: Run) -> dict[str, Mapping[str, np.ndarray]]:
    """Features with norms, by name of the line: "training", and "test" or "val"."""
    stored = (run.train_features, run.features)
    names = {"train": "training"}
    return {
        names.get(str(f["split"]), str(f["split"])): f
        for f in stored
        if "norm_prototype" in f
    }


def norms(run: Run) -> Lines:
    """Norms by label.

    Returns:
      `[bins]` each, NaN where there is none: of "training" and "test" data (or "val"),
      and of runs with targets "before fine-tuning", the "line" and the "target", where
      there are training examples. Empty without files.
    """
    splits = _splits(run)
    found = {name: f[which(run)] for name, f in splits.items()}
    first = next((f for f in splits.values() if "norm_target" in f), None)
    if first is not None and run.bins is not None:
        some = np.where(run.bins.count > 0, 1.0, np.nan)
        found["before fine-tuning"] = first["norm_measured"] * some
        found["line"] = first["norm_line"]
        found["target"] = first["norm_target"] * some
    return found


def errors(run: Run) -> Lines:
    """Mean absolute error by label, `[bins]`, of "training" and "test" (or "val")."""
    return {name: f["error"] for name, f in _splits(run).items()}


def order(run: Run) -> dict[str, dict[str, float | None]]:
    """How far norms rise with the label: Spearman's correlation over label bins.

    Returns:
      "training" and "test" (or "val") -> all bins and those of each shot group; None
      for fewer than two bins.
    """
    bins, found = run.bins, {}
    if bins is None:
        return {}
    for name, stored in _splits(run).items():
        norm = stored[which(run)]
        real = np.isfinite(norm)
        groups = {s: real & (bins.shot == k) for k, s in enumerate(SHOTS)}
        found[name] = {
            shot: spearman(norm[here], np.flatnonzero(here))
            for shot, here in {"all": real, **groups}.items()
        }
    return found


def orders(
    groups: Mapping[str, Sequence[Run]],
) -> dict[tuple[str, str], list[list[float | None]]]:
    """The rank correlations of `order` over several runs.

    Args:
      groups: method -> its runs.

    Returns:
      (method, split) -> for each of `COLUMNS` a value for each run that has one.
    """
    found: dict[tuple[str, str], list[list[float | None]]] = {}
    for method, runs in groups.items():
        for run in runs:
            for split, by_shot in order(run).items():
                columns = found.setdefault((method, split), [[] for _ in COLUMNS])
                for column, shot in zip(columns, COLUMNS, strict=True):
                    column.append(by_shot[shot])
    return found
