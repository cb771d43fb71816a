"""`python -m dirjax.evaluate --workdir DIR [--split val|test] [--step best|last|N]`.

Evaluates a checkpoint of a run again, without training; the data is that of the run.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from dirjax import arguments, cli, startup


def evaluate(
    workdir: pathlib.Path, *, split: str = "test", step: str = "best"
) -> dict[str, Any]:
    """Metrics of one checkpoint.

    Args:
      workdir: directory of a run.
      split: "train", "val" or "test".
      step: "best", "last", or the number of a step that was saved.

    Returns:
      The head of `result.json`, with `split`, `best_step` (the step that was
      evaluated) and the metrics under the name of the split.

    Raises:
      InputError: if there is no such run, split or step.
    """
    from dirjax import config as config_lib
    from dirjax import metrics
    from dirjax.checkpoint import Checkpoints
    from dirjax.run import Run

    config = config_lib.read(workdir)
    checkpoints = Checkpoints.of_run(workdir)
    try:
        chosen = checkpoints.choose(step)
        run = Run(config)
        config_lib.check_data(run.source.record, workdir, config["data"])
        if split not in run.source.splits:
            raise cli.InputError(
                f"--split must be one of {', '.join(run.source.splits)}, got {split!r}."
            )
        stage = run.plan.stage_at(chosen - 1)
        scores, _ = run.evaluate(
            checkpoints.restore(chosen, run.abstract(stage)), split
        )
    finally:
        checkpoints.close()
    metrics.check_identity(scores)
    return {
        "dataset": run.source.name,
        "method": config["method"],
        "seed": config["seed"],
        "best_step": chosen,
        "split": split,
        split: scores,
    }


def _main(argv: Sequence[str]) -> None:
    parser = arguments.Parser("evaluate", "Metrics of a checkpoint, without training.")
    parser.add_argument("--split", default="test", help="test (default), val or train")
    parser.add_argument(
        "--output", type=pathlib.Path, metavar="FILE.json", help="write them here, too"
    )
    options = parser.parse_args(argv)
    startup.prepare()
    scores = evaluate(options.workdir, split=options.split, step=options.step)
    from dirjax import report, writers

    print(report.scores_text(options.workdir, scores))
    if options.output:
        arguments.check_output(options.output)
        writers.write_json(options.output, scores)


def main() -> int:
    """Runs the command; returns the exit status."""
    startup.quiet()
    return cli.run(_main, sys.argv[1:], debug="--debug" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
