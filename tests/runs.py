"""Short runs for tests."""

import json
import pathlib

import jax
import numpy as np

from dirjax import train
from dirjax.cli import config_files
from dirjax.config import frozen
from dirjax.training.batches import batches
from dirjax.training.build import build
from dirjax.training.stage_program import (
    abstract_state,
    compiled_steps,
    example_rows,
    preflight,
    seeds,
    stage_program,
)

# Columns of bikeshare that short runs drop, which halves the size of programs.
DROPPED = ("season", "day", "holiday", "weekday", "workingday", "weathersit")
DROPPED += ("atemp", "windspeed")


def config(name="bikeshare", argument="vanilla,smoke", **fields):
    """A config as plain values; `fields` are paths with `__` instead of dots."""
    made = config_files.load(f"configs/{name}.py", argument)
    for path, value in fields.items():
        made.update_from_flattened_dict({path.replace("__", "."): value})
    return frozen.plain(made)


def tiny(argument, **fields):
    """Six steps of a tiny MLP on 96 rows, three steps per epoch."""
    fields = {
        "data__limit": 96,
        "data__batch_size": 32,
        "data__drop": DROPPED,
        "train__chunk": 2,
        "log__every": 1,
        "eval__every": 1.0,
        "checkpoint__every": 1.0,
        "model__encoder": {"width": 8, "depth": 1},
        **fields,
    }
    made = config("bikeshare", argument, **fields)
    steps = 6 // len(made["stages"])
    for stage in made["stage"].values():
        stage["steps"] = steps
    return made


def tiny_images(argument="group_dir,smoke", **fields):
    """Two stages of one epoch (three steps) of a tiny ResNet on 48 digits."""
    fields = {
        "data__limit": 48,
        "data__reader": "array",  # without TensorFlow's seconds
        "data__batch_size": 16,
        "train__chunk": 2,
        "train__average_decay": 0.0,
        "log__every": 1,
        "checkpoint__every": 1.0,
        "model__encoder": {"width": 4, "stage_sizes": (1,)},
        "groups__num": 3,
        **fields,
    }
    made = config("mnist5k", argument, **fields)
    for stage in made["stage"].values():
        stage["steps"] = 3
    return made


def tiny_depth(method, **fields):
    """Three steps of a tiny U-Net on 16 scenes."""
    fields = {
        "data__limit": 16,
        "data__reader": "array",
        "data__batch_size": 8,
        "model__encoder": {"width": 4, "levels": 2},
        "train__average_decay": 0.0,
        "train__chunk": 3,
        "stage__main__steps": 3,
        **fields,
    }
    return config("synthetic_depth", f"{method},smoke", **fields)


def run(made, workdir: pathlib.Path):
    """Trains without output and returns the result."""
    return train.train_and_evaluate(made, workdir, show="nothing")


def built(made):
    """Data and model of a config, and the programs of its stages."""
    pieces = build(made)
    programs = [stage_program(pieces, stage) for stage in pieces.plan.stages]
    for program in programs:
        preflight(pieces, program)
    return pieces, programs


def trace(pieces, program):
    """Traces a step of a stage and checks its shapes."""
    stage, state = program.stage, abstract_state(pieces, program)
    steps = compiled_steps(pieces, program)
    _, _, batch = next(
        batches(pieces, example_rows(pieces, stage), stage.start, stage.stop)
    )
    new, report = jax.eval_shape(steps, state, batch, np.int32(1), seeds(pieces))
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert report.sums["loss"][0].shape == ()


def model_of(state):
    """The parts of a state that are evaluated."""
    return state.eval_params, state.model_state


def log(workdir: pathlib.Path, split="train"):
    """Records of metrics.jsonl."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["split"] == split]


def result(workdir: pathlib.Path) -> dict:
    """The content of result.json of a finished run."""
    return json.loads((workdir / "result.json").read_text())
