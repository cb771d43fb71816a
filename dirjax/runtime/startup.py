"""Startup of a command: logging, compilation cache, memory, other processes."""

from __future__ import annotations

import logging as standard_logging
import os
import pathlib
import sys
import warnings
from typing import Any

from dirjax.errors import InputError
from dirjax.runtime import allocator


def quiet() -> None:
    """Keeps compiler and library chatter off the terminal. Call before JAX is used."""
    from absl import logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Its kernels, which tf.data does not use, announce themselves past that level.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    logging.set_verbosity(logging.ERROR)
    quiet_orbax()
    sys.unraisablehook = _unless_of_orbax(sys.unraisablehook)
    warnings.filterwarnings("ignore", "coroutine .* never awaited", RuntimeWarning)


def quiet_orbax() -> None:
    """Drops what Orbax logs, as a library may do: it raises what matters."""
    for name in ("absl", "asyncio"):
        standard_logging.getLogger(name).addFilter(_is_not_of_orbax)


# When Orbax cannot read or write, it raises and also logs the error several times. Its
# pending work on other arrays reports once more, past any handler.


def _is_not_of_orbax(record: standard_logging.LogRecord) -> bool:
    if "orbax" not in record.pathname and "orbax" not in record.getMessage():
        return True
    import jax

    # With several processes, the others wait for minutes before one raises.
    return jax.distributed.is_initialized()


def _unless_of_orbax(hook: Any) -> Any:
    def filtered(report: Any) -> None:
        code = getattr(report.object, "cr_code", None)
        dropped = code is not None and "orbax" in code.co_filename
        if not dropped and str(report.exc_value) != "Event loop is closed":
            hook(report)

    return filtered


def prepare(*, distributed: bool = False) -> None:
    """Tunes the allocator, sets up the compilation cache on disk, finds the devices.

    The folder is JAX_COMPILATION_CACHE_DIR, by default ~/.cache/dirjax/xla. Programs
    compiled in less than JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS, by default 0.3,
    are not cached.

    Args:
      distributed: join the other processes of a pod first.

    Raises:
      InputError: if JAX has no devices of the wanted kind.
    """
    allocator.tune_allocator()
    import jax

    keep_programs()
    if distributed:
        _join()
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the second without a message
        wanted = os.environ.get("JAX_PLATFORMS")
        if not wanted:
            raise
        why = f"{error}".partition("(set JAX_PLATFORMS")[0].strip(" .\n")
        why = why.replace("\n", " ") or "there is none"
        raise InputError(
            f"JAX_PLATFORMS must name a kind of device that JAX can use here, got "
            f"{wanted!r} ({why}). Unset it, set JAX_PLATFORMS=cpu, or install JAX for "
            "that device: https://docs.jax.dev/en/latest/installation.html."
        ) from error


def keep_programs() -> None:
    """Sets up the compilation cache on disk (see `prepare`), unless there is one."""
    import jax

    if getattr(jax.config, "jax_compilation_cache_dir", None):
        return
    default = pathlib.Path("~/.cache/dirjax/xla").expanduser()
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(default))
    jax.config.update("jax_compilation_cache_dir", folder)
    seconds = os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", float(seconds))


def _join() -> None:
    """Joins the other processes of a pod.

    On Cloud TPU, Slurm and Open MPI JAX finds them; elsewhere set
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.
    """
    import jax

    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    address, count, number = (os.environ.get(name) for name in names)
    jax.distributed.initialize(
        address, int(count) if count else None, int(number) if number else None
    )
