"""Where a run begins that does not begin at random: another run, or weights of others.

The best state of a run stands for everything; a file of weights stands for the encoder.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dirjax.config import frozen
from dirjax.errors import Failed, InputError
from dirjax.models import convert
from dirjax.runtime import sharding
from dirjax.training import parameters
from dirjax.training.build import Pieces
from dirjax.training.stage_program import random_model
from dirjax.workdir import run_files
from dirjax.workdir.checkpoints import Checkpoints, Damaged

# What the encoder's parameters mean depends on these entries of the data's record, and
# what the head's do on those; images may have other means and deviations.
_INPUTS = ("kind", "encoder", "table", "pairs", "words", "lower", "vectors")
_LABELS = ("log", "label_mean", "label_std", "label_range", "label_scaling")


def warm_start(pieces: Pieces) -> tuple[Any, Any] | None:
    """What the first stage begins with: a run, or weights of others.

    Args:
      pieces: of the run that begins.

    Returns:
      Parameters and running statistics; None to begin at random.

    Raises:
      InputError, Failed: as `read` and `pretrained`.
    """
    model, folder = pieces.config["model"], pieces.config["init_from"]
    first = pieces.plan.stages[0]
    if model["pretrained"]:
        draw = jax.jit(lambda: random_model(pieces, first))
        params, model_state = jax.device_get(draw())
        return pretrained(model["pretrained"], params=params, model_state=model_state)
    if not folder:
        return None
    params, model_state = pieces.shapes
    return read(
        folder,
        record=pieces.source.record,
        label_scaling=model["label_scaling"],
        params=params,
        model_state=model_state,
        anew=first.reinit,
        placement=sharding.replicated(pieces.mesh),
    )


def read(
    folder: str,
    *,
    record: Mapping[str, Any],
    label_scaling: str,
    params: Any,
    model_state: Any,
    anew: Sequence[str],
    placement: Any,
) -> tuple[Any, Any]:
    """Parameters and running statistics of a finished run, best state.

    Args:
      folder: its directory.
      record: of the data of the run that begins, see `Source.record`.
      label_scaling: of its model.
      params: its parameters, or their shapes.
      model_state: its running statistics, likewise.
      anew: patterns of parameters that are drawn anew and need not fit.
      placement: sharding of arrays.

    Returns:
      Trees like `params` and `model_state`, on the host; zeros where parameters are
      to be drawn anew.

    Raises:
      InputError: if there is no such run, or it does not fit.
      Failed: if its checkpoint cannot be read.
    """
    workdir = pathlib.Path(folder).expanduser()
    if not (workdir / "result.json").exists():
        raise InputError(
            f"config.init_from must be the directory of a finished run, {workdir} has "
            "no result.json. Give another --workdir of dirjax.main, or let it finish."
        )
    head = all(
        parameters.matches(n, anew) for n in _named(params) if n.startswith("head/")
    )
    _check_data(workdir, {**record, "label_scaling": label_scaling}, head)
    try:
        checkpoints = Checkpoints.of_run(workdir)
    except InputError as error:
        raise InputError(
            f"config.init_from must be the directory of a run with its checkpoints, "
            f"{workdir} has none. Give another, or train it again."
        ) from error
    try:
        step = checkpoints.choose("best")
        found, state = checkpoints.restore_model(step, placement)
    except Damaged as error:
        raise Failed(
            f"the checkpoint of step {error.step} of {workdir} cannot be read, its "
            "files are damaged or gone. Give config.init_from another run, or train it "
            "again."
        ) from error
    finally:
        checkpoints.close()
    found, state = jax.device_get((found, state))
    fitted = _fit("parameters", workdir, params, found, anew)
    return fitted, _fit("running statistics", workdir, model_state, state, ())


def pretrained(file: str, *, params: Any, model_state: Any) -> tuple[Any, Any]:
    """Fresh parameters and running statistics, with those of a file in the encoder.

    Args:
      file: weights of a residual network, see `models.convert`.
      params: fresh ones.
      model_state: fresh running statistics.

    Returns:
      Trees like both.

    Raises:
      InputError: if the model has no residual network, or the file another one.
    """
    collection = "batch_stats/"
    named = _named(params) | {
        f"{collection}{n}": leaf
        for n, leaf in _named(model_state.get(collection[:-1], {})).items()
    }
    stems = [n for n in named if n.endswith("stem_conv/kernel")]
    if not stems:
        raise InputError(
            "config.model.pretrained is for models with a ResNet, this one has none. "
            "Use model.name=resnet18, resnet34 or resnet50, or leave it out."
        )
    place = stems[0].removesuffix("stem_conv/kernel")
    ours = {n: n.removeprefix(collection) for n in named}
    ours = {n: o.removeprefix(place) for n, o in ours.items() if o.startswith(place)}
    wanted = {ours[n]: named[n].shape for n in ours}
    try:
        made = convert.resnet(convert.read(file), wanted)
    except ValueError as error:
        grey = wanted["stem_conv/kernel"][2] == 1
        raise InputError(
            f"config.model.pretrained: the weights of {file} cannot be used: {error}."
            + " For grey images set data.channels=3." * grey
        ) from error

    def filled(tree: Any, prefix: str = "") -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: made.get(
                ours.get(prefix + parameters.path_name(path), ""), leaf
            ),
            tree,
        )

    state = {
        name: filled(tree, collection) if name == collection[:-1] else tree
        for name, tree in model_state.items()
    }
    return filled(params), state


def _check_data(workdir: pathlib.Path, record: Mapping[str, Any], head: bool) -> None:
    try:
        before = json.loads((workdir / "data.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"config.init_from: {workdir} has no data.json that can be read, so nobody "
            "knows what its model takes. Give another run."
        ) from error
    before["label_scaling"] = run_files.read_config(workdir)["model"]["label_scaling"]
    now = frozen.to_json(record)

    def differ(names: Sequence[str]) -> str:
        return ", ".join(n for n in names if before.get(n) != now.get(n))

    if differ(_INPUTS):
        raise InputError(
            f"config.init_from: the inputs of {workdir} were prepared otherwise than "
            f"those of this run (its {differ(_INPUTS)}). Give a run on the same data."
        )
    if differ(_LABELS) and not head:
        raise InputError(
            f"config.init_from: the labels of {workdir} are scaled otherwise than "
            f"those of this run (its {differ(_LABELS)}). Give a run on the same data, "
            "set model.label_scaling as there, or begin with a fresh head: "
            "--config.stage.NAME.reinit=\"('head',)\"."
        )


def _named(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {parameters.path_name(path): leaf for path, leaf in leaves}


def _fit(
    what: str, workdir: pathlib.Path, wanted: Any, found: Any, anew: Sequence[str]
) -> Any:
    """The tree that is wanted, with the arrays that were found."""
    want, have = _named(wanted), _named(found)

    def text(table: Mapping[str, Any], name: str) -> str:
        leaf = table.get(name)
        return "nothing" if leaf is None else f"{leaf.dtype}{list(leaf.shape)}"

    names = [n for n in sorted({*want, *have}) if not parameters.matches(n, anew)]
    other = [n for n in names if text(want, n) != text(have, n)]
    if other:
        said = "; ".join(f"{n} {text(have, n)} -> {text(want, n)}" for n in other[:5])
        raise InputError(
            f"config.init_from: {workdir} has other {what} than this run ({said}"
            f"{', ...' if len(other) > 5 else ''}). Set model and method alike, or "
            "name what begins anew in config.stage.NAME.reinit."
        )
    for name, leaf in want.items():
        if parameters.matches(name, anew):
            have[name] = np.zeros(leaf.shape, leaf.dtype)
    return jax.tree_util.tree_map_with_path(
        lambda path, _: have[parameters.path_name(path)], wanted
    )
