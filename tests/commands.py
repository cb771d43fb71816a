"""Runs commands as a user would, in separate processes or in this one."""

import contextlib
import importlib.util
import mmap
import os
import pathlib
import subprocess
import sys
import time
import warnings
from unittest import mock

from absl import flags

from dirjax.cli import status


def _fast_compiler() -> str:
    """XLA flags that cut compilation to a third; XLA aborts on unknown flags."""
    always = (
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    )
    # The fusion emitter takes as long as the rest of compilation, and splitting code
    # generation takes longer than doing it in one part.
    wanted = {
        "xla_cpu_use_fusion_emitters": "false",
        "xla_cpu_parallel_codegen_split_count": "1",
    }
    spec = importlib.util.find_spec("jaxlib")
    assert spec is not None
    assert spec.origin is not None
    for library in pathlib.Path(spec.origin).parent.glob("libjax_common.*"):
        with (
            library.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            for name, value in wanted.items():
                if content.find(name.encode()) >= 0:
                    always += f" --{name}={value}"
    return always


FAST_COMPILER = _fast_compiler()


def environment(devices: int = 1) -> dict[str, str]:
    """This process's environment, with a number of CPU devices."""
    count = f"--xla_force_host_platform_device_count={devices}"
    return os.environ | {"XLA_FLAGS": f"{FAST_COMPILER} {count}"}


def run(*command, devices: int = 1, **kwargs) -> subprocess.CompletedProcess:
    """Runs `python COMMAND...` to completion."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        env=environment(devices),
        timeout=240,
        **kwargs,
    )


def wait_for_lines(workdir: pathlib.Path, running: list[subprocess.Popen]) -> None:
    """Waits until a run has written a few lines of metrics."""
    log = workdir / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") > 3):
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in running)
        time.sleep(0.05)


@contextlib.contextmanager
def _own_flags():
    """Takes back what a command line does to the flags of the process."""
    known = flags.FLAGS.flag_values_dict()
    try:
        yield
    finally:
        for name in set(flags.FLAGS) - set(known):
            delattr(flags.FLAGS, name)
        for name, value in known.items():
            flags.FLAGS[name].value = value


def here(main, *argv: str) -> int:
    """The exit status of a command with flags of absl, in this process."""
    # ml_collections makes the flags of fields from sys.argv, and loads files its way.
    argv_of = mock.patch.object(sys, "argv", [*argv])
    with _own_flags(), argv_of, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the load_module", DeprecationWarning)
        return status.run(main, argv)
