"""Composes a config from a data set's fields, a preset and options: METHOD[,OPTION...].

METHOD is a preset of `configs/methods.py`, or the dotted path of a module of your own
with `make`: a term beside the base loss, or a wrapper around it if the first parameter
of its `make` is `inner`. Options: `l1`, `mse` or `huber` choose the base loss; `ssir`
adds SSIR; `joint` trains the contrast in the same stage; `smoke` runs end to end in at
most 100 steps; `model=PATH` and `kind=PATH` take a model and a reader of data of your
own by their dotted paths.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

from dirjax import checks, dotted

LOSSES = ("l1", "mse", "huber")
# What may follow the method, and the options that take a dotted path.
OPTIONS = {
    **{loss: f"the base loss is {loss}" for loss in LOSSES},
    "ssir": "adds SSIR to the method",
    "joint": "trains the contrast in the same stage (group_dir, rnc, their variants)",
    "smoke": "runs the whole program in at most 100 steps, for a try",
}
OWN = {"model": "a model of your own", "kind": "a reader of data of your own"}


def choose(kind: str, name: str, known: Collection[str]) -> None:
    """Raises a ValueError for an unknown name and suggests the closest known one."""
    if name not in known:
        raise ValueError(checks.unknown(kind, name, known))


def _objective(config: Any, record: Mapping[str, Any], book: Any) -> Any:
    """A preset's objective with the data set's base loss, as a ConfigDict."""
    out: Any = ConfigDict(record)
    terms: dict[str, Any] = {}
    for name, kwargs in record["terms"].items():
        if name == book.BASE:
            name = config.base.term
            if name == "huber":
                kwargs = {**kwargs, "beta": config.base.beta}
        elif name == "focal_r":
            kwargs = {**kwargs, "form": "mse" if config.base.term == "mse" else "l1"}
        if not config.base.maps:
            kwargs = {k: v for k, v in kwargs.items() if k != "pixels"}
        terms[name] = kwargs
    out.terms = ConfigDict(terms)
    for name in record["wrappers"]:
        if out[name].get("distance") == book.BASE:
            out[name].distance = config.base.term
    for name, fields in config.base.changes.items():
        parts: tuple[Any, Any] = (out, out.terms)
        for part in parts:
            if name in part:
                part[name].update(fields)
    return out


def _options_of(make: Any) -> dict[str, Any]:
    """Keyword parameters of a function whose default is not None."""
    parameters = inspect.signature(make).parameters.values()
    return {
        p.name: p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.default not in (p.empty, None)
    }


def _own_method(path: str, book: Any) -> dict[str, Any]:
    """A preset for a method in your own module, with its options as config fields."""
    make, name = dotted.find("the method", path, "make").make, path.rpartition(".")[2]
    fields = {"module": path, **_options_of(make)}
    terms: dict[str, Any] = {book.BASE: {"weight": 1.0}}
    if next(iter(inspect.signature(make).parameters), "") == "inner":
        made = {"terms": terms, "wrappers": (name,), name: fields}
    else:
        if name in LOSSES:
            raise ValueError(
                f"the method {path!r} has the name of a base loss, {name!r}, which it "
                "would replace. Rename the file, or name the term in a preset."
            )
        terms[name] = {"weight": 1.0, **fields}
        made = {"terms": terms, "wrappers": ()}
    return {"objective": made}


def _own_model(config: Any, path: str) -> None:
    """Sets a model of your own, with its options as config fields."""
    make = dotted.find("the model", path, "make").make
    config.model.name = path
    fields = {k: v for k, v in _options_of(make).items() if k != "dtype"}
    config.model.encoder = ConfigDict(fields)


def _own_kind(config: Any, path: str) -> None:
    """Takes a reader of your own, with its options as fields of the data."""
    load = dotted.find("the reader", path, "load", "read_new").load
    config.data.kind = path
    for field, value in _options_of(load).items():
        if field not in config.data:
            config.data[field] = value


def finish(
    config: Any, arg: str, book: Any, presets: Mapping[str, Mapping[str, Any]]
) -> Any:
    """Applies a preset and options to a config.

    Args:
      config: a ConfigDict, see `finish` in `configs/common.py`.
      arg: `METHOD[,OPTION...]`.
      book: the module `configs/methods.py`.
      presets: more presets, by name.

    Returns:
      The config.

    Raises:
      ValueError: for an unknown method or option.
    """
    name, *options = [part.strip() for part in arg.split(",")]
    known = {**book.PRESETS, **presets}
    if "." in name:
        preset = _own_method(name, book)
    else:
        choose("method", name, known)
        preset = known[name]
    for option in options:
        kind, equals, path = option.partition("=")
        if equals and kind in OWN:
            (_own_model if kind == "model" else _own_kind)(config, path)
            continue
        if "." in option:
            raise ValueError(
                f"the option {option!r} looks like a module. A method of your own "
                "comes first, after the colon; a model is model=PATH, a reader "
                "kind=PATH; several methods make a preset, see docs/extending.md."
            )
        choose("option", option, OPTIONS)
        if option in LOSSES:
            config.base.term = option
    config.method = name.rpartition(".")[2]
    if "joint" in options:
        preset = _joint(config, preset, book)
    if "ssir" in options:
        preset = _with_ssir(config, preset, book)
    config.objective = _objective(config, preset["objective"], book)
    if "groups" in preset:
        groups = {**preset["groups"], **config.get("groups", {})}
        config.groups = ConfigDict({"label_range": config_dict.placeholder(tuple)})
        config.groups.update(groups)
    elif "groups" in config:
        del config.groups  # Of the data set, for presets that use groups.
    if "resample" in preset:
        config.data.resample = _resample(config, preset["resample"])
    if "support" in preset:
        config.support = ConfigDict({**preset["support"], **config.get("support", {})})
    for field, value in preset.get("model", {}).items():
        if field == "head_options":  # The data set may set options that the head has.
            given = config.model.head_options
            value = {k: given.get(k, v) for k, v in value.items()}
        config.model[field] = ConfigDict(value) if isinstance(value, dict) else value
    if "init_from" in preset:
        config.init_from = preset["init_from"]
    _stages(config, preset, book)
    if "smoke" in options:
        _smoke(config)
    # Already applied; setting it later would have no effect.
    del config.base
    return config


def _joint(config: Any, preset: Mapping[str, Any], book: Any) -> Mapping[str, Any]:
    """A preset with a stage of contrast, merged into one stage."""
    if "contrast" not in preset.get("stages", ()):
        raise ValueError(
            f"{config.method} has no contrast stage to join. Use this option with "
            "group_dir and its variants."
        )
    config.method = f"{config.method}_joint"
    return book.joint(preset)


def _with_ssir(config: Any, preset: Mapping[str, Any], book: Any) -> Mapping[str, Any]:
    """A preset with SSIR on top, which may have its own name."""
    if "ssir" in preset["objective"]["wrappers"]:
        raise ValueError(f"{config.method} already has ssir. Leave the option out.")
    known = "ssir" if config.method == "vanilla" else f"{config.method}_ssir"
    config.method = known
    return book.PRESETS.get(known) or book.with_ssir(preset)


def _resample(config: Any, options: Mapping[str, Any]) -> Any:
    """Options of resampling, with those that are empty and those of the data set."""
    empty = {
        "bandwidth": config_dict.placeholder(float),
        "control_points": config_dict.placeholder(tuple),
    }
    return ConfigDict({**empty, **options, **config.base.changes.get("resample", {})})


def _stages(config: Any, preset: Mapping[str, Any], book: Any) -> None:
    """Adds the stages of a preset: copies of the main stage with their own changes."""
    config.stages = preset.get("stages", ("main",))
    main = config.stage.main
    for key in config.stages:
        if key not in config.stage:
            config.stage[key] = main.copy_and_resolve_references()
            share = book.SHARES[key]
            config.stage[key].epochs = main.get_ref("epochs") * share
            config.stage[key].steps = (main.get_ref("steps") * share).to_int()
            config.stage[key].learning_rate *= book.RATES.get(key, 1.0)
        for field, value in preset.get("stage", {}).get(key, {}).items():
            if field == "objective":
                value = _objective(config, value, book)
            elif field == "resample":
                value = _resample(config, value)
            config.stage[key][field] = value
    if "phases" in preset:
        _divide(config, preset["phases"])
    for key in [k for k in config.stage if k not in config.stages]:
        del config.stage[key]


def _divide(config: Any, shares: Mapping[str, float]) -> None:
    """Splits the length of `config.stage.main` among the parts of a preset.

    Args:
      config: with the stages of the preset. Clears the lengths of all parts but the
        first; `frozen.plain` sets all of them.
      shares: path of a part -> its share.
    """
    # The shares sum to 1, so all parts together take as long as other methods' single
    # stage.main. A part with a length of its own keeps it.
    config.phases = ConfigDict(
        {"parts": tuple(shares), "shares": tuple(shares.values())}
    )
    for path in list(shares)[1:]:
        part = config
        for name in path.split("."):
            part = part[name]
        part.epochs = config_dict.placeholder(float)
        part.steps = config_dict.placeholder(int)


def _smoke(config: Any) -> None:
    """Runs end to end in at most 100 steps, for tests."""
    if config.data.batch_size:
        config.data.batch_size = min(config.data.batch_size, 64)
    # Fewer rows would leave mnist5k no many-shot bins, which some methods need.
    config.data.limit = 2048
    config.train.chunk = min(config.train.chunk, 10)
    config.log.every = 10
    config.eval.every = 1.0
    config.checkpoint.every = 2.0
    steps = 60 if "phases" in config else 60 // len(config.stages)
    for stage_config in config.stage.values():
        if stage_config.steps is not None:  # Shares of phases follow.
            stage_config.steps = steps
