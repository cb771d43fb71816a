"""Losses over pairs, partners and label statistics: dirjax and public code's way.

    python benchmarks/losses.py --torch-python path/to/python

For N rows of 512 features with whole labels of 20 to 100 in float32, on the CPU, each
loss against eager PyTorch with the structure of the code that its authors published,
written for this benchmark:

- `ranksim`: a loop over rows, each ranked by two sorts; blackbox gradient.
- `rnc`: a loop over columns with N x N numbers each, kept for the gradient.
- `conr`, `bmc`: N x N arrays at once. (`conr` with the denominators of that code.)

Two more have no gradient:

- `c_mixup`: partners for all N rows, preparation included, against a table of N x N
  probabilities and a draw for each row, in numpy.
- `fds`: statistics of 12,000 x 2,048 features by label, smoothed, as at the end of an
  epoch, against a loop over labels in PyTorch.

The share is that of floating-point operations, as the compiler counts them, in what
products of 1,024 x 1,024 matrices reach on the same cores. Without --torch-python only
dirjax is timed, and a line says so. See README.md.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time

import _duel
import numpy as np

DIM = 512
LOSSES = ("ranksim", "rnc", "conr", "bmc", "c_mixup", "fds")
SIZES = (64, 256, 1024, 4096)
# Those of a case that has its own.
OWN_SIZES = {"fds": (12_000,)}
WIDE, NUM_LABELS = 2048, 81
BANDWIDTH = 2.0
# The loop over columns keeps N^3 numbers: 17 GB at 1024 rows.
LARGEST = {("rnc", "torch"): 1024}


def batch(n: int, dim: int = DIM) -> dict[str, np.ndarray]:
    """Features, labels with a long tail, and predictions."""
    rng = np.random.default_rng(0)
    labels = np.float32(20 + np.minimum(rng.geometric(0.05, size=n), 80))
    return {
        "features": np.float32(rng.normal(size=(n, dim))),
        "labels": labels,
        "predictions": np.float32(labels + 5 * rng.normal(size=n)),
    }


def window() -> np.ndarray:
    """The usual five taps, a Gaussian of deviation 2."""
    taps = np.exp(-0.5 * (np.arange(-2, 3) / 2.0) ** 2)
    return taps / taps.sum()


def matmul_peak(jax) -> float:
    """Floating-point operations a second in products of 1,024 x 1,024 matrices."""
    side = 1024
    x = jax.random.normal(jax.random.key(0), (side, side))
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(x))
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        jax.block_until_ready(product(x))
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def serve_partners(n: int) -> None:
    """Serves partners for all rows, by dirjax."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    from dirjax.data import partners

    labels = batch(n)["labels"]
    rows = np.arange(n)

    def step(count):
        for number in range(count):
            found = partners.Partners(labels, BANDWIDTH).draw(rows, seed=0, step=number)
        return found

    before = _duel.peak()
    gap = np.abs(labels[step(1)] - labels).mean()
    _duel.serve_loss(step, value=float(gap), rows=n, before=before)


def serve_table(n: int) -> None:
    """Serves partners for all rows, by a table of all pairs."""
    labels = np.float64(batch(n)["labels"])
    rng = np.random.default_rng(0)

    def step(count):
        for _ in range(count):
            gaps = (labels[:, None] - labels[None]) / BANDWIDTH
            rates = np.exp(-0.5 * gaps**2)
            rates /= rates.sum(axis=1, keepdims=True)
            found = np.array([rng.choice(n, p=rate) for rate in rates])
        return found

    before = _duel.peak()
    gap = np.abs(labels[step(1)] - labels).mean()
    _duel.serve_loss(step, value=float(gap), rows=n, before=before)


def serve_jax(loss: str, n: int) -> None:
    """Serves a loss of dirjax."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    from dirjax.runtime import allocator

    allocator.tune_allocator()
    import jax

    from dirjax.features import moments, smoothing
    from dirjax.objectives import balanced_mse, conr, rank_n_contrast, ranksim

    def of(features, predictions, labels):
        if loss == "ranksim":
            return 100 * ranksim.ranksim_loss(features, labels)
        if loss == "rnc":
            return rank_n_contrast.rank_n_contrast_loss(features, labels)
        if loss == "conr":
            return conr.conr_loss(features, predictions, labels, denominator="code")
        return balanced_mse.bmc_loss(predictions, labels, sigma=8.0).mean()

    def of_labels(features, predictions, labels):
        del predictions
        bins = labels.astype(int) - 20
        found = moments.from_batch(
            features, bins, jax.numpy.ones(n), num_bins=NUM_LABELS
        )
        old = smoothing.identity(NUM_LABELS, WIDE)
        return smoothing.update(old, found, window=window()).smoothed_mean.sum()

    given = batch(n, WIDE if loss == "fds" else DIM)
    arrays = [jax.device_put(given[k]) for k in ("features", "predictions", "labels")]
    at = 1 if loss == "bmc" else 0
    call = of_labels if loss == "fds" else jax.value_and_grad(of, at)
    compiled = jax.jit(call).lower(*arrays).compile()
    before = _duel.peak()
    value = jax.block_until_ready(compiled(*arrays))
    value = value if loss == "fds" else value[0]

    def step(count):
        for _ in range(count):
            out = compiled(*arrays)
        jax.block_until_ready(out)

    operations = {
        "operations": compiled.cost_analysis()["flops"],
        "peak": matmul_peak(jax),
    }
    _duel.serve_loss(step, value=float(value), rows=n, before=before, facts=operations)


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


def torch_statistics(torch, features, labels):
    """The sum of smoothed means, by a loop over labels."""
    mean, var = torch.zeros(NUM_LABELS, WIDE), torch.ones(NUM_LABELS, WIDE)
    for label in torch.unique(labels):
        mine = features[labels == label]
        mean[int(label) - 20] = mine.mean(dim=0)
        var[int(label) - 20] = mine.var(dim=0, unbiased=len(mine) > 1)
    taps = torch.from_numpy(np.float32(window()))[None, None]
    smooth = [
        torch.nn.functional.conv1d(
            torch.nn.functional.pad(x[:, None].permute(2, 1, 0), (2, 2), "reflect"),
            taps,
        )
        for x in (mean, var)
    ]
    return smooth[0].sum()


def serve_torch(loss: str, n: int, threads: int) -> None:
    """Serves a loss in PyTorch, eager."""
    import torch

    torch.set_num_threads(threads)
    wide = WIDE if loss == "fds" else DIM
    given = {k: torch.from_numpy(x) for k, x in batch(n, wide).items()}
    trained = given["predictions" if loss == "bmc" else "features"].requires_grad_()
    of = torch_losses(torch).get(loss)

    def once():
        if of is None:
            with torch.no_grad():
                return torch_statistics(
                    torch, given["features"], given["labels"]
                ).item()
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
        if loss == "c_mixup":
            (serve_table if options.worker == "torch" else serve_partners)(size)
        elif options.worker == "torch":
            serve_torch(loss, size, options.threads)
        else:
            serve_jax(loss, size)
        return
    if not options.torch_python:
        print("Only dirjax: give an interpreter with PyTorch by --torch-python.")
    env = _duel.on_cpu(options.threads)
    print(
        "loss      rows  way           ms  time over dirjax (low-high)    MiB  share  "
        "value"
    )
    for loss in options.losses:
        for n in OWN_SIZES.get(loss, options.sizes):
            commands = {}
            for way in ("dirjax", "torch"):
                python = options.torch_python if way == "torch" else sys.executable
                if python and n <= LARGEST.get((loss, way), n):
                    flags = ["--losses", loss, "--sizes", str(n), "--worker", way]
                    commands[way] = [python, __file__, *flags]
                    commands[way] += ["--threads", str(options.threads)]
            result = _duel.duel(commands, rounds=options.rounds, env=env)
            for way, found in result.items():
                span, share = _duel.over(found, 8), ""
                if "peak" in found:
                    rate = found["operations"] * found["rate"] / n
                    share = f"{rate / found['peak']:.2f}"
                print(
                    f"{loss:8s} {n:5d}  {way:6s} {1e3 * n / found['rate']:9.2f}"
                    f"  {span:28s} {found['memory']:7.1f}  {share:5s}"
                    f"  {found['value']:.6g}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
