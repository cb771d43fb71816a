"""Group-DIR, its alternative criteria, and plain regression.

    python -m dirjax.sweep --config configs/studies/group.py:bikeshare --workdir runs/a

The argument after the colon is a data set of `common.py`, or another file in configs/.
The base uses the squared error, like the experts; `vanilla` uses the loss of the data
set. Methods with groups train longer because of their contrastive stage. Its length and
the number of groups are those that `group_grid.py` found best for group_dir on
validation.
"""

from dirjax.configs.studies import common

BASE = "vanilla_mse"
ARGUMENTS = ((BASE, "vanilla,mse"),)
CRITERIA = ("group_ce", "group_la", "group_etf", "group_dir")
# Data set -> contrastive epochs, number of groups. Others: as in the presets.
TUNED = {
    "bikeshare": (50.0, 20),
    "diamonds": (0.75, 20),
    "mnist5k": (1.2, 5),
    "stsb": (0.6, 10),
    "utkface": (0.9, 20),
}


def tuned(dataset, methods=CRITERIA):
    """The fields of methods with groups, for a data set."""
    fields = ("stage.contrast.epochs", "groups.num")
    return tuple(
        (method, field, value)
        for method in methods
        for field, value in zip(fields, TUNED.get(dataset, ()), strict=False)
    )


def get_config(dataset="bikeshare"):
    """The study on one data set."""
    study = common.data(dataset)
    study.methods = (BASE, "vanilla", *CRITERIA)
    study.arguments = ARGUMENTS
    study.method_fields = tuned(dataset)
    study.base = BASE
    return study
