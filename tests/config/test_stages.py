"""The plan of a run: which stage, what is due when, and which parameters."""

import collections

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirjax.config import stages
from dirjax.training import parameters


def plan_of(lengths=(7, 5), **options):
    rows, start = [], 0
    for number, steps in enumerate(lengths):
        stage = stages.Stage(
            name="abc"[number],
            number=number,
            start=start,
            steps=steps,
            objective={},
            optimizer={},
            schedule={},
        )
        rows.append(stage)
        start = stage.stop
    options = {
        "size": 10,
        "batch_size": 4,
        "eval_epochs": 1.0,
        "save_epochs": 2.0,
        "log_steps": 100,
        "chunk_steps": 3,
    } | options
    return stages.Plan(stages=tuple(rows), **options)


def due(plan, test):
    return [s for s in range(plan.stop + 1) if test(s)]


def test_stage_of_each_step():
    plan = plan_of()
    assert plan.stop == 12
    assert [plan.stage_at(s).name for s in range(13)] == list("aaaaaaabbbbbb")
    assert [s.stop for s in plan.stages] == [7, 12]


def test_due_steps_by_hand():
    """Ten examples in batches of four: epochs end in steps 3, 5, 8, 10."""
    plan = plan_of()
    assert [plan.epoch(s) for s in (0, 5, 10)] == [0.0, 2.0, 4.0]
    assert due(plan, plan.ends_epoch) == [3, 5, 8, 10]
    # Two epochs end in steps 5 and 10; both stages end.
    assert due(plan, plan.saves) == [5, 7, 10, 12]
    assert due(plan, plan.evaluates) == [3, 5, 7, 8, 10, 12]
    assert due(plan, plan.ends_stage) == [7, 12]
    assert due(plan_of(log_steps=5), plan_of(log_steps=5).logs) == [5, 7, 10, 12]


def test_fractions_of_an_epoch():
    """Every quarter epoch of 25 steps: 6.25, 12.5, 18.75 and 25."""
    plan = plan_of((50,), size=100, batch_size=4, eval_epochs=0.25)
    assert due(plan, plan.evaluates) == [7, 13, 19, 25, 32, 38, 44, 50]


def test_decimal_fractions_are_met_exactly():
    """A tenth of an epoch of 10 steps is each step, though 0.1 is no binary number."""
    plan = plan_of((40,), size=10, batch_size=1, eval_epochs=0.1, save_epochs=0.3)
    assert due(plan, plan.evaluates) == list(range(1, 41))
    assert due(plan, plan.saves) == [*range(3, 40, 3), 40]


def test_zero_epochs_is_never_but_at_the_end():
    plan = plan_of(eval_epochs=0.0, save_epochs=0.0)
    assert due(plan, plan.evaluates) == due(plan, plan.saves) == [7, 12]


plans = st.builds(
    plan_of,
    st.lists(st.integers(1, 20), min_size=1, max_size=3),
    size=st.integers(1, 30),
    batch_size=st.integers(1, 12),
    eval_epochs=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    save_epochs=st.sampled_from([0.0, 0.7, 3.0]),
    log_steps=st.integers(1, 9),
    chunk_steps=st.integers(1, 9),
)


@settings(max_examples=60, deadline=None)
@given(plans)
def test_chunks_cover_the_run_and_stop_where_something_is_due(plan):
    chunks = list(plan.chunks(0))
    assert chunks[0][0] == 0
    assert sum(steps for _, steps in chunks) == plan.stop
    for (start, steps), following in zip(chunks, [*chunks[1:], None], strict=True):
        assert 1 <= steps <= plan.chunk_steps
        assert following is None or following[0] == start + steps
        for inside in range(start + 1, start + steps):
            assert not plan.evaluates(inside)
            assert not plan.saves(inside)
            assert not plan.logs(inside)
            assert not plan.ends_epoch(inside)
            assert not plan.ends_stage(inside)


@settings(max_examples=30, deadline=None)
@given(plans, st.data())
def test_a_resumed_run_has_the_remaining_chunks(plan, data):
    chunks = list(plan.chunks(0))
    done = data.draw(st.integers(0, len(chunks) - 1))
    assert list(plan.chunks(chunks[done][0])) == chunks[done:]


@settings(max_examples=60, deadline=None)
@given(plans)
def test_one_evaluation_for_each_interval(plan):
    """As many as whole intervals have passed, where none is shorter than a step."""
    step = plan.batch_size / plan.size
    if plan.eval_epochs > step:
        passed = int(plan.epoch(plan.stop) / plan.eval_epochs + 1e-9)
        ends = [s.stop for s in plan.stages]
        found = [s for s in due(plan, plan.evaluates) if s not in ends]
        extra = sum(
            int(plan.epoch(s) / plan.eval_epochs + 1e-9)
            > int(plan.epoch(s - 1) / plan.eval_epochs + 1e-9)
            for s in ends
        )
        assert len(found) + extra == passed


PARAMS = {
    "encoder": {"block_0": {"kernel": 1, "bias": 2}, "block_10": {"kernel": 3}},
    "head": {"kernel": 4, "bias": 5},
}


def selected(*patterns):
    tree = parameters.select(PARAMS, patterns)
    assert jax.tree.structure(tree) == jax.tree.structure(PARAMS)
    chosen = jax.tree.map(lambda p, s: p if s else 0, PARAMS, tree)
    return [leaf for leaf in jax.tree.leaves(chosen) if leaf]


@pytest.mark.parametrize(
    ("patterns", "want"),
    [
        (("head",), [4, 5]),
        (("head/kernel",), [4]),
        (("encoder/block_1*",), [3]),
        (("encoder/block_0", "head/bias"), [1, 2, 5]),
        (("*/bias",), [2, 5]),
        (("encoder", "head"), [1, 2, 3, 4, 5]),
        ((), []),
    ],
)
def test_select(patterns, want):
    assert sorted(selected(*patterns)) == want


def test_a_name_is_not_its_beginning():
    params = {"head": 1, "head_2": 2}
    assert parameters.select(params, ("head",)) == {"head": True, "head_2": False}


def test_a_pattern_that_matches_nothing():
    with pytest.raises(ValueError, match=r"'haed'.*encoder, head"):
        parameters.select(PARAMS, ("head", "haed"))


def test_path_names():
    pair = collections.namedtuple("pair", "mean var")
    tree = {"a": [pair(1, 2)], "b": 3}
    names = [
        parameters.path_name(path)
        for path, _ in jax.tree_util.tree_leaves_with_path(tree)
    ]
    assert names[0].startswith("a/")
    assert names[0].endswith("/mean")
    assert names[-1] == "b"
