"""The pieces of a run, built from its config: data, model, objectives, programs."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dirjax import (
    augment_dense,
    data,
    labels,
    models,
    optimizers,
    sharding,
    stages,
)
from dirjax import config as config_lib
from dirjax import groups as groups_lib
from dirjax import origin as origin_lib
from dirjax import step as step_lib
from dirjax.cli import Failed, InputError
from dirjax.objectives import base
from dirjax.passes import Passes
from dirjax.step import TrainState


class Run:
    """Data, model and compiled programs of one config, on all devices.

    Args:
      config: plain values, validated.

    Raises:
      InputError: if the data or a size in the config is wrong.
    """

    def __init__(self, config: Mapping[str, Any]):
        self.config = config
        self.source = data.from_config(config["data"])
        self.plan = config_lib.plan(config, len(self.source.splits["train"].label))
        self.mesh = sharding.make_mesh()
        self._replicated = sharding.replicated(self.mesh)
        spec = self.source.spec
        try:
            sharding.check_batch("data.batch_size", self.plan.batch_size)
            divided = groups_lib.from_config(config.get("groups"), spec)
            self.network = models.from_config(
                config["model"],
                self.source.record,
                groups=divided and divided.for_head(),
            )
        except (ValueError, TypeError) as error:
            raise InputError(str(error)) from error
        # Runs of earlier versions have no such field.
        wanted = config["select"].get("split", "val")
        self.select_split = wanted if wanted in self.source.splits else None
        if wanted == "test" and not self.select_split:
            raise InputError(
                f"select.split is test, and {self.source.name} has no test split. "
                "Leave it out."
            )
        try:
            self.params, self._model_state = jax.eval_shape(
                self._init, jax.random.key(0)
            )
        except ValueError as error:
            raise InputError(str(error)) from error
        features, _ = jax.eval_shape(
            functools.partial(self.network.encode, train=False),
            self.params,
            self._model_state,
            self._example(),
        )
        outputs = jax.eval_shape(self.network.head, self.params, features)
        given = self.source.splits["train"].label.shape[1:]
        if features.shape[1:-1] != given:
            raise InputError(
                f"model {config['model']['name']!r} gives maps of "
                f"{features.shape[1:-1]} pixels for images of "
                f"{self.source.record['shape'][:2]}, and labels have {given}. Change "
                "the size of the images or of the labels."
            )
        self.spec = dataclasses.replace(
            spec, feature_dim=features.shape[-1], groups=divided
        )
        self._origin: tuple[Any, Any] | None = None
        self.passes = Passes(
            self.network,
            self.source,
            self.spec,
            self.mesh,
            batch_size=config["eval"]["batch_size"],
            gm_epsilon=config["eval"]["gm_epsilon"],
            probable=getattr(outputs, "classifier", "linear") != "etf",
        )
        self.copy: Callable[[TrainState], TrainState] = jax.jit(
            lambda state: jax.tree.map(jnp.copy, state), out_shardings=self._replicated
        )
        self.number = functools.cache(
            lambda n: jax.device_put(np.int32(n), self._replicated)
        )
        self._check()

    def _example(self) -> Any:
        """Prepared inputs of one row, zeros."""
        inputs = self.source.splits["train"].inputs
        row = jax.tree.map(lambda x: jnp.zeros((1, *x.shape[1:]), x.dtype), inputs)
        return self.network.prepare(row, self._constants())

    def _constants(self) -> dict[str, Any]:
        """What the data adds to the state of the model."""
        found = self.source.constants
        return {"constants": jax.tree.map(jnp.asarray, dict(found))} if found else {}

    def _init(self, key: jax.Array) -> tuple[Any, Any]:
        params, state = self.network.init(key, self._example())
        return params, {**state, **self._constants()}

    def objective(self, stage: stages.Stage) -> base.Objective:
        """The objective of a stage."""
        record = stage.objective
        try:
            return base.from_config(record["terms"], record["wrappers"], record)
        except (TypeError, ValueError) as error:
            raise InputError(f"the objective of stage {stage.name!r}: {error}") from (
                error
            )

    def _optimizer(self, stage: stages.Stage):
        rate = optimizers.schedule(**stage.schedule)
        tx = optimizers.make(learning_rate=rate, **stage.optimizer)
        params = {"model": self.params, "objective": self._variables(stage).params}
        try:
            return step_lib.freeze(tx, params, stage.trainable)
        except ValueError as error:
            raise InputError(f"stage.{stage.name}.trainable: {error}") from error

    def _augment(self, stage: stages.Stage):
        try:
            return augment_dense.from_config(
                self.config["data"], self.source, views=stage.views, stage=stage.name
            )
        except ValueError as error:
            raise InputError(str(error)) from error

    def _variables(self, stage: stages.Stage) -> base.Variables:
        init = self.objective(stage).init
        return jax.eval_shape(lambda key: init(key, self.spec), jax.random.key(0))

    def _key(self, stage: str) -> jax.Array:
        root = jax.random.key(self.config["seed"])
        return base.stream_key(root, f"stage/{stage}")

    def _drawn(self, stage: str) -> tuple[Any, Any]:
        """Parameters and running statistics at random; pure."""
        return self._init(base.stream_key(self._key(stage), "model"))

    def _fresh(self, stage: stages.Stage, before: tuple[Any, Any] | None) -> TrainState:
        """The state at the start of a stage; pure."""
        params, model_state = self._drawn(stage.name)
        if before is not None:
            anew = stages.select(params, stage.reinit)
            params = jax.tree.map(
                lambda new, old, a: new if a else old, params, before[0], anew
            )
            model_state = before[1]
        variables = self.objective(stage).init(
            base.stream_key(self._key(stage.name), "objective"), self.spec
        )
        # What objectives make on the host becomes part of the state on the device.
        variables = jax.tree.map(jnp.asarray, variables)
        tree = {"model": params, "objective": variables.params}
        averages = self.config["train"]["average_decay"] > 0
        return TrainState(
            step=jnp.int32(stage.start),
            params=tree,
            model_state=model_state,
            objective_state=variables.state,
            opt_state=self._optimizer(stage)[0].init(tree),
            average=jax.tree.map(jnp.copy, params) if averages else {},
        )

    def origin(self) -> tuple[Any, Any] | None:
        """What the first stage begins with: a run, or weights of others.

        Returns:
          Parameters and running statistics, read once; None to begin at random.

        Raises:
          InputError, Failed: as `origin.read` and `origin.pretrained`.
        """
        folder, file = self.config.get("init_from"), self.config["model"]["pretrained"]
        if file and self._origin is None:
            draw = jax.jit(lambda: self._drawn(self.plan.stages[0].name))
            params, model_state = jax.device_get(draw())
            self._origin = origin_lib.pretrained(
                file, params=params, model_state=model_state
            )
        if folder and self._origin is None:
            self._origin = origin_lib.read(
                folder,
                record=self.source.record,
                label_scaling=self.config["model"]["label_scaling"],
                params=self.params,
                model_state=self._model_state,
                anew=self.plan.stages[0].reinit,
                placement=self._replicated,
            )
        return self._origin

    def begin(self, stage: stages.Stage, before: TrainState | None) -> TrainState:
        """The state at the start of a stage, statistics of its objective included.

        Args:
          stage: the stage.
          before: a state of the stage before, for the first stage None.
        """
        old = self.origin()
        if before is not None:
            old = (before.eval_params, before.model_state)
        try:
            make = jax.jit(
                functools.partial(self._fresh, stage), out_shardings=self._replicated
            )
            state = make(old)
        except ValueError as error:
            raise InputError(f"stage {stage.name!r} cannot begin: {error}") from error
        start = self.objective(stage).start
        return self._gathers(start)(state) if start else state

    def abstract(self, stage: stages.Stage) -> TrainState:
        """Shapes and shardings of the states of a stage, to restore into."""
        shapes = jax.eval_shape(lambda: self._fresh(stage, None))
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._replicated),
            shapes,
        )

    def compile(self, stage: stages.Stage) -> tuple[Callable, Callable | None]:
        """The programs of a stage.

        Returns:
          `(state, batches, n) -> (state, report)`, and `state -> state` for the end
          of an epoch or None. Both take the state over.
        """
        objective = self.objective(stage)
        tx, trainable = self._optimizer(stage)
        step = step_lib.make_train_step(
            self.network,
            objective,
            tx,
            seed=self.config["seed"],
            trainable=trainable,
            train_mode=stage.encoder_mode == "train",
            average_decay=self.config["train"]["average_decay"],
            start=stage.start,
            augment=self._augment(stage),
        )
        steps = jax.jit(
            step_lib.make_train_steps(step, self.plan.chunk_steps),
            donate_argnums=0,
            out_shardings=self._replicated,
        )
        gather = objective.refresh
        return steps, gather and self._gathers(gather)

    def _gathers(self, gather: Callable) -> Callable[[TrainState], TrainState]:
        """`state -> state` for what an objective makes of the training set's moments.

        It takes the state over.
        """

        def update(state, total):
            variables = base.Variables(state.params["objective"], state.objective_state)
            new = gather(variables, total)
            return state._replace(
                params={**state.params, "objective": new.params},
                objective_state=new.state,
            )

        update = jax.jit(update, donate_argnums=0, out_shardings=self._replicated)

        def gathered(state: TrainState) -> TrainState:
            total = self.passes.moments(
                state.params["model"], state.model_state, "statistics"
            )
            return update(state, total)

        return gathered

    def batches(self, step: int, stop: int) -> Iterator[tuple[int, int, Any]]:
        """`(start, count, batches)` of the stretches from `step` to `stop`."""
        stream = data.Stream(
            self.source.splits["train"],
            seed=self.config["seed"],
            batch_size=self.plan.batch_size,
            process=jax.process_index(),
            processes=jax.process_count(),
            reader=self.config["data"]["reader"],
        )

        def chunks() -> Iterator[tuple[int, int]]:
            return itertools.takewhile(lambda c: c[0] < stop, self.plan.chunks(step))

        # A stretch always has the full number of rows; those past its end are not
        # looked at, which spares a program for each length.
        full = ((start, self.plan.chunk_steps) for start, _ in chunks())
        for (start, count), batch in zip(chunks(), stream.read(full), strict=True):
            yield start, count, sharding.to_global(self.mesh, batch, axis=1)

    def evaluate(
        self, state: TrainState, split: str
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Metrics and predictions of a split, see `Passes.evaluate`."""
        return self.passes.evaluate(state.eval_params, state.model_state, split)

    def features(self, state: TrainState, split: str) -> dict[str, np.ndarray]:
        """The content of `features.npz` on a split.

        Returns:
          What `Passes.features` says, what the objective has `by_bin`, and the `step`
          of the state.
        """
        step = int(sharding.to_host(state.step))
        by_bin = self.objective(self.plan.stage_at(step - 1)).by_bin
        held = base.Variables(state.params["objective"], state.objective_state)
        more = sharding.to_host(by_bin(held)) if by_bin else {}
        found = self.passes.features(state.eval_params, state.model_state, split)
        return {**found, **more, "step": np.asarray(step)}

    def value(self, scores: Mapping[str, Any], step: int) -> float:
        """The number that selects checkpoints, smaller is better.

        Raises:
          Failed: if it is not finite.
        """
        select = self.config["select"]
        value = scores[select["metric"]][select["shot"]]
        if value is None:
            raise Failed(
                f"the validation {select['metric']} after step {step} is not finite. "
                "Look for features of the validation rows that are not, or try a "
                "smaller learning rate."
            )
        return value

    def _check(self) -> None:
        """Finds what is wrong with any stage before the first one begins.

        Raises:
          InputError: naming the field.
        """
        for stage in self.plan.stages:
            self._augment(stage)
            self._trace(stage)
            for field in ("trainable", "reinit"):
                try:
                    stages.select(self.params, getattr(stage, field))
                except ValueError as error:
                    raise InputError(f"stage.{stage.name}.{field}: {error}") from error
        shot = self.config["select"]["shot"]
        if self.select_split and shot != "all":
            split = self.source.splits[self.select_split]
            shots = self.spec.shots[split.real(split.bin)]
            if not np.any(shots == labels.SHOTS.index(shot)):
                raise InputError(
                    "select.shot must have examples in the validation split, "
                    f"{shot!r} has none. Choose another group."
                )

    def advice(self, stage: stages.Stage, means: Mapping[str, float]) -> Sequence[str]:
        """What the objective of a stage has to say on logged means."""
        advise = self.objective(stage).advise
        return advise(means) if advise else ()

    def _trace(self, stage: stages.Stage) -> None:
        """Traces the loss of a stage, which finds options that do not fit the data."""
        rows = data.stored(self.source.splits["train"])
        batch = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((2, *x.shape[1:]), x.dtype), rows
        )
        labels = jax.ShapeDtypeStruct(batch["label"].shape, np.float32)
        batch |= {"weight": labels, "mask": labels}

        def loss(state: TrainState, batch: Any) -> base.Outcome:
            key = jax.random.key(0)
            objective, mode = self.objective(stage), stage.encoder_mode
            view, _ = step_lib.make_view(
                self.network,
                state.params["model"],
                state.model_state,
                inputs := self.network.prepare(batch["inputs"], state.model_state),
                key,
                train=mode == "train",
            )
            variables = base.Variables(state.params["objective"], state.objective_state)
            return objective.loss(variables, view, {**batch, "inputs": inputs}, key)

        try:
            jax.eval_shape(loss, self.abstract(stage), batch)
        except InputError:
            raise
        except ValueError as error:
            raise InputError(
                f"the objective of stage {stage.name!r}: {error}"
            ) from error

    def learning_rate(self, stage: stages.Stage, step: int) -> float:
        """The learning rate that the step before `step` used."""
        rate: Any = optimizers.schedule(**stage.schedule)
        return float(rate((step - 1 - stage.start) // stage.optimizer["accumulate"]))

    def record(
        self, stage: stages.Stage, step: int, split: str, seconds: float
    ) -> dict[str, Any]:
        """The head of a line in metrics.jsonl."""
        return {
            "step": step,
            "epoch": round(self.plan.epoch(step), 4),
            "stage": stage.name,
            "split": split,
            "time": round(seconds, 3),
        }
