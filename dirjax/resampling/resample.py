"""SMOTER and SMOGN on arrays and data frames; see the package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dirjax import checks
from dirjax.labels import relevance as relevance_lib
from dirjax.resampling import segments as segments_lib
from dirjax.resampling.columns import Columns, labels_of
from dirjax.resampling.synthetic import Rows, joined, synthesise


class Resampled(NamedTuple):
    """A resampled table.

    Attributes:
      X: rows, an array or data frame like the one given: kept rows in their order,
        then synthetic ones.
      y: `[rows]`, their labels.
      seed: `[rows]` int64, the row of the given table that each is, or is made from.
      synthetic: `[rows]` bool.
    """

    X: Any
    y: np.ndarray
    seed: np.ndarray
    synthetic: np.ndarray


def smoter(
    X: Any,
    y: ArrayLike,
    *,
    categorical: Sequence[Any] = (),
    relevance: str | ArrayLike = "boxplot",
    control_points: Sequence[Sequence[float]] | None = None,
    coef: float = 1.5,
    side: str = "both",
    bandwidth: float | None = None,
    threshold: float = 0.5,
    amount: str | Sequence[float] = "balance",
    neighbors: int = 5,
    distance: str = "heom",
    steps: str = "row",
    under_sample: bool = True,
    seed: int = 0,
) -> Resampled:
    """Resamples by SMOTER: fewer common rows, and rare ones between neighbours.

    Args:
      X: `[n, columns]` array, or data frame, without missing numbers; a table of
        pyarrow or polars is taken as the data frame of pandas that it becomes.
      y: `[n]` labels.
      categorical: names (array: positions) of columns that are categories; in a data
        frame those without numbers are, anyway.
      relevance: `"boxplot"` (`labels.relevance.relevance`), `"density"`
        (`labels.relevance.density_relevance`), or `[n]` numbers of your own, 0 to 1.
      control_points: relevance by labels, see `labels.relevance.relevance`; instead of
        `relevance`.
      coef: see `labels.relevance.relevance`.
      side: see `labels.relevance.relevance`.
      bandwidth: see `labels.relevance.density_relevance`.
      threshold: labels are rare from this relevance on.
      amount: see `segments.sizes`.
      neighbors: number of nearest neighbours, of which one is drawn.
      distance: `"heom"`, or `"euclidean"`, which does not divide numbers by their
        ranges.
      steps: see `synthetic.between`.
      under_sample: whether segments lose rows; otherwise all originals stay.
      seed: of everything that is drawn.

    Returns:
      The resampled table.

    Raises:
      ValueError: for values that are missing or out of range, or if no label is rare.

    Example:
      >>> X, y = np.arange(12.0)[:, None], np.array([0.0] * 10 + [8.0, 9.0])
      >>> found = smoter(X, y, control_points=[(0, 0), (8, 1)], under_sample=False)
      >>> len(found.y), int(found.synthetic.sum())
      (16, 4)
      >>> bool(((found.X >= 10) & (found.X <= 11)).all(axis=1)[found.synthetic].all())
      True
    """
    return _resampled(
        Columns(X, categorical),
        y,
        perturbation=None,
        relevance=relevance,
        control_points=control_points,
        coef=coef,
        side=side,
        bandwidth=bandwidth,
        threshold=threshold,
        amount=amount,
        neighbors=neighbors,
        distance=distance,
        steps=steps,
        under_sample=under_sample,
        seed=seed,
    )


def smogn(
    X: Any, y: ArrayLike, *, perturbation: float = 0.02, **options: Any
) -> Resampled:
    """Resamples by SMOGN: as SMOTER, with noise where the neighbour is far.

    Args:
      X: see `smoter`.
      y: see `smoter`.
      perturbation: the largest deviation of the noise, in deviations of each column.
      **options: the others of `smoter`.

    Returns:
      The resampled table.

    Raises:
      ValueError: see `smoter`.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> X, y = rng.normal(size=(200, 3)), rng.lognormal(size=200)
      >>> found = smogn(X, y, seed=1)
      >>> bool(np.median(found.y) > np.median(y))
      True
    """
    checks.positive("perturbation", perturbation)
    known = smoter.__kwdefaults__ or {}
    for name in options:
        if name not in known:
            raise ValueError(checks.unknown("option of smogn", name, known))
    options = {**known, **options}
    columns = Columns(X, options.pop("categorical"))
    return _resampled(columns, y, perturbation=perturbation, **options)


def _relevance(
    label: np.ndarray,
    relevance: str | ArrayLike,
    control_points: Sequence[Sequence[float]] | None,
    coef: float,
    side: str,
    bandwidth: float | None,
) -> np.ndarray:
    """Relevance of each label."""
    if control_points is not None:
        return relevance_lib.relevance(label, label, control_points=control_points)
    if not isinstance(relevance, str):
        phi = np.asarray(relevance, np.float64)
        if phi.shape != label.shape:
            raise ValueError(
                f"relevance must be boxplot, density, or a number for each of the "
                f"{len(label)} labels, got shape {phi.shape}."
            )
        wrong = ~((phi >= 0) & (phi <= 1))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"relevance must be from 0 to 1, row {row} has {phi[row]:g}. Scale "
                "it, and fill what is missing."
            )
        return phi
    checks.one_of("relevance", relevance, ("boxplot", "density"))
    if relevance == "density":
        return relevance_lib.density_relevance(label, label, bandwidth=bandwidth)
    return relevance_lib.relevance(label, label, coef=coef, side=side)


def _scale(numeric: np.ndarray, distance: str) -> np.ndarray:
    """Divisor of each number: its range, 1 if it is constant."""
    checks.one_of("distance", distance, ("heom", "euclidean"))
    if distance == "euclidean" or not numeric.size:
        return np.ones(numeric.shape[1])
    span = np.ptp(numeric, axis=0)
    return np.where(span > 0, span, 1.0)


def _kept_positive(made: Rows, given: Rows) -> Rows:
    """Numbers of columns without negative values are not negative."""
    low = np.where(given.numeric.min(axis=0, initial=0) < 0, -np.inf, 0.0)
    label = made.label if given.label.min() < 0 else np.maximum(made.label, 0)
    return made._replace(numeric=np.maximum(made.numeric, low[None]), label=label)


def _resampled(
    columns: Columns,
    y: ArrayLike,
    *,
    perturbation: float | None,
    threshold: float,
    amount: str | Sequence[float],
    neighbors: int,
    distance: str,
    steps: str,
    under_sample: bool,
    seed: int,
    **of_relevance: Any,
) -> Resampled:
    """`smoter`, or `smogn` with a perturbation."""
    checks.one_of("steps", steps, ("row", "column"))
    checks.whole("neighbors", neighbors)
    checks.positive("threshold", threshold, zero=True)
    scale = _scale(columns.numeric, distance)
    given = Rows(columns.numeric, columns.codes, labels_of(y, len(columns.numeric)))
    phi = _relevance(given.label, **of_relevance)
    parts = segments_lib.segments(given.label, phi, threshold)
    wanted = segments_lib.sizes([len(p) for p in parts], amount)
    # Which rows are kept depends on labels alone, not on how many columns draw noise.
    drops, rng = np.random.default_rng(seed).spawn(2)
    kept, made, seeds = [], [], []
    for rows, size in zip(parts, wanted, strict=True):
        if size <= len(rows):
            kept.append(drops.permutation(rows)[:size] if under_sample else rows)
            continue
        kept.append(rows)
        new, of = synthesise(
            given.take(rows),
            size - len(rows),
            rng,
            scale=scale,
            neighbors=int(neighbors),
            steps=steps,
            perturbation=perturbation,
        )
        made.append(new)
        seeds.append(rows[of])
    left = np.sort(np.concatenate(kept))
    whole = given.take(left)
    if made:
        whole = joined([whole, _kept_positive(joined(made), given)])
    return Resampled(
        columns.restore(whole.numeric, whole.codes),
        whole.label,
        np.concatenate([left, *seeds]),
        np.arange(len(whole.label)) >= len(left),
    )
