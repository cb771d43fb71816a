"""The predict function of a run as StableHLO: runs in plain JAX, without dirjax.

The function takes a batch of any size, prepares raw columns of a table as in training,
and corrects predictions for a label distribution that is an argument:

    import json, numpy as np
    from jax import export
    f = export.deserialize(open("model.stablehlo", "rb").read())
    about = json.load(open("model.json"))
    train = np.array(about["bins"]["train"])
    ratio = np.log(1 / len(train)) - np.log(train)        # equally frequent bins
    f.call({"numeric": x, "categorical": codes}, ratio.astype("float32"), 0.5)

Of several targets, the log ratios and what is returned are dicts by target, and the
bins of each are in `about["targets"]`.

Source: https://docs.jax.dev/en/latest/export/export.html. The correction is that of
`correct.Correction`; see `docs/any-prior.md`.

Images come as the model sees them: of its size, with pixels from 0 to 255, uint8. Where
training had pixels of more than 8 bits or floats, they are float32, 0 at the lower end
of the range in `about["pixels"]` and 255 at the upper.

**Deviations** from `dirjax.predict`: all of it is float32, also raw columns, and those
that this rounds are in `about["rounded"]`; around the predictions of a model of single
values, the distribution of residuals is interpolated between 4,096 predictions.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dirjax import correct
from dirjax.data.preprocess import TablePreprocessor
from dirjax.errors import InputError, local_path
from dirjax.evals import corrected, frontier
from dirjax.evals import predictor as predictor_lib
from dirjax.evals.predictor import Predictor
from dirjax.labels.targets import text as text_of
from dirjax.ops import densities
from dirjax.workdir import files as files_lib
from dirjax.workdir import run_files

PLATFORMS = ("cpu", "tpu", "cuda")
_PLACES = 4096
# Steps between numbers of a column, in its spread, that change predictions visibly.
_ROUNDED = 1e-3


def prepare_table(fitted: TablePreprocessor) -> Callable[[Any, Any], dict[str, Any]]:
    """`TablePreprocessor.transform` for numbers and codes, in JAX.

    Args:
      fitted: the preprocessor.

    Returns:
      A function of numbers `[rows, numeric columns]`, NaN for missing, and codes
      `[rows, categorical columns]`, to the inputs of the model.
    """
    center, scale = (
        jnp.asarray(x, jnp.float32)[None] for x in (fitted.center, fitted.scale)
    )
    gaps = np.array([fitted.numeric.index(n) for n in fitted.indicators], int)

    def prepare(numeric, categorical):
        x = (numeric - center) / scale
        x = jnp.where(jnp.isfinite(x), x, 0.0)
        if fitted.clip:
            x = x / jnp.sqrt(1 + (x / fitted.clip) ** 2)
        missing = jnp.isnan(numeric[:, gaps]).astype(jnp.float32)
        whole = jnp.concatenate([x, missing], axis=1)
        return {"numeric": whole, "categorical": categorical}

    return prepare


def make_corrected(chosen: frontier.Chosen) -> Callable[..., tuple[Any, Any]]:
    """Makes `(outputs, log_ratio, tau) -> (predictions, probabilities)`, pure.

    Args:
      chosen: the correction of the run; its target and strength are not used.

    Returns:
      A function of the outputs of `eval_step.make_respond`, of the log of wanted over
      training probability `[bins]` and of the strength: predictions `[rows]`, the
      model's own at strength 0, and probabilities `[rows, bins]`.
    """
    model = chosen.model
    learnt = np.asarray(model.prior.bins.edges, np.float64)
    units = np.asarray(model.prior.edges, np.float64)
    own = model.residuals is None  # a model of distributions
    edges = jnp.asarray(units if own else learnt, jnp.float32)
    before = (lambda outputs: outputs.log_probs) if own else _of_residuals(model)

    def respond(outputs, log_ratio, tau):
        after = densities.corrected(before(outputs), log_ratio, tau, jnp)
        value = densities.decode(after, edges, chosen.decode, jnp)
        if not own:  # Residuals are alike on the scale of learning.
            value = model.prior.scale.inverse(value, jnp)
        return jnp.where(tau > 0, value, outputs.prediction), jnp.exp(after)

    return respond


def _of_residuals(model: correct.Correction) -> Callable[[Any], jax.Array]:
    """Log probabilities around single predictions, interpolated between places."""
    low, high = model.prior.edges[[0, -1]]
    # The dispersion may change like the logarithm of the height over the lowest label.
    places = low + (high - low) * np.linspace(0, 1, _PLACES) ** 3
    # Far from a bin, its log probability is (almost) linear in the prediction.
    least = np.log(np.finfo(np.float32).tiny)
    table = jnp.asarray(np.maximum(model.log_probs(places), least), jnp.float32)
    grid = jnp.asarray(places, jnp.float32)

    def before(outputs):
        at = jnp.interp(outputs.prediction, grid, jnp.arange(_PLACES, dtype="f4"))
        low = jnp.clip(at.astype(jnp.int32), 0, _PLACES - 2)
        part = (at - low)[:, None]
        return (1 - part) * table[low] + part * table[low + 1]

    return before


class _Target(NamedTuple):
    """One target of a run.

    Attributes:
      predictor: its model.
      change: its correction, from `make_corrected`; None if there is none.
      about: what `model.json` says of it.
      bins: number of bins of the correction.
    """

    predictor: Predictor
    change: Callable[..., tuple[Any, Any]] | None
    about: dict[str, Any]
    bins: int = 0


def _target(predictor: Predictor) -> _Target:
    """The target of a predictor, with the correction of its run."""
    if predictor.record["kind"] == "dense":
        why = "the model predicts one value per pixel."
        return _Target(predictor, None, {"uncorrected": why})
    folder = predictor.folder
    try:
        rows = corrected.rows_of(folder, "val")
        chosen = corrected.of_rows(folder, rows, predictor.config["prior"])
    except InputError as error:  # Without validation rows nothing can be corrected.
        return _Target(predictor, None, {"uncorrected": str(error)})
    prior = chosen.model.prior
    about = {
        "bins": {"edges": prior.edges.tolist(), "train": prior.train.tolist()},
        "decode": chosen.decode,
    }
    return _Target(predictor, make_corrected(chosen), about, prior.bins.num)


def _coarse(fitted: TablePreprocessor) -> dict[str, float]:
    """Numeric columns that single precision rounds, with the step between numbers.

    They are far from 0 for how much they vary, such as seconds since 1970 of one day.
    """
    ends = np.maximum(np.abs(fitted.low), np.abs(fitted.high))
    steps = np.spacing(ends.astype(np.float32)).astype(np.float64)
    each = zip(fitted.numeric, steps, fitted.scale, strict=True)
    return {name: float(step) for name, step, scale in each if step > _ROUNDED * scale}


def inputs_of(
    record: Mapping[str, Any],
) -> tuple[Any, Callable[[Any], Any], dict[str, Any]]:
    """Shapes and types of raw inputs, how they are prepared, and what is said of them.

    Args:
      record: data record of a run, as in `data.json`.

    Returns:
      `(shape, dtype)`, or a dict of them, with None for the batch; a function from
      them to the inputs of the model; and entries of `model.json`.
    """
    if record["kind"] != "table":
        shapes = {k: (None, *v) for k, v in record["shapes"].items()}
        levels = record.get("pixel_scale")
        whole = record["kind"] != "pairs" and not levels
        made = {
            n: (shape, "uint8" if whole else "float32") for n, shape in shapes.items()
        }
        about = {"inputs": shapes, **({"pixels": levels} if levels else {})}
        return made.get("inputs", made), lambda given: given, about
    fitted = TablePreprocessor.from_json(record["table"])
    prepare = prepare_table(fitted)
    made = {
        "numeric": ((None, len(fitted.numeric)), "float32"),
        "categorical": ((None, len(fitted.categorical)), "int32"),
    }
    # Code i + 1 is value i; 0 is any other.
    codes = zip(fitted.categorical, map(list, fitted.values), strict=True)
    about = {"numeric": list(fitted.numeric), "categorical": dict(codes)}
    coarse = _coarse(fitted)
    about |= {"rounded": coarse} if coarse else {}
    return made, lambda x: prepare(x["numeric"], x["categorical"]), about


def function(
    workdir: pathlib.Path,
) -> tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]:
    """The predict function of a run, with its parameters inside.

    Args:
      workdir: directory of a finished run.

    Returns:
      The function, shapes of its arguments with the batch as `None`, and what the file
      beside it says.

    Raises:
      InputError: if the run does not exist.
    """
    targets = {k: _target(p) for k, p in predictor_lib.of_run(workdir).items()}
    first = next(iter(targets.values())).predictor
    inputs, prepare, about = inputs_of(first.record)
    several = "" not in targets
    label = text_of(tuple(targets)) if several else first.record["label"]
    about = {"run": str(workdir), "label": label, "step": first.step, **about}
    if several:
        about["targets"] = {name: one.about for name, one in targets.items()}
    else:
        about |= targets[""].about
    state = jax.device_get(first.state)

    def outputs(given: Any) -> dict[str, Any]:
        # Once, so that the function holds the parameters once.
        params, model_state = jax.tree.map(jnp.asarray, state)
        raw = prepare(given)
        return {
            k: one.predictor.respond(params, model_state, raw)
            for k, one in targets.items()
        }

    def told(by_target: dict[str, Any]) -> Any:
        return by_target if several else by_target[""]

    ratios = {k: ((one.bins,), "float32") for k, one in targets.items() if one.change}
    if not ratios:
        return (
            lambda given: {
                "prediction": told({k: o.prediction for k, o in outputs(given).items()})
            },
            (inputs,),
            about,
        )

    def predict(given, log_ratio, tau):
        after, value = {}, {}
        for name, found in outputs(given).items():
            change = targets[name].change
            value[name] = found.prediction
            if change is not None:
                ratio = log_ratio[name] if several else log_ratio
                value[name], after[name] = change(found, ratio, tau)
        return {"prediction": told(value), "probabilities": told(after)}

    return predict, (inputs, told(ratios), ((), "float32")), about


def write(
    workdir: str | pathlib.Path,
    folder: str | pathlib.Path,
    platforms: Sequence[str] = PLATFORMS,
) -> list[pathlib.Path]:
    """Writes `model.stablehlo`, `model.json` and `model.safetensors`.

    Args:
      workdir: directory of a finished run.
      folder: where to, created if missing.
      platforms: what the function is lowered for.

    Returns:
      The files. Parameters are written where `safetensors` is installed.

    Raises:
      InputError: if the run or a platform does not exist, or the folder cannot be
        written.
    """
    for name in platforms:
        if name not in (*PLATFORMS, "rocm"):
            raise InputError(
                f"--platforms must be of {', '.join((*PLATFORMS, 'rocm'))}, got "
                f"{name!r}."
            )
    workdir = local_path("workdir", workdir)
    folder = local_path("folder", folder)
    run_files.read_config(workdir)  # no folder for what is no run
    files_lib.make_output(folder)
    predict, arguments, about = function(workdir)
    (rows,) = jax.export.symbolic_shape("rows")

    def shaped(spec: Any) -> Any:
        if isinstance(spec, Mapping):
            return {k: shaped(v) for k, v in spec.items()}
        shape, dtype = spec
        return jax.ShapeDtypeStruct([rows if n is None else n for n in shape], dtype)

    exported = jax.export.export(jax.jit(predict), platforms=tuple(platforms))(
        *(shaped(spec) for spec in arguments)
    )
    about["platforms"] = list(platforms)
    about["arguments"] = [str(x) for x in exported.in_avals]
    files = [folder / "model.stablehlo", folder / "model.json"]
    with files_lib.whole(files[0]) as opened:
        opened.write(exported.serialize())
    files_lib.write_json(files[1], about)
    return files + _parameters(workdir, folder / "model.safetensors")


def _parameters(workdir: pathlib.Path, file: pathlib.Path) -> list[pathlib.Path]:
    """Writes parameters and running statistics under their paths."""
    try:
        from safetensors.numpy import save  # pyright: ignore
    except ImportError:
        return []
    params, state = next(iter(predictor_lib.of_run(workdir).values())).state
    tree = {"params": params, **state}
    named = {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(x)
        for path, x in jax.tree_util.tree_leaves_with_path(tree)
    }
    config = run_files.read_config(workdir)
    said = {"format": "flax", "method": config["method"]}
    with files_lib.whole(file) as opened:
        opened.write(save(named, metadata=said))
    return [file]
