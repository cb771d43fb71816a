"""Every preset on five data sets, tuned alike: what is better than plain training?

    python -m dirjax.sweep --config configs/studies/proof.py --workdir runs/proof

Two tables, turned digits, faces and sentence embeddings. Each method has three points,
of its main factor where it has one, otherwise of the learning rate (of its head, if
only that is retrained); the best point on validation with a seed of its own is run with
three seeds. Methods of several stages are as long as their presets make them, a third
longer for a retrained head, twice as long for a contrast first.
`--config.seeds=0,1,2,3,4` with `--config.methods=...` goes on with those within reach
of the best. The report ranks the methods over data sets, with the critical difference;
`--base sqinv` or `--base histogram_uniform` of `dirjax.report` compares with those. The
argument selects data sets: `proof.py:bikeshare,abalone`. Results are in
docs/results.md.
"""

from dirjax.configs import methods
from dirjax.configs.studies import common

DATASETS = ("bikeshare", "abalone", "rotation", "utkface", "stsb")
# Presets that are no methods: controls, and a stage for finished runs.
NOT = ("frobenius_posthoc", *(m for m in methods.PRESETS if "random_noise" in m))
# Only of tables.
TABLES = ("bikeshare", "abalone")
# A model that is corrected for balanced labels after training, beside it as trained.
CORRECTED = {"histogram_uniform": "histogram", "beta_nll_uniform": "beta_nll"}

# The learning rate at which plain training is best on validation, for the methods of
# which another factor is tuned: otherwise plain training, of which the rate is tuned,
# had an advantage. Other data sets: that of their config.
BEST_RATE = {"bikeshare": 3e-3, "abalone": 3e-3, "stsb": 1e-3}
# The learning rate that each data set has itself is among them.
_RATES = (1e-3, 2e-3, 3e-3)
RATE = ("stage.main.learning_rate", _RATES)
_SIGMA = (1.0, 2.0, 4.0)
_WEIGHT = (0.1, 1.0, 10.0)
_TERMS = "objective.terms"
_TUNE = "stage.tune.objective.terms"
_CONTRAST = "stage.contrast.objective.terms"
# Factors of methods; the first that a preset has is tuned, in the stages that have it.
FACTORS = (
    ("objective.ssir.lam", (0.1, 1.0, 4.0)),
    ("objective.c_mixup.bandwidth", (0.1, 0.25, 1.0)),
    ("objective.mixup.alpha", (0.5, 1.0, 2.0)),
    ("objective.bsam.rho", (0.02, 0.05, 0.2)),
    ("objective.vir.sigma", _SIGMA),
    ("groups.num", (5, 10, 20)),
    (f"{_TUNE}.norm_target.weight", (1e-4, 1e-3, 1e-2)),
    (f"{_TERMS}.norm_order.weight", (0.01, 0.1, 1.0)),
    (f"{_TERMS}.ordinal_entropy.weight", (0.01, 0.1, 1.0)),
    (f"{_TERMS}.ranksim.weight", (1.0, 10.0, 100.0)),
    (f"{_TERMS}.conr.weight", (0.25, 1.0, 4.0)),
    (f"{_TERMS}.accon.weight", _WEIGHT),
    (f"{_TERMS}.prime.weight", _WEIGHT),
    (f"{_TERMS}.srl.weight", _WEIGHT),
    (f"{_TERMS}.dist_loss.weight", _WEIGHT),
    (f"{_CONTRAST}.rank_n_contrast.temperature", (0.5, 2.0, 8.0)),
    (f"{_CONTRAST}.supremix.temperature", (0.1, 0.3, 1.0)),
    (f"{_TERMS}.balanced_mse.sigma", (0.5, 1.0, 2.0)),
    (f"{_TERMS}.shrinkage.speed", (5.0, 10.0, 20.0)),
    ("objective.dense_weight.alpha", (0.5, 1.0, 2.0)),
    (f"{_TERMS}.focal_r.gamma", (0.5, 1.0, 2.0)),
    (f"{_TERMS}.histogram.spread", (0.75, 1.0, 2.0)),
    (f"{_TERMS}.evidential.coefficient", (1e-3, 1e-2, 1e-1)),
    ("objective.fds.sigma", _SIGMA),
    ("objective.lds.sigma", _SIGMA),
    # Of methods that retrain a head only its rate, since the rest is plain training.
    ("stage.head.objective", _RATES),
)


def _has(config, path):
    """Whether a preset has a field of this path."""
    for name in path.split("."):
        if not isinstance(config, dict) or name not in config:
            return False
        config = config[name]
    return True


def grid(preset):
    """The three points of a preset."""
    made = methods.PRESETS[preset]
    for path, values in FACTORS:
        if not _has(made, path):
            continue
        if path == "stage.head.objective":
            return (("stage.head.learning_rate", values),)
        stages = made.get("stage", {})
        same = [f"stage.{s}.{path}" for s in stages if _has(stages[s], path)]
        if not same:
            return ((path, values),)
        return (((path, *same), tuple((v,) * (1 + len(same)) for v in values)),)
    return (RATE,)


def get_config(arg=""):
    """The study on all data sets, or on those of DATASET[,DATASET...]."""
    names = tuple(filter(None, arg.split(","))) or DATASETS
    for name in names:
        common.chosen("data set", name, DATASETS)
    study = common.several(names)
    # Validation of plain training is best after 180 to 420 of its 3,000 steps.
    if "abalone" in names:
        study.config_fields += (("configs/abalone.py", "stage.main.steps", 600),)
    study.config_fields += tuple(
        (config, "stage.main.learning_rate", BEST_RATE[name])
        for config, name in zip(study.configs, names, strict=True)
        if name in BEST_RATE
    )
    every = tuple(m for m in methods.PRESETS if m not in NOT)
    study.methods = (*every, *CORRECTED)
    study.arguments = tuple(CORRECTED.items())
    study.method_fields = tuple((m, "prior.target", "uniform") for m in CORRECTED)
    study.method_grids = tuple((m, grid(m)) for m in every) + tuple(
        (m, grid(preset)) for m, preset in CORRECTED.items()
    )
    resampled = [m for m in every if "resample" in methods.PRESETS[m]]
    study.left_out = tuple(
        (config, method)
        for config, name in zip(study.configs, names, strict=True)
        if name not in TABLES
        for method in resampled
    )
    study.tuning = (100,)
    study.seeds = (0, 1, 2)
    return study
