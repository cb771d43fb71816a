"""Losses are those of labels and predictions less a constant: nothing cancels."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import labels
from dirjax.labels import groups
from dirjax.models.distributions import GaussianOutputs, QuantileOutputs
from dirjax.models.evidential import EvidentialOutputs
from dirjax.models.voting import fused
from dirjax.objectives import (
    accon,
    balanced_mse,
    base,
    conr,
    evidential,
    focal_r,
    gaussian,
    group_dir,
    huber,
    l1,
    mse,
    prime,
    quantile,
    rank_n_contrast,
    ranksim,
    shrinkage,
    supremix,
    uvote,
)
from tests import toy

RNG = np.random.default_rng(0)
Z = np.float32(RNG.normal(size=(8, 4)))
# Multiples of 1/64, which float32 holds at 1e5, too.
Y = np.float32(RNG.integers(0, 6 * 64, 8) / 64)
P = np.float32(Y + RNG.integers(-64, 64, 8) / 64)
S = np.float32(RNG.gamma(2.0, size=8) + 0.5)
TERMS = {
    "accon": accon.make(),
    "bmc": balanced_mse.make(),
    "conr": conr.make(window=2.0, temperature=1.0),
    "evidential": evidential.make(),
    "focal_r": focal_r.make(),
    "gaussian": gaussian.make(),
    "group_dir": group_dir.make(),
    "huber": huber.make(),
    "l1": l1.make(),
    "mse": mse.make(),
    "prime": prime.make(proxies=4),
    "quantile": quantile.make(),
    "rank_n_contrast": rank_n_contrast.make(),
    "ranksim": ranksim.make(),
    "shrinkage": shrinkage.make(),
    "supremix": supremix.make(),
    "uvote": uvote.make(experts=2),
}


def outputs_of(name, p):
    if name == "evidential":
        return EvidentialOutputs(p, p, S, S + 1, S)
    if name == "gaussian":
        return GaussianOutputs(p, p, S)
    if name == "group_dir":
        values = jnp.stack([p, p + 1, p - 2], 1)
        return types.SimpleNamespace(prediction=p, logits=Z[:, :3], values=values)
    if name == "quantile":
        return QuantileOutputs(p, p[:, None] + np.float32([[-0.5, 0.0, 0.75]]))
    if name == "uvote":
        return fused(jnp.stack([p, p + 1], 1), jnp.stack([S, 2 * S], 1), "surest")
    return types.SimpleNamespace(prediction=p)


def both_of(name):
    """Loss and slopes of features and predictions, for labels around 0 and 1e5."""

    def loss(z, p, variables, label, bins):
        batch = {
            "label": label,
            "bin": bins,
            "weight": jnp.ones(8),
            "mask": jnp.float32([1] * 7 + [0]),
        }
        view = base.View(z, outputs_of(name, p), None, None)
        return TERMS[name].loss(variables, view, batch, jax.random.key(1)).loss

    run = toy.jit(jax.value_and_grad(loss, (0, 1)))
    for shift in (0.0, 1e5):
        spec = labels.spec(
            shift + np.repeat([0.5, 1.5, 2.5, 4.5], [40, 9, 3, 1]),
            bin_width=1.0,
            label_range=(shift, shift + 6.0),
        )
        made = groups.make(spec.bins, spec.counts, num=3)
        spec = dataclasses.replace(spec, feature_dim=4, groups=made)
        variables = TERMS[name].init(jax.random.key(0), spec)
        label = Y + np.float32(shift)
        yield run(Z, P + np.float32(shift), variables, label, spec.bins.index(label))


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.quick("evidential", "gaussian", "group_dir", "prime", "shrinkage", "uvote")
def test_a_shift_changes_nothing(name):
    (value, slopes), (shifted, moved) = both_of(name)
    np.testing.assert_allclose(shifted, value, rtol=1e-5)
    for got, want in zip(moved, slopes, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)
