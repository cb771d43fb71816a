"""Three bases, alone, with SSIR, and with random noise; see docs/results.md.

    python -m dirjax.sweep --config configs/studies/ssir.py:bikeshare --workdir runs/a

The argument after the colon is a data set: bikeshare, diamonds, mnist5k, rotation
(mnist5k with rotated digits), utkface, nyud2, or another file in configs/. Radius and
factor are those of `TUNED`, which `ssir_grid.py` found best on validation, otherwise
those published for ages or depth; the control uses the same values.

After a comma, a reading of what the paper leaves open: `pixel`, the radius is that of
each pixel; `bins`, the radius that moves predictions by `epsilon` bins. They compare,
with five seeds, gradients through both predictions and through the moved one alone,
each as it is (two steps), with one step, and with random noise of the same norm. Radius
and factor are those of `TUNED_AS`, which `ssir_readings.py` found best on validation
for the two steps.
"""

from dirjax.configs.studies import common

BASES = ("vanilla", "sqinv", "focal_r")
# Base -> presets of SSIR and its control.
WITH = {
    "vanilla": ("ssir", "random_noise"),
    "inv": ("inv_ssir", "inv_random_noise"),
    "sqinv": ("sqinv_ssir", "sqinv_random_noise"),
    "focal_r": ("focal_r_ssir", "focal_r_random_noise"),
}
# Data set -> base -> (epsilon, lam), from validation. Others: as published for ages.
TUNED = {
    "bikeshare": {
        "vanilla": (1e-3, 0.5),
        "sqinv": (5e-4, 0.3),
        "focal_r": (5e-3, 1.5),
    },
    "diamonds": {
        "vanilla": (5e-4, 0.5),
        "sqinv": (5e-3, 1.0),
        "focal_r": (1e-4, 0.1),
    },
    "mnist5k": {
        "vanilla": (1e-3, 1.0),
        "sqinv": (1e-3, 1.0),
        "focal_r": (5e-3, 1.5),
    },
    "rotation": {
        "vanilla": (5e-3, 0.5),
        "sqinv": (5e-4, 0.3),
        "focal_r": (5e-3, 0.1),
    },
    "utkface": {
        "vanilla": (5e-3, 0.3),
        "sqinv": (5e-3, 0.1),
        "focal_r": (1e-3, 1.0),
    },
}
PUBLISHED = {"vanilla": (1e-3, 1.0), "sqinv": (1e-3, 0.1), "focal_r": (1e-3, 1.0)}
# On depth maps.
DEPTH_BASES = ("vanilla", "inv")
DEPTH = {"vanilla": (5e-4, 1.0), "inv": (5e-4, 2.5)}
TARGETS = ("both", "stopped")
# Reading -> fields of `objective.ssir`.
READINGS = {"pixel": {"norm": "pixel"}, "bins": {"units": "bins"}}
# Reading -> data set -> base -> target -> (epsilon, lam), from validation. Others: as
# published, with a radius of one bin for `bins`.
TUNED_AS = {
    "pixel": {
        "rotation": {
            "vanilla": {"both": (1e-4, 0.1), "stopped": (1e-3, 0.1)},
            "sqinv": {"both": (5e-4, 0.1), "stopped": (5e-3, 0.1)},
            "focal_r": {"both": (5e-4, 1.0), "stopped": (1e-3, 0.1)},
        },
    },
    "bins": {},
}
_SEEDS = 5


def tuned(dataset, bases=BASES):
    """The fields of SSIR and its control for some bases and a data set."""
    chosen = DEPTH if bases == DEPTH_BASES else PUBLISHED
    chosen = chosen | TUNED.get(dataset, {})
    return tuple(
        (method, f"objective.ssir.{field}", value)
        for base in bases
        for method in WITH[base]
        for field, value in zip(("epsilon", "lam"), chosen[base], strict=True)
    )


def arms(base):
    """The arms of a reading on a base: name -> (preset, target, steps)."""
    method, control = WITH[base]
    return {
        f"{name}_{target}{end}": (name, target, steps)
        for target in TARGETS
        for name, end, steps in (
            (method, "", 2),
            (method, "_one_step", 1),
            (control, "", 2),
        )
    }


def _reading(study, dataset, bases, reading):
    """Puts the arms of a reading into a study."""
    published = DEPTH if bases == DEPTH_BASES else PUBLISHED
    names, presets, fields = [], [], []
    for base in bases:
        epsilon, lam = published[base]
        default = (1.0 if reading == "bins" else epsilon, lam)
        found = TUNED_AS[reading].get(dataset, {}).get(base, {})
        names.append(base)
        for name, (preset, target, steps) in arms(base).items():
            names.append(name)
            presets.append((name, preset))
            radius, factor = found.get(target, default)
            values = {"epsilon": radius, "lam": factor, "target": target}
            values |= {"n_steps": steps} | READINGS[reading]
            fields += [(name, f"objective.ssir.{f}", v) for f, v in values.items()]
    study.methods, study.arguments = tuple(names), tuple(presets)
    study.method_fields, study.seeds = tuple(fields), tuple(range(_SEEDS))


def get_config(arg="bikeshare"):
    """The study on DATASET[,READING]."""
    dataset, _, reading = arg.partition(",")
    common.chosen("reading", reading, ("", *READINGS))
    study = common.data(dataset)
    bases = DEPTH_BASES if common.maps(study) else BASES
    if reading:
        _reading(study, dataset, bases, reading)
        return study
    study.methods = tuple(m for base in bases for m in (base, *WITH[base]))
    study.method_fields = tuned(dataset, bases)
    return study
