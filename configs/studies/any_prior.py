"""One model for any label distribution, beside methods that change training.

    python -m dirjax.sweep --config configs/studies/any_prior.py:tables --workdir runs/a

Every run keeps its frontier: its error by shot, corrected after training for balanced
labels with strengths from 0 to 1; the report draws one curve a method. The argument is
a data set of `common.py`, `tables` for seven tables, or another file in configs/.
Results are in docs/any-prior.md.
"""

from dirjax.configs.studies import common

TABLES = (
    "bikeshare",
    "abalone",
    "california_housing",
    "concrete",
    "airfoil",
    "real_estate",
    "diamonds",
)
METHODS = ("vanilla", "histogram", "gaussian", "beta_nll", "quantile")
# What they are compared with, and what weights in training leave to correct.
OTHERS = ("inv", "sqinv", "lds", "sqinv_lds_fds", "rrt", "ssir", "group_dir")
BOTH = ("sqinv_histogram", "sqinv_beta_nll")


# Five networks in one program: name -> preset.
TOGETHER = {f"{m}_members": m for m in ("vanilla", "histogram", "beta_nll")}


def get_config(dataset="bikeshare"):
    """The study on one data set, or on all tables."""
    study = common.data("bikeshare" if dataset == "tables" else dataset)
    if dataset == "tables":
        study.configs = tuple(f"configs/{name}.py" for name in TABLES)
        study.fields = ()
    study.methods = (*METHODS, *OTHERS, *BOTH, *TOGETHER)
    study.arguments = tuple(TOGETHER.items())
    study.method_fields = tuple((m, "model.members", 5) for m in TOGETHER)
    study.seeds = (0, 1, 2, 3, 4)
    return study
