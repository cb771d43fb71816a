"""Phases 2 and 3 of the Frobenius method after finished runs of other methods.

    python -m dirjax.sweep --config configs/studies/frobenius_posthoc.py:bikeshare \
        --workdir runs/posthoc

The argument is a data set of `common.py`, or another file in configs/. For each of
`BASES`: the method itself, its runs fine-tuned with `norm_target` (`BASE_norms`), and a
control that trains equally long without it (`BASE_longer`). Fine-tuning takes a tenth
of the epochs of the base.
"""

from dirjax.configs import methods
from dirjax.configs.studies import common, frobenius

BASES = ("vanilla", "sqinv_lds")
GAMMA = "objective.terms.norm_target.weight"


def get_config(dataset="bikeshare"):
    """The study on one data set."""
    study = common.data(dataset)
    epochs = dict(study.fields).get("stage.main.epochs")
    study.fields = (frobenius.LABELS,)
    names, arguments, starts, fields = [], [], [], []
    gamma = frobenius.tuned(dataset)["gamma"]
    for base in BASES:
        names += [base, f"{base}_norms", f"{base}_longer"]
        if epochs is not None:
            fields.append((base, "stage.main.epochs", epochs))
        for name, weight in ((f"{base}_norms", gamma), (f"{base}_longer", 0.0)):
            arguments.append((name, "frobenius_posthoc"))
            starts.append((name, base))
            fields.append((name, GAMMA, weight))
            if epochs is not None:
                share = methods.SHARES["tune"]
                fields.append((name, "stage.tune.epochs", share * epochs))
    study.methods, study.arguments = tuple(names), tuple(arguments)
    study.starts, study.method_fields = tuple(starts), tuple(fields)
    return study
