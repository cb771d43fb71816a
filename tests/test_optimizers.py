"""Schedules and optimisers against numbers computed by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dirjax import optimizers
from dirjax.training import parameters

PARAMS = {
    "kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]),
    "bias": jnp.array([1.0, -1.0]),
}
GRADS = {
    "kernel": jnp.array([[0.1, 0.2], [-0.3, 0.4]]),
    "bias": jnp.array([0.5, -0.5]),
}


def rates(name, steps, at, **options):
    schedule = optimizers.schedule(name, learning_rate=2.0, steps=steps, **options)
    return [float(schedule(s)) for s in at]


class TestSchedule:
    def test_constant(self):
        assert rates("constant", 10, (0, 5, 10, 99)) == [2.0] * 4

    def test_cosine(self):
        want = [2 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * s / 8))) for s in (0, 3)]
        got = rates("cosine", 8, (0, 3, 4, 8, 20), final=0.1)
        np.testing.assert_allclose(got, [*want, 1.1, 0.2, 0.2], rtol=1e-6)

    def test_cosine_ends_at_zero(self):
        np.testing.assert_allclose(rates("cosine", 8, (4, 8)), [1.0, 0.0], atol=1e-7)

    def test_step(self):
        got = rates("step", 90, (0, 59, 60, 79, 80, 89), milestones=(2 / 3, 8 / 9))
        np.testing.assert_allclose(got, [2, 2, 0.2, 0.2, 0.02, 0.02], rtol=1e-6)

    def test_step_with_another_factor(self):
        got = rates("step", 10, (4, 5), milestones=(0.5,), factor=0.25)
        np.testing.assert_allclose(got, [2.0, 0.5], rtol=1e-6)

    def test_each_milestone_counts_in_a_short_stage(self):
        """Three drops to a quarter, two of them in the same step."""
        got = rates("step", 4, (0, 1, 3), milestones=(0.2, 0.3, 0.7), factor=0.25)
        np.testing.assert_allclose(got, [2.0, 2 / 16, 2 / 64], rtol=1e-6)

    @pytest.mark.parametrize("name", optimizers.SCHEDULES)
    def test_warmup_rises_from_zero(self, name):
        got = rates(name, 20, (0, 1, 2, 3, 4), warmup=0.2)
        np.testing.assert_allclose(got, [0.0, 0.5, 1.0, 1.5, 2.0], atol=1e-6)

    def test_warmup_takes_its_part_of_the_cosine(self):
        """4 of 20 steps rise, 16 fall: half way down at 4 + 8."""
        got = rates("cosine", 20, (12, 20), warmup=0.2)
        np.testing.assert_allclose(got, [1.0, 0.0], atol=1e-6)

    def test_milestones_are_fractions_of_the_stage_with_a_warmup_too(self):
        got = rates("step", 20, (9, 10), warmup=0.2, milestones=(0.5,))
        np.testing.assert_allclose(got, [2.0, 0.2], rtol=1e-6)

    def test_stage_of_one_step(self):
        for name in optimizers.SCHEDULES:
            assert np.isfinite(rates(name, 1, (0, 1), warmup=0.9)).all()

    def test_unknown(self):
        with pytest.raises(ValueError, match=r"constant, cosine, step.*'linear'"):
            optimizers.schedule("linear", learning_rate=1.0, steps=1)


def after(tx, gradients, params=PARAMS):
    """Parameters after these gradients, and the optimiser's state."""
    state = tx.init(params)
    for gradient in gradients:
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def adam(p, grads, *, rate, l2=0.0, decoupled=0.0, b1=0.9, b2=0.999, eps=1e-8):
    """Kingma and Ba 2015, algorithm 1, with either kind of decay."""
    p = np.array(p, np.float64)
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        g = np.array(g, np.float64) + l2 * p
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        move = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        p = p - rate * (move + decoupled * p)
    return p


def sgd(p, grads, *, rate, l2=0.0, momentum=0.9):
    """Heavy ball as PyTorch has it: the rate is outside of the velocity."""
    p, v = np.array(p, np.float64), 0.0
    for g in grads:
        v = momentum * v + np.array(g, np.float64) + l2 * p
        p = p - rate * v
    return p


GRADS_2 = jax.tree.map(lambda g: 1 - 2 * g, GRADS)
KINDS = {
    "adam": lambda p, grads, decay: adam(p, grads, rate=0.1, l2=decay),
    "adamw": lambda p, grads, decay: adam(p, grads, rate=0.1, decoupled=decay),
    "sgd": lambda p, grads, decay: sgd(p, grads, rate=0.1, l2=decay),
}


@pytest.mark.parametrize("decay", ["kernels", "all"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("name", KINDS)
def test_two_updates_by_hand(name, weight_decay, decay):
    tx = optimizers.make(name, 0.1, weight_decay=weight_decay, decay=decay)
    got, _ = after(tx, [GRADS, GRADS_2])
    for leaf in PARAMS:
        here = weight_decay if decay == "all" or leaf == "kernel" else 0.0
        want = KINDS[name](PARAMS[leaf], [GRADS[leaf], GRADS_2[leaf]], here)
        np.testing.assert_allclose(got[leaf], want, rtol=2e-5, err_msg=leaf)


def test_moments_can_be_set():
    tx = optimizers.make("adam", 0.1, momentum=0.5, b2=0.9)
    got, _ = after(tx, [GRADS, GRADS_2])
    grads = [GRADS["bias"], GRADS_2["bias"]]
    want = adam(PARAMS["bias"], grads, rate=0.1, b1=0.5, b2=0.9)
    np.testing.assert_allclose(got["bias"], want, rtol=2e-5)


def test_sgd_without_momentum_is_plain():
    tx = optimizers.make("sgd", 0.1, momentum=0.0)
    got, state = after(tx, [GRADS, GRADS_2])
    want = PARAMS["bias"] - 0.1 * (GRADS["bias"] + GRADS_2["bias"])
    np.testing.assert_allclose(got["bias"], want, rtol=1e-6)
    assert not [x for x in jax.tree.leaves(state) if x.ndim]


def test_clip_is_of_the_global_norm():
    norm = math.sqrt(0.01 + 0.04 + 0.09 + 0.16 + 0.25 + 0.25)
    for bound, factor in ((norm / 4, 0.25), (norm * 4, 1.0)):
        tx = optimizers.make("sgd", 1.0, momentum=0.0, clip=bound)
        got, _ = after(tx, [GRADS])
        want = PARAMS["kernel"] - factor * GRADS["kernel"]
        np.testing.assert_allclose(got["kernel"], want, rtol=1e-5)


def test_the_schedule_is_followed():
    rate = optimizers.schedule("step", learning_rate=1.0, steps=2, milestones=(0.5,))
    tx = optimizers.make("sgd", rate, momentum=0.0)
    got, _ = after(tx, [GRADS, GRADS])
    np.testing.assert_allclose(got["bias"], PARAMS["bias"] - 1.1 * GRADS["bias"])


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_accumulated_gradients_are_averaged_into_one_update(name):
    options = {"weight_decay": 0.3, "clip": 0.2}
    several = optimizers.make(name, 0.1, accumulate=2, **options)
    single = optimizers.make(name, 0.1, **options)
    waiting, _ = after(several, [GRADS])
    for leaf in PARAMS:
        np.testing.assert_array_equal(waiting[leaf], PARAMS[leaf])
    mean = jax.tree.map(lambda a, b: (a + b) / 2, GRADS, GRADS_2)
    got, _ = after(several, [GRADS, GRADS_2])
    want, _ = after(single, [mean])
    for leaf in PARAMS:
        np.testing.assert_allclose(got[leaf], want[leaf], rtol=1e-5)


def test_the_schedule_counts_updates_not_gradients():
    rate = optimizers.schedule("step", learning_rate=1.0, steps=2, milestones=(0.5,))
    tx = optimizers.make("sgd", rate, momentum=0.0, accumulate=3)
    got, _ = after(tx, [GRADS] * 6)
    want = PARAMS["bias"] - 1.1 * GRADS["bias"]
    np.testing.assert_allclose(got["bias"], want, rtol=1e-5)


class TestFreeze:
    params = {  # noqa: RUF012
        "model": {"encoder": PARAMS, "head": jax.tree.map(lambda p: 2 * p, PARAMS)},
        "objective": {"noise": jnp.array([0.5])},
    }
    grads = jax.tree.map(jnp.ones_like, params)

    @pytest.mark.parametrize("accumulate", [1, 2])
    @pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
    def test_frozen_parameters_do_not_move_and_hold_no_state(self, name, accumulate):
        options = {"weight_decay": 0.3, "decay": "all", "accumulate": accumulate}
        tx = optimizers.make(name, 0.1, **options)
        frozen, trainable = parameters.divide(tx, self.params, ("head",))
        got, state = after(frozen, [self.grads] * 2, self.params)
        for leaf in PARAMS:
            before = self.params["model"]["encoder"][leaf]
            np.testing.assert_array_equal(got["model"]["encoder"][leaf], before)
            moved = got["model"]["head"][leaf] - self.params["model"]["head"][leaf]
            assert (np.abs(moved) > 1e-4).all()
        assert float(got["objective"]["noise"][0]) != 0.5
        assert trainable == {
            "encoder": {"kernel": False, "bias": False},
            "head": {"kernel": True, "bias": True},
        }
        # As much state as an optimiser of the trained parameters alone has.
        trained = {
            "model": {"head": self.params["model"]["head"]},
            "objective": self.params["objective"],
        }
        sizes = [
            sorted(x.size for x in jax.tree.leaves(s) if jnp.ndim(x))
            for s in (state, tx.init(trained))
        ]
        assert sizes[0] == sizes[1]

    def test_no_pattern_is_everything(self):
        tx = optimizers.make("sgd", 0.1)
        same, trainable = parameters.divide(tx, self.params, ())
        assert same is tx
        assert trainable is None

    def test_a_pattern_that_matches_nothing(self):
        with pytest.raises(ValueError, match="'tail'"):
            parameters.divide(optimizers.make("sgd", 0.1), self.params, ("tail",))


def test_wrong_names():
    with pytest.raises(ValueError, match=r"adam, adamw, sgd.*'lion'"):
        optimizers.make("lion", 0.1)
    with pytest.raises(ValueError, match="one of kernels, all, got 'biases'"):
        optimizers.make("sgd", 0.1, decay="biases")


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("unit", [1e-9, 1e-18, 1e-30])
def test_small_gradients_move_parameters_as_others_do(name, unit):
    """The 1e-8 of Adam would hold them, and their squares would vanish."""
    tx = optimizers.make(name, 0.1, weight_decay=0.3, decay="all", small=True)
    none = jax.tree.map(jnp.zeros_like, GRADS)
    given = [none, GRADS, GRADS_2]
    want, _ = after(tx, given)
    got, _ = after(tx, jax.tree.map(lambda g: unit * g, given))
    for leaf in PARAMS:
        np.testing.assert_allclose(got[leaf], want[leaf], rtol=1e-5, err_msg=leaf)
    same, _ = after(optimizers.make("sgd", 0.1, small=True), [GRADS])
    plain, _ = after(optimizers.make("sgd", 0.1), [GRADS])
    np.testing.assert_array_equal(same["bias"], plain["bias"])
