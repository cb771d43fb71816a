"""HCA against its formulas in float64, row by row and level by level."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from dirjax import objectives
from dirjax.models import heads
from dirjax.objectives import base, hca
from dirjax.training import train_step
from tests import test_contract, toy

RNG = np.random.default_rng(3)
PLACE = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 1, 2, 3, 3]])
FINE, STUDENT = RNG.normal(size=(2, 8, 6)) * 3
COARSE = (RNG.normal(size=(8, 2)) * 3, RNG.normal(size=(8, 4)) * 3)
LABELS = np.array([0, 0, 3, 5, 5, 1, 2, 4])
SOFT = np.eye(6)[LABELS]


def coarse_by_hand(row, soft):
    total = 0.0
    for place, logits in zip(PLACE, COARSE, strict=True):
        log_probs = special.log_softmax(logits[row])
        for bin_, share in enumerate(soft[row]):
            total -= share * log_probs[place[bin_]]
    return total


def pool_by_hand(logits, place, pool):
    groups = [logits[place == k] for k in range(place[-1] + 1)]
    how = {"max": np.max, "sum": special.logsumexp}[pool]
    return np.array([how(g) for g in groups])


def distilled_by_hand(row, pool, trim):
    levels = [(FINE[row], STUDENT[row], LABELS[row])]
    for place, logits in zip(PLACE, COARSE, strict=True):
        pupil = pool_by_hand(STUDENT[row], place, pool)
        levels.append((logits[row], pupil, place[LABELS[row]]))
    total = 0.0
    for teacher, pupil, true in levels:
        kept = teacher <= teacher[true] if trim else teacher < np.inf
        p, q = special.softmax(teacher[kept]), special.softmax(pupil[kept])
        total += np.sum(p * np.log(p / q))
    return total


def float32(*arrays):
    return jax.tree.map(np.float32, arrays)


def test_coarse_cross_entropy():
    spread = RNG.dirichlet(np.ones(6), 8)
    for soft in (SOFT, spread):
        args = float32(COARSE, soft)
        got = toy.jit(hca.coarse_cross_entropy)(*args, PLACE)
        want = [coarse_by_hand(row, soft) for row in range(8)]
        np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("pool", hca.POOLS)
@pytest.mark.quick("max-True")
def test_distillation(pool, trim):
    def fn(*args):
        return hca.distillation_loss(*args, PLACE, pool=pool, trim=trim)

    args = float32(STUDENT, FINE, COARSE, SOFT)
    want = [distilled_by_hand(row, pool, trim) for row in range(8)]
    np.testing.assert_allclose(toy.jit(fn)(*args), want, rtol=2e-4, atol=1e-6)
    run = jax.grad(lambda *a: fn(*a).sum(), (0, 1, 2))
    student, fine, coarse = toy.jit(run)(*args)
    assert np.abs(student).max() > 0.1
    # Teachers are constants.
    assert not np.any(fine)
    assert not any(np.any(x) for x in coarse)


def test_a_student_that_says_what_its_teachers_say():
    """One level follows from the other, so that nothing is left to learn."""
    fine = np.float32(FINE)
    for pool in hca.POOLS:
        coarse = [
            np.float32([pool_by_hand(row, place, pool) for row in fine])
            for place in PLACE
        ]
        fn = functools.partial(hca.distillation_loss, place=PLACE, pool=pool)
        loss = toy.jit(fn)(fine, fine, coarse, SOFT)
        np.testing.assert_allclose(loss, 0, atol=2e-6)


@pytest.mark.slow
def test_confident_teachers_and_ties_are_finite():
    tied, sure = jnp.zeros((1, 6)), jnp.eye(6)[:1] * 1e4
    half = (jnp.array([[0.0, 1e4]]), jnp.zeros((1, 4)))

    def total(student, fine):
        losses = [
            hca.distillation_loss(
                student, fine, half, SOFT[:1], PLACE, pool=pool, trim=trim
            )
            for pool in hca.POOLS
            for trim in (False, True)
        ]
        return jnp.sum(jnp.stack(losses))

    run = toy.jit(jax.value_and_grad(total))
    for student, fine in ((tied, sure), (sure, tied), (-sure, sure), (tied, tied)):
        loss, slope = run(student, fine)
        assert np.isfinite(loss)
        assert np.isfinite(slope).all()


def term_of(adjust, **options):
    """Loss and gradients of features and head, of a toy batch with a padding row."""
    net = toy.network(head="hierarchy", options=(("adjust", adjust), ("width", 3)))
    params, _ = toy.model_variables(net)
    batch = toy.batch() | {"weight": np.float32([0.5, 2, 1, 0, 1, 3, 1, 1])}
    batch["mask"] = np.float32([1, 1, 1, 1, 0, 1, 1, 1])
    objective = hca.make(**options)
    variables = objective.init(jax.random.key(0), toy.SPEC)

    def loss(params, features):
        outputs = net.head(params, features)
        view = base.View(features, outputs, None, lambda z: net.head(params, z))
        return objective.loss(variables, view, batch, None).loss, outputs

    features = jnp.asarray(RNG.normal(size=(8, toy.WIDTH)), jnp.float32)
    run = toy.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    (value, outputs), slopes = run(params, features)
    return batch, outputs, value, slopes, params


@pytest.mark.parametrize("adjust", ["multiply", "distill"])
@pytest.mark.quick("distill")
def test_the_term(adjust):
    batch, out, value, (of_params, of_features), params = term_of(adjust, distill=0.5)
    soft = np.eye(6)[batch["bin"]]
    probs = special.softmax(np.float64(out.fine), axis=-1)

    def parts(out, soft):
        found = hca.coarse_cross_entropy(out.coarse, soft, out.place)
        if out.student is None:
            return found
        args = (out.student, out.fine, out.coarse, soft, out.place)
        return found + 0.5 * hca.distillation_loss(*args)

    row = np.float64(toy.jit(parts)(out, soft))
    row -= np.log(np.sum(soft * probs, axis=-1))
    factor = batch["mask"] * batch["weight"] / batch["mask"].sum()
    np.testing.assert_allclose(value, np.sum(factor * row), rtol=1e-5)
    # The encoder learns from the fine classifier alone.
    kernel = np.float64(params["head"]["linear"]["kernel"][:, :6])
    want = factor[:, None] * ((probs - soft) @ kernel.T)
    np.testing.assert_allclose(of_features, want, rtol=1e-4, atol=1e-6)
    # All of them are trained.
    for leaf in jax.tree.leaves(of_params["head"]):
        assert (np.abs(leaf).max(axis=0) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"pool": "sum", "trim": True}])
def test_distillation_in_degenerate_batches(options):
    net = toy.network(head="hierarchy", options=(("adjust", "distill"), ("width", 3)))
    objective = objectives.from_config({"hca": options})
    run = toy.jit(toy.train_step(objective, net))
    for batch in test_contract.degenerate().values():
        state = toy.start(objective, net=net)
        new, report = run(state, batch)
        assert int(report.first_bad) == train_step.NEVER
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(new.params))


def test_what_is_refused():
    linear = heads.Outputs(jnp.zeros(8))
    view = base.View(jnp.zeros((8, 4)), linear, None, None)
    objective = hca.make()
    variables = objective.init(jax.random.key(0), toy.SPEC)
    with pytest.raises(ValueError, match=r"needs model\.head='hierarchy'"):
        objective.loss(variables, view, toy.batch(), None)
    for options, words in (
        ({"pool": "mean"}, "pool must be one of max, sum"),
        ({"distill": -1.0}, "distill"),
        ({"targets": "soft"}, "targets must be one of"),
        ({"spread": 0.0}, "spread"),
    ):
        with pytest.raises(ValueError, match=words):
            hca.make(**options)
