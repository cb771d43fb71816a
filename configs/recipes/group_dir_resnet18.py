"""AgeDB-DIR with ResNet-18: Table 1 of Group-DIR's supplementary.

    python -m dirjax.main --config configs/recipes/group_dir_resnet18.py:group_dir \
        --config.data.path=FOLDER --workdir runs/group_dir

The table compares criteria of the classification by their group accuracy; its numbers
are lost. A run's group accuracy by shot is in result.json and in the report. Training
is that of `group_dir_agedb.py`; `vanilla` is that of the benchmark. Training time,
estimated from 2,400 images per second on one A100 in TF32, not measured: 0.1 hours for
vanilla, 1 with groups.
"""

from dirjax.configs import agedb_dir
from dirjax.configs.recipes import groups, rows

ROWS = {"vanilla": ("vanilla,resnet18", {})} | groups.rows(1e-3, "resnet18")


def get_config(arg="group_dir"):
    """The config of ROW[,OPTION...]."""
    return rows.build(agedb_dir, ROWS, arg)
