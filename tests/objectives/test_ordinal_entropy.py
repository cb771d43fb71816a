"""Ordinal entropy against loops, and public numbers."""

import functools
import pathlib

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.objectives import base, ordinal_entropy
from dirjax.objectives.ordinal_entropy import ordinal_entropy_loss
from tests import toy

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def unit(v):
    length = np.sqrt((v**2).sum())
    return v / length if length > 1e-12 else 0 * v


def by_loops(z, y, mask=None, of="prototypes", tightness=True):
    """The definition in float64."""
    real = np.ones(len(z), bool) if mask is None else np.asarray(mask) > 0
    z, y = np.asarray(z, np.float64)[real], np.asarray(y, np.float64)[real]
    if of == "features":
        centers = list(zip(y, map(unit, z), strict=True))
        tightness = False
    else:
        centers = [(v, unit(z[y == v].mean(axis=0))) for v in sorted(set(y))]
    gaps, apart = [], []
    for a in range(len(centers)):
        for b in range(a):
            gaps.append(abs(centers[a][0] - centers[b][0]))
            apart.append(np.linalg.norm(centers[a][1] - centers[b][1]))
    loss = 0.0
    if gaps and max(gaps) > 0:
        weights = [(g - min(gaps)) / max(gaps) for g in gaps]
        loss -= np.mean([w * d for w, d in zip(weights, apart, strict=True)])
    if tightness:
        own = dict(centers)
        to = [np.linalg.norm(unit(v) - own[w]) for v, w in zip(z, y, strict=True)]
        to = [d for d in to if d > 1e-9]
        loss += np.mean(to) if to else 0.0
    return loss


def rows(seed=0, n=14):
    rng = np.random.default_rng(seed)
    z = np.float32(rng.normal(size=(n, 4)))
    z[5], z[6] = z[3], 2 * z[3]
    return z, np.float32(rng.choice([0.5, 1, 3, 7], n))


MASK = np.float32(np.arange(14) % 5 != 2)


class Variants(chex.TestCase):
    @chex.all_variants
    def test_against_loops(self):
        z, y = rows()
        fn = self.variant(lambda z, y, m: ordinal_entropy_loss(z, y, mask=m))
        np.testing.assert_allclose(fn(z, y, MASK), by_loops(z, y, MASK), rtol=1e-5)


def test_options_against_loops():
    z, y = rows()
    for kind in ({"tightness": False}, {"of": "features"}):
        fn = toy.jit(functools.partial(ordinal_entropy_loss, **kind))
        got = fn(z, y, mask=MASK)
        np.testing.assert_allclose(got, by_loops(z, y, MASK, **kind), rtol=1e-5)


@pytest.mark.slow
def test_numerical_gradients():
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        z, y = jnp.asarray(rng.normal(size=(7, 3))), jnp.array([1, 1, 2, 4, 4, 4, 9.0])
        loss = jax.jit(functools.partial(ordinal_entropy_loss, labels=y))
        chex.assert_numerical_grads(loss, (z,), order=1, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_degenerate_batches():
    z, y = rows()
    slope = toy.jit(jax.value_and_grad(ordinal_entropy_loss))
    one = jnp.zeros(14).at[3].set(1.0)
    batches = {
        "one label": (z, np.ones_like(y), MASK),
        "equal rows": (np.ones_like(z), y, MASK),
        "zero rows": (np.zeros_like(z), y, MASK),
        "tiny rows": (1e-20 * z, y, MASK),
        "one row": (z, y, one),
        "no row": (z, y, np.zeros(14)),
        "all labels differ": (z, np.arange(14.0), MASK),
        "NaN in padding": (np.where(MASK[:, None] > 0, z, np.nan), y, MASK),
    }
    for name, (features, labels, mask) in batches.items():
        value, gradient = slope(jnp.asarray(features), jnp.float32(labels), mask=mask)
        real = np.asarray(mask) > 0
        assert np.isfinite(gradient).all(), name
        np.testing.assert_array_equal(gradient[~real], 0, err_msg=name)
        want = by_loops(np.where(real[:, None], features, 0), labels, mask)
        np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-6, err_msg=name)


@functools.cache
def compiled(of="prototypes"):
    return toy.jit(functools.partial(ordinal_entropy_loss, of=of))


@hypothesis.given(st.permutations(range(14)), st.integers(1, 20))
@hypothesis.settings(deadline=None, max_examples=8)
def test_properties(order, number):
    z, y = rows()
    want, order = compiled()(z, y), np.array(order)
    np.testing.assert_allclose(compiled()(z[order], y[order]), want, rtol=2e-6)
    # Lengths do not matter, nor do the scale, the sign and the zero of labels.
    np.testing.assert_allclose(compiled()(number * z, 4 - number * y), want, rtol=3e-6)
    each = np.float32(np.random.default_rng(number).uniform(0.5, 2, (14, 1)))
    rows_alone = compiled("features")
    np.testing.assert_allclose(rows_alone(each * z, y), rows_alone(z, y), rtol=3e-6)


def golden(name):
    with np.load(GOLDEN / f"{name}.npz") as data:
        for number in range(int(data["n_cases"])):
            prefix = f"c{number:02d}."
            yield {k[4:]: data[k] for k in data.files if k.startswith(prefix)}


@toy.jit
def of_rows(z, y, kept):
    def loss(z):
        return ordinal_entropy_loss(z[kept], y[kept], of="features")

    return jax.value_and_grad(loss)(z)


def test_golden_of_rows():
    for c in golden("ordinal_entropy"):
        kept, y = c["out.samples"], c["in.gt"].ravel()
        with jax.enable_x64(True):
            loss, slope = of_rows(jnp.asarray(c["in.features"]), y, kept)
        # Equal labels are 1e-6 apart there.
        tied = len(set(y[kept])) < len(kept)
        np.testing.assert_allclose(loss, c["out.loss"], rtol=1e-6 if tied else 1e-10)
        np.testing.assert_allclose(
            slope, c["grad.features"], atol=1e-8 if tied else 1e-12
        )


def test_golden_of_centers():
    for c in golden("ordinal_entropy_age"):
        z, y = c["in.features"], c["in.gt"]
        with jax.enable_x64(True):
            loss, slope = toy.jit(jax.value_and_grad(ordinal_entropy_loss))(
                jnp.asarray(z), jnp.asarray(y)
            )
        np.testing.assert_allclose(slope, c["grad.features"], atol=1e-12)
        if np.isnan(c["out.loss"]):
            assert len(set(y.tolist())) == len(y)
            np.testing.assert_allclose(loss, by_loops(z, y, tightness=False), 1e-9)
        else:
            np.testing.assert_allclose(loss, c["out.loss"], rtol=1e-10)


def view(z):
    return base.View(z, None, lambda x: x, lambda x: x)


@pytest.mark.slow
def test_golden_of_images():
    (c,) = golden("ordinal_entropy_dense")
    y = c["in.gt"][:, 0]
    objective, z = ordinal_entropy.make(), c["in.features"]

    def loss(z, mask):
        batch = {"label": jnp.asarray(y), "mask": mask}
        seen = view(jnp.moveaxis(z, 1, -1))
        return objective.loss(base.Variables({}, {}), seen, batch, None).loss

    mask = np.float64(y > 0.001)
    with jax.enable_x64(True):
        both = toy.jit(jax.value_and_grad(loss))
        value, slope = both(jnp.asarray(z), mask)
        # An image that is all padding does not count.
        first, _ = both(jnp.asarray(z), np.stack([mask[0], 0 * mask[1]]))
    np.testing.assert_allclose(value, c["out.loss"], rtol=1e-10)
    np.testing.assert_allclose(slope, c["grad.features"], atol=1e-12)
    every = np.moveaxis(z[0], 0, -1)[::4, ::4].reshape(16, -1)
    want = by_loops(every, y[0, ::4, ::4].ravel(), mask[0, ::4, ::4].ravel())
    np.testing.assert_allclose(first, want, rtol=1e-9)


def test_what_is_refused():
    z, y = rows()
    with pytest.raises(ValueError, match="of must be one of prototypes, features"):
        ordinal_entropy_loss(z, y, of="rows")
    with pytest.raises(ValueError, match="stride must be a whole number from 1"):
        ordinal_entropy.make(stride=0)
    with pytest.raises(ValueError, match=r"\(2,\).*\(14, 4\)"):
        ordinal_entropy_loss(z, y[:2])
