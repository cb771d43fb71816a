"""The door: a config is checked, frozen to plain values, and compared with a run's."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dirjax import phases
from dirjax.cli import InputError
from dirjax.data import KINDS, catalog
from dirjax.groups import WIDTH_MODES

if TYPE_CHECKING:  # it needs JAX, which reading data does not
    from dirjax import stages


def plain(config: Any) -> dict[str, Any]:
    """A ConfigDict as plain dicts, with tuples where they were.

    A data set without a name gets that of its file, and the parts of a divided length
    get theirs.

    Raises:
      InputError: if there is no data, or the shares of a divided run do not fit.
    """
    made = _dicts(config.to_dict() if hasattr(config, "to_dict") else config)
    phases.divide(made)
    if "data" not in made:
        raise InputError(
            "the config has no data, as those of configs/studies have none. Give it to "
            "python -m dirjax.sweep."
        )
    data = made["data"]
    if not data["name"] and data["path"] and data["kind"] != "tfds":
        data["name"] = catalog.stem(data["path"])
    return made


def _dicts(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _dicts(v) if isinstance(v, Mapping) else v for k, v in tree.items()}


def read(workdir: pathlib.Path) -> dict[str, Any]:
    """The config of a run, as plain values.

    Raises:
      InputError: if the directory holds no run.
    """
    try:
        return read_json(workdir / "config.json")
    except (OSError, ValueError) as error:
        raise InputError(
            f"--workdir must be the directory of a run, {workdir} has no config.json "
            "that can be read. Give the --workdir of dirjax.main."
        ) from error


def read_json(file: pathlib.Path) -> Any:
    """The content of a JSON file, with tuples for lists.

    Raises:
      OSError, ValueError: if there is none.
    """

    def tuples(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: tuples(v) for k, v in value.items()}
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    return tuples(json.loads(file.read_text()))


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


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


def _validate_images(data: Mapping[str, Any]) -> None:
    ok = data["view_size"] <= data["image_size"]
    _require(ok, "data.view_size", "at most image_size", data["view_size"])
    pair = data["mean_and_std"]
    numbers = pair is None or all(isinstance(x, (int, float)) for x in pair)
    ok = pair is None or (numbers and len(pair) == 2 and 0 < pair[1] < math.inf)
    _require(ok, "data.mean_and_std", "(mean, deviation above 0)", pair)
    if data["kind"] not in ("images", "tfds"):
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


def _batch_size(size: int) -> int:
    """The power of two from 16 to 256 that is at most an eighth of the rows."""
    return 1 << min(max(int(math.log2(max(size, 1) / 8)), 4), 8)


def _views(views: int | None, data: Mapping[str, Any]) -> int:
    """Views of a stage: its own, or those of the data; 0 is two where they differ."""
    from dirjax import augment

    if views is None:
        return data["views"]
    return views or max(data["views"], 1 + augment.augments(**data.get("augment", {})))


def plan(config: Mapping[str, Any], size: int) -> stages.Plan:
    """The stages of a run.

    Args:
      config: from `plain`, validated.
      size: number of training examples.

    Returns:
      The plan.

    Raises:
      InputError: if the batch is larger than the training set.
    """
    from dirjax import stages

    batch_size = config["data"]["batch_size"] or _batch_size(size)
    if batch_size > size:
        raise InputError(
            f"data.batch_size must be at most the {size} training rows, got "
            f"{batch_size}. Choose a smaller batch."
        )
    rows, start = [], 0
    for number, name in enumerate(config["stages"]):
        record = config["stage"][name]
        rows_read = int(record["epochs"] * size)
        steps = record["steps"] or max(1, -(-rows_read // batch_size))
        stage = stages.Stage(
            name=name,
            number=number,
            start=start,
            steps=steps,
            objective=record["objective"] or config["objective"],
            optimizer={
                "name": record["optimizer"],
                "weight_decay": record["weight_decay"],
                "decay": record["decay"],
                "momentum": record["momentum"],
                "b2": record["b2"],
                "clip": record["clip"],
                "accumulate": record["accumulate"],
            },
            schedule={
                "name": record["schedule"],
                "learning_rate": record["learning_rate"],
                # Accumulated steps make one update, and updates are what it counts.
                "steps": max(1, steps // record["accumulate"]),
                "warmup": record["warmup"],
                "final": record["final"],
                "milestones": record["milestones"],
                "factor": record["factor"],
            },
            trainable=tuple(record["trainable"] or ()),
            reinit=tuple(record["reinit"] or ()),
            init_from=record["init_from"],
            encoder_mode=record["encoder_mode"],
            views=_views(record.get("views"), config["data"]),
            evaluate=record.get("evaluate", True) or name == config["stages"][-1],
        )
        rows.append(stage)
        start = stage.stop
    # Where nothing is said, so many times a run.
    epochs = start * batch_size / size
    every = {
        field: epochs / times
        if config[field]["every"] is None
        else config[field]["every"]
        for field, times in (("eval", 50), ("checkpoint", 10))
    }
    return stages.Plan(
        stages=tuple(rows),
        size=size,
        batch_size=batch_size,
        eval_epochs=every["eval"],
        save_epochs=every["checkpoint"],
        log_steps=config["log"]["every"],
        chunk_steps=config["train"]["chunk"],
    )


def to_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """As it looks after a round trip through JSON, for files and comparison."""
    return json.loads(json.dumps(config))


def _defaults(stages: Iterable[str]) -> dict[str, Any]:
    """What fields stand at where nobody sets them, as leaves."""
    from dirjax.configs import common

    tree = plain(common.get_config())
    tree["stage"] = dict.fromkeys(stages, tree["stage"]["main"])
    return dict(_leaves(to_json(tree)))


def check_same(config: Mapping[str, Any], file: pathlib.Path) -> None:
    """A directory belongs to one config.

    A field that came to dirjax after the run began is the same if it is at its default.

    Args:
      config: from `plain`.
      file: `config.json` of the directory.

    Raises:
      InputError: naming the fields that differ.
    """
    try:
        before = dict(_leaves(json.loads(file.read_text())))
    except (json.JSONDecodeError, AttributeError) as error:
        raise InputError(
            f"{file} is no config ({error}). Use another --workdir."
        ) from error
    now = dict(_leaves(to_json(config)))
    for field, value in _defaults(config.get("stages", ())).items():
        if field in now:
            before.setdefault(field, value)
    differ = [k for k in sorted({*before, *now}) if before.get(k) != now.get(k)]
    if differ:
        said = "; ".join(f"{k} {before.get(k)!r} -> {now.get(k)!r}" for k in differ[:5])
        raise InputError(
            f"{file.parent} holds a run of another config ({said}"
            f"{', ...' if len(differ) > 5 else ''}). Use another --workdir, or the "
            "same config to resume."
        )


def check_data(
    record: Mapping[str, Any], workdir: pathlib.Path, data: Mapping[str, Any]
) -> None:
    """A run goes on with the data it began with, as far as its preparation tells.

    Args:
      record: of the data, see `sources.Source`.
      workdir: the run's directory; one without `data.json` has not begun.
      data: the fields of `config.data`, for the sentence.

    Raises:
      InputError: naming what differs.
    """
    try:
        before = json.loads((workdir / "data.json").read_text())
    except (OSError, ValueError):
        return
    old, now = dict(_leaves(before)), dict(_leaves(to_json(record)))
    differ = [k for k in sorted({*old, *now}) if old.get(k) != now.get(k)]
    if differ:
        raise InputError(
            f"{data['path'] or data['name']} has changed since the run of {workdir} "
            f"began (its {', '.join(differ[:5])}). Bring the old file back, or use "
            "another --workdir."
        )
