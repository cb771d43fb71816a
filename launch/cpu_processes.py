"""A pod of CPU processes on one machine, to try out many processes without a pod.

    python launch/cpu_processes.py -n 2 -d 2 -- --config configs/bikeshare.py:fds \
        --workdir runs/pod

starts `-n` processes of `dirjax.main` with `-d` CPU devices each. They talk through
JAX's own collectives, as the hosts of a pod do. The exit status is that of the first
process that failed, or 0; when one fails the others are stopped.
"""

import argparse
import os
import socket
import subprocess
import sys
import time


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(processes: int, devices: int, command: list[str]) -> list[subprocess.Popen]:
    """Starts the processes; only the first one's output is shown."""
    address = f"127.0.0.1:{free_port()}"
    running = []
    for number in range(processes):
        # The last of two equal flags counts.
        flags = os.environ.get("XLA_FLAGS", "")
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={devices}",
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(processes),
            "JAX_PROCESS_ID": str(number),
        }
        out = None if number == 0 else subprocess.DEVNULL
        running.append(subprocess.Popen(command, env=environment, stdout=out))
    return running


def wait(running: list[subprocess.Popen]) -> int:
    """Waits for all; stops the rest when one fails."""
    while True:
        codes = [p.poll() for p in running]
        failed = [c for c in codes if c]
        if failed:
            for process in running:
                process.terminate()
            for process in running:
                process.wait()
            return failed[0]
        if all(c == 0 for c in codes):
            return 0
        time.sleep(0.05)


def main() -> int:
    """Parses arguments and runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-n", "--processes", type=int, default=2)
    parser.add_argument("-d", "--devices", type=int, default=1)
    parser.add_argument("arguments", nargs="*", help="arguments of dirjax.main")
    args = parser.parse_args()
    command = [sys.executable, "-m", "dirjax.main", *args.arguments]
    return wait(start(args.processes, args.devices, command))


if __name__ == "__main__":
    sys.exit(main())
