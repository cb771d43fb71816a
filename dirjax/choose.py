"""`python -m dirjax.choose --config configs/csv.py --workdir DIR [--for few]`.

Which method for this data? Trains a portfolio of methods, each a run of its own in
`DIR/runs/METHOD/seed_N`, and compares them on the validation split, each with its best
correction for balanced labels (docs/any-prior.md). After each round of seeds the worse
half is dropped (successive halving: Jamieson and Talwalkar, AISTATS 2016). What is left
takes part as single runs and as the mean of its runs, a model with members. The winner
must be better than `vanilla` beyond noise; where nothing is, `--undecided` says whether
to keep `vanilla` or to take the smallest error all the same, as it does where rare
labels are asked for. Then both are compared on the test split, once. `DIR/chosen` is a
run of the winner, ready for `dirjax.predict`, and `DIR/choice.json` has all numbers. On
a table, scikit-learn's gradient boosting is compared with the winner, too.

The command may be killed and repeated: finished runs count, and a stopped one resumes.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from dirjax import errors
from dirjax.choosing import portfolio
from dirjax.cli import config_files, entry, status, usage
from dirjax.labels import SHOTS
from dirjax.runtime import startup
from dirjax.sweeping import jobs

if TYPE_CHECKING:  # they need JAX, which a command imports late
    from dirjax.choosing import models, verdict
    from dirjax.report.spreads import Spread

CHOICE = "choice.json"
_RUNS = "runs"

_FOR = flags.DEFINE_string(
    "for",
    "all",
    "Which labels count: all, many, median, few, balanced (shots alike), or weights "
    "such as few=2,all=1.",
)
_MINUTES = flags.DEFINE_float(
    "minutes", 10.0, "Start no run that would end later than this, after the first."
)
_UNDECIDED = flags.DEFINE_string(
    "undecided",
    "",
    "What to take where nothing is better than vanilla beyond noise: vanilla, or best, "
    "what has the smallest validation error. Default: vanilla with --for all or with "
    f"fewer than {portfolio.FEWEST} validation rows of a wanted shot, else best.",
)


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
      file: config file of the data.
      options: options behind the method, such as `small`.
      fields: fields of the config that were given.
      wanted: weights of the shots, see `portfolio.weights`.
      minutes: how long to start runs.
      undecided: "vanilla" or "best", what to take where nothing is better than vanilla
        beyond noise; empty for `portfolio.undecided`.

    Raises:
      InputError: for an unknown `undecided`.
    """

    file: str
    options: Sequence[str]
    fields: Mapping[str, Any]
    wanted: Mapping[str, float]
    minutes: float
    undecided: str = ""

    def __post_init__(self):
        known = (portfolio.BASE, "best")
        if self.undecided and self.undecided not in known:
            raise errors.InputError(
                f"--undecided must be {' or '.join(known)}, got {self.undecided!r}."
            )

    def job(self, method: str, seed: int) -> jobs.Job:
        """A run."""
        return jobs.Job(
            self.file,
            ",".join([method, *self.options]),
            {**self.fields, "seed": seed},
            pathlib.PurePath(_RUNS, method, f"seed_{seed}"),
        )


def _check(request: Request, workdir: pathlib.Path) -> int:
    """Checks that the data can be chosen on, and are those of runs in the folder.

    Returns:
      The number of validation rows of the wanted shot that has the fewest.

    Raises:
      InputError: if they cannot, or are not.
    """
    from dirjax import data
    from dirjax.config import frozen

    base = jobs.build(request.job(portfolio.BASE, 0))
    data.check_one_label(base["data"], "choosing a method")
    if base["model"]["members"] > 1:
        raise errors.InputError(
            "choosing makes members of the runs that it trains, got "
            "--config.model.members. Leave it out."
        )
    source = data.from_config(base["data"])
    if source.dense:
        raise errors.InputError(
            f"choosing needs one label a row, {source.name} has one a pixel. Compare "
            "methods with python -m dirjax.sweep."
        )
    rows = source.splits.get("val")
    count = 0 if rows is None else len(rows.bin)
    if rows is None or count < 2:
        raise errors.InputError(
            "choosing needs a val split of at least two rows, "
            f"{source.name} has {count}. Mark rows as val."
        )
    shots = source.spec.shots[rows.bin]
    counts = {s: int((shots == code).sum()) for code, s in enumerate(SHOTS)}
    counts["all"] = count
    portfolio.check_shots({s: n or None for s, n in counts.items()}, request.wanted)
    # Runs of a command that was stopped, or is repeated.
    for folder in sorted(workdir.glob(f"{_RUNS}/*/seed_*")):
        frozen.check_data(source.record, folder, base["data"])
    return min(counts[shot] for shot in request.wanted)


def _trained(
    request: Request, workdir: pathlib.Path, say: Callable[[str], None]
) -> tuple[dict[str, dict[int, pathlib.Path]], Sequence[str]]:
    """Trains the portfolio; the runs of each method, by seed, and who is left."""
    from dirjax import train
    from dirjax.choosing import models
    from dirjax.config import frozen

    runs: dict[str, dict[int, pathlib.Path]] = {m: {} for m in portfolio.METHODS}
    methods: Sequence[str] = portfolio.METHODS
    begin, seconds = time.monotonic(), []
    for number, seeds in enumerate(portfolio.ROUNDS):
        for seed in seeds:
            for method in methods:
                job = request.job(method, seed)
                folder, config = workdir / job.folder, jobs.build(job)
                if frozen.finished(config, folder) is None:
                    spent = time.monotonic() - begin
                    longest = max(seconds, default=0.0)
                    if seconds and spent + longest > 60 * request.minutes:
                        say(f"stops before {job.folder}: --minutes are used up")
                        return runs, [m for m in methods if runs[m]]
                    say(f"{job.folder} ({spent / 60:.1f} of {request.minutes:g} min)")
                    start = time.monotonic()
                    command = jobs.command(job, folder)
                    train.train_and_evaluate(
                        config, folder, show="nothing", command=command
                    )
                    seconds.append(time.monotonic() - start)
                runs[method][seed] = folder
        last = number + 2 == len(portfolio.ROUNDS)
        if number + 1 < len(portfolio.ROUNDS):
            found = {
                m: _best(models.Runs(m, runs[m]), request.wanted)[0] for m in methods
            }
            methods = portfolio.kept(found, last)
            dropped = [m for m in found if m not in methods]
            if dropped:
                say(f"after seed {seeds[-1]}, dropped: {', '.join(dropped)}")
    return runs, methods


def _best(model: models.Model, wanted: Mapping[str, float]) -> tuple[float, float, str]:
    """Validation error, tau and decode of a model's best correction."""
    return portfolio.best_point(model.frontiers(), wanted, model.decode)


def _boosted(
    request: Request,
    workdir: pathlib.Path,
    base: pathlib.Path,
    late: bool,
    say: Callable[[str], None],
) -> models.Model | None:
    """Gradient boosting on the data of the base; None where there is none.

    If it is late, only what was trained before counts.
    """
    from dirjax import data
    from dirjax.choosing import models
    from dirjax.workdir import run_files

    if not models.has_boosting(run_files.read_record(base)):
        return None
    folder = workdir / "boosting"
    boosting = models.Boosting(folder, portfolio.BOOSTED, base)
    if not all((folder / f"seed_{s}.npz").exists() for s in boosting.seeds):
        if late:
            say("without boosting: --minutes are used up")
            return None
        say("boosting (scikit-learn)")
        config = jobs.build(request.job(portfolio.BASE, 0))
        source = data.from_config(config["data"])
        boosting.train(source.splits, source.scale)
    return boosting


def choose(
    request: Request,
    workdir: pathlib.Path,
    *,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Chooses a method for a data set.

    Args:
      request: what is asked for.
      workdir: directory of the choice, created if missing.
      say: takes lines of progress.

    Returns:
      The content of `choice.json`: `wanted`; `candidates`, each with `method`, `tau`,
      `decode`, `seeds`, its validation error and the difference from the base with its
      interval; `winner`; `sentence`; `boosting`, likewise, or None.

    Raises:
      InputError: if the config, the data or the request is wrong.
    """
    from dirjax import report
    from dirjax.choosing import models, verdict
    from dirjax.workdir import files

    begin = time.monotonic()
    rows_wanted = _check(request, workdir)
    otherwise = request.undecided or portfolio.undecided(request.wanted, rows_wanted)
    runs, left = _trained(request, workdir, say)
    runs = {m: found for m, found in runs.items() if found}
    first = next(iter(runs[portfolio.BASE].values()))
    # A method that was dropped does not take part. The others are compared by the seeds
    # that all of them have: time may be up in the middle of a round.
    seeds = set.intersection(*(set(runs[m]) for m in left))
    whole = [models.Runs(m, {s: runs[m][s] for s in sorted(seeds)}) for m in left]
    plain = whole + [models.Runs(m, runs[m]) for m in runs if m not in left]
    together = [models.Together(m) for m in whole if len(seeds) >= models.LEAST]
    tried = []
    for model in (*plain, *together):
        value, tau, decode = _best(model, request.wanted)
        tried.append((value, verdict.Candidate(model, tau, decode)))
    tried.sort(key=lambda pair: (pair[0], pair[1].tau, pair[1].name))
    kept = next(m for m in whole if m.method == portfolio.BASE)
    base = verdict.Candidate(kept, 0.0, kept.decode)
    rows = verdict.Rows.of_run(first, "val")

    def gap(one: verdict.Candidate, other: verdict.Candidate):
        return verdict.difference(
            one, other, rows, "val", request.wanted, tests=len(tried)
        )

    gaps = [gap(one, base) for _, one in tried]
    fit = [
        (one, found)
        for (_, one), found in zip(tried, gaps, strict=True)
        if one.model in whole or one.model in together
    ]
    winner, parts = verdict.winner(fit, base, best=otherwise == "best")
    if winner is base and not request.undecided and rows_wanted < portfolio.FEWEST:
        parts.append(
            f"With {rows_wanted} validation rows of the wanted labels, fewer than "
            f"{portfolio.FEWEST}, the smallest error says nothing."
        )
    if winner is not base:
        parts.append(_tested(winner, base, first, request.wanted))
    sentence = " ".join(parts)
    say(sentence)
    chosen = _copied(winner, request.wanted, workdir)
    late = time.monotonic() - begin > 60 * request.minutes
    boosting = _boosted(request, workdir, first, late, say)
    outside = None
    if boosting is not None:
        value, tau, decode = _best(boosting, request.wanted)
        one = verdict.Candidate(boosting, tau, decode)
        apart = gap(one, winner)
        outside = _told(one, value, apart)
        outside["sentence"] = verdict.outside(one, winner, apart)
        say(outside["sentence"])
    record = {
        "wanted": dict(request.wanted),
        "candidates": [
            _told(one, value, found)
            for (value, one), found in zip(tried, gaps, strict=True)
        ],
        "winner": {
            "method": winner.model.method,
            "target": winner.prior["target"],
            "tau": winner.tau,
            "decode": winner.decode,
        },
        "sentence": sentence,
        "boosting": outside,
        "run": str(chosen),
    }
    files.write_json(workdir / CHOICE, record)
    page = report.write_report(
        [f for found in runs.values() for f in found.values()],
        workdir / "report",
        base=portfolio.BASE,
        split="val",
    )
    say(f"Report on the validation split: {page}")
    say(
        f"Next: python -m dirjax.predict --workdir {chosen} --input NEW.csv --output "
        "predictions.csv"
    )
    return record


def _tested(
    winner: verdict.Candidate,
    base: verdict.Candidate,
    run: pathlib.Path,
    wanted: Mapping[str, float],
) -> str:
    """How the winner does on the test split, which data need not have."""
    from dirjax.choosing import verdict
    from dirjax.workdir import run_files

    if not run_files.read_result(run)["test"]:
        return f"{winner.name} is untested: the data have no test split."
    shots = dict.fromkeys([*wanted, "all", *SHOTS])
    test = verdict.Rows.of_run(run, "test")
    said = verdict.compared(winner, base, test, "test", list(shots))
    return f"{winner.name}, test MAE: {said}."


def _told(one: verdict.Candidate, value: float, gap: Spread) -> dict[str, Any]:
    """What `choice.json` says of a candidate."""
    return {
        "method": one.model.method,
        "tau": one.tau,
        "decode": one.decode,
        "seeds": list(one.seeds),
        "val_error": value,
        "difference": gap.mean,
        "interval": gap.interval(),
    }


def _copied(
    winner: verdict.Candidate, wanted: Mapping[str, float], workdir: pathlib.Path
) -> pathlib.Path:
    """A run of the winner that corrects predictions: its best seed on validation, by
    the wanted error, or all of its seeds as members."""
    from dirjax import train
    from dirjax.choosing import models
    from dirjax.training.assemble import assemble
    from dirjax.workdir import files, run_files

    prior, model = winner.prior, winner.model
    target, half = workdir / "chosen", workdir / ".chosen"
    for folder in (target, half):
        shutil.rmtree(folder, ignore_errors=True)
    if isinstance(model, models.Together):
        config = assemble([model.of.runs[s] for s in model.seeds], half, prior)
    else:
        assert isinstance(model, models.Runs)

        def error(seed: int) -> float:
            points = (p for p in model.points(seed) if p["tau"] == winner.tau)
            point = next(p for p in points if p["decode"] == winner.decode)
            return portfolio.error(point["val"]["mae"], wanted)

        source = model.runs[min(model.seeds, key=error)]
        config = run_files.read_config(source)
        config = {**config, "prior": {**config["prior"], **prior}}
        shutil.copytree(source, half)
        # The copy evaluates its last state again, with the correction.
        (half / run_files.RESULT).unlink()
        files.write_json(half / run_files.CONFIG, config)
    half.rename(target)
    train.train_and_evaluate(config, target, show="nothing")
    return target


def help_text() -> str:
    """The text of `--help`."""
    from dirjax.config import choices

    return usage.text(
        "python -m dirjax.choose --config FILE.py[:METHOD,OPTION...] --workdir DIR "
        "[--config.FIELD=VALUE ...]",
        "Which method for this data? Trains a portfolio with several seeds, drops the "
        "worse half after each round, compares on the validation split, each method "
        "with its best correction for balanced labels, and looks at the test split "
        "once. The method of --config does not matter.",
        choices.sections(
            required=("config", "workdir"),
            flags=("for", "minutes", "undecided", "debug"),
        ),
        (
            "python -m dirjax.choose --config configs/csv.py --workdir choice "
            "--for few --config.data.path=my.csv --config.data.label=price",
            "python -m dirjax.choose --config configs/bikeshare.py --workdir choice "
            "--for few=2,all=1 --minutes 20",
        ),
    )


def main(argv: Sequence[str]) -> None:
    """Parses flags and chooses."""
    if config_files.asks_for_help(argv):
        print(help_text())
        return
    _, workdir = config_files.parse(argv)
    wanted = portfolio.weights(_FOR.value)
    if not _MINUTES.value > 0:
        raise errors.InputError(f"--minutes must be above 0, got {_MINUTES.value:g}.")
    file, options, fields = config_files.given()
    startup.prepare()
    entry.interruptible()  # Runs clean up.
    request = Request(file, options, fields, wanted, _MINUTES.value, _UNDECIDED.value)
    choose(request, workdir)


entry.also_called(__name__, "dirjax.interface.training:choice")

if __name__ == "__main__":
    startup.quiet()
    sys.exit(status.run(main, sys.argv, debug="--debug" in sys.argv))
