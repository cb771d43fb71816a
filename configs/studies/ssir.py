"""Three bases, alone, with SSIR, and with random noise; see docs/results.md.

    python -m dirjax.sweep --config configs/studies/ssir.py:bikeshare --workdir runs/a

The argument after the colon is a data set: bikeshare, diamonds, mnist5k, rotation
(mnist5k with rotated digits), utkface, nyud2, or another file in configs/. Radius and
factor are those of `TUNED`, which `ssir_grid.py` found best on validation, otherwise
those published for ages or depth; the control uses the same values.

After a comma, a reading of what the paper leaves open: `pixel`, the radius is that of
each pixel; `pixel_stopped`, and only the prediction for the moved input learns; `bins`,
the radius that moves predictions by `epsilon` bins. They have their own radius and
factor, from `ssir_readings.py`.
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
# Reading -> fields of `objective.ssir`.
READINGS = {
    "": {},
    "pixel": {"norm": "pixel"},
    "pixel_stopped": {"norm": "pixel", "target": "stopped"},
    "bins": {"units": "bins"},
}
# Reading -> as TUNED.
TUNED_AS = {"": TUNED, "pixel": {}, "pixel_stopped": {}, "bins": {}}


def tuned(dataset, bases=BASES, reading=""):
    """The fields of SSIR and its control for some bases and a data set."""
    chosen = DEPTH if bases == DEPTH_BASES else PUBLISHED
    if reading == "bins":
        chosen = {base: (1.0, lam) for base, (_, lam) in chosen.items()}
    chosen = chosen | TUNED_AS[reading].get(dataset, {})
    return tuple(
        (method, f"objective.ssir.{field}", value)
        for base in bases
        for method in WITH[base]
        for field, value in [
            *READINGS[reading].items(),
            *zip(("epsilon", "lam"), chosen[base], strict=True),
        ]
    )


def get_config(arg="bikeshare"):
    """The study on DATASET[,READING]."""
    dataset, _, reading = arg.partition(",")
    common.chosen("reading", reading, READINGS)
    study = common.data(dataset)
    bases = DEPTH_BASES if common.maps(study) else BASES
    study.methods = tuple(m for base in bases for m in (base, *WITH[base]))
    study.method_fields = tuned(dataset, bases, reading)
    return study
