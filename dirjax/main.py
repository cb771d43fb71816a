"""`python -m dirjax.main --config configs/DATASET.py:METHOD --workdir DIR`."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Sequence

from absl import flags, logging
from ml_collections import config_flags

from dirjax import cli, config_files

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "FILE.py:METHOD[,OPTION...]", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.")
_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of a wrong input.")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Call jax.distributed.initialize() (pods, Slurm, MPI)."
)


def _quiet() -> None:
    """Keeps compiler and library chatter off the terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.ERROR)


def _compilation_cache() -> None:
    """A restart does not compile again."""
    import jax

    default = pathlib.Path("~/.cache/dirjax/xla").expanduser()
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(default))
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def main(argv: Sequence[str]) -> None:
    """Parses flags and trains."""
    config_files.parse(argv, "config")
    for flag, name in ((_CONFIG, "config"), (_WORKDIR, "workdir")):
        if not flag.value:
            raise cli.InputError(f"--{name} is missing. Give it, see --help.")
    _compilation_cache()
    if _DISTRIBUTED.value or "JAX_COORDINATOR_ADDRESS" in os.environ:
        import jax

        jax.distributed.initialize()
    from dirjax import config, train

    train.train_and_evaluate(
        config.plain(_CONFIG.value), pathlib.Path(_WORKDIR.value).expanduser()
    )


if __name__ == "__main__":
    _quiet()
    sys.exit(cli.run(main, sys.argv, debug="--debug" in sys.argv))
