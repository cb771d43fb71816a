"""Prototypes of a batch against loops over its labels."""

import functools
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.features import prototypes as lib
from dirjax.features.prototypes import prototypes
from tests import toy

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def by_loops(z, y, mask, reading="prototype"):
    """`(label, count, mean, norm)` of each label in order, float64."""
    z, rows = np.asarray(z, np.float64), []
    for label in sorted({float(v) for v, m in zip(y, mask, strict=True) if m}):
        own = [z[i] for i in range(len(z)) if mask[i] and y[i] == label]
        mean = sum(own) / len(own)
        lengths = [np.sqrt((v**2).sum()) for v in own]
        norm = np.mean(lengths) if reading != "prototype" else np.sqrt((mean**2).sum())
        rows.append((label, len(own), mean, norm))
    return [np.array(column) for column in zip(*rows, strict=True)]


def draw(seed=0):
    rng = np.random.default_rng(seed)
    z = np.float32(rng.normal(size=(12, 3)))
    z[2] = 0
    mask = np.float32(rng.random(12) < 0.8)
    return z, np.int32(rng.integers(0, 5, 12)), mask


def compare(found, want, y, mask):
    some = len(want[0])
    for got, expected in zip(found, want, strict=False):
        np.testing.assert_allclose(got[:some], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(got[some:], 0)
    np.testing.assert_array_equal(found.label[found.slot][mask > 0], y[mask > 0])


class Variants(chex.TestCase):
    @chex.all_variants
    def test_against_loops(self):
        z, y, mask = draw()
        fn = self.variant(lambda z, y, m: prototypes(z, y, mask=m, num_labels=5))
        compare(fn(z, y, mask), by_loops(z, y, mask), y, mask)


def test_mean_norms_in_as_many_slots_as_rows():
    z, y, mask = draw()
    fn = toy.jit(lambda z: prototypes(z, y, mask=mask, reading="mean_of_norms"))
    found = fn(z)
    assert found.label.shape == (12,)
    compare(found, by_loops(z, y, mask, "mean_of_norms"), y, mask)


def test_padding_and_full_slots():
    """Padding falls out where each label has its slot, and may be NaN."""
    z, y, _ = draw()
    y[:5] = range(5)
    mask = np.float32(np.arange(12) < 9)
    z[9:], odd = np.nan, y.copy()
    odd[9:] = [77, -3, 2]
    found = prototypes(jnp.asarray(z), odd, mask=mask, num_labels=5)
    want = by_loops(z, y, mask)
    np.testing.assert_allclose(found.norm, want[3], rtol=1e-5)
    assert found.count.sum() == 9
    # Labels of any kind; all rows are padding.
    found = prototypes(jnp.asarray(z), odd + 0.5, mask=np.zeros(12))
    chex.assert_tree_all_finite(found)
    assert found.count.sum() == found.norm.sum() == 0


@pytest.mark.parametrize("reading", lib.READINGS)
@pytest.mark.quick("prototype")
def test_gradients(reading):
    z, y, mask = draw()

    def total(z):
        found = prototypes(z, y, mask=mask, reading=reading)
        return jnp.sum(found.norm * jnp.arange(1, 13))

    for features in (z, np.zeros_like(z), np.where(mask[:, None] > 0, z, np.nan)):
        slope = toy.jit(jax.grad(total))(jnp.asarray(features))
        assert np.isfinite(slope).all()
        np.testing.assert_array_equal(slope[mask == 0], 0)
    with jax.enable_x64(True):
        away = jnp.asarray(np.float64(z) + 0.1)
        chex.assert_numerical_grads(
            jax.jit(total), (away,), order=1, rtol=1e-5, atol=1e-7
        )


def test_golden_mean_norms():
    with np.load(GOLDEN / "frobs_per_label_norm.npz") as data:
        for case in ("c00", "c01"):
            z, y = data[f"{case}.in.features"], data[f"{case}.in.labels"].ravel()
            with jax.enable_x64(True):
                found = toy.jit(functools.partial(prototypes, reading="mean_of_norms"))(
                    jnp.asarray(z), jnp.asarray(y)
                )
            ours = dict(zip(found.label.tolist(), found.norm.tolist(), strict=True))
            for key, value in zip(
                data[f"{case}.out.keys"], data[f"{case}.out.values"], strict=True
            ):
                # There the last of the labels with one whole number stays.
                same = [label for label in ours if label and int(label) == key]
                near = [np.isclose(ours[label], value, rtol=1e-12) for label in same]
                assert sum(near) == 1, (case, key)
            if case == "c00":
                assert [v for v in ours if v] == data["c00.out.keys"].tolist()


def test_what_is_refused():
    z, y, _ = draw()
    with pytest.raises(ValueError, match="prototype, mean_of_norms, got 'mean'"):
        prototypes(z, y, reading="mean")
    with pytest.raises(ValueError, match=r"\(3,\).*\(12, 3\)"):
        prototypes(z, y[:3])
