"""The Frobenius-norm method taken apart: the four models of the paper's ablation.

    python -m dirjax.sweep --config configs/studies/frobenius.py:bikeshare \
        --workdir runs/norms

The argument is a data set of `common.py`, or another file in configs/. Plain training,
ordered norms (phase 1), fine-tuning towards the line (phases 2 and 3), and all. They
have the same length and the same labels, over their deviation and not centred, without
which norms do not follow the label. Runs end with the norms and errors of each label,
on training and on test data, which the report draws.
"""

from dirjax.configs import methods
from dirjax.configs.studies import common

METHODS = ("vanilla", "frobenius_order", "frobenius_tune", "frobenius")
LABELS = ("model.label_scaling", methods.FROM_ZERO["label_scaling"])


def get_config(dataset="bikeshare"):
    """The study on one data set."""
    study = common.data(dataset)
    study.methods = METHODS
    study.fields = (*study.fields, LABELS, ("eval.features", True))
    return study
