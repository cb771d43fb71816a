"""AgeDB-DIR with ResNet-18: the Frobenius-norm paper (ICLR 2026 submission).

    python -m dirjax.main --config configs/recipes/frobenius_agedb.py:frobenius \
        --config.data.path=FOLDER --workdir runs/frobenius

The four models of its ablation, 100 epochs: 70 of ordered norms, 20 for the line and 10
of fine-tuning. Only two of its results are known, from a review: an MAE of 7.35 on many
and 9.24 on few for a single run of `frobenius`. Factors are not published; see
docs/frobenius.md. Training time, estimated from 2,400 images per second on one A100 in
TF32, not measured: 0.2 hours each.
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
