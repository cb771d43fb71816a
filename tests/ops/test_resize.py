"""Maps of another size, against loops written from the definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax.ops import resize


def slow(line, wanted, aligned):
    """One line, pixel by pixel; outside of it the end pixels go on."""
    out = []
    for i in range(wanted):
        if aligned:
            at = i * (len(line) - 1) / (wanted - 1) if wanted > 1 else 0.0
        else:
            at = max((i + 0.5) * len(line) / wanted - 0.5, 0.0)
        low = min(int(at), len(line) - 1)
        high = min(low + 1, len(line) - 1)
        out.append(line[low] + (at - low) * (line[high] - line[low]))
    return np.array(out)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("size", [(8, 9), (4, 5), (4, 6), (1, 1)])
def test_bilinear_is_that_of_a_loop(size, aligned):
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    want = np.apply_along_axis(slow, 1, x, size[0], aligned)
    want = np.apply_along_axis(slow, 2, want, size[1], aligned)
    got = resize.bilinear(jnp.asarray(x, jnp.float32), size, aligned=aligned)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    flat = resize.bilinear(jnp.float32(x[..., 0]), size, aligned=aligned)
    np.testing.assert_allclose(flat, got[..., 0], rtol=1e-5, atol=1e-6)


def test_a_line_of_one_pixel():
    one = jnp.full((1, 1, 1), 3.0)
    assert np.all(resize.bilinear(one, (2, 3), aligned=True) == 3)
    assert np.all(resize.bilinear(one, (2, 3)) == 3)


def test_gradients_add_up():
    x = jnp.ones((1, 3, 4))
    grad = jax.grad(lambda x: resize.bilinear(x, (7, 9)).sum())(x)
    np.testing.assert_allclose(grad.sum(), 63, rtol=1e-5)


def test_nearest_maps():
    x = jnp.arange(48).reshape(2, 4, 6)
    np.testing.assert_array_equal(resize.nearest_maps(x, (2, 3)), x[:, 1::2, 1::2])


def test_ranks():
    with pytest.raises(ValueError, match=r"got shape \(3, 4\)"):
        resize.bilinear(jnp.ones((3, 4)), (3, 4))
