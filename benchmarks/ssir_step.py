"""A training step of SSIR against one of VANILLA, and against PyTorch, on one CPU.

    python benchmarks/ssir_step.py --torch-python path/to/python

Cases are those of `train_step.py`. All of dirjax's steps are the real ones, from
`step.make_train_step`, with L1 and Adam in float32. The peer is SSIR with two noise
steps as one would first write it in PyTorch; without --torch-python there is none.
See README.md.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import _duel
import train_step

CASES = ("mlp256", "mlp1024", "resnet18")
# Settings of the wrapper, None for VANILLA, which is the base of the others.
METHODS = {
    "vanilla": None,
    "random": {"noise": "random"},
    "one": {"n_steps": 1},
    "two": {"n_steps": 2},
}
GOALS = {"one": 2.35, "two": 3.1}  # time over VANILLA
SECONDS = {"mlp256": 1.5, "mlp1024": 1.5, "resnet18": 4.0}  # of a round
EPSILON, LAM, WIDTH = 1e-3, 0.1, 1.0  # WIDTH of a bin, in label units


def serve_jax(case: train_step.Case, method: str, seconds: float) -> None:
    """Serves steps of dirjax, with the cost of the compiled program."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    from dirjax.runtime import allocator

    allocator.tune_allocator()
    import jax
    import jax.numpy as jnp
    import numpy as np

    from dirjax import labels, models, objectives, optimizers
    from dirjax.training import train_step as step_lib

    rng = np.random.default_rng(0)
    if case.side:
        network = models.build(case.network, input_mean=0.5, input_std=0.5)
        shape = (case.batch, case.side, case.side, 3)
        inputs = np.float32(rng.uniform(-1, 1, shape))
    else:
        encoder = {"numeric": train_step.COLUMNS, "width": train_step.WIDTH, "depth": 2}
        encoder |= {"embedding": "none", "dropout": 0.0}
        network = models.build("mlp", encoder=encoder)
        inputs = np.float32(rng.normal(size=(case.batch, train_step.COLUMNS)))
        inputs = {"numeric": inputs}
    label = np.float32(100 * rng.uniform(size=case.batch))
    spec = labels.spec(label, bin_width=WIDTH, label_range=(0.0, 100.0), many=20, few=2)
    ones = np.ones(case.batch, np.float32)
    batch = {
        "inputs": inputs,
        "label": label,
        "bin": spec.bins.index(label),
        "weight": ones,
        "mask": ones,
        "index": np.arange(case.batch, dtype=np.int32),
    }
    settings = METHODS[method]
    wrappers = () if settings is None else ("ssir",)
    settings = {"ssir": {"epsilon": EPSILON, "lam": LAM, **(settings or {})}}
    objective = objectives.from_config({"l1": {}}, wrappers, settings)
    tx = optimizers.make("adam", 1e-3)

    def start(key):
        params, statistics = network.init(key, inputs)
        variables = objective.init(key, spec)
        tree = {"model": params, "objective": variables.params}
        return step_lib.TrainState(
            jnp.int32(0), tree, statistics, variables.state, tx.init(tree), {}, {}
        )

    state = jax.jit(start)(jax.random.key(0))
    state = jax.tree.map(jnp.array, state)
    batch = jax.device_put(batch)
    train = step_lib.make_train_step(network, objective, tx, seed=0)
    compiled = jax.jit(train, donate_argnums=0).lower(state, batch).compile()

    def forward(params, inputs):
        features, _ = network.encode(params, state.model_state, inputs, train=True)
        return network.head(params, features).prediction.sum()

    def flops(function):
        args = (state.params["model"], batch["inputs"])
        return jax.jit(function).lower(*args).compile().cost_analysis()["flops"]

    memory = compiled.memory_analysis()
    facts = {
        "flops": compiled.cost_analysis()["flops"],
        # What is donated is input and output at once.
        "memory": memory.temp_size_in_bytes
        + memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes,
    }
    if method == "vanilla":
        facts["forward"] = flops(forward)
        facts["to_params"] = flops(jax.value_and_grad(forward))
        facts["to_inputs"] = flops(jax.value_and_grad(forward, argnums=1))

    def step(count):
        nonlocal state
        for _ in range(count):
            state, _ = compiled(state, batch)
        jax.block_until_ready(state)

    _duel.serve(step, units=case.batch, seconds=seconds, facts=facts)


def serve_torch(case: train_step.Case, seconds: float, threads: int) -> None:
    """Serves steps of plain PyTorch: eager, fused Adam.

    The noise is a function of its own, so it computes the clean predictions again.
    Gradients of the noise go to the inputs only. Batch norm is in training mode in
    all passes and its running averages move in each.
    """
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = train_step.torch_network(case).train()
    if case.side:
        inputs = 2 * torch.rand(case.batch, 3, case.side, case.side) - 1
        low, high = -1.0, 1.0
    else:
        inputs = torch.randn(case.batch, train_step.COLUMNS)
        low, high = -torch.inf, torch.inf
    labels = 100 * torch.rand(case.batch)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    distance = nn.functional.l1_loss
    lowest, highest = inputs.clamp(max=low), inputs.clamp(min=high)

    def predict(x):
        return network(x)[:, 0]

    def move(x, predictions, target):
        (slope,) = torch.autograd.grad(distance(predictions, target), x)
        length = slope.flatten(1).norm(dim=1).clamp(min=1e-12)
        noise = EPSILON * slope / length.view(-1, *[1] * (x.dim() - 1))
        return torch.clamp(inputs + noise, lowest, highest)

    def noisy_inputs():
        x = inputs.clone().requires_grad_()
        clean = predict(x)
        offsets = WIDTH * (2 * torch.rand_like(clean) - 1)
        moved = move(x, clean, clean.detach() + offsets).requires_grad_()
        return move(moved, predict(moved), clean.detach())

    def step(count):
        for _ in range(count):
            moved = noisy_inputs()
            optimizer.zero_grad(set_to_none=True)
            clean = predict(inputs)
            consistency = distance(clean, predict(moved))
            loss = distance(clean, labels) + LAM * consistency
            loss.backward()
            optimizer.step()

    _duel.serve(step, units=case.batch, seconds=seconds)


def least_flops(method: str, vanilla: dict[str, float]) -> float:
    """What a step costs at least, from the costs of separate passes.

    VANILLA, a noisy pass with its gradient to the parameters, and the noise: gradients
    to the inputs, the first of which has its forward pass from VANILLA.
    """
    least = vanilla["flops"]
    if method == "vanilla":
        return least
    least += vanilla["to_params"]
    steps = METHODS[method].get("n_steps", 0)
    if steps:
        least += steps * vanilla["to_inputs"] - vanilla["forward"]
    return least


def main() -> None:
    """Runs the cases, or one worker."""
    parser = _duel.options(
        __doc__.splitlines()[0], rounds=7, threads=train_step.THREADS
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--worker", choices=(*METHODS, "torch"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _duel.pin(options.threads)
        name = options.cases[0]
        case, seconds = train_step.CASES[name], SECONDS[name]
        if options.worker == "torch":
            serve_torch(case, seconds, options.threads)
        else:
            serve_jax(case, options.worker, seconds)
        return
    env = _duel.on_cpu(options.threads)
    print(
        "case      method   ms/step  time (low-high)     goal   CPU   flops  least   MB"
    )
    for name in options.cases:
        worker = [__file__, "--cases", name, "--threads", str(options.threads)]
        worker.append("--worker")
        commands = {m: [sys.executable, *worker, m] for m in METHODS}
        if options.torch_python:
            commands["torch"] = [options.torch_python, *worker, "torch"]
        result = _duel.duel(
            commands, rounds=options.rounds, env=env, against={"torch": "two"}
        )
        vanilla, batch = result["vanilla"], train_step.CASES[name].batch
        for method in METHODS:
            ours = result[method]
            goal = f"{GOALS[method]:.2f}" if method in GOALS else "   -"
            print(
                f"{name:9s} {method:8s} {1e3 * batch / ours['rate']:7.2f}"
                f"  {_duel.over(ours):18s}  {goal}  {1 / ours['cpu']:4.2f}"
                f"  {ours['flops'] / vanilla['flops']:.3f}"
                f"  {least_flops(method, vanilla) / vanilla['flops']:.3f}"
                f" {ours['memory'] / 2**20:4.0f}",
                flush=True,
            )
        if "torch" in result:
            peer = result["torch"]
            print(
                f"{name:9s} torch    {1e3 * batch / peer['rate']:7.2f}"
                f"  {_duel.over(peer):18s}        {1 / peer['cpu']:4.2f}"
                "  over two of dirjax",
                flush=True,
            )


if __name__ == "__main__":
    main()
