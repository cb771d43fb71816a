"""Metrics of a run on a new labelled file, with the run's bins and shots."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from dirjax import labels, metrics
from dirjax.data import new_rows
from dirjax.errors import InputError
from dirjax.evals import corrected
from dirjax.evals.predictor import Predictor
from dirjax.metrics import depth as depth_metrics

# Labels of pixels whose errors are added at once.
_PIXELS = 65_536


def evaluate(
    workdir: pathlib.Path,
    path: pathlib.Path,
    *,
    step: str = "best",
    on_bad: str = "error",
    prior: Mapping[str, Any] | None = None,
    target: int | None = None,
) -> tuple[Predictor, dict[str, Any], tuple[str, ...], dict[str, np.ndarray]]:
    """Metrics on all rows of a file. The training data is not read.

    Left out are metrics that need more than predictions, labels and the run's bins:
    SERA (training labels) and those of groups.

    Args:
      workdir: directory of a run.
      path: see `new_rows.pieces`; with labels as in training.
      step: "best", "last", or the number of a saved step.
      on_bad: "error" or "skip" for unusable rows.
      prior: fields of `config.prior` to change.
      target: number of the target, in a run of several.

    Returns:
      The model; metrics by shot; sentences on rows left out, labels outside of the
      bins, and values that training did not have; `label` and `prediction` of the rows
      (none in dense tasks, which have too many).

    Raises:
      InputError: if the file does not fit the run.
    """
    predictor = Predictor(workdir, step, target)
    correct = corrected.of_run(predictor.folder, predictor, prior=prior or {})
    spec = corrected.spec_of(predictor.folder)
    scale = labels.Scale.from_json(predictor.record["scale"])
    surprises, skipped, parts = new_rows.Surprises(), 0, []
    dense = predictor.record["kind"] == "dense"
    for piece in new_rows.pieces(
        path, predictor.config["data"], predictor.record, on_bad=on_bad, labels=True
    ):
        assert piece.value is not None
        outputs = predictor.outputs(piece.inputs)
        found = (correct(outputs) if correct else outputs)["prediction"]
        parts.append(_real(found, piece.value, path))
        skipped += int((~piece.good).sum())
        surprises.add(piece.surprises)
    prediction, value = (
        np.concatenate([part[i] for part in parts]) if parts else np.zeros(0)
        for i in range(2)
    )
    if not len(value):
        raise InputError(f"{path} has no usable row. Give another --input.")
    label = np.asarray(scale.forward(value))
    spread = spec.label_std if scale.linear else float(value.std())
    shift = np.asarray(scale.inverse(spec.bins.centers))
    units = {"shift": shift, "scale": spread or 1.0}
    bins = spec.bins.index(label)
    options = {"size": _PIXELS if dense else predictor.batch_size}
    options["num_bins"] = spec.bins.num
    arrays = prediction, value, bins
    sums = _sums(
        metrics.batch_sums,
        *arrays,
        gm_epsilon=predictor.config["eval"]["gm_epsilon"],
        **options,
        **units,
    )
    scores = metrics.finalize(sums, spec=spec, **units)
    if dense:
        ratios = _sums(depth_metrics.batch_ratios, *arrays, **options)
        scores |= depth_metrics.finalize(ratios, sums.count, spec=spec)
    else:
        shots = spec.shots[bins]
        scores |= metrics.rank_metrics(prediction, value.astype(np.float32), shots)
    low, high = spec.bins.edges[0], spec.bins.edges[-1]
    ends = np.asarray(scale.inverse(np.asarray([low, high])))
    outside = int(np.sum((value < ends[0]) | (value > ends[1])))
    notes = []
    if skipped:
        notes.append(f"{skipped:,} unusable rows are left out")
    if outside:
        notes.append(
            f"{outside:,} labels lie outside of the run's bins ({ends[0]:g} to "
            f"{ends[1]:g}) and count in the end bins"
        )
    rows = {} if dense else {"label": value, "prediction": prediction}
    return predictor, scores, (*notes, *surprises.told()), rows


def _real(
    prediction: np.ndarray, value: np.ndarray, path: pathlib.Path
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and labels that count, `[labels]` each."""
    if prediction.shape[1:] != value.shape[1:]:
        raise InputError(
            f"the model predicts maps of {list(prediction.shape[1:])} pixels, labels "
            f"of {path} are {list(value.shape[1:])}. Resize them as in training."
        )
    real = ~np.isnan(value)
    return prediction[real], value[real]


def _sums(
    batch_sums: Callable[..., Any],
    prediction: np.ndarray,
    value: np.ndarray,
    bins: np.ndarray,
    *,
    size: int,
    **options: Any,
) -> Any:
    """Sums per bin over batches as the evaluator has them, added in float64."""
    step = jax.jit(batch_sums, static_argnames="num_bins")
    parts = []
    for start in range(0, len(value), size):
        count = min(size, len(value) - start)
        # One program: the last batch repeats its last row, without weight.
        rows = start + np.minimum(np.arange(size), count - 1)
        mask = (np.arange(size) < count).astype(np.float32)
        found = step(
            prediction[rows].astype(np.float32),
            value[rows].astype(np.float32),
            bins=bins[rows].astype(np.int32),
            mask=mask,
            **options,
        )
        parts.append(jax.tree.map(lambda x: np.asarray(x, np.float64), found))
    return jax.tree.map(lambda *x: np.sum(x, axis=0), *parts)
