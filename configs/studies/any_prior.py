"""One model for any label distribution, beside methods that change training.

    python -m dirjax.sweep --config configs/studies/any_prior.py:tables --workdir runs/a

Every run keeps its frontier: its error by shot, corrected after training for balanced
labels with strengths from 0 to 1; the report draws one curve a method. The argument is
a data set of `common.py`, `tables` for seven tables, or another file in configs/.
Results are in docs/any-prior.md.

A second argument asks about the histogram head alone, on seeds of its own:

    spread    of its targets, in bins; HL-Gauss advises 0.75
    bins      number of bins, of equal width or equal counts, beside the label bins
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

_NUMBERS = (10, 30, 100)
_BINS = (
    ("bins", 0),
    *(("equal", num) for num in _NUMBERS),
    *(("quantile", num) for num in _NUMBERS),
)
QUESTIONS = {
    "spread": (("objective.terms.histogram.spread", (0.5, 0.75, 1.0, 2.0, 4.0)),),
    "bins": ((("support.spacing", "support.num"), _BINS),),
}


# Five networks in one program: name -> preset.
TOGETHER = {f"{m}_members": m for m in ("vanilla", "histogram", "beta_nll")}


def get_config(arg="bikeshare"):
    """The study on DATASET[,QUESTION], or on all tables."""
    dataset, _, question = arg.partition(",")
    if question:
        common.chosen("question", question, QUESTIONS)
        study = common.data(dataset)
        study.methods = ("histogram",)
        study.grid = QUESTIONS[question]
        study.seeds = (100, 101, 102)
        study.base = ""
        return study
    study = common.data("bikeshare" if dataset == "tables" else dataset)
    if dataset == "tables":
        study.configs = tuple(f"configs/{name}.py" for name in TABLES)
        study.fields = ()
    study.methods = (*METHODS, *OTHERS, *BOTH, *TOGETHER)
    study.arguments = tuple(TOGETHER.items())
    study.method_fields = tuple((m, "model.members", 5) for m in TOGETHER)
    study.seeds = (0, 1, 2, 3, 4)
    return study
