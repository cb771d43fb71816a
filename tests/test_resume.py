"""A run that is stopped and resumed is the run that was not, bit for bit."""

import json
import signal

import jax
import numpy as np
import pytest

from dirjax import checkpoint, cli, writers
from tests import runs


def last_state(workdir):
    """The newest checkpoint as a flat list of numpy arrays."""
    manager = checkpoint.Checkpoints(workdir / "checkpoints")
    import orbax.checkpoint as ocp

    state = manager._manager.restore(
        manager.latest(), args=ocp.args.Composite(state=ocp.args.StandardRestore())
    )["state"]
    manager.close()
    return jax.tree_util.tree_leaves_with_path(jax.tree.map(np.asarray, state))


def stop_after(monkeypatch, step):
    """Sends SIGTERM while the record before `step` is written."""
    write = writers.Many.write

    def wrapped(self, record):
        write(self, record)
        if record["step"] == step - 1 and record["split"] == "train":
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(writers.Many, "write", wrapped)


@pytest.mark.parametrize("method", ["fds", "rrt", "sqinv_lds_fds", "rrt_lds_fds"])
def test_three_and_three_are_six(method, tmp_path, monkeypatch):
    made = runs.tiny(f"{method},smoke", train__chunk=1)
    whole = runs.run(made, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(cli.Stopped) as stopped:
            runs.run(made, tmp_path / "parts")
    assert stopped.value.signal == signal.SIGTERM
    assert not (tmp_path / "parts" / "result.json").exists()
    parts = runs.run(made, tmp_path / "parts")

    before, after = last_state(tmp_path / "whole"), last_state(tmp_path / "parts")
    assert [p for p, _ in before] == [p for p, _ in after]
    for (path, x), (_, y) in zip(before, after, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=str(path))
    assert whole["test"] == parts["test"]
    assert whole["best_step"] == parts["best_step"]
    with (
        np.load(tmp_path / "whole" / "predictions.npz") as x,
        np.load(tmp_path / "parts" / "predictions.npz") as y,
    ):
        np.testing.assert_array_equal(x["prediction"], y["prediction"])
    for split in ("train", "val"):
        x, y = (runs.log(tmp_path / name, split) for name in ("whole", "parts"))
        for a, b in zip(x, y, strict=True):
            for record in (a, b):
                record.pop("time")
                record.pop("examples_per_second", None)
            assert a == b


def test_stretches_of_the_loop_do_not_matter(tmp_path):
    one = runs.run(runs.tiny("fds,smoke", train__chunk=2), tmp_path / "two")
    other = runs.run(runs.tiny("fds,smoke", train__chunk=5), tmp_path / "five")
    assert one["test"] == other["test"]


def test_same_seed_same_numbers_other_seed_others(tmp_path):
    one = runs.run(runs.tiny("sqinv_lds,smoke"), tmp_path / "a")
    same = runs.run(runs.tiny("sqinv_lds,smoke"), tmp_path / "b")
    other = runs.run(runs.tiny("sqinv_lds,smoke", seed=1), tmp_path / "c")
    assert one["test"] == same["test"]
    assert one["test"]["mae"] != other["test"]["mae"]


def test_a_finished_run_is_left_alone(tmp_path):
    made = runs.tiny("vanilla,smoke")
    first = runs.run(made, tmp_path)
    before = (tmp_path / "result.json").stat().st_mtime_ns
    assert runs.run(made, tmp_path) == first
    assert (tmp_path / "result.json").stat().st_mtime_ns == before


def test_another_config_is_refused_by_field(tmp_path):
    runs.run(runs.tiny("vanilla,smoke"), tmp_path)
    with pytest.raises(cli.InputError, match=r"seed 0 -> 7"):
        runs.run(runs.tiny("vanilla,smoke", seed=7), tmp_path)


def test_readers_give_the_same_run(tmp_path):
    one = runs.run(runs.tiny("vanilla,smoke"), tmp_path / "array")
    other = runs.run(runs.tiny("vanilla,smoke", data__reader="tf"), tmp_path / "tf")
    assert one["test"] == other["test"]


def test_second_stage_keeps_the_encoder(tmp_path):
    made = runs.tiny("rrt,smoke")
    result = runs.run(made, tmp_path)
    assert result["steps"] == 6
    assert result["best_step"] > 3
    stages = [r["stage"] for r in runs.log(tmp_path)]
    assert stages == ["main"] * 3 + ["head"] * 3
    text = (tmp_path / "metrics.jsonl").read_text()
    assert all(json.loads(line) for line in text.splitlines())
