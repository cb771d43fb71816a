"""How Group-DIR is trained by its supplementary: what its recipes have in common.

The supplementary (of an earlier version, "Unleashing the Potential of Classification
with Semantic Similarity for Deep Imbalanced Regression") gives the batch size, the
lengths of both stages, the optimiser and the temperature. Learning rate, length of the
second stage and number of groups were chosen from the grids below; what was chosen is
not published, and neither are the loss weights. Here: the rate of the benchmark if it
is in the grid, otherwise the largest; the longest second stage; 10 groups; weights of
1. `configs/studies/group_grid.py:recipes/NAME,QUESTION` runs the grids.

The supplementary names no schedule. Each stage has that of the benchmark, stretched to
its length: for ages times 0.1 after 2/3 and 8/9, for sentences a constant rate.
"""

# Data set -> learning rates.
RATES = {
    "agedb_dir": (1e-2, 1e-3, 5e-4, 1e-4, 5e-5),
    "imdb_wiki_dir": (1e-4, 1e-5, 1e-6, 1e-7, 1e-8),
    "stsb_dir": (1e-2, 1e-3, 5e-4, 1e-4, 5e-5),
}
EPOCHS = (50.0, 60.0, 70.0, 80.0, 90.0)
NUMBERS = (2, 5, 10, 15, 20, 25, 40, 50)
TEMPERATURES = (1.0, 2.0, 2.5, 3.0, 4.0, 5.0)

SHARED = {
    "data.batch_size": 128,
    "stage.contrast.epochs": 300.0,
    "stage.contrast.objective.terms.group_contrast.temperature": 2.5,
    "stage.main.epochs": 90.0,
}
# Of each stage. Adam's momentum of 0.9 is the default; all parameters decay.
STAGE = {"optimizer": "adam", "weight_decay": 1e-4, "decay": "all"}
# Name -> preset, fields. The criteria of the paper and of its earlier version for the
# classification, and weights for labels that are rare within a group.
CRITERIA = {
    "group_dir": ("group_dir", {}),
    "group_ce": ("group_ce", {}),
    "group_la": ("group_la", {}),
    "group_etf": ("group_etf", {}),
    "soft_asymmetric": (
        "group_dir",
        {
            "objective.terms.group_dir.criterion": "soft_asymmetric",
            "method": "soft_asymmetric",
        },
    ),
    "group_dir_lds": ("group_dir_lds", {}),
}


def rows(learning_rate, *options):
    """The rows of all criteria: name -> (`METHOD[,OPTION...]`, fields)."""
    stage = STAGE | {"learning_rate": learning_rate}
    stages = {
        f"stage.{name}.{field}": value
        for name in ("contrast", "main")
        for field, value in stage.items()
    }
    return {
        name: (",".join([preset, *options]), SHARED | stages | fields)
        for name, (preset, fields) in CRITERIA.items()
    }
