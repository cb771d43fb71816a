"""Every term in every wrapper with every head trains, or is refused with a sentence."""

import functools

import jax
import numpy as np
import pytest

from dirjax.training import train_step
from tests import compose, toy
from tests.test_contract import gathered

pytestmark = pytest.mark.matrix


@pytest.mark.parametrize(("term", "wrapper", "head"), compose.cells())
@pytest.mark.quick("l1-fds-experts", "group_dir-none-linear", "uvote-lds-vote")
def test_three_steps(term, wrapper, head):
    said = compose.refusal(term, wrapper, head)
    if said is not None:
        # What was expected, and what to do.
        assert said.endswith("."), said
        assert "head" in said, said
        return
    objective, net = compose.made(term, wrapper, head)
    state = toy.start(objective, net=net)
    if objective.collect.start is not None:
        collect = functools.partial(gathered, objective.collect.start)
        state = toy.jit(collect)(state, toy.batch())
    traces = []

    def step(state, batch):
        traces.append(1)
        return toy.train_step(objective, net)(state, batch)

    run = toy.jit(step)
    for seed in range(3):
        state, report = run(state, toy.batch(seed))
        assert np.isfinite(report.sums["loss"][0])
        assert int(report.first_bad) == train_step.NEVER
    assert len(traces) == 1
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))


@pytest.mark.slow
def test_the_page_is_up_to_date():
    assert compose.PAGE.read_text() == compose.page()
