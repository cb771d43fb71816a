"""A table of your own: CSV (plain or gzip) or Parquet, one label column.

    python -m dirjax.main --config configs/csv.py:sqinv_lds --workdir runs/mine \
        --config.data.path=my.csv --config.data.label=price

Types of columns, missing values, bins, the batch and, where the file has no column
`split`, a balanced split are found by themselves; what was found is printed, and
`python -m dirjax.describe` shows it without training. The fields of `config.data`
override it: docs/own-data.md. 3,000 steps, a quarter of a minute on two cores.
"""

from dirjax.configs import common


def get_config(arg="sqinv_lds"):
    """The config for METHOD[,OPTION...]."""
    return common.finish(common.table(), arg)
