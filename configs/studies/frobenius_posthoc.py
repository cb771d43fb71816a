"""Phases 2 and 3 of the Frobenius method after finished runs of other methods.

    python -m dirjax.sweep --config configs/studies/frobenius_posthoc.py:bikeshare \
        --workdir runs/posthoc

The argument is a data set of `common.py`, or another file in configs/. For each of
`BASES`: the method itself, its runs fine-tuned with `norm_target` (`BASE_norms`), and a
control that trains equally long without it (`BASE_longer`). Fine-tuning takes a tenth
of the epochs of the base.

With `,gamma` after the data set, `vanilla` is fine-tuned with `norm_target` over
factors of the penalty, none and 1e-4 to 1, with separate seeds: how the default
was chosen, on bikeshare. To compare on validation:

    python -m dirjax.report runs/posthoc --split val
"""

from dirjax.configs import methods
from dirjax.configs.studies import common, frobenius

BASES = ("vanilla", "sqinv_lds")
TARGET = "objective.terms.norm_target"
GAMMA = f"{TARGET}.weight"


GAMMAS = (0.0, 1e-4, 3e-4, 1e-3, 1e-2, 1e-1, 1.0)
TUNING = (100, 101)


def get_config(arg="bikeshare"):
    """The study on DATASET[,gamma]."""
    dataset, _, question = arg.partition(",")
    common.chosen("question", question, ("", "gamma"))
    study = common.data(dataset)
    epochs = dict(study.fields).get("stage.main.epochs")
    study.fields = (frobenius.LABELS,)
    names, arguments, starts, fields = [], [], [], []
    factors = frobenius.tuned(dataset)
    for base in BASES:
        names += [base, f"{base}_norms", f"{base}_longer"]
        if epochs is not None:
            fields.append((base, "stage.main.epochs", epochs))
        for name, gamma in ((f"{base}_norms", factors["gamma"]), (f"{base}_longer", 0)):
            arguments.append((name, "frobenius_posthoc"))
            starts.append((name, base))
            fields.append((name, GAMMA, float(gamma)))
            fields.append((name, f"{TARGET}.unit", factors["unit"]))
            if epochs is not None:
                share = methods.SHARES["tune"]
                fields.append((name, "stage.tune.epochs", share * epochs))
    study.methods, study.arguments = tuple(names), tuple(arguments)
    study.starts, study.method_fields = tuple(starts), tuple(fields)
    if question:
        _over_gamma(study)
    return study


def _over_gamma(study):
    """Leaves `vanilla` and its fine-tuning, over factors in the preset's unit."""
    kept = ("vanilla", "vanilla_norms")
    study.methods, study.seeds = kept, TUNING
    study.arguments = tuple(a for a in study.arguments if a[0] in kept)
    study.starts = tuple(s for s in study.starts if s[0] in kept)
    study.method_fields = tuple(
        f
        for f in study.method_fields
        if f[0] in kept and not f[1].startswith(f"{TARGET}.")
    )
    study.method_grids = (("vanilla", ()), ("vanilla_norms", ((GAMMA, GAMMAS),)))
