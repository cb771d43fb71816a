"""IMDB-WIKI-DIR with ResNet-50: Table 2 of Group-DIR (AAAI 2025), methods in dirjax.

    python -m dirjax.main --config configs/recipes/group_dir_imdb_wiki.py:group_dir \
        --config.data.path=FOLDER --workdir runs/group_dir

Published MAE, then GM, each for all, many, median and few; single runs:

    vanilla          8.06  7.23 15.12 26.33   4.57  4.17 10.59 20.46
    rrt_lds          7.79  7.08 13.76 24.64   4.34  4.02  8.72 16.92
    sqinv_lds        7.83  7.31 12.43 22.51   4.42  4.19  7.00 13.94
    focal_r_lds      7.90  7.10 14.72 25.84   4.47  4.09 10.11 19.14
    group_dir        7.22  6.71 11.42 20.25   3.88  3.68  5.74 11.13

Only the last row is that paper's own run; it and further rows with groups are those of
`group_dir_agedb.py`, with a learning rate of 1e-4, the largest of the paper's grid for
this data set. Training time, estimated from 800 images per second on one A100 in TF32,
not measured: 6 hours for vanilla, 46 with groups.
"""

from dirjax.configs import imdb_wiki_dir
from dirjax.configs.recipes import groups, rows

METHODS = ("vanilla", "rrt_lds", "sqinv_lds", "focal_r_lds")
ROWS = {method: (method, {}) for method in METHODS} | groups.rows(1e-4)


def get_config(arg="group_dir"):
    """The config of ROW[,OPTION...]."""
    return rows.build(imdb_wiki_dir, ROWS, arg)
