"""Whether a candidate is better than the base, and the sentence that says so.

On validation, the difference of the wanted error has a 95 % interval over seeds and
rows, corrected for the number of methods that are compared (Bonferroni). The test rows
are looked at for the winner and the base only.

Deviations: tau is chosen on the same validation rows, which the interval does not know;
neighbouring tau give nearly the same predictions. The test rows tell.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from dirjax import digits
from dirjax.choosing.models import Model
from dirjax.evals import corrected, frontier
from dirjax.labels import SHOTS
from dirjax.report import answers, spreads
from dirjax.report.spreads import Spread


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A trained model with a correction.

    Attributes:
      model: the model.
      tau: strength of the correction for balanced labels; 0 for none.
      decode: value of the corrected distribution.
    """

    model: Model
    tau: float
    decode: str

    @property
    def name(self) -> str:
        """As in `histogram, tau=0.5`."""
        return (
            f"{self.model.method}, tau={self.tau:g}" if self.tau else self.model.method
        )

    @property
    def prior(self) -> dict[str, str | float | None]:
        """Fields of `config.prior` for a run that predicts like this."""
        target = frontier.UNIFORM if self.tau else "train"
        decode = None if self.decode == self.model.decode else self.decode
        return {"target": target, "tau": self.tau or None, "decode": decode}

    @property
    def seeds(self) -> Sequence[int]:
        """Seeds it was trained with."""
        return self.model.seeds

    def predictions(self, split: str, seed: int) -> np.ndarray:
        """Predictions for a split, `[n]`."""
        return self.model.predictions(split, seed, self.tau, self.decode)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of a split.

    Attributes:
      label: `[n]`.
      shot: `[n]` index into `SHOTS`.
    """

    label: np.ndarray
    shot: np.ndarray

    @classmethod
    def of_run(cls, run: pathlib.Path, split: str) -> Rows:
        """The rows of a run, which are those of all runs on its data."""
        rows = corrected.rows_of(run, split)
        return cls(rows.value, corrected.spec_of(run).shots[rows.bins])

    def weight(self, wanted: Mapping[str, float]) -> np.ndarray:
        """Weight of each row in the wanted error, `[n]`."""
        masks = {"all": np.ones(self.shot.size, bool)}
        masks |= {name: self.shot == code for code, name in enumerate(SHOTS)}
        total = np.zeros(self.shot.size)
        for name, share in wanted.items():
            total += share * masks[name] / max(masks[name].sum(), 1)
        return total


def difference(
    one: Candidate,
    base: Candidate,
    rows: Rows,
    split: str,
    wanted: Mapping[str, float],
    *,
    tests: int = 1,
) -> Spread:
    """The wanted error of a candidate minus that of the base, paired by seed and row.

    Args:
      one: a candidate.
      base: what it is compared with.
      rows: of the split.
      split: "val" or "test".
      wanted: weights of the shots.
      tests: number of comparisons that the interval is corrected for.
    """
    weight = rows.weight(wanted)
    seeds = sorted({*one.seeds} & {*base.seeds})
    gaps = np.stack(
        [
            np.abs(one.predictions(split, seed) - rows.label)
            - np.abs(base.predictions(split, seed) - rows.label)
            for seed in seeds
        ],
        axis=1,
    )
    drawn = redrawn(weight[:, None] * gaps, rows.shot)
    counted = int((weight > 0).sum())
    return spreads.spread(list(weight @ gaps), drawn, counted, tests)


def redrawn(values: np.ndarray, shot: np.ndarray) -> np.ndarray:
    """Sums over redrawn rows, n - 1 of the n in each shot (Rao and Wu 1988).

    Args:
      values: `[n, runs]`.
      shot: `[n]`.

    Returns:
      `[draws, runs]`.
    """
    rng = np.random.default_rng(0)
    total = np.zeros((spreads.DRAWS, values.shape[1]))
    for code in np.unique(shot):
        here = values[shot == code]
        n = len(here)
        if n < 2:
            total += here.sum(0)
            continue
        # A hundred draws at a time, so that a million rows fit into memory.
        parts = [
            rng.multinomial(n - 1, np.full(n, 1 / n), size) @ here * (n / (n - 1))
            for size in [100] * (spreads.DRAWS // 100)
        ]
        total += np.concatenate(parts)
    return total


def level(one: Candidate, rows: Rows, split: str, shot: str) -> float:
    """MAE of a candidate for a shot, mean over seeds."""
    weight = rows.weight({shot: 1.0})
    errors = [
        weight @ np.abs(one.predictions(split, s) - rows.label) for s in one.seeds
    ]
    return float(np.mean(errors))


def compared(
    one: Candidate, base: Candidate, rows: Rows, split: str, shots: Sequence[str]
) -> str:
    """`few 28.3 against 34.6 [-8.1, -4.0], all ...`, of both on a split.

    Args:
      one: the winner.
      base: what it is compared with.
      rows: of the split.
      split: "val" or "test".
      shots: the columns to tell; those without rows are left out.
    """
    parts = []
    for shot in shots:
        if not rows.weight({shot: 1.0}).any():
            continue
        gap = difference(one, base, rows, split, {shot: 1.0})
        mine, other = (level(c, rows, split, shot) for c in (one, base))
        ends = gap.interval() or (np.nan, np.nan)
        form = digits.form([mine, other])
        interval = ", ".join(form(end, "+") for end in ends)
        parts.append(f"{shot} {form(mine)} against {form(other)} [{interval}]")
    return ", ".join(parts)


def winner(
    found: Sequence[tuple[Candidate, Spread]], base: Candidate, *, best: bool = False
) -> tuple[Candidate, list[str]]:
    """The candidate to take, and what is to be said before its test error.

    Args:
      found: candidates by validation error, smallest first, each with its difference
        from the base on validation rows.
      base: what they are compared with.
      best: take the one with the smallest difference where none is better beyond noise.
    """
    better = [one for one, gap in found if gap.sign < 0]
    if better:
        return better[0], []
    closest, gap = min(found, key=lambda pair: pair[1].mean or 0.0)
    said = [nothing(closest, gap)]
    if not (gap.mean or 0.0) < 0:
        return base, said
    if best:
        return closest, [
            *said,
            "It is taken all the same; --undecided vanilla keeps vanilla.",
        ]
    return base, [*said, "--undecided best takes it all the same."]


def nothing(closest: Candidate, gap: Spread) -> str:
    """That no candidate is better, and what would decide about the closest one.

    Args:
      closest: the candidate with the smallest difference from the base.
      gap: this difference, on validation rows.
    """
    mean = gap.mean or 0.0
    if not mean < 0:
        return "nothing is better than vanilla on the validation split."
    form = digits.form([mean])
    return (
        "nothing is better than vanilla beyond noise; the closest, "
        f"{closest.name} ({form(mean, '+')} on validation), "
        f"{answers.needs(gap, 'validation')}."
    )


def outside(one: Candidate, winner: Candidate, gap: Spread) -> str:
    """How a model that `choose` cannot hand out compares with its winner.

    Args:
      one: the other model.
      winner: what was chosen.
      gap: the difference from the winner, on validation rows.
    """
    form = digits.form([gap.mean or 0.0])
    ends = ", ".join(form(end, "+") for end in gap.interval() or (np.nan, np.nan))
    said = {-1: "better than", 0: "not told apart from", 1: "worse than"}[gap.sign]
    mean = form(gap.mean or 0.0, "+")
    sentence = f"{one.name} is {said} {winner.name} on validation: {mean} [{ends}]."
    if gap.sign < 0:
        sentence += (
            " dirjax.correct.estimator.PriorCorrectedRegressor corrects such a model."
        )
    return sentence
