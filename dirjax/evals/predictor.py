"""The model of a run as a function of prepared inputs."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from dirjax import labels, models
from dirjax.errors import InputError
from dirjax.evals import eval_step
from dirjax.models import targets
from dirjax.runtime import sharding
from dirjax.workdir import run_files
from dirjax.workdir.checkpoints import Checkpoints


def of_run(workdir: pathlib.Path, step: str = "best") -> dict[str, Predictor]:
    """The models of the targets of a run by their names; of a single one, under "".

    Args:
      workdir: directory of a run.
      step: see `Predictor`.

    Raises:
      InputError: see `Predictor`.
    """
    names = run_files.read_targets(workdir)
    if not names:
        return {"": Predictor(workdir, step)}
    restored = _restored(workdir, step)
    return {
        name: Predictor(workdir, target=i, restored=restored)
        for i, name in enumerate(names)
    }


class _Restored(NamedTuple):
    """A saved state: its step, parameters and running statistics."""

    step: int
    state: tuple[Any, Any]


def _restored(workdir: pathlib.Path, step: str) -> _Restored:
    """A saved state of a run, on all devices."""
    with Checkpoints.of_run(workdir) as checkpoints:
        number = checkpoints.choose(step)
        everywhere = sharding.replicated(sharding.make_mesh())
        best = step == "best"
        return _Restored(
            number, checkpoints.restore_model(number, everywhere, best=best)
        )


class Predictor:
    """The model of a run.

    Args:
      workdir: directory of a run.
      step: "best", "last", or the number of a saved step.
      target: number of the target, in a run of several; see `of_run`.
      restored: the state of that step, if it is there already.

    Attributes:
      folder: the directory, in a run of several targets that of this one.
      config: config of the run, plain values.
      record: data record of the run, see `Source.record`.
      scale: on which the model learns the label.
      decode: what it predicts of a distribution, see `models.Network`.

    Raises:
      InputError: if there is no such run or step, or it has several targets and none is
        chosen.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        step: str = "best",
        target: int | None = None,
        *,
        restored: _Restored | None = None,
    ):
        if target is None:
            run_files.refuse_targets(
                workdir,
                "predictors",
                "dirjax.evals.predictor.of_run has one for each.",
            )
            self.folder = workdir
        else:
            self.folder = list(run_files.read_targets(workdir).values())[target]
        self.config = run_files.read_config(self.folder)
        self.record = run_files.read_record(self.folder)
        groups = self.config.get("groups")
        support = None
        if self.config.get("support"):
            stored = run_files.read_bins(self.folder)["support"]
            support = labels.Support.from_json(stored)
        try:
            network = models.from_config(
                self.config["model"],
                self.record,
                groups={"num_groups": groups["num"]} if groups else None,
                support=support and support.for_model(),
            )
        except (ValueError, TypeError) as error:
            raise InputError(str(error)) from error
        if target is not None:
            network = targets.alone(network, target)
        self.step, self._state = restored or _restored(workdir, step)
        mesh = sharding.make_mesh()
        self._place = lambda inputs: sharding.to_global(mesh, inputs)
        devices = jax.device_count()
        self.batch_size = -(-self.config["eval"]["batch_size"] // devices) * devices
        self.scale = labels.Scale.from_json(self.record["scale"])
        self.decode = network.decode
        members = self.config["model"]["members"]
        inverse = self.scale.inverse
        self._outputs = eval_step.make_respond(network, inverse, members)
        # Distributions of all pixels would not fit into memory.
        dense = self.record["kind"] == "dense"
        self._names = ("prediction",) if dense else ("prediction", "log_probs")
        self.changes(lambda outputs: outputs.prediction)

    def changes(self, change: Callable[[Any], jax.Array]) -> None:
        """From now on, predictions are a function of the model's outputs.

        Args:
          change: `outputs -> predictions`, see `eval_step.make_respond`.
        """

        def kept(*arguments):
            outputs = self._outputs(*arguments)
            found = outputs._asdict() | {"prediction": change(outputs)}
            return {k: found[k] for k in self._names if k in found}

        self._respond = jax.jit(kept)

    @property
    def state(self) -> tuple[Any, Any]:
        """Parameters and running statistics, of all members."""
        return self._state

    def respond(self, params: Any, model_state: Any, inputs: Any) -> Any:
        """Outputs for prepared inputs, pure; see `eval_step.make_respond`."""
        return self._outputs(params, model_state, inputs)

    def __call__(self, inputs: Any) -> np.ndarray:
        """Predictions for prepared inputs, in label units.

        Args:
          inputs: see `outputs`.

        Returns:
          `[rows]` float32; for a dense model `[rows, height, width]`.
        """
        return self.outputs(inputs)["prediction"]

    def outputs(self, inputs: Any) -> dict[str, np.ndarray]:
        """Predictions and distributions for prepared inputs.

        Args:
          inputs: `[rows, ...]` images, uint8 or float32 levels, or a dict of a table's
            arrays.

        Returns:
          `prediction` `[rows]` float32 in label units, for a dense model `[rows,
          height, width]`; and for a model of distributions, one for each row,
          `log_probs` `[rows, num]`.
        """
        rows = len(jax.tree.leaves(inputs)[0])
        size, found = self.batch_size, []
        for start in range(0, rows, size):
            place = np.minimum(np.arange(start, start + size), rows - 1)
            batch = jax.tree.map(lambda x, place=place: x[place], inputs)
            found.append(
                jax.tree.map(
                    np.asarray, self._respond(*self._state, self._place(batch))
                )
            )
        if not found:
            return {"prediction": np.zeros(0, np.float32)}
        return jax.tree.map(lambda *x: np.concatenate(x)[:rows], *found)
