"""Warm start: initial parameters from another run, or from published weights.

A run gives all parameters of its best state; a weights file gives the encoder only.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dirjax.config import frozen
from dirjax.errors import Failed, InputError, local_path
from dirjax.models import convert
from dirjax.runtime import sharding
from dirjax.training import members, parameters
from dirjax.training.build import Pieces
from dirjax.training.stage_program import random_model
from dirjax.workdir import run_files
from dirjax.workdir.checkpoints import Checkpoints, Damaged

# Entries of the data record that must agree: these for the encoder's parameters, the
# second list for the head's. Means and deviations of images may differ.
_INPUTS = ("kind", "encoder", "table", "pairs", "words", "lower", "vectors")
_LABELS = ("scale", "label_mean", "label_std", "label_range", "label_scaling")
_LABELS += ("targets",)


def warm_start(pieces: Pieces) -> tuple[Any, Any] | None:
    """Initial parameters of the first stage, from a run or a weights file.

    Args:
      pieces: data and model of the new run.

    Returns:
      Parameters and running statistics, of all members; None for random initialisation.

    Raises:
      InputError, Failed: see `read` and `pretrained`.
    """
    model, folder = pieces.config["model"], pieces.config["init_from"]
    first = pieces.plan.stages[0]
    if model["pretrained"]:
        draw = jax.jit(lambda seed: random_model(pieces, first, seed))
        return _stacked(
            pretrained(model["pretrained"], params=params, model_state=model_state)
            for params, model_state in (
                jax.device_get(draw(seed))
                for seed in members.seeds(pieces.config["seed"], pieces.members)
            )
        )
    if not folder:
        return None
    params, model_state = pieces.shapes
    found = read(
        folder,
        record=pieces.source.record,
        label_scaling=model["label_scaling"],
        params=params,
        model_state=model_state,
        anew=first.reinit,
        placement=sharding.replicated(pieces.mesh),
    )
    return _stacked([found] * pieces.members)


def _stacked(models: Iterable[Any]) -> Any:
    """Models of the members as one; that of a single one as it is."""
    first, *rest = models
    return jax.tree.map(lambda *x: np.stack(x), first, *rest) if rest else first


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
    """Parameters and running statistics of the best state of a finished run.

    Args:
      folder: the run directory.
      record: data record of the new run, see `Source.record`.
      label_scaling: label scaling of the new run's model.
      params: parameters of the new run, or their shapes.
      model_state: running statistics of the new run, likewise.
      anew: patterns of parameters to reinitialise, which need not fit.
      placement: sharding of the restored arrays.

    Returns:
      Trees like `params` and `model_state`, on the host; zeros for parameters to
      reinitialise.

    Raises:
      InputError: if there is no such run, or it does not fit.
      Failed: if its checkpoint cannot be read.
    """
    workdir = local_path("config.init_from", folder)
    if not (workdir / run_files.RESULT).exists():
        raise InputError(
            f"config.init_from must be the directory of a finished run, {workdir} has "
            "no result.json. Give another run directory, or let this run finish."
        )
    number = run_files.read_config(workdir)["model"]["members"]
    if number > 1:
        raise InputError(
            f"config.init_from must be a run of one network, {workdir} has {number} "
            "members. Give another."
        )
    head = all(
        parameters.matches(n, anew) for n in _named(params) if n.startswith("head/")
    )
    _check_data(workdir, {**record, "label_scaling": label_scaling}, head)
    try:
        checkpoints = Checkpoints.of_run(workdir)
    except InputError as error:
        raise InputError(
            "config.init_from must be the directory of a run with checkpoints, "
            f"{workdir} has none. Give another, or train it again."
        ) from error
    try:
        step = checkpoints.choose("best")
        found, state = checkpoints.restore_model(step, placement, best=True)
    except Damaged as error:
        raise Failed(
            f"the checkpoint at step {error.step} of {workdir} cannot be read: its "
            "files are damaged or missing. Set config.init_from to another run, or "
            "train this one again."
        ) from error
    finally:
        checkpoints.close()
    found, state = jax.device_get((found, state))
    fitted = _fit("parameters", workdir, params, found, anew)
    return fitted, _fit("running statistics", workdir, model_state, state, ())


def pretrained(file: str, *, params: Any, model_state: Any) -> tuple[Any, Any]:
    """Random parameters and running statistics, with those of a file in the encoder.

    Args:
      file: weights of a residual network, see `models.convert`.
      params: randomly initialised parameters.
      model_state: initial running statistics.

    Returns:
      Trees like `params` and `model_state`.

    Raises:
      InputError: if the model has no residual network, or the file holds a different
        one.
    """
    collection = "batch_stats/"
    named = _named(params) | {
        f"{collection}{n}": leaf
        for n, leaf in _named(model_state.get(collection[:-1], {})).items()
    }
    stems = [n for n in named if n.endswith("stem_conv/kernel")]
    if not stems:
        raise InputError(
            "config.model.pretrained needs a model with a ResNet, this one has none. "
            "Use --config.model.name=resnet50, resnet18 or resnet34, or leave it out."
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
            + " For grey images set --config.data.channels=3." * grey
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
        before = json.loads((workdir / run_files.DATA).read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"config.init_from: {workdir} has no readable data.json, so the inputs of "
            "its model are unknown. Give another run."
        ) from error
    before["label_scaling"] = run_files.read_config(workdir)["model"]["label_scaling"]
    now = frozen.to_json(record)

    def differ(names: Sequence[str]) -> str:
        return ", ".join(n for n in names if before.get(n) != now.get(n))

    if differ(_INPUTS):
        raise InputError(
            f"config.init_from: {workdir} prepared its inputs differently from this "
            f"run ({differ(_INPUTS)}). Give a run on the same data."
        )
    if differ(_LABELS) and not head:
        raise InputError(
            f"config.init_from: {workdir} scales its labels differently from this run "
            f"({differ(_LABELS)}). Give a run on the same data, use its "
            "model.label_scaling, or reinitialise the head: "
            "--config.stage.NAME.reinit=\"('head',)\"."
        )


def _named(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {parameters.path_name(path): leaf for path, leaf in leaves}


def _fit(
    what: str, workdir: pathlib.Path, wanted: Any, found: Any, anew: Sequence[str]
) -> Any:
    """A tree with the structure of `wanted` and the arrays of `found`."""
    want, have = _named(wanted), _named(found)

    def text(table: Mapping[str, Any], name: str) -> str:
        leaf = table.get(name)
        return "nothing" if leaf is None else f"{leaf.dtype}{list(leaf.shape)}"

    names = [n for n in sorted({*want, *have}) if not parameters.matches(n, anew)]
    other = [n for n in names if text(want, n) != text(have, n)]
    if other:
        said = "; ".join(f"{n} {text(have, n)} -> {text(want, n)}" for n in other[:5])
        raise InputError(
            f"config.init_from: {workdir} has different {what} from this run "
            f"({said}{', ...' if len(other) > 5 else ''}). Use the same model and "
            "method, or list what to reinitialise in config.stage.NAME.reinit."
        )
    for name, leaf in want.items():
        if parameters.matches(name, anew):
            have[name] = np.zeros(leaf.shape, leaf.dtype)
    return jax.tree_util.tree_map_with_path(
        lambda path, _: have[parameters.path_name(path)], wanted
    )
