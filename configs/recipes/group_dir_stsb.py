"""STS-B-DIR with BiLSTM and GloVe: Table 3 of Group-DIR (AAAI 2025), methods in dirjax.

    python -m dirjax.main --config configs/recipes/group_dir_stsb.py:group_dir \
        --config.data.path=FOLDER --workdir runs/group_dir

Published MSE, then Pearson's correlation in per cent, each for all, many, median and
few; single runs:

    vanilla          0.974 0.851 1.520 0.984   74.2  72.0  62.7  75.2
    rrt              0.964 0.842 1.503 0.978   74.5  72.4  62.3  75.4
    rrt_lds          0.916 0.817 1.344 0.945   75.7  73.5  64.1  76.6
    focal_r          0.951 0.843 1.425 0.957   74.6  72.3  61.8  76.4
    inv              1.005 0.894 1.482 1.046   72.8  70.3  62.5  73.2
    lds              0.914 0.819 1.31  0.95    75.6  73.4  63.8  76.2
    lds_fds          0.907 0.802 1.363 0.942   76.0  74.0  65.2  76.6
    group_dir        0.887 0.897 0.891 0.779   77.4  74.9  70.7  85.8

Only the last row is that paper's own run; it and further rows with groups are those of
`group_dir_agedb.py`, with the benchmark's learning rate of 1e-4, which is in the
paper's grid. Training time, estimated from 10 steps per second on one A100, not
measured: 0.3 hours for vanilla, 0.5 with groups.
"""

from dirjax.configs import stsb_dir
from dirjax.configs.recipes import groups, rows

METHODS = ("vanilla", "rrt", "rrt_lds", "focal_r", "inv", "lds", "lds_fds")
ROWS = {method: (method, {}) for method in METHODS} | groups.rows(1e-4)


def get_config(arg="group_dir"):
    """The config of ROW[,OPTION...]."""
    return rows.build(stsb_dir, ROWS, arg)
