"""Ablation of the Frobenius-norm method: the four models of the paper.

    python -m dirjax.sweep --config configs/studies/frobenius.py:bikeshare \
        --workdir runs/norms

The argument is a data set of `common.py`, or another file in configs/. The models are
plain training, ordered norms (phase 1), fine-tuning towards the line (phases 2 and 3),
and all phases. They have equal lengths and labels divided by their deviation but not
centred, since norms cannot follow centred labels. At the end, each run writes norms and
errors by label on training and test data, which the report plots.

Phase 2 has a share of the length and takes no training step, and phase 3 has a
learning rate of its own, so there are controls of equal length: `tune_no_target` and
`frobenius_no_target` are the last two models without the penalty (gamma 0), and
`vanilla_80` is plain training for 80 % of the length.

Factors are those that `frobenius_grid.py` found best on validation, in this order: beta
and alpha of the ordered norms, then gamma of the fine-tuning.
"""

from dirjax.configs import methods
from dirjax.configs.studies import common

# Factors that were chosen with the author's penalty. `frobenius_grid.py` varies gamma
# in the unit of the presets, so that one found there goes here without this.
_AUTHOR = {"unit": "norm"}
# Data set -> factors chosen on validation. Others: defaults of the presets.
TUNED = {
    "bikeshare": {"beta": 1.0, "alpha": 0.1, "gamma": 1e-3, **_AUTHOR},
    "diamonds": {"beta": 1e-2, "alpha": 10.0, "gamma": 1e-2, **_AUTHOR},
    "mnist5k": {"beta": 0.1, "alpha": 1.0, "gamma": 1e-2, **_AUTHOR},
    "stsb": {"gamma": 1e-4, **_AUTHOR},
    "utkface": {"beta": 1.0, "gamma": 1e-4, **_AUTHOR},
}
ORDER = "objective.terms.norm_order"
TARGET = "stage.tune.objective.terms.norm_target"
METHODS = ("vanilla", "frobenius_order", "frobenius_tune", "frobenius")
# Control -> preset.
CONTROLS = {
    "tune_no_target": "frobenius_tune",
    "frobenius_no_target": "frobenius",
    "vanilla_80": "vanilla",
}
LABELS = ("model.label_scaling", methods.FROM_ZERO["label_scaling"])


def tuned(dataset):
    """The factors alpha, beta and gamma for a data set, and the unit of gamma."""
    order, target = methods.NORM_ORDER, methods.NORM_TARGET
    published = {"beta": order["weight"], "gamma": target["weight"]}
    own = {"alpha": order["alpha"], "unit": target["unit"]}
    return published | own | TUNED.get(dataset, {})


def fields(dataset, methods=METHODS):
    """The fields of the methods with phases, for a data set."""
    factors = tuned(dataset)
    order = ((f"{ORDER}.weight", "beta"), (f"{ORDER}.alpha", "alpha"))
    target = ((f"{TARGET}.weight", "gamma"), (f"{TARGET}.unit", "unit"))
    return tuple(
        (method, path, factors[name])
        for method, paths in (
            ("frobenius_order", order),
            ("frobenius_tune", target),
            ("frobenius", order + target),
        )
        for path, name in paths
        if method in methods
    )


def get_config(dataset="bikeshare"):
    """The study on one data set."""
    study = common.data(dataset)
    study.methods = (*METHODS, *CONTROLS)
    study.arguments = tuple(CONTROLS.items())
    path, (shorter,) = common.lengths(study, "main", (0.8,))
    study.fields = (*study.fields, LABELS, ("eval.features", True))
    of_models = fields(dataset)
    ordered = [(p, v) for m, p, v in of_models if m == "frobenius_order"]
    study.method_fields = (
        *of_models,
        *(("frobenius_no_target", *field) for field in ordered),
        ("frobenius_no_target", f"{TARGET}.weight", 0.0),
        ("tune_no_target", f"{TARGET}.weight", 0.0),
        ("vanilla_80", path, shorter),
    )
    return study
