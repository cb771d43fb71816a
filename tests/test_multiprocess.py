"""One device = four devices = two processes of two: the global batch is the batch."""

import json
import pathlib

import numpy as np
import pytest

from tests import commands, runs

ROOT = pathlib.Path(__file__).resolve().parents[1]
ARGUMENTS = (
    "--config=configs/bikeshare.py:{method},smoke",
    "--config.stage.main.steps=8",
    "--config.data.limit=256",
    "--config.log.every=1",
    "--config.train.chunk=2",
)


def run(method, workdir, devices, processes):
    """The result, the losses and the predictions of one run."""
    arguments = [a.format(method=method) for a in ARGUMENTS] + [f"--workdir={workdir}"]
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


@pytest.mark.multiprocess
@pytest.mark.parametrize("method", ["sqinv_lds_fds"])
def test_devices_and_processes_do_not_matter(method, tmp_path):
    one = run(method, tmp_path / "one", devices=1, processes=1)
    four = run(method, tmp_path / "four", devices=4, processes=1)
    pod = run(method, tmp_path / "pod", devices=2, processes=2)
    assert pod[0]["processes"] == 2
    for other in (four, pod):
        np.testing.assert_allclose(other[1], one[1], rtol=1e-4)
        np.testing.assert_allclose(other[2], one[2], rtol=1e-3, atol=1e-2)
        for metric in ("mae", "rmse", "gm"):
            for shot, value in one[0]["test"][metric].items():
                if value is not None:
                    now = other[0]["test"][metric][shot]
                    np.testing.assert_allclose(now, value, rtol=1e-4)
