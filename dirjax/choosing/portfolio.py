"""What is tried, and what counts as better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dirjax.errors import InputError
from dirjax.labels import SHOTS

# The first is what the others must beat.
BASE = "vanilla"
METHODS = (BASE, "sqinv", "lds", "rrt", "histogram", "beta_nll", "quantile")
# Seeds of each round, after which the worse half of the methods is dropped.
ROUNDS = ((0,), (1, 2), (3, 4))
# Methods that remain at the end, besides the base.
KEPT = 2
# Seeds of gradient boosting, which does not take part but is told.
BOOSTED = (0, 1, 2)
NAMES = ("all", *SHOTS)
# Validation rows of each wanted shot from which the smallest error is worth taking,
# though nothing is better than the base beyond noise.
FEWEST = 10


def weights(given: str) -> dict[str, float]:
    """Weights of the shots in the error that is to be small.

    Args:
      given: "all"; a shot; "balanced", which weighs shots equally; or weights, as in
        `few=2,all=1`.

    Returns:
      Shot or "all" -> weight above 0, with sum 1.

    Raises:
      InputError: for something else.

    Example:
      >>> weights("few"), weights("few=3,all=1")
      ({'few': 1.0}, {'few': 0.75, 'all': 0.25})
    """
    if given == "balanced":
        return {shot: 1 / len(SHOTS) for shot in SHOTS}
    found: dict[str, float] = {}
    parts = given.split(",")
    try:
        for part in parts:
            name, equals, value = part.partition("=")
            found[name.strip()] = float(value) if equals else 1.0
    except ValueError:
        found = {}
    total = sum(found.values())
    ok = set(found) <= set(NAMES) and 0 < total < math.inf
    ok = ok and len(found) == len(parts)  # Of one shot twice, which would count?
    if not ok or min(found.values()) < 0:
        raise InputError(
            f"--for must be {', '.join(NAMES)}, balanced, or weights such as "
            f"few=2,all=1, each once, got {given!r}."
        )
    return {name: value / total for name, value in found.items() if value}


def undecided(wanted: Mapping[str, float], rows: int) -> str:
    """What to take where nothing is better than the base beyond noise: it, or "best".

    Over all labels the base is safe, and there are rows enough to prove that another
    method is better. Of rare labels there are not: whoever asks for them gets what has
    the smallest error (ten splits in docs/choosing.md).

    Args:
      wanted: from `weights`.
      rows: validation rows of the wanted shot that has the fewest; below `FEWEST` the
        smallest error says nothing.

    Example:
      >>> undecided({"all": 1.0}, 99), undecided({"few": 0.5, "all": 0.5}, 19)
      ('vanilla', 'best')
    """
    return BASE if set(wanted) == {"all"} or rows < FEWEST else "best"


def check_shots(there: Mapping[str, Any], wanted: Mapping[str, float]) -> None:
    """Checks that the shots that count have validation rows.

    Args:
      there: of each shot and "all", what is None without rows.
      wanted: from `weights`.

    Raises:
      InputError: naming a shot that has none.
    """
    missing = [shot for shot in wanted if there[shot] is None]
    if missing:
        raise InputError(
            f"--for weighs {missing[0]}-shot labels, and the validation split has "
            "none. Choose others, or change --config.data.many and --config.data.few."
        )


def error(by_shot: Mapping[str, float | None], wanted: Mapping[str, float]) -> float:
    """The error that is to be small: the weighted mean over shots.

    Args:
      by_shot: MAE by shot.
      wanted: from `weights`.

    Raises:
      InputError: see `check_shots`.
    """
    check_shots(by_shot, wanted)
    return sum(weight * (by_shot[shot] or 0.0) for shot, weight in wanted.items())


def best_point(
    frontiers: Iterable[Sequence[Mapping[str, Any]]],
    wanted: Mapping[str, float],
    own: str,
) -> tuple[float, float, str]:
    """The correction of a method with the smallest validation error.

    Args:
      frontiers: points with the error on validation, for each seed.
      wanted: from `weights`.
      own: what the model decodes itself, preferred among equal ones.

    Returns:
      The error, mean over seeds; tau; and what is decoded. The weakest correction of
      equal ones.
    """
    errors: dict[tuple[float, str], list[float]] = {}
    for points in frontiers:
        for point in points:
            key = (point["tau"], point["decode"])
            errors.setdefault(key, []).append(error(point["val"]["mae"], wanted))
    means = {key: sum(values) / len(values) for key, values in errors.items()}
    tau, decode = min(means, key=lambda key: (means[key], key[0], key[1] != own))
    return means[tau, decode], tau, decode


def kept(errors: Mapping[str, float], last: bool) -> list[str]:
    """Methods that go on: the better half, or `KEPT` at the end, and the base.

    Args:
      errors: method -> validation error.
      last: whether the next round is the last one.

    Example:
      >>> kept({"vanilla": 5.0, "lds": 4.0, "sqinv": 3.0, "rrt": 6.0}, last=False)
      ['vanilla', 'sqinv']
    """
    others = sorted((e, m) for m, e in errors.items() if m != BASE)
    size = min(KEPT, len(others)) if last else len(others) // 2
    return [BASE, *(m for _, m in others[: max(size, 1)])]
