"""Runs commands as a user would, in separate processes."""

import importlib.util
import mmap
import os
import pathlib
import subprocess
import sys
import time


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
