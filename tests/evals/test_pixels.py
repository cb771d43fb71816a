"""Corrections of maps, against the numpy correction of rows."""

import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import correct
from dirjax.correct import priors
from dirjax.evals import frontier, pixels
from dirjax.evals.eval_step import Distributed
from dirjax.labels import Bins, Scale
from dirjax.models.heads import Outputs
from tests import toy

RNG = np.random.default_rng(0)
LABELS = np.exp(RNG.normal(0.5, 0.5, 400))
VARIANTS = [
    {"target": target, "tau": tau, "decode": how}
    for target in ("uniform", np.arange(1.0, 13.0))
    for tau, how in ((0.0, "mean"), (0.5, "mean"), (1.0, "median"))
]


def chosen(model):
    return [frontier.Chosen(model, **variant) for variant in VARIANTS]


def prior(kind):
    scale = Scale("log", offset=0.5) if kind == "log" else Scale()
    learnt = scale.forward(LABELS)
    bins = Bins(np.linspace(learnt.min(), learnt.max(), 13))
    return correct.Prior(bins, priors.of_labels(learnt, bins), scale)


@pytest.mark.parametrize("kind", ["linear", "log"])
def test_distributions_of_pixels_are_corrected_like_those_of_rows(kind):
    model = correct.Correction(prior(kind), decode="median")
    log_probs = RNG.normal(size=(2, 3, 4, 12)).astype(np.float32)
    log_probs -= np.log(np.exp(log_probs).sum(-1, keepdims=True))
    own = RNG.uniform(1, 3, (2, 3, 4)).astype(np.float32)
    outputs = Distributed(jnp.asarray(own), jnp.asarray(log_probs))
    got = toy.jit(pixels.make_corrected(chosen(model)))(outputs)
    assert got.shape == (len(VARIANTS), 2, 3, 4)
    for variant, found in zip(VARIANTS, got, strict=True):
        want = model.apply(own.ravel(), log_probs=log_probs.reshape(-1, 12), **variant)
        np.testing.assert_allclose(found.ravel(), want, rtol=1e-4)


@pytest.mark.parametrize("kind", ["linear", "log"])
def test_single_values_of_pixels_are_corrected_like_those_of_rows(kind):
    noisy = LABELS * np.exp(RNG.normal(0, 0.2, LABELS.size))
    model = correct.of_prior(prior(kind), noisy, LABELS)
    own = RNG.choice(noisy, (2, 3, 4)).astype(np.float32)
    outputs = Outputs(jnp.asarray(own))
    got = toy.jit(pixels.make_corrected(chosen(model)))(outputs)
    for variant, found in zip(VARIANTS, got, strict=True):
        want = model.apply(own.ravel(), **variant)
        np.testing.assert_allclose(found.ravel(), want, rtol=2e-3)
        if variant["tau"] == 0:
            np.testing.assert_array_equal(found, own)


def test_sample_has_no_masked_pixel():
    one = np.arange(12.0).reshape(3, 4)
    mask = (one % 3 > 0).astype(np.float32)
    every = pixels.sample(one, -one, mask, number=8, seed=0)
    np.testing.assert_array_equal(every[0], one[mask > 0])
    some = pixels.sample(one, -one, mask, number=5, seed=0)
    assert [len(x) for x in some] == [5, 5]
    assert (some[0] % 3 > 0).all()
    assert len(set(some[0])) == 5
    np.testing.assert_array_equal(some[0], -some[1])
