"""SMOTER and SMOGN: dirjax against the packages smogn and resreg.

    python -m venv peers
    peers/bin/pip install smogn resreg 'numpy<2' 'pandas<2.2'
    python benchmarks/resampling.py --peer-python peers/bin/python

Each size is resampled by both on the same rows: eight numeric columns (`--columns`) and
a label with a long right tail, of which dirjax takes the 17 % for rare that the box
plot gives a relevance of half and more, and resreg the last 8 %. `smogn` has loops in
Python and is timed once, at 2,000 rows, after the first call of dirjax; times of dirjax
and resreg are medians of five. Beside wall time stands processor time of all threads,
which other processes on the machine disturb less. smogn 0.1.2 does not run with numpy
2. See README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

import numpy as np

SIZES = (2_000, 10_000, 50_000)


def table(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and labels."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, columns))
    return X, np.exp(0.5 * X[:, 0] + 0.8 * rng.normal(size=rows))


def median_time(call, rounds: int = 5) -> tuple[float, float]:
    """Median wall and processor time in seconds."""
    walls, busy = [], []
    for _ in range(rounds):
        start, used = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - start)
        busy.append(time.process_time() - used)
    return statistics.median(walls), statistics.median(busy)


def ours(rows: int, columns: int) -> dict[str, tuple[float, float]]:
    """Seconds of dirjax."""
    from dirjax import resampling

    X, y = table(rows, columns)
    resampling.smogn(X[:500], y[:500])  # imports scipy
    return {
        name: median_time(lambda f=f: f(X, y))
        for name, f in (("smoter", resampling.smoter), ("smogn", resampling.smogn))
    }


def peer(rows: int, columns: int, with_smogn: bool) -> dict[str, tuple[float, float]]:
    """Seconds of the packages; runs in their environment."""
    import pandas as pd
    import resreg

    X, y = table(rows, columns)
    relevance = (y > np.quantile(y, 0.92)).astype(float)
    found = {
        "smoter": median_time(
            lambda: resreg.smoter(
                X, y, relevance=relevance, relevance_threshold=0.5, k=5, over="balance"
            )
        )
    }
    if with_smogn:
        import smogn

        frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(columns)]).assign(y=y)
        found["smogn"] = median_time(lambda: smogn.smoter(data=frame, y="y"), rounds=1)
    return found


def main() -> None:
    """Prints one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer-python", default=None)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        print("\n" + json.dumps(peer(args.serve, args.columns, args.serve <= SIZES[0])))
        return
    for rows in args.sizes:
        mine, theirs = ours(rows, args.columns), {}
        if args.peer_python:
            command = [args.peer_python, __file__, "--serve", str(rows)]
            command += ["--columns", str(args.columns)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            theirs = json.loads(done.stdout.splitlines()[-1])
        for name, (wall, busy) in mine.items():
            line = f"{rows:>7,} rows  {name:<7}{wall:8.3f} s (processor {busy:.3f})"
            if name in theirs:
                package = "resreg" if name == "smoter" else "smogn"
                other, used = theirs[name]
                line += f"  {package} {other:8.2f} s ({used:.2f})"
                line += f"  {other / wall:6.1f} times ({used / busy:.1f})"
            print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
