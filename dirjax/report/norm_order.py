"""Feature norms and errors by label, and how well norms follow the label order.

Reads `features.npz` and `features_train.npz` of a run of any method (see
`dirjax.evaluate`). Training and test data are measured separately; runs of the
Frobenius method also have the norm line and the targets.

"Enhancing Deep Imbalanced Regression via Frobenius Norm Regularization", anonymous
authors, ICLR 2026 submission. https://openreview.net/forum?id=6XpSwo3ZCe

Deviations: the norms are those the run was trained on, otherwise norms of prototypes
(mean features). A prototype of few examples tends to be longer than one of many,
especially on test data. The order is measured by Spearman's correlation of norms and
labels over bins, which the source does not report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dirjax.labels import SHOTS
from dirjax.ops.ranks import spearman
from dirjax.report.runs import COLUMNS, Run

# Name of a line -> its values by bin.
Lines = Mapping[str, np.ndarray]
# `reading` of a norm term -> array of the file.
_READINGS = {"prototype": "norm_prototype", "mean_of_norms": "norm"}
_TERMS = ("norm_target", "norm_order")


def which(run: Run) -> str:
    """Name of the array that holds the norms used by the run's method."""
    parts = (*(run.config.get("stage") or {}).values(), run.config)
    objectives = [(p.get("objective") or {}).get("terms") or {} for p in parts]
    readings = (o[t].get("reading") for t in _TERMS for o in objectives if t in o)
    return _READINGS[next(readings, "prototype")]


def _splits(run: Run) -> dict[str, Mapping[str, np.ndarray]]:
    """Stored features with norms, by line: "training", and "test" or "val"."""
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
      Arrays `[bins]`, NaN where undefined: norms of "training" and "test" (or "val")
      data; for runs with targets also "before fine-tuning" and "target", in bins with
      training examples, and "line". Empty without files.
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
    """Mean absolute error `[bins]` by label for "training" and "test" (or "val")."""
    return {name: f["error"] for name, f in _splits(run).items()}


def order(run: Run) -> dict[str, dict[str, float | None]]:
    """Spearman's correlation of feature norm and label over bins.

    Returns:
      "training" and "test" (or "val") -> column of `COLUMNS` -> correlation over the
      bins of that shot group, or None for fewer than two bins.
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
      (method, split) -> for each of `COLUMNS`, one value per run that stored norms.
    """
    found: dict[tuple[str, str], list[list[float | None]]] = {}
    for method, runs in groups.items():
        for run in runs:
            for split, by_shot in order(run).items():
                columns = found.setdefault((method, split), [[] for _ in COLUMNS])
                for column, shot in zip(columns, COLUMNS, strict=True):
                    column.append(by_shot[shot])
    return found
