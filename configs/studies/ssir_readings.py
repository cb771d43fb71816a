"""SSIR under interpretations that its source leaves open.

    python -m dirjax.sweep --config configs/studies/ssir_readings.py:bikeshare,target \
        --workdir runs/readings

The argument is a data set of `common.py` and a question:

    epsilon   the noise size that moves predictions by about a bin, and whether the
              direction then matters
    norm      the norm of the noise
    target    which of the two predictions receives gradients
    mode      of batch norm and dropout
    weighted  whether weights apply to the consistency term
    pixel     the grid of the paper's Table 5, or on depth maps Table 6, with the radius
              that of each pixel: every base alone, and with SSIR with gradients through
              both predictions and through the moved one
    bins      the same with the radius that moves predictions by `epsilon` bins

The base of the first five is SQINV, as in most of the paper's tables. `pixel` and
`bins` are for tuning on validation, with a separate seed; `ssir.py:DATASET,pixel` then
compares with five, beside one step and random noise of the same norm:

    python -m dirjax.report runs/readings --split val
"""

from dirjax.configs.studies import common, ssir, ssir_grid

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
# Bins that predictions move by, and factors.
BINS = (
    ("objective.ssir.epsilon", (0.1, 0.3, 1.0, 3.0)),
    ("objective.ssir.lam", (0.03, 0.1, 0.3, 1.0)),
)


def _whole(study, question):
    """The study of both targets over a grid for each base."""
    depth = common.maps(study)
    grids = ssir_grid.GRIDS["nyud2" if depth else "agedb"]
    bases = ssir.DEPTH_BASES if depth else ssir.BASES
    # Name -> base, preset, target.
    arms = {
        f"{ssir.WITH[base][0]}_{target}": (base, ssir.WITH[base][0], target)
        for base in bases
        for target in ssir.TARGETS
    }
    study.methods = tuple(
        name
        for base in bases
        for name in (base, *(arm for arm, (of, *_) in arms.items() if of == base))
    )
    study.arguments = tuple((name, preset) for name, (_, preset, _) in arms.items())
    study.method_fields = tuple(
        (name, f"objective.ssir.{field}", value)
        for name, (_, _, target) in arms.items()
        for field, value in {"target": target, **ssir.READINGS[question]}.items()
    )
    study.method_grids = tuple(
        (name, BINS if question == "bins" else grids[base])
        for name, (base, *_) in arms.items()
    )
    study.seeds = (100,)
    return study


def get_config(arg="bikeshare,epsilon"):
    """The study on DATASET,QUESTION."""
    dataset, _, question = arg.partition(",")
    study = common.data(dataset)
    common.chosen("question", question, (*QUESTIONS, *ssir.READINGS))
    if question in ssir.READINGS:
        return _whole(study, question)
    study.methods = ssir.WITH["sqinv"] if question == "epsilon" else ("sqinv_ssir",)
    study.seeds = study.seeds[:3]
    study.grid = QUESTIONS[question]
    study.base = ""
    return study
