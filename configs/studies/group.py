"""Group-DIR, its alternative criteria, and plain regression.

    python -m dirjax.sweep --config configs/studies/group.py:bikeshare --workdir runs/a

The argument after the colon is a data set of `common.py`, or another file in configs/.
The base uses the squared error, like the experts; `vanilla` uses the loss of the data
set. Methods with groups train longer because of their contrastive stage. Its length,
the number of groups and other fields of `TUNED` are those that `group_grid.py` found
best for group_dir on validation.
"""

from dirjax.configs.studies import common

BASE = "vanilla_mse"
ARGUMENTS = ((BASE, "vanilla,mse"),)
CRITERIA = ("group_ce", "group_la", "group_etf", "group_dir")
TERM = "objective.terms.group_dir"
CONTRAST = "stage.contrast.objective.terms.group_contrast"
FIELDS = {
    "epochs": "stage.contrast.epochs",
    "num": "groups.num",
    "temperature": f"{CONTRAST}.temperature",
    "lambda1": f"{TERM}.lambda1",
    "lambda2": f"{TERM}.lambda2",
    "start": "model.head_options.start",
}
# Data set -> values of `FIELDS` from validation, where they were looked for. Others: as
# in the presets.
TUNED = {
    "bikeshare": {"epochs": 150.0, "num": 40},
    "diamonds": {"epochs": 0.75, "num": 20},
    "mnist5k": {"epochs": 24.0, "num": 40},
    "stsb": {"epochs": 0.6, "num": 10},
    "utkface": {"epochs": 0.9, "num": 20},
}


def tuned(dataset, methods=CRITERIA):
    """The fields of methods with groups, for a data set."""
    return tuple(
        (method, FIELDS[name], value)
        for method in methods
        for name, value in TUNED.get(dataset, {}).items()
    )


def get_config(dataset="bikeshare"):
    """The study on one data set."""
    study = common.data(dataset)
    study.methods = (BASE, "vanilla", *CRITERIA)
    study.arguments = ARGUMENTS
    study.method_fields = tuned(dataset)
    study.base = BASE
    return study
