"""What several networks cost in one program, beside one.

    python benchmarks/members.py [--members 10] [--rounds 5]

The default MLP on bikeshare, float32. A round times chunks of training steps as the
loop runs them, batches gathered and moved: (a) of one network, (b) of `model.members`
networks, each with the batches of its own seed. Printed are medians over the rounds of
milliseconds a step, of processor time, which other processes disturb less, and of the
ratios (b) / (a), pair by pair. The goal is 4 for ten members on two cores.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from dirjax.runtime import startup

CHUNKS = 8
GOAL = 4.0


def chunks(members: int) -> Callable[[], tuple[float, float]]:
    """Makes `() -> seconds of wall and processor time for a step`."""
    import jax
    import numpy as np

    from dirjax.cli import config_files
    from dirjax.config import frozen
    from dirjax.training.batches import batches
    from dirjax.training.build import build
    from dirjax.training.stage_program import (
        begin,
        compiled_steps,
        seeds,
        stage_program,
    )

    made = config_files.load("configs/bikeshare.py", "vanilla")
    made.model.members = members
    pieces = build(frozen.plain(made))
    program = stage_program(pieces, pieces.plan.stages[0])
    steps, seed = compiled_steps(pieces, program), seeds(pieces)
    state = begin(pieces, program, None)
    size = pieces.plan.chunk_steps
    number = jax.device_put(np.int32(size))

    def measure() -> tuple[float, float]:
        nonlocal state
        wall, processor = time.perf_counter(), time.process_time()
        for _, _, batch in batches(pieces, pieces.source.training, 0, CHUNKS * size):
            state, _ = steps(state, batch, number, seed)
        jax.block_until_ready(state)
        done = CHUNKS * size
        return (
            (time.perf_counter() - wall) / done,
            (time.process_time() - processor) / done,
        )

    measure()
    return measure


def main() -> None:
    """Times both sides in turn and prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    startup.prepare()
    one, several = chunks(1), chunks(options.members)
    pairs = [(one(), several()) for _ in range(options.rounds)]
    print(f"{'':<12}{'1':>10}{options.members:>10}{'ratio':>10}")
    for name, k in (("wall ms", 0), ("cpu ms", 1)):
        a, b = ([1e3 * pair[side][k] for pair in pairs] for side in (0, 1))
        ratio = statistics.median(y / x for x, y in zip(a, b, strict=True))
        print(
            f"{name:<12}{statistics.median(a):>10.3f}{statistics.median(b):>10.3f}"
            f"{ratio:>10.2f}"
        )
    print(f"goal: {GOAL:g} for ten members on two cores")


if __name__ == "__main__":
    main()
