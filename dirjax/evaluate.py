"""`python -m dirjax.evaluate --workdir DIR [--split val|test] [--input FILE]`.

Evaluates a checkpoint of a run on the run's data, without training; or, with `--input`,
on a new labelled file, with the bins and shots of the run.

With `--features` it also writes `features.npz` into the run directory, or, with
`--split train`, `features_train.npz`. The report draws the balance of features from
the first (see `balance.py`), and norms and errors from both. Each holds, by label bin,

    edges                 [bins + 1], in units of the label
    count                 [bins] examples of the split
    error                 [bins] mean absolute error, in units of the label
    norm                  [bins] mean L2 norm of features
    norm_std              [bins] sample standard deviation of these norms
    norm_prototype        [bins] L2 norm of the mean feature
    variance_mean         [bins] variance within the bin, mean over features
    variance_log_product  [bins] the same, geometric mean over features

(NaN in empty bins; deviation and variances in bins with fewer than two examples, too),
and as single values `total_mean` and `total_log_product` (of the whole split), `dim`,
`split` and `step`. Runs of the Frobenius method add `norm_measured`, `norm_line` and
`norm_target`, `[bins]` each: training norms, line and targets at the start of
fine-tuning. A run with `eval.features=True` ends with both files.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dirjax import errors
from dirjax.cli import arguments, status
from dirjax.correct import priors
from dirjax.runtime import startup
from dirjax.workdir import run_files

if TYPE_CHECKING:  # it needs JAX, which a command imports late
    from dirjax.training.build import Pieces


def restore(
    workdir: pathlib.Path,
    *,
    split: str = "test",
    step: str = "best",
    data: pathlib.Path | None = None,
) -> tuple[Pieces, int, tuple[Any, Any]]:
    """Loads data and model of a run, and one of its states.

    Args:
      workdir: directory of a run.
      split: a split that must exist.
      step: "best", "last", or the number of a saved step.
      data: where the data of the run is now; None if it has not moved.

    Returns:
      Data and model; the step; parameters and running statistics.

    Raises:
      InputError: if there is no such run, split or step.
    """
    from dirjax.config import frozen
    from dirjax.runtime import sharding
    from dirjax.training.build import build
    from dirjax.workdir.checkpoints import Checkpoints

    config = frozen.moved(run_files.read_config(workdir), workdir, data)
    with Checkpoints.of_run(workdir) as checkpoints:
        chosen = checkpoints.choose(step)
        pieces = build(config)
        frozen.check_data(pieces.source.record, workdir, config["data"])
        if split not in pieces.source.splits:
            raise errors.InputError(
                f"--split must be one of {', '.join(pieces.source.splits)}, got "
                f"{split!r}."
            )
        placement = sharding.replicated(pieces.mesh)
        best = step == "best"
        model = checkpoints.restore_model(chosen, placement, best=best)
        return pieces, chosen, model


def evaluate(
    workdir: pathlib.Path,
    *,
    split: str = "test",
    step: str = "best",
    features: bool = False,
    data: pathlib.Path | None = None,
    prior: Mapping[str, Any] | None = None,
    taus: Sequence[float] = (),
) -> dict[str, Any]:
    """Metrics of one checkpoint.

    Args:
      workdir: directory of a run.
      split: "train", "val" or "test".
      step: "best", "last", or the number of a saved step.
      features: write `features.npz`, for "train" `features_train.npz`, into `workdir`.
      data: see `restore`.
      prior: fields of `config.prior` to change: the label distribution that predictions
        are for.
      taus: strengths of the correction to compare; by default those of `result.json`.
        A single one is used.

    Returns:
      The leading fields of `result.json`, with `split`, `best_step` (the evaluated
      step) and the metrics under the split's name; where a correction was asked for,
      also `prior`, `frontier` and `distribution`.

    Raises:
      InputError: if there is no such run, split or step, or nothing to fit the
        correction on.
    """
    return _of_split(workdir, split, step, features, data, prior or {}, taus).result


class _Scored(NamedTuple):
    """Metrics, sentences on the rows, and arrays of them as in `predictions.npz`."""

    result: dict[str, Any]
    notes: tuple[str, ...]
    rows: dict[str, Any]


def _of_split(
    workdir: pathlib.Path,
    split: str,
    step: str,
    features: bool,
    data: pathlib.Path | None,
    prior: Mapping[str, Any],
    taus: Sequence[float],
) -> _Scored:
    """What `evaluate` returns, with the rows."""
    from dirjax import metrics
    from dirjax.evals import corrected

    pieces, chosen, model = restore(workdir, split=split, step=step, data=data)
    wanted = corrected.merged(pieces.config["prior"], prior)
    more: dict[str, Any] = {}
    if prior or taus or not corrected.is_own(wanted):
        scores, rows, more = _corrected(pieces, model, split, wanted, taus, workdir)
    else:
        found = pieces.evaluator.evaluate(*model, split)
        scores, rows = found.scores, found.stored
        for one in found.targets.values() or (found,):
            metrics.check_identity(one.scores)
        if found.targets:
            more["targets"] = {n: {split: f.scores} for n, f in found.targets.items()}
            rows = {n: f.stored for n, f in found.targets.items()}
        if pieces.members > 1:
            more["members"] = {split: found.members}
    if features:
        run_files.refuse_targets(
            workdir, "features by label bin", "Leave out --features."
        )
        arrays = pieces.evaluator.features(*model, split)
        arrays |= _by_bin(workdir, pieces, chosen)
        run_files.write_features(workdir, arrays, chosen)
    result = {
        "dataset": pieces.source.name,
        "method": pieces.config["method"],
        "seed": pieces.config["seed"],
        "best_step": chosen,
        "split": split,
        split: scores,
        **more,
    }
    return _Scored(result, (), rows)


def _corrected(
    pieces: Pieces,
    model: tuple[Any, Any],
    split: str,
    prior: Mapping[str, Any],
    taus: Sequence[float],
    workdir: pathlib.Path,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Metrics and rows of a split for another label distribution, and its record."""
    from dirjax.evals import corrected, frontier
    from dirjax.training import results

    corrected.check_tau(prior, bool(taus))
    tau = taus[0] if len(taus) == 1 else prior["tau"]
    scores, stored, more = results.evaluated(
        pieces,
        *model,
        splits=tuple(dict.fromkeys(("val", split))),
        prior={**prior, "tau": tau},
        taus=taus or frontier.TAUS,
    )
    each = more.get("targets", {"": more})
    if any(own["prior"] is None for own in each.values()):
        splits = pieces.source.splits
        rows = len(splits["val"].label) if "val" in splits else 0
        raise errors.InputError(
            "--prior needs a prediction for each row, and of a model that predicts "
            "numbers two validation rows or more for its residuals; the data of "
            f"{workdir} have {rows or 'none'}. Leave it out."
        )
    if pieces.targets:
        return scores[split], {n: of[split] for n, of in stored.items()}, more
    return scores[split], stored[split], more


def evaluate_file(
    workdir: pathlib.Path,
    path: pathlib.Path,
    *,
    step: str = "best",
    on_bad: str = "error",
    prior: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Metrics of one checkpoint on a new labelled file.

    Args:
      workdir: directory of a run.
      path: see `new_file.evaluate`.
      step: "best", "last", or the number of a saved step.
      on_bad: "error" or "skip" for unusable rows.
      prior: see `evaluate`.

    Returns:
      As from `evaluate`, with the metrics under "input"; and sentences on the rows.

    Raises:
      InputError: if there is no such run or step, or the file does not fit.
    """
    return _of_file(workdir, path, step, on_bad, prior or {})[:2]


def _of_file(
    workdir: pathlib.Path,
    path: pathlib.Path,
    step: str,
    on_bad: str,
    prior: Mapping[str, Any],
) -> _Scored:
    """What `evaluate_file` returns, with the rows."""
    from dirjax import metrics
    from dirjax.evals import new_file, targets

    how: dict[str, Any] = {"step": step, "on_bad": on_bad, "prior": prior}
    names = run_files.read_targets(workdir)
    each = {
        name: new_file.evaluate(workdir, path, target=target, **how)
        for target, name in enumerate(names)
    } or {"": new_file.evaluate(workdir, path, **how)}
    for _, scores, *_ in each.values():
        metrics.check_identity(scores)
    model, scores, notes, rows = next(iter(each.values()))
    more: dict[str, Any] = {}
    if names:
        of_each = {n: scores for n, (_, scores, *_) in each.items()}
        units = {n: run_files.read_result(f)["unit"] for n, f in names.items()}
        scores = targets.mean_scores(of_each, units)
        more = {"targets": {n: {"input": own} for n, own in of_each.items()}}
        notes = tuple(
            f"{n}: {note}" for n, (*_, said, _) in each.items() for note in said
        )
        rows = {n: arrays for n, (*_, arrays) in each.items()}
    found = {
        "dataset": model.config["data"]["name"],
        "method": model.config["method"],
        "seed": model.config["seed"],
        "best_step": model.step,
        "split": "input",
        "input": scores,
        "file": str(path),
        "notes": list(notes),
        **more,
    }
    return _Scored(found, notes, rows)


def _by_bin(workdir: pathlib.Path, pieces: Pieces, step: int) -> dict[str, Any]:
    """Per-bin arrays of the objective of a state."""
    from dirjax.training import stage_program as programs_lib
    from dirjax.workdir.checkpoints import Checkpoints

    stage = pieces.plan.stage_at(step - 1)
    program = programs_lib.stage_program(pieces, stage)
    like = programs_lib.abstract_state(pieces, program)
    with Checkpoints.of_run(workdir) as checkpoints:
        return programs_lib.by_bin(pieces, program, checkpoints.restore(step, like))


def _main(argv: Sequence[str]) -> None:
    parser = arguments.Parser(
        "evaluate",
        "Metrics of a checkpoint by shot, without training.",
        (
            "python -m dirjax.evaluate --workdir runs/bike --split val",
            "python -m dirjax.evaluate --workdir runs/mine --input new.csv",
            "python -m dirjax.evaluate --workdir runs/bike --prior uniform",
        ),
    )
    parser.add_argument("--split", help="test (default), val or train")
    parser.add_argument(
        "--input",
        action=arguments.LocalPath,
        metavar="FILE",
        help="evaluate on this labelled file, with the bins and shots of the run",
    )
    arguments.add_on_bad(parser, "unusable rows of --input", "leave them out")
    arguments.add_data(parser)
    arguments.add_prior(parser, priors.TARGETS)
    parser.add_argument(
        "--tau",
        metavar="T[,T...]",
        help="strengths of the correction to compare, 0 to 1; a single one is used",
    )
    parser.add_argument(
        "--output",
        action=arguments.LocalPath,
        metavar="FILE.json",
        help="write them here, too",
    )
    parser.add_argument(
        "--features",
        action="store_true",
        help="also write norms, variances and errors by label bin into the run",
    )
    options = parser.parse_args(argv)
    if options.output:
        arguments.check_output(options.output)
    for flag in ("split", "data", "features"):
        if options.input and getattr(options, flag):
            raise errors.InputError(
                f"--input takes no --{flag}, which is about the data of the run. Leave "
                "one of them out."
            )
    taus = arguments.shares("--tau", options.tau)
    if options.input and len(taus) > 1:
        raise errors.InputError(
            f"--input takes one --tau, got {options.tau}. Compare several on a split "
            "of the run."
        )
    startup.prepare()
    folder, step = options.workdir, options.step
    if options.input:
        prior = arguments.prior(options, taus[0] if taus else None)
        found = _of_file(folder, options.input, step, options.on_bad, prior)
    else:
        options.split = options.split or "test"
        prior = arguments.prior(options)
        found = _of_split(
            folder, options.split, step, options.features, options.data, prior, taus
        )
    from dirjax import report
    from dirjax.workdir import files

    # Before printing, which ends the command if nobody reads all of it.
    if options.output:
        files.write_json(options.output, found.result)
    for line in found.notes:
        print(line)
    print(report.scores_text(folder, found.result, found.rows))
    several = found.result.get("targets") or {"": found.result}
    for name, own in several.items():
        if own.get("frontier"):
            text = report.frontier_text({**found.result, **own}, options.split)
            print(*[name] * bool(name), text, sep="\n")
    if options.features:
        name = run_files.features_file(options.split)
        print(f"Features: {folder / name}")


def main() -> int:
    """Runs the command; returns the exit status."""
    startup.quiet()
    return status.run(_main, sys.argv[1:], debug="--debug" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
