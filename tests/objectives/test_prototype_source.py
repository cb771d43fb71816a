"""Prototypes that outlive a batch, against loops over batches and labels."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.features import moments
from dirjax.features import prototypes as prototypes_lib
from dirjax.features.prototypes import prototypes
from dirjax.objectives import base, norm_order, norm_target
from tests import toy
from tests.features.test_prototypes import by_loops
from tests.objectives.test_norm_order import by_loops as divergence

LABELS = 7
READINGS = ("prototype", "mean_of_norms")


def draw(seed):
    """Twelve rows of some of the labels 0 to 4, padding among them."""
    rng = np.random.default_rng(seed)
    z = np.float32(rng.normal(size=(12, 3)))
    return z, np.int32(rng.integers(0, 5, 12)), np.float32(rng.random(12) < 0.7)


def after_batches(batches, momentum, reading):
    """Mean, norm by reading and whether it is known of each label, float64."""
    means, lengths, seen = np.zeros((LABELS, 3)), np.zeros(LABELS), np.zeros(LABELS)
    for z, y, mask in batches:
        rows = zip(*by_loops(z, y, mask, "mean_of_norms"), strict=True)
        for label, _, mean, norm in rows:
            b = int(label)
            keep = momentum if seen[b] else 0
            means[b] = keep * means[b] + (1 - keep) * mean
            lengths[b] = keep * lengths[b] + (1 - keep) * norm
            seen[b] = 1
    norms = np.sqrt((means**2).sum(axis=1)) if reading == "prototype" else lengths
    return means, norms, seen


def empty():
    row = jnp.zeros(LABELS)
    return prototypes_lib.Memory(row, jnp.zeros((LABELS, 3)), row)


class Variants(chex.TestCase):
    @chex.all_variants
    def test_running_prototypes_against_loops(self):
        for reading in READINGS:

            def run(z, y, mask, memory, reading=reading):
                found = prototypes(z, y, mask=mask, num_labels=LABELS, reading=reading)
                return prototypes_lib.recall(
                    found, memory, momentum=0.8, reading=reading
                )

            fn, memory, batches = self.variant(run), empty(), []
            for seed in range(3):
                batches.append(draw(seed))
                found, memory = fn(*batches[-1], memory)
                means, norms, seen = after_batches(batches, 0.8, reading)
                np.testing.assert_allclose(found.mean, means, rtol=1e-5, atol=1e-6)
                np.testing.assert_allclose(found.norm, norms, rtol=1e-5, atol=1e-6)
                np.testing.assert_array_equal(memory.seen, seen)
                np.testing.assert_allclose(memory.mean, means, rtol=1e-5, atol=1e-6)
                _, y, mask = batches[-1]
                np.testing.assert_array_equal(
                    found.count, np.bincount(y[mask > 0], minlength=LABELS)
                )
                np.testing.assert_array_equal(found.slot[mask > 0], y[mask > 0])
            np.testing.assert_array_equal(found.label, np.arange(LABELS))
            assert 0 < seen.sum() < LABELS


@pytest.mark.slow
def test_rows_move_along_what_is_known():
    z, y, mask = draw(0)
    z[mask == 0] = np.nan
    rng = np.random.default_rng(5)
    old = np.float32(rng.normal(size=(LABELS, 3)))
    memory = prototypes_lib.Memory(jnp.ones(LABELS), jnp.asarray(old), jnp.ones(LABELS))

    def norms(z, memory):
        found = prototypes(z, y, mask=mask, num_labels=LABELS)
        return prototypes_lib.recall(found, memory, momentum=0.6)[0].norm

    # The gradient of each norm by each row.
    by_row, by_memory = toy.jit(jax.jacobian(norms, argnums=(0, 1)))(z, memory)
    chex.assert_trees_all_equal(by_memory, jax.tree.map(jnp.zeros_like, by_memory))
    want = np.zeros((LABELS, 12, 3))
    for label, count, mean, _ in zip(*by_loops(z, y, mask), strict=True):
        b = int(label)
        known = 0.6 * old[b] + 0.4 * mean
        for i in np.flatnonzero((y == b) & (mask > 0)):
            want[b, i] = known / np.sqrt((known**2).sum()) / count
    np.testing.assert_allclose(by_row, want, rtol=1e-4, atol=1e-6)
    assert np.abs(want).sum(axis=(1, 2)).astype(bool).sum() >= 3


@pytest.mark.slow
def test_prototypes_of_data():
    z, y, mask = draw(1)
    total = moments.from_batch(jnp.asarray(z), y, mask, num_bins=LABELS)
    memory = prototypes_lib.of_data(total)
    for reading in READINGS:
        norms = after_batches([(z, y, mask)], 0.0, reading)[1]
        got = prototypes_lib.norms(memory, reading=reading)
        np.testing.assert_allclose(got, norms, rtol=1e-5, atol=1e-6)
    # A batch does not change them.
    found = prototypes(*draw(2)[:2], num_labels=LABELS)
    found, after = prototypes_lib.recall(found, memory, momentum=1.0)
    known = np.asarray(memory.seen) > 0
    np.testing.assert_allclose(found.mean[known], memory.mean[known], rtol=1e-6)
    np.testing.assert_allclose(after.mean[known], memory.mean[known], rtol=1e-6)


def step(objective, variables, seed):
    """The outcome of a term on drawn rows, with bins of `toy.SPEC`."""
    z, bins, mask = draw(seed)
    batch = {"bin": bins, "mask": mask, "weight": 9 * mask}
    view = base.View(jnp.asarray(z), None, lambda x: x, lambda x: x)
    return toy.jit(lambda v: objective.loss(v, view, batch, None))(variables)


SPEC = dataclasses.replace(toy.SPEC, feature_dim=3)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.quick("mean_of_norms")
def test_order_of_all_that_is_known(reading):
    objective = norm_order.make(
        alpha=0.0, source="running", momentum=0.7, reading=reading
    )
    assert not any(objective.collect)
    variables = objective.init(jax.random.key(0), SPEC)
    seen, batches = [], []
    for seed in (0, 3):
        batches.append(draw(seed))
        out = step(objective, variables, seed)
        chex.assert_trees_all_equal_shapes_and_dtypes(out.state, variables.state)
        variables = variables._replace(state=out.state)
        _, norms, known = after_batches(batches, 0.7, reading)
        labels = np.flatnonzero(known)
        want = divergence(norms[labels], labels)
        np.testing.assert_allclose(out.loss, want, rtol=1e-4)
        seen.append(len(labels))
    # Labels that only the first batch has count in the second one.
    assert len(set(batches[1][1][batches[1][2] > 0])) < seen[-1]


@pytest.mark.slow
@pytest.mark.parametrize("term", [norm_order, norm_target])
def test_prototypes_of_the_data_set_are_measured_again(term):
    objective = term.make(source="data")
    variables = objective.init(jax.random.key(0), SPEC)
    assert float(variables.state["memory"].seen.sum()) == 0
    for seed, gather in enumerate(objective.collect):
        z, y, mask = draw(seed)
        total = moments.from_batch(jnp.asarray(z), y, mask, num_bins=6)
        old, variables = variables, toy.jit(gather)(variables, total)
        chex.assert_trees_all_equal_shapes_and_dtypes(old, variables)
        np.testing.assert_allclose(variables.state["memory"].mean, total.mean)
    if term is norm_target:  # Its targets are those of the start.
        np.testing.assert_array_equal(variables.state["target"], old.state["target"])
    out = step(objective, variables, 2)
    known = np.asarray(total.count) > 0
    mean = out.state["memory"].mean
    np.testing.assert_allclose(mean[known], total.mean[known], rtol=1e-6)


@pytest.mark.slow
def test_targets_draw_running_prototypes():
    objective = norm_target.make(source="running", momentum=0.5, unit="norm")
    assert objective.collect.epoch is None
    variables = objective.init(jax.random.key(0), SPEC)
    batches = [draw(0), draw(3)]
    total = moments.from_batch(*map(jnp.asarray, batches[0]), num_bins=6)
    variables = objective.collect.start(variables, total)
    for seed in (0, 3):
        out = step(objective, variables, seed)
        variables = variables._replace(state=out.state)
    norms = after_batches(batches, 0.5, "prototype")[1]
    _, y, mask = batches[1]
    here = sorted(set(y[mask > 0]))
    gaps = norms[here] - np.asarray(variables.state["target"])[here]
    np.testing.assert_allclose(out.loss, (gaps**2).sum(), rtol=1e-4)


@pytest.mark.parametrize("term", [norm_order, norm_target])
def test_wrong_options(term):
    with pytest.raises(ValueError, match="source must be one of batch, running, data"):
        term.make(source="epoch")
    with pytest.raises(ValueError, match=r"momentum .* in \[0, 1\), got 1\.0"):
        term.make(momentum=1.0)
    unknown = dataclasses.replace(toy.SPEC, feature_dim=0)
    with pytest.raises(ValueError, match=r"needs spec\.feature_dim above 0, got 0"):
        term.make(source="running").init(jax.random.key(0), unknown)
