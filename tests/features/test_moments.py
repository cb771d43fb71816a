"""Per-bin moments against float64 numpy."""

import functools

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from dirjax.features import moments

BINS = 5


def draw(seed, rows=24, dim=3, mean=0.0):
    rng = np.random.default_rng(seed)
    features = (mean + rng.normal(size=(rows, dim))).astype(np.float32)
    bins = rng.integers(0, BINS - 1, rows).astype(np.int32)  # The last bin is empty.
    mask = (rng.random(rows) < 0.8).astype(np.float32)
    return features, bins, mask


def reference(features, bins, mask):
    """Count, mean, sum of squares and of norms by loops in float64."""
    features = np.asarray(features, np.float64)
    out = [np.zeros(BINS), *np.zeros((2, BINS, features.shape[1])), np.zeros(BINS)]
    for b in range(BINS):
        rows = [x for x, k, m in zip(features, bins, mask, strict=True) if k == b and m]
        if rows:
            out[0][b] = len(rows)
            out[1][b] = sum(rows) / len(rows)
            out[2][b] = sum((x - out[1][b]) ** 2 for x in rows)
            out[3][b] = sum(np.sqrt((x**2).sum()) for x in rows)
    return moments.Moments(*out)


def assert_close(a, b, rtol=1e-5, atol=1e-5):
    for name, x, y in zip(a._fields[:4], a, b, strict=False):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol, err_msg=name)


class Variants(chex.TestCase):
    @chex.all_variants
    @parameterized.parameters(0.0, 1e3)
    def test_from_batch(self, mean):
        batch = draw(0, mean=mean)
        fn = self.variant(functools.partial(moments.from_batch, num_bins=BINS))
        assert_close(fn(*batch), reference(*batch))

    @chex.all_variants
    def test_merge(self):
        a, b = draw(1, mean=1e3), draw(2, mean=1e3)
        part = functools.partial(moments.from_batch, num_bins=BINS)
        got = self.variant(lambda x, y: moments.merge(part(*x), part(*y)))(a, b)
        whole = [np.concatenate(pair) for pair in zip(a, b, strict=True)]
        assert_close(got, reference(*whole))

    @chex.all_variants
    def test_pool(self):
        features, bins, mask = draw(3)
        rows = np.array([0, 0, 1, 2, 2])
        start = moments.from_batch(features, bins, mask, num_bins=BINS)
        got = self.variant(functools.partial(moments.pool, num_rows=3))(start, rows)
        want = reference(features, rows[bins], mask)[:4]
        assert_close(got, moments.Moments(*[x[:3] for x in want]))

    @chex.all_variants
    @parameterized.parameters(True, False)
    def test_variance(self, unbiased):
        features, bins, _ = draw(4)
        bins[bins == 2] = 0
        bins[0] = 2  # One example.
        mask = np.ones_like(bins, np.float32)
        table = moments.from_batch(features, bins, mask, num_bins=BINS)
        got = self.variant(functools.partial(moments.variance, unbiased=unbiased))(
            table
        )
        for b in range(BINS):
            rows = features[bins == b].astype(np.float64)
            ddof = int(unbiased and len(rows) > 1)
            want = rows.var(0, ddof=ddof) if len(rows) else np.zeros(3)
            np.testing.assert_allclose(got[b], want, rtol=1e-5)

    @chex.all_variants
    def test_zeros_are_neutral(self):
        table = moments.from_batch(*draw(5), num_bins=BINS)
        got = self.variant(lambda a: moments.merge(a, moments.zeros(BINS, 3)))(table)
        assert_close(got, table, rtol=0, atol=0)
        got = self.variant(lambda a: moments.merge(moments.zeros(BINS, 3), a))(table)
        assert_close(got, table, rtol=0, atol=0)


def test_many_small_batches_with_a_large_mean():
    """Float32 keeps the variance over a pass of 200 merges."""
    batches = [draw(seed, rows=16, mean=1e3) for seed in range(200)]
    step = jax.jit(
        lambda a, batch: moments.merge(a, moments.from_batch(*batch, num_bins=BINS))
    )
    got = functools.reduce(step, batches, moments.zeros(BINS, 3))
    want = reference(*[np.concatenate(parts) for parts in zip(*batches, strict=True)])
    assert_close(got, want)


def test_a_mean_between_two_float32_numbers():
    """Squares are those around the mean itself, not around the number next to it."""
    x = np.float32(1e6 + np.array([[0.0], [0.0625]]))
    assert np.spacing(x[0, 0]) == 0.0625
    found = moments.from_batch(x, np.zeros(2, int), np.ones(2), num_bins=1)
    assert found.m2.tolist() == [[2 * 0.03125**2]]
    assert float(found.mean[0, 0]) + float(found.rest[0, 0]) == 1e6 + 0.03125


def test_one_device_equals_four():
    features, bins, mask = draw(6)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.NamedSharding(mesh, jax.P("data"))
    fn = jax.jit(functools.partial(moments.from_batch, num_bins=BINS))
    got = fn(*[jax.device_put(x, rows) for x in (features, bins, mask)])
    assert_close(jax.device_get(got), jax.device_get(fn(features, bins, mask)))


@pytest.mark.slow
@hypothesis.given(st.integers(0, 10_000), st.integers(0, 24))
@hypothesis.settings(deadline=None, max_examples=25)
def test_order_padding_and_split_do_not_matter(seed, cut):
    features, bins, mask = draw(seed)
    want = moments.from_batch(features, bins, mask, num_bins=BINS)
    order = np.random.default_rng(seed + 1).permutation(len(bins))
    assert_close(
        moments.from_batch(features[order], bins[order], mask[order], num_bins=BINS),
        want,
    )
    poisoned = np.where(mask[:, None] > 0, features, np.nan)
    assert_close(moments.from_batch(poisoned, bins, mask, num_bins=BINS), want)
    head = mask * (np.arange(len(mask)) < cut)
    left = moments.from_batch(features, bins, head, num_bins=BINS)
    right = moments.from_batch(features, bins, mask - head, num_bins=BINS)
    assert_close(moments.merge(left, right), want)
    assert_close(moments.merge(right, left), want)


@pytest.mark.slow
def test_gradients_are_finite_and_right():
    features, bins, mask = draw(7, rows=6)
    features[0] = 0  # No direction: the norm has no slope there.

    def total(x):
        table = moments.from_batch(x, bins, mask, num_bins=BINS)
        table = moments.merge(table, moments.zeros(BINS, 3))
        table = moments.pool(table, jnp.array([0, 0, 1, 2, 3]), num_rows=BINS)
        return moments.variance(table).sum() + table.mean.sum() + table.norm.sum()

    total = jax.jit(total)
    assert np.isfinite(jax.grad(total)(features)).all()
    with jax.enable_x64(True):
        smooth = jnp.asarray(features, jnp.float64) + 0.1
        chex.assert_numerical_grads(total, (smooth,), order=1, rtol=1e-5)


def test_all_padding_and_no_rows():
    features, bins, mask = draw(8)
    empty = moments.from_batch(features, bins, 0 * mask, num_bins=BINS)
    assert_close(empty, moments.zeros(BINS, 3), rtol=0, atol=0)
    none = moments.from_batch(features[:0], bins[:0], mask[:0], num_bins=BINS)
    assert_close(none, moments.zeros(BINS, 3), rtol=0, atol=0)


def test_errors_name_shapes():
    features, bins, mask = draw(9)
    with pytest.raises(ValueError, match=r"\(24,\).*\(23, 3\)"):
        moments.from_batch(features[1:], bins, mask, num_bins=BINS)
    with pytest.raises(ValueError, match="same size"):
        moments.merge(moments.zeros(3, 2), moments.zeros(4, 2))
