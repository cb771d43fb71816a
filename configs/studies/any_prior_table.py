"""The tables of docs/any-prior.md, from a finished sweep of `any_prior.py`.

    python -m dirjax.sweep --config configs/studies/any_prior_table.py \\
        --config.runs=runs/a --workdir runs/a_tables

Every method as trained, with the correction that validation chooses, and the mean of
its runs as one model, beside scikit-learn's gradient boosting on tables.
"""

from ml_collections import ConfigDict


def get_config():
    """The study."""
    study = ConfigDict()
    study.program = "dirjax.projects.any_prior.table"
    # Folder of the sweep, and the method that others are compared with.
    study.runs = ""
    study.base = "vanilla"
    return study
