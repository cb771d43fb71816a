"""What the fields of a config may be; the first that is wrong is named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dirjax.cli import InputError
from dirjax.data import KINDS
from dirjax.groups import WIDTH_MODES

# Pixels of a side; a coloured image takes 3 GB then.
_LARGEST = 2**15


def _require(ok: bool, field: str, expected: str, value: Any) -> None:
    if not ok:
        raise InputError(
            f"config.{field} must be {expected}, got {value!r}. Set it with "
            f"--config.{field}=VALUE."
        )


def validate_data(data: Mapping[str, Any]) -> None:
    """Checks the fields of `config.data`; the part of `validate` without JAX.

    Raises:
      InputError: for the first field that is wrong, by name.
    """
    if not data["name"]:
        field = "name" if data["kind"] == "tfds" else "path"
        raise InputError(
            f"data.{field} is missing. Give it with --config.data.{field}=VALUE."
        )
    _require(bool(data["label"]), "data.label", "given", data["label"])
    for field, known in (
        ("kind", KINDS),
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
        _require(data[field] in known, f"data.{field}", said, data[field])
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
        _require(ok, f"data.{field}", f"at least {least}", value)
    _validate_images(data)
    _validate_augment(data)
    _validate_depth(data)
    width = data["bin_width"]
    ok = width is None or 0 < width < math.inf
    _require(ok, "data.bin_width", "positive and finite", width)
    ends = data["label_range"]
    numbers = ends is None or all(isinstance(e, (int, float)) for e in ends)
    ok = ends is None or (numbers and len(ends) == 2 and ends[0] < ends[1])
    ok = ok and (ends is None or data["label_scale"] != "log" or ends[0] > 0)
    said = "(low, high), low below high" + " and above 0 for a log scale" * (
        data["label_scale"] == "log"
    )
    _require(ok, "data.label_range", said, ends)
    _require(data["few"] <= data["many"] + 1, "data.few", "at most many", data["few"])


def _scales(pair: Any, channels: int) -> bool:
    """Whether it can be mean and deviation of pixels."""

    def numbers(value: Any) -> list[Any]:
        many = isinstance(value, (tuple, list)) and len(value) == channels
        found = list(value) if many else [value]
        return found if all(isinstance(x, (int, float)) for x in found) else []

    means, stds = map(numbers, pair)
    return bool(means and stds) and all(0 < x < math.inf for x in stds)


def _validate_images(data: Mapping[str, Any]) -> None:
    size = data["image_size"]
    said = f"at most {_LARGEST:,} pixels, so that one image fits into memory"
    _require(size <= _LARGEST, "data.image_size", said, size)
    ok = data["view_size"] <= data["image_size"]
    _require(ok, "data.view_size", "at most image_size", data["view_size"])
    pair = data["mean_and_std"]
    ok = pair is None or (len(pair) == 2 and _scales(pair, data["channels"]))
    said = "(mean, deviation above 0), numbers or one for each of data.channels"
    _require(ok, "data.mean_and_std", said, pair)
    if data["kind"] not in ("images", "arrays", "tfds"):
        for field, none in (("fit", "stretch"), ("view_size", 0)):
            ok = data[field] == none
            said = f"{none!r} where images are no files (data.kind={data['kind']})"
            _require(ok, f"data.{field}", said, data[field])


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
        _require(ok, f"data.augment.{field}", f"from 0 to {most:g}", value)
    _require(isinstance(flip, bool), "data.augment.flip", "True or False", flip)
    ok = isinstance(crop, int) and not isinstance(crop, bool) and crop >= 0
    _require(ok, "data.augment.crop", "a whole number, at least 0", crop)
    ok = padding in ("zero", "edge")
    _require(ok, "data.augment.padding", "'zero' or 'edge'", padding)
    if flip and data["kind"] == "digits" and data["label"] != "thickness_px":
        raise InputError(
            f"config.data.augment.flip must be False for {data['label']}, got True: "
            "a digit's mirror image has another label. Leave it out."
        )


def _validate_depth(data: Mapping[str, Any]) -> None:
    """The fields that only depth maps have."""
    if data["kind"] != "nyud2":
        return
    fields, changes = data["depth"], data["augment_dense"]
    share = fields["val_share"]
    for field in ("crop", "maps"):
        pair = fields[field]
        ok = len(pair) == 2 and all(isinstance(n, int) and n > 1 for n in pair)
        _require(ok, f"data.depth.{field}", "(height, width) in pixels", pair)
    _require(0 <= share < 1, "data.depth.val_share", "from 0 and below 1", share)
    stated = data["label_range"] is not None and data["bin_width"] is not None
    _require(stated, "data.label_range", "given, as data.bin_width", None)
    flip = changes["flip"]
    _require(isinstance(flip, bool), "data.augment_dense.flip", "True or False", flip)
    for field, most in (("rotate", 45), ("lighting", 1), ("jitter", 0.99)):
        value = changes[field]
        ok = isinstance(value, (int, float)) and 0 <= value <= most
        _require(ok, f"data.augment_dense.{field}", f"from 0 to {most}", value)
    ok = changes["border"] in ("hidden", "zero")
    said = "'hidden' or 'zero'"
    _require(ok, "data.augment_dense.border", said, changes["border"])


def validate(config: Mapping[str, Any]) -> None:
    """Checks what can be checked before any data is read.

    Args:
      config: from `plain`.

    Raises:
      InputError: for the first field that is wrong, by name.
    """
    from dirjax import optimizers

    validate_data(config["data"])
    ok = config.get("init_from") != ""
    _require(ok, "init_from", "the directory of a finished run", "")
    for field, value in (
        ("train.chunk", config["train"]["chunk"]),
        ("eval.batch_size", config["eval"]["batch_size"]),
        ("log.every", config["log"]["every"]),
    ):
        _require(value >= 1, field, "at least 1", value)
    for field, value in config["model"]["encoder"].items():
        ok = not isinstance(value, int) or isinstance(value, bool) or value >= 1
        _require(ok, f"model.encoder.{field}", "at least 1", value)
    _require(
        config["model"]["dtype"] in ("float32", "bfloat16"),
        "model.dtype",
        "'float32' or 'bfloat16'",
        config["model"]["dtype"],
    )
    _require(
        config["model"]["label_scaling"] in ("standard", "deviation", "range", "none"),
        "model.label_scaling",
        "'standard', 'deviation', 'range' or 'none'",
        config["model"]["label_scaling"],
    )
    _require(
        not (config["model"]["pretrained"] and config.get("init_from")),
        "model.pretrained",
        "empty where config.init_from gives a run to begin with",
        config["model"]["pretrained"],
    )
    if config.get("groups"):
        num, mode = config["groups"]["num"], config["groups"]["width_mode"]
        _require(num >= 1, "groups.num", "at least 1", num)
        known = ", ".join(WIDTH_MODES)
        _require(mode in WIDTH_MODES, "groups.width_mode", f"one of {known}", mode)
    decay = config["train"]["average_decay"]
    _require(0 <= decay < 1, "train.average_decay", "in [0, 1)", decay)
    metrics = ("mae", "mse", "rmse", "gm", "bmae")
    select = config["select"]
    _require(
        select["metric"] in metrics,
        "select.metric",
        f"one of {', '.join(metrics)}",
        select["metric"],
    )
    ok = select.get("split", "val") in ("val", "test")
    _require(ok, "select.split", "'val' or 'test'", select.get("split"))
    shots = ("all", "many", "median", "few")
    _require(
        select["shot"] in shots,
        "select.shot",
        f"one of {', '.join(shots)}",
        select["shot"],
    )
    for field in ("eval", "checkpoint"):
        value = config[field]["every"]
        ok = value is None or value >= 0
        _require(ok, f"{field}.every", "at least 0", value)
    names = config["stages"]
    once = len(names) == len(set(names)) > 0
    _require(once, "stages", "names, each of them once", names)
    for name in config["stages"]:
        _require(name in config["stage"], f"stage.{name}", "defined", None)
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
            _require(
                stage[field] in known,
                f"{where}.{field}",
                f"one of {', '.join('empty' if k is None else str(k) for k in known)}",
                stage[field],
            )
        _require(stage["steps"] >= 0, f"{where}.steps", "at least 0", stage["steps"])
        _require(
            stage["steps"] > 0 or 0 < stage["epochs"] < math.inf,
            f"{where}.epochs",
            "positive and finite",
            stage["epochs"],
        )
        for field in ("warmup", "final"):
            _require(
                0 <= stage[field] <= 1, f"{where}.{field}", "in [0, 1]", stage[field]
            )
        _require(
            stage["learning_rate"] > 0,
            f"{where}.learning_rate",
            "positive",
            stage["learning_rate"],
        )
        _require(
            stage["accumulate"] >= 1,
            f"{where}.accumulate",
            "at least 1",
            stage["accumulate"],
        )
