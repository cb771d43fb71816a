"""Ablation of Group-DIR, and interpretations that its source leaves open.

    python -m dirjax.sweep --config configs/studies/group_ablation.py:bikeshare \
        --workdir runs/parts

The argument is a data set of `common.py`. With `,beta` after it, the study varies the
slope of the soft labels instead. Contrastive epochs and groups are those of `group.py`.
"""

from dirjax.configs.studies import common, group

# Name -> preset with options, and fields.
PARTS = {
    "group_dir": ("group_dir", {}),
    "without_contrast": ("group_dir", {"stages": ("main",)}),
    "without_classification": ("group_contrast,mse", {}),
    "single_head": ("vanilla,mse", {}),
    "joint": ("group_dir,joint", {}),
    "linear_probing": (
        "group_dir",
        {"stage.main.trainable": ("head",), "stage.main.encoder_mode": "eval"},
    ),
    "mixture": ("group_dir", {"model.head_options.inference": "mixture"}),
    "soft_asymmetric": (
        "group_dir",
        {"objective.terms.group_dir.criterion": "soft_asymmetric"},
    ),
}
# Arms without a contrastive stage.
ONE_STAGE = ("without_contrast", "joint")
BETA = (0.5, 1.0, 2.0, 4.0)


def get_config(arg="bikeshare"):
    """The study on DATASET[,beta]."""
    dataset, _, question = arg.partition(",")
    study = common.data(dataset)
    if question == "beta":
        study.methods = ("group_dir",)
        study.method_fields = group.tuned(dataset, study.methods)
        study.grid = (("objective.terms.group_dir.beta", BETA),)
        study.base = ""
        return study
    if question:
        raise ValueError(f"unknown question {question!r}. Known: beta.")
    study.methods = tuple(PARTS)
    study.arguments = tuple((name, preset) for name, (preset, _) in PARTS.items())
    study.method_fields = tuple(
        (name, path, value)
        for name, (_, fields) in PARTS.items()
        for path, value in fields.items()
    )
    study.method_fields += tuple(
        (name, field, value)
        for name, field, value in group.tuned(dataset, tuple(PARTS))
        if name != "single_head"
        and not (field.startswith("stage.contrast.") and name in ONE_STAGE)
    )
    study.base = "group_dir"
    return study
