"""Validates the fields of a config and names the first invalid one."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from dirjax.data import readers
from dirjax.errors import InputError, require_field
from dirjax.labels.groups import WIDTH_MODES

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
        ("label_scale", ("linear", "log")),
        ("outside", ("error", "end")),
        ("on_bad", ("error", "skip")),
        ("bin_dtype", ("float64", "float32")),
        ("fit", ("stretch", "cover")),
        ("reader", ("array", "tf")),
        ("scaling", ("robust", "standard")),
        ("channels", (0, 1, 3)),
        ("views", (1, 2)),
    ):
        said = " or ".join(map(repr, known))
        require_field(data[field] in known, f"data.{field}", said, data[field])
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
    _validate_images(data, readers.takes(reader.load))
    _validate_augment(data)
    if hasattr(reader, "check"):
        reader.check(data)
    width = data["bin_width"]
    ok = width is None or 0 < width < math.inf
    require_field(ok, "data.bin_width", "positive and finite", width)
    ends = data["label_range"]
    numbers = ends is None or all(isinstance(e, (int, float)) for e in ends)
    ok = ends is None or (numbers and len(ends) == 2 and ends[0] < ends[1])
    ok = ok and (ends is None or data["label_scale"] != "log" or ends[0] > 0)
    said = "(low, high), low below high" + " and above 0 for a log scale" * (
        data["label_scale"] == "log"
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


def _validate_images(data: Mapping[str, Any], taken: Collection[str]) -> None:
    size = data["image_size"]
    said = f"at most {_LARGEST:,} pixels, so that one image fits into memory"
    require_field(size <= _LARGEST, "data.image_size", said, size)
    ok = data["view_size"] <= data["image_size"]
    require_field(ok, "data.view_size", "at most image_size", data["view_size"])
    pair = data["mean_and_std"]
    ok = pair is None or (len(pair) == 2 and _scales(pair, data["channels"]))
    said = "(mean, deviation above 0), each a number or one per channel"
    require_field(ok, "data.mean_and_std", said, pair)
    for field, none in (("fit", "stretch"), ("view_size", 0)):
        ok = field in taken or data[field] == none
        said = f"{none!r} unless images are files (data.kind={data['kind']})"
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


def validate(config: Mapping[str, Any]) -> None:
    """Checks what can be checked before reading any data.

    Args:
      config: from `plain`.

    Raises:
      InputError: naming the first invalid field.
    """
    from dirjax import optimizers

    validate_data(config["data"])
    ok = config["init_from"] != ""
    require_field(ok, "init_from", "the directory of a finished run", "")
    for field, value in (
        ("train.chunk", config["train"]["chunk"]),
        ("eval.batch_size", config["eval"]["batch_size"]),
        ("log.every", config["log"]["every"]),
    ):
        require_field(value >= 1, field, "at least 1", value)
    for field, value in config["model"]["encoder"].items():
        ok = not isinstance(value, int) or isinstance(value, bool) or value >= 1
        require_field(ok, f"model.encoder.{field}", "at least 1", value)
    require_field(
        config["model"]["dtype"] in ("float32", "bfloat16"),
        "model.dtype",
        "'float32' or 'bfloat16'",
        config["model"]["dtype"],
    )
    require_field(
        config["model"]["label_scaling"] in ("standard", "deviation", "range", "none"),
        "model.label_scaling",
        "'standard', 'deviation', 'range' or 'none'",
        config["model"]["label_scaling"],
    )
    require_field(
        not (config["model"]["pretrained"] and config["init_from"]),
        "model.pretrained",
        "empty if config.init_from gives a warm start",
        config["model"]["pretrained"],
    )
    if config.get("groups"):
        num, mode = config["groups"]["num"], config["groups"]["width_mode"]
        require_field(num >= 1, "groups.num", "at least 1", num)
        known = ", ".join(WIDTH_MODES)
        require_field(mode in WIDTH_MODES, "groups.width_mode", f"one of {known}", mode)
    decay = config["train"]["average_decay"]
    require_field(0 <= decay < 1, "train.average_decay", "in [0, 1)", decay)
    metrics = ("mae", "mse", "rmse", "gm", "bmae")
    select = config["select"]
    require_field(
        select["metric"] in metrics,
        "select.metric",
        f"one of {', '.join(metrics)}",
        select["metric"],
    )
    ok = select.get("split", "val") in ("val", "test")
    require_field(ok, "select.split", "'val' or 'test'", select.get("split"))
    shots = ("all", "many", "median", "few")
    require_field(
        select["shot"] in shots,
        "select.shot",
        f"one of {', '.join(shots)}",
        select["shot"],
    )
    for field in ("eval", "checkpoint"):
        value = config[field]["every"]
        ok = value is None or value >= 0
        require_field(ok, f"{field}.every", "at least 0", value)
    names = config["stages"]
    once = len(names) == len(set(names)) > 0
    require_field(once, "stages", "distinct names, at least one", names)
    for name in config["stages"]:
        require_field(name in config["stage"], f"stage.{name}", "defined", None)
        stage = config["stage"][name]
        where = f"stage.{name}"
        for field, known in (
            ("optimizer", optimizers.OPTIMIZERS),
            ("schedule", optimizers.SCHEDULES),
            ("decay", ("kernels", "all")),
            ("init_from", ("last", "best")),
            ("encoder_mode", ("train", "eval")),
            ("views", (None, 0, 1, 2)),
        ):
            require_field(
                stage[field] in known,
                f"{where}.{field}",
                f"one of {', '.join('empty' if k is None else str(k) for k in known)}",
                stage[field],
            )
        require_field(
            stage["steps"] >= 0, f"{where}.steps", "at least 0", stage["steps"]
        )
        require_field(
            stage["steps"] > 0 or 0 < stage["epochs"] < math.inf,
            f"{where}.epochs",
            "positive and finite",
            stage["epochs"],
        )
        for field in ("warmup", "final"):
            require_field(
                0 <= stage[field] <= 1, f"{where}.{field}", "in [0, 1]", stage[field]
            )
        require_field(
            stage["learning_rate"] > 0,
            f"{where}.learning_rate",
            "positive",
            stage["learning_rate"],
        )
        require_field(
            stage["accumulate"] >= 1,
            f"{where}.accumulate",
            "at least 1",
            stage["accumulate"],
        )
