"""AgeDB-DIR with ResNet-18: the Frobenius-norm paper (ICLR 2026 submission).

    python -m dirjax.main --config configs/recipes/frobenius_agedb.py:frobenius \
        --config.data.path=FOLDER --workdir runs/frobenius

The four models of its ablation, 100 epochs: 70 of ordered norms, 20 for the line and 10
of fine-tuning. Of its results only two numbers are to be had, from a review: an MAE of
7.35 on many and of 9.24 on few for `frobenius`, a single run. Factors are not
published; see docs/frobenius.md. Estimate, not measured, from 2,400 images a second of
training on one A100 in TF32: 0.2 hours for each.
"""

from dirjax.configs import agedb_dir
from dirjax.configs.recipes import rows

_LENGTH = {"stage.main.epochs": 100.0, "model.label_scaling": "deviation"}
ROWS = {
    method: (f"{method},resnet18", _LENGTH)
    for method in ("vanilla", "frobenius_order", "frobenius_tune", "frobenius")
}


def get_config(arg="frobenius"):
    """The config of ROW[,OPTION...]."""
    return rows.build(agedb_dir, ROWS, arg)
