"""Group-DIR, the criteria it is compared with, and plain regression.

    python -m dirjax.sweep --config configs/studies/group.py:bikeshare --workdir runs/a

The argument after the colon is a data set of `common.py`, or another file in configs/.
The base has the squared error, as the experts have; `vanilla` has the loss of the data
set. Methods with groups train twice as long: their contrast comes first.
"""

from dirjax.configs.studies import common

BASE = "vanilla_mse"
ARGUMENTS = ((BASE, "vanilla,mse"),)
CRITERIA = ("group_ce", "group_la", "group_etf", "group_dir")


def get_config(dataset="bikeshare"):
    """The study on one data set."""
    study = common.data(dataset)
    study.methods = (BASE, "vanilla", *CRITERIA)
    study.arguments = ARGUMENTS
    study.base = BASE
    return study
