"""`python -m dirjax.main --config configs/DATASET.py:METHOD --workdir DIR`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from absl import flags

from dirjax import errors
from dirjax.cli import config_files, entry, status, usage
from dirjax.runtime import startup

_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    "JAX_COORDINATOR_ADDRESS" in os.environ,
    "Run as one of several processes. On Cloud TPU, Slurm and Open MPI nothing else "
    "is needed; elsewhere set JAX_COORDINATOR_ADDRESS (host:port), JAX_NUM_PROCESSES "
    "and JAX_PROCESS_ID.",
)


_DATA = flags.DEFINE_string(
    "data",
    None,
    "Where the data of the run is now, if it has moved since; its content is checked.",
)


def help_text() -> str:
    """The text of `--help`."""
    from dirjax.config import choices

    return usage.text(
        "python -m dirjax.main --config FILE.py[:METHOD[,OPTION...]] --workdir DIR "
        "[--config.FIELD=VALUE ...]",
        "Trains a model, evaluates it on val and test, and writes a report into the "
        "run directory. The same command on a directory with a checkpoint resumes it; "
        "with more steps (--config.stage.main.steps) it makes the run longer.",
        choices.sections(
            required=("config", "workdir"), flags=("data", "distributed", "debug")
        ),
        (
            "python -m dirjax.main --config configs/bikeshare.py:sqinv_lds "
            "--workdir runs/bike",
            "python -m dirjax.main --config configs/csv.py:lds_fds --workdir runs/mine "
            "--config.data.path=my.csv --config.data.label=price",
        ),
    )


def main(argv: Sequence[str]) -> None:
    """Parses flags and trains."""
    if config_files.asks_for_help(argv):
        print(help_text())
        return
    made, workdir = config_files.parse(argv)
    startup.prepare(distributed=_DISTRIBUTED.value)
    from dirjax import train
    from dirjax.config import frozen

    entry.interruptible()  # A run cleans up.
    train.train_and_evaluate(
        frozen.plain(made),
        workdir,
        command=shlex.join(["python", "-m", "dirjax.main", *argv[1:]]),
        data=errors.local_path("--data", _DATA.value) if _DATA.value else None,
    )


if __name__ == "__main__":
    startup.quiet()
    sys.exit(status.run(main, sys.argv, debug="--debug" in sys.argv))
