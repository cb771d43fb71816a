"""Group contrast against three loops written from the formula, and public numbers."""

import functools
import pathlib

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from dirjax.objectives import group_contrast
from dirjax.objectives.group_contrast import group_contrast_loss
from dirjax.runtime import sharding
from tests import toy

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
COUNTS = (1, 2, 5, 20, 40)
# The default is in the short suite.
SIMILARITIES = [
    pytest.param(name, marks=() if name == "l2_normalised" else pytest.mark.slow)
    for name in group_contrast.SIMILARITIES
]


def by_loops(z, g, t=2.5, similarity="l2_normalised", mask=None):
    """The definition in float64, a loop for each index."""
    real = np.ones(len(z), bool) if mask is None else np.asarray(mask) > 0
    z, g = np.asarray(z, np.float64)[real], np.asarray(g)[real]
    if similarity != "l2":
        length = np.linalg.norm(z, axis=1, keepdims=True)
        z = np.divide(z, length, out=np.zeros_like(z), where=length > 0)

    def sim(i, j):
        if similarity == "cosine":
            return z[i] @ z[j]
        return -np.linalg.norm(z[i] - z[j])

    n, total, g = len(z), 0.0, g.tolist()
    logits = [[sim(i, j) / t for j in range(n)] for i in range(n)]
    for i in range(n):
        for j in range(n):
            if j == i:
                continue
            rest = [
                logits[i][k]
                for k in range(n)
                if k != i and abs(g[i] - g[k]) >= abs(g[i] - g[j])
            ]
            top = max(rest)
            total += logits[i][j] - top - np.log(np.exp(np.array(rest) - top).sum())
    return -total / max(n * (n - 1), 1)


def rows(n=40, d=6, seed=0):
    rng = np.random.default_rng(seed)
    z = np.float32(rng.normal(size=(n, d)))
    z[5], z[7], z[8] = z[3], 2 * z[3], 0  # equal, equal directions, nothing
    return z


@functools.cache
def case(num, similarity):
    z, g = rows(), np.random.default_rng(num).integers(0, num, 40)
    g = np.arange(40) if num == 40 else g
    mask = np.float32(np.arange(40) % 7 != 2)
    return z, g, mask, by_loops(z, g, 2.5, similarity, mask)


class Variants(chex.TestCase):
    @chex.all_variants
    @parameterized.parameters("l2_normalised", "l2")
    def test_against_loops(self, similarity):
        z, g, mask, want = case(5, similarity)
        fn = functools.partial(group_contrast_loss, num_groups=5, similarity=similarity)
        got = self.variant(lambda z, g, m: fn(z, g, mask=m))(z, g, mask)
        np.testing.assert_allclose(got, want, rtol=1e-6)


OPTIONS = ("num_groups", "temperature", "similarity")
with_slope = toy.jit(jax.value_and_grad(group_contrast_loss), static_argnames=OPTIONS)


@pytest.mark.parametrize("similarity", group_contrast.SIMILARITIES)
@pytest.mark.parametrize("num", COUNTS)
@pytest.mark.quick("1-l2_normalised", "2-l2_normalised", "2-cosine")
def test_any_number_of_groups(num, similarity):
    """Of groups that are there: up to 40, one, or all."""
    z, g, mask, want = case(num, similarity)
    options = {"num_groups": 1 if num == 1 else 40, "similarity": similarity}
    got, slope = with_slope(z, g, mask=mask, **options)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[mask == 0], 0)


@pytest.mark.parametrize("similarity", group_contrast.SIMILARITIES)
@pytest.mark.parametrize("t", [0.02, pytest.param(0.3, marks=pytest.mark.slow)])
@pytest.mark.quick("0.02-l2_normalised")
def test_far_groups_do_not_vanish(similarity, t):
    """Distances that differ by hundreds of temperatures, all of them in the sum."""
    z, g = 3 * rows(), np.random.default_rng(1).integers(0, 5, 40)
    got, slope = with_slope(z, g, num_groups=5, temperature=t, similarity=similarity)
    np.testing.assert_allclose(got, by_loops(z, g, t, similarity), rtol=3e-6)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.slow
def test_numerical_gradients(similarity):
    with jax.enable_x64(True):
        z = jnp.asarray(np.random.default_rng(0).normal(size=(7, 3)))
        options = {"num_groups": 7, "temperature": 0.8, "similarity": similarity}
        loss = jax.jit(functools.partial(group_contrast_loss, **options))
        for groups in ([0, 0, 1, 2, 2, 4, 4], [0] * 7, range(7)):
            of_groups = functools.partial(loss, groups=jnp.array(groups))
            chex.assert_numerical_grads(of_groups, (z,), order=1, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.slow
def test_degenerate_batches(similarity):
    slope = jax.jit(
        jax.value_and_grad(
            functools.partial(group_contrast_loss, num_groups=3, similarity=similarity)
        )
    )
    z, g = rows(9), jnp.array([0, 0, 0, 1, 2, 2, 2, 2, 2])
    one = jnp.zeros(9).at[4].set(1.0)
    batches = {
        "equal": (jnp.ones((9, 6)), g, jnp.ones(9)),
        "zero": (jnp.zeros((9, 6)), g, jnp.ones(9)),
        "tiny": (1e-20 * z, g, jnp.ones(9)),
        "near": (1 + 1e-6 * z, g, jnp.ones(9)),
        "one real": (z, g, one),
        "padding": (jnp.full((9, 6), jnp.nan), g, jnp.zeros(9)),
        "NaN in padding": (jnp.where(one[:, None] > 0, jnp.nan, z), g, 1 - one),
    }
    for name, (features, groups, mask) in batches.items():
        value, gradient = slope(features, groups, mask=mask)
        assert np.isfinite(value), name
        assert np.isfinite(gradient).all(), name
        assert np.abs(gradient).max() < 1e6, name
    assert slope(z, g, mask=one)[0] == slope(z, g, mask=jnp.zeros(9))[0] == 0
    # Of one row there is no pair.
    assert slope(z[:1], g[:1], mask=jnp.ones(1))[0] == 0
    # n equal rows: each has n - 1 candidates for near ones, fewer for far ones.
    want = by_loops(np.ones((9, 6)), g, 2.5, similarity)
    value = slope(jnp.ones((9, 6)), g, mask=jnp.ones(9))[0]
    np.testing.assert_allclose(value, want, rtol=1e-6)


whole = toy.jit(group_contrast_loss, static_argnames=OPTIONS)


@pytest.mark.slow
@hypothesis.given(st.permutations(range(40)), st.sampled_from((1, 3, 30)))
@hypothesis.settings(deadline=None, max_examples=10)
def test_properties(order, pad):
    z, g, _, _ = case(5, "l2_normalised")
    loss = functools.partial(whole, num_groups=5)
    want, order = loss(z, g), np.array(order)
    np.testing.assert_allclose(loss(z[order], g[order]), want, rtol=1e-6)
    # The order of groups turned around, and rows turned and scaled.
    np.testing.assert_allclose(loss(z, 4 - g), want, rtol=1e-6)
    turn = np.float32(np.linalg.qr(np.random.default_rng(pad).normal(size=(6, 6)))[0])
    np.testing.assert_allclose(loss(pad * z @ turn, g), want, rtol=3e-6)
    padded = np.concatenate([z, np.full((pad, 6), 9.0, np.float32)])
    mask = np.float32(np.arange(40 + pad) < 40)
    got = loss(padded, np.concatenate([g, np.full(pad, 4)]), mask=mask)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.slow
def test_blocks_of_rows_are_the_whole(monkeypatch):
    z, g, mask, want = case(5, "l2_normalised")
    fn = functools.partial(group_contrast_loss, num_groups=5, mask=mask)
    undivided = toy.jit(jax.value_and_grad(fn))(z, g)
    monkeypatch.setattr(group_contrast, "_WHOLE", 16)
    monkeypatch.setattr(group_contrast, "_ROWS", 12)
    parts = jax.jit(jax.value_and_grad(fn))
    np.testing.assert_allclose(parts(z, g)[0], want, rtol=1e-6)
    chex.assert_trees_all_close(parts(z, g), undivided, rtol=1e-5, atol=1e-7)
    # No array over all pairs, forwards or backwards.
    assert "[40,40]" not in str(jax.make_jaxpr(jax.value_and_grad(fn))(z, g))


@pytest.mark.slow
@pytest.mark.parametrize("whole", [4096, 8])
def test_four_devices_are_one(whole, monkeypatch):
    monkeypatch.setattr(group_contrast, "_WHOLE", whole)
    monkeypatch.setattr(group_contrast, "_ROWS", 16)
    z, g, mask, _ = case(5, "l2_normalised")
    fn = jax.jit(
        jax.value_and_grad(
            lambda z, g, m: group_contrast_loss(z, g, num_groups=5, mask=m)
        )
    )
    spread = sharding.to_global(sharding.make_mesh(), (z, np.int32(g), mask))
    chex.assert_trees_all_close(
        jax.device_get(fn(*spread)),
        jax.device_get(fn(z, g, mask)),
        rtol=1e-5,
        atol=1e-7,
    )


def golden(name):
    with np.load(GOLDEN / f"{name}.npz") as data:
        for number in range(int(data["n_cases"])):
            prefix = f"c{number:02d}."
            yield {k[4:]: data[k] for k in data.files if k.startswith(prefix)}


def farther(g):
    """Whether `k` is as far from `i` as `j` is, which is all that the loss asks."""
    gaps = np.abs(g[:, None] - g)
    return gaps[:, None, :] >= gaps[:, :, None]


def test_golden():
    """The author's code on groups, and on labels of two views, but for its cosine."""
    seen = []
    for c in golden("ccor_group_contrastive"):
        z, y = c["in.features"], c["in.labels"].ravel()
        which, t = int(c["p.which"]), float(c["p.temperature"])
        seen.append(which)
        if which == 2:
            # Minus the cosine: rows that are alike are pushed apart.
            assert abs(by_loops(z, y, -t, "cosine") - c["out.loss"]) < 1e-9
            continue
        if which == 3:
            # Rows of both views, with labels that are no whole numbers.
            assert (y % 1 > 0).all()
            z, y = z.reshape(-1, z.shape[-1]), np.repeat(y, 2)
        np.testing.assert_allclose(by_loops(z, y, t), c["out.loss"], rtol=1e-9)
        # Steps so narrow that none of the comparisons changes stand for real labels.
        g = np.round((y - y.min()) * (100 if which == 3 else 1)).astype(int)
        np.testing.assert_array_equal(farther(g), farther(y))
        with jax.enable_x64(True):
            options = {"num_groups": int(g.max()) + 1, "temperature": t}
            loss, slope = with_slope(jnp.asarray(z), g, **options)
        np.testing.assert_allclose(loss, c["out.loss"], rtol=1e-9)
        want = c["grad.features"].reshape(slope.shape)
        np.testing.assert_allclose(slope, want, rtol=1e-7, atol=1e-10)
    assert sorted(seen) == [0, 0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.slow
def test_golden_of_the_older_loss():
    """A sum over pairs of different groups only: ours where no two rows share one."""
    for c in golden("ccor_ranked_contrastive_old"):
        z, g = c["in.features"], c["in.groups"].ravel().astype(int)
        t, n = float(c["p.temperature"]), len(z)
        first = np.unique(g, return_index=True)[1]
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
        logits, gaps = z @ z.T / t, np.abs(g[:, None] - g)
        total = 0.0
        for i in range(n):
            for j in np.flatnonzero(gaps[i]):
                far = logits[i][gaps[i] >= gaps[i, j]]
                total += np.log(np.exp(far).sum()) - logits[i, j]
        # So it is read here; the formula is then compared on one row of each group.
        np.testing.assert_allclose(total, c["out.loss"], rtol=1e-9)
        kept = whole(
            jnp.float32(z[first]),
            jnp.asarray(g[first]),
            num_groups=int(g.max()) + 1,
            temperature=t,
            similarity="cosine",
        )
        want = by_loops(z[first], g[first], t, "cosine")
        np.testing.assert_allclose(kept, want, rtol=1e-5)


@pytest.mark.slow
def test_term_looks_up_groups_of_bins():
    objective, batch = group_contrast.make(temperature=1.5), toy.batch()
    state = toy.start(objective)
    assert state.objective_state["of_bin"].tolist() == [0, 0, 1, 1, 2, 2]
    assert state.objective_state["members"].shape == (3,)
    _, report = toy.jit(toy.train_step(objective))(state, batch)
    net = toy.network()
    z, _ = net.encode(state.params["model"], {}, batch["inputs"], train=False)
    want = by_loops(z, toy.SPEC.groups.of_bin[batch["bin"]], 1.5)
    np.testing.assert_allclose(report.sums["loss"][0], want, rtol=1e-5)


def test_what_is_refused():
    z, g = jnp.ones((3, 2)), jnp.zeros(3, int)
    with pytest.raises(ValueError, match=r"temperature .* got 0"):
        group_contrast_loss(z, g, num_groups=1, temperature=0)
    with pytest.raises(ValueError, match="l2_normalised, cosine, l2, got 'dot'"):
        group_contrast.make(similarity="dot")
    with pytest.raises(ValueError, match=r"num_groups .* got 0"):
        group_contrast_loss(z, g, num_groups=0)
    with pytest.raises(ValueError, match=r"\(2,\).*\(3, 2\)"):
        group_contrast_loss(z, g[:2], num_groups=1)
