"""Norm targets: measured where labels are many, on the line elsewhere."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import labels, objectives
from dirjax.features import moments
from dirjax.objectives import base, norm_target, reweight
from dirjax.objectives.norm_target import norm_target_loss
from tests import toy
from tests.features.test_prototypes import by_loops

# Three bins with many labels, of which one is empty by its list; the others with fewer.
SPEC = dataclasses.replace(
    labels.spec(
        np.repeat([0.5, 1.5, 2.5, 4.5], [40, 9, 30, 1]),
        bin_width=1.0,
        label_range=(0.0, 6.0),
        shot_lists={"many": (0, 2, 3), "median": (1,), "few": (4, 5)},
    ),
    feature_dim=3,
)


def rows(seed=0):
    rng = np.random.default_rng(seed)
    z = np.float32(2 * rng.normal(size=(12, 3)))
    bins = np.int32(rng.permutation([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 4, 4]))
    return z, bins, np.float32(np.arange(12) != 7)


class Variants(chex.TestCase):
    @chex.all_variants
    def test_against_loops(self):
        z, bins, mask = rows()
        targets = np.float32([1, 5, 0, 9, 2, 4])
        fn = self.variant(
            lambda z, b, m: norm_target_loss(z, b, targets=targets, mask=m)
        )
        label, _, _, norm = by_loops(z, bins, mask)
        want = ((norm - targets[label.astype(int)]) ** 2).sum()
        np.testing.assert_allclose(fn(z, bins, mask), want, rtol=1e-5)


@pytest.mark.slow
def test_gradients():
    z, bins, mask = rows()
    targets = jnp.arange(6.0)

    def loss(z, targets):
        return norm_target_loss(z, bins, targets=targets, mask=mask)

    slope = toy.jit(jax.grad(loss, argnums=(0, 1)))
    for features in (z, 0 * z, np.ones_like(z), np.full_like(z, np.nan)):
        real = np.where(mask[:, None] > 0, np.nan_to_num(features), np.nan)
        to_features, to_targets = slope(real, targets)
        assert np.isfinite(to_features).all()
        np.testing.assert_array_equal(to_features[mask == 0], 0)
        np.testing.assert_array_equal(to_targets, 0)
    with jax.enable_x64(True):
        away = jnp.asarray(np.float64(z))
        bound = jax.jit(lambda z: loss(z, targets))
        chex.assert_numerical_grads(bound, (away,), order=1, rtol=1e-5, atol=1e-6)


def begun(**options):
    """The objective and its variables after `start` on some rows, and these."""
    z, bins, mask = rows()
    objective = norm_target.make(**options)
    variables = objective.init(jax.random.key(0), SPEC)
    total = moments.from_batch(jnp.asarray(z), bins, mask, num_bins=6)
    # In two parts, so that means are rounded.
    half = moments.from_batch(z[:6], bins[:6], mask[:6], num_bins=6)
    rest = moments.from_batch(z[6:], bins[6:], mask[6:], num_bins=6)
    new = toy.jit(objective.collect.start)(variables, moments.merge(half, rest))
    np.testing.assert_allclose(total.count, half.count + rest.count)
    return objective, variables, new


@pytest.mark.parametrize("targets", norm_target.TARGETS)
@pytest.mark.parametrize("reading", ["prototype", "mean_of_norms"])
def test_start_by_hand(reading, targets):
    _, before, after = begun(reading=reading, targets=targets)
    assert before.state["target"].sum() == 0
    chex.assert_trees_all_equal_shapes_and_dtypes(after, before)
    label, _, _, norm = by_loops(*rows(), reading)
    measured = np.zeros(6)
    measured[label.astype(int)] = norm
    state = after.state
    np.testing.assert_allclose(state["measured"], measured, rtol=1e-5)
    # Bin 3 is in the list and empty, so two bins make the line.
    slope, intercept = np.polyfit([0, 2], measured[[0, 2]], 1)
    np.testing.assert_allclose(state["line"], (slope, intercept), rtol=1e-4, atol=1e-5)
    want = np.maximum(slope * np.arange(6) + intercept, 0)
    if targets == "measured":
        want[[0, 2]] = measured[[0, 2]]
    np.testing.assert_allclose(state["target"], want, rtol=1e-4, atol=1e-5)
    assert state["misfit"] < 1e-3


@pytest.mark.slow
def test_start_by_gradients():
    """A long fit is near the closed form, a short one is not."""
    options = {"fit": "sgd", "targets": "all_predicted", "learning_rate": 0.05}
    long = begun(steps=600, **options)[2].state
    closed = begun(targets="all_predicted")[2].state
    many = np.array([0, 2])
    near, want = long["target"][many], closed["target"][many]
    np.testing.assert_allclose(near, want, rtol=0.02)
    short = begun(epochs=2.0, **options)[2].state
    assert short["misfit"] > 0.8
    assert long["misfit"] < 0.05
    advise = norm_target.make().diagnostics.advise
    (said,) = advise({"norm/misfit": float(short["misfit"])})
    assert "label_scaling" in said
    assert not advise({"norm/misfit": 0.5})


@pytest.mark.slow
@pytest.mark.parametrize("unit", norm_target.UNITS)
@pytest.mark.parametrize("reading", ["prototype", "mean_of_norms"])
def test_targets_stay_and_metrics_tell_the_gap(reading, unit):
    objective, _, variables = begun(reading=reading, unit=unit)
    z, bins, mask = rows(1)
    batch = {"bin": bins, "mask": mask, "weight": 7 * mask}
    view = base.View(jnp.asarray(z), None, lambda x: x, lambda x: x)
    out = toy.jit(lambda v: objective.loss(v, view, batch, None))(variables)
    chex.assert_trees_all_equal(out.state, variables.state)
    label, _, _, norm = by_loops(z, bins, mask, reading)
    gaps = norm - np.asarray(variables.state["target"])[label.astype(int)]
    if unit == "norm":
        want = (gaps**2).sum()
    else:
        # Bins 0 and 2 are many-shot and have rows.
        spread = np.std(np.asarray(variables.state["measured"], np.float64)[[0, 2]])
        labels_std = np.std(np.repeat([0.5, 1.5, 2.5, 4.5], [40, 9, 30, 1]))
        want = labels_std * ((gaps / spread) ** 2).mean()
    np.testing.assert_allclose(out.loss, want, rtol=1e-5)
    size, _ = out.metrics["norm/gap"]
    np.testing.assert_allclose(size, np.sqrt((gaps**2).mean()), rtol=1e-5)
    # Dense features are rows.
    dense = dataclasses.replace(view, features=view.features.reshape(2, 3, 2, 3))
    shaped = {name: value.reshape(2, 3, 2) for name, value in batch.items()}
    same = objective.loss(variables, dense, shaped, None)
    np.testing.assert_allclose(same.loss, out.loss, rtol=1e-6)


def test_the_penalty_has_no_unit_of_norms():
    """Features of another length have the same penalty, if deviations are the unit."""
    z, bins, mask = rows()
    other, _, _ = rows(1)
    losses = {}
    for unit in norm_target.UNITS:
        objective = norm_target.make(unit=unit)
        variables = objective.init(jax.random.key(0), SPEC)
        for scale in (1.0, 8.0):
            total = moments.from_batch(scale * z, bins, mask, num_bins=6)
            begun_ = objective.collect.start(variables, total)
            view = base.View(jnp.asarray(scale * other), None, None, None)
            batch = {"bin": bins, "mask": mask}
            losses[unit, scale] = objective.loss(begun_, view, batch, None).loss
    np.testing.assert_allclose(
        losses["deviation", 8.0], losses["deviation", 1.0], rtol=1e-4
    )
    np.testing.assert_allclose(losses["norm", 8.0], 64 * losses["norm", 1.0], rtol=1e-4)


def test_equal_norms_have_no_deviation():
    objective = norm_target.make()
    variables = objective.init(jax.random.key(0), SPEC)
    _, bins, mask = rows()
    ones = jnp.ones((len(bins), 3))
    total = moments.from_batch(ones, bins, mask, num_bins=6)
    state = objective.collect.start(variables, total).state
    assert state["spread"] == 1.0
    chex.assert_tree_all_finite(state)


@pytest.mark.slow
def test_starts_pass_through_sums_and_wrappers():
    """Terms and wrappers without one stay as they are."""
    terms = {"l1": {}, "norm_target": {}, "norm_order": {"weight": 0.0}}
    objective = objectives.from_config(terms, ("reweight", "fds"))
    assert objective.collect.start is not None
    assert objectives.from_config({"l1": {}}, ("fds",)).collect.start is None
    variables = objective.init(jax.random.key(0), toy.SPEC)
    z = jnp.ones((8, toy.WIDTH))
    total = moments.from_batch(z, toy.batch()["bin"], jnp.ones(8), num_bins=6)
    new = toy.jit(objective.collect.start)(variables, total)
    inside, before = (v.state["inner"]["inner"] for v in (new, variables))
    assert inside["norm_target"]["measured"].sum() > 0
    for tree in (inside, before):
        tree["norm_target"] = None
    chex.assert_trees_all_equal(new, variables)
    # A wrapper of one's own with a state.
    counted = base.wrap(
        reweight.make(norm_target.make()),
        init=lambda spec: {"starts": 0},
        loss=lambda own, inside, view, batch, key: inside(view, batch),
        collect=base.Collect(start=lambda own, moments: {"starts": own["starts"] + 1}),
    )
    state = counted.collect.start(
        counted.init(jax.random.key(0), toy.SPEC), total
    ).state
    assert state["starts"] == 1
    assert state["inner"]["inner"]["target"].sum() > 0


def test_a_term_of_weight_zero_gives_no_advice():
    means = {"norm/span": 1.0, "norm/label_span": 60.0, "norm/misfit": 0.9}
    terms = {"norm_target": {}, "norm_order": {"weight": 0.0}}
    assert len(objectives.from_config(terms).diagnostics.advise(means)) == 1
    terms["norm_order"]["weight"] = 0.1
    assert len(objectives.from_config(terms).diagnostics.advise(means)) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reading": "mean"}, "reading .* prototype, mean_of_norms"),
        ({"unit": "label"}, "unit .* deviation, norm, got 'label'"),
        ({"targets": "line"}, "targets .* measured, all_predicted, got 'line'"),
        ({"fit": "ridge"}, "fit .* closed, sgd"),
        ({"epochs": -1.0}, "epochs must be a number from 0"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"batch_size": 0}, "batch_size must be a number from 1"),
    ],
)
def test_options_are_checked(options, words):
    with pytest.raises(ValueError, match=words):
        norm_target.make(**options)


def test_labels_without_a_many_shot_bin():
    spec = dataclasses.replace(SPEC, shots=np.ones(6, np.int8))
    with pytest.raises(
        ValueError, match=r"none: the largest of 6 .* 40\. Lower the thr"
    ):
        norm_target.make().init(jax.random.key(0), spec)
