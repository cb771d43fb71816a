"""AgeDB-DIR with ResNet-18: the Frobenius-norm paper (ICLR 2026 submission).

    python -m dirjax.main --config configs/recipes/frobenius_agedb.py:frobenius \
        --config.data.path=FOLDER --workdir runs/frobenius

The four models of its ablation, 100 epochs: 70 of ordered norms, 20 for the line and 10
of fine-tuning (`--config.phases.shares="(0.8, 0.1, 0.1)"` for others), with rates of
1e-3 and 5e-5 and a weight decay, whose size is that of the author's code, 1e-4. Three
controls have equal lengths: the last two models without the penalty on norms, and plain
training for 80 epochs. Only two of its results are known, from a review: an MAE of 7.35
on many and 9.24 on few for a single run of `frobenius`. Factors are not published; see
docs/frobenius.md. Training time, estimated from 2,400 images per second on one A100 in
TF32, not measured: 0.2 hours each.
"""

from dirjax.configs import agedb_dir
from dirjax.configs.recipes import norms, rows

ROWS = norms.rows(100.0, "resnet18")


def get_config(arg="frobenius"):
    """The config of ROW[,OPTION...]."""
    return rows.build(agedb_dir, ROWS, arg)
