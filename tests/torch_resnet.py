"""Residual networks in PyTorch with torchvision's names, as a reference.

Written from the paper and from torchvision's documented layout, in which the 3x3
convolution of a bottleneck has the stride. `python -m tests.torch_resnet FILE` writes
the golden file of `test_convert.py`.
"""

import sys

import numpy as np
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels, width, stride, bottleneck):
        super().__init__()
        out = width * 4 if bottleneck else width
        plan = (
            [(channels, width, 1, 1), (width, width, 3, stride), (width, out, 1, 1)]
            if bottleneck
            else [(channels, width, 3, stride), (width, out, 3, 1)]
        )
        self.number = len(plan)
        for i, (a, b, size, step) in enumerate(plan, 1):
            conv = nn.Conv2d(a, b, size, step, size // 2, bias=False)
            setattr(self, f"conv{i}", conv)
            setattr(self, f"bn{i}", nn.BatchNorm2d(b))
        self.downsample = None
        if stride != 1 or channels != out:
            skip = nn.Conv2d(channels, out, 1, stride, bias=False)
            self.downsample = nn.Sequential(skip, nn.BatchNorm2d(out))

    def forward(self, x):
        y = x
        for i in range(1, self.number + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = torch.relu(y) if i < self.number else y
        return torch.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet(nn.Module):
    def __init__(self, sizes, bottleneck, width=64, channels=3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 2, 1)
        inner, self.number = width, len(sizes)
        for k, blocks in enumerate(sizes):
            rows = []
            for i in range(blocks):
                stride = 2 if k and not i else 1
                rows.append(Block(inner, width * 2**k, stride, bottleneck))
                inner = width * 2**k * (4 if bottleneck else 1)
            setattr(self, f"layer{k + 1}", nn.Sequential(*rows))
        self.fc = nn.Linear(inner, 10)

    def forward(self, x):
        """Returns the features before the last layer."""
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        for k in range(self.number):
            x = getattr(self, f"layer{k + 1}")(x)
        return x.mean((2, 3))


def perturbed(model, seed):
    """The model in evaluation mode, with batch norms moved from initial values."""
    key = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for leaf in (module.weight.data, module.bias.data, module.running_mean):
                leaf.add_(0.2 * torch.randn(leaf.shape, generator=key))
            module.running_var.mul_(torch.rand(leaf.shape, generator=key) + 0.5)
    return model.eval()


def main(file):
    torch.manual_seed(0)
    out = {}
    images = torch.randn(2, 3, 40, 40)
    for name, sizes, bottleneck in (("basic", (2, 1), False), ("bottle", (1, 2), True)):
        model = perturbed(ResNet(sizes, bottleneck, width=4), 1)
        with torch.no_grad():
            out[f"{name}/features"] = model(images).numpy()
        for key, leaf in model.state_dict().items():
            out[f"{name}/weights/{key}"] = leaf.numpy()
    np.savez_compressed(file, images=images.permute(0, 2, 3, 1).numpy(), **out)


if __name__ == "__main__":
    main(sys.argv[1])
