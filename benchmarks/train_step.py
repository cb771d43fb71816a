"""Training steps of dirjax against PyTorch, paired on one CPU.

    python benchmarks/train_step.py --torch-python path/to/python

Each case is one step of L1 regression with Adam in float32, on a batch that stays in
memory: the networks of the published results, and an MLP for tables. See README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import sys

import _duel

THREADS = 2


@dataclasses.dataclass(frozen=True)
class Case:
    """One workload: a network, its batch, and the ratio to reach."""

    network: str
    batch: int
    goal: float
    side: int = 0  # of the square image in pixels; 0 for a table


CASES = {
    "resnet18": Case("resnet18", 64, 0.70, side=64),
    "resnet50": Case("resnet50", 32, 0.90, side=64),
    "mlp256": Case("mlp", 256, 2.0),
    "mlp1024": Case("mlp", 1024, 2.0),
    "mlp4096": Case("mlp", 4096, 1.5),
}
COLUMNS = 8  # of the table
WIDTH = 256  # of the two hidden layers of the MLP
STAGES = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


def serve_jax(case: Case) -> None:
    """Serves steps of dirjax's models: one jit, donated state."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    from dirjax import allocator

    allocator.tune_allocator()
    import jax
    import jax.numpy as jnp
    import optax

    from dirjax import models

    key = jax.random.key(0)
    if case.side:
        network = models.build(case.network)
        inputs = jax.random.normal(key, (case.batch, case.side, case.side, 3))
    else:
        encoder = {"numeric": COLUMNS, "width": WIDTH, "depth": 2}
        encoder |= {"embedding": "none", "dropout": 0.0}
        network = models.build("mlp", encoder=encoder)
        inputs = {"numeric": jax.random.normal(key, (case.batch, COLUMNS))}
    labels = 100 * jax.random.uniform(key, (case.batch,))
    optimizer = optax.adam(1e-3)
    params, statistics = jax.jit(network.init)(key, inputs)

    def train_step(state, inputs, labels):
        params, statistics, moments = state

        def loss(params):
            features, updated = network.encode(params, statistics, inputs, train=True)
            predictions = network.head(params, features).prediction
            return jnp.abs(predictions - labels).mean(), updated

        gradient, statistics = jax.grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(gradient, moments)
        return optax.apply_updates(params, updates), dict(statistics), moments

    compiled = jax.jit(train_step, donate_argnums=0)
    state = (params, statistics, optimizer.init(params))

    def step(count):
        nonlocal state
        for _ in range(count):
            state = compiled(state, inputs, labels)
        jax.block_until_ready(state)

    _duel.serve(step, units=case.batch)


def serve_torch(case: Case) -> None:
    """Serves steps of plain PyTorch: eager, fused Adam."""
    import torch
    from torch import nn

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)

    def conv(channels, features, size, stride=1):
        return nn.Conv2d(channels, features, size, stride, size // 2, bias=False)

    class Block(nn.Module):
        def __init__(self, channels, width, stride, bottleneck):
            super().__init__()
            features = width * (4 if bottleneck else 1)
            if bottleneck:
                plan = ((width, 1, 1), (width, 3, stride), (features, 1, 1))
            else:
                plan = ((width, 3, stride), (features, 3, 1))
            layers, inner = [], channels
            for outer, size, step in plan:
                layers += [conv(inner, outer, size, step), nn.BatchNorm2d(outer)]
                layers += [nn.ReLU(inplace=True)]
                inner = outer
            self.path = nn.Sequential(*layers[:-1])
            self.skip = nn.Identity()
            if stride != 1 or channels != features:
                self.skip = nn.Sequential(
                    conv(channels, features, 1, stride), nn.BatchNorm2d(features)
                )
            self.activation = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.activation(self.path(x) + self.skip(x))

    def resnet(stages, bottleneck):
        layers = [conv(3, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(3, 2, 1)]
        channels = 64
        for stage, blocks in enumerate(stages):
            for block in range(blocks):
                width, stride = 64 * 2**stage, 2 if stage and not block else 1
                layers.append(Block(channels, width, stride, bottleneck))
                channels = width * (4 if bottleneck else 1)
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1)]
        return nn.Sequential(*layers)

    if case.side:
        network = resnet(STAGES[case.network], case.network == "resnet50")
        inputs = torch.randn(case.batch, 3, case.side, case.side)
    else:
        network = nn.Sequential(
            nn.Linear(COLUMNS, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, 1),
        )
        inputs = torch.randn(case.batch, COLUMNS)
    labels = 100 * torch.rand(case.batch)
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def step(count):
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            predictions = network(inputs)[:, 0]
            nn.functional.l1_loss(predictions, labels).backward()
            optimizer.step()

    _duel.serve(step, units=case.batch)


def main() -> None:
    """Runs the cases, or one worker."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--torch-python",
        default=sys.executable,
        help="interpreter that has torch and numpy; default this one",
    )
    parser.add_argument("--worker", choices=("jax", "torch"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve = {"jax": serve_jax, "torch": serve_torch}[options.worker]
        serve(CASES[options.cases[0]])
        return
    env = dict(os.environ, JAX_PLATFORMS="cpu", OMP_NUM_THREADS=str(THREADS))
    print("case      torch/s  dirjax/s  ratio  (low-high)    goal  first step, s")
    for name in options.cases:
        worker = [__file__, "--cases", name, "--worker"]
        result = _duel.duel(
            {
                "torch": [options.torch_python, *worker, "torch"],
                "jax": [sys.executable, *worker, "jax"],
            },
            rounds=options.rounds,
            env=env,
        )
        base, ours = result["torch"], result["jax"]
        print(
            f"{name:9s} {base['rate']:7.0f} {ours['rate']:9.0f} {ours['ratio']:6.2f}"
            f"  ({ours['low']:.2f}-{ours['high']:.2f}) {CASES[name].goal:7.2f}"
            f"  {base['first']:.1f} / {ours['first']:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
