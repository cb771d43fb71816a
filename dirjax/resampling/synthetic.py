"""Synthetic rows of one segment: between neighbours, or with noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dirjax.resampling import distances


class Rows(NamedTuple):
    """Rows of a table as numbers.

    Attributes:
      numeric: `[n, d]` float64.
      codes: `[n, m]` int64, the categories; any whole numbers.
      label: `[n]` float64.
    """

    numeric: np.ndarray
    codes: np.ndarray
    label: np.ndarray

    def take(self, rows: np.ndarray) -> Rows:
        """Some rows."""
        return Rows(*(x[rows] for x in self))


def joined(parts: list[Rows]) -> Rows:
    """Rows of several tables, one after the other."""
    return Rows(*(np.concatenate(x) for x in zip(*parts, strict=True)))


def label_between(
    first: np.ndarray, second: np.ndarray, to_first: np.ndarray, to_second: np.ndarray
) -> np.ndarray:
    """The label of a row between two others, by its distances from them.

    `(to_second * first + to_first * second) / (to_first + to_second)`: the nearer row
    counts more. The mean, if both are equal to it.

    Example:
      >>> label_between(*(np.array([x]) for x in (10.0, 20.0, 1.0, 3.0))).tolist()
      [12.5]
    """
    total = to_first + to_second
    share = np.where(total > 0, to_first / np.where(total > 0, total, 1), 0.5)
    return first + share * (second - first)


def _apart(a: Rows, b: Rows, scale: np.ndarray) -> np.ndarray:
    """Distances of rows, added up over columns."""
    numbers = (np.abs(a.numeric - b.numeric) / scale).sum(axis=1)
    return numbers + (a.codes != b.codes).sum(axis=1)


def between(
    seed: Rows,
    other: Rows,
    rng: np.random.Generator,
    *,
    scale: np.ndarray,
    steps: str = "row",
) -> Rows:
    """Rows between pairs of rows; categories are those of one of both.

    Args:
      seed: `[n]` rows.
      other: `[n]` rows.
      rng: of the shares of the way, and of categories.
      scale: `[d]`, divisor of distances.
      steps: `"row"` takes one share of the way for all numbers of a row, `"column"` one
        for each.
    """
    n, d = seed.numeric.shape
    share = rng.random((n, d if steps == "column" else 1))
    numeric = seed.numeric + share * (other.numeric - seed.numeric)
    codes = np.where(rng.random(seed.codes.shape) < 0.5, seed.codes, other.codes)
    made = Rows(numeric, codes, seed.label)
    ends = (_apart(made, end, scale) for end in (seed, other))
    return made._replace(label=label_between(seed.label, other.label, *ends))


def noisy(
    seed: Rows, segment: Rows, width: np.ndarray, rng: np.random.Generator
) -> Rows:
    """Rows with Gaussian noise in numbers and label, and categories of the segment.

    Args:
      seed: `[n]` rows.
      segment: all rows of the segment, whose deviations and frequencies count.
      width: `[n]`, the deviation of the noise in deviations of each column.
      rng: of the noise.
    """
    noise = rng.standard_normal(seed.numeric.shape) * segment.numeric.std(axis=0)
    drawn = rng.integers(0, len(segment.label), seed.codes.shape)
    codes = np.take_along_axis(segment.codes, drawn, axis=0)
    shift = rng.standard_normal(len(width)) * segment.label.std()
    numeric = seed.numeric + width[:, None] * noise
    return Rows(numeric, codes, seed.label + width * shift)


def synthesise(
    segment: Rows,
    count: int,
    rng: np.random.Generator,
    *,
    scale: np.ndarray,
    neighbors: int,
    steps: str,
    perturbation: float | None,
) -> tuple[Rows, np.ndarray]:
    """Synthetic rows of a segment.

    Args:
      segment: its rows, at least one.
      count: number of rows to make.
      rng: of everything that is drawn.
      scale: `[d]`, divisor of each number in distances.
      neighbors: a row is made with one of this many nearest others.
      steps: see `between`.
      perturbation: the largest width of noise; None for SMOTER, which has none.

    Returns:
      The rows, and `[count]` the seed of each, as a row of the segment. The only row of
      a segment has no neighbours: it is copied, with noise in SMOGN.
    """
    rows = len(segment.label)
    turns, rest = divmod(count, rows)
    last = rng.permutation(rows)[:rest]
    seeds = np.concatenate([np.tile(np.arange(rows), turns), last])
    if rows == 1:
        alone = segment.take(seeds)
        if perturbation is None:
            return alone, seeds
        width = np.full(count, perturbation)
        return noisy(alone, segment, width, rng), seeds
    table = distances.points(segment.numeric, segment.codes, scale)
    near = distances.neighbours(table, neighbors)
    mate = near[seeds, rng.integers(0, near.shape[1], count)]
    made = between(
        segment.take(seeds), segment.take(mate), rng, scale=scale, steps=steps
    )
    if perturbation is None:
        return made, seeds
    used, place = np.unique(seeds, return_inverse=True)
    reach = distances.half_medians(table, used, rng)[place]
    far = distances.apart(table.take(seeds), table.take(mate)) >= reach
    width = np.minimum(perturbation, reach[far])
    other = noisy(segment.take(seeds[far]), segment, width, rng)
    for mine, new in zip(made, other, strict=True):
        mine[far] = new
    return made, seeds
