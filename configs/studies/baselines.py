"""The eleven baselines on three data sets with five seeds; see docs/results.md.

    python -m dirjax.sweep --config configs/studies/baselines.py --workdir runs/base

The argument after the colon selects one data set: `baselines.py:mnist5k`.
"""

from dirjax.configs.studies import common

DATASETS = ("bikeshare", "mnist5k", "diamonds")
METHODS = (
    "vanilla",
    "inv",
    "sqinv",
    "lds",
    "fds",
    "lds_fds",
    "sqinv_lds",
    "sqinv_lds_fds",
    "focal_r",
    "rrt",
    "rrt_lds_fds",
)


def get_config(dataset="all"):
    """The study on one data set, or on all."""
    if dataset not in ("all", *DATASETS):
        raise ValueError(f"unknown data set {dataset!r}. Known: all, {DATASETS}.")
    study = common.get_config()
    names = DATASETS if dataset == "all" else (dataset,)
    study.configs = tuple(f"configs/{name}.py" for name in names)
    study.methods = METHODS
    return study
