"""IMDB-WIKI-DIR with ResNet-50: the first columns of Table 1 of the SSIR paper.

    python -m dirjax.main --config configs/recipes/ssir_table1.py:sqinv_ssir \
        --config.data.path=FOLDER --workdir runs/sqinv_ssir

Published MAE, then GM, each for all, many, median and few; single runs:

    vanilla          8.06  7.23 15.12 26.33   4.57  4.17 10.59 20.46
    smoter           8.14  7.42 14.15 25.28   4.64  4.30  9.05 19.46
    smogn            8.03  7.30 14.02 25.93   4.63  4.30  8.74 20.12
    smogn_lds_fds    7.97  7.38 13.22 22.95   4.59  4.39  7.84 14.94
    rrt              7.81  7.07 14.06 25.13   4.35  4.03  8.19 16.96
    rrt_lds_fds      7.65  7.06 12.41 23.51   4.31  4.07  7.17 15.44
    inv              8.17  7.64 12.46 22.83   4.70  4.51  6.94 13.78
    sqinv            7.87  7.24 12.44 22.76   4.47  4.22  7.25 15.10
    sqinv_lds_fds    7.78  7.20 12.61 22.19   4.37  4.12  7.39 12.61
    sqinv_ssir       7.63  7.06 12.17 23.10   4.26  4.02  6.82 14.93
    focal_r          7.97  7.12 15.14 26.96   4.49  4.10 10.37 21.20
    focal_r_lds_fds  7.88  7.10 14.08 25.75   4.47  4.11  9.32 18.67
    focal_r_ssir     7.88  7.08 14.75 25.16   4.39  4.01 10.20 18.04

Only the two rows of SSIR are that paper's own runs. The published rows of SMOTER and
SMOGN resample images; these resample features for a second stage of the head. Which
ages were rare there is not published. Here it is those whose density is below half of
the largest, at both ends; the box plot, the default of the packages, finds none among
the young of AgeDB-DIR (--config.stage.head.resample.relevance=boxplot). There are about
100 few-shot test images. Training time, estimated from 800 images per second on one
A100 in TF32, not measured: 6 hours for vanilla, 8 with a second stage or FDS, 18 with
SSIR.
"""

from dirjax.configs import imdb_wiki_dir
from dirjax.configs.recipes import rows

ROWS = {
    "vanilla": ("vanilla", {}),
    "smoter": ("rrt_smoter", {}),
    "smogn": ("rrt_smogn", {}),
    "smogn_lds_fds": ("rrt_smogn_lds_fds", {}),
    "rrt": ("rrt", {}),
    "rrt_lds_fds": ("rrt_lds_fds", {}),
    "inv": ("inv", {}),
    "sqinv": ("sqinv", {}),
    "sqinv_lds_fds": ("sqinv_lds_fds", {}),
    "sqinv_ssir": ("sqinv_ssir", {"objective.ssir.lam": 0.1}),
    "focal_r": ("focal_r", {}),
    "focal_r_lds_fds": ("focal_r_lds_fds", {}),
    "focal_r_ssir": ("focal_r_ssir", {"objective.ssir.lam": 0.1}),
}


def get_config(arg="sqinv_ssir"):
    """The config of ROW[,OPTION...]."""
    return rows.build(imdb_wiki_dir, ROWS, arg)
