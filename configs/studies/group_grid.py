"""Tuning of Group-DIR: length of the contrastive stage and number of groups.

    python -m dirjax.sweep --config configs/studies/group_grid.py:bikeshare \\
        --workdir runs/grid

The argument is a data set of `common.py` and a criterion of `group.py` (default:
group_dir). A separate seed is used, so that tuning does not use the runs that
`group.py` reports. To compare on validation:

    python -m dirjax.report runs/grid/*/*/*/*/seed_100 --split val
"""

from dirjax.configs.studies import common, group

# Contrastive epochs relative to those of the main stage. The paper uses 3 to 6 epochs.
SHARES = (0.1, 0.3, 1.0)
NUMBERS = (5, 10, 20)


def get_config(arg="bikeshare"):
    """The study on DATASET[,CRITERION]."""
    dataset, _, method = arg.partition(",")
    method = method or "group_dir"
    if method not in group.CRITERIA:
        raise ValueError(
            f"unknown criterion {method!r}. Known: {', '.join(group.CRITERIA)}."
        )
    study = common.data(dataset)
    epochs = dict(study.fields).get("stage.main.epochs")
    if epochs is None:
        raise ValueError(
            f"{dataset} has no number of epochs in studies/common.py. Known: "
            f"{', '.join(common.DATASETS)}."
        )
    study.methods = (method,)
    study.seeds = (100,)
    study.grid = (
        ("stage.contrast.epochs", tuple(round(s * epochs, 3) for s in SHARES)),
        ("groups.num", NUMBERS),
    )
    study.base = ""
    return study
