"""Which method for my data? Seven methods with three seeds, compared with `vanilla`.

    python -m dirjax.sweep --config configs/studies/compare.py --workdir STUDY \\
        --config.data.path=my.csv --config.data.label=price

The report in STUDY/report has a sentence for each shot: which methods are better, worse
or undecided, and how many test rows or seeds would decide. All fields of `config.data`
work as for `configs/csv.py`. `--config.seeds=0,1,2,3,4` runs more seeds and keeps what
is finished; `--config.methods=vanilla,inv` names other methods. For other kinds
of data or a data set with its own config, name the config: `compare.py:images`,
`compare.py:bikeshare`.
"""

from dirjax.configs.studies import common

METHODS = ("vanilla", "sqinv", "lds", "sqinv_lds", "sqinv_lds_fds", "rrt", "ssir")


def get_config(config="csv"):
    """The study on the data of configs/CONFIG.py."""
    study = common.data(config)
    study.methods = METHODS
    study.seeds = (0, 1, 2)
    return study
