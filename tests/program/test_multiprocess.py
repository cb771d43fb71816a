"""One device = four devices = two processes: the global batch is the batch."""

import json
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests import commands, runs

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "launch"))
import cpu_processes

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARGUMENTS = (
    "--config=configs/bikeshare.py:{method},smoke",
    "--config.stage.main.steps=8",
    "--config.data.limit=256",
    "--config.log.every=4",
    "--config.train.chunk=2",
    "--config.model.encoder.width=16",
    "--config.model.encoder.depth=1",
    f"--config.data.drop={runs.DROPPED}",
    "--config.data.many=20",
    "--config.data.few=4",
)


def run(method, workdir, devices, processes, init_from=None):
    """The result, the losses and the predictions of one run."""
    arguments = [a.format(method=method) for a in ARGUMENTS] + [f"--workdir={workdir}"]
    if init_from:
        arguments[1] = "--config.stage.tune.steps=8"
        arguments.append(f"--config.init_from={init_from}")
    if processes > 1:
        start = [str(ROOT / "launch" / "cpu_processes.py"), "-n", str(processes)]
        done = commands.run(*start, "-d", devices, "--", *arguments)
    else:
        done = commands.run("-m", "dirjax.main", *arguments, devices=devices)
    assert done.returncode == 0, done.stderr
    result = json.loads((workdir / "result.json").read_text())
    losses = [r["loss"] for r in runs.log(workdir)]
    with np.load(workdir / "predictions.npz") as arrays:
        return result, losses, arrays["prediction"]


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize(
    ("method", "alone"),
    [
        ("sqinv_lds_fds", True),
        # Four devices of one process are in test_contract.py, too.
        ("frobenius", False),
        # From another run.
        ("frobenius_posthoc", False),
    ],
)
def test_devices_and_processes_do_not_matter(method, alone, tmp_path):
    start = None
    if method == "frobenius_posthoc":
        start = tmp_path / "start"
        run("vanilla", start, devices=1, processes=1)
    one = run(method, tmp_path / "one", 1, 1, init_from=start)
    others = [run(method, tmp_path / "pod", 2, 2, init_from=start)]
    assert others[0][0]["processes"] == 2
    if alone:
        others.append(run(method, tmp_path / "four", 4, 1, init_from=start))
    for other in others:
        np.testing.assert_allclose(other[1], one[1], rtol=1e-4)
        np.testing.assert_allclose(other[2], one[2], rtol=1e-3, atol=1e-2)
        for metric in ("mae", "rmse", "gm"):
            for shot, value in one[0]["test"][metric].items():
                if value is not None:
                    now = other[0]["test"][metric][shot]
                    np.testing.assert_allclose(now, value, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_sigterm_to_one_process_stops_all_with_a_checkpoint(tmp_path):
    """A pod agrees on a step, whichever process hears of the signal."""
    port = cpu_processes.free_port()
    started = []
    for number in range(2):
        environment = commands.environment(devices=1) | {
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
            "JAX_NUM_PROCESSES": "2",
            "JAX_PROCESS_ID": str(number),
        }
        command = [sys.executable, "-m", "dirjax.main", f"--workdir={tmp_path}"]
        command += ["--config=configs/bikeshare.py:vanilla", "--config.log.every=5"]
        command += [a for a in ARGUMENTS if "encoder" in a or "data.drop" in a]
        started.append(
            subprocess.Popen(
                [*command, "--config.train.chunk=5"],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    commands.wait_for_lines(tmp_path, started)
    started[1].send_signal(signal.SIGTERM)
    errors = [p.communicate(timeout=90)[1] for p in started]
    assert [p.returncode for p in started] == [143, 143], errors
    assert not (tmp_path / "result.json").exists()
    names = {p.name for p in (tmp_path / "checkpoints").iterdir()}
    assert any(name.isdigit() for name in names), names
