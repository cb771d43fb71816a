"""The depth model of Hu et al.: sizes, parameters, an up-projection by hand."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from dirjax import models
from dirjax.models import convert, fused_depth, heads
from dirjax.training import parameters, warm_start
from tests import toy

SMALL = {"stage_sizes": (1, 1, 1, 1), "width": 2, "decoder": 2, "fused": 1, "kernel": 3}


def shapes(model, size, batch=2):
    x = jax.ShapeDtypeStruct((batch, *size, 3), jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False), x
    )


def count(tree):
    return sum(v.size for v in jax.tree.leaves(tree))


@pytest.mark.slow
def test_published_size():
    """Counts of the public PyTorch modules, run on the shapes of the benchmark."""
    features, variables = shapes(fused_depth.fused_depth50(), (228, 304))
    assert features.shape == (2, 114, 152, 128)
    params = variables["params"]
    assert count(params["resnet"]) == 23_508_032
    assert count(params["decoder"]) == 40_054_400
    assert count(params["fusion"]) == 3_184_128
    # The refinement with its last convolution, which is the head.
    head = heads.Dense(kernel=5)
    outputs, last = jax.eval_shape(
        lambda z: head.init_with_output(jax.random.key(0), z), features
    )
    assert outputs.prediction.shape == (2, 114, 152)
    assert count(params["refine"]) + count(last) == 822_913


@pytest.mark.slow
@pytest.mark.parametrize("size", [(112, 152), (17, 23)])
def test_features_are_at_half_the_size(size):
    features, variables = shapes(fused_depth.FusedDepth(**SMALL), size)
    half = tuple(-(-n // 2) for n in size)
    assert (features.shape, features.dtype) == ((2, *half, 6), jnp.float32)
    shrunk, _ = shapes(fused_depth.FusedDepth(**SMALL, shrink=2), size)
    assert shrunk.shape[1:3] == tuple(-(-(n // 2) // 2) for n in size)
    half_precision = fused_depth.FusedDepth(**SMALL, dtype=jnp.bfloat16)
    features, again = shapes(half_precision, size)
    for leaf in (features, *jax.tree.leaves(again)):
        assert leaf.dtype == jnp.float32
    assert jax.tree.map(jnp.shape, again) == jax.tree.map(jnp.shape, variables)


def slow_conv(x, kernel):
    """`[h, w, c]` with zeros around, from the definition."""
    side = len(kernel) // 2
    padded = np.pad(x, ((side, side), (side, side), (0, 0)))
    out = np.zeros((*x.shape[:2], kernel.shape[-1]))
    for i, j in np.ndindex(*x.shape[:2]):
        window = padded[i : i + len(kernel), j : j + len(kernel)]
        out[i, j] = np.tensordot(window, kernel, axes=3)
    return out


def test_an_up_projection_is_that_of_a_loop():
    """Two branches of one input; in evaluation mode batch norm only divides."""
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 2))
    model = fused_depth.UpProjection(3, kernel=5)
    run = toy.jit(functools.partial(model.init_with_output, size=(2, 5), train=False))
    got, variables = run(jax.random.key(1), jnp.float32(x))
    kernels = jax.tree.map(np.float64, variables["params"])
    both, second = (kernels[k]["conv"]["kernel"] for k in ("first", "second"))
    # Columns of the enlarged map, centre by centre.
    at = np.clip((np.arange(5) + 0.5) * 3 / 5 - 0.5, 0, 2)
    low = np.minimum(at.astype(int), 1)
    left = (1 - (at - low))[None, :, None]
    wide = left * x[0][:, low] + (1 - left) * x[0][:, low + 1]
    norm = np.sqrt(1 + 1e-5)
    first = np.maximum(slow_conv(wide, both[..., :3]) / norm, 0)
    skip = slow_conv(wide, both[..., 3:]) / norm
    want = np.maximum(slow_conv(first, second) / norm + skip, 0)
    np.testing.assert_allclose(got[0], want, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
class VariantsTest(chex.TestCase):
    @chex.all_variants(with_pmap=True)
    def test_encoder(self):
        model = fused_depth.FusedDepth(**SMALL)
        x = jax.random.normal(jax.random.key(0), (2, 17, 23, 3))
        init = functools.partial(model.init, train=False)
        variables = toy.jit(init)(jax.random.key(1), x)
        want = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, x)
        got = self.variant(lambda v, x: model.apply(v, x, train=False))(variables, x)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


class TestHead:
    def test_a_larger_kernel_is_a_convolution(self):
        z = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32)
        head = heads.Dense(shift=2.0, scale=3.0, kernel=3)
        variables = head.init(jax.random.key(1), z)
        got = head.apply(variables, z).prediction
        conv = variables["params"]["conv"]
        want = [slow_conv(x, np.float64(conv["kernel"]))[..., 0] for x in z]
        want = 2 + 3 * (np.array(want) + float(conv["bias"][0]))
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("kernel", [0, 2])
    def test_even_kernels(self, kernel):
        with pytest.raises(ValueError, match=f"odd and above 0, got {kernel}"):
            heads.Dense(kernel=kernel).init(jax.random.key(0), jnp.ones((1, 2, 2, 1)))

    def test_features_of_another_task(self):
        with pytest.raises(ValueError, match=r"Use --config.model.head=linear"):
            heads.Dense(kernel=3).init(jax.random.key(0), jnp.ones((2, 5)))


def test_three_stages():
    with pytest.raises(ValueError, match=r"four stages, got stage_sizes \(1, 1, 1\)"):
        shapes(fused_depth.FusedDepth(stage_sizes=(1, 1, 1)), (16, 16))


def test_channels_are_standardised_one_by_one():
    net = models.build(
        "fused_depth",
        head="dense",
        input_mean=(0.1, 0.2, 0.3),
        input_std=(1.0, 2.0, 4.0),
    )
    pixel = np.full((1, 1, 1, 3), 51, np.uint8)
    got = net.prepare(pixel)
    np.testing.assert_allclose(got.ravel(), [0.1, 0.0, -0.025], atol=1e-6)
    np.testing.assert_allclose(net.domain.low, [-0.1, -0.1, -0.075])
    np.testing.assert_allclose(net.domain.high, [0.9, 0.4, 0.175])


def test_it_begins_with_weights_of_pytorch(tmp_path):
    """Those of its ResNet; the rest is drawn."""
    _, variables = shapes(fused_depth.FusedDepth(**SMALL), (16, 16))
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(lambda x: np.float32(rng.normal(size=x.shape)), variables)
    theirs, ours = {}, {}
    for collection, tree in drawn.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree["resnet"]):
            name = parameters.path_name(path)
            theirs[convert._theirs(name)] = np.ascontiguousarray(
                leaf.transpose(3, 2, 0, 1) if leaf.ndim == 4 else leaf
            )
            ours[collection, name] = leaf
    save_file(theirs, tmp_path / "resnet.safetensors")
    fresh = jax.tree.map(np.zeros_like, drawn)
    params, state = warm_start.pretrained(
        str(tmp_path / "resnet.safetensors"),
        params={"encoder": fresh["params"]},
        model_state={"batch_stats": {"encoder": fresh["batch_stats"]}},
    )
    found = {"params": params["encoder"]}
    found["batch_stats"] = state["batch_stats"]["encoder"]
    for (collection, name), leaf in ours.items():
        got = found[collection]["resnet"]
        for part in name.split("/"):
            got = got[part]
        np.testing.assert_array_equal(got, leaf)
    assert not np.any(found["params"]["decoder"]["up1"]["first"]["conv"]["kernel"])
