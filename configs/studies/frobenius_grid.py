"""The Frobenius-norm method over its fields and interpretations of its source.

    python -m dirjax.sweep --config configs/studies/frobenius_grid.py:bikeshare,alpha \
        --workdir runs/alpha

The argument is a data set of `common.py` or another file in configs/, also a recipe
(`recipes/frobenius_agedb`), a question, and the preset to study (default:
frobenius; frobenius_order has no fine-tuning that could mask effects of the first
phase):

    phases       the split of the epochs, as in Figs. 1 and 2 of the paper's appendix;
                 with fit="sgd", whose epochs are those of phase 2
    alpha, beta  factors of L_OE in the ordinal penalty, and of the penalty (Figs. 3, 4)
    alpha_beta   both
    gamma        factor of the fine-tuning penalty, and none
    bins         width, and thus number, of label bins: those of `BINS`, otherwise 1, 2,
                 5 and 10 times that of the config. Shots change with it: compare `all`.
                 Ordering norms by bin demands larger norms for narrow bins. Not of
                 stsb, stsb_bilstm and nyud2: their shots are lists of bins of the
                 published width, and so are the bins that test pixels of nyud2 are
                 drawn from, so that even `all` would be of other pixels.
    prototypes   norm of a bin's mean feature in the batch, in a running mean or in the
                 whole training set, or mean of the norms in the batch, in all phases
    distance     distance of norms and labels in L_KL, absolute or squared
    readings     other details that the source leaves open

alpha, beta, alpha_beta and gamma use a separate seed, so that tuning does not use the
runs that `frobenius.py` reports. To compare on validation:

    python -m dirjax.report runs/alpha/*/*/*/seed_100 --split val
"""

from dirjax.configs import methods
from dirjax.configs.studies import common
from dirjax.configs.studies.frobenius import ORDER, TARGET

TUNED_ORDER = "stage.tune.objective.terms.norm_order"
DECADES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
# Question -> fields and values of a grid with one seed, for tuning.
GRIDS = {
    "alpha": ((f"{ORDER}.alpha", DECADES),),
    "beta": ((f"{ORDER}.weight", DECADES),),
    "alpha_beta": ((f"{ORDER}.weight", DECADES), (f"{ORDER}.alpha", DECADES)),
    "gamma": ((f"{TARGET}.weight", (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)),),
}
# Epochs of phases 1, 2 and 3 in per cent; the first is the example of the paper.
SPLITS = (
    (70, 20, 10),
    (80, 10, 10),
    (90, 5, 5),
    (60, 30, 10),
    (60, 20, 20),
    (50, 20, 30),
    (40, 20, 40),
)


def _in_all_phases(field, value):
    """A field of prototypes, set to one value in all terms that have it."""
    return {f"{part}.{field}": value for part in (ORDER, TARGET, TUNED_ORDER)}


# Question -> name of an arm -> its fields.
ARMS = {
    "phases": {
        "_".join(map(str, split)): {
            "phases.shares": tuple(share / 100 for share in split),
            f"{TARGET}.fit": "sgd",
        }
        for split in SPLITS
    },
    "prototypes": {
        "prototype": {},
        "mean_of_norms": _in_all_phases("reading", "mean_of_norms"),
        "running": _in_all_phases("source", "running"),
        "data": _in_all_phases("source", "data"),
    },
    "distance": {"absolute": {}, "squared": {f"{ORDER}.distance": "squared"}},
    "readings": {
        "default": {},
        "with_diagonal": {f"{ORDER}.pairs": "all"},
        "per_row": {f"{ORDER}.pairs": "rows"},
        "no_tightness": {f"{ORDER}.tightness": False},
        "all_predicted": {f"{TARGET}.targets": "all_predicted"},
        "sgd": {f"{TARGET}.fit": "sgd"},
        "no_target": {f"{TARGET}.weight": 0.0},
        "order_kept": {f"{TUNED_ORDER}.weight": methods.NORM_ORDER["weight"]},
    },
}
# Data set -> widths of label bins, in label units.
BINS = {
    "bikeshare": (5.0, 10.0, 20.0, 40.0),
    "diamonds": (100.0, 200.0, 400.0, 800.0),
    "mnist5k": (0.05, 0.1, 0.2, 0.5),
    "rotation": (1.0, 2.0, 5.0, 10.0),
    "utkface": (1.0, 2.0, 5.0, 10.0),
}
QUESTIONS = (*GRIDS, "bins", *ARMS)
# Preset -> path prefixes of those fields above that it has.
PARTS = {
    "frobenius": (ORDER, TARGET, TUNED_ORDER, "phases"),
    "frobenius_order": (ORDER,),
    "frobenius_tune": (TARGET, TUNED_ORDER, "phases"),
}


def _grid(dataset, question):
    if question != "bins":
        return GRIDS[question]
    widths = BINS.get(dataset)
    if widths is None:
        data = common.config(common.data(dataset)).data
        if len(data.shot_lists) or data.bin_width is None:
            why = "lists of bins as shots" if len(data.shot_lists) else "no bin width"
            raise ValueError(
                f"{dataset} has {why}, so its bins cannot be varied. Use another data "
                "set, or a config with data.bin_width, data.many and data.few."
            )
        widths = tuple(data.bin_width * times for times in (1, 2, 5, 10))
    return (("data.bin_width", widths),)


def _of(preset, fields):
    """Those of the fields that a preset has."""
    return {k: v for k, v in fields.items() if k.startswith(("data.", *PARTS[preset]))}


def get_config(arg="bikeshare,alpha"):
    """The study on DATASET,QUESTION[,PRESET]."""
    dataset, question, preset = common.parts(arg, "DATASET,QUESTION[,PRESET]")
    preset = preset or "frobenius"
    for name, known in ((question, QUESTIONS), (preset, PARTS)):
        if name not in known:
            raise ValueError(f"unknown {name!r}. Known: {', '.join(known)}.")
    study = common.data(dataset)
    study.base = ""
    if question in ARMS:
        # Skips arms of which the preset has no field.
        arms = {
            name: _of(preset, fields)
            for name, fields in ARMS[question].items()
            if not fields or _of(preset, fields)
        }
        asked = len(arms) > 1
        study.methods = tuple(arms)
        study.arguments = tuple((name, preset) for name in arms)
        study.method_fields = tuple(
            (name, field, value)
            for name, fields in arms.items()
            for field, value in fields.items()
        )
    else:
        study.methods = (preset,)
        study.grid = _grid(dataset, question)
        asked = len(_of(preset, dict(study.grid))) == len(study.grid)
        if question in GRIDS:
            study.seeds = (100,)
    if not asked:
        raise ValueError(f"{preset} has no field that {question} varies.")
    return study
