"""Group-DIR over the length of its contrast and the number of groups: for tuning.

    python -m dirjax.sweep --config configs/studies/group_grid.py:bikeshare \\
        --workdir runs/grid

The argument is a data set of `common.py`, then a criterion of `group.py` (group_dir
where none is given). One seed of its own, so that what is chosen here is not what
`group.py` reports. Choose by

    python -m dirjax.report runs/grid/*/*/*/*/seed_100 --split val
"""

from dirjax.configs.studies import common, group

# Epochs of the contrast over those of the main stage. The paper has 3 to 6.
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
            f"{dataset} has no number of epochs in studies/common.py to take shares "
            f"of. Known: {', '.join(common.DATASETS)}."
        )
    study.methods = (method,)
    study.seeds = (100,)
    study.grid = (
        ("stage.contrast.epochs", tuple(round(s * epochs, 3) for s in SHARES)),
        ("groups.num", NUMBERS),
    )
    study.base = ""
    return study
