"""Terms of heads that predict a distribution, from the formulas of their papers."""

import dataclasses
import math
import pathlib
import types

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from dirjax import objectives
from dirjax.labels import weights
from dirjax.models.distributions import (
    GaussianOutputs,
    HistogramOutputs,
    QuantileOutputs,
)
from dirjax.objectives import gaussian, histogram, quantile
from tests import toy

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "ccor_beta_nll.npz"
EDGES = np.array([0.0, 1.0, 1.5, 4.0, 6.0])
LABELS = np.float32([0.0, 0.4, 1.2, 1.5, 3.9, 6.0, -3.0, 11.0])
ROWS = len(LABELS)
RNG = np.random.default_rng(0)
LOGITS = np.float32(RNG.normal(size=(ROWS, 4)))
VALUES = np.float32(np.sort(RNG.normal(size=(ROWS, 3)) * 2 + 2, axis=1))
CENTER = np.float32(RNG.normal(size=ROWS) + 2)
DEVIATION = np.float32(RNG.gamma(2.0, 0.5, ROWS))
UNIT = toy.SPEC.label_std


def normal(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def triangle(x):
    """Distribution function of a triangle over -1 to 1, by a fine sum."""
    grid = np.linspace(-1, 1, 200_001)
    return np.sum(np.where(grid < x, 1 - np.abs(grid), 0)) / np.sum(1 - np.abs(grid))


def targets_by_hand(y, spread, targets, edges=EDGES):
    """Target probabilities of one label in float64."""
    y = min(max(float(y), edges[0]), edges[-1])
    num = len(edges) - 1
    if targets == "hard":
        at = max(b for b in range(num) if edges[b] <= y)
        return np.eye(num)[at]
    reach = spread * (edges[-1] - edges[0]) / num
    below = normal if targets == "gaussian" else triangle
    found = [
        below((edges[b + 1] - y) / reach) - below((edges[b] - y) / reach)
        for b in range(num)
    ]
    return np.array(found) / sum(found)


def cross_entropy_by_hand(logits, q):
    z = np.float64(logits)
    return -sum(q[b] * (z[b] - np.log(np.exp(z).sum())) for b in range(len(z)))


def nll_by_hand(m, s, y, beta):
    m, s, y = (float(x) / UNIT for x in (m, s, y))
    return (s * s) ** beta * 0.5 * ((y - m) ** 2 / (s * s) + np.log(s * s))


def pinball_by_hand(values, y):
    total = 0.0
    for k, v in enumerate(values):
        level, error = (k + 1) / (len(values) + 1), float(y) - float(v)
        total += level * error if error >= 0 else (level - 1) * error
    return total / len(values) / UNIT


def batch(labels=LABELS, weight=None, mask=None):
    return {
        "label": jnp.asarray(labels),
        "weight": jnp.ones(labels.shape) if weight is None else jnp.asarray(weight),
        "mask": jnp.ones(labels.shape) if mask is None else jnp.asarray(mask),
    }


def histogram_outputs(logits=LOGITS, edges=EDGES):
    outputs = HistogramOutputs(logits[..., 0], logits, np.float32(edges))
    return outputs._replace(prediction=outputs.median())


def outputs_of(kind):
    if kind == "histogram":
        return histogram_outputs()
    if kind == "gaussian":
        return GaussianOutputs(CENTER, CENTER, DEVIATION)
    return QuantileOutputs(VALUES[:, 1], VALUES)


def value(objective, outputs, one, spec=toy.SPEC):
    """The loss of a batch."""
    view = types.SimpleNamespace(outputs=outputs)
    variables = objective.init(jax.random.key(0), spec)
    return objective.loss(variables, view, one, jax.random.key(1)).loss


class Variants(chex.TestCase):
    @chex.all_variants
    @parameterized.product(targets=histogram.TARGETS, spread=(0.3, 1.0, 4.0))
    def test_targets(self, targets, spread):
        fn = self.variant(
            lambda y: histogram.bin_targets(
                y, jnp.asarray(EDGES), spread=spread, targets=targets
            )
        )
        want = [targets_by_hand(y, spread, targets) for y in LABELS]
        np.testing.assert_allclose(fn(LABELS), want, rtol=1e-4, atol=1e-6)

    @chex.all_variants
    @parameterized.parameters(0.0, 0.5, 1.0)
    def test_gaussian(self, beta):
        fn = self.variant(lambda *a: gaussian.gaussian_loss(*a, beta=beta))
        got = fn(CENTER / UNIT, DEVIATION / UNIT, LABELS / UNIT)
        rows = zip(CENTER, DEVIATION, LABELS, strict=True)
        want = [nll_by_hand(m, s, y, beta) for m, s, y in rows]
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)

    @chex.all_variants
    def test_pinball(self):
        levels = np.float32([0.25, 0.5, 0.75])
        got = self.variant(quantile.pinball_loss)(VALUES, levels, LABELS)
        want = [
            UNIT * pinball_by_hand(v, y) for v, y in zip(VALUES, LABELS, strict=True)
        ]
        np.testing.assert_allclose(got, want, rtol=1e-5)


WEIGHT = np.float32([1, 2, 0.5, 1, 3, 1, 0, 1])
MASK = np.float32([1, 1, 1, 0, 1, 1, 1, 1])
CASES = {
    "histogram": (histogram.make(), "histogram"),
    "spread": (histogram.make(spread=3.0, joint=2.0), "histogram"),
    "hard": (histogram.make(targets="hard"), "histogram"),
    "gaussian": (gaussian.make(), "gaussian"),
    "beta": (gaussian.make(beta=0.5), "gaussian"),
    "quantile": (quantile.make(), "quantile"),
}


def rows_by_hand(case):
    outputs = outputs_of(CASES[case][1])
    for row, y in enumerate(LABELS):
        if case in ("gaussian", "beta"):
            beta = 0.5 if case == "beta" else 0.0
            yield nll_by_hand(CENTER[row], DEVIATION[row], y, beta)
        elif case == "quantile":
            yield pinball_by_hand(VALUES[row], y)
        else:
            spread, targets = (3.0 if case == "spread" else 1.0), "gaussian"
            targets = "hard" if case == "hard" else targets
            q = targets_by_hand(y, spread, targets)
            joint = 2.0 if case == "spread" else 0.0
            error = abs(float(outputs.prediction[row]) - float(y)) / UNIT
            yield cross_entropy_by_hand(LOGITS[row], q) + joint * error


@pytest.mark.parametrize("case", CASES)
def test_terms_are_weighted_means_over_real_rows(case):
    objective, kind = CASES[case]
    got = value(objective, outputs_of(kind), batch(weight=WEIGHT, mask=MASK))
    want = np.sum(np.array(list(rows_by_hand(case))) * WEIGHT * MASK) / MASK.sum()
    np.testing.assert_allclose(got, want, rtol=1e-4)


def as_maps(outputs):
    return outputs._replace(
        **{
            k: np.reshape(v, (2, 2, 2, *v.shape[1:]))
            for k, v in outputs._asdict().items()
            if k != "edges"
        }
    )


@pytest.mark.parametrize("case", CASES)
def test_maps_of_pixels_are_rows(case):
    objective, kind = CASES[case]
    args = {"weight": WEIGHT, "mask": MASK}
    want = value(objective, outputs_of(kind), batch(**args))
    shape = (2, 2, 2)
    maps = batch(LABELS.reshape(shape), *(x.reshape(shape) for x in args.values()))
    got = value(objective, as_maps(outputs_of(kind)), maps)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("number", range(3))
def test_golden_beta_nll(number):
    """The author's code: a sum, of one half of the logarithm of the variance."""
    with np.load(GOLDEN) as data:
        prefix = f"c{number:02d}."
        c = {k[4:]: data[k] for k in data.files if k.startswith(prefix)}
    with jax.enable_x64(True):
        arrays = [jnp.asarray(c[f"in.{k}"].ravel()) for k in NAMES]

        def total(m, v, y):
            beta = float(c["p.beta"])
            return jnp.sum(gaussian.gaussian_loss(m, jnp.sqrt(v), y, beta=beta))

        loss, slopes = jax.value_and_grad(total, (0, 1))(*arrays)
    np.testing.assert_allclose(loss, c["out.loss"], rtol=1e-9)
    for name, slope in zip(NAMES, slopes, strict=False):
        np.testing.assert_allclose(slope, c[f"grad.{name}"].ravel(), rtol=1e-9)


NAMES = ("mean", "variance", "target")


def test_cross_entropy_is_least_at_the_targets():
    @toy.jit
    def slope(y):
        q = histogram.bin_targets(y, EDGES)
        return jax.grad(lambda z: histogram.cross_entropy(z, q).sum())(jnp.log(q))

    np.testing.assert_allclose(slope(jnp.float32([1.2, 5.0])), 0, atol=1e-6)


def test_labels_outside_and_on_edges_go_to_the_end_bins():
    soft = histogram.bin_targets(jnp.float32([-1e6, 0, 6, 1e6]), jnp.asarray(EDGES))
    np.testing.assert_array_equal(soft[0], soft[1])
    np.testing.assert_array_equal(soft[2], soft[3])
    assert soft[0].argmax() == 0
    assert soft[3].argmax() == 3
    hard = histogram.bin_targets(
        jnp.float32([-9, 0, 1, 6, 9]), jnp.asarray(EDGES), targets="hard"
    )
    assert hard.argmax(1).tolist() == [0, 0, 1, 3, 3]


@hypothesis.given(st.floats(-2, 8, width=32), st.floats(0.05, 5), st.data())
@hypothesis.settings(deadline=None, max_examples=30)
def test_properties_of_targets(y, spread, data):
    kind = data.draw(st.sampled_from(histogram.TARGETS))
    edges, label = jnp.asarray(EDGES), jnp.float32([y])
    soft = histogram.bin_targets(label, edges, spread=spread, targets=kind)
    np.testing.assert_allclose(soft.sum(), 1, rtol=1e-5)
    assert (np.asarray(soft) >= 0).all()
    # Mirrored labels have mirrored targets (but a label on an edge is in one bin).
    hypothesis.assume(kind != "hard" or y not in EDGES)
    mirrored = histogram.bin_targets(-label, -edges[::-1], spread=spread, targets=kind)
    np.testing.assert_allclose(mirrored[:, ::-1], soft, rtol=1e-4, atol=1e-6)
    # Nor do they depend on the unit of the label.
    scaled = histogram.bin_targets(8 * label, 8 * edges, spread=spread, targets=kind)
    np.testing.assert_allclose(scaled, soft, rtol=1e-4, atol=1e-6)


def test_a_narrow_spread_is_the_bin_itself():
    inside = jnp.float32([0.4, 1.2, 3.9])
    for targets in ("gaussian", "triangular"):
        soft = histogram.bin_targets(
            inside, jnp.asarray(EDGES), spread=1e-3, targets=targets
        )
        hard = histogram.bin_targets(inside, jnp.asarray(EDGES), targets="hard")
        np.testing.assert_allclose(soft, hard, atol=1e-6)


def test_one_bin_has_nothing_to_learn():
    def loss(logits):
        outputs = histogram_outputs(logits, np.array([0.0, 6.0]))
        return value(histogram.make(), outputs, batch())

    found, slope = toy.jit(jax.value_and_grad(loss))(LOGITS[:, :1])
    assert found == 0
    np.testing.assert_array_equal(slope, 0)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_finite_far_outside(case):
    objective, kind = CASES[case]
    outputs = outputs_of(kind)
    moving = {k: v for k, v in outputs._asdict().items() if k != "edges"}

    def loss(moving, labels):
        return value(objective, outputs._replace(**moving), batch(labels))

    run = toy.jit(jax.value_and_grad(loss))
    for labels in (LABELS * 1e4, LABELS * 0, np.full(ROWS, -1e6, np.float32)):
        found, slopes = run(moving, labels)
        assert np.isfinite(found)
        chex.assert_tree_all_finite(slopes)
    nothing = batch(mask=np.zeros(ROWS, np.float32))
    assert value(objective, outputs, nothing) == 0


@pytest.mark.parametrize("case", ["gaussian", "beta", "quantile"])
def test_the_unit_of_the_label_does_not_matter(case):
    objective, kind = CASES[case]
    outputs = outputs_of(kind)
    scaled = outputs._replace(**{k: v * 64 for k, v in outputs._asdict().items()})
    spec = dataclasses.replace(toy.SPEC, label_std=64 * UNIT)
    got = value(objective, scaled, batch(LABELS * 64), spec)
    want = value(objective, outputs, batch())
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_beta_scales_the_gradient_of_the_centre():
    """With 1 it is that of half the squared error."""

    def slope(beta):
        def total(m):
            return jnp.sum(gaussian.gaussian_loss(m, DEVIATION, LABELS, beta=beta))

        return jax.grad(total)(CENTER)

    np.testing.assert_allclose(slope(1.0), CENTER - LABELS, rtol=1e-5)
    np.testing.assert_allclose(slope(0.5) * DEVIATION, CENTER - LABELS, rtol=1e-5)


def test_pinball_is_least_at_the_quantiles():
    labels = jnp.asarray(np.random.default_rng(1).normal(size=4001), jnp.float32)
    levels = jnp.float32([0.1, 0.5, 0.8])

    def mean(v):
        values = jnp.broadcast_to(v[None], (labels.size, 3))
        return jnp.mean(quantile.pinball_loss(values, levels, labels))

    best = jnp.quantile(labels, levels)
    np.testing.assert_allclose(jax.grad(mean)(best), 0, atol=1e-3)
    assert all(mean(best + step) > mean(best) for step in (-0.2, 0.2))


@pytest.mark.parametrize("kind", ["histogram", "gaussian", "quantile"])
def test_weights_reach_the_term(kind):
    """`reweight` multiplies each row's loss by its bin's weight."""
    inner = CASES[kind][0]
    objective = objectives.from_config(
        {kind: {}}, ("reweight",), {"reweight": {"scheme": "sqrt_inverse"}}
    )
    table = weights.bin_weights(toy.SPEC.counts, scheme="sqrt_inverse")
    bins = toy.SPEC.bins.index(LABELS)
    got = value(objective, outputs_of(kind), batch() | {"bin": jnp.asarray(bins)})
    want = value(inner, outputs_of(kind), batch(weight=np.float32(table[bins])))
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: histogram.make(targets="soft"), "gaussian, hard, triangular"),
        (lambda: histogram.make(spread=0.0), "spread must be a number above 0"),
        (lambda: histogram.make(joint=-1.0), "joint must be a number from 0"),
        (lambda: gaussian.make(beta=2.0), "beta must be a number from 0 to 1"),
        (
            lambda: quantile.pinball_loss(jnp.ones((3, 2)), jnp.ones(2), jnp.ones(4)),
            r"values must have one number for each label and level, got shape \(3, 2\)",
        ),
    ],
)
def test_what_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("kind", ["histogram", "gaussian", "quantile"])
def test_other_heads_are_refused(kind):
    others = {"histogram": "gaussian", "gaussian": "quantile", "quantile": "histogram"}
    objective = CASES[kind][0]
    experts = types.SimpleNamespace(prediction=LABELS, logits=LOGITS, values=VALUES)
    for outputs in (outputs_of(others[kind]), experts):
        with pytest.raises(ValueError, match=rf"needs model.head='{kind}'\.$"):
            value(objective, outputs, batch())
