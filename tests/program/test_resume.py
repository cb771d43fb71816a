"""A run that is stopped and resumed is the run that was not, bit for bit."""

import signal

import jax
import numpy as np
import pytest

from dirjax import errors
from dirjax.training import stage_program as programs_lib
from dirjax.training.batches import batches
from dirjax.training.build import build
from dirjax.workdir import checkpoints, writers
from tests import own_data, runs


def last_state(workdir):
    """The newest checkpoint as a flat list of numpy arrays."""
    manager = checkpoints.Checkpoints(workdir / "checkpoints")
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


def metrics_of(workdir, split):
    """Records of a split without clock readings."""
    timed = ("time", "examples_per_second")
    lines = runs.log(workdir, split)
    return [{k: v for k, v in r.items() if k not in timed} for r in lines]


@pytest.mark.parametrize(
    "method",
    [
        "lds_fds",
        pytest.param("rrt_lds_fds", marks=pytest.mark.slow),
        # Noise has the same keys as dropout, see test_frobenius.py; then parts of it.
        pytest.param("sqinv_ssir", marks=pytest.mark.slow),
        pytest.param("fds", marks=pytest.mark.slow),
        pytest.param("rrt", marks=pytest.mark.slow),
        pytest.param("sqinv_lds_fds", marks=pytest.mark.slow),
    ],
)
def test_three_and_three_are_six(method, tmp_path, monkeypatch):
    made = runs.tiny(f"{method},smoke", train__chunk=1)
    whole = assert_resumes(made, 3, tmp_path, monkeypatch)
    if method.startswith("rrt"):
        # The second stage keeps the encoder and begins anew with the head.
        assert whole["steps"] == 6
        assert whole["best_step"] > 3
        stages = [r["stage"] for r in runs.log(tmp_path / "whole")]
        assert stages == ["main"] * 3 + ["head"] * 3


@pytest.mark.slow
def test_augmented_views_go_on_as_they_would_have(tmp_path, monkeypatch):
    fields = {"data__augment__crop": 2, "data__augment__flip": True}
    made = runs.tiny_images("group_etf,joint,smoke", train__chunk=1, **fields)
    # Two views, though one stage.
    made["stage"]["main"]["views"] = 2
    assert_resumes(made, 2, tmp_path, monkeypatch)


def assert_resumes(made, step, tmp_path, monkeypatch):
    """A run that is stopped after `step` is the whole one, whose result it returns."""
    whole = runs.run(made, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        with pytest.raises(errors.Stopped) as stopped:
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
    # One file, or one for each target.
    files = sorted((tmp_path / "whole").rglob("predictions.npz"))
    assert files
    for file in files:
        same = tmp_path / "parts" / file.relative_to(tmp_path / "whole")
        with np.load(file) as x, np.load(same) as y:
            np.testing.assert_array_equal(x["prediction"], y["prediction"])
    for split in ("train", "val"):
        x, y = (metrics_of(tmp_path / name, split) for name in ("whole", "parts"))
        assert x == y
    return whole


@pytest.mark.slow
def test_a_stop_between_all_boundaries(tmp_path, monkeypatch):
    """SIGTERM inside an epoch, with an evaluated best state not yet on disk."""
    fields = {"train__chunk": 2, "log__every": 2}
    fields |= {"eval__every": 1 / 3, "checkpoint__every": 9.0}
    made = runs.tiny("sqinv_lds_fds,smoke", **fields)
    made["stage"]["main"]["steps"] = 12
    whole = runs.run(made, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(errors.Stopped):
            runs.run(made, tmp_path / "parts")
    saved = checkpoints.Checkpoints(tmp_path / "parts" / "checkpoints")
    assert saved.latest() in (5, 6)
    assert saved.best() is not None
    saved.close()
    assert runs.run(made, tmp_path / "parts")["test"] == whole["test"]
    x, y = (metrics_of(tmp_path / name, "val") for name in ("whole", "parts"))
    assert x == y


@pytest.mark.slow
def test_stretches_of_the_loop_do_not_matter(tmp_path):
    fields = {"log__every": 6, "eval__every": 0.0, "checkpoint__every": 0.0}
    results, lengths = [], []
    for chunk in (2, 5):
        made = runs.tiny("sqinv_lds,smoke", train__chunk=chunk, **fields)
        lengths.append([n for _, n in build(made).plan.chunks(0)])
        results.append(runs.run(made, tmp_path / str(chunk)))
    assert lengths == [[2, 1, 2, 1], [3, 3]]
    assert results[0]["test"] == results[1]["test"]


@pytest.mark.slow
def test_lines_of_the_log_hold_every_step(tiny_run, tmp_path):
    """Evaluations between two lines take nothing from the later one."""
    fields = {"train__chunk": 1, "checkpoint__every": 0.0}
    six = runs.tiny("vanilla,smoke", log__every=6, eval__every=1 / 3, **fields)
    runs.run(six, tmp_path / "six")
    each = [r["loss"] for r in runs.log(tiny_run)]
    assert len(each) == 6
    (line,) = runs.log(tmp_path / "six")
    np.testing.assert_allclose(line["loss"], np.mean(each), rtol=1e-6)


@pytest.mark.slow
def test_the_average_of_a_second_stage_starts_afresh():
    """Its warm-up counts the steps of the stage, not of the run."""
    run, (main, head) = runs.built(
        runs.tiny("rrt,smoke", train__average_decay=0.999, train__chunk=1)
    )
    state = programs_lib.begin(run, main, None)
    state = programs_lib.begin(run, head, runs.model_of(state))
    assert int(state.step) == head.stage.start == 3
    before = np.asarray(state.average["head"]["linear"]["kernel"])
    steps = programs_lib.compiled_steps(run, head)
    _, count, batch = next(
        batches(run, run.source.training, head.stage.start, head.stage.stop)
    )
    state, _ = steps(state, batch, np.int32(count), programs_lib.seeds(run))
    now = np.asarray(state.params["model"]["head"]["linear"]["kernel"])
    average = np.asarray(state.average["head"]["linear"]["kernel"])
    np.testing.assert_allclose(average, 0.1 * before + 0.9 * now, rtol=1e-5)


@pytest.mark.slow
def test_same_seed_same_numbers_other_seed_others(tiny_run, tmp_path):
    one = runs.result(tiny_run)
    same = runs.run(runs.tiny("vanilla,smoke"), tmp_path / "b")
    other = runs.run(runs.tiny("vanilla,smoke", seed=1), tmp_path / "c")
    assert one["test"] == same["test"]
    assert one["test"]["mae"] != other["test"]["mae"]


def test_a_finished_run_is_left_alone(tiny_run):
    before = own_data.snapshot(tiny_run)
    written = (tiny_run / "result.json").stat().st_mtime_ns
    assert runs.run(runs.tiny("vanilla,smoke"), tiny_run) == runs.result(tiny_run)
    assert own_data.snapshot(tiny_run) == before
    assert (tiny_run / "result.json").stat().st_mtime_ns == written


def test_another_config_is_refused_by_field(tiny_run):
    with pytest.raises(errors.InputError, match=r"seed 0 -> 7"):
        runs.run(runs.tiny("vanilla,smoke", seed=7), tiny_run)


@pytest.mark.slow
def test_readers_give_the_same_run(tiny_run, tmp_path):
    other = runs.run(runs.tiny("vanilla,smoke", data__reader="tf"), tmp_path / "tf")
    assert runs.result(tiny_run)["test"] == other["test"]
