"""Checkpoints: the newest and the best are kept, and a state comes back as it was."""

import gc
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.checkpoint import Checkpoints


class State(NamedTuple):
    step: jax.Array
    params: dict
    average: dict


def state_of(step):
    params = {"w": jnp.arange(3.0) + step, "half": jnp.bfloat16(step)}
    return State(jnp.int32(step), params, {})


def like(state):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )


@pytest.fixture
def checkpoints(tmp_path):
    made = Checkpoints(tmp_path / "new" / "checkpoints")
    yield made
    made.close()


def kept(checkpoints, *saves):
    """Steps on disk after these (step, stage, value)."""
    for step, stage, value in saves:
        checkpoints.save(step, state_of(step), stage=stage, value=value)
    checkpoints.wait()
    folder = checkpoints._manager.directory
    # Deletion goes on in the background until the manager is closed.
    checkpoints.close()
    return sorted(int(f.name) for f in folder.iterdir() if f.name.isdigit())


def test_nothing_yet(checkpoints):
    assert checkpoints.latest() is None
    assert checkpoints.best() is None
    assert checkpoints.best(0) is None


class TestWhatIsKept:
    def test_the_newest_and_the_best(self, checkpoints):
        got = kept(checkpoints, (1, 0, 5.0), (2, 0, 3.0), (3, 0, 4.0), (4, 0, 6.0))
        assert got == [2, 4]

    def test_the_newest_is_kept_though_it_is_the_worst(self, checkpoints):
        assert kept(checkpoints, (1, 0, 1.0), (2, 0, 9.0)) == [1, 2]

    def test_the_newest_may_be_the_best(self, checkpoints):
        assert kept(checkpoints, (1, 0, 3.0), (2, 0, 2.0), (3, 0, 1.0)) == [3]

    def test_states_without_a_value_give_way(self, checkpoints):
        got = kept(checkpoints, (1, 0, 5.0), (2, 0, None), (3, 0, None), (4, 0, None))
        assert got == [1, 4]

    def test_a_later_stage_outranks_an_earlier_one(self, checkpoints):
        got = kept(checkpoints, (1, 0, 1.0), (2, 1, 8.0), (3, 1, 9.0))
        assert got == [2, 3]

    def test_the_stage_before_stays_until_the_next_is_evaluated(self, checkpoints):
        assert kept(checkpoints, (1, 0, 1.0), (2, 0, 2.0), (3, 1, None)) == [1, 3]


class TestBest:
    def test_of_all_and_of_a_stage(self, checkpoints):
        for step, stage, value in ((1, 0, 1.0), (2, 0, 2.0), (3, 1, 7.0)):
            checkpoints.save(step, state_of(step), stage=stage, value=value)
            checkpoints.wait()
            if step == 2:
                assert checkpoints.best() == checkpoints.best(0) == (1, 1.0)
                assert checkpoints.best(1) is None
        assert checkpoints.best() == checkpoints.best(1) == (3, 7.0)
        assert checkpoints.latest() == 3

    def test_another_process_finds_the_same(self, checkpoints, tmp_path):
        kept(checkpoints, (1, 0, 1.0), (2, 0, 2.0))
        again = Checkpoints(tmp_path / "new" / "checkpoints")
        assert again.latest() == 2
        assert again.best() == again.best(0) == (1, 1.0)
        again.close()

    def test_a_resumed_run_keeps_the_best_of_before(self, checkpoints, tmp_path):
        kept(checkpoints, (1, 0, 1.0), (2, 0, 2.0))
        again = Checkpoints(tmp_path / "new" / "checkpoints")
        assert kept(again, (3, 0, 3.0), (4, 0, None)) == [1, 4]

    def test_of_equal_values_one_is_kept(self, checkpoints):
        checkpoints.save(1, state_of(1), stage=0, value=2.0)
        checkpoints.save(2, state_of(2), stage=0, value=2.0)
        checkpoints.wait()
        best = checkpoints.best()
        assert best is not None
        assert best[1] == 2.0
        assert checkpoints.latest() == 2

    def test_the_best_can_be_restored(self, checkpoints):
        for step, value in ((1, 5.0), (2, 3.0), (3, 4.0)):
            checkpoints.save(step, state_of(step), stage=0, value=value)
        checkpoints.wait()
        step, _ = checkpoints.best(0)
        assert int(checkpoints.restore(step, like(state_of(0))).step) == step == 2


class TestRestore:
    def test_bit_for_bit(self, checkpoints):
        state = state_of(3)
        checkpoints.save(3, state, stage=0)
        checkpoints.wait()
        back = checkpoints.restore(3, like(state))
        assert isinstance(back, State)
        assert jax.tree.structure(back) == jax.tree.structure(state)
        for x, y in zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True):
            assert x.dtype == y.dtype
            assert x.sharding == y.sharding
            np.testing.assert_array_equal(x, y)

    def test_a_state_saved_before_donation_is_safe(self, checkpoints):
        """Writing goes on in the background, when the next step takes the state."""
        state = state_of(1)
        want = np.asarray(state.params["w"])
        checkpoints.save(1, state, stage=0)
        jax.tree.map(lambda x: x.delete(), state)
        checkpoints.wait()
        back = checkpoints.restore(1, like(state_of(0)))
        np.testing.assert_array_equal(back.params["w"], want)

    # A restore that fails leaves Orbax's reading tasks behind.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize(
        "wrong",
        [
            {"params": {"w": jnp.zeros(3)}},
            {"params": {"w": jnp.zeros(3), "whole": jnp.bfloat16(0)}},
            {"params": {"w": jnp.zeros(4), "half": jnp.bfloat16(0)}},
            {"average": {"w": jnp.zeros(3)}},
        ],
    )
    def test_a_wrong_structure_fails(self, checkpoints, wrong):
        checkpoints.save(1, state_of(1), stage=0)
        checkpoints.wait()
        with pytest.raises(ValueError, match=r"params|average|shape|structure"):
            checkpoints.restore(1, like(state_of(1)._replace(**wrong)))
        gc.collect()

    def test_a_step_that_was_not_saved(self, checkpoints):
        checkpoints.save(1, state_of(1), stage=0)
        checkpoints.wait()
        with pytest.raises(FileNotFoundError):
            checkpoints.restore(2, like(state_of(1)))


def test_saving_a_step_twice_keeps_the_first(checkpoints):
    checkpoints.save(1, state_of(1), stage=0, value=1.0)
    checkpoints.save(1, state_of(9), stage=0, value=0.0)
    checkpoints.wait()
    assert checkpoints.best() == (1, 1.0)
    assert int(checkpoints.restore(1, like(state_of(0))).step) == 1


def test_one_process_is_not_preempted(checkpoints):
    assert not checkpoints.preempted(0, 5)
