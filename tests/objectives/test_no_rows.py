"""Losses that compare rows are 0, with gradients, for a batch without rows."""

import functools

import jax
import jax.numpy as jnp
import pytest

from dirjax.objectives import (
    accon,
    conr,
    dist_loss,
    group_contrast,
    norm_order,
    norm_target,
    ordinal_entropy,
    prime,
    rank_n_contrast,
    ranksim,
    supremix,
)

Y, B = jnp.zeros(0), jnp.zeros(0, int)
LOSSES = {
    "accon": lambda z: accon.accon_loss(z, Y, B, span=1.0),
    "conr": lambda z: conr.conr_loss(z, Y, Y),
    "dist_loss": lambda z: dist_loss.dist_loss(z[:, 0], jnp.zeros(9)),
    "group_contrast": lambda z: group_contrast.group_contrast_loss(z, B, num_groups=4),
    "norm_order": lambda z: norm_order.norm_order_loss(z, B, num_bins=4),
    "norm_target": lambda z: norm_target.norm_target_loss(z, B, targets=jnp.ones(4)),
    "ordinal_entropy": lambda z: ordinal_entropy.ordinal_entropy_loss(z, Y),
    "ordinal_entropy of rows": functools.partial(
        ordinal_entropy.ordinal_entropy_loss, labels=Y, of="features"
    ),
    "prime": lambda z: prime.alignment_loss(z, Y, jnp.ones((2, 3)), jnp.arange(2.0)),
    "rank_n_contrast": lambda z: rank_n_contrast.rank_n_contrast_loss(z, Y),
    "rank_n_contrast of two": lambda z: rank_n_contrast.rank_n_contrast_loss(
        z, jnp.zeros((0, 2))
    ),
    "ranksim": lambda z: ranksim.ranksim_loss(z, Y),
    "supremix": lambda z: supremix.supremix_loss(z, Y, B, jax.random.key(0)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_no_rows(name):
    value, slope = jax.value_and_grad(LOSSES[name])(jnp.zeros((0, 3)))
    assert (float(value), value.dtype, slope.shape) == (0.0, jnp.float32, (0, 3))
