"""Runs that go on, and runs that stop early."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from dirjax import errors, train
from dirjax.config.plan import plan
from dirjax.runtime.interrupts import Interrupts
from dirjax.training import results
from dirjax.training.build import build
from dirjax.training.longer import longer_run
from tests import own_data, runs
from tests.program.test_resume import last_state, metrics_of, stop_after


def longer(made, steps, stage="main"):
    """A copy of a config with another number of steps."""
    made = json.loads(json.dumps(made))
    made["stage"][stage]["steps"] = steps
    return made


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a finished run of six steps."""
    return shutil.copytree(tiny_run, tmp_path / "run")


class TestLonger:
    @pytest.mark.slow
    def test_a_finished_run_goes_on(self, run, capsys):
        before = runs.log(run)
        done = train.train_and_evaluate(longer(runs.tiny("vanilla,smoke"), 9), run)
        out, _ = capsys.readouterr()
        assert done["steps"] == 9
        assert runs.result(run)["steps"] == 9
        assert [r["step"] for r in runs.log(run)] == list(range(1, 10))
        assert runs.log(run)[:6] == before
        assert "resuming from step 6 of 9\n" in out
        # A cosine of 9 steps is at 3/4 of its fall after 6.
        rate = done["steps"] and runs.log(run)[6]["learning_rate"]
        np.testing.assert_allclose(rate, 0.002 * 0.25, rtol=1e-5)
        assert (
            "going on to step 9, not 6: the learning rate goes from 0.00013 to 0.0005 "
            "and then follows the cosine schedule of 9 steps" in out
        )

    @pytest.mark.slow
    def test_it_is_finished_at_its_new_length(self, run, capsys):
        made = longer(runs.tiny("vanilla,smoke"), 7)
        train.train_and_evaluate(made, run, show="nothing")
        before = own_data.snapshot(run)
        train.train_and_evaluate(made, run, show="nothing")
        assert own_data.snapshot(run) == before

    def test_a_constant_rate_goes_on(self, tiny_run):
        made = runs.tiny("vanilla,smoke", stage__main__schedule="constant")
        pieces = build(longer(made, 9))
        (was,) = plan(made, 96).stages
        (now,) = pieces.plan.stages
        from dirjax.training import longer as longer_lib

        assert longer_lib._rates(was, now, 6) == (
            "the learning rate goes on at 0.002 (constant schedule)"
        )

    def test_shorter_is_refused_and_nothing_changes(self, run):
        before = own_data.snapshot(run)
        with pytest.raises(errors.InputError, match=r"only grow .* was 6, got 5"):
            runs.run(longer(runs.tiny("vanilla,smoke"), 5), run)
        assert own_data.snapshot(run) == before

    def test_another_change_is_still_refused(self, run):
        made = longer(runs.tiny("vanilla,smoke", seed=7), 9)
        with pytest.raises(errors.InputError, match=r"seed 0 -> 7; stage\.main\.steps"):
            runs.run(made, run)

    @pytest.mark.slow
    def test_a_finished_run_says_how(self, run, capsys):
        train.train_and_evaluate(runs.tiny("vanilla,smoke"), run)
        first = capsys.readouterr().out.splitlines()[0]
        assert first == (
            f"{run} is finished after 6 steps. A larger --config.stage.main.steps goes "
            "on from there."
        )

    def test_only_the_last_stage_of_several(self, tmp_path):
        made = runs.tiny("rrt,smoke")
        folder = tmp_path / "run"
        (folder / "checkpoints" / "6").mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(made))
        with pytest.raises(errors.InputError) as raised:
            longer_run(build(longer(made, 5, "main")), folder)
        assert "stage head builds on the end of main" in str(raised.value)
        assert "--config.stage.head.steps=N" in str(raised.value)
        (said,) = longer_run(build(longer(made, 5, "head")), folder)
        assert said.startswith("going on to step 8, not 6: the learning rate goes from")

    def test_a_run_in_its_first_stage_may_change_both(self, tmp_path):
        made = runs.tiny("rrt,smoke")
        folder = tmp_path / "run"
        (folder / "checkpoints" / "2").mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(made))
        (said,) = longer_run(build(longer(longer(made, 5), 5, "head")), folder)
        assert "going on to step 10, not 6" in said

    @pytest.mark.slow
    def test_a_stopped_run_goes_on(self, tmp_path, monkeypatch):
        made = runs.tiny("vanilla,smoke", train__chunk=1)
        with monkeypatch.context() as patch:
            stop_after(patch, 3)
            with pytest.raises(errors.Stopped):
                runs.run(made, tmp_path)
        assert runs.run(longer(made, 8), tmp_path)["steps"] == 8


def test_a_stop_says_how_to_go_on():
    with pytest.raises(errors.Stopped, match=r"after step 5, .* To go on: a 'b c'$"):
        Interrupts().stop_after(5, "a 'b c'")
    with pytest.raises(errors.Stopped, match=r"run the same command again\.$"):
        Interrupts().stop_after(5)


def impatient(**fields):
    """A run that evaluates every step and does not get better: its rate is tiny."""
    fields = {"eval__every": 1 / 3, "train__patience": 2, "train__chunk": 1, **fields}
    made = runs.tiny("vanilla,smoke", stage__main__learning_rate=1.0, **fields)
    made["stage"]["main"]["steps"] = 30
    return made


@pytest.fixture(scope="module")
def early(shared):
    """A run that stopped early."""
    made = impatient()
    return shared("early", lambda folder: runs.run(made, folder / "run")) / "run"


@pytest.fixture(scope="module")
def pieces():
    return build(runs.tiny("vanilla,smoke"))


class TestPatience:
    def test_the_result_says_so(self, early):
        done = runs.result(early)
        values = [r["mae/all"] for r in runs.log(early, "val")]
        best = int(np.argmin(values)) + 1
        assert done["stopped_early"] is True
        assert done["planned_steps"] == 30
        assert done["best_step"] == best
        assert done["steps"] == len(values) == best + 2 < 30

    @pytest.mark.slow
    def test_without_patience_it_is_the_same_run_but_longer(self, early, tmp_path):
        done = runs.run(impatient(train__patience=0), tmp_path)
        assert (done["steps"], done["stopped_early"]) == (30, False)
        several = runs.result(early)["steps"]
        for split in ("train", "val"):
            every = metrics_of(tmp_path, split)
            assert metrics_of(early, split) == [
                r for r in every if r["step"] <= several
            ]

    @pytest.mark.slow
    def test_killed_before_its_result_it_is_done(self, early, tmp_path):
        run = shutil.copytree(early, tmp_path / "run")
        (run / "result.json").unlink()
        done = runs.run(impatient(), run)
        timed = ("train_seconds", "examples_per_second")
        same = {k: v for k, v in runs.result(early).items() if k not in timed}
        assert {k: v for k, v in done.items() if k not in timed} == same

    @pytest.mark.slow
    def test_stopped_on_its_way_it_counts_on(self, early, tmp_path, monkeypatch):
        steps = runs.result(early)["steps"]
        with monkeypatch.context() as patch:
            stop_after(patch, steps - 1)
            with pytest.raises(errors.Stopped):
                runs.run(impatient(), tmp_path / "parts")
        assert runs.run(impatient(), tmp_path / "parts")["steps"] == steps
        before, after = last_state(early), last_state(tmp_path / "parts")
        for (path, x), (_, y) in zip(before, after, strict=True):
            np.testing.assert_array_equal(x, y, err_msg=str(path))

    @pytest.mark.slow
    def test_more_patience_goes_on(self, early, tmp_path):
        run = shutil.copytree(early, tmp_path / "run")
        done = runs.run(impatient(train__patience=0), run)
        assert (done["steps"], done["stopped_early"]) == (30, False)
        assert runs.run(impatient(train__patience=5), run) == done

    def test_it_needs_a_validation_split(self, tmp_path):
        rows = [f"{row},train" for row in own_data.ROWS[:40]]
        rows += [f"{row},test" for row in own_data.ROWS[40:]]
        text = own_data.table(rows, f"{own_data.HEADER},split")
        file = own_data.write(tmp_path, "t.csv", text)
        made = own_data.config(file, train__patience=1, **own_data.TINY)
        with pytest.raises(errors.InputError, match=r"train\.patience needs a val"):
            runs.run(made, tmp_path / "run")

    def test_only_the_last_stage_ends_early(self):
        several = plan(runs.tiny("rrt,smoke", train__patience=1), 96)
        assert not several.gives_up(1, 3)
        assert several.gives_up(4, 6)

    @pytest.mark.parametrize(
        ("best", "step", "ends"),
        [(1, 1, False), (1, 2, False), (1, 3, True), (2, 3, False), (None, 6, False)],
    )
    def test_evaluations_since_the_best(self, best, step, ends):
        assert plan(impatient(), 96).gives_up(best, step) is ends


class TestRemarks:
    def said(self, pieces, **changes):
        select = {"split": "val", "metric": "mae", "shot": "all"}
        result = {"select": select, "planned_steps": 6, "stopped_early": False}
        result |= {"steps": 6, "best_step": 6, **changes}
        return list(results.remarks(pieces, result))

    def test_nothing_to_say(self, pieces):
        assert self.said(pieces) == []
        assert self.said(pieces, best_step=2) == []

    def test_the_best_step_came_early(self, pieces):
        (line,) = self.said(pieces, best_step=1)
        assert "best val MAE came early, at step 1, after 17% of training" in line
        assert "--config.train.patience=10" in line

    def test_of_a_stage(self, pieces):
        (stage,) = pieces.plan.stages
        head = dataclasses.replace(stage, name="head", start=6, steps=10)
        both = dataclasses.replace(pieces.plan, stages=(stage, head))
        pieces = dataclasses.replace(pieces, plan=both)
        (line,) = self.said(pieces, best_step=8, steps=16)
        assert "after 20% of stage head" in line

    def test_stopped_early(self, pieces):
        (line,) = self.said(pieces, stopped_early=True, steps=4, best_step=2)
        assert line.startswith("stopped early at step 4 of 6: ")
        assert "without a better val MAE than at step 2" in line
