"""Training steps of dirjax against PyTorch, paired on one CPU.

    python benchmarks/train_step.py --torch-python path/to/python

Each case is one step of L1 regression with Adam in float32, on a batch that stays in
memory: the networks of the published results, and an MLP for tables. See README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
import tempfile

import _duel

THREADS = 2


@dataclasses.dataclass(frozen=True)
class Case:
    """One workload: a network, its batch, and the ratio to reach."""

    network: str
    batch: int
    goal: float
    side: int = 0  # of the square image in pixels; 0 for a table
    loop: bool = False  # the whole loop: batches drawn from 16,384 shuffled rows


CASES = {
    "resnet18": Case("resnet18", 64, 0.70, side=64),
    "resnet50": Case("resnet50", 32, 0.90, side=64),
    "mlp256": Case("mlp", 256, 2.0),
    "mlp1024": Case("mlp", 1024, 2.0),
    "mlp4096": Case("mlp", 4096, 1.5),
    "loop256": Case("mlp", 256, 1.5, loop=True),
    "loop1024": Case("mlp", 1024, 1.5, loop=True),
}
COLUMNS = 8  # of the table
ROWS = 16_384  # of the table, for the loop
WIDTH = 256  # of the two hidden layers of the MLP
STAGES = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


def serve_jax(case: Case) -> None:
    """Serves steps of dirjax's models: one jit, donated state."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    from dirjax.runtime import allocator

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


def serve_loop(case: Case) -> None:
    """Serves steps of dirjax as its loop does them: streams, stretches, metrics."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    from dirjax.runtime import startup

    startup.prepare()
    import jax
    import numpy as np

    from dirjax.cli import config_files
    from dirjax.config import frozen as config_lib
    from dirjax.training.batches import batches
    from dirjax.training.build import build
    from dirjax.training.stage_program import (
        begin,
        compiled_steps,
        seeds,
        stage_program,
    )

    values = np.random.default_rng(0).normal(size=(ROWS, COLUMNS))
    header = ",".join([*(f"x{i}" for i in range(COLUMNS)), "y"])
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "table.csv"
        table = np.column_stack([values, values.sum(1)])
        np.savetxt(file, table, delimiter=",", header=header, comments="")
        made = config_files.load("configs/bikeshare.py", "vanilla")
        for path, value in {
            "data.path": str(file),
            "data.label": "y",
            "data.split_cap": 0,
            "data.bin_width": 0.5,
            "data.label_range": None,
            "data.both": 0,
            "data.batch_size": case.batch,
            "model.encoder.width": WIDTH,
            "model.encoder.depth": 2,
            "model.encoder.embedding": "none",
            "model.encoder.dropout": 0.0,
            "stage.main.optimizer": "adam",
            "stage.main.weight_decay": 0.0,
            "stage.main.steps": 10**8,
        }.items():
            made.update_from_flattened_dict({path: value})
        run = build(config_lib.plain(made))
    program = stage_program(run, run.plan.stages[0])
    compiled, seed = compiled_steps(run, program), seeds(run)
    state, done = begin(run, program, None), 0
    stretches = batches(run, run.source.training, 0, program.stage.stop)

    def step(count):
        # Whole stretches: the rest of one is a debt that the next call pays.
        nonlocal state, done
        done += count
        while done > 0:
            _, size, batch = next(stretches)
            state, report = compiled(state, batch, np.int32(size), seed)
            jax.device_get(report)
            done -= size
        jax.block_until_ready(state)

    _duel.serve(step, units=case.batch, seconds=3.0)


def torch_network(case: Case):
    """The peer's network."""
    from torch import nn

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
        return resnet(STAGES[case.network], case.network == "resnet50")
    return nn.Sequential(
        nn.Linear(COLUMNS, WIDTH),
        nn.SiLU(),
        nn.Linear(WIDTH, WIDTH),
        nn.SiLU(),
        nn.Linear(WIDTH, 1),
    )


def serve_torch(case: Case) -> None:
    """Serves steps of plain PyTorch: eager, fused Adam."""
    import torch
    from torch import nn

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    network = torch_network(case)
    if case.side:
        inputs = torch.randn(case.batch, 3, case.side, case.side)
    else:
        inputs = torch.randn(case.batch, COLUMNS)
    labels = 100 * torch.rand(case.batch)
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def batches():
        while not case.loop:
            yield inputs, labels
        while True:
            order = torch.randperm(ROWS)
            for start in range(0, ROWS - case.batch + 1, case.batch):
                rows = order[start : start + case.batch]
                yield table[rows], targets[rows]

    if case.loop:
        table = torch.randn(ROWS, COLUMNS)
        targets = table.sum(1)
    source = batches()

    def step(count):
        total = 0.0
        for i in range(count):
            x, y = next(source)
            optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.l1_loss(network(x)[:, 0], y)
            loss.backward()
            optimizer.step()
            if case.loop and i % 50 == 0:
                total += loss.item()

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
        case = CASES[options.cases[0]]
        ours = serve_loop if case.loop else serve_jax
        {"jax": ours, "torch": serve_torch}[options.worker](case)
        return
    env = _duel.on_cpu(THREADS)
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
