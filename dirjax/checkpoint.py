"""Checkpoints: a thin cover over Orbax that keeps the last state and the best."""

from __future__ import annotations

import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from dirjax.cli import InputError


def _rank(metrics: Any) -> Any:
    """Smallest is best: a later stage before an earlier one, value, earlier step."""
    return -metrics["stage"], metrics["value"], metrics["step"]


class Checkpoints:
    """States of one run, by step.

    The newest is never deleted, nor is the best of the latest stage that was
    evaluated. Writing goes on in the background.

    Args:
      folder: directory of the checkpoints, made if missing.
    """

    def __init__(self, folder: pathlib.Path):
        keep = policies.AnyPreservationPolicy(
            [
                policies.LatestN(1),
                # reverse=True keeps the smallest.
                policies.BestN(
                    get_metric_fn=_rank,
                    reverse=True,
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        self._manager = ocp.CheckpointManager(
            folder.resolve(),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=keep,
                # Without it metrics are neither written nor read back.
                best_fn=_rank,
                best_mode="min",
                enable_background_delete=True,
            ),
        )

    def save(
        self, step: int, state: Any, *, stage: int, value: float | None = None
    ) -> None:
        """Saves a state.

        Args:
          step: steps done.
          state: tree of arrays.
          stage: number of the stage the state belongs to.
          value: the selection metric of this state, smaller is better; None if it
            was not evaluated.
        """
        if step in self._manager.all_steps():
            return
        metrics = None
        if value is not None:
            metrics = {"stage": stage, "value": value, "step": step}
        self._manager.save(
            step,
            args=ocp.args.Composite(state=ocp.args.StandardSave(state)),
            metrics=metrics,
            force=True,
        )

    def latest(self) -> int | None:
        """The newest step, or None."""
        return self._manager.latest_step()

    def best(self, stage: int | None = None) -> tuple[int, float] | None:
        """Step and value of the best evaluated state (of one stage), or None."""
        found = []
        for step in self._manager.all_steps():
            metrics = self._manager.metrics(step)
            if metrics and stage in (None, metrics["stage"]):
                found.append((_rank(metrics), step, metrics["value"]))
        if not found:
            return None
        _, step, value = min(found)
        return step, value

    def restore(self, step: int, like: Any) -> Any:
        """The state of a step.

        Args:
          step: one that was saved.
          like: tree of `jax.ShapeDtypeStruct` with shardings.
        """
        args = ocp.args.Composite(state=ocp.args.StandardRestore(like))
        return self._manager.restore(step, args=args)["state"]

    @classmethod
    def of_run(cls, workdir: pathlib.Path) -> Checkpoints:
        """The checkpoints of a run that exists.

        Raises:
          InputError: if it has none.
        """
        folder = workdir / "checkpoints"
        found = cls(folder) if folder.is_dir() else None
        if found is None or found.latest() is None:
            raise InputError(
                f"{workdir} has no checkpoint. Train first, with this --workdir."
            )
        return found

    def choose(self, step: str) -> int:
        """The step that "best", "last" or a number means.

        Raises:
          InputError: if it was not saved.
        """
        last, best = self.latest(), self.best()
        assert last is not None
        if step in ("best", "last"):
            return best[0] if best and step == "best" else last
        saved = sorted(self._manager.all_steps())
        if not step.isdigit() or int(step) not in saved:
            raise InputError(
                f"--step must be best, last or one of {', '.join(map(str, saved))}, "
                f"got {step!r}."
            )
        return int(step)

    def restore_model(self, step: int, sharding: Any) -> tuple[Any, Any]:
        """Parameters to evaluate and running statistics of a step.

        Args:
          step: one that was saved.
          sharding: of all arrays.
        """
        with ocp.StandardCheckpointer() as reader:
            found: Any = reader.metadata(self._manager.directory / f"{step}" / "state")
        tree = found.item_metadata.tree
        like = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
        )
        state = self.restore(step, like)
        return state["average"] or state["params"]["model"], state["model_state"]

    def preempted(self, start: int, step: int) -> bool:
        """Whether all processes are to stop after the steps `start + 1 .. step`.

        JAX agrees on one step after a signal to any process, and answers yes for
        that number alone: a stretch has to ask for each of its steps.
        """
        if jax.process_count() == 1:
            return False
        asked = range(start + 1, step + 1)
        answers = [self._manager.reached_preemption(s) for s in asked]
        return any(answers)

    def wait(self) -> None:
        """Returns when everything is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits and releases the manager's threads."""
        self._manager.wait_until_finished()
        self._manager.close()
