"""Plans a run from its config: stages, and when to log, evaluate and save."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dirjax.config import stages
from dirjax.errors import InputError


def _batch_size(size: int) -> int:
    """The largest power of two up to an eighth of the rows, within 16 to 256.

    Of fewer than 16 rows, up to all of them.
    """
    power = int(math.log2(max(size, 1)))
    return 1 << min(max(power - 3, 4), 8, power)


def _views(views: int | None, data: Mapping[str, Any]) -> int:
    """Views of a stage, else of the data; 0 means two if images are augmented."""
    from dirjax.augment import options

    if views is None:
        return data["views"]
    return views or max(data["views"], 1 + options.augments(**data["augment"]))


def _stage(
    config: Mapping[str, Any], number: int, start: int, size: int, batch_size: int
) -> stages.Stage:
    """A stage of the config, from a step on."""
    name = config["stages"][number]
    record = config["stage"][name]
    rows_read = int(round(record["epochs"] * size, 6))  # 1.15 * 100 is below 115
    steps = record["steps"] or max(1, -(-rows_read // batch_size))
    return stages.Stage(
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
            # The schedule counts updates, and accumulated steps make one update.
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
        views=_views(record["views"], config["data"]),
        sampling=record["sampling"] or config["data"]["sampling"],
        bags=record["bags"],
        resample=record["resample"],
        evaluate=record.get("evaluate", True) or name == config["stages"][-1],
    )


def plan(config: Mapping[str, Any], size: int) -> stages.Plan:
    """The stages of a run.

    Args:
      config: from `plain`, validated.
      size: number of training examples.

    Returns:
      The plan.

    Raises:
      InputError: if the batch is larger than the training set, or a field is missing.
    """
    batch_size = config["data"]["batch_size"] or _batch_size(size)
    if batch_size > size:
        raise InputError(
            f"data.batch_size must be at most the number of training rows, {size}, got "
            f"{batch_size}. Choose a smaller batch."
        )
    rows, start = [], 0
    for number, name in enumerate(config["stages"]):
        try:
            stage = _stage(config, number, start, size, batch_size)
        except KeyError as error:
            raise InputError(
                f"config.stage.{name} lacks {error}: the run was made by another "
                "version of dirjax. Train it again, with another --workdir."
            ) from error
        rows.append(stage)
        start = stage.stop
    # Defaults: evaluate 50 and save 10 times per run.
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
        patience=config["train"]["patience"],
    )
