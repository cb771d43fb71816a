"""Describes the columns of a table: types, missing values, row numbers, leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data import sources
from dirjax.data.describe import checks
from dirjax.data.describe.words import count, listed, wrap
from dirjax.ops.ranks import ranks

# Rank correlation, or explained variance of the ranks, that is too good to be true.
LEAK = 0.999


LEAK_ROWS = 20_000  # training rows to examine


# With fewer rows, results are not meaningful.
LEAST_ROWS = 20


def row_numbers(source: sources.Source) -> list[str]:
    """Integer columns without missing values that increase with every row."""
    table = source.record["table"]
    parts = source.splits.values()
    order = np.argsort(np.concatenate([s.index for s in parts]))
    if len(order) < LEAST_ROWS:
        return []
    found = []
    numeric = np.concatenate([s.inputs["numeric"] for s in parts])[order]
    for j, (name, center, scale) in enumerate(
        zip(table["numeric"], table["center"], table["scale"], strict=True)
    ):
        z = numeric[:, j].astype(np.float64)
        if name in table["indicators"] or not np.all(np.diff(z) > 0):
            continue
        clip = table["clip"]
        x = (z / np.sqrt(1 - (z / clip) ** 2) if clip else z) * scale + center
        # The model sees float32.
        if np.abs(x - np.round(x)).max() < min(0.25, 1e-3 + 1e-6 * scale):
            found.append(name)
    return found


def leaks(source: sources.Source) -> dict[str, float]:
    """Columns that alone rank the training labels (almost) perfectly, with scores."""
    table, train = source.record["table"], source.splits["train"]
    if len(train.value) < LEAST_ROWS:
        return {}
    kept = slice(None, None, max(1, len(train.value) // LEAK_ROWS))
    value = train.value[kept]
    numeric, codes = (train.inputs[k][kept] for k in ("numeric", "categorical"))
    found = {}
    for j, name in enumerate(table["numeric"]):
        there = np.ones(len(value), bool)
        if name in table["indicators"]:
            k = len(table["numeric"]) + table["indicators"].index(name)
            there = numeric[:, k] == 0
        if there.sum() >= LEAST_ROWS:
            column, label = numeric[there, j], value[there]
            score = checks.correlation(ranks(column), ranks(label))
            found[name] = abs(score)
    for j, name in enumerate(table["categorical"]):
        score = checks.explained(codes[:, j], ranks(value))
        found[name] = max(score, found.get(name, 0.0))
    return {name: round(score, 6) for name, score in found.items() if score > LEAK}


def describe_inputs(
    source: sources.Source, dropped: Sequence[str] = ()
) -> dict[str, Any]:
    """Columns by type, and suspicious ones.

    Args:
      source: a table.
      dropped: names of the columns that the user left out.

    Returns:
      The entry "inputs" of a description, see `facts`.
    """
    record = source.record
    table = record["table"]
    missing = dict.fromkeys(table["indicators"], 0)
    for split in source.splits.values():
        gaps = split.inputs["numeric"][:, len(table["numeric"]) :].sum(axis=0)
        for name, gap in zip(table["indicators"], gaps, strict=True):
            missing[name] += int(gap)
        codes = split.inputs["categorical"].T
        for name, known, code in zip(
            table["categorical"], table["values"], codes, strict=True
        ):
            if "" in known and name not in table["indicators"]:
                here = np.sum(code == 1 + known.index(""))
                missing[name] = missing.get(name, 0) + int(here)
    return {
        "kind": "table",
        "numeric": list(table["numeric"]),
        "categorical": {
            name: len(known) - ("" in known)
            for name, known in zip(table["categorical"], table["values"], strict=True)
        },
        "missing": missing,
        "dropped": list(dropped),
        "row_numbers": row_numbers(source),
        "leaks": leaks(source),
    }


def inputs_text(inputs: Mapping[str, Any], rows: int) -> list[str]:
    """The same as lines of text.

    Args:
      inputs: from `describe_inputs`.
      rows: number of rows of the table.
    """
    lines = ["Inputs:"]
    if inputs["numeric"]:
        said = count(len(inputs["numeric"]), "numeric column")
        lines.append(wrap(f"{said}: {listed(inputs['numeric'])}", "  ", "    "))
    if inputs["categorical"]:
        said = count(len(inputs["categorical"]), "categorical column")
        names = [f"{c} ({n})" for c, n in inputs["categorical"].items()]
        lines.append(
            wrap(f"{said} (with number of values): {listed(names)}", "  ", "    ")
        )
    if inputs["dropped"]:
        said = listed(inputs["dropped"])
        lines.append(wrap(f"left out by data.drop: {said}", "  ", "    "))
    gaps = [
        f"{name} {n:,} ({100 * n / rows:.2g} %)"
        for name, n in inputs["missing"].items()
    ]
    lines.append(wrap(f"missing values: {listed(gaps) or 'none'}", "  ", "    "))
    return lines
