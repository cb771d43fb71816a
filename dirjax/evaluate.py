"""`python -m dirjax.evaluate --workdir DIR [--split val|test] [--step best|last|N]`.

Evaluates a checkpoint of a run on the run's data, without training.

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
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dirjax import errors
from dirjax.cli import arguments, status
from dirjax.runtime import startup
from dirjax.workdir import run_files

if TYPE_CHECKING:  # it needs JAX, which a command imports late
    from dirjax.training.build import Pieces


def restore(
    workdir: pathlib.Path, *, split: str = "test", step: str = "best"
) -> tuple[Pieces, int, tuple[Any, Any]]:
    """Loads data and model of a run, and one of its states.

    Args:
      workdir: directory of a run.
      split: a split that must exist.
      step: "best", "last", or the number of a saved step.

    Returns:
      Data and model; the step; parameters and running statistics.

    Raises:
      InputError: if there is no such run, split or step.
    """
    from dirjax.config import frozen
    from dirjax.runtime import sharding
    from dirjax.training.build import build
    from dirjax.workdir.checkpoints import Checkpoints

    config = run_files.read_config(workdir)
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
        return pieces, chosen, checkpoints.restore_model(chosen, placement)


def evaluate(
    workdir: pathlib.Path,
    *,
    split: str = "test",
    step: str = "best",
    features: bool = False,
) -> dict[str, Any]:
    """Metrics of one checkpoint.

    Args:
      workdir: directory of a run.
      split: "train", "val" or "test".
      step: "best", "last", or the number of a saved step.
      features: write `features.npz`, for "train" `features_train.npz`, into `workdir`.

    Returns:
      The leading fields of `result.json`, with `split`, `best_step` (the evaluated
      step) and the metrics under the split's name.

    Raises:
      InputError: if there is no such run, split or step.
    """
    from dirjax import metrics

    pieces, chosen, model = restore(workdir, split=split, step=step)
    scores, _ = pieces.evaluator.evaluate(*model, split)
    metrics.check_identity(scores)
    if features:
        arrays = pieces.evaluator.features(*model, split)
        arrays |= _by_bin(workdir, pieces, chosen)
        run_files.write_features(workdir, arrays, chosen)
    return {
        "dataset": pieces.source.name,
        "method": pieces.config["method"],
        "seed": pieces.config["seed"],
        "best_step": chosen,
        "split": split,
        split: scores,
    }


def _by_bin(workdir: pathlib.Path, pieces: Pieces, step: int) -> dict[str, Any]:
    """Per-bin arrays of the objective of a state."""
    from dirjax.training import stage_program as programs_lib
    from dirjax.workdir.checkpoints import Checkpoints

    stage = pieces.plan.stage_at(step - 1)
    program = programs_lib.stage_program(pieces, stage)
    like = programs_lib.abstract_state(pieces, program)
    with Checkpoints.of_run(workdir) as checkpoints:
        return programs_lib.by_bin(program, checkpoints.restore(step, like))


def _main(argv: Sequence[str]) -> None:
    parser = arguments.Parser(
        "evaluate",
        "Metrics of a checkpoint by shot, without training.",
        (
            "python -m dirjax.evaluate --workdir runs/bike --split val",
            "python -m dirjax.evaluate --workdir runs/bike --features",
        ),
    )
    parser.add_argument("--split", default="test", help="test (default), val or train")
    parser.add_argument(
        "--output", type=pathlib.Path, metavar="FILE.json", help="write them here, too"
    )
    parser.add_argument(
        "--features",
        action="store_true",
        help="also write norms, variances and errors by label bin into the run",
    )
    options = parser.parse_args(argv)
    if options.output:
        arguments.check_output(options.output)
    startup.prepare()
    scores = evaluate(
        options.workdir,
        split=options.split,
        step=options.step,
        features=options.features,
    )
    from dirjax import report
    from dirjax.workdir import files

    # Before printing, which ends the command if nobody reads all of it.
    if options.output:
        files.write_json(options.output, scores)
    print(report.scores_text(options.workdir, scores))
    if options.features:
        name = run_files.features_file(options.split)
        print(f"Features: {options.workdir / name}")


def main() -> int:
    """Runs the command; returns the exit status."""
    startup.quiet()
    return status.run(_main, sys.argv[1:], debug="--debug" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
