"""Data, model and plan of a run: what every command builds first."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dirjax import data, labels, models, objectives
from dirjax.config.plan import plan as make_plan
from dirjax.config.stages import Plan, Stage
from dirjax.correct import priors
from dirjax.data import label_files, resampled
from dirjax.errors import InputError
from dirjax.evals.evaluator import Evaluator
from dirjax.evals.targets import TargetsEvaluator
from dirjax.labels import specification, weights
from dirjax.labels import targets as label_targets
from dirjax.models import targets as model_targets
from dirjax.objectives import base
from dirjax.runtime import sharding
from dirjax.training import targets


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Data, model and plan of a config, without objectives; nothing is compiled yet.

    Attributes:
      config: plain values, validated.
      source: the data.
      spec: label statistics, with the feature width, and label groups and the support
        of distributions if configured.
      network: the model.
      shapes: shapes of the parameters and running statistics of one network.
      plan: the stages, and when to log, evaluate and save.
      mesh: the device mesh.
      members: number of networks that are trained together.
      select_split: the split that selects checkpoints, or None.
      evaluator: evaluates the model on a split; with several targets it is a
        `TargetsEvaluator`, which has part of its methods.
      expected: name of a stage on resampled features -> what is known of its rows, see
        `data.resampled.expected`.
      targets: data, specification and network of each of several targets, in the units
        of its label; the parameters are those of the run. Empty for one target. With
        several, `spec` is None, and `network` learns standardised labels.
    """

    config: Mapping[str, Any]
    source: data.Source
    spec: labels.Spec
    network: models.Network
    shapes: tuple[Any, Any]
    plan: Plan
    mesh: Mesh
    members: int
    select_split: str | None
    evaluator: Evaluator
    expected: Mapping[str, data.Split] = dataclasses.field(default_factory=dict)
    targets: tuple[Pieces, ...] = ()

    def learnt(self, stage: Stage) -> Any:
        """What the objective of a stage gets as `spec`, see `targets.per_target`."""
        if not self.targets:
            if stage.resample:
                rows = self.expected[stage.name]
                return specification.resampled(self.spec, rows.label)
            return self.spec
        return tuple(label_targets.standardised(t.spec) for t in self.targets)

    def objective(self, stage: Stage) -> base.Objective:
        """The objective of a stage.

        Raises:
          InputError: naming the stage, if there is no such method or option.
        """
        made = make_objective(stage)
        if not self.targets:
            return made
        if made.partners is not None:
            raise InputError(
                f"the objective of stage {stage.name!r} mixes rows, which needs one "
                "label; data.label names several. Use a method without mixup."
            )
        return targets.per_target(made, self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the targets, if there are several."""
        return tuple(t.source.record["label"] for t in self.targets)


def build(config: Mapping[str, Any]) -> Pieces:
    """Reads the data of a config and builds its model and plan.

    Args:
      config: plain values, validated.

    Raises:
      InputError: if the data or a size in the config is wrong.
    """
    source = data.from_config(config["data"])
    plan = make_plan(config, len(source.training.label))
    mesh, members = sharding.make_mesh(), config["model"]["members"]
    select_split = _select_split(config["select"]["split"], source)
    # One for each target; of a single one, that of the run itself.
    each = source.targets or (source,)
    try:
        sharding.check_batch("data.batch_size", plan.batch_size)
        if source.targets:
            targets.check(config, source, plan.stages)
        expected = {} if source.targets else _expected(plan, source)
        specs = [_spec(config, one, plan.stages[-1], expected) for one in each]
        networks = [
            _network(config, one, spec) for one, spec in zip(each, specs, strict=True)
        ]
        network = networks[0]
        if source.targets:
            network, networks = _of_targets(config, source, specs, networks)
        shapes = jax.eval_shape(
            functools.partial(init_model, network, source), jax.random.key(0)
        )
    except (ValueError, TypeError) as error:
        raise InputError(str(error)) from error
    parts = []
    for one, spec, own in zip(each, specs, networks, strict=True):
        features, outputs = _feature_shapes(own, one, shapes)
        _check_maps(config["model"]["name"], one, features.shape[1:-1])
        spec = dataclasses.replace(spec, feature_dim=features.shape[-1])
        evaluator = Evaluator(
            own,
            one,
            spec,
            mesh,
            batch_size=config["eval"]["batch_size"],
            gm_epsilon=config["eval"]["gm_epsilon"],
            probable=getattr(outputs, "classifier", "linear") != "etf",
            members=members,
        )
        parts.append(
            Pieces(
                config=config,
                source=one,
                spec=spec,
                network=own,
                shapes=shapes,
                plan=plan,
                mesh=mesh,
                members=members,
                select_split=select_split,
                evaluator=evaluator,
                expected=expected,
            )
        )
    if not source.targets:
        return parts[0]
    nothing: Any = None
    together: Any = TargetsEvaluator(
        {one.source.record["label"]: one.evaluator for one in parts},
        source,
        mesh,
        batch_size=config["eval"]["batch_size"],
    )
    return dataclasses.replace(
        parts[0],
        source=source,
        spec=nothing,
        network=network,
        evaluator=together,
        targets=tuple(parts),
    )


def _expected(plan: Plan, source: data.Source) -> dict[str, data.Split]:
    """What is known of the rows of each stage on resampled features."""
    return {
        stage.name: resampled.expected(
            stage.resample, source, where=f"stage.{stage.name}.resample"
        )
        for stage in plan.stages
        if stage.resample
    }


def _spec(
    config: Mapping[str, Any],
    source: data.Source,
    last: Stage,
    expected: Mapping[str, data.Split],
) -> labels.Spec:
    """The specification of the labels, with groups, support and weights."""
    spec, train = source.spec, source.training
    if source.resampled is not None:
        spec = specification.resampled(spec, train.label)
    groups = specification.from_config(config.get("groups"), spec)
    support = specification.support_from_config(
        config.get("support"), spec, lambda: train.real(train.label)
    )
    spec = dataclasses.replace(spec, groups=groups, support=support)
    if last.name in expected:
        return _resampled(spec, last, expected[last.name])
    return _weighted(spec, last, train)


def _resampled(spec: labels.Spec, last: Stage, rows: data.Split) -> labels.Spec:
    """The specification of labels that the last stage resamples: how they weigh.

    Args:
      spec: of the labels as they are.
      last: the last stage.
      rows: what is known of its rows.
    """
    made = specification.resampled(spec, rows.label)
    table = _table(made, last, rows.weight, lambda: rows.label)
    # Of the resampled labels, so that those of the file keep their number.
    found = specification.weighted(made, table, lambda: rows.label, rows.weight)
    share = spec.counts.sum() / made.counts.sum()
    support = found.support
    if support is not None:
        support = dataclasses.replace(support, weights=share * support.weights)
    return dataclasses.replace(spec, support=support, weights=share * found.weights)


def _network(
    config: Mapping[str, Any],
    source: data.Source,
    spec: labels.Spec,
    *,
    standardised: bool = False,
) -> models.Network:
    """The model of one label."""
    groups, support = spec.groups, spec.support
    return models.from_config(
        config["model"],
        source.record,
        groups=groups and groups.for_head(),
        support=support and support.for_model(),
        standardised=standardised,
    )


def _of_targets(
    config: Mapping[str, Any],
    source: data.Source,
    specs: Sequence[labels.Spec],
    networks: Sequence[models.Network],
) -> tuple[models.Network, list[models.Network]]:
    """The network that learns standardised labels, and that of each target in units."""
    learnt = [
        _network(config, one, label_targets.standardised(spec), standardised=True)
        for one, spec in zip(source.targets, specs, strict=True)
    ]
    own = [model_targets.alone(n, number) for number, n in enumerate(networks)]
    return model_targets.together(learnt), own


def make_objective(stage: Stage) -> base.Objective:
    """The objective of a stage.

    Raises:
      InputError: naming the stage, if there is no such method or option.
    """
    fields = stage.objective
    try:
        return objectives.from_config(fields["terms"], fields["wrappers"], fields)
    except (TypeError, ValueError) as error:
        raise InputError(f"the objective of stage {stage.name!r}: {error}") from error


def of_bins(stage: Stage, spec: labels.Spec) -> np.ndarray | None:
    """How often rows of each bin are drawn in a stage, relative to once an epoch.

    None if each row is drawn once an epoch.
    """
    if stage.sampling == "none":
        return None
    return weights.bin_weights(spec.counts, stage.sampling, clip=None)


def _weighted(spec: labels.Spec, stage: Stage, train: data.Split) -> labels.Spec:
    """The specification with the weights that labels have in a stage, if any.

    Rows that are drawn more often weigh more.
    """
    if stage.sampling != "none" and train.label.ndim > 1:
        raise ValueError(
            f"stage.{stage.name}.sampling draws rows by their label, this data has "
            "one per pixel. Leave it out; weights are those of sqinv or lds."
        )
    own = None if np.all(train.weight == 1) else train.weight
    if own is not None:
        shape = train.weight.shape + (1,) * (len(train.label.shape) - 1)
        own = train.real(np.broadcast_to(own.reshape(shape), train.label.shape))
    table = _table(spec, stage, own, lambda: train.real(train.label))
    if own is None and np.ptp(table) == 0:
        return spec
    return specification.weighted(spec, table, lambda: train.real(train.label), own)


def _table(
    spec: labels.Spec,
    stage: Stage,
    own: np.ndarray | None,
    labels_of: Callable[[], np.ndarray],
) -> np.ndarray:
    """Weights of labels of each bin in a stage, beside those of their rows.

    Args:
      spec: of the labels.
      stage: the stage, which may draw rows unevenly.
      own: weights of the rows of labels `[n]`, None if all are 1.
      labels_of: gives the labels `[n]`; those of all pixels take memory.
    """
    mean = np.ones(spec.bins.num)
    if own is not None:
        index = spec.bins.index(labels_of())
        total, count = (np.bincount(index, w, spec.bins.num) for w in (own, None))
        mean = np.where(count > 0, total / np.maximum(count, 1), 1.0)
    drawn = of_bins(stage, spec)
    given = mean if drawn is None else mean * drawn
    # What an objective makes of all weights, without those that rows have anyway.
    return make_objective(stage).weighting(spec, given) / mean


def init_model(
    network: models.Network, source: data.Source, key: jax.Array
) -> tuple[Any, Any]:
    """Random parameters and running statistics, with the data's constants; pure."""
    constants = _constants(source)
    params, state = network.init(key, _example(network, source))
    return params, {**state, **constants}


def _select_split(wanted: str, source: data.Source) -> str | None:
    if wanted in source.splits:
        return wanted
    if wanted == "test":
        raise InputError(
            f"select.split is test, but {source.name} has no test split. Leave it out."
        )
    return None


def _example(network: models.Network, source: data.Source) -> Any:
    """Prepared inputs of one row of zeros."""
    inputs = source.splits["train"].inputs
    row = jax.tree.map(lambda x: jnp.zeros((1, *x.shape[1:]), x.dtype), inputs)
    return network.prepare(row, _constants(source))


def _constants(source: data.Source) -> dict[str, Any]:
    """Constants that the data adds to the model state."""
    found = source.constants
    return {"constants": jax.tree.map(jnp.asarray, dict(found))} if found else {}


def _feature_shapes(
    network: models.Network, source: data.Source, shapes: tuple[Any, Any]
) -> tuple[Any, Any]:
    """Shapes of features and of the head's outputs for one row."""
    features, _ = jax.eval_shape(
        functools.partial(network.encode, train=False),
        *shapes,
        _example(network, source),
    )
    return features, jax.eval_shape(network.head, shapes[0], features)


def _check_maps(name: str, source: data.Source, size: tuple[int, ...]) -> None:
    """Checks that a dense model's maps have the size of the training labels."""
    wanted = source.splits["train"].label.shape[1:]
    if size != wanted:
        raise InputError(
            f"model {name!r} predicts maps of {size} pixels for images of "
            f"{source.record['shape'][:2]}, but labels are {wanted}. Change the image "
            "size, the label size, or model.encoder.stride, if the model has it (1: "
            "maps of the size of the images)."
        )


def check_prior(pieces: Pieces) -> None:
    """Checks before training that predictions can be corrected as `config.prior` says.

    Raises:
      InputError: if there are no validation rows to fit or choose the correction on, or
        the file of wanted labels cannot be read.
    """
    prior, name = pieces.config["prior"], pieces.source.name
    target = prior["target"]
    if target == "train":
        return
    if target == "uniform" and prior["tau"] is None and not pieces.select_split:
        raise InputError(
            f"config.prior.tau is chosen on a val split, {name} has none. Give it with "
            "--config.prior.tau=0.5, or mark rows as val."
        )
    for one in pieces.targets or (pieces,):
        rows = one.source.splits.get("val")
        few = rows is None or (len(rows.bin) < 2 and not one.source.dense)
        if few and one.spec.support is None:
            raise InputError(
                "config.prior.target corrects predictions by their residuals on at "
                f"least two validation rows, which {name} lacks"
                + f" for {one.source.label}" * bool(pieces.targets)
                + ". Mark rows as val, or leave it out."
            )
        if target not in priors.TARGETS:
            label_files.within(target, one.source.record, one.spec.bins)


def check_select(pieces: Pieces) -> None:
    """Checks that the shot that selects checkpoints has examples.

    Raises:
      InputError: if it is empty, or early stopping has no split to look at.
    """
    if pieces.plan.patience and not pieces.select_split:
        raise InputError(
            f"train.patience needs a val split, {pieces.source.name} has none. Leave "
            "it out, or mark rows as val."
        )
    check_prior(pieces)
    shot = pieces.config["select"]["shot"]
    if not pieces.select_split or shot == "all":
        return
    for one in pieces.targets or (pieces,):
        split = one.source.splits[pieces.select_split]
        shots = one.spec.shots[split.real(split.bin)]
        if not np.any(shots == labels.SHOTS.index(shot)):
            raise InputError(
                f"select.shot must have examples in the validation split, {shot!r} has "
                "none"
                + f" of {one.source.label}" * bool(pieces.targets)
                + ". Choose another shot."
            )
