"""Ablation of the Frobenius-norm method: the four models of the paper.

    python -m dirjax.sweep --config configs/studies/frobenius.py:bikeshare \
        --workdir runs/norms

The argument is a data set of `common.py`, or another file in configs/. The models are
plain training, ordered norms (phase 1), fine-tuning towards the line (phases 2 and 3),
and all phases. They train equally long on labels divided by their deviation but not
centred, since norms cannot follow centred labels. At the end, each run writes norms and
errors by label on training and test data, which the report plots.

Factors are those that `frobenius_grid.py` found best on validation, in this order: beta
and alpha of the ordered norms, then gamma of the fine-tuning.
"""

from dirjax.configs import methods
from dirjax.configs.studies import common

# Data set -> factors chosen on validation. Others: defaults of the presets.
TUNED = {
    "bikeshare": {"beta": 1.0, "alpha": 0.1, "gamma": 1e-3},
    "diamonds": {"beta": 1e-2, "alpha": 10.0, "gamma": 1e-2},
    "mnist5k": {"beta": 0.1, "alpha": 1.0, "gamma": 1e-2},
    "stsb": {"gamma": 1e-4},
    "utkface": {"beta": 1.0, "gamma": 1e-4},
}
ORDER = "objective.terms.norm_order"
TARGET = "stage.tune.objective.terms.norm_target"
METHODS = ("vanilla", "frobenius_order", "frobenius_tune", "frobenius")
LABELS = ("model.label_scaling", methods.FROM_ZERO["label_scaling"])


def tuned(dataset):
    """The factors alpha, beta and gamma for a data set."""
    order, target = methods.NORM_ORDER, methods.NORM_TARGET
    published = {"beta": order["weight"], "gamma": target["weight"]}
    return published | {"alpha": order["alpha"]} | TUNED.get(dataset, {})


def fields(dataset, methods=METHODS):
    """The fields of the methods with phases, for a data set."""
    factors = tuned(dataset)
    order = ((f"{ORDER}.weight", "beta"), (f"{ORDER}.alpha", "alpha"))
    target = ((f"{TARGET}.weight", "gamma"),)
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
    study.methods = METHODS
    study.fields = (*study.fields, LABELS, ("eval.features", True))
    study.method_fields = fields(dataset)
    return study
