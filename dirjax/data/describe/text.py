"""The description of a data set as text for a terminal of 88 columns."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from dirjax import labels
from dirjax.data import readers
from dirjax.data.describe.words import count, number, wrap

_LINES = 40  # lines of the histogram


_BAR = 44


_MARKS = dict(zip(labels.SHOTS, "#=-", strict=True))


def _inputs_text(inputs: Mapping[str, Any], rows: int) -> list[str]:
    """The reader's description of the inputs."""
    reader = readers.of_inputs(inputs["kind"])
    if hasattr(reader, "inputs_text"):
        return reader.inputs_text(inputs, rows)
    shapes = ", ".join(f"{k} {v}" for k, v in inputs.items() if k != "kind")
    return [f"Inputs: {inputs['kind']}, {shapes}"]


def _label_text(label: Mapping[str, Any]) -> list[str]:
    """The label in two lines."""
    kind = "all whole numbers" if label["whole"] else "with fractions"
    quartiles = ", ".join(map(number, label["quartiles"]))
    scale = label["scale"]
    learnt = "" if scale == "linear" else f"; the model learns it on the scale {scale}"
    far = [f"  {label['far']:,} far out: beyond 3 box lengths from the quartiles"]
    far = far if label["far"] else []
    return [
        f"Label: {label['name']}, {number(label['min'])} to {number(label['max'])}"
        f"{learnt}",
        f"  mean {number(label['mean'])}; quartiles {quartiles}",
        f"  {label['distinct']:,} distinct values, {kind}",
        *far,
    ]


def _splits_text(facts: Mapping[str, Any]) -> list[str]:
    """Rows by split and shot."""
    lines = [f"{'Splits':<8}{'rows':>10}" + "".join(f"{s:>10}" for s in labels.SHOTS)]
    for name, rows in facts["splits"].items():
        numbers = "".join(f"{rows[k]:>10,}" for k in ("rows", *labels.SHOTS))
        lines.append(f"  {name:<6}{numbers}")
    twins = facts["duplicates"]
    found = [
        f"{n} {name} rows have the inputs of a training row and {what} label"
        for name in ("val", "test")
        for key, what in (("same_label", "its"), ("other_label", "another"))
        if (n := twins.get(name, {}).get(key))
    ]
    within = twins["train"]
    if within["copies"]:
        found.insert(0, f"{within['copies']:,} training rows repeat an earlier one")
    if within["conflicts"]:
        found.insert(
            0, f"{within['conflicts']:,} training rows share inputs but not the label"
        )
    if found:
        lines.append(wrap(f"Duplicates: {'; '.join(found)}", "", "  "))
    else:
        lines.append("Duplicates: none")
    return lines


def histogram(bins: Mapping[str, Any], digits: int = 10) -> list[str]:
    """The training labels as bars of text.

    Args:
      bins: from `facts.bins`.
      digits: significant digits of the edges.

    Returns:
      A header and at most 40 lines; merges neighbouring bins if needed.
    """
    counts, shots, edges = bins["train_count"], bins["shots"], bins["edges"]
    step = -(-len(counts) // _LINES)
    starts = range(0, len(counts), step)
    names = [number(float(f"{edges[i]:.{digits}g}")) for i in starts]
    pad = max(4, *map(len, names))
    sums = [sum(counts[i : i + step]) for i in starts]
    room = max(4, len(f"{max(sums):,}"))
    lines = [f"  {'from':>{pad}} {'rows':>{room}}"]
    for name, start, total in zip(names, starts, sums, strict=True):
        pieces = dict.fromkeys(labels.SHOTS, 0)
        for n, s in zip(counts[start : start + step], shots[start:], strict=False):
            pieces[s] += n
        length = _BAR * total / max(sums)
        ends = itertools.accumulate(pieces.values())
        cuts = [0, *(round(length * e / total) if total else 0 for e in ends)]
        bar = "".join(
            mark * (stop - begin)
            for mark, begin, stop in zip(_MARKS.values(), cuts, cuts[1:], strict=False)
        )
        if total and not bar:  # Show a few rows even among thousands.
            bar = _MARKS[max(pieces, key=lambda s: pieces[s])]
        lines.append(f"  {name:>{pad}} {total:>{room},} {bar}".rstrip())
    return lines


def _bins_text(bins: Mapping[str, Any], scale: str) -> list[str]:
    """The bins in text, with their histogram."""
    shots = ", ".join(f"{bins['shots'].count(s)} {s}" for s in labels.SHOTS)
    unit = "" if scale == "linear" else f" on the scale {scale}"
    rule = (
        "by data.shot_lists"
        if bins["fixed"]
        else f"many: above {bins['many']} training rows, few: below {bins['few']}"
    )
    empty = f"; {bins['empty']:,} hold none" if bins["empty"] else ""
    joined = -(-bins["number"] // _LINES)
    marks = ", ".join(f"{mark} {name}" for name, mark in _MARKS.items())
    measured = bins["imbalance"]
    each = "each bin" if joined == 1 else f"each {joined} bins together"
    return [
        f"Bins of the label: {bins['number']:,}, {number(bins['width'])} wide{unit}",
        f"  {shots} ({rule}){empty}",
        f"  imbalance: fullest bin {number(measured['ratio'])} times the emptiest,",
        f"  Gini {measured['gini']:.2f}, entropy {measured['entropy']:.2f} of uniform",
        f"Training rows, {each} ({marks}):",
        *histogram(bins, 10 if scale == "linear" else 4),
    ]


def _label_blocks(facts: Mapping[str, Any]) -> list[list[str]]:
    """Paragraphs about the rows of one label."""
    return [
        _label_text(facts["label"]),
        _inputs_text(facts["inputs"], facts["rows"]),
        _splits_text(facts),
        _bins_text(facts["bins"], facts["label"]["scale"]),
    ]


def _findings_text(findings: Sequence[Mapping[str, str]], heading: str) -> list[str]:
    """The findings under a heading."""
    found = [f["text"][0].upper() + f["text"][1:] for f in findings]
    how = "(Set fields with --config.data.FIELD=VALUE.)"
    return [heading, *(wrap(f, "  * ") for f in found), how]


def text(facts: Mapping[str, Any]) -> str:
    """The result of `facts.describe`, for a terminal of 88 columns."""
    several = facts.get("targets", {})
    blocks = [[f"{facts['name']}: {count(facts['rows'], 'row')}"]]
    for name, own in (several or {"": facts}).items():
        more = _label_blocks(own)
        if several:
            said = f"{name}: {count(own['rows'], 'row')}"
            more.insert(0, [said, "=" * len(said)])
            if own["findings"]:
                heading = f"What to look at in {name}:"
                more.append(_findings_text(own["findings"], heading))
        blocks += more
    if facts["notes"]:
        notes = [wrap(n[0].upper() + n[1:] + ".", "  - ") for n in facts["notes"]]
        blocks.append(["Decisions while reading:", *notes])
    if facts["findings"]:
        heading = "What to look at" + " in all labels" * bool(several) + ":"
        blocks.append(_findings_text(facts["findings"], heading))
    if not any(own["findings"] for own in [facts, *several.values()]):
        blocks.append(["Nothing suspicious found."])
    return "\n\n".join("\n".join(block) for block in blocks)
