"""Squared errors during plain and decomposed training: Fig. 3 of Group-DIR.

    python -m dirjax.sweep --config configs/studies/group_curves.py:bikeshare \
        --workdir runs/curves

The argument is a data set of `common.py`. Both methods train all parameters in one
stage: on the squared error alone, and on the sum from Lemma 1, cross-entropy of the
group plus squared error of its expert, with 20 groups as in the paper.
"""

from dirjax.configs.studies import common, group


def get_config(dataset="bikeshare"):
    """The study on one data set."""
    study = common.data(dataset)
    study.methods = (group.BASE, "decomposition")
    study.arguments = (*group.ARGUMENTS, ("decomposition", "group_ce"))
    study.method_fields = (
        ("decomposition", "stages", ("main",)),
        ("decomposition", "groups.num", 20),
    )
    study.base = group.BASE
    return study
