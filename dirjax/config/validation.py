"""Validates the fields of a config and names the first invalid one."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from dirjax.correct import priors, residuals
from dirjax.data import readers, stress
from dirjax.data.formats import decoding
from dirjax.errors import InputError, local_path, require_field
from dirjax.labels import SHOTS, scales
from dirjax.labels.groups import WIDTH_MODES
from dirjax.labels.support import SPACINGS
from dirjax.ops import densities

# Schemes of `weights.bin_weights`.
SAMPLINGS = ("none", "inverse", "sqrt_inverse")
# Pixels per side; a colour image of that size takes 3 GB.
_LARGEST = 2**15


def validate_data(data: Mapping[str, Any]) -> None:
    """Checks the fields of `config.data`; the part of `validate` without JAX.

    Raises:
      InputError: naming the first invalid field.
    """
    if not data["name"]:
        field = "path" if readers.names_by_path(data["kind"]) else "name"
        raise InputError(
            f"data.{field} is missing. Give it with --config.data.{field}=VALUE."
        )
    require_field(bool(data["label"]), "data.label", "given", data["label"])
    try:
        reader = readers.find(data["kind"])
    except ValueError as error:
        raise InputError(f"config.{error}") from error
    for field, known in (
        ("outside", ("error", "end")),
        ("on_bad", ("error", "skip")),
        ("bin_dtype", ("float64", "float32")),
        ("fit", ("stretch", "cover")),
        ("reader", ("array", "tf")),
        ("scaling", ("robust", "standard")),
        ("channels", (0, 1, 3)),
        ("decimal", (None, ".", ",")),
        ("thousands", (None, "", ",", ".", " ", "'")),
        ("date_order", (None, "dmy", "mdy")),
        ("views", (1, 2)),
        ("sampling", SAMPLINGS),
        ("unseen", (None, *stress.KINDS)),
    ):
        said = " or ".join(map(repr, known))
        require_field(data[field] in known, f"data.{field}", said, data[field])
    for scale in str(data["label_scale"]).split(","):
        said = f"one of {', '.join(scales.KINDS)}"
        require_field(scale in scales.KINDS, "data.label_scale", said, scale)
    for field, least in (
        ("batch_size", 1),
        ("image_size", 1),
        ("view_size", 0),
        ("memory", 0),
        ("split_divisor", 2),
        ("split_cap", 0),
        ("limit", 0),
        ("quantiles", 0),
        ("both", 0),
    ):
        value = data[field]
        ok = value is None or value >= least
        require_field(ok, f"data.{field}", f"at least {least}", value)
    _validate_images(data)
    _validate_taken(data, readers.takes(reader.load))
    _validate_augment(data)
    if hasattr(reader, "check"):
        reader.check(data)
    width = data["bin_width"]
    ok = width is None or 0 < width < math.inf
    require_field(ok, "data.bin_width", "positive and finite", width)
    widths = data["bin_widths"] or ()
    ok = _numbers(widths) and all(w > 0 for w in widths)
    require_field(ok, "data.bin_widths", "positive and finite", widths)
    for field in ("label_offset", "label_low"):
        value = data[field]
        ok = value is None or math.isfinite(value)
        require_field(ok, f"data.{field}", "finite", value)
    ends = data["label_range"]
    numbers = ends is None or all(isinstance(e, (int, float)) for e in ends)
    ok = ends is None or (numbers and len(ends) == 2 and ends[0] < ends[1])
    least = {"log": 0.0, "log1p": -1.0}.get(str(data["label_scale"]), -math.inf)
    least -= data["label_offset"]
    ok = ok and (ends is None or ends[0] > least)
    said = "(low, high), low below high" + (
        f" and above {least:g} for a log scale" if least > -math.inf else ""
    )
    require_field(ok, "data.label_range", said, ends)
    require_field(
        data["few"] <= data["many"] + 1, "data.few", "at most many", data["few"]
    )


def _scales(pair: Any, channels: int) -> bool:
    """Whether a pair is a valid mean and deviation of pixels."""

    def numbers(value: Any) -> list[Any]:
        many = isinstance(value, (tuple, list)) and len(value) == channels
        found = list(value) if many else [value]
        return found if all(isinstance(x, (int, float)) for x in found) else []

    means, stds = map(numbers, pair)
    return bool(means and stds) and all(0 < x < math.inf for x in stds)


def _numbers(values: Any) -> bool:
    """Whether all values are finite numbers."""
    return all(isinstance(x, (int, float)) and math.isfinite(x) for x in values)


def _validate_images(data: Mapping[str, Any]) -> None:
    size = data["image_size"]
    said = f"at most {_LARGEST:,} pixels, so that one image fits into memory"
    require_field(size <= _LARGEST, "data.image_size", said, size)
    ok = data["view_size"] <= data["image_size"]
    require_field(ok, "data.view_size", "at most image_size", data["view_size"])
    ground = data["ground"]
    said = "a colour (white, black, #ff8000) or 'alpha', the alpha channel itself"
    require_field(decoding.is_ground(ground), "data.ground", said, ground)
    ends = data["pixel_range"]
    ok = ends is None or (_numbers(ends) and len(ends) == 2 and ends[0] < ends[1])
    require_field(ok, "data.pixel_range", "(low, high), low below high", ends)
    pair = data["mean_and_std"]
    ok = pair is None or (len(pair) == 2 and _scales(pair, data["channels"]))
    said = "(mean, deviation above 0), each a number or one per channel"
    require_field(ok, "data.mean_and_std", said, pair)


# Value that asks for nothing, and what the fields of some readers are about: others
# would pass over them in silence.
_OF_READERS = {
    "images are files": {
        "fit": "stretch",
        "ground": "white",
        "pixel_range": None,
        "view_size": 0,
    },
    "the data is a table file": {
        "decimal": None,
        "thousands": None,
        "date_order": None,
        "dates": True,
        "sheet": None,
        "group": None,
    },
}


def _validate_taken(data: Mapping[str, Any], taken: Collection[str]) -> None:
    """Refuses fields that the reader of the data does not take."""
    for where, fields in _OF_READERS.items():
        for field, none in fields.items():
            ok = field in taken or data[field] == none
            least = "empty" if none is None else repr(none)
            said = f"{least} unless {where} (data.kind={data['kind']})"
            require_field(ok, f"data.{field}", said, data[field])


def _validate_augment(data: Mapping[str, Any]) -> None:
    augment = data["augment"]
    flip, crop, padding = (augment[k] for k in ("flip", "crop", "padding"))
    for field, most in (
        ("zoom", 1.0),
        ("jitter", 1.0),
        ("hue", 0.5),
        ("jitter_share", 1.0),
        ("grey", 1.0),
    ):
        value = augment[field]
        ok = isinstance(value, (int, float)) and 0 <= value <= most
        require_field(ok, f"data.augment.{field}", f"from 0 to {most:g}", value)
    require_field(isinstance(flip, bool), "data.augment.flip", "True or False", flip)
    ok = isinstance(crop, int) and not isinstance(crop, bool) and crop >= 0
    require_field(ok, "data.augment.crop", "a whole number, at least 0", crop)
    ok = padding in ("zero", "edge")
    require_field(ok, "data.augment.padding", "'zero' or 'edge'", padding)


# Metrics that may select checkpoints; all are errors, smaller is better.
SELECTING = ("mae", "mse", "rmse", "gm", "bmae")


def validate(config: Mapping[str, Any]) -> None:
    """Checks what can be checked before reading any data.

    Args:
      config: from `plain`.

    Raises:
      InputError: naming the first invalid field.
    """
    validate_data(config["data"])
    ok = config["init_from"] != ""
    require_field(ok, "init_from", "the directory of a finished run", "")
    for field, value in (
        ("train.chunk", config["train"]["chunk"]),
        ("eval.batch_size", config["eval"]["batch_size"]),
        ("log.every", config["log"]["every"]),
    ):
        require_field(value >= 1, field, "at least 1", value)
    _validate_model(config["model"], config["init_from"])
    if config.get("groups"):
        num, mode = config["groups"]["num"], config["groups"]["width_mode"]
        require_field(num >= 1, "groups.num", "at least 1", num)
        known = ", ".join(WIDTH_MODES)
        require_field(mode in WIDTH_MODES, "groups.width_mode", f"one of {known}", mode)
    if config.get("support"):
        num, spacing = config["support"]["num"], config["support"]["spacing"]
        known = ", ".join(SPACINGS)
        ok = spacing in SPACINGS
        require_field(ok, "support.spacing", f"one of {known}", spacing)
        said = "0 for support.spacing='bins', otherwise at least 1"
        ok = num == 0 if spacing == "bins" else num >= 1
        require_field(ok, "support.num", said, num)
    patience = config["train"]["patience"]
    said = "a whole number of evaluations, 0 for no early stopping"
    require_field(patience >= 0, "train.patience", said, patience)
    decay = config["train"]["average_decay"]
    require_field(0 <= decay < 1, "train.average_decay", "in [0, 1)", decay)
    for field, known in (
        ("metric", SELECTING),
        ("split", ("val", "test")),
        ("shot", ("all", *SHOTS)),
    ):
        value = config["select"][field]
        said = f"one of {', '.join(known)}" if len(known) > 2 else "'val' or 'test'"
        require_field(value in known, f"select.{field}", said, value)
    _validate_prior(config["prior"])
    for field in ("eval", "checkpoint"):
        value = config[field]["every"]
        ok = value is None or value >= 0
        require_field(ok, f"{field}.every", "at least 0", value)
    names = config["stages"]
    once = len(names) == len(set(names)) > 0
    require_field(once, "stages", "distinct names, at least one", names)
    for name in names:
        require_field(name in config["stage"], f"stage.{name}", "defined", None)
        _validate_stage(config["stage"][name], f"stage.{name}")


def _validate_prior(prior: Mapping[str, Any]) -> None:
    for field, known in (
        ("decode", (None, *densities.DECODES)),
        ("law", residuals.LAWS),
        ("dispersion", residuals.DISPERSIONS),
    ):
        said = f"one of {', '.join('empty' if k is None else k for k in known)}"
        require_field(prior[field] in known, f"prior.{field}", said, prior[field])
    target, names = prior["target"], " or ".join(priors.TARGETS)
    ok = target in priors.TARGETS or local_path("prior.target", target).is_file()
    said = f"{names}, or a file with labels that exists"
    require_field(ok, "prior.target", said, target)
    tau, taps = prior["tau"], prior["taps"]
    require_field(tau is None or 0 <= tau <= 1, "prior.tau", "from 0 to 1", tau)
    ok = taps >= 1 and taps % 2 == 1
    require_field(ok, "prior.taps", "an odd number of bins", taps)
    ok = 0 < prior["floor"] < math.inf
    require_field(ok, "prior.floor", "above 0", prior["floor"])


def _validate_model(model: Mapping[str, Any], init_from: str | None) -> None:
    for field, value in model["encoder"].items():
        ok = not isinstance(value, int) or isinstance(value, bool) or value >= 1
        require_field(ok, f"model.encoder.{field}", "at least 1", value)
    dropout = model["encoder"].get("dropout", 0.0)
    require_field(0 <= dropout < 1, "model.encoder.dropout", "in [0, 1)", dropout)
    for field, known in (
        ("dtype", ("float32", "bfloat16")),
        ("label_scaling", ("standard", "deviation", "range", "none")),
    ):
        *most, last = map(repr, known)
        said = f"{', '.join(most)} or {last}"
        require_field(model[field] in known, f"model.{field}", said, model[field])
    members = model["members"]
    require_field(members >= 1, "model.members", "at least 1", members)
    ok = not (model["pretrained"] and init_from)
    said = "empty if config.init_from gives a warm start"
    require_field(ok, "model.pretrained", said, model["pretrained"])


def _validate_stage(stage: Mapping[str, Any], where: str) -> None:
    from dirjax import optimizers  # It needs JAX, which reading data does not.

    for field, known in (
        ("optimizer", optimizers.OPTIMIZERS),
        ("schedule", optimizers.SCHEDULES),
        ("decay", ("kernels", "all")),
        ("init_from", ("last", "best")),
        ("encoder_mode", ("train", "eval")),
        ("views", (None, 0, 1, 2)),
        ("sampling", (None, *SAMPLINGS)),
    ):
        said = f"one of {', '.join('empty' if k is None else str(k) for k in known)}"
        require_field(stage[field] in known, f"{where}.{field}", said, stage[field])
    for field, ok, said in (
        ("steps", stage["steps"] >= 0, "at least 0"),
        (
            "epochs",
            stage["steps"] > 0 or 0 < stage["epochs"] < math.inf,
            "positive and finite",
        ),
        ("warmup", 0 <= stage["warmup"] <= 1, "in [0, 1]"),
        ("final", 0 <= stage["final"] <= 1, "in [0, 1]"),
        (
            "learning_rate",
            0 < stage["learning_rate"] < math.inf,
            "positive and finite",
        ),
        ("weight_decay", 0 <= stage["weight_decay"] < math.inf, "from 0 and finite"),
        ("momentum", 0 <= stage["momentum"] < 1, "in [0, 1)"),
        ("b2", 0 <= stage["b2"] < 1, "in [0, 1)"),
        ("clip", 0 <= stage["clip"] < math.inf, "from 0 and finite"),
        ("accumulate", stage["accumulate"] >= 1, "at least 1"),
    ):
        require_field(ok, f"{where}.{field}", said, stage[field])
