"""Golden cases of losses from public code."""

import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def cases(name):
    """Each case of a file as a dict from `SECTION.NAME` to arrays."""
    with np.load(GOLDEN / f"{name}.npz") as data:
        found = [{} for _ in range(int(data["n_cases"]))]
        for key in data.files:
            if key != "n_cases":
                found[int(key[1:3])][key[4:]] = data[key]
    return found
