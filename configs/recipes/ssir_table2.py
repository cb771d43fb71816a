"""AgeDB-DIR with ResNet-50: Table 2 of the SSIR paper.

    python -m dirjax.main --config configs/recipes/ssir_table2.py:sqinv_ssir \
        --config.data.path=FOLDER --workdir runs/sqinv_ssir

Published MAE, then GM, each for all, many, median and few; single runs:

    vanilla          7.77  6.62  9.55 13.67   5.05  4.23  7.01 10.75
    smoter           8.16  7.39  8.65 12.28   5.21  4.65  5.69  8.49
    smogn            8.26  7.64  9.01 12.09   5.36  4.90  6.19  8.44
    smogn_lds_fds    7.90  7.32  8.51 11.19   4.98  4.64  5.41  7.35
    rrt              7.74  6.98  8.79 11.99   5.00  4.50  5.88  8.63
    rrt_lds_fds      7.66  6.99  8.60 11.32   4.80  4.42  5.53  6.99
    inv              7.97  7.31  8.81 11.62   5.05  4.64  5.75  8.20
    sqinv            7.81  7.16  8.80 11.20   4.99  4.57  5.73  7.77
    sqinv_lds_fds    7.55  7.01  8.24 10.79   4.72  4.36  5.45  6.79
    sqinv_ssir       7.49  6.81  8.54 11.04   4.61  4.28  5.12  6.92
    focal_r          7.64  6.68  9.22 13.00   4.90  4.26  6.39  9.52
    focal_r_lds_fds  7.47  6.69  8.30 12.55   4.71  4.25  5.36  8.59
    focal_r_ssir     7.35  6.53  8.51 11.81   4.62  4.09  5.64  8.46

Only the two rows of SSIR are that paper's own runs. SMOTER and SMOGN as
in Table 1. For inv and focal_r, `all` is not the weighted mean of the shots. Training
time, estimated from 800 images per second on one A100 in TF32, not measured: 0.4 hours
for vanilla, 0.5 with a second stage or FDS, 1.2 with SSIR.
"""

from dirjax.configs import agedb_dir
from dirjax.configs.recipes import rows, ssir_table1

# As on IMDB-WIKI-DIR, except for one factor.
ROWS = ssir_table1.ROWS | {
    "focal_r_ssir": ("focal_r_ssir", {"objective.ssir.lam": 1.0}),
}


def get_config(arg="sqinv_ssir"):
    """The config of ROW[,OPTION...]."""
    return rows.build(agedb_dir, ROWS, arg)
