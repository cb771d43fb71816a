"""Group contrast, loss and gradient: dirjax, the formula as it stands, and PyTorch.

    python benchmarks/group_contrast.py --torch-python path/to/python

Three ways to the same numbers, for N rows of 512 features in ten groups, in float32:

- `grouped`: `objectives/group_contrast.py`, sums by group.
- `formula`: all triples (i, j, k) of the formula at once, in JAX. N x N x N numbers.
- `torch`: a loop over the columns with N x N numbers each, kept for the gradient, as
  public code of Rank-N-Contrast has it; with groups in place of labels.

The last two stop at the sizes that their memory allows. See README.md.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import _duel
import numpy as np

DIM, GROUPS, TEMPERATURE = 512, 10, 2.5
# Largest number of rows of each way.
LARGEST = {"grouped": 16384, "formula": 256, "torch": 1024}
SIZES = (64, 256, 1024, 4096, 8192)


def batch(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Features `[n, DIM]` and groups `[n]` with a long tail."""
    rng = np.random.default_rng(0)
    groups = np.minimum(rng.geometric(0.3, size=n) - 1, GROUPS - 1)
    return np.float32(rng.normal(size=(n, DIM))), np.int32(groups)


def serve_jax(way: str, n: int) -> None:
    """Serves one of the two ways in JAX."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    from dirjax.runtime import allocator

    allocator.tune_allocator()
    import jax
    import jax.numpy as jnp

    from dirjax.objectives import group_contrast

    def grouped(features, groups):
        return group_contrast.group_contrast_loss(
            features, groups, num_groups=GROUPS, temperature=TEMPERATURE
        )

    def formula(features, groups):
        unit = features / jnp.linalg.norm(features, axis=1, keepdims=True)
        squares = jnp.sum((unit[:, None] - unit[None]) ** 2, axis=2)
        other = ~jnp.eye(n, dtype=bool)
        far = jnp.sqrt(jnp.where(other, squares, 1.0))
        similarity = jnp.where(other, jnp.exp(-far / TEMPERATURE), 0.0)
        gap = jnp.abs(groups[:, None] - groups[None])
        # [i, j, k]: whether k is at least as far from i as j is.
        counts = gap[:, None, :] >= gap[:, :, None]
        total = jnp.sum(jnp.where(counts, similarity[:, None, :], 0.0), axis=2)
        logs = jnp.log(jnp.where(other, similarity / total, 1.0))
        return -jnp.sum(logs) / (n * (n - 1))

    features, groups = jax.device_put(batch(n))
    function = jax.value_and_grad({"grouped": grouped, "formula": formula}[way])
    compiled = jax.jit(function).lower(features, groups).compile()
    before = _duel.peak()
    value, _ = jax.block_until_ready(compiled(features, groups))

    def step(count):
        for _ in range(count):
            out = compiled(features, groups)
        jax.block_until_ready(out)

    _duel.serve_loss(step, value=float(value), rows=n, before=before)


def serve_torch(n: int, threads: int) -> None:
    """Serves the loop over columns in PyTorch, eager."""
    import torch

    torch.set_num_threads(threads)
    features, groups = map(torch.from_numpy, batch(n))
    features.requires_grad_()
    other = ~torch.eye(n, dtype=torch.bool)

    def off_diagonal(x):
        return x[other].view(n, n - 1)

    def loss():
        unit = torch.nn.functional.normalize(features, dim=1)
        far = off_diagonal((unit[:, None] - unit[None]).norm(dim=2))
        logits = -far / TEMPERATURE
        logits = logits - logits.max(dim=1, keepdim=True).values.detach()
        gap = off_diagonal((groups[:, None] - groups[None]).abs())
        similarity = logits.exp()
        total = 0.0
        for k in range(n - 1):
            counts = (gap >= gap[:, k : k + 1]).float()
            logs = logits[:, k] - (counts * similarity).sum(dim=1).log()
            total = total - logs.sum()
        return total / (n * (n - 1))

    def step(count):
        for _ in range(count):
            features.grad = None
            loss().backward()

    before = _duel.peak()
    value = loss()
    value.backward()
    value = value.item()
    _duel.serve_loss(step, value=value, rows=n, before=before)


def main() -> None:
    """Runs the sizes, or one worker."""
    parser = _duel.options(__doc__.splitlines()[0], rounds=5)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--worker", choices=tuple(LARGEST), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _duel.pin(options.threads)
        if options.worker == "torch":
            serve_torch(options.sizes[0], options.threads)
        else:
            serve_jax(options.worker, options.sizes[0])
        return
    env = _duel.on_cpu(options.threads)
    print("rows   way            ms  time over grouped (low-high)    MiB  loss")
    for n in options.sizes:
        commands = {}
        for way, largest in LARGEST.items():
            python = options.torch_python if way == "torch" else sys.executable
            if n <= largest and python:
                worker = [__file__, "--sizes", str(n), "--worker", way]
                commands[way] = [python, *worker, "--threads", str(options.threads)]
        result = _duel.duel(commands, rounds=options.rounds, env=env)
        for way, found in result.items():
            span = _duel.over(found, 8)
            print(
                f"{n:5d}  {way:8s} {1e3 * n / found['rate']:9.2f}  {span:28s}"
                f" {found['memory']:7.1f}  {found['value']:.6f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
