"""The encoder-decoder: sizes, skips, batch norm, dtypes."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dirjax import models
from dirjax.models import depth, heads
from tests import toy


def shapes(model, size, batch=2):
    x = jax.ShapeDtypeStruct((batch, *size, 3), jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False), x
    )


@pytest.mark.parametrize("size", [(32, 48), (5, 7), (1, 2), (228, 304)])
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_features_are_at_half_the_size(size, levels):
    features, variables = shapes(depth.SmallUNet(width=4, levels=levels), size)
    half = [-(-side // 2) for side in size]
    assert (features.shape, features.dtype) == ((2, *half, 4), jnp.float32)
    kernels = [k for k in variables["params"] if k.endswith("_conv")]
    assert len(kernels) == 3 * levels - 1


def test_parameters_by_hand():
    _, variables = shapes(depth.SmallUNet(width=4, levels=2), (8, 8))
    # 3x3 kernels: 3-4, 4-4, 4-8, 8-8, and on the way up (8 + 4)-4; two numbers for
    # each channel of a batch norm.
    kernels = 9 * (3 * 4 + 4 * 4 + 4 * 8 + 8 * 8 + 12 * 4)
    norms = 2 * (4 + 4 + 8 + 8 + 4)
    count = sum(v.size for v in jax.tree.leaves(variables["params"]))
    assert count == kernels + norms


def test_bfloat16_gives_float32_features():
    features, variables = shapes(depth.SmallUNet(4, dtype=jnp.bfloat16), (8, 8))
    for leaf in (features, *jax.tree.leaves(variables)):
        assert leaf.dtype == jnp.float32


def test_enlarge():
    x = np.arange(12.0).reshape(1, 2, 3, 2)
    got = depth.enlarge(jnp.asarray(x), 3, 6)
    want = x.repeat(2, axis=1).repeat(2, axis=2)[:, :3]
    np.testing.assert_array_equal(got, want)


def test_a_pixel_sees_its_neighbours_and_the_scene():
    model = depth.SmallUNet(width=4, levels=2)
    x = jax.random.normal(jax.random.key(1), (1, 16, 16, 3))

    def pixel(x, variables):
        return model.apply(variables, x, train=False)[0, 2, 2].sum()

    def gradient(x):
        variables = model.init(jax.random.key(0), x, train=False)
        return jax.grad(pixel)(x, variables)[0]

    seen = np.abs(toy.jit(gradient)(x)).sum(axis=-1) > 0
    # Its own place by the skip, and far more than two 3x3 kernels by the way below.
    assert seen[4, 4]
    assert seen[:, 9].any()
    assert not seen[15, 15]


def test_batch_norm_moves_in_training_only():
    net = models.build("small_unet", head="dense", encoder={"width": 4, "levels": 1})
    x = jax.random.normal(jax.random.key(0), (4, 6, 6, 3))
    params, state = toy.jit(net.init)(jax.random.key(1), x)
    features, moved = toy.jit(functools.partial(net.encode, train=True))(
        params, state, x
    )
    for old, new in zip(*map(jax.tree.leaves, (state, moved)), strict=True):
        assert not np.array_equal(old, new)
    assert net.head(params, features).prediction.shape == (4, 3, 3)


class VariantsTest(chex.TestCase):
    @chex.all_variants(with_pmap=True)
    def test_encoder(self):
        model = depth.SmallUNet(width=4, levels=2)
        x = jax.random.normal(jax.random.key(0), (2, 6, 8, 3))
        variables = toy.jit(functools.partial(model.init, train=False))(
            jax.random.key(1), x
        )
        want = model.apply(variables, x, train=False)
        got = self.variant(lambda v, x: model.apply(v, x, train=False))(variables, x)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


class TestHead:
    def test_it_is_the_linear_head_at_each_pixel(self):
        z = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
        options = {"shift": 2.0, "scale": 3.0}
        dense, linear = heads.Dense(**options), heads.Linear(**options)
        variables = dense.init(jax.random.key(1), z)
        got = dense.apply(variables, z).prediction
        want = linear.apply(variables, z.reshape(-1, 5)).prediction
        assert got.shape == (2, 3, 4)
        np.testing.assert_allclose(got.reshape(-1), want, rtol=1e-6)

    @pytest.mark.parametrize(
        ("head", "shape", "better"),
        [("dense", (2, 5), "linear"), ("linear", (2, 3, 4, 5), "dense")],
    )
    def test_features_of_another_task(self, head, shape, better):
        with pytest.raises(ValueError, match=f"Use --config.model.head={better}"):
            heads.HEADS[head]().init(jax.random.key(0), jnp.ones(shape))


def test_images_without_channels():
    with pytest.raises(ValueError, match=r"channels\], got shape \(2, 8, 8\)"):
        depth.SmallUNet().init(jax.random.key(0), jnp.ones((2, 8, 8)), train=False)


@pytest.mark.parametrize(
    ("name", "kind", "better"),
    [
        ("small_unet", "images", "small_resnet"),
        ("small_unet", "table", "mlp"),
        ("resnet18", "dense", "small_unet"),
        ("mlp", "dense", "small_unet"),
    ],
)
def test_the_data_chooses_among_models(name, kind, better):
    config = {"name": name, "label_scaling": "none"}
    with pytest.raises(ValueError, match=f"got '{name}', which .* Use '{better}'"):
        models.from_config(config, {"kind": kind})
