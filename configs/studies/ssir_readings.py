"""SSIR under the readings that its source leaves open: size, norm and target.

    python -m dirjax.sweep --config configs/studies/ssir_readings.py:bikeshare,target \
        --workdir runs/readings

The argument is a data set of `common.py` and a question: `epsilon` (what size brings
the gap near one bin, and whether the direction matters then), `norm` (over what it is
measured), `target` (which of the two predictions learns), `mode` (of batch norm and
dropout) or `weighted` (whether the consistency term is). All on SQINV, the base of
most of the paper's tables.
"""

from dirjax.configs.studies import common, ssir

QUESTIONS = {
    "epsilon": (
        ("objective.ssir.epsilon", (1e-2, 1e-1, 1.0)),
        ("objective.ssir.lam", (1.0,)),
    ),
    "norm": (
        ("objective.ssir.norm", ("sample", "pixel", "linf")),
        ("objective.ssir.epsilon", (1e-3, 1e-2)),
        ("objective.ssir.lam", (1.0,)),
    ),
    "target": (
        ("objective.ssir.target", ("both", "stopped")),
        ("objective.ssir.epsilon", (1e-3, 1e-2)),
    ),
    "mode": (("objective.ssir.mode", ("train", "eval")),),
    "weighted": (("objective.wrappers", (("ssir", "reweight"), ("reweight", "ssir"))),),
}


def get_config(arg="bikeshare,epsilon"):
    """The study on DATASET,QUESTION."""
    dataset, _, question = arg.partition(",")
    study = common.data(dataset)
    if question not in QUESTIONS:
        raise ValueError(f"unknown question {question!r}. Known: {list(QUESTIONS)}.")
    study.methods = ssir.WITH["sqinv"] if question == "epsilon" else ("sqinv_ssir",)
    study.seeds = study.seeds[:3]
    study.grid = QUESTIONS[question]
    study.base = ""
    return study
