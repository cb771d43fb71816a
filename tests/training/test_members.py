"""Several networks in one program: each is the run of its own seed."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import noise
from dirjax.errors import InputError
from dirjax.evals import eval_step
from dirjax.evals.predictor import Predictor
from dirjax.models.heads import ExpertOutputs, Outputs
from dirjax.ops import densities
from dirjax.training import members as members_lib
from dirjax.training import stage_program as programs_lib
from dirjax.training.batches import batches
from dirjax.training.train_step import NEVER, TrainState
from dirjax.training.warm_start import warm_start
from dirjax.workdir import run_files
from dirjax.workdir.checkpoints import Checkpoints
from tests import runs, toy

# Statistics at the end of epochs, an average of parameters, and two stages.
METHODS = {
    "vanilla": {"train__average_decay": 0.0},
    "fds": {"train__average_decay": 0.9},
    "rrt": {"train__average_decay": 0.0},
    "histogram": {"train__average_decay": 0.0},
}


@functools.cache
def trained(tmp, method, seed, number):
    """A finished run: its folder and result."""
    argument = f"{method},smoke"
    made = runs.tiny(argument, seed=seed, model__members=number, **METHODS[method])
    folder = tmp / f"{method}-{seed}-{number}"
    return folder, runs.run(made, folder)


@pytest.fixture(scope="module")
def tmp(tmp_path_factory):
    return tmp_path_factory.mktemp("members")


def predictions(folder, split="test"):
    return run_files.read_predictions(folder, split)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_each_is_the_run_of_its_seed(tmp, method):
    folder, result = trained(tmp, method, 4, 2)
    found, seeds = result["members"], (4, 5)
    assert found["seeds"] == [*seeds]
    alone = [trained(tmp, method, seed, 1) for seed in seeds]
    for m, (_, want) in enumerate(alone):
        assert found["best_steps"][m] == want["best_step"]
        assert want["members"] is None
        for split in ("val", "test"):
            known = {name: want[split][name] for name in found[split][m]}
            assert not trees_differ(found[split][m], known)
    if method != "histogram":  # the mean of two numbers
        each = [predictions(place)["prediction"] for place, _ in alone]
        got = predictions(folder)["prediction"]
        np.testing.assert_allclose(got, np.mean(each, axis=0), rtol=1e-5)


def trees_differ(got, want):
    """The leaves of two results that differ by more than rounding; None is equal."""
    got, want = (jax.tree_util.tree_leaves_with_path(t) for t in (got, want))
    assert [p for p, _ in got] == [p for p, _ in want]
    return [
        path
        for (path, x), (_, y) in zip(got, want, strict=True)
        if not np.isclose(x, y, rtol=1e-5, atol=1e-7)
    ]


@pytest.mark.slow
def test_best_state_of_each(tmp):
    """Members that are best at different steps keep different states."""
    state = TrainState(
        step=jnp.int32(3),
        params={"model": jnp.arange(2.0)[:, None], "objective": {}},
        model_state={"mean": jnp.zeros((2, 1))},
        objective_state={},
        opt_state={},
        average={},
        best=jax.vmap(members_lib.no_best)(
            -jnp.ones((2, 1)), {"mean": -jnp.ones((2, 1))}
        ),
    )
    assert members_lib.newest(state) is None
    np.testing.assert_array_equal(members_lib.best_model(state)[0], [[0], [1]])
    first = members_lib.keep_best(state, jnp.asarray([2.0, 5.0]))
    later = first._replace(step=jnp.int32(7), params={"model": jnp.full((2, 1), 9.0)})
    later = members_lib.keep_best(later, jnp.asarray([2.0, 4.0]))
    params, model_state = members_lib.best_model(later)
    np.testing.assert_array_equal(params, [[0], [9]])
    np.testing.assert_array_equal(model_state["mean"], [[0], [0]])
    assert members_lib.newest(later) == (7, 3.0)
    found = members_lib.record(later, seed=8)
    assert found == {"seeds": [8, 9], "best_steps": [3, 7]}


@pytest.mark.slow
def test_longer_is_uninterrupted(tmp):
    def of(steps, folder):
        made = runs.tiny("vanilla,smoke", seed=4, model__members=2)
        made["stage"]["main"] |= {"steps": steps, "schedule": "constant"}
        return runs.run(made, tmp / folder)

    whole = of(6, "whole")
    of(3, "resumed")
    resumed = of(6, "resumed")
    for name in ("val", "test", "members"):
        assert resumed[name] == whole[name]
    placement = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    states = []
    for folder in ("whole", "resumed"):
        with Checkpoints.of_run(tmp / folder) as checkpoints:
            states.append(checkpoints.restore_model(6, placement, best=False))
    chex.assert_trees_all_equal(*states)


@pytest.mark.slow
def test_predictor_has_the_best_of_each(tmp):
    folder, _ = trained(tmp, "vanilla", 4, 2)
    pieces, _ = runs.built(runs.tiny("vanilla,smoke", seed=4, model__members=2))
    got = Predictor(folder)(pieces.source.splits["test"].inputs)
    np.testing.assert_allclose(got, predictions(folder)["prediction"], rtol=1e-6)


def test_batches_and_states_have_an_axis_for_members():
    pieces, (program,) = runs.built(runs.tiny("vanilla,smoke", model__members=2))
    train = pieces.source.training
    _, _, batch = next(batches(pieces, train, 0, 2))
    single = [runs.built(runs.tiny("vanilla,smoke", seed=s))[0] for s in (0, 1)]
    alone = [next(batches(one, train, 0, 2))[2] for one in single]
    for m, want in enumerate(alone):
        got = jax.tree.map(lambda x, m=m: x[:, m], batch)
        chex.assert_trees_all_equal(got, want)
    state = programs_lib.abstract_state(pieces, program)
    assert state.step.shape == ()
    assert {x.shape[0] for x in jax.tree.leaves(state.params)} == {2}
    runs.trace(pieces, program)


@pytest.mark.slow
def test_one_bad_member_is_seen():
    objective = toy.l1()
    step = members_lib.train_step(
        lambda seed: toy.train_step(objective, seed=seed), jnp.array([3, 4])
    )
    one = toy.start(objective)
    state = jax.tree.map(lambda x: jnp.stack([x, x]), one)._replace(step=one.step)
    batch = jax.tree.map(lambda x: np.stack([x, x]), toy.batch())
    new, report = toy.jit(step)(state, batch)
    assert int(report.first_bad) == NEVER
    assert float(report.sums["loss"][1]) == 2
    want, _ = toy.jit(toy.train_step(objective, seed=3))(one, toy.batch())
    chex.assert_trees_all_close(
        jax.tree.map(lambda x: x[0], new.params), want.params, rtol=1e-5, atol=1e-7
    )
    batch["label"] = batch["label"].copy()
    batch["label"][1] = np.nan
    assert int(toy.jit(step)(state, batch)[1].first_bad) == 0


class TestTogether:
    def test_distributions_are_averaged(self):
        edges = np.float32([0, 1, 3, 4])
        probs = np.float32([[[0.2, 0.3, 0.5]], [[0.6, 0.4, 0.0]]])
        with np.errstate(divide="ignore"):
            log_probs = jnp.log(probs)
        each = eval_step.Distributed(jnp.float32([[1.0], [2.0]]), log_probs)
        for how in densities.DECODES:
            got = eval_step.together(each, edges, how)
            np.testing.assert_allclose(
                np.exp(got.log_probs), [[0.4, 0.35, 0.25]], rtol=1e-6
            )
            want = 1.5
            if how != "mean":
                want = densities.decode(np.log(probs.mean(0)), edges, how)[0]
            np.testing.assert_allclose(got.prediction, [want], rtol=1e-6)

    def test_numbers_are_averaged(self):
        got = eval_step.together(Outputs(jnp.float32([[1, 2], [3, 6]])), None, "median")
        np.testing.assert_array_equal(got.prediction, [2, 4])
        groups = jnp.float32([[[1, 2]], [[3, 6]]])
        outputs = ExpertOutputs(jnp.float32([[1], [3]]), groups, groups)
        got = eval_step.together(outputs, None, "median")
        np.testing.assert_array_equal(got.prediction, [2])
        np.testing.assert_array_equal(got.values, [[2, 4]])


@pytest.mark.slow
def test_warm_start_of_all_members_is_one_network(tmp):
    alone, _ = trained(tmp, "vanilla", 4, 1)
    made = runs.tiny("vanilla,smoke", model__members=2, init_from=str(alone))
    pieces, (program,) = runs.built(made)
    state = programs_lib.begin(pieces, program, warm_start(pieces))
    for leaf in jax.tree.leaves(state.params["model"]):
        np.testing.assert_array_equal(leaf[0], leaf[1])
    both, _ = trained(tmp, "vanilla", 4, 2)
    made = runs.tiny("vanilla,smoke", init_from=str(both))
    with pytest.raises(InputError, match=r"must be a run of one network.*2\s+members"):
        warm_start(runs.built(made)[0])


@pytest.mark.slow
def test_noise_refuses(tmp):
    folder, _ = trained(tmp, "vanilla", 4, 2)
    with pytest.raises(InputError, match="must be a run of one network"):
        noise.probe(folder)


def test_number_is_checked(tmp):
    made = runs.tiny("vanilla,smoke", model__members=0)
    with pytest.raises(InputError, match=r"config.model.members must be at least 1"):
        runs.run(made, tmp / "none")
