"""Reading a large CSV: dirjax beside pandas with scikit-learn's preprocessing.

    python benchmarks/reading.py [--rows 1000000] [--rounds 3]

Both read a file of 20 columns (15 numeric, 4 categorical, and the label; one has gaps),
standardise numbers, code categories and split the rows, each in a process of its own,
one after the other. Prints medians of the time, from a started interpreter to arrays,
of processor time, which other processes disturb less, and of the peak memory. Needs
pandas and scikit-learn.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np


def write(file: pathlib.Path, rows: int) -> None:
    """Writes the file in pieces."""
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(15)] + [f"c{i}" for i in range(4)] + ["y"]
    with file.open("w") as stream:
        stream.write(",".join(names) + "\n")
        for start in range(0, rows, 100_000):
            count = min(100_000, rows - start)
            x = rng.normal(size=(count, 15)).round(4).astype(str)
            x[rng.random(count) < 0.05, 3] = ""
            c = np.char.add(
                "v", rng.integers(0, (5, 20, 100, 1000), (count, 4)).astype(str)
            )
            y = rng.gamma(2, 10, count).round(2).astype(str)[:, None]
            lines = map(",".join, np.concatenate([x, c, y], axis=1).tolist())
            stream.write("\n".join(lines) + "\n")


def with_dirjax(file: str) -> list[tuple[int, ...]]:
    """Shapes of the inputs of each split."""
    from dirjax import data
    from dirjax.configs import csv

    fields = csv.get_config("vanilla").data.to_dict() | {"path": file, "label": "y"}
    source = data.from_config(fields | {"name": "reading"})
    return [s.inputs["numeric"].shape for s in source.splits.values()]


def with_pandas(file: str) -> list[tuple[int, ...]]:
    """The same with what people use otherwise."""
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder, RobustScaler

    table = pd.read_csv(file)
    parts = train_test_split(table, test_size=0.1, random_state=0)
    numbers = [c for c in table if c.startswith("x")]
    words = [c for c in table if c.startswith("c")]
    code = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    scale = make_pipeline(SimpleImputer(add_indicator=True), RobustScaler())
    fitted = make_column_transformer((scale, numbers), (code, words)).fit(parts[0])
    return [fitted.transform(part).astype(np.float32).shape for part in parts]


WAYS = {"dirjax": with_dirjax, "pandas": with_pandas}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        start = time.perf_counter()
        shapes = WAYS[options.way](options.file)
        seconds, work = time.perf_counter() - start, time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            json.dumps(
                {"seconds": seconds, "work": work, "GiB": peak, "shapes": shapes}
            )
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "large.csv"
        write(file, options.rows)
        found: dict[str, list[dict]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, rounds in found.items():
                command = [sys.executable, __file__, "--way", way, "--file", str(file)]
                done = subprocess.run(
                    command, check=True, capture_output=True, text=True
                )
                rounds.append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{options.rows:,} rows, median of {options.rounds} alternating rounds")
    for way, rounds in found.items():
        seconds, work, peak = (
            statistics.median(r[name] for r in rounds)
            for name in ("seconds", "work", "GiB")
        )
        said = f"{seconds:6.1f} s {work:6.1f} s of processors {peak:6.2f} GiB"
        print(f"{way:<8}{said}  {rounds[0]['shapes']}")


if __name__ == "__main__":
    main()
