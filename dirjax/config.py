"""The door: a config is checked, frozen to plain values, and compared with a run's."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from dirjax import optimizers, stages
from dirjax.cli import InputError


def plain(config: Any) -> dict[str, Any]:
    """A ConfigDict (or mapping) as plain dicts, with tuples where they were."""
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    return {k: plain(v) if isinstance(v, Mapping) else v for k, v in config.items()}


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


def validate(config: Mapping[str, Any]) -> None:
    """Checks what can be checked before any data is read.

    Args:
      config: from `plain`.

    Raises:
      InputError: for the first field that is wrong, by name.
    """
    data = config["data"]
    for name in ("name", "label"):
        _require(bool(data[name]), f"data.{name}", "given", data[name])
    _require(data["bin_width"] > 0, "data.bin_width", "positive", data["bin_width"])
    for field, value in (
        ("data.batch_size", data["batch_size"]),
        ("train.chunk", config["train"]["chunk"]),
        ("eval.batch_size", config["eval"]["batch_size"]),
        ("log.every", config["log"]["every"]),
    ):
        _require(value >= 1, field, "at least 1", value)
    _require(
        data["bin_dtype"] in ("float64", "float32"),
        "data.bin_dtype",
        "'float64' or 'float32'",
        data["bin_dtype"],
    )
    _require(
        data["reader"] in ("array", "tf"),
        "data.reader",
        "'array' or 'tf'",
        data["reader"],
    )
    # Several views come with the image pipelines; nothing here reads them yet.
    _require(data["views"] == 1, "data.views", "1 for this data set", data["views"])
    _require(
        config["model"]["dtype"] in ("float32", "bfloat16"),
        "model.dtype",
        "'float32' or 'bfloat16'",
        config["model"]["dtype"],
    )
    _require(
        config["model"]["label_scaling"] in ("standard", "none"),
        "model.label_scaling",
        "'standard' or 'none'",
        config["model"]["label_scaling"],
    )
    _require(
        config["model"]["pretrained"] is None,
        "model.pretrained",
        "empty: no encoder of this version takes weights of another",
        config["model"]["pretrained"],
    )
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
    shots = ("all", "many", "median", "few")
    _require(
        select["shot"] in shots,
        "select.shot",
        f"one of {', '.join(shots)}",
        select["shot"],
    )
    for field, value in (
        ("eval.every", config["eval"]["every"]),
        ("checkpoint.every", config["checkpoint"]["every"]),
    ):
        _require(value >= 0, field, "at least 0", value)
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
        ):
            _require(
                stage[field] in known,
                f"{where}.{field}",
                f"one of {', '.join(known)}",
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
    batch_size = config["data"]["batch_size"]
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
        )
        rows.append(stage)
        start = stage.stop
    return stages.Plan(
        stages=tuple(rows),
        size=size,
        batch_size=batch_size,
        eval_epochs=config["eval"]["every"],
        save_epochs=config["checkpoint"]["every"],
        log_steps=config["log"]["every"],
        chunk_steps=config["train"]["chunk"],
    )


def to_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """As it looks after a round trip through JSON, for files and comparison."""
    return json.loads(json.dumps(config))


def check_same(config: Mapping[str, Any], file: pathlib.Path) -> None:
    """A directory belongs to one config.

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
    differ = [k for k in sorted({*before, *now}) if before.get(k) != now.get(k)]
    if differ:
        said = "; ".join(f"{k} {before.get(k)!r} -> {now.get(k)!r}" for k in differ[:5])
        raise InputError(
            f"{file.parent} holds a run of another config ({said}"
            f"{', ...' if len(differ) > 5 else ''}). Use another --workdir, or the "
            "same config to resume."
        )
