"""`python -m dirjax.main --config configs/DATASET.py:METHOD --workdir DIR`."""

from __future__ import annotations

import os
import pathlib
import shlex
import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from dirjax import cli, config_files, startup

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "FILE.py:METHOD[,OPTION...]", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.")
_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of a wrong input.")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    "JAX_COORDINATOR_ADDRESS" in os.environ,
    "One of several processes. On Cloud TPU, Slurm and Open MPI nothing else is "
    "needed; elsewhere set JAX_COORDINATOR_ADDRESS (host:port), JAX_NUM_PROCESSES and "
    "JAX_PROCESS_ID.",
)


def main(argv: Sequence[str]) -> None:
    """Parses flags and trains."""
    config_files.parse(argv, "config")
    made = config_files.require(_CONFIG)
    workdir = config_files.require(_WORKDIR)
    startup.prepare()
    if _DISTRIBUTED.value:
        startup.join()
    from dirjax import config, train

    train.train_and_evaluate(
        config.plain(made),
        pathlib.Path(workdir).expanduser(),
        command=shlex.join(["python", "-m", "dirjax.main", *argv[1:]]),
    )


if __name__ == "__main__":
    startup.quiet()
    sys.exit(cli.run(main, sys.argv, debug="--debug" in sys.argv))
