"""The phases of the Frobenius method as runs: targets, resuming, after other runs."""

import functools
import json
import shutil

import numpy as np
import pytest

from dirjax import data, errors
from dirjax.config import frozen
from dirjax.configs import methods
from dirjax.errors import InputError
from dirjax.evals.evaluator import Evaluator
from dirjax.training import stage_program as programs_lib
from dirjax.training.batches import batches
from dirjax.training.warm_start import warm_start
from tests import runs
from tests.features.test_prototypes import by_loops
from tests.program import test_resume

# Of 96 rows few bins have as many as five.
FIELDS = {"data__many": 4, "data__few": 2, "train__chunk": 1}
ENCODER = {"width": 8, "depth": 1, "dropout": 0.4}


def tiny(argument="frobenius,smoke", **fields):
    return runs.tiny(argument, **{**FIELDS, "model__encoder": ENCODER, **fields})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was not stopped, and its result."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    return workdir, runs.run(tiny(), workdir)


def posthoc(workdir, **fields):
    """A config that goes on with phases 2 and 3 after another run."""
    fields = {"init_from": str(workdir), "model__label_scaling": "deviation", **fields}
    return tiny("frobenius_posthoc,smoke", **fields)


def find(state):
    """The state of the term."""
    return state.objective_state["norm_target"]


@pytest.mark.slow
def test_the_log_tells_the_phases(whole):
    workdir, result = whole
    records = runs.log(workdir)
    assert [r["stage"] for r in records] == 3 * ["main"] + 3 * ["tune"]
    both = {"loss/norm_kl", "loss/norm_entropy", "norm/spearman", "norm/span"}
    assert all(both <= set(r) for r in records)
    assert all(("norm/gap" in r) == (r["stage"] == "tune") for r in records)
    for r in records[:3]:
        np.testing.assert_allclose(
            r["loss"], r["loss/l1"] + 0.1 * r["loss/norm_order"], rtol=1e-5
        )
        np.testing.assert_allclose(
            r["loss/norm_order"], r["loss/norm_kl"] + 0.1 * r["loss/norm_entropy"], 1e-5
        )
    gamma = methods.NORM_TARGET["weight"]
    for r in records[3:]:
        np.testing.assert_allclose(
            r["loss"], r["loss/l1"] + gamma * r["loss/norm_target"], rtol=1e-5
        )
        assert r["learning_rate"] == pytest.approx(1e-4)
    assert result["method"] == "frobenius"
    assert result["best_step"] > 3


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 5])
def test_resumed_at_the_border_and_inside(step, whole, tmp_path, monkeypatch):
    """Targets are found again, and found in the checkpoint, bit for bit."""
    workdir, result = whole
    with monkeypatch.context() as patch:
        test_resume.stop_after(patch, step)
        with pytest.raises(errors.Stopped):
            runs.run(tiny(), tmp_path)
    saved = {p.name for p in (tmp_path / "checkpoints").iterdir()}
    assert str(step) in saved
    if step > 3:
        with monkeypatch.context() as patch:
            patch.setattr(Evaluator, "moments", None)  # They are not measured again.
            parts = runs.run(tiny(), tmp_path)
    else:
        parts = runs.run(tiny(), tmp_path)
    before, after = (test_resume.last_state(w) for w in (workdir, tmp_path))
    assert [p for p, _ in before] == [p for p, _ in after]
    for (path, x), (_, y) in zip(before, after, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=str(path))
    assert parts["test"] == result["test"]
    for split in ("train", "val"):
        x, y = (test_resume.metrics_of(w, split) for w in (workdir, tmp_path))
        assert x == y


class Untouchable:
    """A split that must not be read."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} of another split than train was read")


@pytest.mark.slow
def test_targets_are_those_of_the_training_set_alone():
    """In evaluation mode: dropout is off. Validation and test are not touched."""
    run, (main, tune) = runs.built(tiny())
    before = programs_lib.begin(run, main, None)
    for split in ("val", "test"):
        run.source.splits[split] = Untouchable()
    with pytest.raises(AssertionError, match="was read"):
        next(iter(run.evaluator.batches("val")))
    state = programs_lib.begin(run, tune, runs.model_of(before))

    rows = run.source.splits["train"]
    inputs = run.network.prepare(data.stored(rows)["inputs"])
    z, _ = run.network.encode(
        before.params["model"], before.model_state, inputs, train=False
    )
    label, count, _, norm = by_loops(z, rows.bin, np.ones(96))
    measured, at = np.zeros(run.spec.bins.num), label.astype(int)
    measured[at] = norm
    term = find(state)
    np.testing.assert_allclose(term["measured"], measured, rtol=1e-5, atol=1e-6)
    many = count > 4
    assert 2 <= many.sum() < len(many)
    np.testing.assert_array_equal(np.flatnonzero(term["many"]), at[many])
    slope, intercept = np.polyfit(label[many], norm[many], 1)
    want = np.maximum(slope * np.arange(run.spec.bins.num) + intercept, 0)
    want[at[many]] = norm[many]
    np.testing.assert_allclose(term["target"], want, rtol=1e-3, atol=1e-4)

    # The stage itself reads nothing else, and leaves the targets as they are.
    steps = programs_lib.compiled_steps(run, tune)
    assert programs_lib.collecting(run, tune, "epoch") is None
    kept = np.array(term["target"])
    for _, number, batch in batches(
        run, run.source.training, tune.stage.start, tune.stage.stop
    ):
        state, _ = steps(state, batch, np.int32(number), programs_lib.seeds(run))
    assert int(state.step) == tune.stage.stop
    np.testing.assert_array_equal(find(state)["target"], kept)
    found = programs_lib.by_bin(run, tune, state)
    np.testing.assert_array_equal(found["norm_target"], kept)
    np.testing.assert_allclose(found["norm_measured"], measured, rtol=1e-5, atol=1e-6)
    line = slope * np.arange(run.spec.bins.num) + intercept
    np.testing.assert_allclose(found["norm_line"], np.maximum(line, 0), 1e-3, 1e-4)


@pytest.mark.slow
def test_prototypes_of_the_data_set_in_a_run():
    """Measured before the first step and after the epoch, dropout off."""
    run, (main,) = runs.built(
        tiny("frobenius_order,smoke", objective__terms__norm_order__source="data")
    )
    rows = run.source.splits["train"]
    inputs = run.network.prepare(data.stored(rows)["inputs"])

    def check(state):
        params = state.params["model"]
        encode = functools.partial(run.network.encode, train=False)
        z, _ = encode(params, state.model_state, inputs)
        label, _, mean, _ = by_loops(z, rows.bin, np.ones(96))
        memory = state.objective_state["norm_order"]["memory"]
        np.testing.assert_array_equal(np.flatnonzero(memory.seen), label)
        known = memory.mean[label.astype(int)]
        np.testing.assert_allclose(known, mean, rtol=1e-4, atol=1e-6)
        return np.array(memory.mean)

    state = programs_lib.begin(run, main, None)
    first = check(state)
    steps = programs_lib.compiled_steps(run, main)
    refresh = programs_lib.collecting(run, main, "epoch")
    for _, number, batch in batches(run, run.source.training, main.stage.start, 3):
        state, _ = steps(state, batch, np.int32(number), programs_lib.seeds(run))
    kept = state.objective_state["norm_order"]["memory"].mean
    np.testing.assert_allclose(kept, first, rtol=1e-6, atol=1e-7)
    assert np.abs(check(refresh(state)) - first).max() > 1e-3


def test_labels_that_are_all_rare(tmp_path):
    with pytest.raises(InputError, match=r"stage 'tune': .* threshold of many-shot"):
        runs.run(tiny(data__many=96), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
class TestInitFrom:
    @pytest.mark.slow
    def test_the_best_state_of_a_run(self, whole):
        workdir, result = whole
        run, (tune,) = runs.built(posthoc(workdir))
        state = programs_lib.begin(run, tune, warm_start(run))
        assert int(state.step) == 0
        scores = run.evaluator.evaluate(*runs.model_of(state), "test").scores
        assert json.loads(json.dumps(scores)) == result["test"]
        assert np.any(find(state)["target"])

    def test_any_preset_and_a_fresh_head(self, whole):
        workdir, _ = whole
        fields = {
            "init_from": str(workdir),
            "stage__main__reinit": ("head",),
        }
        # Labels are scaled otherwise, which a fresh head does not mind.
        run, (main,) = runs.built(tiny("vanilla,smoke", **fields))
        start = old, _ = warm_start(run)
        new = programs_lib.begin(run, main, start).params["model"]
        np.testing.assert_array_equal(
            new["encoder"]["hidden_0"]["kernel"], old["encoder"]["hidden_0"]["kernel"]
        )
        assert np.any(new["head"]["linear"]["kernel"])
        assert not np.any(old["head"]["linear"]["kernel"])

    @pytest.mark.slow
    def test_a_run(self, whole, tmp_path):
        workdir, _ = whole
        made = posthoc(workdir)
        result = runs.run(made, tmp_path)
        assert result["method"] == "frobenius_posthoc"
        assert {r["stage"] for r in runs.log(tmp_path)} == {"tune"}
        assert np.isfinite(result["test"]["mae"]["all"])
        # Once it has begun, the other run may go.
        made["init_from"] = str(tmp_path / "gone")
        (tmp_path / "config.json").write_text(json.dumps(frozen.to_json(made)))
        (tmp_path / "result.json").unlink()
        assert runs.run(made, tmp_path)["test"] == result["test"]

    def test_what_is_missing(self, whole, tmp_path):
        workdir, _ = whole
        with pytest.raises(
            InputError, match=r"config\.init_from must be the directory"
        ):
            runs.run(posthoc(""), tmp_path / "new")
        empty = tmp_path / "empty"
        shutil.copytree(workdir, empty, ignore=shutil.ignore_patterns("[0-9]*"))
        broken = tmp_path / "broken"
        shutil.copytree(workdir, broken)
        (broken / "data.json").write_text("{")
        for folder, words in (
            (tmp_path / "none", "has no result.json"),
            (empty, "with checkpoints"),
            (broken, "no readable data.json"),
        ):
            with pytest.raises(InputError, match=words) as told:
                runs.run(posthoc(folder), tmp_path / "new")
            assert str(folder) in str(told.value)
            assert not (tmp_path / "new" / "config.json").exists()

    def test_a_damaged_checkpoint(self, whole, tmp_path):
        """Told, and not taken for one of the run that begins."""
        broken = tmp_path / "broken"
        shutil.copytree(whole[0], broken)
        for file in (broken / "checkpoints").glob("*/state/**/*"):
            if file.is_file():
                file.write_bytes(b"")
        with pytest.raises(errors.Failed, match=r"Set config\.init_from to"):
            runs.run(posthoc(broken), tmp_path / "new")

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            (
                {"model__encoder": {"width": 4, "depth": 1}},
                r"different parameters .*hidden",
            ),
            ({"model__encoder": {"width": 8, "depth": 2}}, r"hidden_1/bias nothing ->"),
            ({"data__scaling": "robust"}, r"prepared its inputs .*\(.*table"),
            ({"data__both": 0}, r"prepared its inputs .*encoder"),
            ({"model__label_scaling": "standard"}, r"\(label_scaling\).*'head'"),
        ],
    )
    def test_what_does_not_fit(self, fields, words, whole, tmp_path):
        workdir, _ = whole
        with pytest.raises(InputError, match=words) as told:
            runs.run(posthoc(workdir, **fields), tmp_path / "new")
        assert str(workdir) in str(told.value)
        assert "\n" not in str(told.value)
        assert not (tmp_path / "new" / "config.json").exists()
