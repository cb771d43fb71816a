"""Losses over pairs, value and gradient: dirjax and PyTorch as public code has it.

    python benchmarks/losses.py --torch-python path/to/python

For N rows of 512 features with whole labels of 20 to 100 in float32, on the CPU, each
loss against eager PyTorch with the structure of the code that its authors published,
written for this benchmark:

- `ranksim`: a loop over rows, each ranked by two sorts; blackbox gradient.
- `rnc`: a loop over columns with N x N numbers each, kept for the gradient.
- `conr`, `bmc`: N x N arrays at once. (`conr` with the denominators of that code.)

Without --torch-python only dirjax is timed, and a line says so. See README.md.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import _duel
import numpy as np

DIM = 512
LOSSES = ("ranksim", "rnc", "conr", "bmc")
SIZES = (64, 256, 1024, 4096)
# The loop over columns keeps N^3 numbers: 17 GB at 1024 rows.
LARGEST = {("rnc", "torch"): 1024}


def batch(n: int) -> dict[str, np.ndarray]:
    """Features, labels with a long tail, and predictions."""
    rng = np.random.default_rng(0)
    labels = np.float32(20 + np.minimum(rng.geometric(0.05, size=n), 80))
    return {
        "features": np.float32(rng.normal(size=(n, DIM))),
        "labels": labels,
        "predictions": np.float32(labels + 5 * rng.normal(size=n)),
    }


def serve_jax(loss: str, n: int) -> None:
    """Serves a loss of dirjax."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    from dirjax.runtime import allocator

    allocator.tune_allocator()
    import jax

    from dirjax.objectives import balanced_mse, conr, rank_n_contrast, ranksim

    def of(features, predictions, labels):
        if loss == "ranksim":
            return 100 * ranksim.ranksim_loss(features, labels)
        if loss == "rnc":
            return rank_n_contrast.rank_n_contrast_loss(features, labels)
        if loss == "conr":
            return conr.conr_loss(features, predictions, labels, denominator="code")
        return balanced_mse.bmc_loss(predictions, labels, sigma=8.0).mean()

    given = batch(n)
    arrays = [jax.device_put(given[k]) for k in ("features", "predictions", "labels")]
    at = 1 if loss == "bmc" else 0
    compiled = jax.jit(jax.value_and_grad(of, at)).lower(*arrays).compile()
    before = _duel.peak()
    value, _ = jax.block_until_ready(compiled(*arrays))

    def step(count):
        for _ in range(count):
            out = compiled(*arrays)
        jax.block_until_ready(out)

    _duel.serve_loss(step, value=float(value), rows=n, before=before)


def torch_losses(torch):
    """name -> `(features, predictions, labels) -> loss` in PyTorch."""
    functional = torch.nn.functional

    def ranks(rows):
        order = torch.argsort(rows, dim=1, stable=True).flip(1)
        return (torch.argsort(order, dim=1) + 1).float() / rows.shape[1]

    class Ranker(torch.autograd.Function):
        @staticmethod
        def forward(ctx, rows):
            found = ranks(rows)
            ctx.save_for_backward(rows, found)
            return found

        @staticmethod
        def backward(ctx, slope):
            rows, found = ctx.saved_tensors
            return -(found - ranks(rows + 2.0 * slope)) / (2.0 + 1e-8)

    def ranksim(features, predictions, labels):
        del predictions
        units = functional.normalize(features, dim=1)
        cosines, total = units @ units.T, 0.0
        for i in range(len(labels)):
            wanted = ranks(-(labels[i] - labels).abs()[None])
            total = total + functional.mse_loss(Ranker.apply(cosines[i][None]), wanted)
        return 100 * total

    def rnc(features, predictions, labels):
        del predictions
        n = len(labels)
        other = ~torch.eye(n, dtype=torch.bool)

        def off_diagonal(x):
            return x[other].view(n, n - 1)

        far = (features[:, None] - features[None]).norm(dim=2)
        logits = off_diagonal(-far / 2.0)
        gaps = off_diagonal((labels[:, None] - labels[None]).abs())
        similarity, total = logits.exp(), 0.0
        for k in range(n - 1):
            counts = (gaps >= gaps[:, k : k + 1]).float()
            logs = logits[:, k] - (counts * similarity).sum(dim=1).log()
            total = total - logs.sum()
        return total / (n * (n - 1))

    def conr(features, predictions, labels):
        units = functional.normalize(features, dim=1)
        logits = units @ units.T / 0.07
        apart = (labels[:, None] - labels[None]).abs()
        alike = (predictions[:, None] - predictions[None]).abs() <= 1.0
        positive = (apart <= 1.0).float()
        negative = (apart > 1.0).float() * alike.float()
        positive = positive * (1 - torch.eye(len(labels)))
        count = positive.sum(1)
        push = negative * (0.01 * apart).exp()
        below = (positive * logits).exp().sum(1) + (push * logits.exp()).sum(1)
        logs = positive * (logits - below.log()[:, None])
        counts = (negative.sum(1) > 0) & (count > 0)
        return -(counts * logs.sum(1) / count.clamp(min=1)).mean()

    def bmc(features, predictions, labels):
        del features
        logits = -((predictions[:, None] - labels[None]) ** 2) / (2 * 64.0)
        return functional.cross_entropy(logits, torch.arange(len(labels))) * 128.0

    return {"ranksim": ranksim, "rnc": rnc, "conr": conr, "bmc": bmc}


def serve_torch(loss: str, n: int, threads: int) -> None:
    """Serves a loss in PyTorch, eager."""
    import torch

    torch.set_num_threads(threads)
    given = {k: torch.from_numpy(x) for k, x in batch(n).items()}
    trained = given["predictions" if loss == "bmc" else "features"].requires_grad_()
    of = torch_losses(torch)[loss]

    def once():
        trained.grad = None
        value = of(given["features"], given["predictions"], given["labels"])
        value.backward()
        return value.item()

    def step(count):
        for _ in range(count):
            once()

    before = _duel.peak()
    _duel.serve_loss(step, value=once(), rows=n, before=before)


def main() -> None:
    """Runs the losses and sizes, or one worker."""
    parser = _duel.options(__doc__.splitlines()[0], rounds=5)
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=LOSSES)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--worker", choices=("dirjax", "torch"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _duel.pin(options.threads)
        loss, size = options.losses[0], options.sizes[0]
        if options.worker == "torch":
            serve_torch(loss, size, options.threads)
        else:
            serve_jax(loss, size)
        return
    if not options.torch_python:
        print("Only dirjax: give an interpreter with PyTorch by --torch-python.")
    env = _duel.on_cpu(options.threads)
    print("loss     rows  way           ms  time over dirjax (low-high)    MiB  value")
    for loss in options.losses:
        for n in options.sizes:
            commands = {}
            for way in ("dirjax", "torch"):
                python = options.torch_python if way == "torch" else sys.executable
                if python and n <= LARGEST.get((loss, way), n):
                    flags = ["--losses", loss, "--sizes", str(n), "--worker", way]
                    commands[way] = [python, __file__, *flags]
                    commands[way] += ["--threads", str(options.threads)]
            result = _duel.duel(commands, rounds=options.rounds, env=env)
            for way, found in result.items():
                span = _duel.over(found, 8)
                print(
                    f"{loss:8s} {n:4d}  {way:6s} {1e3 * n / found['rate']:9.2f}"
                    f"  {span:28s} {found['memory']:7.1f}  {found['value']:.6g}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
