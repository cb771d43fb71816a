"""SSIR with one, two and three steps for the noise: section 8.2 of the paper.

    python -m dirjax.sweep --config configs/studies/ssir_steps.py:bikeshare,sqinv \
        --workdir runs/steps

The argument is a data set of `common.py` and a base: vanilla, sqinv or focal_r.
"""

from dirjax.configs.studies import ssir


def get_config(arg="bikeshare,sqinv"):
    """The study on DATASET,BASE."""
    dataset, _, base = arg.partition(",")
    study = ssir.get_config(dataset)
    if base not in ssir.BASES:
        raise ValueError(f"unknown base {base!r}. Known: {', '.join(ssir.BASES)}.")
    study.methods = (ssir.WITH[base][0],)
    study.grid = (("objective.ssir.n_steps", (1, 2, 3)),)
    study.base = ""
    return study
