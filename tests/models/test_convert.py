"""Weights of PyTorch's residual networks compute the same here."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from dirjax.errors import InputError
from dirjax.models import convert, resnet
from dirjax.training import stage_program as programs_lib
from dirjax.training import warm_start as warm_start_lib
from tests import runs

# From a run of tests/torch_resnet.py; see tests/golden/README.md.
GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "torch_resnet.npz"
MODELS = {
    "basic": resnet.ResNet((2, 1), width=4),
    "bottle": resnet.ResNet((1, 2), bottleneck=True, width=4),
}


def golden(name):
    with np.load(GOLDEN) as file:
        weights = {
            key.removeprefix(f"{name}/weights/"): file[key]
            for key in file.files
            if key.startswith(f"{name}/weights/")
        }
        return weights, file["images"], file[f"{name}/features"]


@functools.cache
def drawn(model, shape):
    """Variables before training, by one program."""
    images = np.zeros(shape, np.float32)
    return jax.jit(model.init, static_argnames="train")(
        jax.random.key(1), images, train=False
    )


def converted(model, images, file):
    """Variables of a model from a file, through the door that runs use."""
    fresh = drawn(model, images.shape)
    params, state = warm_start_lib.pretrained(
        str(file),
        params={"encoder": fresh["params"]},
        model_state={"batch_stats": {"encoder": fresh["batch_stats"]}},
    )
    return {
        "params": params["encoder"],
        "batch_stats": state["batch_stats"]["encoder"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_features_are_those_of_pytorch(name, tmp_path):
    weights, images, features = golden(name)
    save_file(weights, tmp_path / "a.safetensors")
    model = MODELS[name]
    variables = converted(model, images, tmp_path / "a.safetensors")
    got = model.apply(variables, images, train=False)
    np.testing.assert_allclose(got, features, atol=1e-5, rtol=1e-5)
    assert np.abs(features).max() > 0.1


@pytest.mark.parametrize(
    ("name", "tensors"),
    # Entries of torchvision's state dicts: kernels, five a norm, two of the last layer.
    [("resnet18", 122), ("resnet34", 218), ("resnet50", 320)],
)
def test_every_tensor_has_its_place(name, tensors):
    model = getattr(resnet, name)()
    x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    tree = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    leaves = warm_start_lib._named(tree["params"]) | warm_start_lib._named(
        tree["batch_stats"]
    )
    theirs = {convert._theirs(n): leaf.shape for n, leaf in leaves.items()}
    assert None not in theirs
    assert len(theirs) == len(leaves)
    norms = sum(n.endswith("running_var") for n in theirs)
    assert len(theirs) + norms + 2 == tensors
    block = "layer4.1.conv2.weight" if name != "resnet50" else "layer4.2.conv3.weight"
    assert {block, "layer2.0.downsample.1.bias", "bn1.running_mean"} <= set(theirs)
    assert convert.describe(theirs) == name


def test_wrappers_half_precision_and_their_last_layer():
    weights, _, _ = golden("basic")
    shapes = {"stem_conv/kernel": (7, 7, 3, 4), "stem_norm/var": (4,)}
    some = {n: a for n, a in weights.items() if n.startswith(("conv1", "bn1.r"))}
    del some["bn1.running_mean"]
    wrapped = {f"module.backbone.{n}": a.astype(np.float16) for n, a in some.items()}
    wrapped |= {"module.backbone.fc.weight": np.zeros((10, 8)), "epoch": np.zeros(())}
    got = convert.resnet(wrapped, shapes)
    want = weights["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(got["stem_conv/kernel"], want, rtol=1e-3, atol=1e-4)
    assert got["stem_norm/var"].dtype == np.float32


def without(name):
    return lambda weights: weights.pop(name)


@pytest.mark.quick("layer2.0.bn2.bias is missing", "those of no residual network")
@pytest.mark.parametrize(
    ("change", "model", "said"),
    [
        (without("layer2.0.bn2.bias"), "basic", "layer2.0.bn2.bias is missing"),
        (
            lambda weights: None,
            "bottle",
            "of a network of 2, 1 basic blocks, a different",
        ),
        (
            lambda weights: weights.update({"conv1.weight": np.zeros((4, 1, 7, 7))}),
            "basic",
            r"conv1.weight has \[7, 7, 1, 4\], not \[7, 7, 3, 4\]",
        ),
        (
            lambda weights: weights.update({"layer2.1.conv1.weight": np.zeros(3)}),
            "basic",
            "layer2.1.conv1.weight has no place",
        ),
        (lambda weights: weights.clear(), "basic", "those of no residual network"),
    ],
)
def test_other_networks_are_explained(change, model, said, tmp_path):
    weights, images, _ = golden("basic")
    change(weights)
    save_file(weights, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=said):
        converted(MODELS[model], images, tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("no.safetensors", None, "there is no file"),
        ("bad.safetensors", b"nothing", "cannot be read as weights"),
    ],
)
def test_files_that_are_none(name, content, said, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        convert.read(tmp_path / name)


@pytest.mark.slow
def test_a_run_begins_with_them(tmp_path):
    weights, _, _ = golden("basic")
    save_file(weights, tmp_path / "a.safetensors")

    def run(name="mnist5k", **encoder):
        file = str(tmp_path / "a.safetensors")
        fields = {"model__encoder": encoder} if encoder else {}
        made = runs.config(
            name,
            data__limit=48,
            data__batch_size=16,
            model__pretrained=file,
            **fields,
        )
        return runs.built(made)

    of_file = {"stage_sizes": (2, 1), "width": 4, "stem": "imagenet"}
    with pytest.raises(
        InputError, match=r"1, 4\].*For grey images set --config.data.channels=3"
    ):
        warm_start_lib.warm_start(run(**of_file)[0])
    with pytest.raises(InputError, match="this one has none"):
        warm_start_lib.warm_start(run("bikeshare")[0])

    weights["conv1.weight"] = weights["conv1.weight"].sum(1, keepdims=True)
    save_file(weights, tmp_path / "a.safetensors")
    one, (main,) = run(**of_file)
    begun = programs_lib.begin(one, main, warm_start_lib.warm_start(one))
    model = begun.params["model"]
    want = weights["layer1.0.conv2.weight"].transpose(2, 3, 1, 0)
    got = model["encoder"]["stage1_block1"]["conv2"]["kernel"]
    np.testing.assert_array_equal(got, want)
    state = begun.model_state["batch_stats"]["encoder"]
    np.testing.assert_array_equal(state["stem_norm"]["var"], weights["bn1.running_var"])
    drawn, _ = programs_lib.random_model(one, main.stage, 0)
    jax.tree.map(np.testing.assert_array_equal, model["head"], drawn["head"])


@pytest.mark.slow
def test_full_size_against_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    from tests import torch_resnet

    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    for name, sizes, bottleneck in (
        ("resnet18", (2, 2, 2, 2), False),
        ("resnet50", (3, 4, 6, 3), True),
    ):
        theirs = torch_resnet.perturbed(torch_resnet.ResNet(sizes, bottleneck), 1)
        torch.save({"state_dict": theirs.state_dict()}, tmp_path / "a.pth")
        with torch.no_grad():
            want = theirs(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
        model = getattr(resnet, name)()
        variables = converted(model, images, tmp_path / "a.pth")
        got = model.apply(variables, images, train=False)
        scale = np.abs(want).max()
        np.testing.assert_allclose(got / scale, want / scale, atol=1e-4)
