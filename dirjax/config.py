"""The door: a config is checked, frozen to plain values, and compared with a run's."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dirjax import phases
from dirjax.cli import InputError
from dirjax.data import catalog

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
