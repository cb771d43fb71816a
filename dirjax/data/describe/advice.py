"""Findings on a data set: sentences that say what was seen and what to do with it.

Each function looks at one side of the data and yields `(name, sentence)` for what
applies. The names are stable; they are those in `describe.json`:

  row_numbers, leak; leaked_rows, label_noise; outside, class_like, cap, floor,
  common_value, outliers, long_tail, heaping; empty_bins, no_many, no_few, few_bins;
  no_val, no_test, unbalanced_test, few_test, batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from dirjax import labels
from dirjax.data import readers, sources
from dirjax.data.describe import checks
from dirjax.data.describe.words import count, number, share

Found = Iterator[tuple[str, str]]

# Labels with fewer different values look like classes.
CLASSES = 10
# Skewness from which logarithms are proposed; that of an exponential law is 2.
SKEWNESS = 1.5
# Shares of bins: few-shot among those with training rows, empty among all.
FEW_SHARE = 0.5
EMPTY_SHARE = 0.5
# Training labels are imbalanced if they are so far from being even (0 to 1), and test
# labels follow them if they are as near as random rows of training would be.
IMBALANCE = 0.2
# Test rows in few-shot bins that make an error worth reading.
FEW_TEST = 20
# The smallest batch that `config.plan` chooses.
LEAST_BATCH = 16
# Share of rows that are copies, or whose inputs have several labels.
COPY_SHARE = 0.01

_LEAVE_OUT = "data.outside=error data.on_bad=skip"


def findings(
    source: sources.Source, fields: Mapping[str, Any], facts: Mapping[str, Any]
) -> list[dict[str, str]]:
    """All findings, the gravest first.

    Args:
      source: the data.
      fields: the fields of `config.data` that it was loaded with, plain.
      facts: from `describe.describe`, without findings.
    """
    value = np.concatenate([s.value for s in source.splits.values()])
    found = [
        *of_columns(facts["inputs"]),
        *of_duplicates(facts["splits"], facts["duplicates"]),
        *of_labels(
            value.astype(np.float64),
            edges=facts["bins"]["edges"],
            log=source.log,
            ends=fields["label_range"],
        ),
        *of_bins(source, facts["bins"]),
        *of_splits(
            source,
            facts["splits"],
            fields["split"] if _has_column(fields["kind"]) else "",
        ),
        *of_batch(facts["splits"]["train"]["rows"], fields["batch_size"]),
    ]
    return [{"name": name, "text": text} for name, text in found]


def _has_column(kind: str) -> bool:
    """Whether a column of the data may say which split a row belongs to."""
    return "split" in readers.takes(readers.find(kind).load)


def of_columns(inputs: Mapping[str, Any]) -> Found:
    """Columns that number the rows, or give the label away.

    Args:
      inputs: from `describe.inputs`.
    """
    for name in inputs.get("row_numbers", ()):
        yield (
            "row_numbers",
            f"{name!r} is a whole number that rises with every row, as row numbers do: "
            f"if it is one, leave it out ({_drop(name)}).",
        )
    for name, value in inputs.get("leaks", {}).items():
        yield (
            "leak",
            f"{name!r} alone gives the order of the labels, (almost) perfectly (score "
            f"{value:.4f} of 1): if it is computed from the label, or not known when "
            f"predictions are wanted, leave it out ({_drop(name)}).",
        )


def _drop(name: str) -> str:
    """The argument that leaves a column out."""
    plain = name.isidentifier()
    return f"data.drop={name}" if plain else f'data.drop="({name!r},)"'


def of_duplicates(
    sizes: Mapping[str, Mapping[str, int]], found: Mapping[str, Mapping[str, Any]]
) -> Found:
    """Rows that stand in training and elsewhere, and equal inputs with other labels.

    Args:
      sizes: from `describe.shares`.
      found: from `describe.duplicates`.
    """
    leaked = {
        name: known
        for name, twins in found.items()
        if name != "train"
        and (known := sum(twins.values())) > COPY_SHARE * sizes[name]["rows"]
    }
    if leaked:
        said = " and ".join(
            f"{n:,} of {sizes[s]['rows']:,} {s} rows" for s, n in leaked.items()
        )
        same = sum(found[name]["same_label"] for name in leaked)
        also = f" ({same:,} of them its label, too)" if same else ""
        yield (
            "leaked_rows",
            f"{said} have the inputs of a training row{also}, so that their errors do "
            "not tell how the model does on new inputs: unless inputs repeat by "
            "nature, give all rows with equal inputs one split, or keep one of them.",
        )
    conflicts, floor = found["train"]["conflicts"], found["train"]["floor"]
    if conflicts > COPY_SHARE * sizes["train"]["rows"]:
        yield (
            "label_noise",
            f"{conflicts:,} training rows have the inputs of another row and another "
            f"label; for that alone no model gets below a training MAE of {floor:.3g}: "
            "add columns that tell them apart, or keep one row of each.",
        )


def of_labels(
    value: np.ndarray,
    *,
    edges: list[float],
    log: bool = False,
    ends: tuple[float, float] | None = None,
) -> Found:
    """Labels that are odd by themselves.

    Args:
      value: `[rows]` labels.
      edges: of the bins, in label units.
      log: whether the model learns their logarithm.
      ends: the stated range of labels.
    """
    if ends and (outside := int(np.sum((value < ends[0]) | (value > ends[1])))):
        yield (
            "outside",
            f"{count(outside, 'label lies', 'labels lie')} outside of data.label_range "
            f"{number(ends[0])} to {number(ends[1])} and count in the end bins: widen "
            f"the range, or leave such rows out ({_LEAVE_OUT}).",
        )
    distinct, counts = np.unique(value, return_counts=True)
    if len(distinct) < CLASSES:
        yield (
            "class_like",
            f"the label has only {len(distinct)} different values "
            f"({', '.join(map(number, distinct))}): if they are classes and no "
            "amounts, use a classifier.",
        )
        return
    kept = np.ones(len(distinct), bool)
    for name, here, beside, word, beyond in (
        ("floor", 0, 1, "smallest", "below"),
        ("cap", -1, -2, "largest", "above"),
    ):
        if checks.piled(counts)[here]:
            kept[here] = False
            cut = checks.cut(distinct[beside], distinct[here], edges)
            ways = (edges[0], cut) if here else (cut, edges[-1])
            yield (
                name,
                f"{counts[here]:,} rows have the {word} label {number(distinct[here])} "
                f"({share(counts[here], len(value))}), far more than the labels next "
                f"to it: if it stands for all labels {beyond} or for a missing one, "
                f"leave those rows out ({_range(*ways)}), or distrust errors there.",
            )
    top = checks.common(distinct, counts)
    if top is not None and kept[top]:
        kept[top] = False
        yield (
            "common_value",
            f"{counts[top]:,} rows have the same label {number(distinct[top])} "
            f"({share(counts[top], len(value))}), which is much for labels with "
            "fractions: if it was filled in where the label was unknown, remove them.",
        )
    if kept.sum() < CLASSES:
        return
    rest = value[kept[np.searchsorted(distinct, value)]]
    outliers = checks.apart(np.log(rest) if log else rest)
    if outliers.any():
        low, high = rest[~outliers].min(), rest[~outliers].max()
        out = np.unique(rest[outliers])
        shown = [*out[:2], *out[2:][-2:]]
        below, above = out[out < low], out[out > high]
        yield (
            "outliers",
            f"{count(int(outliers.sum()), 'label stands', 'labels stand')} apart from "
            f"the others, which go from {number(low)} to {number(high)}: "
            f"{', '.join(map(number, shown))}{', ...' if len(out) > 4 else ''}. Check "
            "for slips and other units, mend them, or leave them out ("
            + _range(
                checks.cut(low, below.max(), edges) if len(below) else edges[0],
                checks.cut(high, above.min(), edges) if len(above) else edges[-1],
            )
            + ").",
        )
    rest = rest[~outliers]
    if not log and rest.min() > 0:
        plain, scaled = checks.skewness(rest), checks.skewness(np.log(rest))
        if plain > SKEWNESS and abs(scaled) < plain / 2:
            width = labels.auto_width(np.log(rest))
            yield (
                "long_tail",
                f"the labels have a long tail (skewness {plain:.2g}, of their "
                f"logarithms {scaled:.2g}): if errors matter as ratios rather than as "
                "differences, learn and bin logarithms (data.label_scale=log "
                f"data.bin_width={width:g}).",
            )
    width = (edges[-1] - edges[0]) / (len(edges) - 1)
    distinct, counts = np.unique(rest, return_counts=True)
    multiple, times = (0.0, 0.0) if log else checks.heap(distinct, counts)
    bins = width / multiple if multiple else 1.0
    if abs(bins - round(bins)) > 1e-6 or not round(bins):
        yield (
            "heaping",
            f"labels heap on multiples of {number(multiple)}: they have {times:.1f} "
            "times the rows of the numbers next to them, so that neighbouring bins "
            "differ by chance: make bins that hold as many round numbers each "
            f"(data.bin_width={multiple:g} or a multiple).",
        )


def _range(low: float, high: float) -> str:
    """The arguments that leave out what is not in a range."""
    return f"data.label_range={low:.10g},{high:.10g} {_LEAVE_OUT}"


def of_bins(source: sources.Source, bins: Mapping[str, Any]) -> Found:
    """Bins that are mostly empty, and shots that do not suit.

    Args:
      source: the data.
      bins: from `describe.bins`.
    """

    def wider(good: Callable[[np.ndarray], bool]) -> str:
        learned = source.splits["train"].label.astype(np.float64)
        size = checks.wider(learned, width, good)
        return f"widen data.bin_width from {width:g} to {size:g}" if size else ""

    counts, width = source.spec.counts, bins["width"]
    many, few = bins["many"], bins["few"]
    filled = counts[counts > 0]
    if bins["empty"] > EMPTY_SHARE * bins["number"]:
        ends = np.flatnonzero(counts)[[0, -1]]
        inside = counts[ends[0] : ends[1] + 1]
        low, high = (number(bins["edges"][e]) for e in (ends[0], ends[1] + 1))
        what = f"narrow data.label_range, training labels go from {low} to {high}"
        if np.mean(inside == 0) > EMPTY_SHARE:
            what = wider(lambda c: bool(np.mean(c == 0) <= EMPTY_SHARE))
            what = what or "widen data.bin_width"
        yield (
            "empty_bins",
            f"{bins['empty']:,} of {bins['number']:,} bins hold no training row: "
            f"{what}.",
        )
    if bins["fixed"]:
        return
    rare = int(np.sum(filled < few))
    if not np.any(filled > many):
        third = np.quantile(filled, (1 / 3, 2 / 3)).astype(int)
        ways = ["lower data.many and data.few"]
        if third[0] > 1:
            ways[0] += f" (data.many={third[1]} data.few={third[0]} makes thirds)"
        if wide := wider(lambda c: bool(c.max() > many)):
            ways.append(wide)
        yield (
            "no_many",
            f"no bin holds more than {many} training rows and {rare} of {len(filled)} "
            f"hold fewer than {few}, so there is no many-shot error: "
            f"{', or '.join(ways)}.",
        )
    elif filled.min() > many:
        yield (
            "no_few",
            f"every bin holds more than {many} training rows, so there is no median- "
            "and no few-shot error: for finer groups raise data.many and data.few, or "
            f"narrow data.bin_width (it is {number(width)}).",
        )
    elif rare > FEW_SHARE * len(filled):
        wide = wider(lambda c: bool(np.mean(c[c > 0] < few) <= FEW_SHARE))
        rows = int(filled[filled < few].sum())
        yield (
            "few_bins",
            f"{rare} of {len(filled)} bins hold fewer than {few} training rows, "
            f"{share(rows, filled.sum())} of the rows together: if that is more than "
            f"you want, {wide + ', or ' if wide else ''}lower data.few.",
        )


def of_splits(
    source: sources.Source, sizes: Mapping[str, Mapping[str, int]], column: str
) -> Found:
    """Splits that are missing or small, or a test that follows the training labels.

    Args:
      source: the data.
      sizes: from `describe.shares`.
      column: that names splits, if there may be one.
    """
    where = f" in the column {column!r}" if column else ""
    made = f"; without {'that column' if column else 'any'} a balanced split is made"
    for name, effect in (
        ("val", "the last state of a run is its result, be it the best or not"),
        ("test", "a run ends without test errors"),
    ):
        if name not in sizes:
            yield (
                f"no_{name}",
                f"there is no {name} split, so {effect}: mark rows as {name}{where}"
                f"{made} of bins with at least data.split_divisor rows.",
            )
    if "test" not in sizes:
        return
    bins = source.splits["test"].bin
    tested = np.bincount(bins, minlength=source.spec.bins.num)
    # Bins too small to give rows to a test do not count.
    counts, tested = source.spec.counts[tested > 0], tested[tested > 0]
    # The mean distance of random rows, if bins are filled about evenly.
    chance = 0.4 * math.sqrt(len(tested) / len(bins))
    even = np.ones(len(tested))
    near = min(chance, IMBALANCE, checks.distance(tested, even))
    follows = checks.distance(tested, np.maximum(counts, 1e-9)) < near
    if follows and checks.distance(counts, even) > IMBALANCE:
        yield (
            "unbalanced_test",
            "the test labels are as imbalanced as the training labels, so that the "
            "error over all rows says little about rare labels: read the errors by "
            "shot and bmae, or balance the test (a smaller data.split_cap, if the "
            "split is made here).",
        )
    rare = sizes["test"]["few"]
    if rare < FEW_TEST and (rare or sizes["train"]["few"]):
        what = "no test row lies in few-shot bins, so there is no few-shot error"
        if rare:
            rows = count(rare, "test row lies", "test rows lie")
            what = f"only {rows} in few-shot bins, so that few-shot errors are noisy"
        yield (
            "few_test",
            f"{what}: compare methods over several seeds, raise data.few, or give the "
            "test more rows (a smaller data.split_divisor, if the split is made here).",
        )


def of_batch(rows: int, batch: int | None) -> Found:
    """A batch that the training rows do not fill.

    Args:
      rows: of training.
      batch: `data.batch_size`, None if it is chosen.
    """
    batch = batch or LEAST_BATCH
    if batch > rows:
        yield (
            "batch",
            f"a batch has {batch} rows and training only {rows}, so that a run would "
            f"stop at once: set data.batch_size={max(rows // 2, 1)} or less.",
        )
