"""Rules of a label: which values are valid, on which scale and in which bins."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dirjax import labels
from dirjax.data import row_checks
from dirjax.errors import InputError
from dirjax.labels import bins as bins_lib
from dirjax.labels import scales

_MAX_BINS = 10_000
# Squares of labels must be finite in single precision, and those of errors above 0.
_MAX_LABEL = 1e18
_MIN_SPREAD = 1e-15


@dataclasses.dataclass(frozen=True)
class Rules:
    """How labels are split, binned and counted; the fields of `config.data`.

    Attributes:
      label: name of the label's column or array.
      unit: unit of the label, for reports.
      label_scale: on which scale the label is learnt and binned, see `labels.scales`.
      label_offset: added to the label before a logarithm.
      label_low: the smallest prediction; None for any.
      bin_width: in units of the label's scale; None for `labels.auto_width`.
      bin_widths: the same of each of several labels.
      label_range: `(low, high)` of the label, or None for that of the data.
      outside: what to do with labels outside `label_range`: "error", or count them in
        the "end" bins.
      bin_dtype: "float64" or "float32" edges.
      many: see `labels.shot_groups`.
      few: see `labels.shot_groups`.
      shot_lists: see `labels.shot_groups`.
      split_divisor: see `splits.balanced_split`.
      split_cap: see `splits.balanced_split`.
      limit: number of training rows to use, drawn with `seed`; 0 for all.
      seed: seed of the generated split, if any, and of the limit.
      on_bad: "error" or "skip" for unusable rows.
      unseen: None, or how bins lose all training rows, see `stress.unseen`.
      unseen_share: see `stress.unseen`.
      imbalance: None, or the ratio to which training is thinned, see `stress.skewed`.
    """

    label: str
    unit: str = ""
    label_scale: str = "linear"
    label_offset: float = 0.0
    label_low: float | None = None
    bin_width: float | None = None
    bin_widths: tuple[float, ...] | None = None
    label_range: tuple[float, float] | None = None
    outside: str = "error"
    bin_dtype: str = "float64"
    many: int = 100
    few: int = 20
    shot_lists: Mapping[str, Sequence[int]] | None = None
    split_divisor: int = 5
    split_cap: int = 30
    limit: int = 0
    seed: int = 0
    on_bad: str = "error"
    unseen: str | None = None
    unseen_share: float = 0.2
    imbalance: float | None = None

    def scale(self, train: np.ndarray) -> labels.Scale:
        """The scale of the label, fitted to training labels `[n]`."""
        return scales.fit(
            self.label_scale, train, offset=self.label_offset, low=self.label_low
        )

    @property
    def title(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


def check_labels(
    y: np.ndarray, rows: row_checks.Rows, rules: Rules, mask: np.ndarray | None = None
) -> None:
    """Refuses rows with an invalid label; arguments as in `label_rows`."""

    def refuse(why: str, bad: np.ndarray, must: str, hint: str = "") -> None:
        bad = bad if mask is None else bad & mask

        def sentence(i: int) -> str:
            first = y[i, ...][bad[i, ...]][0]
            return f"{must}, {rows.place(i)} has {first:g} in {rules.label!r}{hint}"

        in_row = np.asarray(bad.reshape(len(y), -1).any(axis=1))
        rows.refuse(why, in_row, sentence)

    refuse("no label", ~np.isfinite(y), "labels must be finite")
    refuse(
        "label too large",
        np.abs(y) > _MAX_LABEL,
        f"labels must lie within {_MAX_LABEL:g} of 0",
        "; use another unit",
    )
    if rules.label_scale in ("log", "log1p"):
        least = 0 - rules.label_offset - (rules.label_scale == "log1p")
        refuse(
            "label too small for a logarithm",
            y <= least,
            f"labels must be above {least:g} for data.label_scale="
            f"{rules.label_scale}"
            + f" and data.label_offset={rules.label_offset:g}"
            * bool(rules.label_offset),
            "; --config.data.label_scale=log1p takes 0, and data.label_offset shifts "
            "labels",
        )
    if rules.label_low is not None:
        refuse(
            "label below data.label_low",
            y < rules.label_low,
            f"labels must be at least data.label_low, {rules.label_low:g}, below which "
            "there are no predictions",
        )
    if rules.label_range and rules.outside == "error":
        low, high = rules.label_range
        refuse(
            "label outside",
            (y < low) | (y > high),
            f"labels must lie in data.label_range {low:g} to {high:g}",
            "; with --config.data.outside=end such labels go to the end bins",
        )


def check_spread(y: np.ndarray, rows: row_checks.Rows, rules: Rules) -> None:
    """Checks that labels differ, and by enough for metrics in single precision.

    Args:
      y: those that count, of any shape.
      rows: their rows.
      rules: see `Rules`.

    Raises:
      InputError: if they do not.
    """
    low, high = y.min(), y.max()
    if low == high:
        raise InputError(
            f"labels must differ, all {y.size} in {rules.label!r} of {rows.file} "
            f"are {low:g}. Name another label with --config.data.label=NAME."
        )
    if high - low < _MIN_SPREAD:
        raise InputError(
            f"labels must spread over at least {_MIN_SPREAD:g}, or squares of errors "
            f"would vanish in single precision; those in {rules.label!r} of "
            f"{rows.file} go from {low:g} to {high:g}. Use another unit."
        )


def new_labels(
    values: np.ndarray,
    rows: row_checks.Rows,
    name: str,
    record: Mapping[str, Any],
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Labels of new rows, checked like those of training.

    Args:
      values: `[rows]` float64, NaN if missing; dense `[rows, height, width]`.
      rows: their rows; those with an invalid label are refused.
      name: name of the label.
      record: data record of the run; one of several targets may be missing in a row.
      mask: bool, which labels count; None for all.

    Returns:
      The labels, as given.
    """
    scale = labels.Scale.from_json(record["scale"])
    rules = Rules(label=name, label_scale=scale.kind, label_offset=scale.offset)
    if mask is None and record.get("optional"):
        mask = ~np.isnan(values)
    check_labels(values, rows, rules, mask)
    return values


def width_and_range(
    label: np.ndarray, rows: row_checks.Rows, rules: Rules, scale: labels.Scale
) -> tuple[float, tuple[float, float] | None, list[str]]:
    """Width and range of the bins, configured or automatic, and notes on them."""
    ends, notes = None, []
    if rules.label_range:
        low, high = scale.forward(rules.label_range)
        ends = (float(low), float(high)) if not scale.linear else rules.label_range
    inside = np.clip(label, *ends) if ends else label
    if inside.min() == inside.max():
        raise InputError(
            f"data.label_range must contain labels, {rules.label_range} contains none "
            f"of {rules.label!r} of {rows.file}. Check the units."
        )
    auto = labels.auto_width(inside)
    width, (low, high) = rules.bin_width, ends or (label.min(), label.max())
    if width is None:
        notes.append(
            f"the bin width is {auto:g} (labels.auto_width); "
            "--config.data.bin_width=WIDTH changes it"
        )
        if (high - low) / auto > bins_lib.AUTO_BINS:
            ends = bins_lib.around_most(label, auto)
            out = int(np.sum((label < ends[0]) | (label > ends[1])))
            notes.append(
                f"{out} labels far from the others count in the end bins; bins cover "
                f"{ends[0]:g} to {ends[1]:g}; "
                "--config.data.label_range=LOW,HIGH changes that"
            )
        width = auto
    count = (high - low) / width
    # Two labels closer than a width may still lie in two bins.
    single = count <= 1 if ends else np.floor(low / width) == np.floor(high / width)
    if single or (count > _MAX_BINS and rules.bin_width):
        much = "a single bin" if single else f"{count:,.0f} bins"
        raise InputError(
            f"data.bin_width must divide the labels ({low:g} to {high:g}) into 2 to "
            f"{_MAX_BINS:,} bins, {width:g} gives {much}. Try "
            f"--config.data.bin_width={auto:g}, or leave it out for the default."
        )
    # Labels beyond the bins count in the end ones, however coarse they are.
    far = np.abs(np.clip(label, *ends) if ends else label).max()
    if width < 4 * np.spacing(np.float32(far)):
        raise InputError(
            f"labels must differ in single precision, those in {rules.label!r} of "
            f"{rows.file} (up to {far:.10g}) do not, with bins of {width:g}. "
            "Subtract a constant from them, or use another unit."
        )
    return width, ends, notes


def all_bins(
    y: np.ndarray, real: np.ndarray, rows: row_checks.Rows, rules: Rules
) -> tuple[np.ndarray, labels.Bins]:
    """Labels as learnt, and bins of all of them, before training is known."""
    scale = rules.scale(y[real])
    label = scale.forward(y)
    width, ends, _ = width_and_range(label[real], rows, rules, scale)
    return label, labels.Bins.covering(
        label[real],
        width=width,
        label_range=ends,
        dtype=np.dtype(rules.bin_dtype),
    )
