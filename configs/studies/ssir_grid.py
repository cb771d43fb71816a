"""SSIR over radius and factor: Tables 4 to 6 and Fig. 3a of the paper.

    python -m dirjax.sweep --config configs/studies/ssir_grid.py:bikeshare,focal_r \\
        --workdir runs/grid

The argument is a data set of `common.py` (or another file in configs/), a base, and a
grid: `agedb` (Table 5, the default; vanilla uses that of focal_r), `imdb` (Table 4) or
`nyud2` (Table 6, vanilla and inv). A separate seed is used, so that tuning does not use
the runs that `ssir.py` reports. To compare on validation:

    python -m dirjax.report runs/grid/*/*/*/*/seed_100 --split val
"""

from dirjax.configs.studies import common, ssir

EPSILON, LAM = "objective.ssir.epsilon", "objective.ssir.lam"


def _product(epsilon, lam):
    return ((EPSILON, epsilon), (LAM, lam))


_FOCAL_R = _product((1e-4, 5e-4, 1e-3, 5e-3), (0.1, 0.3, 0.5, 1.0, 1.5))
_FOUR = (0.1, 0.3, 0.5, 1.0)
# The larger radius with the first four factors only.
_DEPTH = tuple((5e-4, lam) for lam in (*_FOUR, 1.5, 2.0, 2.5, 3.0))
_DEPTH += tuple((1e-3, lam) for lam in _FOUR)
# Published grid -> base -> grid.
GRIDS = {
    "agedb": {
        "vanilla": _FOCAL_R,
        "sqinv": _product((5e-4, 1e-3, 5e-3), _FOUR),
        "focal_r": _FOCAL_R,
    },
    "imdb": {
        "sqinv": _product((1e-3,), (0.01, 0.05, 0.1, 0.5)),
        "focal_r": _product((1e-3,), _FOUR),
    },
    "nyud2": {
        "vanilla": (((EPSILON, LAM), _DEPTH),),
        "inv": _product((5e-4,), (1.0, 1.5, 2.0, 2.5)),
    },
}


def get_config(arg="bikeshare,focal_r"):
    """The study on DATASET,BASE[,TABLE]."""
    dataset, base, table = common.parts(arg, "DATASET,BASE[,TABLE]")
    study = common.data(dataset)
    table = table or "agedb"
    known = [f"{b},{t}" for t, bases in GRIDS.items() for b in bases]
    if f"{base},{table}" not in known:
        raise ValueError(f"unknown grid {base},{table}. Known: {'; '.join(known)}.")
    study.methods = (ssir.WITH[base][0],)
    study.seeds = (100,)
    study.grid = GRIDS[table][base]
    study.base = ""
    return study
