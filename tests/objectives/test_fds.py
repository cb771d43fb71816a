"""Feature distribution smoothing against slow loops written from the paper."""

import dataclasses
import functools

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from dirjax.features import moments as moments_lib
from dirjax.features import smoothing
from dirjax.labels import weights
from dirjax.objectives import base, fds
from tests.objectives.fds_cases import (
    PROBE,
    make,
    refresh,
    smooth,
    start,
    table,
    unit_spec,
    view_of,
)

# Shared, with 9 bins and 60 rows, so that tests share compiled functions.
CLEAN, OFFICIAL = fds.make(PROBE), fds.make(PROBE, mode="official")


class SlowFds:
    """Statistics per bin and column in float64; None where a bin has none."""

    def __init__(self, num, dim, window, momentum, clip=(0.1, 10.0)):
        self.num, self.dim, self.window = num, dim, window
        self.momentum, self.clip = momentum, clip
        self.mean, self.var, self.seen = [None] * num, [None] * num, [0] * num
        self.target = None

    def end_epoch(self, features, bins):
        for b in range(self.num):
            rows = [x for x, k in zip(features, bins, strict=True) if k == b]
            n = len(rows)
            if n == 0:
                continue
            mean = [sum(x[j] for x in rows) / n for j in range(self.dim)]
            var = [
                sum((x[j] - mean[j]) ** 2 for x in rows) / max(n - 1, 1)
                for j in range(self.dim)
            ]
            self.seen[b] += n
            if self.mean[b] is None:
                self.mean[b], self.var[b] = mean, var
                continue
            keep = 1 - n / self.seen[b] if self.momentum is None else self.momentum
            for old, new in ((self.mean[b], mean), (self.var[b], var)):
                for j in range(self.dim):
                    old[j] = keep * old[j] + (1 - keep) * new[j]
        varies = [v is not None and sum(v) >= 1e-10 for v in self.var]
        known = [m is not None for m in self.mean]
        self.target = [
            (self._around(self.mean, b, known), self._around(self.var, b, varies))
            for b in range(self.num)
        ]

    def _around(self, values, b, use):
        half, total, share = len(self.window) // 2, [0.0] * self.dim, 0.0
        for k, w in enumerate(self.window):
            at = b + k - half
            if at < 0:
                at = -at
            if at >= self.num:
                at = 2 * (self.num - 1) - at
            if use[at]:
                share += w
                total = [t + w * v for t, v in zip(total, values[at], strict=True)]
        return [t / share for t in total] if share else None

    def calibrate(self, features, bins):
        out = np.array(features, np.float64)
        if self.target is None:
            return out
        for i, b in enumerate(bins):
            if self.var[b] is None or sum(self.var[b]) < 1e-10:
                continue
            mean, var = self.target[b]
            for j in range(self.dim):
                if self.var[b][j] > 0:
                    ratio = np.clip(var[j] / self.var[b][j], *self.clip)
                    gap = out[i, j] - self.mean[b][j]
                    out[i, j] = gap * np.sqrt(ratio) + mean[j]
        return out


def epoch_data(seed, num, dim=3, rows=60):
    """Bins 2 and 3 stay empty, bin 5 has one row, column 1 of bin 4 is dead."""
    rng = np.random.default_rng(seed)
    bins = rng.choice([b for b in range(num) if b not in (2, 3, 5)], rows)
    bins[0] = 5
    features = rng.normal(bins[:, None], 1 + bins[:, None] / 5, (rows, dim))
    features[bins == 4, 1] = 2.0
    return features, bins.astype(np.int32)


@pytest.mark.parametrize(
    ("kernel", "size", "momentum", "x64"),
    [
        ("gaussian", 5, 0.9, True),
        ("laplace", 3, None, True),
        ("gaussian", 5, 0.9, False),
    ],
)
@pytest.mark.quick("True")
def test_clean_against_slow_loops(kernel, size, momentum, x64):
    num = 9
    window = weights.kernel_window(kernel, size, 2.0, normalize="sum")
    slow = SlowFds(num, 3, window, momentum)
    default = (kernel, size, momentum) == ("gaussian", 5, 0.9)
    objective = CLEAN if default else make(kernel=kernel, size=size, momentum=momentum)
    close = {"rtol": 1e-9, "atol": 1e-9} if x64 else {"rtol": 2e-5, "atol": 2e-5}
    with jax.enable_x64(x64):
        variables = start(objective, unit_spec(num, 3))
        for epoch in range(4):
            features, bins = epoch_data(10 * epoch, num)
            if epoch == 2:
                bins[1] = 3  # A bin that is seen late.
            x = jnp.asarray(features, float)
            np.testing.assert_allclose(
                smooth(objective, variables, x, bins)["z"],
                slow.calibrate(features, bins),
                err_msg=f"epoch {epoch}",
                **close,
            )
            variables = refresh(objective, variables, x, bins, np.zeros(num))
            slow.end_epoch(features, bins)
        np.testing.assert_array_equal(variables.state["fds"].var[2], 0)


def test_clean_calibrates_one_epoch_earlier_than_official():
    features, bins = epoch_data(0, 9)
    x = np.asarray(features, np.float32)
    moved = {}
    for mode, objective in (("clean", CLEAN), ("official", OFFICIAL)):
        variables = start(objective, unit_spec(9, 3))
        moved[mode] = []
        for _ in range(3):
            z = np.asarray(smooth(objective, variables, x, bins)["z"])
            moved[mode].append(bool((z != x).any()))
            variables = refresh(objective, variables, x, bins, np.zeros(9))
    assert moved == {"clean": [False, True, True], "official": [False, False, True]}


def test_feedback_equals_a_second_pass_over_calibrated_features():
    num = 10
    spec = unit_spec(num, 3)
    implied = make(mode="official")
    measured = make(mode="official", feedback=False)
    with jax.enable_x64(True):
        a = b = start(implied, spec)
        for epoch in range(5):
            features, bins = epoch_data(epoch, num)
            x = jnp.asarray(features)
            z = smooth(implied, a, x, bins)["z"]
            a = refresh(implied, a, x, bins, np.zeros(num))
            b = refresh(measured, b, z, bins, np.zeros(num))
            chex.assert_trees_all_close(a.state, b.state, rtol=1e-9, atol=1e-9)
        assert (z != x).any()


@pytest.mark.slow
def test_traces_once_and_keeps_its_structure():
    """Over epochs, and through host copies of the state as in a checkpoint."""
    objective = make()
    features, bins = epoch_data(3, 9)
    x = jnp.asarray(features, jnp.float32)
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def epoch_end(variables, moments):
        return objective.collect.epoch(variables, moments)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(variables):
        batch = {"bin": bins, "inputs": x, "cotangent": x}
        return objective.loss(variables, view_of(x), batch, None)

    variables = start(objective, unit_spec(9, 3))
    for _ in range(3):
        out = step(variables)
        chex.assert_trees_all_equal_shapes_and_dtypes(out.state, variables.state)
        chex.assert_trees_all_equal(out.state, variables.state)
        new = epoch_end(variables, table(x, bins, np.zeros(9)))
        chex.assert_trees_all_equal_shapes_and_dtypes(new, variables)
        variables = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), new)
    assert variables.state["fds"].epoch == 3
    assert variables.state["fds"].mean.dtype == jnp.float32


@pytest.fixture(name="ready", scope="module")
def _ready():
    """A clean objective after two epochs, and a batch."""
    features, bins = epoch_data(4, 9)
    x = jnp.asarray(features, jnp.float32)
    variables = start(CLEAN, unit_spec(9, 3))
    for _ in range(2):
        variables = refresh(CLEAN, variables, x, bins, np.zeros(9))
    return variables, x, bins


def test_other_terms_see_raw_or_calibrated_features(ready):
    variables, x, bins = ready
    raw = smooth(CLEAN, variables, x, bins)
    seen = smooth(make(features="calibrated"), variables, x, bins)
    np.testing.assert_array_equal(raw["features"], x)
    np.testing.assert_array_equal(raw["z"], seen["z"])
    np.testing.assert_array_equal(seen["features"], seen["z"])
    # A second pass through encode and head is calibrated once.
    np.testing.assert_array_equal(raw["again"], raw["z"])
    np.testing.assert_array_equal(seen["again"], raw["z"])
    np.testing.assert_array_equal(seen["grad"], raw["grad"])


def test_labels_outside_take_the_end_bins(ready):
    variables, x, _ = ready
    spec = unit_spec(9, 3)
    ends = np.where(np.arange(len(x)) % 2, 0, 8)
    beyond = np.where(np.arange(len(x)) % 2, -5.0, 80.0)
    a = smooth(CLEAN, variables, x, ends)
    b = smooth(CLEAN, variables, x, spec.bins.index(beyond))
    np.testing.assert_array_equal(a["z"], b["z"])


def test_gradients(ready):
    variables, x, bins = ready
    with jax.enable_x64(True):
        wide = jax.tree.map(
            lambda v: jnp.asarray(v, jnp.float64 if v.ndim else v.dtype), variables
        )

        @jax.jit
        def total(z):
            batch = {"bin": bins[:8], "inputs": z, "cotangent": 1 + z}
            return make().loss(wide, view_of(z), batch, None).loss

        z = jnp.asarray(x[:8], jnp.float64)
        chex.assert_numerical_grads(total, (z,), order=1, rtol=1e-4)


@pytest.mark.parametrize("mode", ["clean", "official"])
@pytest.mark.parametrize("case", ["constant", "one", "empty", "huge"])
@pytest.mark.quick("constant-clean", "one-clean", "empty-official", "huge-clean")
def test_values_and_gradients_are_finite_at_the_edges(mode, case):
    objective = {"clean": CLEAN, "official": OFFICIAL}[mode]
    spec = unit_spec(6, 2)
    variables = start(objective, spec)
    rows = {"constant": 8, "one": 1, "empty": 0, "huge": 8}[case]
    rng = np.random.default_rng(0)
    x = {"constant": np.ones((8, 2)), "huge": 1e15 * rng.normal(size=(8, 2))}.get(
        case, rng.normal(size=(rows, 2))
    )
    x, bins = x.astype(np.float32), np.arange(rows) % 4
    for _ in range(4):
        probe = rng.normal(size=(6, 2)).astype(np.float32)
        got = smooth(objective, variables, probe, np.arange(6))
        assert all(np.isfinite(value).all() for value in got.values())
        variables = refresh(objective, variables, x, bins, np.zeros(6))
        assert all(np.isfinite(v).all() for v in jax.tree.leaves(variables.state))


def test_statistics_have_no_gradient(ready):
    variables, x, bins = ready

    def loss(statistics):
        state = variables.state | {"fds": statistics._replace(epoch=jnp.int32(2))}
        batch = {"bin": bins, "inputs": x, "cotangent": x}
        out = make().loss(variables._replace(state=state), view_of(x), batch, None)
        return out.loss

    floats = variables.state["fds"]._replace(epoch=jnp.zeros(()))
    chex.assert_trees_all_equal(
        jax.jit(jax.grad(loss))(floats), jax.tree.map(jnp.zeros_like, floats)
    )


def test_inner_state_and_refresh_pass_through():
    inner = base.Objective(
        lambda key, spec: base.Variables({"a": jnp.ones(())}, jnp.int32(0)),
        lambda v, view, batch, key: base.Outcome(v.params["a"], v.state + 1, {}),
        base.Collect(epoch=lambda v, moments: v._replace(state=v.state + 10)),
    )
    objective = fds.make(inner)
    variables = objective.init(None, unit_spec(4, 2))

    @jax.jit
    def both(variables):
        batch = {"bin": jnp.zeros(3, int)}
        out = objective.loss(variables, view_of(jnp.ones((3, 2))), batch, None)
        return out, objective.collect.epoch(variables, moments_lib.zeros(4, 2))

    out, after = both(variables)
    assert out.state["inner"] == 1
    assert after.state["inner"] == 10
    assert after.params == variables.params
    nested = base.weighted_sum({"x": fds.make(inner)}, {"x": 1.0})
    assert nested.collect.epoch is not None


class Variants(chex.TestCase):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(5)
        self.x = rng.normal(size=(12, 3)).astype(np.float32)
        self.rows = rng.integers(0, 6, 12)
        self.stats = {
            name: np.abs(rng.normal(size=(6, 3))).astype(np.float32)
            for name in ("mean", "var", "smoothed_mean", "smoothed_var")
        }
        self.stats["var"][2] = 0
        self.stats["var"][3, 1] = 0

    @chex.all_variants
    def test_calibrate(self):
        got = self.variant(
            lambda x, rows, s: fds.calibrate(x, rows, statistics=s, clip=(0.5, 2.0))
        )(self.x, self.rows, fds.identity(6, 3)._replace(**self.stats))
        for i, b in enumerate(self.rows):
            m1, v1, m2, v2 = (
                table[b].astype(np.float64) for table in self.stats.values()
            )
            for j in range(3):
                want = self.x[i, j]
                if v1[j] > 0:
                    ratio = min(max(v2[j] / v1[j], 0.5), 2.0)
                    want = (want - m1[j]) * ratio**0.5 + m2[j]
                np.testing.assert_allclose(got[i, j], want, rtol=1e-5, atol=1e-6)

    @chex.all_variants
    @parameterized.parameters(False, True)
    def test_smooth_rows(self, masked):
        window = weights.kernel_window("gaussian", 5, 2.0, normalize="sum")
        values = self.stats["mean"]
        valid = np.array([True, False, True, True, False, True]) if masked else None
        fn = functools.partial(smoothing.smooth_rows, window=window)
        got = self.variant(fn)(values, valid) if masked else self.variant(fn)(values)
        use = np.ones(6) if valid is None else valid.astype(float)
        around = functools.partial(weights.smooth, window=window, padding="reflect")
        share = around(use)
        for j in range(3):
            want = around(use * values[:, j]) / share
            np.testing.assert_allclose(got[:, j], want, rtol=1e-5, atol=1e-6)


def test_smooth_rows_at_the_edges():
    window = weights.kernel_window("triang", 5, normalize="sum")
    fn = jax.jit(functools.partial(smoothing.smooth_rows, window=window))
    constant = np.full((7, 2), 3, np.float32)
    np.testing.assert_allclose(fn(constant), 3, rtol=1e-6)
    np.testing.assert_array_equal(fn(constant, np.zeros(7, bool)), 0)
    # Two bins, a window of five: the reflection goes back and forth.
    pair = fn(np.array([[0.0], [9.0]], np.float32))
    np.testing.assert_allclose(pair[:, 0], [4.0, 5.0], rtol=1e-6)
    alone = fn(np.array([[2.0]], np.float32))
    np.testing.assert_allclose(alone, 2, rtol=1e-6)


def test_fill_goes_in_order_with_a_stale_right_neighbour():
    objective = make(mode="official", fill_empty=True)
    variables = start(objective, unit_spec(5, 1))
    x = jnp.array([[4.0], [4.0]])
    variables = refresh(objective, variables, x, jnp.array([1, 1]), np.zeros(5))
    mean = variables.state["fds"].running_mean[:, 0]
    np.testing.assert_allclose(mean, [4.0, 4.0, 2.0, 1.0, 1.0])
    fill = jax.jit(smoothing._fill)
    assert fill(np.float32([[4.0]]), np.array([True])) == 4
    pair = fill(np.float32([[0.0], [4.0]]), np.array([True, False]))
    np.testing.assert_allclose(pair[:, 0], 4)


@hypothesis.given(
    st.integers(0, 10_000), st.permutations(range(60)), st.floats(-100, 100)
)
@hypothesis.settings(deadline=None, max_examples=15)
def test_order_shift_and_padding(seed, order, shift):
    """Rows keep their values under a permutation; a shift of all features stays."""
    features, bins = epoch_data(seed, 9)
    order = np.array(order)
    x = np.asarray(features, np.float32)
    shift = np.float32(shift)
    objective = CLEAN
    num = np.zeros(9)

    def train(x, bins):
        variables = start(objective, unit_spec(9, 3))
        for _ in range(2):
            variables = refresh(objective, variables, x, bins, num)
        return variables

    variables = train(x, bins)
    z = smooth(objective, variables, x, bins)["z"]
    other = train(x[order], bins[order])
    chex.assert_trees_all_close(variables.state, other.state, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(
        smooth(objective, variables, x[order], bins[order])["z"], np.asarray(z)[order]
    )
    moved = train(x + shift, bins)
    np.testing.assert_allclose(
        smooth(objective, moved, x + shift, bins)["z"], z + shift, rtol=1e-3, atol=2e-3
    )


def test_errors():
    good = unit_spec(5, 2)
    with pytest.raises(ValueError, match="feature_dim above 0, got 0"):
        make().init(None, dataclasses.replace(good, feature_dim=0))
    with pytest.raises(ValueError, match="for 5 bins, got 5 and 4"):
        make(first_bin=5).init(None, good)
    with pytest.raises(ValueError, match="for 5 bins, got 0 and 5"):
        make(last_bin=5).init(None, good)
    for options, match in (
        ({"mode": "paper"}, "clean or official, got 'paper'"),
        ({"features": "both"}, "raw or calibrated, got 'both'"),
        ({"clip": (2.0, 1.0)}, r"low first, got \(2.0"),
        ({"momentum": 1.0}, "None or in .* got 1.0"),
        ({"fill_empty": True}, "mode official for fill_empty, got 'clean'"),
        ({"first_bin": 3, "last_bin": 2}, r"got \(3, 2\)"),
        ({"size": 4}, "odd"),
        ({"kernel": "box"}, "kernel must be one of"),
    ):
        with pytest.raises(ValueError, match=match):
            make(**options)
    variables, batch = start(CLEAN, good), {"bin": jnp.zeros(4, int)}
    with pytest.raises(ValueError, match=r"\(4,\).*\(3, 2\)"):
        CLEAN.loss(variables, view_of(jnp.ones((3, 2))), batch, None)
