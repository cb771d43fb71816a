"""Findings on a data set: sentences that say what is suspicious and what to do.

Each function examines one aspect of the data and yields `(name, sentence)` pairs. The
names are stable and appear in `describe.json`:

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
from dirjax.errors import setting

Found = Iterator[tuple[str, str]]

# Labels with fewer distinct values look like classes.
CLASSES = 10
LINEAR = labels.Scale()
# Skewness from which to suggest logarithms; an exponential distribution has 2.
SKEWNESS = 1.5
# Shares of bins: few-shot among non-empty ones, empty among all.
FEW_SHARE = 0.5
EMPTY_SHARE = 0.5
# Training labels are imbalanced if they are at least this far from uniform (0 to 1).
# Test labels follow them if they are as near as random training rows would be.
IMBALANCE = 0.2
# Fewest test rows in few-shot bins for a meaningful error.
FEW_TEST = 20
# Fewest test rows of each shot with thresholds that are suggested.
LEAST_TEST = 10
# The smallest batch size that `config.plan` chooses.
LEAST_BATCH = 16
# Shares of duplicate rows, and of rows whose inputs have several labels.
COPY_SHARE = 0.01

_LEAVE_OUT = "--config.data.outside=error --config.data.on_bad=skip"


def findings(
    source: sources.Source, fields: Mapping[str, Any], facts: Mapping[str, Any]
) -> list[dict[str, str]]:
    """All findings, most serious first.

    Args:
      source: the data.
      fields: the fields of `config.data` used to load it, plain.
      facts: from `facts.describe`, without findings.
    """
    value = np.concatenate([s.value for s in source.splits.values()])
    found = [
        *of_columns(facts["inputs"]),
        *of_duplicates(facts["splits"], facts["duplicates"]),
        *of_labels(
            value.astype(np.float64),
            edges=facts["bins"]["edges"],
            scale=source.scale,
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
    """Whether a column of the data can hold the split."""
    return "split" in readers.takes(readers.find(kind).load)


def of_columns(inputs: Mapping[str, Any]) -> Found:
    """Columns that number the rows, or leak the label.

    Args:
      inputs: from `columns.describe_inputs`.
    """
    for name in inputs.get("row_numbers", ()):
        yield (
            "row_numbers",
            f"{name!r} is an integer that increases with every row, like a row "
            f"number: if it is one, leave it out ({_drop(name)}).",
        )
    for name, value in inputs.get("leaks", {}).items():
        yield (
            "leak",
            f"{name!r} alone ranks the labels (almost) perfectly (score {value:.4f} "
            "of 1): if it is computed from the label, or unknown at prediction time, "
            f"leave it out ({_drop(name)}).",
        )


def _drop(name: str) -> str:
    """The argument that leaves a column out."""
    return setting("data.drop", name)


def of_duplicates(
    sizes: Mapping[str, Mapping[str, int]], found: Mapping[str, Mapping[str, Any]]
) -> Found:
    """Training rows repeated in other splits, and equal inputs with different labels.

    Args:
      sizes: from `facts.shares`.
      found: from `facts.duplicates`.
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
            f"{said} have the inputs of a training row{also}, so their errors do not "
            "measure generalisation to new inputs: unless inputs repeat by nature, "
            "put all rows with equal inputs into one split, or keep one of them.",
        )
    conflicts, floor = found["train"]["conflicts"], found["train"]["floor"]
    if conflicts > COPY_SHARE * sizes["train"]["rows"]:
        yield (
            "label_noise",
            f"{conflicts:,} training rows have the inputs of another row but a "
            f"different label, so no model gets below a training MAE of {floor:.3g}: "
            "add columns that distinguish them, or keep one row of each.",
        )


def of_labels(
    value: np.ndarray,
    *,
    edges: list[float],
    scale: labels.Scale = LINEAR,
    ends: tuple[float, float] | None = None,
) -> Found:
    """Suspicious label values.

    Args:
      value: `[rows]` labels.
      edges: edges of the bins, in label units.
      scale: on which the model learns them.
      ends: the configured range of labels.
    """
    if ends and (outside := int(np.sum((value < ends[0]) | (value > ends[1])))):
        yield (
            "outside",
            f"{count(outside, 'label lies', 'labels lie')} outside data.label_range "
            f"{number(ends[0])} to {number(ends[1])} and count in the end bins: widen "
            f"the range, or skip such rows ({_LEAVE_OUT}).",
        )
    distinct, counts = np.unique(value, return_counts=True)
    if len(distinct) < CLASSES:
        yield (
            "class_like",
            f"the label has only {len(distinct)} distinct values "
            f"({', '.join(map(number, distinct))}): if they are classes rather than "
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
                f"{counts[here]:,} rows have the {word} label "
                f"{number(distinct[here])} ({share(counts[here], len(value))}), far "
                f"more than neighbouring labels: if it stands for all labels {beyond} "
                f"or for a missing one, skip those rows ({_range(*ways)}), or do not "
                "trust errors there.",
            )
    top = checks.common(distinct, counts)
    if top is not None and kept[top]:
        kept[top] = False
        yield (
            "common_value",
            f"{counts[top]:,} rows have the same label {number(distinct[top])} "
            f"({share(counts[top], len(value))}), which is a lot for labels with "
            "fractions: if it was filled in for unknown labels, remove them.",
        )
    if kept.sum() < CLASSES:
        return
    rest = value[kept[np.searchsorted(distinct, value)]]
    outliers = checks.apart(scale.forward(rest))
    if outliers.any():
        low, high = rest[~outliers].min(), rest[~outliers].max()
        out = np.unique(rest[outliers])
        shown = [*out[:2], *out[2:][-2:]]
        below, above = out[out < low], out[out > high]
        yield (
            "outliers",
            f"{count(int(outliers.sum()), 'label lies', 'labels lie')} far from the "
            f"others, which range from {number(low)} to {number(high)}: "
            f"{', '.join(map(number, shown))}{', ...' if len(out) > 4 else ''}. Check "
            "for typos and other units, fix them, or skip them ("
            + _range(
                checks.cut(low, below.max(), edges) if len(below) else edges[0],
                checks.cut(high, above.min(), edges) if len(above) else edges[-1],
            )
            + ").",
        )
    rest = rest[~outliers]
    if scale.linear and rest.min() > 0:
        plain, scaled = checks.skewness(rest), checks.skewness(np.log(rest))
        if plain > SKEWNESS and abs(scaled) < plain / 2:
            width = labels.auto_width(np.log(rest))
            yield (
                "long_tail",
                f"the labels have a long tail (skewness {plain:.2g}, of their "
                f"logarithms {scaled:.2g}): if relative errors matter more than "
                "absolute ones, learn and bin logarithms "
                f"(--config.data.label_scale=log --config.data.bin_width={width:g}).",
            )
    width = (edges[-1] - edges[0]) / (len(edges) - 1)
    distinct, counts = np.unique(rest, return_counts=True)
    multiple, times = checks.heap(distinct, counts) if scale.linear else (0.0, 0.0)
    bins = width / multiple if multiple else 1.0
    if abs(bins - round(bins)) > 1e-6 or not round(bins):
        yield (
            "heaping",
            f"labels heap on multiples of {number(multiple)}: they have {times:.1f} "
            "times the rows of neighbouring numbers, so neighbouring bins differ by "
            "chance: choose bins with equally many round numbers "
            f"(--config.data.bin_width={multiple:g} or a multiple).",
        )


def _range(low: float, high: float) -> str:
    """The arguments that skip labels outside a range."""
    return f"--config.data.label_range={low:.10g},{high:.10g} {_LEAVE_OUT}"


def of_bins(source: sources.Source, bins: Mapping[str, Any]) -> Found:
    """Mostly empty bins, and unsuitable shot thresholds.

    Args:
      source: the data.
      bins: from `facts.bins`.
    """

    def wider(good: Callable[[np.ndarray], bool]) -> str:
        learned = source.splits["train"].label.astype(np.float64)
        size = checks.wider(learned, width, good)
        if not size:
            return ""
        return f"widen the bins from {width:g} with --config.data.bin_width={size:g}"

    counts, width = source.spec.counts, bins["width"]
    many, few = bins["many"], bins["few"]
    filled = counts[counts > 0]
    if bins["empty"] > EMPTY_SHARE * bins["number"]:
        ends = np.flatnonzero(counts)[[0, -1]]
        inside = counts[ends[0] : ends[1] + 1]
        low, high = (bins["edges"][e] for e in (ends[0], ends[1] + 1))
        what = (
            f"training labels range from {number(low)} to {number(high)}, narrow the "
            f"bins to them with --config.data.label_range={low:.10g},{high:.10g}"
        )
        if np.mean(inside == 0) > EMPTY_SHARE:
            what = wider(lambda c: bool(np.mean(c == 0) <= EMPTY_SHARE))
            what = what or "widen the bins with --config.data.bin_width=WIDTH"
        yield (
            "empty_bins",
            f"{bins['empty']:,} of {bins['number']:,} bins hold no training row: "
            f"{what}.",
        )
    if bins["fixed"]:
        return
    rare = int(np.sum(filled < few))
    if not np.any(filled > many):
        part = source.splits.get("test", source.splits["train"])
        test = np.bincount(part.bin.ravel(), minlength=len(counts))
        pair = checks.thresholds(counts, test, LEAST_TEST)
        ways = ["lower data.many and data.few"]
        if pair:
            many_few = f"--config.data.many={pair[0]} --config.data.few={pair[1]}"
            ways[0] += f" ({many_few} makes thirds)"
        if wide := wider(lambda c: bool(c.max() > many)):
            ways.append(wide)
        yield (
            "no_many",
            f"no bin holds more than {many} training rows, and {rare} of "
            f"{len(filled)} hold fewer than {few}, so there is no many-shot error: "
            f"{', or '.join(ways)}.",
        )
    elif filled.min() > many:
        yield (
            "no_few",
            f"every bin holds more than {many} training rows, so there is no "
            "median-shot or few-shot error: for finer groups raise data.many and "
            f"data.few, or narrow data.bin_width (now {number(width)}).",
        )
    elif rare > FEW_SHARE * len(filled):
        wide = wider(lambda c: bool(np.mean(c[c > 0] < few) <= FEW_SHARE))
        rows = int(filled[filled < few].sum())
        yield (
            "few_bins",
            f"{rare} of {len(filled)} bins hold fewer than {few} training rows, "
            f"{share(rows, filled.sum())} of the rows in total: if that is too much, "
            f"{wide + ', or ' if wide else ''}lower data.few.",
        )


def of_splits(
    source: sources.Source, sizes: Mapping[str, Mapping[str, int]], column: str
) -> Found:
    """Missing or small splits, or test labels distributed like the training labels.

    Args:
      source: the data.
      sizes: from `facts.shares`.
      column: column of the split, if there can be one.
    """
    where = f" in the column {column!r}" if column else ""
    made = f"; without {'that column' if column else 'any'} a balanced split is made"
    for name, effect in (
        ("val", "the last state of a run is its result, even if it is not the best"),
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
    # Ignore bins too small to give rows to the test split.
    counts, tested = source.spec.counts[tested > 0], tested[tested > 0]
    # The expected distance for random rows, if bins are about equally full.
    chance = 0.4 * math.sqrt(len(tested) / len(bins))
    even = np.ones(len(tested))
    near = min(chance, IMBALANCE, checks.distance(tested, even))
    follows = checks.distance(tested, np.maximum(counts, 1e-9)) < near
    if follows and checks.distance(counts, even) > IMBALANCE:
        yield (
            "unbalanced_test",
            "the test labels are as imbalanced as the training labels, so the "
            "overall error says little about rare labels: look at errors by shot and "
            "bmae, or balance the test split (a smaller data.split_cap, if dirjax "
            "makes the split).",
        )
    rare = sizes["test"]["few"]
    if rare < FEW_TEST and (rare or sizes["train"]["few"]):
        what = "no test row lies in few-shot bins, so there is no few-shot error"
        if rare:
            rows = count(rare, "test row lies", "test rows lie")
            what = f"only {rows} in few-shot bins, so few-shot errors are noisy"
        yield (
            "few_test",
            f"{what}: compare methods over several seeds, raise data.few, or enlarge "
            "the test split (a smaller data.split_divisor, if dirjax makes the "
            "split).",
        )


def of_batch(rows: int, batch: int | None) -> Found:
    """A batch larger than the training split.

    Args:
      rows: number of training rows.
      batch: `data.batch_size`, None for the default.
    """
    batch = batch or LEAST_BATCH
    if batch > rows:
        yield (
            "batch",
            f"a batch has {batch} rows but the training split only {rows}, so a run "
            "would fail at once: set "
            f"--config.data.batch_size={max(rows // 2, 1)} or less.",
        )
