"""Presets: the methods to name after the colon. A preset is data.

`BASE` stands for the base loss of the data set (l1, mse or huber). Presets list all
options, since the command line can change fields but not add them:
`--config.objective.lds.sigma=1`; options with default None are left out. Wrappers are
listed outermost first.

A preset may name stages, each with its own objective. Everything else comes from
`common.py`.
"""

BASE = "BASE"

# Pixels of label maps that terms which compare rows draw in each step. Data with one
# label per row leave it out.
DRAWN = {"pixels": 1024}

INVERSE = {"scheme": "inverse", "clip": (5.0, 1000.0)}
SQRT_INVERSE = {"scheme": "sqrt_inverse", "clip": (5.0, 1000.0)}
SMOOTH = {
    "kernel": "gaussian",
    "size": 5,
    "sigma": 2.0,
    "padding": "zero",
    "truncate": False,
}
FDS = {
    "mode": "clean",
    "kernel": "gaussian",
    "size": 5,
    "sigma": 2.0,
    "momentum": 0.9,
    "start_update": 0,
    "start_smooth": 1,
    "clip": (0.1, 10.0),
    "features": "raw",
    "fill_empty": False,
    "alias": True,
    "whole_rows": False,
    "first_bin": 0,
}
FOCAL_R = {
    "weight": 1.0,
    "beta": 0.2,
    "gamma": 1.0,
    "activation": "sigmoid",
    "unit": "bin",
}
SSIR = {
    "epsilon": 1e-3,
    "lam": 1.0,
    "n_steps": 2,
    "noise": "gradient",
    "norm": "sample",
    "units": "normalised",
    "distance": BASE,
    "target": "both",
    "mode": "train",
}
# See dirjax.resampling; `control_points` and `bandwidth` of relevance are empty.
RESAMPLE = {
    "relevance": "boxplot",
    "coef": 1.5,
    "side": "both",
    "threshold": 0.5,
    "amount": "balance",
    "neighbors": 5,
    "distance": "heom",
    "steps": "row",
    "under_sample": True,
    "seed": 0,
}
SMOGN = {"method": "smogn", **RESAMPLE, "perturbation": 0.02}
# Length of other stages relative to the main one. RRT: 30 epochs after 90; fine-tuning
# of the Frobenius method: 10 of 100. And their relative learning rates: 5e-5 after
# 1e-3.
SHARES = {"head": 1 / 3, "contrast": 1.0, "tune": 0.1}
RATES = {"tune": 0.05}
# A head that predicts the value of the most likely group.
EXPERTS = {
    "inference": "argmax",
    "classifier": "linear",
    "start": "zeros",
    "rule_out_empty": False,
    "kernel": 1,
}
GROUPS = {"num": 10, "width_mode": "exact"}
GROUP_CONTRAST = {
    "weight": 1.0,
    "temperature": 2.5,
    "similarity": "l2_normalised",
    **DRAWN,
}
GROUP_DIR = {
    "weight": 1.0,
    "criterion": "soft",
    "beta": 1.0,
    "slope": "uniform",
    "tau": 1.0,
    "loss": "mse",
    "unit": "deviation",
    "lambda1": 1.0,
    "lambda2": 1.0,
    "weigh_groups": False,
}
# The weights are beta (of L_ordinal) and alpha (of L_OE inside it).
NORM_ORDER = {
    "weight": 0.1,
    "alpha": 0.1,
    "reading": "prototype",
    "source": "batch",
    "momentum": 0.9,
    "pairs": "off_diagonal",
    "distance": "absolute",
    "tau": 1.0,
    "label_scale": 1.0,
    "eps": 0.0,
    "tightness": True,
}
# The weight is gamma, by validation on bikeshare; epochs, steps and the rest are those
# of fit="sgd".
NORM_TARGET = {
    "weight": 1e-4,
    "reading": "prototype",
    "source": "batch",
    "momentum": 0.9,
    "targets": "measured",
    "unit": "deviation",
    "fit": "closed",
    "epochs": 20.0,
    "steps": 0,
    "learning_rate": 1e-2,
    "batch_size": 4,
}
# Norms can rise with the label only if labels are not centred: with centred labels,
# features are short in the middle and long at both ends.
FROM_ZERO = {"label_scaling": "deviation"}
CONSTANT_RATE = {"schedule": "constant", "warmup": 0.0}
# Distributions over the label, on the label bins, or on `num` bins of "equal" or of
# "quantile" spacing. `decode` says what of them is predicted: median | mean | mode;
# `kernel` is the side of a convolution for dense tasks.
SUPPORT = {"num": 0, "spacing": "bins"}
LAW = {"decode": "median", "kernel": 1}
HISTOGRAM = {"weight": 1.0, "spread": 1.0, "targets": "gaussian", "joint": 0.0}
GAUSSIAN = {"weight": 1.0, "beta": 0.0}
QUANTILE = {"weight": 1.0}
EVIDENTIAL = {"weight": 1.0, "coefficient": 0.01, "weigh": "loss"}
VIR = {
    "smoothing": True,
    "kernel": "gaussian",
    "size": 5,
    "sigma": 2.0,
    "momentum": 0.9,
    "clip": (0.1, 10.0),
}
UVOTE = {"weight": 1.0, "experts": 3}
HCA = {
    "weight": 1.0,
    "targets": "hard",
    "spread": 1.0,
    "distill": 1.0,
    "pool": "max",
    "trim": False,
}
BALANCED_MSE = {
    "weight": 1.0,
    "form": "bmc",
    "sigma": 1.0,
    "learning_rate": 1e-2,
    "unit": "deviation",
    "components": 8,
    "scheme": "inverse",
    "size": 5,
    "kernel_sigma": 2.0,
    "padding": "zero",
    "truncate": False,
    "first_bin": 0,
}
# The weight is gamma: of ages 100, of text similarity 3e-4.
RANKSIM = {"weight": 100.0, "interpolation": 2.0, **DRAWN}
RANK_N_CONTRAST = {
    "weight": 1.0,
    "temperature": 2.0,
    "similarity": "l2",
    "labels": "real",
    **DRAWN,
}
# The weight is beta.
CONR = {
    "weight": 4.0,
    "window": 1.0,
    "rate": 0.01,
    "temperature": 0.07,
    "push": "exponential",
    "denominator": "paper",
    "unit": "bin",
    **DRAWN,
}
SHRINKAGE = {"weight": 1.0, "speed": 10.0, "at": 0.2}
DENSE_WEIGHT = {"alpha": 1.0, "eps": 1e-6}
SRL = {
    "weight": 1.0,
    "envelope": 0.1,
    "homogeneity": 0.1,
    "temperature": 0.1,
    "points": 1000,
    "momentum": 0.9,
    **DRAWN,
}
ACCON = {"weight": 1.0, "temperature": 0.07, **DRAWN}
PRIME = {
    "weight": 1.0,
    "proxies": 32,
    "tau_t": 4.0,
    "tau_f": 1.0,
    "spread": 0.0,
    "align": 1.0,
    **DRAWN,
}
DIST_LOSS = {"weight": 1.0, "bandwidth": 0.5, **DRAWN}
SUPREMIX = {
    "weight": 1.0,
    "temperature": 0.3,
    "window": 5.0,
    "beta": (2.0, 8.0),
    "partners": 16,
    **DRAWN,
}
BSAM = {"rho": 0.05}
MIXUP = {"alpha": 2.0, "share": "row"}
C_MIXUP = {**MIXUP, "bandwidth": 0.25}
# Terms that use no head.
_OF_FEATURES = {"group_contrast", "rank_n_contrast", "supremix"}


def objective(*wrappers, terms=None, **settings):
    """The part of a config below `objective`."""
    return {"terms": terms or {BASE: {"weight": 1.0}}, "wrappers": wrappers, **settings}


def retrain(first, second, **changes):
    """RRT: `first` trains everything; then `second` trains only a fresh head.

    Decoupled training of Yang et al. 2021, after Kang et al. 2020. The second stage
    freezes the best encoder of the first (`encoder_mode="eval"`; the public code keeps
    updating running statistics: "train").
    """
    return {
        "objective": first,
        "stages": ("main", "head"),
        "stage": {
            "head": {
                "objective": second,
                "trainable": ("head",),
                "reinit": ("head",),
                "init_from": "best",
                "encoder_mode": "eval",
                **changes,
            }
        },
    }


def after(contrast, main):
    """A contrast for the encoder, then `main` for everything.

    The first stage is not validated, since its heads are untrained, and takes two views
    of each image if `data.augment` is set. For linear probing in the second stage:
    `--config.stage.main.trainable="('head',)"`, with
    `--config.stage.main.encoder_mode=eval`; without the first stage:
    `--config.stages="('main',)"`.
    """
    return {
        "objective": main,
        "stages": ("contrast", "main"),
        "stage": {
            "contrast": {
                "objective": objective(terms=contrast),
                "trainable": ("encoder",),
                "evaluate": False,
                "views": 0,
            }
        },
    }


def after_contrast(main, **model):
    """Group contrast for the encoder, then `main` for everything; see `after`."""
    stages = after({"group_contrast": GROUP_CONTRAST}, main)
    return {**stages, "groups": GROUPS, "model": model}


def probed(preset):
    """A preset of `after` whose second stage trains a fresh head on a fixed encoder."""
    probe = {"trainable": ("head",), "reinit": ("head",), "encoder_mode": "eval"}
    return {**preset, "stage": {**preset["stage"], "main": probe}}


def group_dir(criterion, *wrappers, head=None, **settings):
    """Groups and experts, after group contrast."""
    term = GROUP_DIR | {"criterion": criterion}
    return after_contrast(
        objective(*wrappers, terms={"group_dir": term}, **settings),
        head="experts",
        head_options=EXPERTS | (head or {}),
    )


def norm_tuned():
    """The objective of the Frobenius method's last phase.

    The weight of `norm_order` is 0: the term only logs its metrics, and
    `--config.stage.tune.objective.terms.norm_order.weight=0.1` activates it.
    """
    return objective(
        terms={
            BASE: {"weight": 1.0},
            "norm_target": NORM_TARGET,
            "norm_order": NORM_ORDER | {"weight": 0.0},
        }
    )


def frobenius(beta):
    """Training with norm order, fitting the norm line, fine-tuning towards it.

    Fitting the line takes no training step, but its share of the epochs is left out, so
    that all phases together are as long as other methods (S004: 70, 20 and 10 of 100):
    `--config.phases.shares="(0.8, 0.1, 0.1)"`.
    """
    target = "stage.tune.objective.terms.norm_target"
    return {
        "objective": norm_ordered(beta),
        "model": FROM_ZERO,
        "stages": ("main", "tune"),
        "stage": {
            "tune": {"objective": norm_tuned(), "init_from": "best", **CONSTANT_RATE}
        },
        "phases": {"stage.main": 0.7, target: 0.2, "stage.tune": 0.1},
    }


def norm_ordered(beta):
    """The objective of the Frobenius method's first phase."""
    terms = {BASE: {"weight": 1.0}, "norm_order": NORM_ORDER | {"weight": beta}}
    return objective(terms=terms)


def joint(preset):
    """A preset of `after`, merged into one stage on the sum of its terms."""
    contrast = preset["stage"]["contrast"]["objective"]["terms"]
    terms = {**contrast, **preset["objective"]["terms"]}
    rest = {k: v for k, v in preset.items() if k not in ("stages", "stage")}
    return {
        **rest,
        "objective": {**preset["objective"], "terms": terms},
        "stage": {"main": {"views": preset["stage"]["contrast"]["views"]}},
    }


def with_ssir(preset, **changes):
    """A preset with SSIR around the objective of each of its stages."""

    def around(record):
        if _OF_FEATURES.issuperset(record["terms"]):
            return record  # Its heads are untrained.
        wrappers = ("ssir", *record["wrappers"])
        return {**record, "wrappers": wrappers, "ssir": SSIR | changes}

    stages = {
        name: {k: around(v) if k == "objective" else v for k, v in fields.items()}
        for name, fields in preset.get("stage", {}).items()
    }
    return {**preset, "objective": around(preset["objective"]), "stage": stages}


# What heads have beside `LAW`.
OF_HEAD = {
    "quantile": {"levels": 19},
    "evidential": {"form": "amortised"},
    "vote": {"experts": 3, "fuse": "surest"},
    "hierarchy": {
        "levels": 6,
        "share": "count",
        "adjust": "multiply",
        "width": 512,
        "decode": "mode",
    },
}


def distribution(head, term, *wrappers, name=None, options=None, **settings):
    """A head that predicts a distribution, and the term that trains it.

    `name` is that of the term, if it is not that of the head.
    """
    options = LAW | OF_HEAD.get(head, {}) | (options or {})
    return {
        "objective": objective(*wrappers, terms={name or head: term}, **settings),
        "support": SUPPORT,
        "model": {"head": head, "head_options": options},
    }


def sampled(preset, scheme, stage="main"):
    """A preset in a stage of which rows are drawn by the frequency of their label."""
    stages = preset.get("stage", {})
    drawn = {**stages.get(stage, {}), "sampling": scheme}
    return {**preset, "stage": {**stages, stage: drawn}}


def bagged(preset, members=5):
    """Networks that train on bags of rows; they predict the mean.

    After "REBAGG: REsampled BAGGing for Imbalanced Regression", Branco, Torgo and
    Ribeiro, LIDTA 2018. https://proceedings.mlr.press/v94/branco18a.html There bags
    balance rare and other labels by a relevance function; here by the scheme of
    `stage.NAME.sampling`.
    """
    stages = preset.get("stage", {})
    main = {**stages.get("main", {}), "bags": True}
    model = {**preset.get("model", {}), "members": members}
    return {**preset, "model": model, "stage": {**stages, "main": main}}


def beside(*wrappers, terms, **settings):
    """The objective of the base loss and further terms."""
    return objective(*wrappers, terms={BASE: {"weight": 1.0}, **terms}, **settings)


def balanced_mse(form, **changes):
    """The objective of Balanced MSE in one of its forms."""
    return objective(terms={"balanced_mse": BALANCED_MSE | {"form": form} | changes})


def _focal_r(*wrappers, **settings):
    """The part below `objective` with the focal loss."""
    return objective(*wrappers, terms={"focal_r": FOCAL_R}, **settings)


_LDS_INV = {**INVERSE, **SMOOTH}
_LDS_SQRT = {**SQRT_INVERSE, **SMOOTH}

PRESETS = {
    "vanilla": {"objective": objective()},
    "inv": {"objective": objective("reweight", reweight=INVERSE)},
    "sqinv": {"objective": objective("reweight", reweight=SQRT_INVERSE)},
    "lds": {"objective": objective("lds", lds=_LDS_INV)},
    "fds": {"objective": objective("fds", fds=FDS)},
    "lds_fds": {"objective": objective("lds", "fds", lds=_LDS_INV, fds=FDS)},
    "sqinv_lds": {"objective": objective("lds", lds=_LDS_SQRT)},
    "sqinv_lds_fds": {"objective": objective("lds", "fds", lds=_LDS_SQRT, fds=FDS)},
    "sqinv_fds": {
        "objective": objective("reweight", "fds", reweight=SQRT_INVERSE, fds=FDS)
    },
    "focal_r": {"objective": _focal_r()},
    "focal_r_lds": {"objective": _focal_r("lds", lds=_LDS_SQRT)},
    "focal_r_lds_fds": {"objective": _focal_r("lds", "fds", lds=_LDS_SQRT, fds=FDS)},
    "rrt": retrain(objective(), objective("reweight", reweight=SQRT_INVERSE)),
    "rrt_lds": retrain(objective(), objective("lds", lds=_LDS_SQRT)),
    "rrt_lds_fds": retrain(
        objective("fds", fds=FDS),
        objective("lds", "fds", lds=_LDS_SQRT, fds=FDS),
    ),
}
PRESETS |= {
    "group_dir": group_dir("soft"),
    "group_ce": group_dir("ce"),
    "group_la": group_dir("la", head={"rule_out_empty": True}),
    "group_etf": group_dir("etf", head={"classifier": "etf"}),
    # Weights for labels that are rare within a group.
    "group_dir_lds": group_dir("soft", "lds", lds=_LDS_SQRT),
    # Without groups in the prediction: one head, one value.
    "group_contrast": after_contrast(objective()),
}
# The Frobenius method and its ablations (vanilla is the fourth model): phase 1 alone at
# full length, and phases 2 and 3 after plain training. Post hoc: phases 2 and 3 on a
# finished run of any method, given by --config.init_from=RUN; that run should also use
# --config.model.label_scaling=deviation, set in both.
PRESETS |= {
    "frobenius": frobenius(NORM_ORDER["weight"]),
    "frobenius_order": {
        "objective": norm_ordered(NORM_ORDER["weight"]),
        "model": FROM_ZERO,
    },
    "frobenius_tune": frobenius(0.0),
    "frobenius_posthoc": {
        "objective": norm_tuned(),
        "stages": ("tune",),
        "stage": {"tune": CONSTANT_RATE},
        "init_from": "",
    },
    "ordinal_entropy": {
        "objective": objective(
            terms={
                BASE: {"weight": 1.0},
                "ordinal_entropy": {
                    "weight": 1.0,
                    "of": "prototypes",
                    "tightness": True,
                    "stride": 4,
                },
            }
        )
    },
}
# Resampled training rows: the rows of tables, or features.
PRESETS |= {
    "smoter": {"objective": objective(), "resample": {"method": "smoter", **RESAMPLE}},
    "smogn": {"objective": objective(), "resample": SMOGN},
    # On features, after plain training: of images, sentences, anything.
    "rrt_smoter": retrain(
        objective(), objective(), resample={"method": "smoter", **RESAMPLE}
    ),
    "rrt_smogn": retrain(objective(), objective(), resample=SMOGN),
    "rrt_smogn_lds_fds": retrain(
        objective("fds", fds=FDS),
        objective("lds", "fds", lds=_LDS_SQRT, fds=FDS),
        resample=SMOGN,
    ),
    "smogn_lds_fds": {
        "objective": objective("lds", "fds", lds=_LDS_SQRT, fds=FDS),
        "resample": SMOGN,
    },
}
# Heads that predict a distribution.
PRESETS |= {
    "histogram": distribution("histogram", HISTOGRAM),
    "gaussian": distribution("gaussian", GAUSSIAN),
    "beta_nll": distribution("gaussian", GAUSSIAN | {"beta": 0.5}),
    "quantile": distribution("quantile", QUANTILE),
    "sqinv_histogram": distribution(
        "histogram", HISTOGRAM, "reweight", reweight=SQRT_INVERSE
    ),
    "sqinv_lds_histogram": distribution("histogram", HISTOGRAM, "lds", lds=_LDS_SQRT),
    "sqinv_beta_nll": distribution(
        "gaussian", GAUSSIAN | {"beta": 0.5}, "reweight", reweight=SQRT_INVERSE
    ),
    "sqinv_quantile": distribution(
        "quantile", QUANTILE, "reweight", reweight=SQRT_INVERSE
    ),
}
# Evidence for each label, and experts that vote by how sure they are.
PRESETS |= {
    "der": distribution("evidential", EVIDENTIAL),
    "sqinv_lds_der": distribution("evidential", EVIDENTIAL, "lds", lds=_LDS_SQRT),
    # VIR with weights on the evidence, and its ablation without them and smoothing.
    "vir": distribution(
        "evidential",
        EVIDENTIAL | {"weigh": "evidence"},
        "lds",
        "vir",
        options={"form": "conjugate"},
        lds=_LDS_SQRT,
        vir=VIR,
    ),
    "vae": distribution(
        "evidential",
        EVIDENTIAL,
        "vir",
        options={"form": "conjugate"},
        vir=VIR | {"smoothing": False},
    ),
    "uvote": distribution("vote", UVOTE, name="uvote"),
}
# Coarse classifiers that adjust a fine one; its published base; and one classifier that
# is distilled from all.
PRESETS |= {
    "hca": distribution("hierarchy", HCA, name="hca"),
    "sqinv_lds_hca": distribution("hierarchy", HCA, "lds", name="hca", lds=_LDS_SQRT),
    "hca_d": distribution("hierarchy", HCA, name="hca", options={"adjust": "distill"}),
}
# Balanced MSE in place of the base loss; for ages it was published as the second stage
# of RRT.
PRESETS |= {
    "bmc": {"objective": balanced_mse("bmc", **DRAWN)},
    "gai": {"objective": balanced_mse("gai")},
    "bni": {"objective": balanced_mse("bni")},
    "bni_lds": {"objective": balanced_mse("bni", kernel="gaussian")},
    "rrt_bmc": retrain(objective(), balanced_mse("bmc", **DRAWN)),
    "rrt_gai": retrain(objective(), balanced_mse("gai")),
}
# Weights by density; rows drawn by frequency, not weighted; and a loss of hard rows.
PRESETS |= {
    "denseweight": {"objective": objective("dense_weight", dense_weight=DENSE_WEIGHT)},
    "balanced_sampling": sampled(PRESETS["vanilla"], "inverse"),
    "sqrt_sampling": sampled(PRESETS["vanilla"], "sqrt_inverse"),
    "rrt_sampling": sampled(retrain(objective(), objective()), "inverse", "head"),
    "shrinkage": {"objective": objective(terms={"shrinkage": SHRINKAGE})},
    # Networks on bags with rows of rare labels as often as others (after Rebagg).
    "rebagg": bagged(sampled(PRESETS["vanilla"], "inverse")),
}
# Two views of each image, where they are augmented.
TWO_VIEWS = {"stage": {"main": {"views": 0}}}
# Terms beside the base loss that order features by label.
PRESETS |= {
    "ranksim": {"objective": beside(terms={"ranksim": RANKSIM})},
    # Two stages: the contrast trains the encoder, then everything or a linear probe.
    "rnc": after({"rank_n_contrast": RANK_N_CONTRAST}, objective()),
    "rnc_probe": probed(after({"rank_n_contrast": RANK_N_CONTRAST}, objective())),
    "supremix": probed(after({"supremix": SUPREMIX}, objective())),
    "conr": {"objective": beside(terms={"conr": CONR}), **TWO_VIEWS},
    "sqinv_conr": {
        "objective": beside("reweight", reweight=SQRT_INVERSE, terms={"conr": CONR}),
        **TWO_VIEWS,
    },
    "accon": {"objective": beside(terms={"accon": ACCON}), **TWO_VIEWS},
    "prime": {"objective": beside(terms={"prime": PRIME})},
    "srl": {"objective": beside(terms={"srl": SRL})},
    # Sorted predictions against the labels' distribution; published for a fresh head.
    "dist_loss": {"objective": beside(terms={"dist_loss": DIST_LOSS})},
    "rrt_dist_loss": retrain(
        objective(),
        beside("reweight", reweight=INVERSE, terms={"dist_loss": DIST_LOSS}),
    ),
    "sqinv_lds_ranksim": {
        "objective": beside("lds", lds=_LDS_SQRT, terms={"ranksim": RANKSIM})
    },
}
# Gradients at parameters moved uphill; weights make it the balanced form.
PRESETS |= {
    "bsam": {
        "objective": objective("bsam", "reweight", bsam=BSAM, reweight=SQRT_INVERSE)
    },
    "sam": {"objective": objective("bsam", bsam=BSAM)},
}
# Rows blended with others, of any label or of a near one.
PRESETS |= {
    "mixup": {"objective": objective("mixup", mixup=MIXUP)},
    "c_mixup": {"objective": objective("c_mixup", c_mixup=C_MIXUP)},
    "sqinv_c_mixup": {
        "objective": objective(
            "reweight", "c_mixup", reweight=SQRT_INVERSE, c_mixup=C_MIXUP
        )
    },
}
# lam as published: focal_r 1.0 and sqinv 0.1 on AgeDB-DIR (both 0.1 on IMDB-WIKI-DIR),
# vanilla 1.0 and inv 2.5 on NYUD2-DIR, with MSE and epsilon 5e-4.
PRESETS |= {
    "ssir": with_ssir(PRESETS["vanilla"]),
    "sqinv_ssir": with_ssir(PRESETS["sqinv"], lam=0.1),
    "inv_ssir": with_ssir(PRESETS["inv"], lam=2.5),
    "focal_r_ssir": with_ssir(PRESETS["focal_r"]),
    "histogram_ssir": with_ssir(PRESETS["histogram"]),
    # Controls: noise in a random direction.
    "random_noise": with_ssir(PRESETS["vanilla"], noise="random"),
    "sqinv_random_noise": with_ssir(PRESETS["sqinv"], noise="random", lam=0.1),
    "inv_random_noise": with_ssir(PRESETS["inv"], noise="random", lam=2.5),
    "focal_r_random_noise": with_ssir(PRESETS["focal_r"], noise="random"),
}
