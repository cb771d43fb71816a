"""SSIR under interpretations that its source leaves open.

    python -m dirjax.sweep --config configs/studies/ssir_readings.py:bikeshare,target \
        --workdir runs/readings

The argument is a data set of `common.py` and a question: `epsilon` (the noise size that
moves predictions by about a bin, and whether the direction then matters), `norm` (of
the noise), `target` (which of the two predictions receives gradients), `mode` (of batch
norm and dropout) or `weighted` (whether weights apply to the consistency term). The
base is SQINV, as in most of the paper's tables.
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
