"""What a run writes about itself: its bins, and its result."""

from __future__ import annotations

import importlib.metadata
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

import dirjax
from dirjax import data, labels, metrics
from dirjax.errors import Diverged
from dirjax.evals import frontier, pixels, targets
from dirjax.evals.evaluator import Evaluated
from dirjax.training.build import Pieces
from dirjax.training.progress import Clock
from dirjax.workdir import run_files


def bins(source: data.Source, spec: labels.Spec) -> dict[str, Any]:
    """The content of `bins.json`: what reports need about labels, in their units.

    Returns:
      `label`, the name of the label; `edges` of the label bins, `train_count`, training
      labels in each, `train_weight`, the sum of their weights (None if all are alike),
      and `shots`, their names. With groups, `groups`: `num`, `of_bin`,
      `train_count`, `centers`. Of dense tasks `images`, the number of training images
      with these labels. With `config.support`, `support`: the bins of predicted
      distributions, see `Support.to_json`.
    """
    groups = spec.groups
    found: dict[str, Any] = {
        "label": source.label,
        "edges": source.edges.tolist(),
        "train_count": source.spec.counts.tolist(),
        "train_weight": None if spec.weights is None else spec.weights.tolist(),
        "shots": [labels.SHOTS[s] for s in spec.shots],
    }
    if groups is not None:
        centers = np.asarray(source.scale.inverse(groups.centers))
        found["groups"] = {
            "num": groups.num,
            "of_bin": groups.of_bin.tolist(),
            "train_count": groups.counts.tolist(),
            "centers": centers.tolist(),
        }
    if source.dense:
        found["images"] = len(source.training.index)
    if spec.support is not None:
        found["support"] = spec.support.to_json(source.scale)
    return found


def start(pieces: Pieces) -> dict[str, Any]:
    """What `run_files.write_start` writes about the data of a run.

    The `bins.json` of several targets has only the `targets`, each of which has its own
    files.
    """
    if not pieces.targets:
        return {"data": pieces.source.record, "bins": bins(pieces.source, pieces.spec)}
    files = [(t.source.record, bins(t.source, t.spec)) for t in pieces.targets]
    return {
        "data": pieces.source.record,
        "bins": {"targets": list(pieces.names)},
        "targets": dict(zip(pieces.names, files, strict=True)),
    }


def write_predictions(
    pieces: Pieces, workdir: pathlib.Path, stored: Mapping[str, Any]
) -> None:
    """Writes the arrays that `evaluated` returns, those of a target into its folder."""
    if not pieces.targets:
        run_files.write_predictions(workdir, stored)
    for number, name in enumerate(pieces.names):
        folder = run_files.folder_of_target(workdir, number, name)
        run_files.write_predictions(folder, stored[name])


def selected(
    found: Evaluated, step: int, *, metric: str, shot: str, split: str
) -> list[float]:
    """The score that selects checkpoints, of each member; smaller is better.

    Args:
      found: of the split that selects.
      step: step of the state, for the message.
      metric: which metric.
      shot: on which shot.
      split: the split that was evaluated.

    Raises:
      Diverged: if one is not finite.
    """
    values = [scores[metric][shot] for scores in found.members or [found.scores]]
    if None in values:
        which = "validation" if split == "val" else split
        raise Diverged(
            f"the {which} {metric} after step {step} is not finite. Look for "
            f"non-finite features in the {which} rows, or try a smaller learning rate."
        )
    return values


def features(
    pieces: Pieces, params: Any, model_state: Any
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the features that a run stores: of its last split, and of training rows.

    Args:
      pieces: the run's data and model.
      params: parameters of the model.
      model_state: its running statistics.
    """
    last = next(s for s in ("test", "val", "train") if s in pieces.source.splits)
    for split in dict.fromkeys((last, "train")):
        yield pieces.evaluator.features(params, model_state, split)


def result(
    pieces: Pieces,
    scores: Mapping[str, Any],
    more: Mapping[str, Any],
    *,
    step: int,
    best_step: int,
    clock: Clock,
) -> dict[str, Any]:
    """The content of `result.json`, without the command.

    Args:
      pieces: the run's data and model.
      scores: metrics of "val" and "test", `{}` for a split that does not exist.
      more: further entries, from `evaluated`.
      step: the last step.
      best_step: step of the evaluated state.
      clock: the run's clock.
    """
    config, rate = pieces.config, clock.rate()
    return {
        "schema": 1,
        "dirjax": dirjax.__version__,
        "dataset": pieces.source.name,
        "method": config["method"],
        "seed": config["seed"],
        "steps": step,
        "planned_steps": pieces.plan.stop,
        "stopped_early": step < pieces.plan.stop,
        "best_step": best_step,
        "select": {**config["select"], "split": pieces.select_split},
        **scores,
        **more,
        "skipped": dict(pieces.source.skipped),
        "notes": list(pieces.source.notes),
        "train_seconds": round(clock.seconds(), 3),
        "examples_per_second": rate and round(rate * pieces.plan.batch_size, 1),
        "device": jax.devices()[0].platform,
        "processes": jax.process_count(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("jax", "flax", "optax", "orbax-checkpoint", "numpy")
        },
    }


def evaluated(
    pieces: Pieces,
    params: Any,
    model_state: Any,
    *,
    splits: Sequence[str] = ("val", "test"),
    prior: Mapping[str, Any] | None = None,
    taus: Sequence[float] = frontier.TAUS,
) -> tuple[dict[str, Any], dict[str, dict[str, np.ndarray]], dict[str, Any]]:
    """Evaluates a finished model, corrected for a label distribution.

    Args:
      pieces: the run's data and model.
      params: parameters of the model.
      model_state: its running statistics.
      splits: which to evaluate, if they exist; "val" fits and chooses the correction.
      prior: fields as those of `config.prior`, the default.
      taus: strengths on the frontier.

    Returns:
      Metrics of each split, `{}` for one that does not exist; the arrays of
      `Evaluator.evaluate` of each, with the corrected `prediction`, and with the
      model's own as `as_trained` if it differs, and calibrated intervals, `low` and
      `high`; and entries of `result.json`: `prior`,
      the correction; `frontier`, metrics at other strengths; `distribution`, scores of
      distributions and intervals, see `evals.frontier`; `members`, for each split the
      metrics of each member. The first three are None where there are no validation
      rows for residuals, `distribution` in dense tasks; the last one for a single
      network. Of several targets, metrics are means (`evals.targets.mean_scores`),
      arrays are by target, then by split, and the entry `targets` has metrics and
      entries of each.
    """
    if pieces.targets:
        each = [
            evaluated(t, params, model_state, splits=splits, prior=prior, taus=taus)
            for t in pieces.targets
        ]
        return _joined(pieces, each, splits)
    evaluator = pieces.evaluator
    scores: dict[str, Any] = {split: {} for split in splits}
    stored: dict[str, dict[str, np.ndarray]] = {}
    members: dict[str, Any] = {}
    for split in [s for s in splits if s in pieces.source.splits]:
        found = evaluator.evaluate(params, model_state, split)
        scores[split], stored[split], members[split], _ = found
        metrics.check_identity(scores[split])
    more: dict[str, Any] = dict.fromkeys(("prior", "frontier", "distribution"))
    more["members"] = members if pieces.members > 1 else None
    fields = prior or pieces.config["prior"]
    if pieces.source.dense:
        found = _correct_maps(pieces, params, model_state, stored, fields, taus)
    else:
        found = _correct_rows(pieces, stored, fields, taus)
    if found is not None:
        for split, changed in found[0].items():
            scores[split] |= changed.scores
            stored[split] |= changed.stored
            metrics.check_identity(scores[split])
        more |= found[1]
    return scores, stored, more


def _joined(
    pieces: Pieces, each: Sequence[tuple[Any, Any, Any]], splits: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What `evaluated` returns for several targets, from that of each."""
    names = pieces.names
    units = {n: t.evaluator.unit for n, t in zip(names, pieces.targets, strict=True)}

    def mean(of_each: Mapping[str, Any]) -> dict[str, Any]:
        return targets.mean_scores(of_each, units) if all(of_each.values()) else {}

    scores = {
        split: mean({n: own[split] for n, (own, *_) in zip(names, each, strict=True)})
        for split in splits
    }
    stored = {n: arrays for n, (_, arrays, _) in zip(names, each, strict=True)}
    own = {
        n: {**found, **more, "unit": units[n]}
        for n, (found, _, more) in zip(names, each, strict=True)
    }
    more: dict[str, Any] = dict.fromkeys(("prior", "frontier", "distribution"))
    more["members"] = {} if pieces.members > 1 else None
    return scores, stored, {**more, "targets": own}


def _correct_rows(
    pieces: Pieces,
    stored: Mapping[str, Mapping[str, np.ndarray]],
    fields: Mapping[str, Any],
    taus: Sequence[float],
) -> tuple[dict[str, Evaluated], dict[str, Any]] | None:
    """Corrects one prediction for each row; see `evaluated`.

    Returns:
      What changes by split, if anything, and the entries of `result.json`; None where
      nothing can be corrected.
    """
    rows, spec, evaluator = _rows(pieces, stored), pieces.spec, pieces.evaluator
    model = frontier.correction(
        fields, rows.get("val"), spec, pieces.source.scale, own=pieces.network.decode
    )
    if model is None or not rows:
        return None
    target = frontier.wanted(fields, model, pieces.source.record)
    points = frontier.frontier(
        model,
        rows,
        spec,
        target=frontier.UNIFORM if fields["target"] == "train" else target,
        taus=taus,
        decodes=frontier.decodes(model, fields),
        gm_epsilon=pieces.config["eval"]["gm_epsilon"],
    )
    select = {**pieces.config["select"], "split": pieces.select_split}
    chosen = frontier.choose(model, fields, lambda: points, target=target, **select)
    wide = frontier.intervals(chosen, rows)
    changed = {
        split: Evaluated({}, {"low": low, "high": high})
        for split, (low, high) in wide.items()
    }
    for split in rows if chosen.changes else ():
        found = chosen.predict(rows[split])
        arrays = {"prediction": found, "as_trained": stored[split]["prediction"]}
        if split in changed:
            arrays |= changed[split].stored
        changed[split] = Evaluated(evaluator.score(split, found), arrays)
    spread = {"distribution": frontier.spread(chosen, rows, spec, wide)}
    return changed, _told(fields, chosen, points) | spread


def _correct_maps(
    pieces: Pieces,
    params: Any,
    model_state: Any,
    stored: dict[str, dict[str, np.ndarray]],
    fields: Mapping[str, Any],
    taus: Sequence[float],
) -> tuple[dict[str, Evaluated], dict[str, Any]] | None:
    """Corrects a prediction for each pixel, as `_correct_rows`, in further passes.

    Adds `pixel_prediction` and `pixel_label` to the stored arrays of validation rows
    of a model of single values.
    """
    evaluator, spec, scale = pieces.evaluator, pieces.spec, pieces.source.scale
    sample = None
    if spec.support is None and "val" in stored:
        prediction, value = evaluator.pixels(params, model_state, "val")
        sample = frontier.Rows(
            prediction, value, spec.bins.index(np.asarray(scale.forward(value)))
        )
        stored["val"] |= {"pixel_prediction": prediction, "pixel_label": value}
    model = frontier.correction(
        fields,
        sample,
        spec,
        scale,
        own=pieces.network.decode,
        images=len(pieces.source.training.index),
    )
    if model is None:
        return None
    target = frontier.wanted(fields, model, pieces.source.record)
    to = frontier.UNIFORM if fields["target"] == "train" else target
    variants = [
        frontier.Chosen(model, to, tau, how)
        for how in frontier.decodes(model, fields)
        for tau in taus
    ]

    def of_all(split: str, wanted: Sequence[frontier.Chosen]) -> list[Evaluated]:
        corrected = pixels.make_corrected(wanted)
        return evaluator.variants(params, model_state, split, corrected)

    found = {split: of_all(split, variants) for split in stored}
    points = [
        {"tau": float(variant.tau), "decode": variant.decode}
        | {
            split: {name: of[k].scores[name] for name in frontier.SCORES}
            for split, of in found.items()
        }
        for k, variant in enumerate(variants)
    ]
    select = {**pieces.config["select"], "split": pieces.select_split}
    chosen = frontier.choose(model, fields, lambda: points, target=target, **select)
    changed = {}
    if chosen.changes:
        changed = {split: of_all(split, [chosen])[0] for split in stored}
    return changed, _told(fields, chosen, points)


def _told(
    fields: Mapping[str, Any],
    chosen: frontier.Chosen,
    points: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The entries `prior` and `frontier` of `result.json`."""
    target = fields["target"]
    to = frontier.UNIFORM if target == "train" else target
    return {
        "prior": {"target": target, "tau": chosen.tau, "decode": chosen.decode},
        "frontier": {"target": to, "points": points},
    }


def _rows(
    pieces: Pieces, stored: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, frontier.Rows]:
    """Predictions of each split, as the model gives them."""
    return {
        name: frontier.Rows(
            found["prediction"],
            found["label"],
            pieces.source.splits[name].bin,
            found.get("log_probs"),
        )
        for name, found in stored.items()
    }


# A best step before this share of the last stage is worth a sentence.
_EARLY = 1 / 3


def remarks(pieces: Pieces, result: Mapping[str, Any]) -> Iterator[str]:
    """Yields a sentence on early stopping, or on a best step that came early.

    Args:
      pieces: the run's data and model.
      result: from `result`.
    """
    select, best, step = result["select"], result["best_step"], result["steps"]
    if select["split"] is None:
        return
    shot = "" if select["shot"] == "all" else f" of the {select['shot']}-shot labels"
    what = f"{select['split']} {select['metric'].upper()}{shot}"
    if result["stopped_early"]:
        yield (
            f"stopped early at step {step:,} of {result['planned_steps']:,}: "
            f"{pieces.plan.patience} evaluations without a better {what} than at step "
            f"{best:,} (train.patience)"
        )
        return
    last = pieces.plan.stages[-1]
    share = (best - last.start) / last.steps
    if share < _EARLY:
        of = "training" if len(pieces.plan.stages) == 1 else f"stage {last.name}"
        yield (
            f"the best {what} came early, at step {best:,}, after {share:.0%} of {of}: "
            "train shorter, or stop early with --config.train.patience=10"
        )
