"""Checkpoints: the newest and the best are kept, and a state comes back as it was."""

import gc
import json
import pathlib
import shutil
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from dirjax.cli import status
from dirjax.errors import Failed, InputError
from dirjax.workdir.checkpoints import Checkpoints, Damaged
from tests.faults import disks
from tests.faults.disks import DAMAGES, flip, largest


class State(NamedTuple):
    step: jax.Array
    params: dict
    average: dict


def state_of(step):
    params = {"w": jnp.arange(3.0) + step, "half": jnp.bfloat16(step)}
    return State(jnp.int32(step), params, {})


def noisy(step):
    """Large enough that Orbax writes it into a file of its own."""
    noise = np.random.default_rng(step).normal(size=5000)
    return state_of(step)._replace(average={"noise": jnp.asarray(noise, jnp.float32)})


def like(state):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )


@pytest.fixture
def checkpoints(tmp_path):
    made = Checkpoints(tmp_path / "new" / "checkpoints")
    yield made
    made.close()


def numbers(folder):
    """Steps on disk."""
    return sorted(int(f.name) for f in folder.iterdir() if f.name.isdigit())


def save(checkpoints, *saves, state=state_of):
    """Saves these (step, stage, value)."""
    for step, stage, value in saves:
        checkpoints.save(step, state(step), stage=stage, value=value)
    checkpoints.wait()


def kept(checkpoints, *saves, **kwargs):
    """Steps on disk after these (step, stage, value)."""
    save(checkpoints, *saves, **kwargs)
    return numbers(checkpoints._manager.directory)


def test_nothing_yet(checkpoints):
    assert checkpoints.latest() is None
    assert checkpoints.best() is None
    assert checkpoints.best(0) is None


class TestWhatIsKept:
    """The two newest, and the best that each of them knows of."""

    def test_the_two_newest_and_the_best(self, checkpoints):
        got = kept(checkpoints, (1, 0, 3.0), (2, 0, 5.0), (3, 0, 4.0), (4, 0, 6.0))
        assert got == [1, 3, 4]

    def test_the_newest_is_kept_though_it_is_the_worst(self, checkpoints):
        assert kept(checkpoints, (1, 0, 1.0), (2, 0, 2.0), (3, 0, 9.0)) == [1, 2, 3]

    def test_the_newest_may_be_the_best(self, checkpoints):
        assert kept(checkpoints, (1, 0, 3.0), (2, 0, 2.0), (3, 0, 1.0)) == [2, 3]

    def test_the_one_before_keeps_its_own_best(self, checkpoints):
        """A run that has to go on from 3 needs 1."""
        got = kept(checkpoints, (1, 0, 2.0), (2, 0, 5.0), (3, 0, 4.0), (4, 0, 1.0))
        assert got == [1, 3, 4]
        assert kept(checkpoints, (5, 0, 7.0)) == [4, 5]

    def test_states_without_a_value_give_way(self, checkpoints):
        got = kept(checkpoints, (1, 0, 5.0), (2, 0, None), (3, 0, None), (4, 0, None))
        assert got == [1, 3, 4]

    def test_a_later_stage_outranks_an_earlier_one(self, checkpoints):
        assert kept(checkpoints, (1, 0, 1.0), (2, 1, 8.0), (3, 1, 9.0)) == [2, 3]

    def test_the_stage_before_stays_until_the_next_is_evaluated(self, checkpoints):
        saves = (1, 0, 1.0), (2, 0, 2.0), (3, 0, 3.0), (4, 1, None)
        assert kept(checkpoints, *saves) == [1, 3, 4]
        assert kept(checkpoints, (5, 1, 9.0)) == [1, 4, 5]
        assert kept(checkpoints, (6, 1, 9.5)) == [5, 6]


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
        save(checkpoints, (1, 0, 1.0), (2, 0, 2.0))
        with Checkpoints(tmp_path / "new" / "checkpoints") as again:
            assert again.latest() == 2
            assert again.best() == again.best(0) == (1, 1.0)

    def test_a_resumed_run_keeps_the_best_of_before(self, checkpoints, tmp_path):
        kept(checkpoints, (1, 0, 1.0), (2, 0, 2.0))
        with Checkpoints(tmp_path / "new" / "checkpoints") as again:
            got = kept(again, (3, 0, 3.0), (4, 0, None), (5, 0, None))
            assert got == [1, 4, 5]

    def test_of_equal_values_the_first(self, checkpoints):
        save(checkpoints, (1, 0, 2.0), (2, 0, 2.0))
        assert checkpoints.best() == (1, 2.0)
        assert checkpoints.latest() == 2

    def test_the_best_can_be_restored(self, checkpoints):
        save(checkpoints, (1, 0, 5.0), (2, 0, 3.0), (3, 0, 4.0))
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
        with pytest.raises(
            InputError, match=r"step 1 has different arrays .*(params|aver)"
        ):
            checkpoints.restore(1, like(state_of(1)._replace(**wrong)))

    def test_a_wrong_structure_is_named(self, checkpoints):
        save(checkpoints, (1, 0, None))
        wrong = {"w": jnp.zeros(4), "half": jnp.bfloat16(0)}
        with pytest.raises(InputError, match=r"params/w float32\[3\] -> float32\[4\]"):
            checkpoints.restore(1, like(state_of(1)._replace(params=wrong)))

    def test_random_keys_come_back(self, checkpoints):
        state = {"key": jax.random.key(7)}
        checkpoints.save(1, state, stage=0)
        back = checkpoints.restore(1, like(state))
        want, got = (jax.random.key_data(x["key"]) for x in (state, back))
        np.testing.assert_array_equal(got, want)

    def test_replicas_that_differ_are_not_mixed(self, checkpoints):
        """On GPUs sums may differ in the last bit; the first replica counts."""
        devices = jax.devices()
        everywhere = NamedSharding(
            jax.make_mesh((len(devices),), ("data",)), PartitionSpec()
        )
        parts = [jax.device_put(jnp.full(4000, i), d) for i, d in enumerate(devices)]
        state = {
            "w": jax.make_array_from_single_device_arrays((4000,), everywhere, parts)
        }
        checkpoints.save(1, state, stage=0)
        assert not np.any(checkpoints.restore(1, like(state))["w"])

    def test_a_step_that_was_not_saved(self, checkpoints):
        save(checkpoints, (1, 0, None))
        with pytest.raises(Damaged) as raised:
            checkpoints.restore(2, like(state_of(1)))
        assert raised.value.step == 2

    def test_others_than_the_run_leave_the_directory_alone(self, checkpoints):
        save(checkpoints, (1, 0, 1.0), (2, 0, 2.0))
        folder = pathlib.Path(checkpoints._manager.directory)
        (folder / "3.orbax-checkpoint-tmp").mkdir()
        with Checkpoints(folder, read_only=True) as reader:
            assert reader.best() == (1, 1.0)
            assert int(reader.restore(2, like(state_of(0))).step) == 2
        assert (folder / "3.orbax-checkpoint-tmp").exists()
        with Checkpoints(folder) as again:
            save(again, (4, 0, 4.0))
        assert not (folder / "3.orbax-checkpoint-tmp").exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Steps 1, the best, 3 and 4."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        saves = (1, 0, 2.0), (2, 0, 5.0), (3, 0, 4.0), (4, 0, 6.0)
        assert kept(checkpoints, *saves, state=noisy) == [1, 3, 4]
    return folder


# One of each kind: other bytes, fewer bytes, no file, no record of what it should be.
SHORT = {"arrays flipped", "tree truncated", "index gone", "manifest gone"}


# A restore that fails leaves Orbax's reading tasks behind.
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:coroutine"
)
class TestDamage:
    @pytest.fixture(autouse=True)
    def tasks(self):
        yield
        gc.collect()

    @pytest.fixture
    def folder(self, saved, tmp_path):
        return pathlib.Path(shutil.copytree(saved, tmp_path / "checkpoints"))

    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param(
                broken, id=name, marks=[] if name in SHORT else pytest.mark.slow
            )
            for name, broken in DAMAGES.items()
        ],
    )
    def test_it_is_noticed_and_the_step_before_serves(self, folder, damage):
        damage(folder / "4")
        with Checkpoints(folder) as checkpoints:
            assert checkpoints.latest() == 4
            with pytest.raises(Damaged, match="step 4") as raised:
                checkpoints.restore(4, like(noisy(0)))
            assert raised.value.step == 4
            assert checkpoints.set_aside(4) == checkpoints.latest() == 3
            assert checkpoints.best() == (1, 2.0)
            for step in (3, 1):
                assert int(checkpoints.restore(step, like(noisy(0))).step) == step
            assert kept(checkpoints, (4, 0, 1.0), state=noisy) == [1, 3, 4]
        assert (folder / "damaged-4").is_dir()

    def test_no_flipped_byte_goes_unnoticed(self, folder):
        """Of the arrays' file; Orbax itself notices none of these."""
        file = largest(folder / "4" / "state")
        whole = file.read_bytes()
        noticed = 0
        with Checkpoints(folder, read_only=True) as checkpoints:
            for where in np.linspace(0, 1, 9):
                flip(file, where)
                try:
                    back = checkpoints.restore(4, like(noisy(0)))
                    jax.tree.map(np.testing.assert_array_equal, back, noisy(4))
                except Damaged:
                    noticed += 1
                file.write_bytes(whole)
        assert noticed >= 7

    def test_a_changed_number_in_the_record_is_noticed(self, folder):
        file = folder / "4" / "manifest" / "metadata"
        record = json.loads(file.read_text())
        record["best"]["value"] -= 1
        file.write_text(json.dumps(record))
        with Checkpoints(folder) as checkpoints, pytest.raises(Damaged, match="4"):
            checkpoints.best()

    def test_a_damaged_best_takes_the_later_ones_along(self, folder):
        flip(largest(folder / "1" / "state"))
        with Checkpoints(folder) as checkpoints:
            with pytest.raises(Damaged) as raised:
                checkpoints.restore(1, like(noisy(0)))
            assert checkpoints.set_aside(raised.value.step) == 0
            assert checkpoints.latest() is checkpoints.best() is None
            assert kept(checkpoints, (1, 0, 3.0)) == [1]
            assert checkpoints.best() == (1, 3.0)
        names = {f.name for f in folder.iterdir()}
        assert names == {"1", "damaged-1", "damaged-3", "damaged-4"}

    def test_a_best_that_is_gone_is_damaged(self, folder):
        shutil.rmtree(folder / "1")
        with Checkpoints(folder) as checkpoints:
            step, _ = checkpoints.best()
            with pytest.raises(Damaged) as raised:
                checkpoints.restore(step, like(noisy(0)))
            assert raised.value.step == 1
            assert checkpoints.set_aside(1) == 0

    def test_a_step_that_nobody_needs_does_not_matter(self, folder):
        shutil.rmtree(folder / "3" / "manifest")
        with Checkpoints(folder) as checkpoints:
            assert checkpoints.best() == (1, 2.0)
            assert int(checkpoints.restore(4, like(noisy(0))).step) == 4
            assert kept(checkpoints, (5, 0, 9.0)) == [1, 4, 5]

    @pytest.mark.parametrize("kind", ["arrays flipped", "tree truncated", "empty"])
    def test_other_commands_say_so_in_one_sentence(self, tmp_path, capsys, kind):
        state = {
            "params": {"model": noisy(1).average},
            "average": {},
            "model_state": {"mean": jnp.zeros(2)},
        }
        placement = state["model_state"]["mean"].sharding
        with Checkpoints(tmp_path / "checkpoints") as checkpoints:
            checkpoints.save(1, state, stage=0)

        def read(argv):
            with Checkpoints.of_run(tmp_path) as checkpoints:
                step = checkpoints.choose("last")
                params, _ = checkpoints.restore_model(step, placement, best=True)
                np.testing.assert_array_equal(
                    params["noise"], noisy(1).average["noise"]
                )

        assert status.run(read, []) == 0
        DAMAGES[kind](tmp_path / "checkpoints" / "1")
        assert status.run(read, []) == 1
        assert capsys.readouterr().err == (
            "dirjax: the checkpoint at step 1 cannot be read: its files are damaged or "
            "missing. Give another --step, or train again.\n"
        )
        assert [f.name for f in (tmp_path / "checkpoints").iterdir()] == ["1"]

    def test_what_was_set_aside_is_never_lost(self, folder):
        for _ in range(2):
            with Checkpoints(folder) as checkpoints:
                save(checkpoints, (5, 0, 9.0))
                checkpoints.set_aside(5)
        names = {f.name for f in folder.iterdir() if "damaged" in f.name}
        assert names == {"damaged-5", "damaged-5-2"}

    def test_a_disk_that_damages_everything_ends_the_run(self, folder):
        with Checkpoints(folder) as checkpoints:
            checkpoints.set_aside(4)
            save(checkpoints, (4, 0, 9.0))
            with pytest.raises(Failed, match=r"damaged again\. Check the disk"):
                checkpoints.set_aside(4)

    def test_a_file_that_may_not_be_read_is_not_damaged(self, folder, monkeypatch):
        with Checkpoints(folder) as checkpoints:

            def refuse(*args, **kwargs):
                raise ValueError(
                    "PERMISSION_DENIED: [os_error_code='13'] Permission denied"
                )

            with monkeypatch.context() as patch:
                patch.setattr(checkpoints._manager, "restore", refuse)
                with pytest.raises(Failed, match=r"step 4 .* read: Permission denied"):
                    checkpoints.restore(4, like(noisy(0)))


def save_and_wait(checkpoints):
    checkpoints.save(1, noisy(1), stage=0, value=3.0)
    checkpoints.wait()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestFullDisk:
    SAID = (
        r"step 2 in .* File too large\. The checkpoint at step 1 is valid\. Free some"
    )

    @pytest.fixture
    def full(self, checkpoints):
        """Step 1 is saved, step 2 could not be, which nobody has noticed yet."""
        save_and_wait(checkpoints)
        with disks.full(10_000):
            checkpoints.save(2, noisy(2), stage=0, value=2.0)
            while checkpoints._manager.is_saving_in_progress():
                time.sleep(0.01)
        yield checkpoints
        gc.collect()

    def test_the_next_wait_says_so(self, full):
        with pytest.raises(Failed, match=self.SAID):
            full.wait()

    def test_the_next_save_says_so(self, full):
        with pytest.raises(Failed, match=self.SAID):
            full.save(3, noisy(3), stage=0)

    def test_closing_says_so(self, full):
        with pytest.raises(Failed, match=self.SAID), full:
            pass

    def test_closing_does_not_hide_another_error(self, full):
        with pytest.raises(KeyError, match="other"), full:
            raise KeyError("other")

    def test_what_was_there_stays(self, full):
        folder = pathlib.Path(full._manager.directory)
        with pytest.raises(Failed):
            full.close()
        assert numbers(folder) == [1]
        with Checkpoints(folder) as again:
            assert again.latest() == 1
            assert again.best() == (1, 3.0)
            assert int(again.restore(1, like(noisy(0))).step) == 1
            again.save(2, noisy(2), stage=0, value=2.0)
            again.wait()
            assert again.best() == (2, 2.0)

    @pytest.mark.parametrize("size", [0, 50, 300, 1000, 5000])
    def test_wherever_it_fails_it_is_said(self, checkpoints, size):
        with disks.full(size), pytest.raises(Failed, match=r"step 1 .* too large"):
            save_and_wait(checkpoints)
        gc.collect()


def test_saving_a_step_twice_keeps_the_first(checkpoints):
    checkpoints.save(1, state_of(1), stage=0, value=1.0)
    checkpoints.save(1, state_of(9), stage=0, value=0.0)
    checkpoints.wait()
    assert checkpoints.best() == (1, 1.0)
    assert int(checkpoints.restore(1, like(state_of(0))).step) == 1


def test_one_process_is_not_preempted(checkpoints):
    assert not checkpoints.preempted(0, 5)
