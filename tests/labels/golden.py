"""Golden cases of weights and kernels from public code."""

import pathlib

import numpy as np
import pytest

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"

KERNELS = ("gaussian", "triang", "laplace")

SCHEMES = ("inverse", "sqrt_inverse")


def cases(name):
    with np.load(GOLDEN / f"{name}.npz") as data:
        found = [{} for _ in range(int(data["n_cases"]))]
        for key in data.files:
            if key != "n_cases":
                found[int(key[1:3])][key[4:]] = data[key]
    return [pytest.param(case, id=str(number)) for number, case in enumerate(found)]


def kernel_options(case):
    if not int(case.get("p.lds", 1)):
        return {}
    names = {"size": int(case["p.ks"]), "sigma": float(case["p.sigma"])}
    return {"kernel": KERNELS[int(case["p.kernel"])], **names}
