"""Rank-N-Contrast against three loops written from the formula, and public numbers."""

import functools

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.objectives import base, group_contrast, rank_n_contrast
from dirjax.objectives.rank_n_contrast import rank_n_contrast_loss
from dirjax.ops import sorting
from dirjax.runtime import sharding
from tests import toy
from tests.objectives import golden


def by_loops(z, y, t=2.0, mask=None):
    """The definition in float64, with label distances of the precision given."""
    real = np.ones(len(z), bool) if mask is None else np.asarray(mask) > 0
    y = np.asarray(y).reshape(len(z), np.size(y) // len(z))[real]
    z = np.asarray(z, np.float64)[real]
    n, total = len(z), 0.0
    gap = np.abs(y[:, None] - y[None]).sum(-1)
    logits = -np.linalg.norm(z[:, None] - z[None], axis=-1) / t
    for i in range(n):
        for j in range(n):
            if j != i:
                rest = [k for k in range(n) if k != i and gap[i, k] >= gap[i, j]]
                top = logits[i, rest].max()
                tail = top + np.log(np.exp(logits[i, rest] - top).sum())
                total += logits[i, j] - tail
    return -total / max(n * (n - 1), 1)


def rows(n=21, d=4, seed=0, grid=0.1):
    """Features and labels on a grid, so that distances are tied on both sides."""
    rng = np.random.default_rng(seed)
    z = np.float32(rng.normal(size=(n, d)))
    z[5], z[6] = z[3], 0
    return z, np.float32(rng.integers(0, 9, n)) * np.float32(grid)


MASK = np.float32(np.arange(21) % 6 != 2)
both = toy.jit(
    jax.value_and_grad(rank_n_contrast_loss),
    static_argnames=("temperature", "similarity"),
)


@pytest.mark.quick("__with_jit")
class Variants(chex.TestCase):
    @chex.all_variants
    def test_against_loops(self):
        z, y = rows()
        fn = self.variant(lambda z, y, m: rank_n_contrast_loss(z, y, mask=m))
        np.testing.assert_allclose(fn(z, y, MASK), by_loops(z, y, 2.0, MASK), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("grid", [0.1, 1.0])
def test_ties(grid):
    """Of 0.3 - 0.2 and 0.2 - 0.1 in float32, one is larger, and that decides."""
    z, y = rows(seed=2, grid=grid)
    value, slope = both(z, y, mask=MASK)
    np.testing.assert_allclose(value, by_loops(z, y, 2.0, MASK), rtol=1e-5)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[MASK == 0], 0)


@pytest.mark.slow
def test_far_rows_do_not_vanish():
    z, y = rows()
    value, slope = both(40 * z, y, temperature=0.2)
    np.testing.assert_allclose(value, by_loops(40 * z, y, 0.2), rtol=1e-5)
    assert np.isfinite(slope).all()


@functools.cache
def program(t):
    return toy.jit(
        jax.value_and_grad(functools.partial(rank_n_contrast_loss, temperature=t))
    )


# The short suite has labels that are distinct, tied, and several, at one temperature.
@pytest.mark.parametrize("numbers", [(0, 1, 2), (3, 4, 5, 6, 7)])
@pytest.mark.quick("numbers0")
def test_golden(numbers):
    for number in numbers:
        case = golden.cases("rnc")[number]
        z, y = case["in.features"], case["in.labels"]
        views = np.float64(z).reshape(-1, z.shape[-1])
        labels = np.repeat(np.float64(y), 2, axis=0)
        labels = labels[:, 0] if labels.shape[1] == 1 else labels
        with jax.enable_x64(True):
            value, slope = program(float(case["p.temperature"]))(
                jnp.asarray(views), jnp.asarray(labels)
            )
        single = bool(case["p.float32"])
        close = {"rtol": 1e-5 if single else 1e-9, "err_msg": str(number)}
        np.testing.assert_allclose(value, case["out.loss"], **close)
        want = case["grad.features"].reshape(slope.shape)
        np.testing.assert_allclose(slope, want, atol=1e-6 if single else 1e-9)


@pytest.mark.slow
def test_numerical_gradients():
    with jax.enable_x64(True):
        z = jnp.asarray(np.random.default_rng(1).normal(size=(7, 3)))
        for y in ([1, 1, 2, 4, 4, 6, 9.0], [2.0] * 7):
            loss = functools.partial(
                rank_n_contrast_loss, labels=jnp.asarray(y), temperature=2.0
            )
            chex.assert_numerical_grads(loss, (z,), order=1, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_bins_are_groups():
    z, _ = rows()
    groups = np.random.default_rng(3).integers(0, 6, 21).astype(np.int32)
    want, _ = both(z, np.float32(groups), mask=MASK)
    batch = {"label": np.float32(groups) + 0.5, "bin": groups, "mask": MASK}
    view = base.View(jnp.asarray(z), None, None, None)
    objective = rank_n_contrast.make(labels="bins")
    variables = objective.init(jax.random.key(0), toy.SPEC)
    run = toy.jit(lambda batch: objective.loss(variables, view, batch, None).loss)
    np.testing.assert_allclose(run(batch), want, rtol=1e-5)


@pytest.mark.slow
def test_blocks_of_rows_are_the_whole(monkeypatch):
    z, y = rows()
    loss = functools.partial(rank_n_contrast_loss, mask=MASK)
    want = toy.jit(jax.value_and_grad(loss))(z, y)
    monkeypatch.setattr(group_contrast, "_WHOLE", 8)
    monkeypatch.setattr(group_contrast, "_ROWS", 8)
    divided = toy.jit(jax.value_and_grad(lambda z, y: loss(z, y)))
    got = divided(jnp.asarray(z), jnp.asarray(y))
    chex.assert_trees_all_close(got, want, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_degenerate_batches():
    z, y = rows()
    one = np.float32(np.arange(21) == 3)
    batches = {
        "equal labels": (z, np.ones_like(y), MASK),
        "equal rows": (np.ones_like(z), y, MASK),
        "zero rows": (np.zeros_like(z), y, MASK),
        "one row": (z, y, one),
        "no row": (z, y, 0 * one),
        "NaN in padding": (np.where(MASK[:, None] > 0, z, np.nan), y, MASK),
    }
    for name, (features, labels, mask) in batches.items():
        value, slope = both(features, labels, mask=mask)
        assert np.isfinite(slope).all(), name
        np.testing.assert_array_equal(slope[mask == 0], 0, err_msg=name)
        want = by_loops(features, labels, 2.0, mask)
        np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.slow
@hypothesis.given(st.permutations(range(21)), st.integers(1, 50))
@hypothesis.settings(deadline=None, max_examples=8)
def test_properties(order, shift):
    z, y = rows(grid=1.0)
    want, order = both(z, y)[0], np.array(order)
    np.testing.assert_allclose(both(z[order], y[order])[0], want, rtol=1e-5)
    # Neither the zero of labels and features nor the sign of labels matter.
    np.testing.assert_allclose(both(z + shift, shift - y)[0], want, rtol=1e-4)


@pytest.mark.slow
def test_four_devices_are_one():
    z, y = rows(n=24)
    mesh = sharding.make_mesh()
    wide = sharding.to_global(mesh, {"z": z, "y": y})
    chex.assert_trees_all_close(
        jax.device_get(both(wide["z"], wide["y"])),
        jax.device_get(both(z, y)),
        rtol=1e-5,
        atol=1e-7,
    )


@hypothesis.given(
    st.lists(st.integers(-3, 9), min_size=1, max_size=17), st.integers(0, 16)
)
@hypothesis.settings(deadline=None, max_examples=15)
def test_valleys_are_sorted(values, at):
    x = np.sort(np.float32(values))
    gaps = np.abs(x - x[at % len(x)])[:, None]
    order = np.asarray(toy.jit(sorting.of_valleys)(gaps))
    assert sorted(order[:, 0].tolist()) == list(range(len(x)))
    np.testing.assert_array_equal(gaps[order[:, 0], 0], np.sort(gaps[:, 0]))


def test_running_totals_by_device():
    """What other devices would run gives the same."""
    x = np.float32(np.random.default_rng(0).normal(size=(9, 3)))
    for reverse in (False, True):
        want = np.cumsum(x[::-1] if reverse else x, axis=0)
        want = want[::-1] if reverse else want
        total = functools.partial(sorting.running, jnp.add, reverse=reverse)
        np.testing.assert_allclose(total(x), want, rtol=1e-5, atol=1e-6)
        assert total(x[:1]).shape == (1, 3)


def test_what_is_refused():
    z, y = rows()
    with pytest.raises(ValueError, match="labels must be one of real, bins"):
        rank_n_contrast.make(labels="groups")
    with pytest.raises(ValueError, match="temperature must be a number above 0"):
        rank_n_contrast_loss(z, y, temperature=0.0)
    with pytest.raises(ValueError, match=r"\(2,\).*\(21, 4\)"):
        rank_n_contrast_loss(z, y[:2])
