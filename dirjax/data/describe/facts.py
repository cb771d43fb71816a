"""Describes a data set before training: facts and findings.

Host numpy and no JAX. `describe` returns a plain dictionary, which `python -m
dirjax.describe` prints and writes as `describe.json`:

  name, rows: name of the data set and number of rows in use.
  inputs: of a table {"kind": "table", "numeric": [name], "categorical": {name: number
    of categories}, "missing": {name: rows without a value, in all splits, of columns
    that have gaps in training}, "dropped": [name that data.drop leaves out],
    "row_numbers": [numeric columns that are whole and rise with every row], "leaks":
    {name: how well the column alone ranks the training labels, 0.999 to 1}}; of images
    {"kind": "images", "shape": [height, width, channels]}; of pairs of embeddings
    {"kind": "pairs", "values": of each of the two}; of pairs of sentences {"kind":
    "text", "words": different ones, "with_vector": how many have a vector, "values":
    of a vector, "max_tokens": words of a sentence that are used}.
  label: {"name", "scale": on which it is learnt, "min", "max", "mean",
    "quartiles": [3], "distinct": number of different values, "whole": whether all are
    whole numbers, "far": how many lie beyond three box lengths from the quartiles (of
    the logarithm where that is learnt)}, over all rows.
  bins: {"width": of the logarithm where that is learnt, "number", "empty": how many
    hold no training row, "many", "few": the two thresholds, "fixed": whether lists of
    bins and no thresholds make the shots, "edges": [number + 1] in label units,
    "train_count": [number], "shots": [number] names, "imbalance":
    measures of the training rows, see `stress.imbalance`}.
  splits: split -> {"rows", and rows by shot: "many", "median", "few"}.
  duplicates: "train" -> {"copies": rows whose inputs and label an earlier row has,
    "conflicts": rows whose inputs another row has with another label, "floor": the
    training MAE that no model can go below for that reason}; "val" and "test" ->
    {"same_label", "other_label": rows whose inputs a training row has, too}. Inputs
    are compared as the model sees them.
  notes, skipped: what the reader decided, in sentences; reason -> rows left out.
  findings: [{"name", "text"}], see `dirjax.data.describe.advice`; empty if all is well.

Of several labels per row, `name`, `rows`, `notes`, `skipped` and the `findings` that
hold for each of them; and `targets`: label -> all of the above for the rows that have
it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from dirjax import labels
from dirjax.data import readers, sources, stress
from dirjax.data.describe import advice, checks
from dirjax.data.fingerprints import fingerprints
from dirjax.errors import InputError

_ADVICE = (
    "advice on a label is for a model of it alone; with several, data.bin_widths lists "
    "a width for each, data.many and data.few hold for all of them, and "
    "data.label_range is refused"
)


def _plain(x: float) -> float:
    """A float32 as its shortest decimal: 0.1, not 0.10000000149."""
    return float(f"{x:.7g}")


def describe(source: sources.Source, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Describes a data set without training.

    Args:
      source: the data.
      fields: the fields of `config.data` used to load it, plain.

    Returns:
      Plain, finite values; the module docstring lists the keys.

    Raises:
      InputError: for a data set with one label per pixel.
    """
    if source.dense:
        raise InputError(
            f"describe takes data with one label per row, {source.name} has one per "
            "pixel. The report of a run shows their histogram."
        )
    if source.targets:
        return _of_targets(source, fields)
    facts = {
        "name": source.name,
        "rows": sum(len(s.value) for s in source.splits.values()),
        "inputs": _inputs(source, fields),
        "label": label(source),
        "bins": bins(source, fields),
        "splits": shares(source),
        "duplicates": duplicates(source),
        "notes": list(source.notes),
        "skipped": dict(source.skipped),
    }
    facts["findings"] = advice.findings(source, fields, facts)
    return facts


def _of_targets(source: sources.Source, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The description of each of several labels, and what holds for all."""
    alone = [dataclasses.replace(one, notes=(), skipped={}) for one in source.targets]
    each = {one.record["label"]: describe(one, fields) for one in alone}
    first, *others = each.values()
    common = [f for f in first["findings"] if all(f in o["findings"] for o in others)]
    for found in each.values():
        found["findings"] = [f for f in found["findings"] if f not in common]
    return {
        "name": source.name,
        "rows": sum(len(s.value) for s in source.splits.values()),
        "targets": each,
        "notes": [*source.notes, _ADVICE],
        "skipped": dict(source.skipped),
        "findings": common,
    }


def _inputs(source: sources.Source, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The reader's description of the inputs, or their shapes."""
    kind = source.record["kind"]
    reader = readers.of_inputs(kind)
    if hasattr(reader, "describe_inputs"):
        return reader.describe_inputs(source, fields["drop"] or ())
    inputs = source.splits["train"].inputs
    arrays = inputs if isinstance(inputs, dict) else {"shape": inputs}
    return {"kind": kind} | {k: list(v.shape[1:]) for k, v in arrays.items()}


def label(source: sources.Source) -> dict[str, Any]:
    """Summary of the labels of all splits."""
    value = np.concatenate([s.value for s in source.splits.values()]).astype(float)
    learned = source.scale.forward(value)
    return {
        "name": source.label,
        "scale": source.scale.kind,
        "min": _plain(value.min()),
        "max": _plain(value.max()),
        "mean": _plain(value.mean()),
        "quartiles": [_plain(q) for q in np.quantile(value, (0.25, 0.5, 0.75))],
        "distinct": len(np.unique(value)),
        "whole": bool(np.all(value == np.round(value))),
        "far": int(checks.far(learned).sum()),
    }


def bins(source: sources.Source, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Bins of the label with training counts and shots."""
    spec = source.spec
    edges = spec.bins.edges.astype(np.float64)
    width = float(f"{(edges[-1] - edges[0]) / spec.bins.num:.6g}")
    return {
        "width": width,
        "number": spec.bins.num,
        "empty": int(np.sum(spec.counts == 0)),
        "many": fields["many"],
        "few": fields["few"],
        "fixed": bool(fields["shot_lists"]),
        "edges": [_plain(e) for e in source.scale.inverse(edges)],
        "train_count": spec.counts.tolist(),
        "shots": [labels.SHOTS[s] for s in spec.shots],
        "imbalance": {
            name: _plain(value) for name, value in stress.imbalance(spec.counts).items()
        },
    }


def shares(source: sources.Source) -> dict[str, dict[str, int]]:
    """Rows of each split, and by shot."""
    found = {}
    for name, split in source.splits.items():
        by_shot = np.bincount(source.spec.shots[split.bin], minlength=3)
        rows = {"rows": len(split.bin)}
        found[name] = rows | dict(zip(labels.SHOTS, by_shot.tolist(), strict=True))
    return found


def duplicates(source: sources.Source) -> dict[str, dict[str, Any]]:
    """Rows that occur more than once."""
    parts = list(source.splits.values())
    hashes = np.concatenate([fingerprints(s.inputs) for s in parts])
    value = np.concatenate([s.value for s in parts])
    key = np.unique(hashes, return_inverse=True)[1].astype(np.int64)
    levels, level = np.unique(value, return_inverse=True)
    pair = key * len(levels) + level
    ends = np.cumsum([len(s.value) for s in parts])
    train = slice(0, int(ends[0]))
    found: dict[str, dict[str, Any]] = {
        "train": _within(key[train], pair[train], value[train].astype(np.float64))
    }
    for name, start, stop in zip(list(source.splits)[1:], ends, ends[1:], strict=False):
        same = np.isin(pair[start:stop], pair[train])
        known = np.isin(key[start:stop], key[train])
        found[name] = {
            "same_label": int(same.sum()),
            "other_label": int((known & ~same).sum()),
        }
    return found


def _within(key: np.ndarray, pair: np.ndarray, value: np.ndarray) -> dict[str, Any]:
    """Repeated inputs within training.

    Args:
      key: `[rows]` int, equal where inputs are.
      pair: `[rows]` int, equal where inputs and labels are.
      value: `[rows]` labels.
    """
    different, first = np.unique(pair, return_index=True)
    labels_of_key = np.bincount(key[first], minlength=key.max() + 1)
    order = np.lexsort((value, key))
    ordered, rising = key[order], value[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    sizes = np.diff(np.append(starts, len(key)))
    middle = np.repeat(rising[starts + (sizes - 1) // 2], sizes)
    return {
        "copies": len(pair) - len(different),
        "conflicts": int(np.sum(labels_of_key[key] > 1)),
        "floor": _plain(np.abs(rising - middle).mean()),
    }
