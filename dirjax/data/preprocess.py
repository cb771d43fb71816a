"""Preprocesses table columns into model inputs, fitted on training rows only.

Numeric columns are standardised, by mean and standard deviation or, against outliers,
by median and quartiles with a smooth clip; categorical columns become integer codes,
with 0 for values not seen in training. A missing number becomes the centre of its
column, and an indicator column marks it if training has missing values; a missing
category is its own category. The fitted numbers are plain JSON and stored with the run.

Source of the robust form: Holzmueller et al., "Better by Default: Strong Pre-Tuned MLPs
and Boosted Trees on Tabular Data", NeurIPS 2024.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dirjax.data.formats.categories import Categories
from dirjax.errors import InputError

# Surprises in new rows, as `new_rows.told` says them.
UNSEEN, FAR, MISSING, EMPTY = "unseen", "far", "missing", "empty"
# A value is far outside if it lies beyond the training range by more than this share of
# it.
_FAR = 0.5


def _fit(x: np.ndarray, scaling: str) -> tuple[float, float]:
    """Center and scale of one column; a column without spread gets scale 1."""
    if not x.size:  # All are missing.
        return 0.0, 1.0
    if scaling == "standard":
        # Rounding gives even equal values a deviation.
        spread = float(x.std()) if x.min() < x.max() else 0.0
        return float(x.mean()), spread or 1.0
    low, center, high = np.quantile(x, (0.25, 0.5, 0.75))
    # If the quartiles coincide, use half of the range.
    scale = (high - low) or (x.max() - x.min()) / 2
    return float(center), float(scale) or 1.0


def _ends(x: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest value of one column."""
    return (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)


def _text(column: np.ndarray | Categories) -> Categories:
    """A column as texts; whole numbers without a decimal point, NaN as empty."""
    if isinstance(column, Categories):
        return column
    if column.dtype.kind != "f":
        return Categories.of(column.astype(str))
    values, inverse = np.unique(column, return_inverse=True)
    text = [
        "" if np.isnan(v) else np.format_float_positional(v, trim="-") for v in values
    ]
    return Categories(np.asarray(text, np.str_), inverse)


# Rows that are standardised at once, in the cache of a processor.
_BLOCK = 1 << 14


def _standardised(
    column: np.ndarray, center: float, scale: float, clip: float
) -> np.ndarray:
    """A column, standardised, with NaN and infinity as 0."""
    x = np.asarray(column, np.float64) - center
    x /= scale
    # Rows with infinity are left out later.
    x[~np.isfinite(x)] = 0.0
    if clip:
        x /= np.sqrt(1 + (x / clip) ** 2)
    return x


@dataclasses.dataclass(frozen=True)
class TablePreprocessor:
    """Fitted preprocessing of a table.

    Attributes:
      numeric: names of numeric columns, in order.
      categorical: names of categorical columns, in order. A column in both enters as a
        number and as a category.
      center: subtracted from each numeric column.
      scale: divisor of each numeric column; 1 for a constant column.
      clip: 0, or the bound of a smooth clip `x / sqrt(1 + (x / clip)^2)`.
      values: known values of each categorical column; code `i + 1` is `values[i]`.
        Empty text means a missing value.
      indicators: names of the numeric columns with an indicator of missing values.
      low: smallest training value of each numeric column, 0 if all are missing.
      high: the largest one.
      edges: training quantiles of each standardised numeric column, ascending and
        distinct; the knots of piecewise-linear encodings.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]
    clip: float
    values: tuple[tuple[str, ...], ...]
    edges: tuple[tuple[float, ...], ...]
    indicators: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls,
        columns: Mapping[str, np.ndarray | Categories],
        *,
        numeric: Sequence[str],
        categorical: Sequence[str],
        scaling: str = "robust",
        quantiles: int = 0,
    ) -> TablePreprocessor:
        """Fits on the training rows.

        Args:
          columns: name -> `[rows]` array of training rows: numbers with NaN for
            missing, or text, empty for missing.
          numeric: names of the columns to standardise.
          categorical: names of the columns to code.
          scaling: "standard" (mean and standard deviation) or "robust" (median and
            quartile range, clipped smoothly at 3).
          quantiles: number of intervals between `edges`; 0 leaves them empty.

        Returns:
          The fitted preprocessor.

        Raises:
          InputError: for an unknown scaling.
        """
        if scaling not in ("standard", "robust"):
            raise InputError(
                f"data.scaling must be 'standard' or 'robust', got {scaling!r}."
            )
        arrays = {n: np.asarray(columns[n], np.float64) for n in numeric}
        gaps = {n: np.isnan(x) for n, x in arrays.items()}
        known = (x[~gaps[n]] for n, x in arrays.items())
        fits = [(*_fit(x, scaling), *_ends(x)) for x in known]
        values = tuple(
            tuple(np.unique(_text(columns[name]).present()).tolist())
            for name in categorical
        )
        plain = cls(
            numeric=tuple(numeric),
            categorical=tuple(categorical),
            center=tuple(center for center, _, _, _ in fits),
            scale=tuple(scale for _, scale, _, _ in fits),
            clip=3.0 if scaling == "robust" else 0.0,
            values=values,
            edges=((),) * len(numeric),
            indicators=tuple(n for n in numeric if gaps[n].any()),
            low=tuple(low for _, _, low, _ in fits),
            high=tuple(high for _, _, _, high in fits),
        )
        if not quantiles:
            return plain
        grid = np.linspace(0, 1, quantiles + 1)
        x = plain.transform(columns)["numeric"]
        edges = [np.unique(np.quantile(column, grid)).tolist() for column in x.T]
        return dataclasses.replace(plain, edges=tuple(tuple(e) for e in edges))

    @property
    def width(self) -> int:
        """Number of numeric inputs, indicators included."""
        return len(self.numeric) + len(self.indicators)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of codes of each categorical column, code 0 included."""
        return tuple(len(v) + 1 for v in self.values)

    def transform(
        self, columns: Mapping[str, np.ndarray | Categories]
    ) -> dict[str, np.ndarray]:
        """Applies the fitted numbers.

        Args:
          columns: name -> `[rows]` array, see `fit`; extra columns are ignored.

        Returns:
          `{"numeric": [rows, width] float32, "categorical": [rows, m] int32}`.

        Raises:
          InputError: if a column is missing.
        """
        for name in (*self.numeric, *self.categorical):
            if name not in columns:
                raise InputError(
                    f"the table must have the column {name!r} that the model was "
                    f"trained with; it has {', '.join(sorted(columns))}. Add the "
                    "column."
                )
        rows = len(next(iter(columns.values())))
        numeric = np.empty((rows, self.width), np.float32)
        fits = list(zip(self.numeric, self.center, self.scale, strict=True))
        arrays = {name: np.asarray(columns[name]) for name in self.numeric}
        for start in range(0, rows, _BLOCK):
            some = slice(start, start + _BLOCK)
            for j, (name, center, scale) in enumerate(fits):
                numeric[some, j] = _standardised(
                    arrays[name][some], center, scale, self.clip
                )
        for j, name in enumerate(self.indicators, len(self.numeric)):
            numeric[:, j] = np.isnan(np.asarray(columns[name], np.float64))
        categorical = np.empty((rows, len(self.categorical)), np.int32)
        for j, (name, known) in enumerate(
            zip(self.categorical, self.values, strict=True)
        ):
            codes = {v: i + 1 for i, v in enumerate(known)}
            text = _text(columns[name])
            known_codes = [codes.get(v, 0) for v in text.values.tolist()]
            categorical[:, j] = np.array(known_codes, np.int32)[text.codes]
        return {"numeric": numeric, "categorical": categorical}

    def surprises(
        self, columns: Mapping[str, np.ndarray | Categories]
    ) -> dict[str, dict[str, int]]:
        """Counts what new rows have that training rows had not.

        Args:
          columns: see `transform`.

        Returns:
          Kind of surprise (UNSEEN, FAR, MISSING, EMPTY) -> column -> number of values;
          for EMPTY the column is "" and the number that of rows.

        Example:
          >>> table = TablePreprocessor.fit(
          ...     {"x": np.array([0.0, 1.0])}, numeric=["x"], categorical=[])
          >>> table.surprises({"x": np.array([0.5, 7.0, np.nan])})[FAR]
          {'x': 1}
        """
        found: dict[str, dict[str, int]] = {
            k: {} for k in (UNSEEN, FAR, MISSING, EMPTY)
        }
        empty = np.ones(len(next(iter(columns.values()), ())), bool)
        ends = zip(self.numeric, self.low, self.high, strict=True)
        for name, low, high in ends:
            x = np.asarray(columns[name], np.float64)
            gaps, reach = np.isnan(x), _FAR * (high - low)
            empty &= gaps
            far = (x < low - reach) | (x > high + reach)
            found[FAR][name] = int(far.sum())
            if name not in self.indicators:
                found[MISSING][name] = int(gaps.sum())
        for name, known in zip(self.categorical, self.values, strict=True):
            text = _text(columns[name])
            empty &= text.missing()
            counts = dict(
                zip(text.values.tolist(), text.counts().tolist(), strict=True)
            )
            gaps = counts.pop("", 0)
            unseen = counts.keys() - set(known)
            found[UNSEEN][name] = sum(counts[value] for value in unseen)
            if name not in self.numeric and "" not in known:
                found[MISSING][name] = gaps
        found[EMPTY][""] = int(empty.sum())
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain lists and strings, for the run directory."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> TablePreprocessor:
        """The inverse of `to_json`."""

        def tuples(x: Any) -> Any:
            return tuple(tuples(v) for v in x) if isinstance(x, (list, tuple)) else x

        return cls(**{k: tuples(v) for k, v in record.items()})
