"""Four methods on four UCI data sets and California housing, with five seeds.

    python -m dirjax.sweep --config configs/studies/tables.py --workdir runs/tables

The files are read from the folder DIRJAX_DATA. Results are in docs/results.md.
"""

from dirjax.configs.studies import common


def get_config():
    """The study."""
    study = common.get_config()
    study.configs = (
        "configs/abalone.py",
        "configs/airfoil.py",
        "configs/concrete.py",
        "configs/real_estate.py",
        "configs/california_housing.py",
    )
    study.methods = ("vanilla", "sqinv_lds", "fds", "focal_r")
    return study
