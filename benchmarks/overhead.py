"""What the training loop costs beside the compiled step it calls.

    python benchmarks/overhead.py [--rounds 5]

Two recipes: the default MLP on bikeshare and the small ResNet on the digits. A round
times (a) the bare step: one jitted call a step with a donated state, on a batch that
stays on the device; (b) a whole run, from its first to its last line of training
metrics: batches gathered and moved, metrics logged, without evaluations. Printed are
medians over the rounds and the median of the ratios (b) / (a), pair by pair.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import tempfile
import time

from dirjax.runtime import startup

STEPS = {"bikeshare": 2000, "mnist5k": 160}
GOALS = {"bikeshare": 1.15, "mnist5k": 1.05}


def config(name: str, **fields):
    from dirjax.cli import config_files
    from dirjax.config import frozen as config_lib

    made = config_files.load(f"configs/{name}.py", "vanilla")
    every = STEPS[name] // 20
    fields = {
        "stage.main.steps": STEPS[name] + every,
        "eval.every": 0.0,
        "checkpoint.every": 0.0,
        "log.every": every,
        **fields,
    }
    for path, value in fields.items():
        made.update_from_flattened_dict({path: value})
    return config_lib.plain(made)


def bare(name: str):
    """Returns a function that times `n` bare steps, in seconds a step."""
    import jax
    import numpy as np

    from dirjax.training.batches import batches
    from dirjax.training.build import build
    from dirjax.training.stage_program import (
        begin,
        compiled_steps,
        seeds,
        stage_program,
    )

    run = build(config(name, **{"train.chunk": 1}))
    program = stage_program(run, run.plan.stages[0])
    steps, seed = compiled_steps(run, program), seeds(run)
    state = begin(run, program, None)
    _, _, batch = next(batches(run, run.source.training, 0, 1))
    one = jax.device_put(np.int32(1))

    def measure(n: int) -> float:
        nonlocal state
        start = time.perf_counter()
        for _ in range(n):
            state, _ = steps(state, batch, one, seed)
        jax.block_until_ready(state)
        return (time.perf_counter() - start) / n

    measure(10)
    return measure


def whole(name: str) -> float:
    """Seconds a step of a whole run, its first stretch left out."""
    from dirjax import train

    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder)
        train.train_and_evaluate(config(name), workdir, show="nothing")
        lines = (workdir / "metrics.jsonl").read_text().splitlines()
        records = [r for r in map(json.loads, lines) if r["split"] == "train"]
    first, last = records[0], records[-1]
    return (last["time"] - first["time"]) / (last["step"] - first["step"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recipes", nargs="+", default=list(STEPS), choices=STEPS)
    args = parser.parse_args()
    startup.quiet()
    startup.prepare()
    for name in args.recipes:
        measure = bare(name)
        pairs = [(measure(STEPS[name]), whole(name)) for _ in range(args.rounds)]
        ratio = statistics.median(b / a for a, b in pairs)
        a, b = (statistics.median(x) for x in zip(*pairs, strict=True))
        print(
            f"{name:<10} bare {1e3 * a:8.3f} ms/step   loop {1e3 * b:8.3f} ms/step   "
            f"ratio {ratio:5.3f} (goal <= {GOALS[name]}, {args.rounds} rounds)"
        )


if __name__ == "__main__":
    main()
