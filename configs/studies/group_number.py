"""Group-DIR over the number of groups: Figs. 7 and 8, and accuracies by criterion.

    python -m dirjax.sweep --config configs/studies/group_number.py:bikeshare \
        --workdir runs/number

The argument is a data set of `common.py`, then in any order `full` for all numbers in
the paper, and the division into groups: `exact` (default), `int_floor` (as in the
public code, whose last group is large) or `equal_count`.

There cannot be more groups than label bins: `rotation`, with 45 bins, leaves out 50.
"""

from dirjax.configs.studies import common, group

NUMBERS = (5, 10, 20, 40)
FULL = (2, 5, 10, 15, 20, 25, 40, 50)
WIDTH_MODES = ("exact", "int_floor", "equal_count")


def get_config(arg="bikeshare"):
    """The study on DATASET[,full][,WIDTH_MODE]."""
    dataset, *options = arg.split(",")
    for option in options:
        if option not in ("full", *WIDTH_MODES):
            raise ValueError(
                f"unknown option {option!r}. Known: full, {', '.join(WIDTH_MODES)}."
            )
    study = common.data(dataset)
    study.methods = group.CRITERIA
    numbers = FULL if "full" in options else NUMBERS
    study.grid = (("groups.num", common.numbers_of_groups(study, numbers)),)
    for mode in WIDTH_MODES:
        if mode in options:
            study.fields = (*study.fields, ("groups.width_mode", mode))
    if "equal_count" in options:  # Counts decide, not a range.
        study.fields = (*study.fields, ("groups.label_range", None))
    study.method_fields = tuple(
        entry for entry in group.tuned(dataset) if entry[1] != "groups.num"
    )
    study.base = ""
    return study
