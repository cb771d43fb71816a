"""Converts ResNet weights from PyTorch (torchvision, timm).

`resnet` takes a state dict (names to arrays) of ResNet-18, 34 or 50, with torchvision's
or timm's names, and returns the arrays for `dirjax.models.resnet`. `read` reads such
files: `.safetensors` (extra `convert`), or `.pth` and similar, from which only arrays
are loaded, never code (needs PyTorch).

    theirs                          ours
    conv1, bn1                      stem_conv, stem_norm
    layer2.0.conv1, .bn1            stage2_block1/conv1, norm1
    layer2.0.downsample.0, .1       stage2_block1/conv_skip, norm_skip
    *.weight of a convolution       kernel, [O, I, h, w] -> [h, w, I, O]
    *.weight, .bias of a norm       scale, bias
    *.running_mean, .running_var    mean, var of batch_stats

Their last layer (`fc`) is ignored; the head of a run is initialised as usual.

Scale images as for those weights; ImageNet weights need the RGB mean (0.485, 0.456,
0.406) and deviation (0.229, 0.224, 0.225).

**Deviations**: none in what is computed. Networks that differ in their stem or in how
they halve (timm's `resnet50d` and relatives) are refused by the shapes that differ.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from dirjax import errors

_BLOCK = re.compile(r"stage(\d+)_block(\d+)/(conv|norm)(\d|_skip)")
_LEAVES = {
    ("conv", "kernel"): "weight",
    ("conv", "bias"): "bias",
    ("norm", "scale"): "weight",
    ("norm", "bias"): "bias",
    ("norm", "mean"): "running_mean",
    ("norm", "var"): "running_var",
}
# Blocks per stage, and whether they are bottlenecks -> name of the network.
_NAMES: dict[tuple[tuple[int, ...], bool], str] = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
    ((3, 8, 36, 3), True): "resnet152",
}


def read(file: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a weights file, by name.

    Args:
      file: `.safetensors`; or `.pth`, `.pt`, `.bin`, `.ckpt` or `.tar` of PyTorch, a
        state dict or a dict that holds one as "state_dict" or "model".

    Returns:
      Names to arrays; floating-point arrays as float32.

    Raises:
      ValueError: if there is no such file, it cannot be read, or the package that
        reads it is missing.
    """
    path = errors.local_path("a weights file", file)
    if not path.is_file():
        raise ValueError(f"there is no file {path}. Give a weights file.")
    reader = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    try:
        arrays = reader(path)
    except ImportError as error:
        package, way = (
            ("safetensors", "pip install 'dirjax[convert]'")
            if reader is _read_safetensors
            else ("torch", "install PyTorch, or save the weights as .safetensors")
        )
        raise ValueError(f"reading {path} needs the package {package}: {way}.") from (
            error
        )
    except Exception as error:  # Each reader raises its own types.
        raise ValueError(
            f"{path} cannot be read as weights "
            f"({str(error).strip().partition(chr(10))[0] or type(error).__name__}). "
            "Give a .safetensors file, or one that torch.load(weights_only=True) reads."
        ) from error
    return {
        name: a.astype(np.float32) if np.issubdtype(a.dtype, np.floating) else a
        for name, a in arrays.items()
    }


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    from safetensors import numpy as safetensors  # pyright: ignore

    return safetensors.load_file(path)


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    import torch  # pyright: ignore

    found = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(found.get(key), Mapping):
            found = found[key]
    return {
        name: (a.float() if a.is_floating_point() else a).numpy()
        for name, a in found.items()
        if isinstance(a, torch.Tensor)
    }


def _theirs(ours: str) -> str | None:
    """Their name for one of our arrays; None if it is not part of a ResNet.

    Example:
      >>> _theirs("stem_norm/mean"), _theirs("stage2_block1/conv_skip/kernel")
      ('bn1.running_mean', 'layer2.0.downsample.0.weight')
    """
    module, _, leaf = ours.rpartition("/")
    if module in ("stem_conv", "stem_norm"):
        kind = module.removeprefix("stem_")
        place = {"conv": "conv1", "norm": "bn1"}[kind]
    elif match := _BLOCK.fullmatch(module):
        stage, block, kind, part = match.groups()
        number = {"conv": "0", "norm": "1"}[kind]
        place = f"layer{stage}.{int(block) - 1}." + (
            f"downsample.{number}"
            if part == "_skip"
            else f"{'conv' if kind == 'conv' else 'bn'}{part}"
        )
    else:
        return None
    end = _LEAVES.get((kind, leaf))
    return end and f"{place}.{end}"


def describe(names: Mapping[str, Any]) -> str:
    """Describes the network of a state dict, judging by its names.

    Example:
      >>> describe({"layer1.0.conv1.weight": 0, "layer1.1.conv2.weight": 0})
      'a network of 2 basic blocks'
    """
    found = [re.match(r"layer(\d+)\.(\d+)\.(conv3)?", n) for n in names]
    sizes: dict[int, int] = {}
    for match in found:
        if match:
            stage, block = int(match[1]), int(match[2]) + 1
            sizes[stage] = max(sizes.get(stage, 0), block)
    if not sizes:
        return "no residual network"
    blocks = tuple(sizes[k] for k in sorted(sizes))
    bottleneck = any(m and m[3] for m in found)
    kind = "bottleneck" if bottleneck else "basic"
    return _NAMES.get((blocks, bottleneck)) or (
        f"a network of {', '.join(map(str, blocks))} {kind} blocks"
    )


def _without_prefix(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Strips prefixes such as `module.` or `backbone.` that wrappers add."""
    stems = [n for n in arrays if re.search(r"(^|\.)conv1\.weight$", n)]
    stem = min(stems, key=lambda n: n.count("."), default="conv1.weight")
    prefix = stem.removesuffix("conv1.weight")
    return {
        name.removeprefix(prefix): a
        for name, a in arrays.items()
        if name.startswith(prefix)
    }


def resnet(
    arrays: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Converts their state dict to the arrays of our ResNet.

    Args:
      arrays: their names to arrays, see `read`.
      wanted: our names (`stem_conv/kernel`, of parameters and running statistics alike)
        to shapes.

    Returns:
      Our names to arrays, float32.

    Raises:
      ValueError: if arrays are missing or their shapes differ; the message names the
        network of the arrays.

    Example:
      >>> resnet({"conv1.weight": np.zeros((8, 3, 7, 7))}, {"stem_conv/kernel":
      ...     (7, 7, 3, 8)})["stem_conv/kernel"].shape
      (7, 7, 3, 8)
    """
    theirs = _without_prefix(arrays)
    made, wrong = {}, []
    for name, shape in wanted.items():
        key = _theirs(name)
        if key is None or key not in theirs:
            wrong.append(f"{key or name} is missing")
            continue
        array = np.asarray(theirs[key], np.float32)
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        if array.shape != tuple(shape):
            wrong.append(f"{key} has {list(array.shape)}, not {list(shape)}")
        made[name] = array
    used = {_theirs(name) for name in wanted}
    left = [
        name
        for name in theirs
        if name not in used
        and not name.startswith(("fc.", "head."))
        and not name.endswith("num_batches_tracked")
    ]
    wrong += [f"{name} has no place" for name in left]
    if wrong:
        said = "; ".join(wrong[:3]) + ("; ..." if len(wrong) > 3 else "")
        raise ValueError(
            f"they are those of {describe(theirs)}, a different network from this one "
            f"({said}; kernels as height, width, channels, features)"
        )
    return made
