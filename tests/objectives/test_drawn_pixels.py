"""Pixels drawn from label maps as rows of a term."""

import collections

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import objectives
from dirjax.models import heads
from dirjax.objectives import _drawn_pixels, base
from tests import toy

SHAPE = (3, 4, 5)


def maps(seed=0, shape=SHAPE):
    """A view of a head with groups, and a batch, some of it hidden."""
    rng = np.random.default_rng(seed)
    label = np.float32(rng.choice([0.5, 1.25, 2.5, 4.75], shape))
    outputs = heads.ExpertOutputs(
        np.float32(label + rng.normal(size=shape)),
        *np.float32(rng.normal(size=(2, *shape, 3))),
    )
    view = base.View(np.float32(rng.normal(size=(*shape, 4))), outputs, None, None)
    return view, {
        "label": label,
        "bin": toy.SPEC.bins.index(label),
        "weight": np.float32(rng.uniform(0.5, 2, shape)),
        "mask": np.float32(rng.random(shape) < 0.7),
    }


def outcome(objective, view, batch, key=0):
    variables = jax.tree.map(jnp.asarray, objective.init(jax.random.key(1), toy.SPEC))
    return objective.loss(variables, view, batch, jax.random.key(key))


@pytest.fixture
def seen():
    """A term that keeps what it was given."""
    kept = []

    def loss(variables, view, batch, key):
        kept.append((view, batch))
        return base.Outcome(jnp.zeros(()), variables.state, {})

    return kept, base.Objective(lambda key, spec: base.Variables({}, {}), loss)


def test_rows_are_real_pixels_each_at_most_once(seen):
    kept, term = seen
    view, batch = maps()
    outcome(_drawn_pixels.of_maps(term, 20), view, batch)
    rows, drawn = kept[0]
    assert rows.features.shape == (20, 4)
    assert rows.outputs.values.shape == (20, 3)
    # Features are drawn from a continuous law, so that they tell pixels apart.
    place = {z.tobytes(): n for n, z in enumerate(view.features.reshape(-1, 4))}
    at = [place[np.asarray(z).tobytes()] for z in rows.features]
    assert len(set(at)) == 20
    for name, values in batch.items():
        np.testing.assert_array_equal(drawn[name], values.reshape(-1)[at], name)
    for mine, every in zip(rows.outputs, view.outputs, strict=True):
        want = every.reshape(-1, *every.shape[3:])[at]
        np.testing.assert_array_equal(mine, want)
    assert drawn["mask"].all()


def test_every_real_pixel_is_drawn_equally_often():
    mask = jnp.asarray(maps()[1]["mask"])
    keys = jax.random.split(jax.random.key(0), 2000)
    draws = jax.jit(jax.vmap(lambda k: _drawn_pixels.draw(k, mask, 10)))(keys)
    count = np.bincount(np.ravel(draws), minlength=mask.size)
    real = np.ravel(mask) > 0
    assert not count[~real].any()
    expected = 20000 / real.sum()
    # Five deviations of a binomial count.
    assert abs(count[real] - expected).max() < 5 * expected**0.5


def test_fewer_pixels_than_asked_for_are_all_and_filled_up(seen):
    kept, term = seen
    view, batch = maps()
    outcome(_drawn_pixels.of_maps(term, 1000), view, batch)
    rows, drawn = kept[0]
    assert len(rows.features) == batch["mask"].size
    assert drawn["mask"].sum() == batch["mask"].sum()
    assert collections.Counter(drawn["label"].tolist()) == collections.Counter(
        batch["label"].ravel().tolist()
    )


def test_images_that_fill_up_the_batch_change_nothing():
    mask = maps()[1]["mask"]
    more = np.concatenate([mask, np.zeros((2, *SHAPE[1:]), np.float32)])
    few, many = (
        _drawn_pixels.draw(jax.random.key(3), jnp.asarray(m), 15) for m in (mask, more)
    )
    np.testing.assert_array_equal(few, many)


TERMS = {
    "group_contrast": {},
    "rank_n_contrast": {},
    "ranksim": {},
    "conr": {},
    "srl": {},
    "accon": {},
    "prime": {"proxies": 4},
    "dist_loss": {},
    "supremix": {"partners": 4},
    "balanced_mse": {"form": "bmc"},
}


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.quick("group_contrast", "conr")
def test_a_term_on_all_pixels_is_that_of_rows(name):
    """With as many pixels as there are, in another order."""
    view, batch = maps()
    made = objectives.from_config({name: {**TERMS[name], "pixels": 60}})
    plain = objectives.from_config({name: TERMS[name]})
    with pytest.raises(ValueError, match="pixels=1024"):
        outcome(plain, view, batch)
    got = outcome(made, view, batch)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), view.outputs)
    rows = base.View(view.features.reshape(-1, 4), flat, None, None)
    want = outcome(plain, rows, {k: x.reshape(-1) for k, x in batch.items()})
    if name not in ("supremix", "ranksim"):  # They draw rows themselves, by position.
        for mine, other in ((got.loss, want.loss), (got.metrics, want.metrics)):
            chex.assert_trees_all_close(mine, other, rtol=1e-5)
    assert np.isfinite(got.loss)
    assert got.loss > 0 or name == "srl"  # It has no centroids yet.


def test_labels_of_rows_pass():
    batch = toy.batch()
    view = base.View(
        jnp.ones((toy.ROWS, 2)), heads.Outputs(jnp.asarray(batch["label"])), None, None
    )
    made, plain = (
        objectives.from_config({"rank_n_contrast": fields})
        for fields in ({"pixels": 2}, {})
    )
    assert outcome(made, view, batch).loss == outcome(plain, view, batch).loss


def test_what_does_not_fit_is_said(seen):
    term = seen[1]
    with pytest.raises(ValueError, match="pixels must be a whole number from 1, got 0"):
        objectives.from_config({"conr": {"pixels": 0}})
    view, batch = maps()
    small = base.View(view.features[:, :2], view.outputs, None, None)
    with pytest.raises(ValueError, match=r"\(3, 2, 5, 4\) for labels \(3, 4, 5\)"):
        outcome(_drawn_pixels.of_maps(term, 4), small, batch)

    def encodes(variables, view, batch, key):
        return base.Outcome(view.encode(batch), {}, {})

    own = base.Objective(term.init, encodes)
    with pytest.raises(ValueError, match="must not run the encoder"):
        outcome(_drawn_pixels.of_maps(own, 4), view, batch)
