"""What every objective promises, for each module in dirjax/objectives.

A new file in that folder is under test here without another line. Wrappers are tested
around `l1`, and nested as `configs/methods.py` nests them.
"""

import dataclasses
import functools
import importlib
import inspect
import pkgutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import objectives
from dirjax.configs import methods
from dirjax.evals import eval_step
from dirjax.features import moments
from dirjax.labels import weights
from dirjax.objectives import base, fds
from dirjax.runtime import sharding
from dirjax.training import train_step
from dirjax.workdir.checkpoints import Checkpoints
from tests import toy

pytestmark = pytest.mark.matrix

MODULES = sorted(
    m.name
    for m in pkgutil.iter_modules(objectives.__path__)
    if m.name != "base" and not m.name.startswith("_")
)
# One preset of configs/methods.py for each way in which they nest weights and smoothed
# features. Those with ssir have tests of their own (tests/objectives/test_ssir.py), and
# compile long.
NESTED = {
    "_in_".join(preset["objective"]["wrappers"]): preset["objective"]
    for preset in methods.PRESETS.values()
    if len(preset["objective"]["wrappers"]) > 1
    and "fds" in preset["objective"]["wrappers"]
    and "ssir" not in preset["objective"]["wrappers"]
    and list(preset["objective"]["terms"]) == [methods.BASE]
}
CASES = [*MODULES, *NESTED]
# One of each kind: a loss over rows, over pairs of rows, with a head of its own, with
# statistics, with gradients on inputs, and wrappers in wrappers. For all of one module:
# pytest tests/test_contract.py -m "" -k MODULE
by_default = pytest.mark.quick(
    "group_contrast", "group_dir", "l1", "lds_in_fds", "ssir"
)


@functools.cache
def objective_of(case):
    """The objective of a module, or of a preset with l1 as base loss."""
    if case in NESTED:
        record = NESTED[case]
        terms = {
            "l1" if name == methods.BASE else name: kwargs
            for name, kwargs in record["terms"].items()
        }
        return objectives.from_config(terms, record["wrappers"], record)
    module = importlib.import_module(f"dirjax.objectives.{case}")
    first = next(iter(inspect.signature(module.make).parameters), None)
    if first == "inner":
        return objectives.from_config({"l1": {"weight": 1.0}}, (case,))
    return objectives.from_config({case: {"weight": 1.0}})


def module_of(case):
    """The module of a case; a preset has the properties of none."""
    name = "base" if case in NESTED else case
    return importlib.import_module(f"dirjax.objectives.{name}")


@functools.cache
def network_of(case, dtype="float32"):
    """The toy network with the head that a module names in HEAD."""
    return toy.network(dtype, head=getattr(module_of(case), "HEAD", "linear"))


@functools.cache
def start_of(case):
    """The state before the first step."""
    objective = objective_of(case)
    state = toy.start(objective, net=network_of(case))
    if objective.collect.start is None:
        return state
    collect = functools.partial(gathered, objective.collect.start)
    return toy.jit(collect)(state, toy.batch())


def step_of(case, dtype="float32"):
    """The step, not compiled."""
    return toy.train_step(objective_of(case), network_of(case, dtype))


def moments_of(state, batch):
    """Moments of features, by the program that the loop uses."""
    make = eval_step.make_moments_step(toy.network(), num_bins=toy.SPEC.bins.num)
    zeros = moments.zeros(toy.SPEC.bins.num, toy.WIDTH)
    return make(zeros, state.params["model"], state.model_state, batch)


def refreshed(objective, state, batch):
    """The state after the end of an epoch."""
    collect = objective.collect.epoch
    return gathered(collect, state, batch) if collect else state


def gathered(update, state, batch):
    """The state with what an objective makes of moments."""
    variables = base.Variables(state.params["objective"], state.objective_state)
    new = update(variables, moments_of(state, batch))
    return state._replace(
        params={**state.params, "objective": new.params}, objective_state=new.state
    )


@functools.cache
def started(case):
    """State and compiled programs, shared by the tests of a case."""
    objective = objective_of(case)
    run = jax.jit(step_of(case))
    refresh = functools.partial(refreshed, objective)
    refresh = toy.jit(refresh) if objective.collect.epoch is not None else refresh
    return start_of(case), run, refresh


@functools.cache
def run_of_other_sizes(case):
    """The step for batches of other sizes, which compile anew."""
    return toy.jit(step_of(case))


def epochs_later(case, epochs=2):
    """A state in which running statistics have been collected."""
    state, _, refresh = started(case)
    for seed in range(epochs):
        state = refresh(state, toy.batch(seed))
    return state


def degenerate():
    """Batches on which roots, logarithms, ranks and divisions go wrong."""
    ties, rng = toy.batch(), np.random.default_rng(5)
    ties["label"] = np.float32([0.5, 0.5, 0.5, 1.5, 1.5, 4.5, 4.5, 4.5])
    equal = jax.tree.map(lambda x: np.repeat(x[:1], toy.ROWS, axis=0), toy.batch())
    one_bin = toy.batch()
    one_bin["label"] = np.float32(rng.uniform(3.0, 4.0, toy.ROWS))
    one_real = toy.batch()
    one_real["mask"] = np.float32(np.arange(toy.ROWS) == 3)
    empty = toy.batch() | {"mask": np.zeros(toy.ROWS, np.float32)}
    beyond = toy.batch()
    beyond["label"] = np.float32(np.linspace(-3.0, 9.0, toy.ROWS))
    unweighted = toy.batch() | {"weight": np.zeros(toy.ROWS, np.float32)}
    batches = {
        "random": toy.batch(1),
        "ties": ties,
        "equal rows": equal,
        "one bin without training rows": one_bin,
        "one real row": one_real,
        "all padding": empty,
        "labels outside the bins": beyond,
        "all weights zero": unweighted,
    }
    for batch in batches.values():
        batch["bin"] = toy.SPEC.bins.index(batch["label"])
    return batches


def moved(state, before):
    """What an SGD step did to the parameters."""
    return jax.tree.map(lambda a, b: a - b, state.params, before.params)


def test_an_unknown_width_of_features_is_refused():
    """Or does not matter: no state or parameters without entries."""
    unknown, refused = dataclasses.replace(toy.SPEC, feature_dim=0), {}
    for case in MODULES:
        make = functools.partial(objective_of(case).init, spec=unknown)
        try:
            found = jax.eval_shape(make, jax.random.key(0))
        except ValueError as error:
            refused[case] = str(error)
        else:
            assert all(x.size for x in jax.tree.leaves(found)), case
    assert {"fds", "prime", "srl", "vir"} <= set(refused)
    for case, said in refused.items():
        assert "needs spec.feature_dim above 0, got 0" in said, case


@pytest.mark.parametrize("case", CASES)
@by_default
def test_loss_and_gradients_are_finite(case):
    run = started(case)[1]
    for when, state in {"new": started(case)[0], "later": epochs_later(case)}.items():
        for name, batch in degenerate().items():
            new, report = run(state, batch)
            where = f"{case}, {when}, {name}"
            assert np.isfinite(report.sums["loss"][0]), where
            assert np.isfinite(report.sums["grad_norm"][0]), where
            assert int(report.first_bad) == train_step.NEVER, where
            for leaf in jax.tree.leaves((new.params, new.objective_state)):
                assert np.isfinite(leaf).all(), where


@pytest.mark.parametrize("case", CASES)
@by_default
def test_every_draw_has_a_key_of_its_own(case):
    with jax.debug_key_reuse(True):
        jax.jit(step_of(case)).lower(start_of(case), toy.batch())


@pytest.mark.parametrize("case", CASES)
@by_default
def test_exact_predictions_have_finite_gradients(case):
    """All errors are zero, and all predictions are tied."""
    state, run, _ = started(case)
    model = state.params["model"]
    # With a head of zeros every prediction is the shift, 2.
    model = {**model, "head": jax.tree.map(jnp.zeros_like, model["head"])}
    state = state._replace(params={**state.params, "model": model})
    batch = toy.batch() | {"label": np.full(toy.ROWS, 2.0, np.float32)}
    batch["bin"] = toy.SPEC.bins.index(batch["label"])
    new, report = run(state, batch)
    assert int(report.first_bad) == train_step.NEVER
    chex.assert_tree_all_finite(new.params)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.quick("group_contrast", "l1", "lds_in_fds")
def test_a_batch_of_one_row(case):
    batch = jax.tree.map(lambda x: x[:1], toy.batch())
    run, state = run_of_other_sizes(case), epochs_later(case)
    if getattr(module_of(case), "FEWEST_ROWS", 1) > 1:
        with pytest.raises(ValueError, match="at least 2 rows, got 1"):
            run(state, batch)
        return
    new, report = run(state, batch)
    assert int(report.first_bad) == train_step.NEVER
    chex.assert_tree_all_finite(new.params)


@pytest.mark.parametrize("case", CASES)
@by_default
def test_state_keeps_structure_shapes_and_types(case):
    state, run, refresh = started(case)
    same = chex.assert_trees_all_equal_shapes_and_dtypes
    after, report = run(state, toy.batch())
    same(state, after)
    same(state, refresh(after, toy.batch()))
    assert report.sums["loss"][0].shape == ()
    for total, count in report.sums.values():
        assert total.dtype == count.dtype == jnp.float32
    # Without jit, too: what an objective returns is what it was given.
    assert jax.tree.structure(objective_of(case).init(jax.random.key(0), toy.SPEC)) == (
        jax.tree.structure(
            base.Variables(state.params["objective"], state.objective_state)
        )
    )


@pytest.mark.parametrize("case", CASES)
@by_default
def test_three_steps_are_one_program(case):
    state, run, refresh = started(case)
    chex.clear_trace_counter()
    once = chex.assert_max_traces(step_of(case), n=1)
    program = jax.jit(once)
    for seed in range(3):
        batch = toy.batch(seed)
        program.trace(state, batch)
        # The end of an epoch must not change types, weak ones included.
        state = refresh(run(state, batch)[0], batch)
    assert int(state.step) == 3


@pytest.mark.parametrize("case", CASES)
@by_default
def test_same_key_same_result(case):
    state, run, _ = started(case)
    first, again = (run(state, toy.batch()) for _ in range(2))
    chex.assert_trees_all_equal(first, again)
    objective = objective_of(case)
    one, two = (objective.init(jax.random.key(2), toy.SPEC) for _ in range(2))
    chex.assert_trees_all_equal(one, two)


@pytest.mark.parametrize("case", CASES)
@by_default
def test_padding_rows_change_nothing(case):
    state, (_, run, _) = epochs_later(case), started(case)
    real = toy.batch(rows=6)
    want, report = run_of_other_sizes(case)(state, real)
    for seed in (7, 8):
        tail = toy.batch(seed, rows=2)
        tail["mask"] = np.zeros(2, np.float32)
        tail["weight"] = np.float32([50.0, 0.0])
        tail["label"] = np.float32([1000.0, -1000.0]) * (seed - 6)
        tail["bin"] = toy.SPEC.bins.index(tail["label"])
        padded = jax.tree.map(lambda a, b: np.concatenate([a, b]), real, tail)
        got, padded_report = run(state, padded)
        chex.assert_trees_all_close(
            padded_report.sums, report.sums, rtol=1e-5, atol=1e-6
        )
        chex.assert_trees_all_close(
            moved(got, state), moved(want, state), rtol=1e-4, atol=1e-6
        )
        chex.assert_trees_all_close(
            got.objective_state, want.objective_state, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("case", CASES)
@by_default
def test_bfloat16_models_give_float32_losses(case):
    objective = objective_of(case)
    # Parameters are float32 in any case.
    state = start_of(case)
    # What the encoder computes in shows in the program, the rest in its results.
    step_fn = step_of(case, "bfloat16")
    traced = jax.make_jaxpr(step_fn, return_shape=True)
    program, (new, report) = traced(state, toy.batch())
    assert ("bf16" in str(program)) != objective.precise
    for total, _ in report.sums.values():
        assert total.dtype == jnp.float32
    chex.assert_trees_all_equal_shapes_and_dtypes(new, state)
    for leaf in jax.tree.leaves((new.params, new.objective_state)):
        assert leaf.dtype != jnp.bfloat16


@pytest.mark.parametrize("case", CASES)
@by_default
def test_one_and_four_devices_agree(case):
    state, run, refresh = started(case)
    mesh = sharding.make_mesh()
    assert mesh.size == 4
    everywhere = jax.device_put(state, sharding.replicated(mesh))
    wide = jax.jit(step_of(case), out_shardings=sharding.replicated(mesh))
    for seed in range(3):
        batch = toy.batch(seed)
        state, one = run(state, batch)
        everywhere, four = wide(everywhere, sharding.to_global(mesh, batch))
        chex.assert_trees_all_close(
            jax.device_get(four.sums), jax.device_get(one.sums), rtol=1e-4, atol=1e-6
        )
        state = refresh(state, batch)
        everywhere = everywhere._replace(
            params=jax.device_put(state.params, sharding.replicated(mesh)),
            objective_state=jax.device_put(
                state.objective_state, sharding.replicated(mesh)
            ),
        )


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_round_trip_through_a_checkpoint(case, tmp_path):
    state, (_, run, _) = epochs_later(case), started(case)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, state, stage=0)
    checkpoints.wait()
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )
    back = checkpoints.restore(2, like)
    checkpoints.close()
    chex.assert_trees_all_equal(back, state)
    assert jax.tree.structure(back) == jax.tree.structure(state)
    chex.assert_trees_all_equal(run(back, toy.batch()), run(state, toy.batch()))


@pytest.mark.parametrize("case", CASES)
@by_default
def test_refresh_of_an_empty_epoch_is_finite(case):
    """No training row at all, then rows in one bin only."""
    state, run, refresh = started(case)
    none = toy.batch() | {"mask": np.zeros(toy.ROWS, np.float32)}
    one = toy.batch() | {"bin": np.full(toy.ROWS, 5, np.int32)}
    for batch in (none, one, none):
        state = refresh(state, batch)
        chex.assert_tree_all_finite(state.objective_state)
        assert int(run(state, toy.batch())[1].first_bad) == train_step.NEVER


def test_starts_of_an_empty_epoch_are_finite():
    """No training row at all, then rows in a bin without training counts."""
    starts = [c for c in CASES if objective_of(c).collect.start]
    assert "norm_target" in starts
    none = toy.batch() | {"mask": np.zeros(toy.ROWS, np.float32)}
    one = toy.batch() | {"bin": np.full(toy.ROWS, 5, np.int32)}
    for case in starts:
        state, run, _ = started(case)
        begin = toy.jit(functools.partial(gathered, objective_of(case).collect.start))
        for batch in (none, one):
            new = begin(state, batch)
            chex.assert_trees_all_equal_shapes_and_dtypes(new, state)
            chex.assert_tree_all_finite(new.objective_state)
            assert int(run(new, toy.batch())[1].first_bad) == train_step.NEVER


@pytest.mark.parametrize("case", NESTED)
def test_nested_wrappers_each_do_their_part(case):
    """Weights from the outside, calibrated features from the inside, in any order."""
    record, batch = NESTED[case], toy.batch()
    (weighing,) = set(record["wrappers"]) - {"fds"}
    table = weights.bin_weights(toy.SPEC.counts, **record[weighing])
    state, run, _ = started(case)
    net, params = network_of(case), state.params["model"]

    def by_hand(move):
        features, _ = net.encode(params, {}, batch["inputs"], train=False)
        prediction = net.head(params, move(features)).prediction
        return np.mean(table[batch["bin"]] * np.abs(prediction - batch["label"]))

    # Nothing is smoothed in the first epoch.
    plain = run(state, batch)[1].sums["loss"][0]
    np.testing.assert_allclose(plain, by_hand(lambda z: z), rtol=1e-5)
    later = epochs_later(case)
    inner = later.objective_state
    statistics = inner["fds"] if "fds" in inner else inner["inner"]["fds"]
    clip = record["fds"]["clip"]
    want = by_hand(
        lambda z: fds.calibrate(z, batch["bin"], statistics=statistics, clip=clip)
    )
    calibrated = run(later, batch)[1].sums["loss"][0]
    assert abs(calibrated - plain) > 1e-3
    np.testing.assert_allclose(calibrated, want, rtol=1e-5)
    other = objectives.from_config({"l1": {}}, record["wrappers"][::-1], record)
    _, report = toy.jit(toy.train_step(other))(toy.start(other), batch)
    np.testing.assert_allclose(report.sums["loss"][0], plain, rtol=1e-5)


def test_the_folder_was_found():
    assert {"l1", "mse", "huber", "focal_r", "reweight", "lds", "fds"} <= set(MODULES)
    assert NESTED, "configs/methods.py nests no wrappers"


def test_a_module_is_a_term_or_a_wrapper():
    for name in MODULES:
        module = importlib.import_module(f"dirjax.objectives.{name}")
        first, *rest = inspect.signature(module.make).parameters.values() or [None]
        if first is not None and first.name != "inner":
            rest.append(first)
        for parameter in rest:
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, (name, parameter)
            assert parameter.default is not inspect.Parameter.empty, (name, parameter)


def test_each_module_says_where_it_deviates():
    for name in MODULES:
        module = importlib.import_module(f"dirjax.objectives.{name}")
        assert module.__doc__, name
        assert "**Deviations" in module.__doc__, name
        assert "http" in module.__doc__ or "et al." in module.__doc__, name
