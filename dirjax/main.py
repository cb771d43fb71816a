"""`python -m dirjax.main --config configs/DATASET.py:METHOD --workdir DIR`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from absl import flags

from dirjax.cli import config_files, status
from dirjax.runtime import startup

_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    "JAX_COORDINATOR_ADDRESS" in os.environ,
    "Run as one of several processes. On Cloud TPU, Slurm and Open MPI nothing else "
    "is needed; elsewhere set JAX_COORDINATOR_ADDRESS (host:port), JAX_NUM_PROCESSES "
    "and JAX_PROCESS_ID.",
)


def main(argv: Sequence[str]) -> None:
    """Parses flags and trains."""
    made, workdir = config_files.parse(argv)
    startup.prepare()
    if _DISTRIBUTED.value:
        startup.join()
    from dirjax import train
    from dirjax.config import frozen

    train.train_and_evaluate(
        frozen.plain(made),
        workdir,
        command=shlex.join(["python", "-m", "dirjax.main", *argv[1:]]),
    )


if __name__ == "__main__":
    startup.quiet()
    sys.exit(status.run(main, sys.argv, debug="--debug" in sys.argv))
