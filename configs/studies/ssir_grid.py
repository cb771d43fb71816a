"""SSIR over radius and factor: Tables 4 to 6 and Fig. 3a of the paper, on any data.

    python -m dirjax.sweep --config configs/studies/ssir_grid.py:bikeshare,focal_r \
        --workdir runs/grid

The argument is a data set of `ssir.py` and a base: vanilla, sqinv or focal_r. The grid
is that of the paper's Table 5 for the base, and that of FOCAL-R for vanilla. One seed
of its own, so that what is chosen here is not what `ssir.py` reports. Choose by

    python -m dirjax.report runs/grid/*/*/*/*/seed_100 --split val
"""

from dirjax.configs.studies import ssir

FOCAL_R = ((1e-4, 5e-4, 1e-3, 5e-3), (0.1, 0.3, 0.5, 1.0, 1.5))
GRIDS = {
    "vanilla": FOCAL_R,
    "sqinv": ((5e-4, 1e-3, 5e-3), (0.1, 0.3, 0.5, 1.0)),
    "focal_r": FOCAL_R,
}


def get_config(arg="bikeshare,focal_r"):
    """The study on DATASET,BASE."""
    dataset, _, base = arg.partition(",")
    study = ssir.data(dataset)
    if base not in GRIDS:
        raise ValueError(f"unknown base {base!r}. Known: {', '.join(GRIDS)}.")
    epsilon, lam = GRIDS[base]
    study.methods = (ssir.WITH[base][0],)
    study.seeds = (100,)
    study.grid = (("objective.ssir.epsilon", epsilon), ("objective.ssir.lam", lam))
    study.base = ""
    return study
