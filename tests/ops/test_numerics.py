"""Products and orders with cheaper gradients have the gradients of the plain ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.ops import numerics, sorting

ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
PAIRS = np.random.default_rng(1).normal(size=(5, 5)).astype(np.float32)


def _weighed(products):
    """A function of products that is not symmetric, nor linear."""
    return jnp.sum(jnp.sin(products) * PAIRS)


@pytest.mark.parametrize("order", [1, 2])
def test_slopes_of_products_of_rows_with_themselves(order):
    def slope(function):
        for _ in range(order):
            function = jax.grad(lambda z, f=function: jnp.sum(jnp.cos(f(z))))
        return function(ROWS)

    found = slope(lambda z: _weighed(numerics.gram(z)))
    wanted = slope(lambda z: _weighed(numerics.product(z, z.T)))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_slopes_of_distances_among_rows():
    def slope(of):
        return jax.grad(lambda z: _weighed(of(z)))(ROWS)

    found = slope(lambda z: numerics.distances(z, z))
    wanted = slope(lambda z: numerics.distances(z, z + 0))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_slopes_of_columns_in_orders_of_their_own():
    order, rows = jnp.argsort(PAIRS, axis=0), jnp.asarray(PAIRS)

    def slope(take):
        return jax.grad(lambda x: _weighed(take(x)))(rows)

    found = slope(lambda x: sorting.in_order(x, order))
    wanted = slope(lambda x: jnp.take_along_axis(x, order, axis=0))
    np.testing.assert_array_equal(found, wanted)
